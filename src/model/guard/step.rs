//! Pure. How a state is put back: the steps of a rollback, in the owner's words.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Stage;
use super::defaults::{fifteen_minutes, five_minutes_maybe};
use super::git::GitChange;
use super::http::HttpCheck;
use crate::model::units::Length;

/// How the last proven state is put back.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = ("!has(self.steps) || !has(self.stages) || self.stages.size() == 0", "a rollback has either steps or stages"))]
#[x_kube(validation = ("!has(self.stages) || self.stages.all(one, self.stages.exists_one(other, other.name == one.name))", "each stage has a name of its own"))]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// First bad reading to Recovered; over it: Escalated. Stages have clocks of their own instead.
    #[serde(default = "fifteen_minutes")]
    pub within: Length,
    /// What must hold before anything is written; where one check fails, people decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub before: Vec<Check>,
    /// In order; default: restore, waitReady.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    pub steps: Option<Vec<Step>>,
    /// Instead of steps: one after the other until the last is over. The first that proves recovery mitigates the incident.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub stages: Vec<Stage>,
}

/// What must hold before anything is written: exactly one of `condition`, `http`, `job`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = ("[has(self.condition), has(self.http), has(self.job)].exists_one(given, given)", "a check is exactly one of condition, http, job"))]
#[x_kube(validation = ("!has(self.timeout) || has(self.job)", "only a job has a timeout"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Check {
    /// What people call it, such as `backup is present`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub name: Option<String>,
    /// As in a trigger; what is not known fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2000))]
    pub condition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// A Job that must complete. It runs once in an incident. The daemon's settings must allow it: `steps: {job: true}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<RunJob>,
    /// How long the Job may take; default: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Length>,
}

/// One step: exactly one of `restore`, `setEnv`, `setConfig`, `scale`, `waitReady`, `http`, `ask`, `job`, `git`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = (
    "[has(self.restore), has(self.setEnv), has(self.setConfig), has(self.scale), has(self.waitReady), has(self.http), has(self.ask), has(self.job), has(self.git)].exists_one(given, given)",
    "a step is exactly one of restore, setEnv, setConfig, scale, waitReady, http, ask, job, git"
))]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// All targets to the known-good snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Empty>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_env: Option<SetEnv>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_config: Option<SetConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// Wait until every workload of the guard is rolled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ready: Option<Empty>,
    /// A request that must be answered as expected. The daemon's settings may forbid it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// A person does it and says `done`. The time that it takes is people's: it does not count against `within`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<Ask>,
    /// A Job that must complete. The daemon's settings must allow it: `steps: {job: true}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<RunJob>,
    /// A commit that is made and pushed. The daemon's settings must allow it: `steps: {git: true}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitChange>,
    #[serde(default = "five_minutes_maybe", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Length>,
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// `{}`: the step has no settings.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Empty {}

/// Environment variables of one container of a workload, set or removed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SetEnv {
    /// `Deployment/name`, `StatefulSet/name` or `DaemonSet/name`.
    pub target: String,
    /// Default: the first container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// Keys of a ConfigMap, set or removed; the guard's pods that use it restart.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SetConfig {
    /// `ConfigMap/name`: one of the guard's targets, or one that it follows.
    pub target: String,
    #[serde(default)]
    pub data: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// How many pods a workload has. It fails where a HorizontalPodAutoscaler owns the number.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    /// `Deployment/name` or `StatefulSet/name`: one of the guard's targets.
    pub target: String,
    #[schemars(range(max = 10000))]
    pub replicas: u32,
}

/// What a person is asked to do.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ask {
    /// Who is asked: a role, such as `tech-lead`.
    #[schemars(length(min = 1, max = 100))]
    pub role: String,
    /// What to do.
    #[schemars(length(min = 1, max = 2000))]
    pub text: String,
    /// How; it is shown and never run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2000))]
    pub command: Option<String>,
}

/// A Job from a template.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunJob {
    /// `ConfigMap/name`: where the template stands.
    #[schemars(length(min = 1, max = 300))]
    pub from: String,
    /// Its key: the YAML of a batch/v1 Job.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// What a failed step means for the plan.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    #[default]
    Escalate,
    Continue,
}

impl Check {
    /// How long its Job may take.
    pub fn timeout(&self) -> Length {
        self.timeout.unwrap_or(Length::minutes(5))
    }
}

impl Step {
    /// The one object that it writes, as the owner wrote it; of `restore` there are many.
    pub fn target(&self) -> Option<&str> {
        let env = self.set_env.as_ref().map(|set| &set.target);
        let config = self.set_config.as_ref().map(|set| &set.target);
        let scale = self.scale.as_ref().map(|scale| &scale.target);
        env.or(config).or(scale).map(String::as_str)
    }

    /// What it is; of a valid step exactly one.
    pub fn kinds(&self) -> Vec<&'static str> {
        let given = [
            ("restore", self.restore.is_some()),
            ("setEnv", self.set_env.is_some()),
            ("setConfig", self.set_config.is_some()),
            ("scale", self.scale.is_some()),
            ("waitReady", self.wait_ready.is_some()),
            ("http", self.http.is_some()),
            ("ask", self.ask.is_some()),
            ("job", self.job.is_some()),
            ("git", self.git.is_some()),
        ];
        given.into_iter().filter(|(_, is)| *is).map(|(kind, _)| kind).collect()
    }

    /// How long the step may take.
    pub fn timeout(&self) -> Length {
        self.timeout.unwrap_or(Length::minutes(5))
    }
}
