//! Pure. What is shown of a guard: its state and its conditions.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::enter::on_probation;
use crate::{
    judge::{Overall, Status, Verdict, policy::Policy},
    model::{
        guard::{GuardStatus, State},
        incident::{IncidentState, IncidentStatus},
    },
};

/// A guard that is blind for so long says so in its conditions.
pub const BLIND_AFTER: Duration = Duration::from_secs(60);

/// Where the guard stands. `Suspect` is for pages; `written` gives what stands in the status.
pub fn state(
    record: &GuardStatus,
    case: Option<&IncidentStatus>,
    verdict: &Verdict,
    policy: &Policy,
    now: Timestamp,
) -> State {
    if record.freeze.is_some() {
        return State::Frozen;
    }
    match case.and_then(|case| case.state) {
        Some(IncidentState::AwaitingDecision) => State::AwaitingDecision,
        Some(IncidentState::RollingBack) => State::RollingBack,
        Some(IncidentState::Verifying) => State::Verifying,
        Some(IncidentState::Escalated) => State::Escalated,
        Some(_) | None => {
            let suspect = verdict.triggers.iter().any(|trigger| match trigger.status {
                Status::Suspect { .. } | Status::Firing { .. } => true,
                Status::Quiet | Status::NotArmed(_) | Status::Unknown(_) => false,
            });
            if suspect {
                State::Suspect
            } else {
                at_rest(record, policy, now)
            }
        }
    }
}

/// The state that is written: Suspect comes and goes with readings and is shown on pages only.
pub fn written(shown: State, record: &GuardStatus, policy: &Policy, now: Timestamp) -> State {
    if shown == State::Suspect {
        at_rest(record, policy, now)
    } else {
        shown
    }
}

fn at_rest(record: &GuardStatus, policy: &Policy, now: Timestamp) -> State {
    match &record.current {
        None => State::NotReady,
        Some(current) if on_probation(current, policy, now) => State::Probation,
        Some(_) => State::Steady,
    }
}

/// The guard's conditions, transition times kept where the status did not change.
pub fn conditions(before: &[Condition], generation: Option<i64>, now: Timestamp, news: Vec<News>) -> Vec<Condition> {
    let build = |news: News| {
        let status = match news.holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        }
        .to_owned();
        let old = before.iter().find(|old| old.type_ == news.kind && old.status == status);
        Condition {
            type_: news.kind.to_owned(),
            status,
            reason: news.reason,
            message: news.message,
            observed_generation: generation,
            last_transition_time: old.map_or(Time(now), |old| old.last_transition_time.clone()),
        }
    };
    news.into_iter().map(build).collect()
}

/// One condition's news.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    pub kind: &'static str,
    /// `None`: Unknown.
    pub holds: Option<bool>,
    pub reason: String,
    pub message: String,
}

/// Ready and watching: the conditions of a guard in order. `found`: what is no incident only because none is written. `rollback`: whether
/// one would be accepted.
pub fn watching(
    verdict: &Verdict,
    blind: Duration,
    case: Option<&IncidentStatus>,
    found: Option<&str>,
    rollback: News,
) -> Vec<News> {
    let ready = News {
        kind: "Ready",
        holds: Some(true),
        reason: "Watching".into(),
        message: String::new(),
    };
    let metrics = match &verdict.overall {
        Overall::Unknown { because } if blind >= BLIND_AFTER => {
            let (reason, message) = because.lasting();
            News {
                kind: "MetricsAvailable",
                holds: Some(false),
                reason: reason.into(),
                message: message.into_owned(),
            }
        }
        Overall::Unknown { .. } | Overall::Healthy | Overall::Breached => News {
            kind: "MetricsAvailable",
            holds: Some(true),
            reason: "Answered".into(),
            message: String::new(),
        },
    };
    let usable = usable(verdict);
    let open = case.filter(|case| case.state.is_some_and(IncidentState::is_open));
    let (reason, message) = match (open, found) {
        (Some(case), _) => ("IncidentOpen", case.reason.as_str()),
        (None, Some(sentence)) => ("BreachFound", sentence),
        (None, None) => ("NoIncident", ""),
    };
    let degraded = News {
        kind: "Degraded",
        holds: Some(open.is_some() || found.is_some()),
        reason: reason.into(),
        message: message.to_owned(),
    };
    vec![ready, metrics, usable, rollback, degraded]
}

/// Whether a trigger can never fire because its limit lies at or below what is usual here: its owner should change it.
fn usable(verdict: &Verdict) -> News {
    let told = verdict
        .named_triggers()
        .filter_map(|(name, trigger)| match &trigger.status {
            Status::NotArmed(unarmed) if unarmed.limit_below_baseline => Some(format!("{name}: {unarmed}")),
            Status::NotArmed(_)
            | Status::Quiet
            | Status::Unknown(_)
            | Status::Suspect { .. }
            | Status::Firing { .. } => None,
        });
    let told: Vec<_> = told.collect();
    News {
        kind: "TriggersUsable",
        holds: Some(told.is_empty()),
        reason: if told.is_empty() {
            "LimitsBeyondBaseline"
        } else {
            "LimitBelowBaseline"
        }
        .into(),
        message: told.join("\n"),
    }
}

/// Not ready, and why.
pub fn not_ready(reason: &str, message: String, rollback: News) -> Vec<News> {
    let ready = News {
        kind: "Ready",
        holds: Some(false),
        reason: reason.to_owned(),
        message,
    };
    vec![ready, rollback]
}
