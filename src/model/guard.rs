//! Pure. `kind: Guard`: what is watched, how it is put back, and what modosu says of it.
//!
//! Defaults that modosu must be able to tell from a choice (`mode`, `triggers`) live in code, all others in the
//! schema. Nothing means something by being null.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Amount, Certainty, Length, Share};

/// What need not be written.
mod defaults;
/// Changes of repositories.
pub mod git;
/// Requests of steps and checks.
mod http;
/// Rollbacks in stages.
mod stage;
/// What modosu says of a guard.
mod status;
/// How a state is put back.
mod step;
/// What is restored.
mod target;

use defaults::{
    a_day, a_minute, a_week, one_in_a_thousand, one_in_ten_thousand, severities, ten_minutes, ten_seconds, twenty,
    two_hours, yes,
};
pub use git::{Checkout, GitChange};
pub use http::{HttpCheck, Method};
pub use stage::Stage;
pub use status::{
    BadState, Baseline, BaselineCounts, Changed, Current, EarlierCounts, EffectiveMode, GuardStatus, IncidentRef,
    KeptState, NoWayBack, Recovery, RestoreTo, RolledOut, State,
};
pub use step::{Ask, Check, Empty, OnFailure, Rollback, RunJob, Scale, SetConfig, SetEnv, Step};
pub use target::{TargetKind, TargetRef};

/// The label of a guard that a sidecar looks after (`"true"`): the operator leaves it alone.
pub const SIDECAR: &str = "modosu.dev/sidecar";

impl Guard {
    /// Whether it says that a sidecar looks after it.
    pub fn is_a_sidecars(&self) -> bool {
        let labels = self.metadata.labels.as_ref();
        labels
            .and_then(|labels| labels.get(SIDECAR))
            .is_some_and(|value| value == "true")
    }
}

/// What is watched, and how it is put back when it hurts.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "modosu.dev",
    version = "v1alpha1",
    kind = "Guard",
    doc = "What is watched, how it is put back when it hurts, and what modosu says of it.",
    plural = "guards",
    shortname = "gd",
    category = "modosu",
    namespaced,
    status = "GuardStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".status.effectiveMode.mode"}"#,
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.state"}"#,
    printcolumn = r#"{"name":"Since","type":"date","jsonPath":".status.current.since"}"#,
    printcolumn = r#"{"name":"Image","type":"string","jsonPath":".status.current.images[0]"}"#,
    printcolumn = r#"{"name":"Restore-to","type":"string","jsonPath":".status.restoreTo.printed"}"#,
    printcolumn = r#"{"name":"Incident","type":"string","jsonPath":".status.incident.name"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct GuardSpec {
    /// observe: only record; ask: a person confirms every rollback; enforce (the default): modosu acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// 1 to 20 objects of this namespace, restored together. Secrets need rights of their own: docs/secrets.md.
    #[x_kube(validation = ("self.size() >= 1 && self.size() <= 20", "a guard has 1 to 20 targets"))]
    #[schemars(length(min = 1, max = 20))]
    pub targets: Vec<TargetRef>,
    /// ConfigMaps that only these pod templates use are targets too.
    #[serde(default = "yes")]
    pub follow_config: bool,
    pub metrics: Metrics,
    /// What a signal is compared with where a condition says `baseline`; by default `{window: 1h}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselinePolicy>,
    /// How grades are named: `severities` (Critical … Low), `levels` (1 – 3), or one of the daemon's settings.
    #[serde(default = "severities")]
    #[schemars(length(min = 1, max = 63))]
    pub scheme: String,
    /// What follows from crash loops and exceeded progress deadlines, which need no requests; traffic that is gone only alerts.
    #[serde(default)]
    pub hard_facts: HardFacts,
    /// Condition, `for`, grade and action; the preset's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    pub triggers: Option<Vec<Trigger>>,
    /// The anytime-valid meter behind `worse(signal)`.
    #[serde(default)]
    pub evidence: EvidencePolicy,
    /// Probation after a change.
    #[serde(default = "a_day")]
    pub watch_for: Length,
    /// modosu acts by itself this long after a change; until `watchFor` people decide.
    #[serde(default = "two_hours")]
    pub automatic_for: Length,
    /// Healthy this long: the state becomes known-good ("proven").
    #[serde(default = "ten_minutes")]
    pub known_good_after: Length,
    /// What was put back may not return for a while: it is put back once more, then people decide.
    #[serde(default)]
    pub retry_lock: RetryLock,
    /// After a rollback; a breach meanwhile opens an incident for people at once.
    #[serde(default = "ten_minutes")]
    pub cooldown: Length,
    #[serde(default)]
    pub rollback: Rollback,
    #[serde(default)]
    pub verify: Verify,
    /// Text for the person who decides, such as "about 40 orders".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact_per_minute: Option<String>,
    /// Links shown on the incident's page: `dashboard`, `runbook`, `logs`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
}

/// What modosu may do by itself, from least to most.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Observe,
    Ask,
    Enforce,
}

/// Where the guard's numbers come from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// A named set of signals and triggers, such as `prometheus-http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Label = value; default: the preset's two labels with the guard's namespace and the first workload's name.
    #[serde(default, rename = "match", skip_serializing_if = "BTreeMap::is_empty")]
    pub matching: BTreeMap<String, String>,
    /// Over which ratios and quantiles are shown and compared.
    #[serde(default = "a_minute")]
    pub window: Length,
    /// Signals added to the preset's, or in their place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))] // without it the API server finds the rule of SignalSpec too costly
    pub signals: BTreeMap<String, SignalSpec>,
}

/// A named number from Prometheus: exactly one of `ratio`, `quantile`, `gauge`, `rate`, `complement`, `alerts`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = (
    "[has(self.ratio), has(self.quantile), has(self.gauge), has(self.rate), has(self.complement), has(self.alerts)].exists_one(given, given)",
    "a signal is exactly one of ratio, quantile, gauge, rate, complement, alerts"
))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignalSpec {
    /// The share of bad (or good) among all, from counters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<RatioSpec>,
    /// A quantile of a histogram, classic or native.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile: Option<QuantileSpec>,
    /// Any PromQL that gives one number for this guard. With `$match` in the place of its labels' matchers and `$by` in that of
    /// their names, as in `sum by ($by) (queue_length{$match})`, it is asked once for all guards together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gauge: Option<String>,
    /// A counter's growth per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// One minus another ratio signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complement: Option<String>,
    /// How many alerts with these labels and the guard's own are firing, such as `{alertname: OrdersSlow}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 10))]
    pub alerts: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Whether more of it is worse (`up`), or less. Default: `up`; of a ratio what `bad` or `good` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worse: Option<Worse>,
}

/// Counter selectors: `bad` or `good`, and `total`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = ("has(self.bad) != has(self.good)", "a ratio has either bad or good"))]
#[serde(deny_unknown_fields)]
pub struct RatioSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<String>,
    pub total: String,
}

/// The quantile `q` of the histogram of that name (without `_bucket`).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct QuantileSpec {
    pub histogram: String,
    pub q: f64,
    /// What one of the histogram's units is in the signal's: 0.001 where it counts milliseconds. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
}

/// What a signal's number counts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Ratio,
    Seconds,
    Bytes,
    Count,
    /// Events per second.
    Rate,
}

/// Which way a signal's number gets worse.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Worse {
    #[default]
    Up,
    Down,
}

impl Worse {
    /// Of what is left of all.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// Where a baseline comes from: exactly one of `window`, `offset`, `fixed`, `query`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = (
    "[has(self.window), has(self.offset), has(self.fixed), has(self.query)].exists_one(given, given)",
    "a baseline is exactly one of window, offset, fixed, query"
))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BaselinePolicy {
    /// The last healthy time, this long, of the state that a rollback would go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Length>,
    /// The same time so long ago, such as `7d`: the hour that began then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<Length>,
    /// Numbers by signal, such as `{response_time: 200ms}`. Signals that are not named: as with `{window: 1h}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 50))]
    pub fixed: Option<BTreeMap<String, Amount>>,
    /// PromQL for one number, by signal, such as a stored benchmark; asked once, at the change. Other signals: as `fixed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 50))]
    pub query: Option<BTreeMap<String, String>>,
}

/// The meter behind `worse(signal)`: whether a share got worse than it was before the change.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvidencePolicy {
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The chance that it ever calls a change worse that is not.
    #[serde(default = "one_in_ten_thousand")]
    pub alpha: Share,
    /// No smaller share is ever called worse.
    #[serde(default = "one_in_a_thousand")]
    pub floor: Share,
}

/// What a firing trigger leads to.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Monitor,
    AlertAndManualReview,
    AutomaticRollback,
}

/// What follows from hard facts: an action, or off.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum HardFacts {
    Off,
    Monitor,
    AlertAndManualReview,
    #[default]
    AutomaticRollback,
}

/// One reason to open an incident.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    #[schemars(length(min = 1, max = 2000))]
    pub condition: String,
    pub action: Action,
    /// Critical | High | Medium | Low, or 1 | 2 | 3, or one of the own scheme. By default from the action:
    /// automatic_rollback the scheme's first (worst), alert_and_manual_review its second, monitor its last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grade: Option<String>,
    /// Must hold this long.
    #[serde(default = "ten_seconds", rename = "for")]
    pub hold: Length,
    /// Fewer requests in the window: the window grows until it holds them; fewer still: Unknown.
    #[serde(default = "twenty")]
    pub min_requests: u32,
    /// A ratio acts automatically only when it is beyond its limit with this error; `off`: plain comparison.
    #[serde(default)]
    pub certainty: Certainty,
}

/// How long what was put back may not return.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryLock {
    /// From the moment it is put back; `0s`: not at all.
    #[serde(default = "a_week", rename = "for")]
    pub length: Length,
    /// What is put back by itself when it returns: the identical state. Where only some of what it changed returns, people are asked.
    #[serde(default, rename = "match")]
    pub matching: LockMatch,
    /// Whose return alone is enough to put it back: `env WORKER_MODE=celery`, or without the value for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 300)))]
    pub fields: Vec<String>,
}

/// What a retry lock is about.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LockMatch {
    #[default]
    State,
}

/// What proves that the rollback helped.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// Besides "no trigger and no hard fact fires any more".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
    /// For so long, on requests made after the roll-out.
    #[serde(default = "a_minute")]
    pub hold: Length,
}
