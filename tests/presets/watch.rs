//! Guards over a Prometheus: what was counted so far, what was read last, which triggers fired.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use modosu::{
    judge::{Context, Facts, Memory, judge, policy::Policy},
    model::{
        guard::{Baseline, GuardSpec},
        preset::Preset,
        reading::{Measured, Reading},
    },
    observe::{poll::Poller, prometheus::Prometheus},
};

/// A guard with nothing but its metrics.
pub fn guard(metrics: &str) -> Policy {
    let yaml = format!("targets: [{{kind: Deployment, name: orders}}]\nmetrics: {metrics}\n");
    policy(&yaml)
}

/// A guard's spec in namespace `shop`, compiled.
pub fn policy(yaml: &str) -> Policy {
    let spec: GuardSpec = serde_saphyr::from_str(yaml).unwrap_or_else(|why| panic!("{yaml}: {why}"));
    Policy::compile("shop", &spec, &Preset::shipped()).unwrap_or_else(|wrong| panic!("{yaml}: {wrong:?}"))
}

/// One guard, watched.
#[derive(Debug)]
pub struct Watched {
    pub policy: Arc<Policy>,
    memory: Memory,
    pub baseline: Option<Baseline>,
    /// Sums of what was counted, by signal: bad and total, or nothing and events.
    pub sums: BTreeMap<String, (f64, f64)>,
    pub last: Option<Reading>,
    pub fired: BTreeSet<String>,
    /// Of the triggers, for messages.
    pub said: Vec<String>,
}

/// All guards over one Prometheus.
pub struct Watch {
    poller: Poller<String>,
    since: Timestamp,
    pub guards: BTreeMap<String, Watched>,
}

impl Watch {
    pub fn new(prometheus: Prometheus, since: Timestamp, guards: impl IntoIterator<Item = (String, Policy)>) -> Self {
        let watched = |(name, policy): (String, Policy)| {
            let watched = Watched {
                memory: Memory::new(&policy),
                policy: Arc::new(policy),
                baseline: None,
                sums: BTreeMap::new(),
                last: None,
                fired: BTreeSet::new(),
                said: Vec::new(),
            };
            (name, watched)
        };
        Self {
            poller: Poller::new(prometheus),
            since,
            guards: guards.into_iter().map(watched).collect(),
        }
    }

    pub async fn turn(&mut self, now: Timestamp) {
        let policies = self
            .guards
            .iter()
            .map(|(name, guard)| (name.clone(), guard.policy.clone()));
        let polled = self.poller.turn(&policies.collect(), now).await;
        for (name, reading) in polled.readings {
            let since = self.since;
            self.guards.get_mut(&name).unwrap().take(reading, now, since);
        }
    }
}

impl Watched {
    fn take(&mut self, reading: Reading, now: Timestamp, since: Timestamp) {
        for (signal, measured) in self.policy.signals.iter().zip(&reading.signals) {
            let (bad, total) = match measured {
                Measured::Counts { bad, total } => (*bad, *total),
                Measured::Events(events) => (0.0, *events),
                Measured::Value { .. } | Measured::Timed { .. } | Measured::Unknown(_) => continue,
            };
            let sum = self.sums.entry(signal.name.clone()).or_default();
            *sum = (sum.0 + bad, sum.1 + total);
        }
        let context = Context {
            now,
            since,
            baseline: self.baseline.as_ref(),
            facts: &Facts::default(),
            rolled_out: true,
        };
        let verdict = judge(&self.policy, &mut self.memory, Some(&reading), &context);
        self.fired
            .extend(verdict.firing.iter().map(|finding| finding.name.clone()));
        self.said = verdict
            .named_triggers()
            .map(|(name, t)| format!("{name}: {:?}", t.status))
            .collect();
        self.last = Some(reading);
    }

    /// What the signal of that name was read as.
    pub fn read(&self, signal: &str) -> &Measured {
        let place = self
            .policy
            .signal(signal)
            .unwrap_or_else(|| panic!("no signal {signal}"));
        &self.last.as_ref().unwrap().signals[place]
    }
}
