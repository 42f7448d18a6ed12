//! Pure. `kind: Incident`: one opened case with its evidence, plan, journal and outcome.
//!
//! The spec is written once, when the incident is opened, and is immutable but for `decision`, which is how people
//! decide. The journal is append-only: an `intent` before each action, a `receipt` with the same `seq` after it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{freeze::Freeze, guard::Action, units::Length};

/// What people decide.
mod decision;
/// What is going to be done, and what was.
mod plan;
/// A plan in stages.
mod stage;

pub use decision::{Decision, Fix, Verb};
pub use plan::{ASK, Before, Checked, JOB_TARGET, JournalEntry, PlannedStep};
pub use stage::{PlannedStage, StageState};

/// One opened case.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "modosu.dev",
    version = "v1alpha1",
    kind = "Incident",
    doc = "One opened case: its evidence, plan, journal and outcome.",
    plural = "incidents",
    shortname = "inc",
    category = "modosu",
    namespaced,
    status = "IncidentStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Guard","type":"string","jsonPath":".spec.guard"}"#,
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.state"}"#,
    printcolumn = r#"{"name":"Grade","type":"string","jsonPath":".status.grade"}"#,
    printcolumn = r#"{"name":"Action","type":"string","jsonPath":".status.action"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.guard == oldSelf.guard && self.firstBadAt == oldSelf.firstBadAt && self.openedAt == oldSelf.openedAt && self.grade == oldSelf.grade && self.action == oldSelf.action && self.summary == oldSelf.summary", "the evidence of an incident is immutable"))]
#[x_kube(validation = ("self.triggers == oldSelf.triggers", "the evidence of an incident is immutable"))]
#[x_kube(validation = ("self.bad == oldSelf.bad", "the evidence of an incident is immutable"))]
#[x_kube(validation = ("has(self.restoreTo) == has(oldSelf.restoreTo) && (!has(self.restoreTo) || self.restoreTo == oldSelf.restoreTo)", "the evidence of an incident is immutable"))]
pub struct IncidentSpec {
    pub guard: String,
    pub first_bad_at: Timestamp,
    pub opened_at: Timestamp,
    pub grade: String,
    pub action: Action,
    /// One sentence with the numbers that decided.
    #[serde(default)]
    pub summary: String,
    #[schemars(length(max = 60))]
    pub triggers: Vec<Evidence>,
    /// The state that hurts.
    pub bad: StateRef,
    /// Where a rollback goes; absent: there is nothing to go back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_to: Option<StateRef>,
    /// What a person decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

/// What one firing trigger or hard fact saw.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    pub name: String,
    pub condition: String,
    /// One sentence with its numbers.
    pub sentence: String,
    pub grade: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// How many to one against chance, where counts tell: of `worse(…)` what its meter says, of a share against a limit one over
    /// the chance of so many at that limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odds: Option<f64>,
    /// Of `worse(…)`: the highest share that is not called worse than before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerated: Option<f64>,
    /// The readings on which it held; of `worse(…)`: those that were weighed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readings: Option<u32>,
}

/// A state by its hash, with what a person knows it by.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
pub struct StateRef {
    /// The ControllerRevision that holds it, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(default)]
    pub images: Vec<String>,
}

/// How one object stands after a plan that was stopped by a newer rollout.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct Stands {
    /// `Deployment/orders`.
    pub target: String,
    /// Already back, or with the newer rollout; and what the command would do.
    pub words: String,
    /// To make it whole the other way.
    pub command: String,
}

/// Requests that failed since the first bad reading, as far as they were counted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Harm {
    pub since: Timestamp,
    pub until: Timestamp,
    /// So much of that time was counted: readings that are missing are not.
    pub counted: Length,
    pub failed: u64,
    pub requests: u64,
}

/// How the incident stands.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IncidentStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<IncidentState>,
    /// Why it stands there, in words.
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub grade: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// What joined since it was opened: what raised its grade stands here. Append-only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 60))]
    pub triggers: Vec<Evidence>,
    /// The first of `decideBy` and `doneBy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respond_by: Option<Timestamp>,
    /// Somebody must have decided by then, from the grade's `decideWithin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide_by: Option<Timestamp>,
    /// It must be over by then, from the grade's `doneWithin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_by: Option<Timestamp>,
    /// The role that is asked now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decider: Option<String>,
    /// When it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
    /// Clocks that ran out, and who was asked then. Append-only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<Missed>,
    /// Automatic triggers for which people are asked: until they were false for `verify.hold` modosu does not act on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked_for: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<PlannedStep>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_hash: Option<String>,
    /// Of a plan in stages: one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub stages: Vec<PlannedStage>,
    /// When the first stage was proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mitigated_at: Option<Timestamp>,
    /// The journal number after which this plan begins.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub plan_from: u32,
    /// Append-only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub journal: Vec<JournalEntry>,
    /// Where a person decided to go instead of `restoreTo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<StateRef>,
    /// A person decided that only these targets go back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// What ran beside what the plan writes when it began: another content there is somebody else's change.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub beside: BTreeMap<String, String>,
    /// What the checks before the first write came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// The decision that the present state follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decision>,
    /// When people expect it to be fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
    /// Somebody decided that nothing is written for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<Freeze>,
    /// What failed so far, as of the last write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm: Option<Harm>,
    /// What a rollback leaves as it is, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_restored: Vec<String>,
    /// A newer rollout came while the plan was under way: what stands where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stands: Vec<Stands>,
    /// What other tools will do to what is put back, and how to keep it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_tools: Vec<String>,
    /// When the plan began to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acting_since: Option<Timestamp>,
    /// When modosu last began it by itself, not because a person decided so: that counts against the daemon's budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic_since: Option<Timestamp>,
    /// When everything was rolled out: readings count as proof from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_out_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// The incident from which the guard had recovered less than an hour before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relapse_of: Option<String>,
    /// The incident in which what returns was put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_of: Option<String>,
    /// Other guards breached together with this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_cause: Option<CommonCause>,
}

impl Incident {
    /// What every trigger and hard fact saw, as it was opened and since.
    pub fn evidence(&self) -> impl Iterator<Item = &Evidence> + Clone {
        let joined = self.status.iter().flat_map(|status| &status.triggers);
        self.spec.triggers.iter().chain(joined)
    }
}

impl IncidentStatus {
    /// Where the plan goes: where a person decided to go, else what the incident was opened with.
    pub fn goal<'a>(&'a self, spec: &'a IncidentSpec) -> Option<&'a StateRef> {
        self.goal.as_ref().or(spec.restore_to.as_ref())
    }
}

/// Guards that breached together, written `namespace/name`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CommonCause {
    /// The first to breach first; at most 50.
    #[schemars(length(max = 50))]
    pub guards: Vec<String>,
    /// How many there are in all.
    pub count: u32,
    /// The one group whose changes came just before: acted on first. Empty: there is none, people decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub acts_on: Vec<String>,
    /// This one waits for their proof.
    #[serde(default)]
    pub waiting: bool,
    /// This one tells of it for all: one message, not one each.
    #[serde(default)]
    pub speaks: bool,
}

/// A clock that ran out.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    pub clock: Clock,
    /// When it ran out.
    pub due: Timestamp,
    /// When the next role was asked.
    pub at: Timestamp,
    /// Who was asked; absent: nobody further is in the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// For which grade: a worse one asks its whole chain.
    #[serde(default)]
    pub grade: String,
}

/// The clocks of a grade.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Somebody must have decided.
    Decide,
    /// It must be over.
    Done,
}

/// Where an incident stands.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentState {
    AwaitingDecision,
    RollingBack,
    Verifying,
    Recovered,
    RecoveredByHand,
    Escalated,
    Kept,
    Passed,
    Superseded,
    Abandoned,
    Observed,
}

/// How long each part took, as humantime text.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detected: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_for_people: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<String>,
}

impl IncidentState {
    /// Whether something may still happen: an open incident belongs to its guard's status.
    pub const fn is_open(self) -> bool {
        match self {
            Self::AwaitingDecision | Self::RollingBack | Self::Verifying | Self::Escalated | Self::Observed => true,
            Self::Recovered
            | Self::RecoveredByHand
            | Self::Kept
            | Self::Passed
            | Self::Superseded
            | Self::Abandoned => false,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}
