//! Pure. What is shown, in the form of `/status.json`. A missing number is null, never 0 or NaN.
//!
//! These names are a promise to other people's scripts: extend, never rename.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use crate::model::{
    freeze::Freeze,
    guard::{Mode, RolledOut, State, Unit, Worse},
    incident::{Harm, IncidentState},
};

/// Everything at one moment.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct StatusView {
    pub version: String,
    pub now: Timestamp,
    /// Only the leader acts.
    pub leader: bool,
    /// Which copy leads, as far as this one knows; null also where there is no election.
    #[serde(default)]
    pub holder: Option<String>,
    /// What the daemon may do at most.
    pub mode: Mode,
    pub freeze: Option<FreezeView>,
    pub prometheus: PrometheusView,
    pub guards: Vec<GuardView>,
    /// Open ones and the newest.
    pub incidents: Vec<IncidentLine>,
}

/// Who stopped modosu from writing, why, until when.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct FreezeView {
    pub by: Option<String>,
    pub reason: Option<String>,
    pub until: Option<Timestamp>,
    /// Where it was said.
    #[serde(default)]
    pub of: String,
}

impl From<Freeze> for FreezeView {
    fn from(freeze: Freeze) -> Self {
        Self {
            by: freeze.by,
            reason: freeze.reason,
            until: freeze.until,
            of: freeze.of,
        }
    }
}

/// How Prometheus answers.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusView {
    pub url: String,
    pub state: PrometheusState,
    pub since: Option<Timestamp>,
    pub last_success: Option<Timestamp>,
    pub error: Option<String>,
}

/// Unknown until the first answer or failure.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum PrometheusState {
    Up,
    Down,
    #[default]
    Unknown,
}

/// One guard.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GuardView {
    pub namespace: String,
    pub name: String,
    pub mode: Mode,
    /// Why the mode is not the one that the guard asks for.
    pub mode_because: Option<String>,
    pub state: State,
    /// Why it stands there, in words.
    pub reason: String,
    pub since: Option<Timestamp>,
    /// What has to happen before it goes on, in words.
    pub waits_for: Option<String>,
    pub signals: Vec<SignalView>,
    /// What the signals are compared with; each signal has its number.
    pub baseline: BaselineView,
    pub triggers: Vec<TriggerView>,
    pub conditions: Vec<ConditionView>,
    pub current: Option<CurrentView>,
    pub restore_to: Option<RestoreToView>,
    /// What other tools will do to what is put back.
    #[serde(default)]
    pub other_tools: Vec<String>,
    /// Somebody stopped modosu from writing here.
    #[serde(default)]
    pub freeze: Option<FreezeView>,
    /// Watched and named, never restored: other workloads use them too.
    pub shared_config: Vec<String>,
    /// The open incident's name.
    pub incident: Option<String>,
    /// What failed since the first bad reading, while an incident is open.
    pub harm: Option<Harm>,
    /// The guard's own words for the person who decides.
    pub impact_per_minute: Option<String>,
    /// The last roll-out that was seen from its beginning to its end.
    pub roll_out: Option<RolledOut>,
    pub links: BTreeMap<String, String>,
}

/// What signals are compared with: taken once, kept in the Guard's status.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BaselineView {
    /// Where the numbers come from, in words.
    pub origin: String,
    pub taken_at: Option<Timestamp>,
    /// The state whose healthy time it is.
    pub hash: Option<String>,
    pub images: Vec<String>,
}

/// One signal against its limit and baseline.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct SignalView {
    pub name: String,
    #[serde(serialize_with = "finite_or_null")]
    pub value: Option<f64>,
    pub unit: Unit,
    /// Whether more of it is worse, or less.
    #[serde(default)]
    pub worse: Worse,
    #[serde(serialize_with = "finite_or_null")]
    pub baseline: Option<f64>,
    #[serde(serialize_with = "finite_or_null")]
    pub limit: Option<f64>,
    pub verdict: SignalVerdict,
    /// Why it is Unknown, or what the verdict rests on.
    pub because: Option<String>,
    /// When the newest sample was taken.
    pub at: Option<Timestamp>,
}

/// Unknown is neither healthy nor bad.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignalVerdict {
    Healthy,
    Breached,
    #[default]
    Unknown,
}

/// One trigger or hard fact.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct TriggerView {
    pub name: String,
    /// quiet | pending | firing | not armed | unknown
    pub status: String,
    /// One sentence with its numbers.
    pub sentence: String,
}

/// A condition of the guard's status.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ConditionView {
    #[serde(rename = "type")]
    pub kind: String,
    /// True | False | Unknown
    pub status: String,
    pub reason: String,
    pub message: String,
}

/// What is running now.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CurrentView {
    pub hash: String,
    pub since: Timestamp,
    pub proven: bool,
    pub images: Vec<String>,
}

/// Where a rollback would go now.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RestoreToView {
    pub name: String,
    pub hash: String,
    pub proven_at: Timestamp,
    pub images: Vec<String>,
    /// Why only a person may go there.
    pub blocked: Option<String>,
}

/// One incident, in one line.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IncidentLine {
    pub namespace: String,
    pub name: String,
    pub guard: String,
    pub state: IncidentState,
    pub grade: String,
    pub opened_at: Timestamp,
    /// Who is asked, and by when somebody must have decided and it must be over; only while it is open.
    pub decider: Option<String>,
    pub decide_by: Option<Timestamp>,
    pub done_by: Option<Timestamp>,
    pub summary: String,
}

impl StatusView {
    /// Before the first turn.
    pub fn starting(mode: Mode, prometheus_url: String, now: Timestamp) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now,
            leader: false,
            holder: None,
            mode,
            freeze: None,
            prometheus: PrometheusView {
                url: prometheus_url,
                ..PrometheusView::default()
            },
            guards: Vec::new(),
            incidents: Vec::new(),
        }
    }

    /// The guard of that name, where there is one.
    pub fn guard(&self, namespace: &str, name: &str) -> Option<&GuardView> {
        self.guards.iter().find(|g| g.namespace == namespace && g.name == name)
    }
}

impl GuardView {
    /// Whether a condition of that type is False.
    pub fn lacks(&self, kind: &str) -> Option<&ConditionView> {
        self.conditions.iter().find(|c| c.kind == kind && c.status == "False")
    }
}

#[expect(clippy::ref_option, reason = "serde gives a reference to the field")]
fn finite_or_null<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    value.filter(|v| v.is_finite()).serialize(serializer)
}
