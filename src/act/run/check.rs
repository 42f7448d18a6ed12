//! IO. A Job as a check before the first write: made as a step's, once in an incident. What it came to stands in the journal,
//! also for a later attempt.

use std::time::Duration;

use super::{ApiError, Journal, Run, StepEnd, job::Wanted};
use crate::{
    decide::plan::job::of_check,
    model::{
        guard::RunJob,
        incident::{IncidentStatus, JOB_TARGET, JournalEntry, PlannedStep},
    },
};

/// What the journal calls it.
const CHECK: &str = "check";

/// How far a check is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checking {
    Holds,
    Waiting(String),
    Failed(String),
    /// Somebody stopped modosu before its Job was made.
    Frozen(String),
}

impl Run<'_> {
    /// What came of it, or of its Job so far.
    pub async fn check(
        &self,
        name: &str,
        job: &RunJob,
        timeout: Duration,
        status: &mut Journal<'_>,
    ) -> Result<Checking, ApiError> {
        let made_for = self.made_for(of_check(job), timeout);
        let planned = PlannedStep {
            step: CHECK.to_owned(),
            target: Some(format!("{JOB_TARGET}{}", made_for.name())),
            ..PlannedStep::default()
        };
        if let Some(known) = known(status, &planned) {
            return Ok(known);
        }
        let wanted = Wanted {
            made_for,
            seq: number(status, &planned),
            planned: &planned,
            note: Some(format!("{name}: {} {}", job.from, job.key)),
            template: Some(job),
        };
        Ok(match self.once(&wanted, status).await? {
            StepEnd::Done => Checking::Holds,
            // What came meanwhile the watches show.
            StepEnd::Waiting(why) | StepEnd::Superseded(why) => Checking::Waiting(why),
            StepEnd::Frozen(why) => Checking::Frozen(why),
            StepEnd::Failed(why) => {
                let note = Some(why.clone());
                self.receipt(wanted.seq, &planned, "failed", note, None, status).await?;
                Checking::Failed(why)
            }
        })
    }
}

fn own<'s>(status: &'s IncidentStatus, planned: &PlannedStep) -> impl Iterator<Item = &'s JournalEntry> {
    let target = planned.target.clone();
    status.journal.iter().filter(move |entry| entry.target == target)
}

/// What its receipt says.
fn known(status: &IncidentStatus, planned: &PlannedStep) -> Option<Checking> {
    let entry = own(status, planned).find(|entry| entry.receipt.is_some())?;
    let why = entry.note.clone().unwrap_or_default();
    let holds = entry.receipt.as_deref() == Some("done");
    Some(if holds { Checking::Holds } else { Checking::Failed(why) })
}

/// That of its intent; else that of the last entry, as a note has it: the plan's steps keep theirs.
fn number(status: &IncidentStatus, planned: &PlannedStep) -> u32 {
    let intended = own(status, planned).find(|entry| entry.intent.is_some());
    let last = || status.journal.iter().map(|entry| entry.seq).max();
    intended.map(|entry| entry.seq).or_else(last).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_check_is_known_by_its_job_and_takes_no_number_of_a_step() {
        let at = "2026-03-01T10:00:00Z";
        let step = |seq: u32| json!({"seq": seq, "at": at, "receipt": "done"});
        let mut status: IncidentStatus =
            serde_json::from_value(json!({"planFrom": 2, "journal": [step(1), step(2)]})).unwrap();
        let planned = PlannedStep {
            target: Some("Job/orders-8b21-before-1".into()),
            ..PlannedStep::default()
        };
        assert_eq!((number(&status, &planned), known(&status, &planned)), (2, None));
        let line =
            |word: &str| json!({"seq": 2, "at": at, word: "failed", "target": planned.target, "note": "exit code 3"});
        for word in ["intent", "receipt"] {
            status.journal.push(serde_json::from_value(line(word)).unwrap());
        }
        status.journal.push(serde_json::from_value(step(7)).unwrap());
        assert_eq!(number(&status, &planned), 2, "that of its intent");
        assert_eq!(known(&status, &planned), Some(Checking::Failed("exit code 3".into())));
        assert_eq!(status.journal.iter().filter(|entry| entry.is_step()).count(), 3);
    }
}
