//! IO. One of several copies leads: client-go's leader election on a Lease, its times too.
//!
//! Who holds the lease renews it every 2 s; the others look at it every second and take it when they have not seen it
//! change for the time that it says (15 s), counted on their own monotonic clock from when they saw the change: what the
//! clocks of two machines show is never compared. Every write names the version that it replaces, so that of two one gets it.
//! Beyond client-go: a lease that somebody deleted is left to its holder until it would have ended; and a copy of the same
//! name takes it over at once, but only when it starts (a container that starts again in its pod).

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    ApiError, classify,
    fence::{Fence, Moment},
};
use crate::{clock::Clock, config::Settings};

/// What a lease says of itself: whoever saw it unchanged for so long may take it.
const LASTS_SECONDS: i32 = 15;
/// Between two renewals.
const RENEW: Duration = Duration::from_secs(2);
/// Between two looks of those that do not lead. Shorter than client-go's 2 s: a lease that is given back is taken soon.
const LOOK: Duration = Duration::from_secs(1);
/// One request takes no longer, so that after a renewal two of them fail before the fence closes.
const PATIENCE: Duration = Duration::from_secs(3);
/// The last one, when modosu is told to stop.
const FAREWELL: Duration = Duration::from_secs(1);

/// This copy in the election.
pub struct Election {
    leases: Api<Lease>,
    /// `namespace/name`, for people.
    called: String,
    name: String,
    identity: String,
    clock: Clock,
    fence: Fence,
    seen: Option<Seen>,
    /// When this copy took the lease, or last tried to: one that says so is its own, also where the answer was lost.
    took: Option<MicroTime>,
    leads: bool,
    /// It led before: another one of the same name is not what was left of an earlier start.
    led: bool,
    /// What does not work at present: said once.
    failing: bool,
}

/// The lease as it was last read, and when it was first seen so.
struct Seen {
    version: Option<String>,
    spec: LeaseSpec,
    since: Instant,
}

impl Election {
    /// Where, as what and as who: the settings, else the client's namespace and a name for this pod or process.
    pub fn new(settings: &Settings, client: &Client, clock: Clock, fence: Fence) -> Self {
        let wishes = &settings.leader_election;
        let (name, namespace) = match &settings.guard {
            Some(guard) => (format!("{}-{}", wishes.lease_name, guard.name), guard.namespace.clone()),
            None => (wishes.lease_name.clone(), client.default_namespace().to_owned()),
        };
        let namespace = wishes.namespace.clone().unwrap_or(namespace);
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            leases: Api::namespaced(client.clone(), &namespace),
            called: format!("{namespace}/{name}"),
            name,
            identity: wishes.identity.clone().unwrap_or_else(|| own_name(env)),
            clock,
            fence,
            seen: None,
            took: None,
            leads: false,
            led: false,
            failing: false,
        }
    }

    /// Who this copy is.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Takes part until `done`, then gives the lease back.
    pub async fn run(mut self, done: CancellationToken) {
        tracing::info!(
            lease = self.called,
            identity = self.identity,
            "takes part in the election as {}",
            self.identity
        );
        while !done.is_cancelled() {
            let pause = self.step().await;
            _ = timeout(pause, done.cancelled()).await;
        }
        self.release().await;
    }

    /// One look, and one write where it is this copy's turn. Gives how long to rest.
    async fn step(&mut self) -> Duration {
        if let Some(seen) = self.seen.as_ref().filter(|_| self.leads) {
            let (version, spec) = (seen.version.clone(), self.renewed(&seen.spec));
            match self.write(version, spec).await {
                Ok(()) => return jittered(RENEW),
                // Somebody else wrote, or the answer was lost: look.
                Err(why) => tracing::debug!(lease = self.called, "the lease was not renewed: {why}"),
            }
        }
        let read = match self.ask(PATIENCE, self.leases.get_opt(&self.name)).await {
            Ok(read) => read,
            Err(why) => return self.fails("read", &why),
        };
        self.see(read);
        let next = match &self.seen {
            None => self.taken(&LeaseSpec::default(), 0),
            Some(seen) if self.is_mine(&seen.spec) => self.renewed(&seen.spec),
            Some(seen) => {
                let left = self.left(seen);
                if !left.is_zero() {
                    self.failing = false;
                    return jittered(LOOK).min(left);
                }
                self.taken(
                    &seen.spec,
                    i32::from(seen.spec.holder_identity.as_ref() != Some(&self.identity)),
                )
            }
        };
        let version = self.seen.as_ref().and_then(|seen| seen.version.clone());
        match self.write(version, next).await {
            Ok(()) => jittered(RENEW),
            // Somebody was faster.
            Err(ApiError::Invalid(_) | ApiError::Exists(_)) => jittered(LOOK),
            Err(why) => self.fails("write", &why),
        }
    }

    /// Takes in what was read; nothing is known of a lease that is not there, but that its holder will make it again.
    fn see(&mut self, read: Option<Lease>) {
        match (read, &mut self.seen) {
            (Some(lease), seen) => {
                let spec = lease.spec.unwrap_or_default();
                let same = seen.as_ref().filter(|seen| seen.spec == spec);
                let since = same.map_or_else(Instant::now, |seen| seen.since);
                let version = lease.metadata.resource_version;
                *seen = Some(Seen { version, spec, since });
            }
            (None, Some(seen)) => seen.version = None,
            (None, None) => {}
        }
        let Some(seen) = &self.seen else { return };
        if !self.is_mine(&seen.spec) {
            let holder = seen.spec.holder_identity.as_deref().filter(|holder| !holder.is_empty());
            if self.leads || self.fence.holder().as_deref() != holder {
                self.tell(holder);
            }
            self.fence.lost(holder);
            self.took = None;
            self.leads = false;
        }
    }

    /// Says who acts in the place of this copy.
    fn tell(&self, holder: Option<&str>) {
        let lease = &self.called;
        match holder {
            // What an earlier start left.
            Some(own) if own == self.identity && !self.led => {}
            Some(own) if own == self.identity => tracing::warn!(
                lease,
                holder,
                "does not lead: another copy is called {own} as well (leaderElection.identity in the settings; lease {lease})"
            ),
            Some(by) => tracing::info!(lease, holder, "does not lead: {by} acts (lease {lease})"),
            None => tracing::info!(lease, holder, "does not lead: nobody acts yet (lease {lease})"),
        }
    }

    /// Whether this copy took it, and nobody since.
    fn is_mine(&self, spec: &LeaseSpec) -> bool {
        let own = spec.holder_identity.as_ref() == Some(&self.identity);
        own && self.took.is_some() && spec.acquire_time == self.took
    }

    /// How much longer it is its holder's.
    fn left(&self, seen: &Seen) -> Duration {
        let holder = seen.spec.holder_identity.as_deref().unwrap_or_default();
        let own = holder == self.identity && !self.led;
        if holder.is_empty() || own {
            return Duration::ZERO;
        }
        let lasts = u64::try_from(seen.spec.lease_duration_seconds.unwrap_or(LASTS_SECONDS)).unwrap_or(0);
        Duration::from_secs(lasts).saturating_sub(seen.since.elapsed())
    }

    fn taken(&self, before: &LeaseSpec, changes_hands: i32) -> LeaseSpec {
        let now = MicroTime(self.clock.now());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(LASTS_SECONDS),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(before.lease_transitions.unwrap_or(0).saturating_add(changes_hands)),
            ..before.clone()
        }
    }

    fn renewed(&self, before: &LeaseSpec) -> LeaseSpec {
        LeaseSpec {
            renew_time: Some(MicroTime(self.clock.now())),
            ..before.clone()
        }
    }

    /// Writes the lease over that version, or makes it; from then on this copy leads.
    async fn write(&mut self, version: Option<String>, spec: LeaseSpec) -> Result<(), ApiError> {
        let sent = Moment::now(&self.clock);
        self.took.clone_from(&spec.acquire_time);
        let written = self.put(PATIENCE, version, &spec).await?;
        self.failing = false;
        self.seen = Some(Seen {
            version: written.metadata.resource_version,
            spec,
            since: Instant::now(),
        });
        if self.leads {
            self.fence.renewed(sent);
        } else {
            (self.leads, self.led) = (true, true);
            self.fence.won(&self.identity, sent);
            let lease = &self.called;
            tracing::info!(lease, "leads: this copy acts (lease {lease})");
        }
        Ok(())
    }

    async fn put(&self, within: Duration, version: Option<String>, spec: &LeaseSpec) -> Result<Lease, ApiError> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: version.clone(),
                ..ObjectMeta::default()
            },
            spec: Some(spec.clone()),
        };
        let params = PostParams::default();
        match version {
            Some(_) => self.ask(within, self.leases.replace(&self.name, &params, &lease)).await,
            None => self.ask(within, self.leases.create(&params, &lease)).await,
        }
    }

    async fn ask<T>(&self, within: Duration, request: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
        match timeout(within, request).await {
            Ok(answer) => answer.map_err(classify),
            Err(_) => Err(ApiError::Unsure(format!("nothing within {} s", within.as_secs()))),
        }
    }

    /// Gives the lease back, so that another copy leads at once. Nothing passes the fence any more.
    async fn release(&mut self) {
        let Some(seen) = self.seen.take().filter(|_| self.leads) else {
            return;
        };
        self.fence.lost(None);
        let nobody = LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            ..self.renewed(&seen.spec)
        };
        match self.put(FAREWELL, seen.version, &nobody).await {
            Ok(_) => tracing::info!(lease = self.called, "the lease is given back"),
            Err(why) => tracing::warn!(
                lease = self.called,
                "the lease is not given back, it ends by itself: {why}"
            ),
        }
    }

    /// Says once what does not work. The fence closes by itself.
    fn fails(&mut self, what: &str, why: &ApiError) -> Duration {
        if !std::mem::replace(&mut self.failing, true) {
            let (lease, help) = (&self.called, help(why));
            tracing::warn!(
                lease,
                "cannot {what} the lease {lease}, trying again; without it nothing is written: {why}{help}"
            );
        }
        jittered(LOOK)
    }
}

/// What a person can do about it.
const fn help(why: &ApiError) -> &'static str {
    match why {
        ApiError::NotFound(_) => " (leaderElection.namespace in the settings must exist)",
        ApiError::Refused(_) => {
            " (deploy/base/role.yaml grants what is needed; leaderElection in the settings says where the lease is)"
        }
        ApiError::Unsure(_) | ApiError::Invalid(_) | ApiError::Exists(_) => "",
    }
}

/// Up to a fifth longer, so that copies do not go in step.
fn jittered(length: Duration) -> Duration {
    let fraction = u32::try_from(chance() % 200).unwrap_or(0);
    length + length * fraction / 1000
}

fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The pod's name and UID, so that a container that starts again in its pod is the same; elsewhere the host's name, and chance.
fn own_name(env: impl Fn(&str) -> Option<String>) -> String {
    if let (Some(name), Some(uid)) = (env("POD_NAME"), env("POD_UID")) {
        return format!("{name}_{uid}");
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = Some(host.trim()).filter(|host| !host.is_empty()).unwrap_or("modosu");
    format!("{host}_{:016x}", chance())
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
