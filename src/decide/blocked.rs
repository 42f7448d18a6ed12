//! Pure. An open incident while its guard's targets cannot be seen: what people decide is followed as far as that needs no
//! look at them, and one whose target was deleted is over.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use jiff::Timestamp;

use super::{Case, Happened, decided};
use crate::{
    model::{
        guard::{BadState, GuardStatus, KeptState, TargetRef},
        incident::{IncidentState, IncidentStatus, Verb},
    },
    verify,
};

/// Follows a decision that was not followed yet, where `why` nothing can be seen. Gives what happened.
pub fn follow(
    case: Case,
    status: &mut IncidentStatus,
    record: &mut GuardStatus,
    why: &str,
    now: Timestamp,
) -> Vec<Happened> {
    let Some((verb, decision)) = decided::news(case, status) else {
        return Vec::new();
    };
    status.decided = Some(decision.clone());
    let (state, followed) = match verb {
        Verb::Keep => (IncidentState::Kept, Happened::Kept),
        Verb::Abandon => (IncidentState::Abandoned, Happened::Abandoned),
        Verb::Freeze => {
            let freeze = decided::freeze(case.name, decision, now);
            status.freeze = Some(freeze.clone());
            return vec![Happened::Decided(decision.clone()), Happened::Frozen(freeze)];
        }
        Verb::Rollback | Verb::Resume | Verb::Done => {
            let because = why.to_owned();
            return vec![Happened::Decided(decision.clone()), Happened::CannotFollow { because }];
        }
    };
    let hash = &case.spec.bad.hash;
    record.kept.retain(|kept| kept.hash != *hash);
    record.kept.push(KeptState {
        hash: hash.clone(),
        at: now,
        incident: case.name.to_owned(),
    });
    end(status, record, state, &followed, now);
    vec![Happened::Decided(decision.clone()), followed]
}

/// A target is gone: nothing is left to put back, or to prove. Its state was left while it hurt.
pub fn target_deleted(
    case: Case,
    status: &mut IncidentStatus,
    record: &mut GuardStatus,
    target: &TargetRef,
    now: Timestamp,
) -> Happened {
    let hash = &case.spec.bad.hash;
    if !record.bad.iter().any(|bad| bad.hash == *hash) {
        record.bad.push(BadState {
            hash: hash.clone(),
            at: now,
            incident: Some(case.name.to_owned()),
            rolled_back: false,
            until: None,
            returned: false,
            pushed: Vec::new(),
            changed: Vec::new(),
        });
    }
    let happened = Happened::TargetDeleted {
        target: target.to_string(),
        halfway: verify::may_have_written(status),
    };
    end(status, record, IncidentState::Abandoned, &happened, now);
    happened
}

fn end(
    status: &mut IncidentStatus,
    record: &mut GuardStatus,
    state: IncidentState,
    happened: &Happened,
    now: Timestamp,
) {
    status.state = Some(state);
    status.reason = happened.to_string();
    status.closed_at = Some(now);
    record.incident = None;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::incident::{Decision, IncidentSpec};

    fn spec(verb: Option<Verb>) -> IncidentSpec {
        let bad = serde_json::json!({"guard": "orders", "firstBadAt": "2026-03-01T00:00:00Z", "openedAt": "2026-03-01T00:00:00Z",
            "grade": "Critical", "action": "automatic_rollback", "triggers": [], "bad": {"hash": "b"}});
        IncidentSpec {
            decision: verb.map(|verb| Decision {
                verb: Some(verb),
                ..Decision::default()
            }),
            ..serde_json::from_value(bad).unwrap()
        }
    }

    fn open() -> IncidentStatus {
        IncidentStatus {
            state: Some(IncidentState::AwaitingDecision),
            ..IncidentStatus::default()
        }
    }

    fn followed(verb: Verb) -> (IncidentStatus, GuardStatus, Vec<Happened>) {
        let (spec, before) = (spec(Some(verb)), open());
        let (mut status, mut record) = (open(), GuardStatus::default());
        let mut twice = Vec::new();
        for _ in 0..2 {
            let case = Case {
                name: "orders-b",
                spec: &spec,
                status: &before,
            };
            let why = "Deployment/orders cannot be read";
            twice.extend(follow(case, &mut status, &mut record, why, Timestamp::UNIX_EPOCH));
        }
        (status, record, twice)
    }

    #[test]
    fn what_needs_no_look_at_the_targets_is_followed_once() {
        let (status, record, happened) = followed(Verb::Keep);
        assert_eq!(status.state, Some(IncidentState::Kept));
        assert_eq!((record.kept.len(), happened.len()), (1, 2));
        assert_eq!(followed(Verb::Abandon).0.state, Some(IncidentState::Abandoned));
        assert!(followed(Verb::Freeze).0.freeze.is_some());
    }

    #[test]
    fn what_needs_one_says_why_it_cannot_be_followed() {
        let (status, _, happened) = followed(Verb::Rollback);
        assert_eq!(status.state, Some(IncidentState::AwaitingDecision));
        assert_eq!(
            happened.last().unwrap().to_string(),
            "the decision cannot be followed: Deployment/orders cannot be read"
        );
    }

    #[test]
    fn a_state_whose_target_was_deleted_is_never_restored() {
        let (spec, before) = (spec(None), open());
        let (mut status, mut record) = (open(), GuardStatus::default());
        let case = Case {
            name: "orders-b",
            spec: &spec,
            status: &before,
        };
        let target = "Deployment/orders".parse().unwrap();
        let happened = target_deleted(case, &mut status, &mut record, &target, Timestamp::UNIX_EPOCH);
        assert_eq!(record.bad[0].hash, "b");
        assert_eq!(status.reason, happened.to_string());
        assert!(status.closed_at.is_some() && status.reason.starts_with("Deployment/orders was deleted"));
    }
}
