//! IO free. The one door to everything that changes something: open while this copy of modosu leads and surely still does.
//!
//! Who leads has renewed its lease within the last 10 s; the others take a lease over 15 s after they saw it renewed. What
//! passes here is cut off before that, so that nothing of a copy that was paused, or cut off from the API server, is
//! written beside the next leader's. The lease alone opens it ([`super::lease`]), and the daemon enters when it has read what
//! the leader before it wrote.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use http::Request;
use jiff::Timestamp;
use kube::{Client, client::Body};
use thiserror::Error;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tower::BoxError;

use crate::clock::Clock;

/// Nothing new is begun when the last renewal is older.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// What is under way is cut off when it is older: a second before anybody else may lead.
const CUT_OFF: Duration = Duration::from_secs(14);

/// Refused here, or cut off: another copy may lead by now.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("this copy of modosu does not lead, or cannot know that it still does")]
pub struct NotLeader;

/// The door. Clones are the same one.
#[derive(Clone)]
pub struct Fence {
    /// None: there is no election, this copy alone acts.
    stands: Option<Arc<watch::Sender<Standing>>>,
    clock: Clock,
}

/// How the election stands, as far as this copy knows.
#[derive(Clone, Debug, Default)]
struct Standing {
    holder: Option<String>,
    /// How often this copy came to lead.
    term: u64,
    /// The term whose leader has read what was written before.
    entered: u64,
    /// When the last renewal that succeeded was sent; None: this copy does not lead.
    renewed: Option<Moment>,
}

/// A moment on both clocks: the monotonic one stands still while a machine sleeps, the wall's can be put back.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    at: Instant,
    wall: Timestamp,
}

impl Moment {
    pub fn now(clock: &Clock) -> Self {
        Self {
            at: Instant::now(),
            wall: clock.now(),
        }
    }

    /// By the clock that says more.
    fn age(&self, clock: &Clock) -> Duration {
        let wall = Duration::try_from(clock.now().duration_since(self.wall)).unwrap_or(Duration::ZERO);
        self.at.elapsed().max(wall)
    }
}

impl Fence {
    pub fn new(elected: bool, clock: Clock) -> Self {
        if elected {
            Self::closed(clock)
        } else {
            Self::open(clock)
        }
    }

    /// Without an election: always open.
    pub const fn open(clock: Clock) -> Self {
        Self { stands: None, clock }
    }

    /// Closed until the lease is held.
    pub fn closed(clock: Clock) -> Self {
        let stands = Some(Arc::new(watch::channel(Standing::default()).0));
        Self { stands, clock }
    }

    /// The term in which this copy leads at this moment.
    pub fn term(&self) -> Option<u64> {
        let Some(stands) = &self.stands else { return Some(1) };
        let standing = stands.borrow();
        let renewed = standing.renewed?;
        (renewed.age(&self.clock) < DEADLINE).then_some(standing.term)
    }

    /// Lets writes of that term through: what was written before is known.
    pub fn enter(&self, term: u64) {
        self.change(|standing| standing.entered = term);
    }

    /// Who holds the lease, as it was last seen.
    pub fn holder(&self) -> Option<String> {
        self.stands.as_ref()?.borrow().holder.clone()
    }

    /// Waits until a term of this copy begins that is not this one.
    pub async fn begins(&self, before: Option<u64>) -> u64 {
        let Some(stands) = &self.stands else {
            return std::future::pending().await;
        };
        let mut changes = stands.subscribe();
        let leads = |standing: &Standing| standing.renewed.is_some() && Some(standing.term) != before;
        let begun = changes.wait_for(leads).await.ok().map(|standing| standing.term);
        match begun {
            Some(term) => term,
            None => std::future::pending().await,
        }
    }

    /// Does it while this copy leads; what is under way when that ends, or can be known no more, is cut off.
    pub async fn lead<T>(&self, work: impl Future<Output = T>) -> Result<T, NotLeader> {
        let Some(stands) = &self.stands else {
            return Ok(work.await);
        };
        let mut changes = stands.subscribe();
        let term = self.term().ok_or(NotLeader)?;
        let mut work = pin!(work);
        loop {
            let standing = changes.borrow_and_update().clone();
            let same = (standing.term, standing.entered) == (term, term);
            let renewed = standing.renewed.filter(|_| same).ok_or(NotLeader)?;
            // Asked before each of its steps: this process may have been paused since the last one.
            let surely = poll_fn(|context| {
                if renewed.age(&self.clock) >= CUT_OFF {
                    return Poll::Ready(Err(NotLeader));
                }
                work.as_mut().poll(context).map(Ok)
            });
            tokio::select! {
                biased;
                () = sleep_until(renewed.at + CUT_OFF) => return Err(NotLeader),
                _ = changes.changed() => {}
                done = surely => return done,
            }
        }
    }

    /// A client whose requests pass this door, but for those that only read.
    pub fn around(&self, client: &Client) -> Client {
        let (fence, client) = (self.clone(), client.clone());
        let namespace = client.default_namespace().to_owned();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (fence, client) = (fence.clone(), client.clone());
            async move {
                if request.method() == http::Method::GET {
                    return client.send(request).await.map_err(BoxError::from);
                }
                Ok(fence.lead(client.send(request)).await??)
            }
        });
        Client::new(service, namespace)
    }

    // ---- the lease's side ---------------------------------------------------------------------------------------

    /// The lease was got: a new term begins, and nothing passes before it is entered.
    pub(super) fn won(&self, identity: &str, sent: Moment) {
        self.change(|standing| {
            standing.term += 1;
            standing.renewed = Some(sent);
            standing.holder = Some(identity.to_owned());
        });
    }

    /// The lease was renewed.
    pub(super) fn renewed(&self, sent: Moment) {
        self.change(|standing| standing.renewed = Some(sent));
    }

    /// It is somebody else's, or nobody's.
    pub(super) fn lost(&self, holder: Option<&str>) {
        self.change(|standing| {
            standing.renewed = None;
            standing.holder = holder.map(str::to_owned);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Standing)) {
        if let Some(stands) = &self.stands {
            stands.send_modify(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn clock() -> Clock {
        Clock::simulated("2026-03-02T12:00:00Z".parse().unwrap())
    }

    fn leads(clock: &Clock) -> Fence {
        let fence = Fence::closed(clock.clone());
        fence.won("modosu-0", Moment::now(clock));
        fence.enter(1);
        fence
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_passes_before_the_term_is_entered() {
        let clock = clock();
        let fence = Fence::closed(clock.clone());
        assert_eq!(fence.lead(async { 1 }).await, Err(NotLeader));
        fence.won("modosu-0", Moment::now(&clock));
        assert_eq!(fence.term(), Some(1));
        assert_eq!(
            fence.lead(async { 1 }).await,
            Err(NotLeader),
            "what was written is not read yet"
        );
        fence.enter(1);
        assert_eq!(fence.lead(async { 1 }).await, Ok(1));
        fence.lost(Some("modosu-1"));
        fence.won("modosu-0", Moment::now(&clock));
        assert_eq!(fence.lead(async { 1 }).await, Err(NotLeader), "another led in between");
    }

    #[tokio::test(start_paused = true)]
    async fn ten_seconds_after_the_last_renewal_nothing_new_passes() {
        let clock = clock();
        let fence = leads(&clock);
        advance(DEADLINE - Duration::from_millis(1)).await;
        assert_eq!(fence.lead(async { 1 }).await, Ok(1));
        advance(Duration::from_millis(1)).await;
        assert_eq!((fence.term(), fence.lead(async { 1 }).await), (None, Err(NotLeader)));
        fence.renewed(Moment::now(&clock));
        assert_eq!(fence.lead(async { 1 }).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_ends_before_the_lease_does_unless_it_is_renewed() {
        let clock = clock();
        let fence = leads(&clock);
        let began = Instant::now();
        advance(9 * SECOND).await;
        assert_eq!(fence.lead(sleep(60 * SECOND)).await, Err(NotLeader));
        assert_eq!(began.elapsed(), CUT_OFF);

        let fence = leads(&clock);
        let renews = async {
            for _ in 0..40 {
                sleep(2 * SECOND).await;
                fence.renewed(Moment::now(&clock));
            }
        };
        let (done, ()) = tokio::join!(fence.lead(sleep(60 * SECOND)), renews);
        assert_eq!(done, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_ends_when_another_leads() {
        let fence = leads(&clock());
        let taken = async {
            sleep(SECOND).await;
            fence.lost(Some("modosu-1"));
        };
        let began = Instant::now();
        let (done, ()) = tokio::join!(fence.lead(sleep(60 * SECOND)), taken);
        assert_eq!((done, began.elapsed()), (Err(NotLeader), SECOND));
        assert_eq!(fence.holder().as_deref(), Some("modosu-1"));
    }

    /// A machine that slept: its monotonic clock stood still, the wall's did not.
    #[tokio::test(start_paused = true)]
    async fn a_machine_that_slept_does_not_lead() {
        let fence = Fence::closed(Clock::Wall);
        let before = Moment {
            at: Instant::now(),
            wall: Timestamp::now() - jiff::SignedDuration::from_secs(11),
        };
        fence.won("modosu-0", before);
        fence.enter(1);
        assert_eq!((fence.term(), fence.lead(async { 1 }).await), (None, Err(NotLeader)));
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_election_everything_passes() {
        let fence = Fence::open(clock());
        advance(3600 * SECOND).await;
        assert_eq!(fence.lead(async { 1 }).await, Ok(1));
    }
}
