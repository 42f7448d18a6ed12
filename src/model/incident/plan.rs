//! Pure. A plan as it is recorded, and the journal of carrying it out.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::IncidentStatus;
use crate::model::guard::Changed;

/// The name of a step that a person does.
pub const ASK: &str = "ask";
/// The target of a check's Job begins so.
pub const JOB_TARGET: &str = "Job/";

/// One step of a plan, resolved: nothing left to choose when it runs.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
pub struct PlannedStep {
    /// `restore`, `setEnv`, `setConfig`, `restart`, `scale`, `waitReady`, `http`, `ask`, `job`, `git`.
    pub step: String,
    /// Which of the guard's `rollback.steps` it comes from, counted from 0; those of stages are counted through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// The stage that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// `Deployment/orders`; absent for steps without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The target's uid when the plan was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The hash of the content that was judged; of `scale` the number of replicas, as `3 replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The hash of the content that the step puts there; of `scale` the number of replicas, of `http` and `ask` the hash of what is
    /// asked, of `job` the hash of its template, of `git` the hash of what is asked and of `commits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Of `scale`: the hash of the content that is scaled; another one was not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Of `git`: the commit, or the range, that is reverted; the commit that a path is taken from. Absent: it could not be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commits: Option<String>,
    /// The pods restart for a restored ConfigMap: the mark that the template carries then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
    /// The fields that it puts back: some of them may return without the rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<Changed>,
    /// For people, at most 4 KiB; of a Secret the names of its keys alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// One line of the journal: an intent, its receipt, or a note. A note has neither and carries the number of the entry before
/// it (0: there is none), so that it is never taken for a step. So do intent and receipt of a check before the first write
/// (`intent: check`), whose target is its Job.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JournalEntry {
    pub seq: u32,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    /// done | already | refused | failed | changed | timeout
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What the checks before the first write came to.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct Before {
    pub outcome: Checked,
    /// The check that failed, and what it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// How the checks before the first write ended.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Checked {
    Held,
    /// Nothing is written until a person says so once more.
    Failed,
    /// A person decided to roll back although one failed.
    Overruled,
}

impl JournalEntry {
    /// Whether it tells of a step of the plan.
    pub fn is_step(&self) -> bool {
        (self.intent.is_some() || self.receipt.is_some()) && !self.is_check()
    }

    /// Whether it tells of a Job that is a check before the first write: no step has a Job as its target.
    pub fn is_check(&self) -> bool {
        self.target
            .as_ref()
            .is_some_and(|target| target.starts_with(JOB_TARGET))
    }
}

impl IncidentStatus {
    /// The journal number of the planned step at that place.
    pub fn seq_of(&self, place: usize) -> u32 {
        self.plan_from + u32::try_from(place).unwrap_or(u32::MAX) + 1
    }

    /// What the step of that journal number does; of an earlier plan nothing is known.
    pub fn step_named(&self, seq: u32) -> String {
        let mut places = 0..self.plan.len();
        let place = places.find(|place| self.seq_of(*place) == seq);
        let step = place.and_then(|place| self.plan.get(place));
        step.map_or_else(|| "a step".to_owned(), |step| step.step.clone())
    }

    /// The receipt of the planned step at that place, and not of a pod that it deleted on its way.
    pub fn receipt_of(&self, place: usize) -> Option<&JournalEntry> {
        let seq = self.seq_of(place);
        let of_pod = |entry: &JournalEntry| entry.target.as_ref().is_some_and(|target| target.starts_with("Pod/"));
        let mut own = self.journal.iter().filter(|entry| entry.seq == seq);
        own.find(|entry| entry.receipt.is_some() && !of_pod(entry))
    }

    /// The intent of an `ask` that nobody answered yet: its note says who is asked for what.
    pub fn asked(&self) -> Option<&JournalEntry> {
        let seq = self.seq_of(self.next_place()?);
        let mut intents = self.journal.iter().filter(|entry| entry.seq == seq);
        intents.find(|entry| entry.intent.as_deref() == Some(ASK))
    }

    /// The commits that the plan pushed: `reverts 8b21f0… on main of https://…: pushed as 4c0e…`.
    pub fn pushed(&self) -> Vec<String> {
        let changes = self.plan.iter().enumerate().filter(|(_, step)| step.commits.is_some());
        let receipts = changes.filter_map(|(place, _)| self.receipt_of(place));
        let done = receipts.filter(|entry| entry.receipt.as_deref() == Some("done"));
        done.filter_map(|entry| entry.note.clone()).collect()
    }

    /// The steps of the plan that failed while it went on, and why: `setEnv Deployment/orders failed: …`. Those of a stage that did
    /// not help are told with it.
    pub fn failed_steps(&self) -> Vec<String> {
        let steps = self
            .plan
            .iter()
            .enumerate()
            .filter(|(_, step)| !self.is_of_failed_stage(step));
        let receipts = steps.filter_map(|(place, step)| {
            let entry = self.receipt_of(place)?;
            (entry.receipt.as_deref() == Some("failed")).then_some((step, entry.note.as_deref().unwrap_or("no reason")))
        });
        receipts.map(|(step, why)| format!("{step} failed: {why}")).collect()
    }
}

impl std::fmt::Display for PlannedStep {
    /// `setEnv Deployment/orders`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.target {
            Some(target) => write!(f, "{} {target}", self.step),
            None => f.write_str(&self.step),
        }
    }
}
