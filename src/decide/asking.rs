//! Pure. A plan that waits for a person: who is asked, until somebody says that it is done or the step's time is over.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use jiff::Timestamp;

use super::{Happened, Input, Step, between, plan::step_of};
use crate::model::{
    grade::Scheme,
    incident::{ASK, Decision, IncidentStatus, JournalEntry},
};

/// Shows who is asked; told once.
pub fn asks(input: &Input, status: &mut IncidentStatus, step: &mut Step) {
    let Some(words) = status.asked().and_then(|entry| entry.note.clone()) else {
        return;
    };
    if status.reason == words {
        return;
    }
    let planned = status.next_place().and_then(|place| status.plan.get(place));
    let asked = planned.and_then(|planned| step_of(planned, &input.policy.steps)?.ask.as_ref());
    status.decider = asked.map(|asked| asked.role.clone()).or(status.decider.take());
    status.reason.clone_from(&words);
    step.happened.push(Happened::PersonAsked { words });
}

/// A person says that it is done. Gives whether anything was asked.
pub fn answer(input: &Input, decision: &Decision, status: &mut IncidentStatus) -> bool {
    let Some(seq) = status.asked().map(|entry| entry.seq) else {
        return false;
    };
    let by = decision.by.as_deref().unwrap_or("somebody");
    let why = decision.reason.as_ref().map(|why| format!(": {why}"));
    over(status, &input.policy.scheme);
    status.journal.push(JournalEntry {
        seq,
        at: input.now,
        intent: None,
        receipt: Some("done".to_owned()),
        target: None,
        resource_version: None,
        note: Some(format!("{by} says it is done{}", why.unwrap_or_default())),
    });
    true
}

/// Nobody is asked for this step any more.
pub fn over(status: &mut IncidentStatus, scheme: &Scheme) {
    if status.asked().is_some() {
        back_to_grade(status, scheme);
        status.reason = "the plan goes on".to_owned();
    }
}

/// Who is asked is again what the grade and its chain say.
pub fn back_to_grade(status: &mut IncidentStatus, scheme: &Scheme) {
    let missed = status.missed.iter().rev().filter(|missed| missed.grade == status.grade);
    let last = missed.filter_map(|missed| missed.role.clone()).next();
    let graded = || scheme.find(&status.grade).map(|grade| grade.decider.clone());
    status.decider = last.or_else(graded);
}

/// How long people were waited for since the plan began or went on.
pub fn waited(status: &IncidentStatus, now: Timestamp) -> Duration {
    waited_since(status, status.acting_since.unwrap_or(Timestamp::MIN), now)
}

/// The same from then on.
pub fn waited_since(status: &IncidentStatus, since: Timestamp, now: Timestamp) -> Duration {
    let own = status.journal.iter().filter(|entry| entry.seq > status.plan_from);
    let asked = own.filter(|entry| entry.intent.as_deref() == Some(ASK));
    let took = asked.map(|intent| {
        let mut same = status.journal.iter().filter(|entry| entry.seq == intent.seq);
        let receipt = same.find(|entry| entry.receipt.is_some());
        between(since.max(intent.at), receipt.map_or(now, |entry| entry.at))
    });
    took.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::incident::PlannedStep;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn entry(seq: u32, seconds: i64, intent: Option<&str>) -> JournalEntry {
        JournalEntry {
            seq,
            at: at(seconds),
            intent: intent.map(str::to_owned),
            receipt: intent.is_none().then(|| "done".to_owned()),
            target: None,
            resource_version: None,
            note: intent.map(|_| "asks tech-lead: move the alias".to_owned()),
        }
    }

    fn status(journal: Vec<JournalEntry>) -> IncidentStatus {
        let step = |step: &str| PlannedStep {
            step: step.to_owned(),
            ..PlannedStep::default()
        };
        IncidentStatus {
            plan: vec![step("setEnv"), step(ASK), step(ASK)],
            journal,
            ..IncidentStatus::default()
        }
    }

    #[test]
    fn only_the_present_step_is_asked_for_and_only_once_it_is_reached() {
        let mut status = status(vec![entry(1, 5, Some("setEnv"))]);
        assert_eq!(status.asked(), None);
        status.journal.push(entry(1, 6, None));
        assert_eq!(status.asked(), None, "its intent is not written yet");
        status.journal.push(entry(2, 7, Some(ASK)));
        assert_eq!(status.asked().map(|entry| entry.seq), Some(2));
        status.journal.push(entry(2, 8, None));
        assert_eq!(status.asked(), None);
    }

    #[test]
    fn the_time_of_people_is_counted_for_each_of_them_and_never_twice() {
        let first = [entry(1, 5, Some("setEnv")), entry(1, 6, None)];
        let asked = [entry(2, 10, Some(ASK)), entry(2, 40, None), entry(3, 50, Some(ASK))];
        let mut status = status(first.into_iter().chain(asked).collect());
        assert_eq!(waited(&status, at(60)), Duration::from_secs(30 + 10));
        // What was before it went on stands in the time until then.
        status.acting_since = Some(at(30));
        assert_eq!(waited(&status, at(60)), Duration::from_secs(10 + 10));
        status.plan_from = 3;
        assert_eq!(waited(&status, at(60)), Duration::ZERO, "an earlier plan's");
    }
}
