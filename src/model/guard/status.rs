//! Pure. What modosu says of a guard: where it stands, what runs, where a rollback would go, what is never restored.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Mode;
use crate::model::{freeze::Freeze, units::Length};

/// What modosu says of a guard; written when something changes, never every turn.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GuardStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// What is running now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Current>,
    /// Where a rollback would go now: the newest proven state that is not the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_to: Option<RestoreTo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// States that were rolled back from, or left while they hurt; never restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad: Vec<BadState>,
    /// States that people decided to keep: only reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<KeptState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_mode: Option<EffectiveMode>,
    /// What other tools will do to what is put back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_tools: Vec<String>,
    /// Somebody stopped modosu from writing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<Freeze>,
    /// Since when modosu knows of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_since: Option<Timestamp>,
    /// When the last freeze ended: nothing from before counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thawed_at: Option<Timestamp>,
    /// The last roll-out that modosu saw from its beginning to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roll_out: Option<RolledOut>,
    /// From which states there is no way back that modosu may take by itself, and since when they ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_way_back: Vec<NoWayBack>,
    /// The last incident from which this guard recovered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered: Option<Recovery>,
    /// The open incident; only incidents whose UID modosu wrote here are its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<IncidentRef>,
}

/// Where a guard stands. Unknown is a verdict, not a state: the state stays.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    NotReady,
    Steady,
    Probation,
    Suspect,
    AwaitingDecision,
    RollingBack,
    Verifying,
    Frozen,
    Escalated,
}

/// The state that is running now.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Current {
    pub hash: String,
    /// When modosu first saw it.
    pub since: Timestamp,
    pub proven: bool,
    /// It was not already proven when it came.
    #[serde(default)]
    pub change: bool,
    #[serde(default)]
    pub images: Vec<String>,
    /// It is being rolled out since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_since: Option<Timestamp>,
    /// It was put back once, and people let it run now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allowed: bool,
    /// Triggers that already held when it came: they lead to people, never to automatic action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_before: Vec<String>,
    /// ConfigMaps that others used as well when it came: they are no part of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// A roll-out that was seen from its beginning to its end.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct RolledOut {
    /// What was rolled out.
    pub hash: String,
    /// When it was done.
    pub at: Timestamp,
    pub took: Length,
}

/// A proven state that can be restored.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RestoreTo {
    /// The ControllerRevision that holds it.
    pub name: String,
    pub hash: String,
    pub proven_at: Timestamp,
    #[serde(default)]
    pub images: Vec<String>,
    /// Why only a person may go there: a template's `modosu.dev/no-way-back`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// What `kubectl get guards` prints of it.
    #[serde(default)]
    pub printed: String,
}

/// What signals are compared with, in the signals' own units.
///
/// Signals stand beside `takenAt` and `hash` under their own names. A structural schema has no words for that (named
/// and free properties exclude each other), so that this one object of the status keeps what it is given.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct Baseline {
    pub taken_at: Timestamp,
    /// The state whose healthy time it is.
    pub hash: String,
    /// Of each share: what it was counted from, over up to 24 h of healthy time, and how unevenly.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, BaselineCounts>,
    /// Signal name to value.
    #[serde(flatten)]
    #[schemars(skip)]
    pub values: BTreeMap<String, f64>,
}

/// What a share was counted from in healthy time, and how unevenly it came.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BaselineCounts {
    pub requests: f64,
    pub bad: f64,
    /// How much more unevenly the bad ones came than by chance (Pearson's χ² per degree of freedom, at least 1), in steps of
    /// at least a minute and 20 requests.
    pub dispersion: f64,
    /// Requests per step.
    pub per_step: f64,
    /// Healthy time that was counted, in seconds.
    pub seconds: f64,
    /// Of a latency: bad are the requests slower than this, the bound of a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slower_than: Option<f64>,
    /// How unevenly it came in the states before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<EarlierCounts>,
}

/// How unevenly a share came in the healthy time of earlier states, up to a week of it: how bursty a service is does not begin
/// anew with each release.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq)]
pub struct EarlierCounts {
    pub bad: f64,
    /// As that of [`BaselineCounts`], each state against its own share.
    pub dispersion: f64,
    /// Healthy time that was counted, in seconds.
    pub seconds: f64,
}

/// A state that must never be restored.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BadState {
    pub hash: String,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// modosu put it back itself (otherwise a person left it).
    #[serde(default)]
    pub rolled_back: bool,
    /// Before that it may not return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// It returned and was put back once more: next time people decide.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub returned: bool,
    /// The commits that were pushed when it was put back, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pushed: Vec<String>,
    /// What was put back, while the lock holds: some of it may return without the rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<Changed>,
}

/// One field that a change altered.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// `Deployment/orders`.
    pub target: String,
    /// For people: `env WORKER_MODE=celery`, `image orders=…`, `data LOG_LEVEL=debug`, a path in the template,
    /// `removed env WORKER_MODE`. Of a Secret, and where it is long, without the value.
    pub field: String,
    /// By which it is known again.
    pub digest: String,
}

/// A state that people decided to keep running.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct KeptState {
    pub hash: String,
    pub at: Timestamp,
    pub incident: String,
}

/// The mode in force, and why it differs from what the guard asks for.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct EffectiveMode {
    pub mode: Mode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// What a template said with `modosu.dev/no-way-back`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct NoWayBack {
    pub why: String,
    /// Since when a state runs, or ran, that says so.
    pub at: Timestamp,
}

/// What was put back helped: what runs since then, and since when.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub incident: String,
    pub hash: String,
    pub at: Timestamp,
}

/// An incident of this guard that modosu itself opened.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentRef {
    pub name: String,
    pub uid: String,
}
