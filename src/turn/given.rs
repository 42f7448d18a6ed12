//! IO. Baselines that healthy time does not give: the same time long ago, and stored benchmarks. Asked once, at the change.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;

use super::{Daemon, guarded::Guarded};
use crate::{
    decide::{baseline::wants_given, between, enter::on_probation},
    judge::{
        Context, Facts, Memory,
        policy::{Policy, Reference},
        recall,
    },
    model::reading::{Because, Reading},
    observe::{
        cache::ObjectKey,
        past::{Stretch, Wanted, numbers},
        prometheus::Prometheus,
    },
};

/// What was not there is asked for again after so long.
const AGAIN: Duration = Duration::from_secs(60);
/// The same time before: so much of it.
const AN_HOUR: Duration = Duration::from_secs(3600);
const STEP: Duration = Duration::from_secs(60);
/// It may take one time-out: all guards wait for it.
const PATIENCE: u32 = 1;

/// What was asked for guards, outside of any turn: it may take as long as it takes.
#[derive(Default)]
pub struct Benchmarks(Option<JoinHandle<Vec<Benchmark>>>);

/// One number, for the guard's policy that asked for it.
struct Benchmark {
    guard: ObjectKey,
    policy: Arc<Policy>,
    signal: String,
    query: String,
    answer: Result<f64, Because>,
}

impl Benchmarks {
    /// Nothing is under way.
    const fn rests(&self) -> bool {
        self.0.is_none()
    }

    fn ask(&mut self, prometheus: Prometheus, mut asked: Vec<Benchmark>) {
        self.0 = Some(tokio::spawn(async move {
            let queries: Vec<String> = asked.iter().map(|one| one.query.clone()).collect();
            let answers = numbers(&prometheus, &queries).await;
            for (one, answer) in asked.iter_mut().zip(answers) {
                one.answer = answer;
            }
            asked
        }));
    }

    /// Those that are answered by now.
    fn hear(&mut self) -> Vec<Benchmark> {
        let done = self.0.take_if(|asked| asked.is_finished());
        done.and_then(FutureExt::now_or_never)
            .and_then(Result::ok)
            .unwrap_or_default()
    }
}

impl Daemon {
    /// Takes in stored benchmarks that were asked for, and asks for the baselines that are wanted.
    pub(super) async fn give(&mut self) {
        let now = self.clock.now();
        for heard in self.benchmarks.hear() {
            if let Some(guarded) = self.guards.get_mut(&heard.guard) {
                guarded.answered(heard);
            }
        }
        let rests = self.benchmarks.rests();
        let due = self
            .guards
            .iter_mut()
            .filter_map(|(key, guarded)| guarded.is_due(now, rests).then(|| key.clone()));
        let keys: Vec<_> = due.collect();
        let mut wanted = BTreeMap::new();
        let mut asked = Vec::new();
        for (key, guarded) in keys.iter().filter_map(|key| Some((key, self.guards.get(key)?))) {
            if let Some(past) = guarded.before(now) {
                wanted.insert(key.clone(), past);
            }
            asked.extend(guarded.benchmarks(key));
        }
        if !asked.is_empty() {
            self.poller.queries += u32::try_from(asked.len()).unwrap_or(u32::MAX);
            self.benchmarks.ask(self.poller.prometheus.clone(), asked);
        }
        if wanted.is_empty() {
            return;
        }
        let mut past = self.poller.past(&wanted, now, PATIENCE).await.unwrap_or_default();
        for key in wanted.keys() {
            if let Some(guarded) = self.guards.get_mut(key) {
                guarded.compare_with_before(&past.remove(key).unwrap_or_default());
            }
        }
    }
}

impl Guarded {
    /// Whether a baseline is to be asked for now; not again for a minute. `rests`: benchmarks may be asked for.
    fn is_due(&mut self, now: Timestamp, rests: bool) -> bool {
        let Ok(rules) = &mut self.rules else { return false };
        let rested = rules.asked_at.is_none_or(|asked| between(asked, now) >= AGAIN);
        let may = rests || !matches!(rules.policy.reference, Reference::Query(_));
        let due = rested && may && wants_given(&self.record, &rules.policy);
        if due {
            rules.asked_at = Some(now);
        }
        due
    }

    /// The stretch of the past that is compared with: it begins so long before the change, or before now.
    fn before(&self, now: Timestamp) -> Option<Wanted> {
        let rules = self.rules.as_ref().ok()?;
        let Reference::Offset(offset) = rules.policy.reference else {
            return None;
        };
        let current = self.record.current.as_ref()?;
        let at = if on_probation(current, &rules.policy, now) {
            current.since
        } else {
            now
        };
        let from = at.checked_sub(SignedDuration::try_from(offset).ok()?).ok()?;
        let to = from.checked_add(AN_HOUR.min(offset)).ok()?;
        Some(Wanted {
            policy: rules.policy.clone(),
            stretches: vec![Stretch {
                from,
                to: Some(to),
                step: STEP.min(offset),
            }],
            closely: false,
        })
    }

    fn benchmarks(&self, key: &ObjectKey) -> Vec<Benchmark> {
        let Some(policy) = self.policy() else { return Vec::new() };
        let queries = match &policy.reference {
            Reference::Query(queries) => queries.clone(),
            Reference::Healthy | Reference::Offset(_) | Reference::Fixed(_) => return Vec::new(),
        };
        let benchmark = |(signal, query)| Benchmark {
            guard: key.clone(),
            policy: policy.clone(),
            signal,
            query,
            answer: Err(Because::WarmingUp),
        };
        queries.into_iter().map(benchmark).collect()
    }

    /// An answer to a wish that the owner has changed meanwhile is nobody's.
    fn answered(&mut self, heard: Benchmark) {
        let Ok(rules) = &mut self.rules else { return };
        if !Arc::ptr_eq(&rules.policy, &heard.policy) {
            return;
        }
        match heard.answer {
            Ok(number) => {
                self.given.insert(heard.signal, number);
            }
            Err(why) => rules
                .memory
                .baseline_waits_for(format!("its query gave none ({why}), asked again every minute")),
        }
    }

    /// The healthy part of a stretch of the past.
    fn compare_with_before(&mut self, past: &[Reading]) {
        let Ok(rules) = &mut self.rules else { return };
        let mut memory = Memory::new(&rules.policy);
        let begin = past.first().and_then(|first| first.at.checked_sub(first.span).ok());
        let since = begin.unwrap_or(Timestamp::MIN);
        let facts = Facts::default();
        let context = Context {
            now: past.last().map_or(since, |last| last.at),
            since,
            baseline: None,
            facts: &facts,
            rolled_out: true,
        };
        recall(&rules.policy, &mut memory, past, Some(since), &context);
        match memory.baseline(&rules.policy) {
            Some(values) => self.given = values,
            None => {
                let why = memory.baseline_lacks();
                rules
                    .memory
                    .baseline_waits_for(format!("too little is known of that time before: {why}"));
            }
        }
    }
}
