//! Pure. Hard facts: what the cluster's own objects say, and traffic that is gone. They need no statistics.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Context, Finding,
    memory::{self, Memory},
    policy::{Policy, Source},
    traffic::Told,
    view::{Latest, Place},
};
use crate::model::{guard::Action, incident::Evidence};

/// Every hard fact that holds.
pub fn hard_facts(policy: &Policy, memory: &mut Memory, context: &Context<'_>) -> Vec<Finding> {
    let gone = memory.traffic.gone(rate(policy, memory).1, context.rolled_out);
    let said = [
        &context.facts.crash_looping,
        &context.facts.progress_deadline_exceeded,
        &gone,
    ];
    let clocks = memory.facts.iter_mut().zip(&mut memory.no_facts);
    let mut findings = Vec::new();
    for ((name, sentence), (since, not_since)) in memory::FACTS.into_iter().zip(said).zip(clocks) {
        let (Some(sentence), Some(action)) = (sentence, action(policy, name)) else {
            *since = None;
            not_since.get_or_insert(context.now);
            continue;
        };
        *not_since = None;
        let since = *since.get_or_insert(context.now);
        findings.push(hard_fact(policy, name, action, sentence.clone(), Some(since)));
    }
    findings
}

/// One that holds since then, with the grade that its action has by default.
pub fn hard_fact(policy: &Policy, name: &str, action: Action, sentence: String, since: Option<Timestamp>) -> Finding {
    let grade = policy
        .scheme
        .default_for(action)
        .map_or("", |grade| grade.name.as_str());
    Finding {
        name: name.to_owned(),
        action,
        grade: grade.to_owned(),
        rank: policy.scheme.rank(grade),
        hard_fact: true,
        evidence: Evidence {
            name: name.to_owned(),
            condition: name.to_owned(),
            sentence,
            grade: grade.to_owned(),
            since,
            ..Evidence::default()
        },
    }
}

/// Lost traffic is for people, whatever the others lead to: nights, switches and renamed metrics look alike.
fn action(policy: &Policy, fact: &str) -> Option<Action> {
    if fact == memory::TRAFFIC_GONE {
        policy.hard_facts.map(|_| Action::AlertAndManualReview)
    } else {
        policy.hard_facts
    }
}

/// The place of the first signal that is a rate, and its baseline.
fn rate(policy: &Policy, memory: &Memory) -> (Option<usize>, Option<f64>) {
    let mut signals = policy.signals.iter();
    let place = signals.position(|signal| matches!(signal.source, Source::Rate { .. }));
    (
        place,
        place.and_then(|place| memory.baselines.get(place).copied().flatten()),
    )
}

/// Takes a reading in; `counted`: it has new counts.
pub fn count_traffic(policy: &Policy, memory: &mut Memory, counted: bool) {
    let Some(place) = rate(policy, memory).0 else { return };
    let Some(Place::Rate { column }) = memory.places.get(place).copied() else {
        return;
    };
    match memory.latest.get(place) {
        Some(Latest::Counted) if counted => {
            let cell = memory.history.last(column);
            memory.traffic.count(cell.count.all, cell.seconds);
        }
        Some(Latest::Counted) => {}
        Some(Latest::Value { .. } | Latest::Unknown(_)) | None => memory.traffic.lose(),
    }
}

impl Memory {
    /// The counter whose rate is low, and for how long: Prometheus is to be asked whether its targets are up, and what
    /// goes on around it.
    pub fn low_traffic<'a>(&self, policy: &'a Policy) -> Option<(&'a str, Duration)> {
        policy.hard_facts?;
        let (place, baseline) = rate(policy, self);
        let low = self.traffic.asks_now(baseline)?;
        match &policy.signals.get(place?)?.source {
            Source::Rate { counter } => Some((counter, low)),
            Source::Bad { .. }
            | Source::Good { .. }
            | Source::Complement { .. }
            | Source::Quantile { .. }
            | Source::Gauge { .. }
            | Source::Alerts { .. } => None,
        }
    }

    /// What Prometheus said; nothing where it did not answer.
    pub const fn tell_traffic(&mut self, told: Option<Told>) {
        self.traffic.tell(told);
    }
}
