//! IO. Baselines that healthy time does not give: the same time long ago, and stored benchmarks. Asked once, at the change.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{Daemon, guarded::Guarded};
use crate::{
    decide::{baseline::wants_given, between, enter::on_probation},
    judge::{Context, Facts, Memory, policy::Reference, recall},
    model::reading::Reading,
    observe::past::{Stretch, Wanted},
};

/// What was not there is asked for again after so long.
const AGAIN: Duration = Duration::from_secs(60);
/// The same time before: so much of it.
const AN_HOUR: Duration = Duration::from_secs(3600);
const STEP: Duration = Duration::from_secs(60);

impl Daemon {
    /// Asks for the baselines that are wanted.
    pub(super) async fn give(&mut self) {
        let now = self.clock.now();
        let due = self
            .guards
            .iter_mut()
            .filter_map(|(key, guarded)| guarded.is_due(now).then(|| key.clone()));
        let keys: Vec<_> = due.collect();
        let mut wanted = BTreeMap::new();
        let (mut asked, mut queries) = (Vec::new(), Vec::new());
        for (key, guarded) in keys.iter().filter_map(|key| Some((key, self.guards.get(key)?))) {
            if let Some(past) = guarded.before(now) {
                wanted.insert(key.clone(), past);
            }
            for (name, query) in guarded.queries() {
                asked.push((key, name));
                queries.push(query);
            }
        }
        let answers = self.poller.numbers(&queries).await;
        for ((key, name), answer) in asked.into_iter().zip(answers) {
            if let Some(guarded) = self.guards.get_mut(key) {
                guarded.answered(name, answer.map_err(|because| because.to_string()));
            }
        }
        if wanted.is_empty() {
            return;
        }
        let mut past = self.poller.past(&wanted, now).await.unwrap_or_default();
        for key in wanted.keys() {
            if let Some(guarded) = self.guards.get_mut(key) {
                guarded.compare_with_before(&past.remove(key).unwrap_or_default());
            }
        }
    }
}

impl Guarded {
    /// Whether a baseline is to be asked for now; not again for a minute.
    fn is_due(&mut self, now: Timestamp) -> bool {
        let Ok(rules) = &mut self.rules else { return false };
        let rested = rules.asked_at.is_none_or(|asked| between(asked, now) >= AGAIN);
        let due = rested && wants_given(&self.record, &rules.policy);
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
        })
    }

    fn queries(&self) -> BTreeMap<String, String> {
        match self.rules.as_ref().map(|rules| &rules.policy.reference) {
            Ok(Reference::Query(queries)) => queries.clone(),
            Ok(Reference::Healthy | Reference::Offset(_) | Reference::Fixed(_)) | Err(_) => BTreeMap::new(),
        }
    }

    fn answered(&mut self, name: String, answer: Result<f64, String>) {
        let Ok(rules) = &mut self.rules else { return };
        match answer {
            Ok(number) => {
                self.given.insert(name, number);
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
