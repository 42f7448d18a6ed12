//! Pure. What must hold before anything is written. Where it does not, people decide; who then says `rollback` overrules it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Input, Step, WhyNot, deadlines, progress::people_decide, recovered::unmark};
use crate::model::incident::{Before, Checked, Decision, IncidentStatus};

/// Whether the present plan took a step: from there on its checks are past.
pub fn begun(status: &IncidentStatus) -> bool {
    let mut steps = status.journal.iter().filter(|entry| entry.is_step());
    steps.any(|entry| entry.seq > status.plan_from)
}

/// Another attempt is checked anew, unless a person overruled it.
pub fn anew(status: &mut IncidentStatus) {
    if outcome(status) != Some(Checked::Overruled) {
        status.before = None;
    }
}

/// Leaves it to people where a check failed. Gives whether that is so.
pub fn holds_back(input: &Input, status: &mut IncidentStatus, step: &mut Step) -> bool {
    match (outcome(status), &input.clocks.unmet) {
        (Some(Checked::Held | Checked::Overruled), _) | (None, None) => return false,
        (None, Some(why)) => failed(status, input.now, why.clone()),
        (Some(Checked::Failed), _) => {}
    }
    if let Some(case) = input.case {
        unmark(case, status, step);
    }
    let output = status.before.as_ref().and_then(|before| before.output.clone());
    people_decide(input, status, WhyNot::CheckFailed(output.unwrap_or_default()), step);
    true
}

/// Notes that a check failed.
pub fn failed(status: &mut IncidentStatus, now: jiff::Timestamp, why: String) {
    deadlines::note(status, now, format!("a check before the first write failed: {why}"));
    status.before = Some(Before {
        outcome: Checked::Failed,
        output: Some(why),
    });
}

/// Notes that all of them held.
pub fn held(status: &mut IncidentStatus, now: jiff::Timestamp) {
    deadlines::note(status, now, "the checks before the first write hold".to_owned());
    status.before = Some(Before {
        outcome: Checked::Held,
        output: None,
    });
}

/// A person decides to roll back although a check failed.
pub fn overrule(status: &mut IncidentStatus, decision: &Decision, now: jiff::Timestamp) {
    let Some(before) = status
        .before
        .as_mut()
        .filter(|before| before.outcome == Checked::Failed)
    else {
        return;
    };
    before.outcome = Checked::Overruled;
    let by = decision.by.as_deref().unwrap_or("somebody");
    let why = before.output.clone().unwrap_or_default();
    deadlines::note(status, now, format!("{by} rolls back although a check failed: {why}"));
}

fn outcome(status: &IncidentStatus) -> Option<Checked> {
    status.before.as_ref().map(|before| before.outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing() -> IncidentStatus {
        let mut status = IncidentStatus::default();
        failed(
            &mut status,
            jiff::Timestamp::UNIX_EPOCH,
            "`backup` does not hold".into(),
        );
        status
    }

    #[test]
    fn another_attempt_is_checked_anew_unless_a_person_overruled_it() {
        let mut status = failing();
        anew(&mut status);
        assert_eq!(status.before, None);

        let mut status = failing();
        let sam = Decision {
            by: Some("sam".into()),
            ..Decision::default()
        };
        overrule(&mut status, &sam, jiff::Timestamp::UNIX_EPOCH);
        anew(&mut status);
        assert_eq!(outcome(&status), Some(Checked::Overruled));
        let notes: Vec<_> = status
            .journal
            .iter()
            .filter_map(|entry| entry.note.as_deref())
            .collect();
        assert_eq!(
            notes,
            [
                "a check before the first write failed: `backup` does not hold",
                "sam rolls back although a check failed: `backup` does not hold"
            ]
        );
        assert!(!begun(&status), "notes are no steps");
    }

    #[test]
    fn what_did_not_fail_cannot_be_overruled() {
        let mut status = IncidentStatus::default();
        overrule(&mut status, &Decision::default(), jiff::Timestamp::UNIX_EPOCH);
        assert_eq!((status.before, status.journal.len()), (None, 0));
    }
}
