//! One pod's life: waiting, running, crashing, backing off, ending.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::Value;

use super::{env, status};
use crate::{
    api::writing::Cluster,
    app::{Behaviour, Settings, traffic::Traffic},
    clock::later,
    json::text,
    store::Key,
};

/// An image whose name holds this cannot be pulled.
const BAD_IMAGE: &str = "does-not-exist";
/// From a container's start to its first readiness probe.
const PROBE: Duration = Duration::from_millis(200);
/// The kubelet forgets failures after a container ran this long.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// Where a pod is in its life.
#[derive(Clone, Debug)]
pub(crate) enum Life {
    /// The first container does not run; it is tried (again) at `until`.
    Waiting { reason: &'static str, until: Timestamp },
    /// It runs, until it crashes; at `probe_at` the readiness probe is asked for the first time.
    Running {
        since: Timestamp,
        ready: bool,
        probe_at: Option<Timestamp>,
        crash_at: Option<Timestamp>,
    },
    /// It was deleted and is gone at `at`.
    Ending { at: Timestamp },
}

/// How a container ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
}

/// One pod of the node.
pub(crate) struct Pod {
    pub(crate) key: Key,
    /// Namespace and job.
    pub(crate) service: (String, String),
    pub(crate) ip: String,
    pub(crate) port: i64,
    pub(crate) hash: String,
    pub(crate) seed: u64,
    pub(crate) life: Life,
    pub(crate) restarts: u32,
    pub(crate) failures: u32,
    pub(crate) ended: Option<Ended>,
    /// What the service's environment said when its container last started.
    pub(crate) own: Settings,
    /// Present while the service's container runs.
    pub(crate) traffic: Option<Traffic>,
}

impl Pod {
    pub(crate) fn due_at(&self) -> Option<Timestamp> {
        match &self.life {
            Life::Waiting { until, .. } => Some(*until),
            Life::Running { crash_at, probe_at, .. } => crash_at.iter().chain(probe_at).min().copied(),
            Life::Ending { at } => Some(*at),
        }
    }

    /// Whether a container of the pod ever ran: from then on the pod has an address.
    pub(crate) fn was_started(&self) -> bool {
        self.traffic.is_some() || self.ended.is_some()
    }

    /// The labels of the pod as a target.
    pub(crate) fn labels(&self) -> Vec<(String, String)> {
        let pairs = [
            ("instance", format!("{}:{}", self.ip, self.port)),
            ("job", self.service.1.clone()),
            ("namespace", self.service.0.clone()),
            ("pod", self.key.name.clone()),
            ("pod_template_hash", self.hash.clone()),
        ];
        let filled = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        filled.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The next thing that is due.
    pub(crate) fn step(&mut self, cluster: &mut Cluster, behaviour: Option<&Behaviour>, now: Timestamp) {
        match self.life {
            Life::Waiting { reason, .. } => self.start(cluster, reason, behaviour, now),
            Life::Running { since, crash_at, .. } if crash_at.is_some_and(|at| at <= now) => self.crash(since, now),
            Life::Running { .. } => self.probe(now),
            Life::Ending { .. } => {
                cluster.store.remove(&self.key);
                return;
            }
        }
        if let Life::Waiting { until, .. } = self.life
            && until <= now
        {
            return self.step(cluster, behaviour, now);
        }
        self.report(cluster, now);
    }

    /// Follows a changed behaviour at once.
    pub(crate) fn behave(&mut self, cluster: &mut Cluster, behaviour: Option<&Behaviour>, now: Timestamp) {
        let (
            Some(traffic),
            Life::Running {
                ready,
                probe_at,
                crash_at,
                ..
            },
        ) = (&mut self.traffic, &mut self.life)
        else {
            return;
        };
        let settings = self.own.with(behaviour);
        let crashes_now = behaviour.is_some_and(|behaviour| behaviour.crash == Some(true));
        *crash_at = match settings.crash_after {
            _ if crashes_now => Some(now),
            None => None,
            Some(_) => *crash_at,
        };
        *ready = probe_at.is_none() && !settings.never_ready;
        traffic.change(now, *ready, settings);
        self.report(cluster, now);
    }

    fn probe(&mut self, now: Timestamp) {
        if let (Some(traffic), Life::Running { ready, probe_at, .. }) = (&mut self.traffic, &mut self.life) {
            let settings = traffic.settings().clone();
            *probe_at = None;
            *ready = !settings.never_ready;
            traffic.change(now, *ready, settings);
        }
    }

    /// The pod was deleted.
    pub(crate) fn end(&mut self, now: Timestamp, at: Timestamp) {
        if matches!(self.life, Life::Ending { .. }) {
            return;
        }
        self.life = Life::Ending { at };
        if let Some(traffic) = &mut self.traffic {
            let settings = traffic.settings().clone();
            traffic.change(now, false, settings);
        }
    }

    fn start(&mut self, cluster: &mut Cluster, reason: &'static str, behaviour: Option<&Behaviour>, now: Timestamp) {
        let Some(object) = cluster.store.get(&self.key).cloned() else {
            return;
        };
        let container = object.pointer("/spec/containers/0").cloned().unwrap_or_default();
        if text(&container, "/image").contains(BAD_IMAGE) {
            return self.cannot_pull(reason, now);
        }
        let env = match env::resolved(&cluster.store, &object, &container) {
            Ok(env) => env,
            Err(_) => {
                let until = later(now, Duration::from_secs(10));
                self.life = Life::Waiting {
                    reason: "CreateContainerConfigError",
                    until,
                };
                return;
            }
        };
        if self.ended.is_some() {
            self.restarts += 1;
        }
        self.run(&env, first_probe(&container), behaviour, now);
    }

    fn run(
        &mut self,
        env: &BTreeMap<String, String>,
        first_probe: Option<Duration>,
        behaviour: Option<&Behaviour>,
        now: Timestamp,
    ) {
        self.own = Settings::of(env);
        let mut settings = self.own.with(behaviour);
        if self.restarts < settings.crashes {
            settings.crash_after = Some(Duration::ZERO);
        }
        let probe_at = first_probe.map(|after| later(now, after));
        let ready = probe_at.is_none();
        let crash_at = settings.crash_after.map(|after| later(now, after));
        self.life = Life::Running {
            since: now,
            ready,
            probe_at,
            crash_at,
        };
        let seed = self.seed.wrapping_add(self.restarts.into());
        let mut traffic = Traffic::new(settings.clone(), now, seed);
        traffic.change(now, ready, settings);
        self.traffic = Some(traffic);
    }

    /// `ErrImagePull` and `ImagePullBackOff` take turns.
    fn cannot_pull(&mut self, reason: &'static str, now: Timestamp) {
        let (reason, wait) = match reason {
            "ErrImagePull" => {
                self.failures += 1;
                ("ImagePullBackOff", back_off(self.failures))
            }
            _ => ("ErrImagePull", Duration::from_secs(1)),
        };
        self.life = Life::Waiting {
            reason,
            until: later(now, wait),
        };
    }

    /// The container ended by itself: the first restart is at once, later ones wait.
    fn crash(&mut self, since: Timestamp, now: Timestamp) {
        if now >= later(since, FORGIVEN_AFTER) {
            self.failures = 0;
        }
        self.traffic = None;
        self.ended = Some(Ended {
            started: since,
            finished: now,
        });
        let wait = if self.failures == 0 {
            Duration::ZERO
        } else {
            back_off(self.failures)
        };
        self.failures += 1;
        self.life = Life::Waiting {
            reason: "CrashLoopBackOff",
            until: later(now, wait),
        };
    }

    pub(crate) fn report(&self, cluster: &mut Cluster, now: Timestamp) {
        cluster.change(&self.key, "status", |object| status::write(self, object, now));
    }
}

/// How long after its start a container is first asked whether it is ready; without a probe it is ready at once.
fn first_probe(container: &Value) -> Option<Duration> {
    let probe = container.get("readinessProbe")?;
    let delay = crate::json::number(probe, "/initialDelaySeconds").unwrap_or(0);
    Some(Duration::from_secs(delay.unsigned_abs()) + PROBE)
}

/// 10 s, 20 s, 40 s … 300 s.
fn back_off(failures: u32) -> Duration {
    Duration::from_secs(300.min(10 << failures.saturating_sub(1).min(5)))
}

/// The first container of a pod.
pub(crate) fn containers(object: &Value) -> &[Value] {
    crate::json::list(object, "/spec/containers")
}
