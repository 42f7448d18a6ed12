//! Pure. Did what was done help? First the roll-out of what was written, then proof on readings made after it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    decide::{Clocks, between, plan::scale::SCALE},
    judge::policy::Policy,
    model::incident::{IncidentStatus, JournalEntry, PlannedStep},
    observe::seen::Seen,
};

/// A watch may show the state before our own write for so long.
const WATCH_LAG: Duration = Duration::from_secs(10);

/// How what was written stands in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollOut {
    /// Every target holds what the plan put there, and every workload is rolled out.
    Complete,
    /// On its way, and what is missing.
    Underway(String),
    /// A target holds something that is neither what was judged nor what the plan put there.
    Foreign,
    /// The state that hurts is there again, although it was written over.
    Undone,
}

/// Compares the plan's goals with what the watches show.
pub fn roll_out(status: &IncidentStatus, bad: &str, seen: &Seen, now: Timestamp) -> RollOut {
    let carried_out = |place: usize, step: &PlannedStep| match status.receipt_of(place) {
        Some(entry) => entry.receipt.as_deref() != Some("failed"),
        // An earlier stage ended before it.
        None => status.is_present(step),
    };
    let begun = || {
        status
            .plan
            .iter()
            .enumerate()
            .filter(|(_, step)| status.has_begun(step))
    };
    let writes = begun().filter(|(place, step)| carried_out(*place, step));
    let writes: Vec<Write> = writes.filter_map(|(_, step)| Write::of(step)).collect();
    let judged: Vec<Write> = begun().filter_map(|(_, step)| Write::of(step)).collect();
    let holds = |target: &str| {
        seen.parts
            .iter()
            .find(|(at, _)| at.to_string() == target)
            .map(|(_, hash)| hash.as_str())
    };
    let goal = |target: &str| {
        writes
            .iter()
            .rev()
            .find(|write| write.target == target)
            .map(|write| write.to)
    };
    // A ConfigMap that the present template does not use is not seen at all, which tells nothing.
    let known = |target: &str, hash: Option<&str>| {
        hash.is_none_or(|hash| {
            let mut of_target = judged.iter().filter(|write| write.target == target);
            of_target.any(|write| hash == write.from || hash == write.to)
        })
    };
    let settled = writes.iter().all(|write| holds(write.target) == goal(write.target));
    let since_write = status
        .journal
        .iter()
        .rfind(|entry| entry.is_step())
        .map_or(Duration::ZERO, |entry| between(entry.at, now));
    let changed = |(target, then): (&String, &String)| holds(target).is_some_and(|now| now != then);
    // What a later stage writes stands as it was judged until then.
    let later = status
        .plan
        .iter()
        .filter(|step| !status.has_begun(step))
        .filter_map(Write::of);
    let mut later = later.filter(|write| !judged.iter().any(|own| own.target == write.target));
    let mut untouched = Vec::new();
    let newer = writes.iter().any(|write| !known(write.target, holds(write.target)))
        || status.beside.iter().any(changed)
        || later.any(|write| {
            let first = !untouched.contains(&write.target);
            untouched.push(write.target);
            first && holds(write.target).is_some_and(|now| now != write.from)
        });
    match (&seen.rolled_out, settled) {
        _ if newer => RollOut::Foreign,
        (Ok(()), true) => RollOut::Complete,
        (Err(why), true) => RollOut::Underway(why.clone()),
        (_, false) if seen.hash == bad && since_write > WATCH_LAG => RollOut::Undone,
        (_, false) => RollOut::Underway("what was written is not seen yet".into()),
    }
}

/// What was found in the place of what was judged, where the watches had time to show it and show nothing new: such as the
/// same manifest, made anew.
pub fn stopped_by(status: &IncidentStatus, now: Timestamp) -> Option<&str> {
    let mut receipts = (0..status.plan.len()).filter_map(|place| status.receipt_of(place));
    let changed = receipts.find(|entry| entry.receipt.as_deref() == Some("changed"))?;
    (between(changed.at, now) > WATCH_LAG).then(|| changed.note.as_deref().unwrap_or_default())
}

/// Whether anything was changed, or may have been: an intent that has no receipt.
pub fn may_have_written(status: &IncidentStatus) -> bool {
    let receipt = |seq: u32| {
        let own = |entry: &&JournalEntry| entry.seq == seq && entry.is_step();
        let mut of_step = status.journal.iter().filter(own);
        of_step.find_map(|entry| entry.receipt.as_deref())
    };
    let intent = |entry: &&JournalEntry| entry.target.is_some() && entry.intent.is_some() && entry.is_step();
    let mut intents = status.journal.iter().filter(intent);
    intents.any(|intent| receipt(intent.seq).is_none_or(|word| word == "done"))
}

/// No trigger and no hard fact for `hold`, on readings made after the roll-out; and the guard's own conditions hold.
/// What is not known proves nothing: Unknown stops the clocks.
pub fn proven(clocks: &Clocks, policy: &Policy) -> bool {
    clocks.quiet >= policy.hold && clocks.verified
}

struct Write<'a> {
    target: &'a str,
    from: &'a str,
    to: &'a str,
}

impl<'a> Write<'a> {
    /// Of a content: how many replicas there are is no part of a state.
    fn of(step: &'a PlannedStep) -> Option<Self> {
        if step.step == SCALE {
            return None;
        }
        Some(Self {
            target: step.target.as_deref()?,
            from: step.from.as_deref()?,
            to: step.to.as_deref()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::model::{
        guard::TargetRef,
        incident::{PlannedStage, StageState},
    };

    fn planned() -> IncidentStatus {
        let step = PlannedStep {
            step: "restore".into(),
            target: Some("Deployment/orders".into()),
            from: Some("bad".into()),
            to: Some("good".into()),
            ..PlannedStep::default()
        };
        let at = Timestamp::UNIX_EPOCH;
        let receipt = JournalEntry {
            seq: 1,
            at,
            intent: None,
            receipt: Some("done".into()),
            target: None,
            resource_version: None,
            note: None,
        };
        IncidentStatus {
            plan: vec![step],
            journal: vec![receipt],
            ..IncidentStatus::default()
        }
    }

    fn seen(holds: &str, rolled_out: Result<(), String>) -> Seen {
        let target: TargetRef = "Deployment/orders".parse().unwrap();
        Seen {
            hash: format!("state-{holds}"),
            images: Vec::new(),
            parts: BTreeMap::from([(target, holds.to_owned())]),
            rolled_out,
            whole_since: None,
            facts: crate::judge::Facts::default(),
            shared: Vec::new(),
            gone: BTreeSet::new(),
            keeps_pods: None,
            left_out: BTreeMap::new(),
            no_way_back: Vec::new(),
            managed: Vec::new(),
        }
    }

    fn after(seconds: i64, seen: &Seen) -> RollOut {
        roll_out(&planned(), "state-bad", seen, Timestamp::from_second(seconds).unwrap())
    }

    #[test]
    fn what_a_failed_step_did_not_write_is_not_waited_for() {
        let mut status = planned();
        let second = PlannedStep {
            target: Some("Deployment/worker".into()),
            ..status.plan[0].clone()
        };
        status.plan.push(second);
        let failed = JournalEntry {
            seq: 2,
            receipt: Some("failed".into()),
            ..status.journal[0].clone()
        };
        let seen = seen("good", Ok(()));
        assert_ne!(
            roll_out(&status, "state-bad", &seen, Timestamp::UNIX_EPOCH),
            RollOut::Complete
        );
        status.journal.push(failed);
        assert_eq!(
            roll_out(&status, "state-bad", &seen, Timestamp::UNIX_EPOCH),
            RollOut::Complete
        );
    }

    fn stage(name: &str, state: StageState) -> PlannedStage {
        PlannedStage {
            name: name.to_owned(),
            state,
            within: crate::model::units::Length::minutes(5),
            ask: None,
            asked_at: None,
            since: None,
            ended_at: None,
            because: None,
        }
    }

    /// The flag of orders is switched off, then orders and a worker are put back.
    fn staged(flag_off: StageState, revert: StageState) -> IncidentStatus {
        let step = |stage: &str, target: &str, from: &str, to: &str| PlannedStep {
            stage: Some(stage.to_owned()),
            target: Some(target.to_owned()),
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
            ..planned().plan[0].clone()
        };
        IncidentStatus {
            plan: vec![
                step("flag-off", "Deployment/orders", "bad", "off"),
                step("revert", "Deployment/orders", "off", "good"),
                step("revert", "ConfigMap/settings", "1", "0"),
            ],
            stages: vec![stage("flag-off", flag_off), stage("revert", revert)],
            ..planned()
        }
    }

    fn beside(orders: &str, settings: &str) -> Seen {
        let mut seen = seen(orders, Ok(()));
        let target: TargetRef = "ConfigMap/settings".parse().unwrap();
        seen.parts.insert(target, settings.to_owned());
        seen
    }

    #[test]
    fn a_stage_is_rolled_out_when_its_own_goal_runs_and_nobody_touched_what_comes_later() {
        let now = Timestamp::from_second(1).unwrap();
        let after = |seen: &Seen| roll_out(&staged(StageState::Running, StageState::NotBegun), "b", seen, now);
        assert_eq!(after(&beside("off", "1")), RollOut::Complete);
        assert_eq!(
            after(&beside("good", "1")),
            RollOut::Foreign,
            "somebody put it back by hand"
        );
        assert_eq!(
            after(&beside("off", "2")),
            RollOut::Foreign,
            "a change of what is put back later"
        );
    }

    #[test]
    fn what_a_stage_that_failed_left_is_known_to_the_next() {
        let now = Timestamp::from_second(1).unwrap();
        let mut status = staged(StageState::Failed, StageState::Running);
        status.journal[0].receipt = Some("failed".into());
        let not_reached = PlannedStep {
            target: Some("ConfigMap/flags".into()),
            ..status.plan[0].clone()
        };
        status.plan.push(not_reached);
        let after = |orders: &str, settings: &str| roll_out(&status, "b", &beside(orders, settings), now);
        assert!(matches!(after("bad", "1"), RollOut::Underway(_)));
        assert_eq!(after("good", "0"), RollOut::Complete);
        assert_eq!(after("newer", "0"), RollOut::Foreign);
    }

    #[test]
    fn a_roll_out_is_complete_when_its_goal_runs() {
        assert_eq!(after(1, &seen("good", Ok(()))), RollOut::Complete);
        assert_eq!(
            after(1, &seen("good", Err("1 of 2".into()))),
            RollOut::Underway("1 of 2".into())
        );
    }

    #[test]
    fn the_bad_state_is_a_late_watch_at_first_and_somebodys_deed_later() {
        assert!(matches!(after(1, &seen("bad", Ok(()))), RollOut::Underway(_)));
        assert_eq!(after(11, &seen("bad", Ok(()))), RollOut::Undone);
    }

    #[test]
    fn settings_that_the_bad_template_does_not_use_are_not_foreign() {
        let mut status = planned();
        status.plan.push(PlannedStep {
            target: Some("ConfigMap/settings".into()),
            from: Some("absent".into()),
            to: Some("1".into()),
            ..status.plan[0].clone()
        });
        let after = roll_out(&status, "state-bad", &seen("bad", Ok(())), Timestamp::UNIX_EPOCH);
        assert!(matches!(after, RollOut::Underway(_)), "{after:?}");
    }

    #[test]
    fn an_intent_without_receipt_may_have_been_carried_out() {
        let entry = |intent: Option<&str>, receipt: Option<&str>| JournalEntry {
            intent: intent.map(str::to_owned),
            receipt: receipt.map(str::to_owned),
            target: Some("Deployment/orders".into()),
            ..planned().journal[0].clone()
        };
        let intent = entry(Some("restore"), None);
        let after = |receipts: &[&str]| {
            let receipts = receipts.iter().map(|word| entry(None, Some(word)));
            let journal = std::iter::once(intent.clone()).chain(receipts).collect();
            may_have_written(&IncidentStatus { journal, ..planned() })
        };
        assert!(after(&[]));
        assert!(after(&["done"]));
        assert!(!after(&["failed"]));
        assert!(!may_have_written(&planned()));
    }

    #[test]
    fn anything_else_is_foreign_at_once() {
        assert_eq!(after(1, &seen("newer", Ok(()))), RollOut::Foreign);
    }
}
