//! The election as several copies see it, on a world's API server and Tokio's paused clock.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use jiff::SignedDuration;
use modosu_world::{Answer, Verb, World, WorldOptions};
use tokio::{task::JoinHandle, time::sleep};

use super::*;
use crate::{
    act::fence::DEADLINE,
    config::{GuardName, LeaderElection},
};

const SECOND: Duration = Duration::from_secs(1);

/// One copy. Dropped, it is killed: nothing of it is done any more.
struct Copy {
    user: &'static str,
    fence: Fence,
    task: JoinHandle<()>,
    done: CancellationToken,
    /// Cut off from the API server.
    cut: Arc<AtomicBool>,
}

impl Copy {
    fn start(world: &World, name: &'static str) -> Self {
        Self::start_ahead(world, name, SignedDuration::ZERO)
    }

    /// On a machine whose clock is so far ahead.
    fn start_ahead(world: &World, name: &'static str, ahead: SignedDuration) -> Self {
        let settings = Settings {
            leader_election: LeaderElection {
                identity: Some(name.to_owned()),
                ..LeaderElection::default()
            },
            ..Settings::default()
        };
        let clock = Clock::simulated(world.now() + ahead);
        let fence = Fence::closed(clock.clone());
        let election = Election::new(&settings, &world.client(name), clock, fence.clone());
        let (done, cut) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        let broken = cut.clone();
        world.on_request(move |call| {
            if call.user == name && broken.load(Ordering::Relaxed) {
                Answer::Cut
            } else {
                Answer::GoOn
            }
        });
        let task = tokio::spawn(election.run(done.clone()));
        Self {
            user: name,
            fence,
            task,
            done,
            cut,
        }
    }

    fn leads(&self) -> bool {
        self.fence.term().is_some()
    }

    fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }

    async fn stop(self) {
        self.done.cancel();
        self.task.await.unwrap();
    }

    /// `kill -9`.
    fn kill(&self) {
        self.task.abort();
    }
}

fn world() -> World {
    World::start(WorldOptions::default())
}

fn leases(world: &World) -> Api<Lease> {
    Api::namespaced(world.client("admin"), "default")
}

async fn lease(world: &World) -> LeaseSpec {
    leases(world).get("modosu").await.unwrap().spec.unwrap()
}

/// Until that copy leads, and how long that took.
async fn until_leads(copy: &Copy, within: Duration) -> Duration {
    let began = Instant::now();
    while !copy.leads() {
        assert!(
            began.elapsed() <= within,
            "{} does not lead after {within:?}",
            copy.user
        );
        sleep(Duration::from_millis(50)).await;
    }
    began.elapsed()
}

/// For so long, never two of them.
async fn never_two(copies: &[&Copy], length: Duration) {
    let began = Instant::now();
    while began.elapsed() < length {
        let leading: Vec<_> = copies
            .iter()
            .filter(|copy| copy.leads())
            .map(|copy| copy.user)
            .collect();
        assert!(leading.len() < 2, "{leading:?} lead");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_copies_one_leads_and_the_other_takes_over_after_a_crash() {
    let world = world();
    let first = Copy::start(&world, "one");
    until_leads(&first, SECOND).await;
    let second = Copy::start(&world, "two");
    never_two(&[&first, &second], 60 * SECOND).await;
    assert!(first.leads(), "renewed for a minute");
    assert_eq!(second.fence.holder().as_deref(), Some("one"));

    first.kill();
    let took = until_leads(&second, 20 * SECOND).await;
    // Renewed at most 2.4 s before, and seen at most 1.2 s after that.
    assert!((12 * SECOND..=17 * SECOND).contains(&took), "{took:?}");
    assert!(!first.leads(), "what is left of it does nothing any more");
    let lease = lease(&world).await;
    assert_eq!(
        (lease.holder_identity.as_deref(), lease.lease_transitions),
        (Some("two"), Some(1))
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_given_back_is_taken_at_once() {
    let world = world();
    let first = Copy::start(&world, "one");
    until_leads(&first, SECOND).await;
    let second = Copy::start(&world, "two");
    sleep(5 * SECOND).await;
    first.stop().await;
    let given_back = lease(&world).await;
    assert_eq!(
        (given_back.holder_identity.as_deref(), given_back.lease_duration_seconds),
        (Some(""), Some(1)),
    );
    let took = until_leads(&second, 2 * SECOND).await;
    assert!(took <= Duration::from_millis(1250), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_another_one_begins() {
    let world = world();
    let first = Copy::start(&world, "one");
    until_leads(&first, SECOND).await;
    let second = Copy::start(&world, "two");
    sleep(5 * SECOND).await;

    first.cut(true);
    let began = Instant::now();
    let (ends, begins) = tokio::join!(
        async {
            while first.leads() {
                sleep(Duration::from_millis(50)).await;
            }
            began.elapsed()
        },
        until_leads(&second, 20 * SECOND)
    );
    assert!(ends <= DEADLINE + Duration::from_millis(50), "{ends:?}");
    assert!(begins >= ends + 2 * SECOND, "{ends:?}, {begins:?}");

    first.cut(false);
    never_two(&[&first, &second], 30 * SECOND).await;
    assert!(second.leads() && first.fence.holder().as_deref() == Some("two"));
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_changes_nothing() {
    let world = world();
    let first = Copy::start(&world, "one");
    until_leads(&first, SECOND).await;
    let second = Copy::start(&world, "two");
    sleep(5 * SECOND).await;
    for copy in [&first, &second] {
        copy.cut(true);
    }
    sleep(13 * SECOND).await;
    assert!(!first.leads() && !second.leads());
    for copy in [&first, &second] {
        copy.cut(false);
    }
    until_leads(&first, 2 * SECOND).await;
    never_two(&[&first, &second], 20 * SECOND).await;
    assert_eq!(lease(&world).await.lease_transitions, Some(0), "it never changed hands");
}

#[tokio::test(start_paused = true)]
async fn what_the_clocks_of_machines_show_is_never_compared() {
    for ahead in [-3600, 3600].map(SignedDuration::from_secs) {
        let world = world();
        let first = Copy::start(&world, "one");
        until_leads(&first, SECOND).await;
        let second = Copy::start_ahead(&world, "two", ahead);
        never_two(&[&first, &second], 60 * SECOND).await;
        assert!(first.leads(), "{ahead:?}");
        first.kill();
        let took = until_leads(&second, 17 * SECOND).await;
        assert!(took >= 12 * SECOND, "{ahead:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_that_want_it_at_the_same_time_one_gets_it() {
    let world = world();
    let first = Copy::start(&world, "one");
    until_leads(&first, SECOND).await;
    let others = ["two", "three", "four"].map(|name| Copy::start(&world, name));
    sleep(5 * SECOND).await;
    // Both see it ended before either writes.
    world.on_request(|call| {
        if call.resource == "leases" && call.verb == Verb::Get && call.user != "admin" {
            Answer::Delay(Duration::from_millis(300))
        } else {
            Answer::GoOn
        }
    });
    first.kill();
    let all: Vec<_> = others.iter().collect();
    never_two(&all, 60 * SECOND).await;
    assert!(all.iter().any(|copy| copy.leads()));
    assert_eq!(lease(&world).await.lease_transitions, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_container_that_starts_again_takes_its_own_lease_back_at_once() {
    let world = world();
    let first = Copy::start(&world, "one");
    until_leads(&first, SECOND).await;
    let other = Copy::start(&world, "two");
    sleep(5 * SECOND).await;
    first.kill();
    let again = Copy::start(&world, "one");
    let took = until_leads(&again, SECOND).await;
    assert!(took <= Duration::from_millis(100), "{took:?}");
    never_two(&[&again, &other], 30 * SECOND).await;
    assert_eq!(lease(&world).await.lease_transitions, Some(0), "it never changed hands");
}

/// Somebody gave two copies one name: the older one lets it go, and takes it back only when it ends.
#[tokio::test(start_paused = true)]
async fn two_copies_of_one_name_do_not_both_lead() {
    let world = world();
    let first = Copy::start(&world, "one");
    until_leads(&first, SECOND).await;
    sleep(5 * SECOND).await;
    let twin = Copy::start(&world, "one");
    until_leads(&twin, SECOND).await;
    // The older one learns of it when it renews.
    sleep(3 * SECOND).await;
    never_two(&[&first, &twin], 60 * SECOND).await;
    assert!(twin.leads());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_deleted_is_its_holders() {
    let world = world();
    let first = Copy::start(&world, "one");
    until_leads(&first, SECOND).await;
    let second = Copy::start(&world, "two");
    sleep(5 * SECOND).await;
    for _ in 0..5 {
        leases(&world)
            .delete("modosu", &kube::api::DeleteParams::default())
            .await
            .unwrap();
        never_two(&[&first, &second], 7 * SECOND).await;
        assert!(first.leads(), "made again by its holder");
    }
    first.kill();
    leases(&world)
        .delete("modosu", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    let took = until_leads(&second, 17 * SECOND).await;
    assert!(took >= 12 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_is_found_out_by_reading() {
    let world = world();
    world.on_request(|call| {
        // Every third write is carried out, and nobody hears of it.
        if call.resource == "leases" && call.verb != Verb::Get && call.number % 3 == 0 {
            Answer::LoseAnswer
        } else {
            Answer::GoOn
        }
    });
    let first = Copy::start(&world, "one");
    until_leads(&first, 3 * SECOND).await;
    let began = Instant::now();
    while began.elapsed() < 120 * SECOND {
        assert!(first.leads(), "{:?}", began.elapsed());
        sleep(SECOND / 10).await;
    }
    assert_eq!(lease(&world).await.lease_transitions, Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_has_its_guards_lease() {
    let world = world();
    world.create_namespace("shop");
    let settings = Settings {
        guard: Some(GuardName {
            namespace: "shop".to_owned(),
            name: "orders".to_owned(),
        }),
        ..Settings::default()
    };
    let clock = Clock::simulated(world.now());
    let fence = Fence::closed(clock.clone());
    let election = Election::new(&settings, &world.client("modosu"), clock, fence.clone());
    let done = CancellationToken::new();
    let running = tokio::spawn(election.run(done.clone()));
    sleep(SECOND).await;
    let shop: Api<Lease> = Api::namespaced(world.client("admin"), "shop");
    assert!(shop.get("modosu-orders").await.is_ok() && fence.term().is_some());
    done.cancel();
    running.await.unwrap();
}

#[test]
fn a_pod_has_one_name_and_processes_elsewhere_never_the_same() {
    let pod = |name: &str| match name {
        "POD_NAME" => Some("modosu-7d9".to_owned()),
        "POD_UID" => Some("8b21".to_owned()),
        _ => None,
    };
    assert_eq!(own_name(pod), "modosu-7d9_8b21");
    assert_ne!(own_name(|_| None), own_name(|_| None));
}
