//! IO. The number of a workload's pods, written only where no autoscaler owns it and nobody moved it meanwhile.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::{Api as KubeApi, ResourceExt, api::ListParams};
use serde_json::Value;

use super::{ATTEMPTS, ApiError, Journal, Run, StepEnd, has_intent};
use crate::{
    act::{Api, target},
    decide::plan::scale::{Replicas, words},
    model::{
        guard::{Step, TargetRef},
        incident::PlannedStep,
    },
};

/// How many replicas the workloads that steps scale are asked to have now.
pub async fn replicas(api: &Api, namespace: &str, steps: &[Step]) -> Result<Replicas, ApiError> {
    let mut replicas = Replicas::new();
    let scales = steps.iter().filter_map(|step| step.scale.as_ref());
    for target in scales.filter_map(|scale| scale.target.parse::<TargetRef>().ok()) {
        if let Some(read) = target::read(api, namespace, &target).await? {
            replicas.insert(target, asked_for(&read));
        }
    }
    Ok(replicas)
}

impl Run<'_> {
    /// As every write: look, intent, write with tests on what was looked at, receipt.
    pub(super) async fn scale(
        &self,
        seq: u32,
        planned: &PlannedStep,
        target: &TargetRef,
        status: &mut Journal<'_>,
    ) -> Result<StepEnd, ApiError> {
        let wanted = self.step_of(planned).and_then(|step| step.scale.as_ref());
        let Some(wanted) = wanted.map(|scale| i64::from(scale.replicas)) else {
            return Ok(StepEnd::Failed("the guard has this step no more".into()));
        };
        if planned.to != Some(words(wanted)) {
            return Ok(StepEnd::Failed(format!(
                "the guard asks for {} meanwhile",
                words(wanted)
            )));
        }
        let mut refusal = String::new();
        for _ in 0..ATTEMPTS {
            let Some(read) = target::read(self.api, self.namespace, target).await? else {
                return Ok(StepEnd::Failed(format!("{target} was deleted")));
            };
            if planned.uid.is_some() && read.object.metadata.uid != planned.uid {
                return Ok(StepEnd::Superseded(format!("{target} was made anew")));
            }
            if let Some(why) = other_content(planned, target, &read) {
                return Ok(StepEnd::Failed(why));
            }
            let now = asked_for(&read);
            if now == wanted {
                let word = if has_intent(status, seq) { "done" } else { "already" };
                let version = read.object.resource_version();
                self.wrote(seq, planned, word, version, status);
                return Ok(StepEnd::Done);
            }
            if planned.from != Some(words(now)) {
                // No state of its own that could supersede: it stays as they want it, and people hear of it.
                let why = format!("somebody scaled it to {} meanwhile: it stays so", words(now));
                return Ok(StepEnd::Failed(why));
            }
            match autoscaler(self.api, self.namespace, target).await {
                Ok(None) => {}
                Ok(Some(name)) => {
                    let why = format!("HorizontalPodAutoscaler/{name} owns the number: change its limits instead");
                    return Ok(StepEnd::Failed(why));
                }
                Err(ApiError::Unsure(why)) => return Ok(StepEnd::Waiting(why)),
                Err(why) => {
                    return Ok(StepEnd::Failed(format!(
                        "cannot see whether an autoscaler owns the number: {why}"
                    )));
                }
            }
            if let Some(end) = self.prepare(seq, planned, Some(&read), status).await? {
                return Ok(end);
            }
            let written = target::scale(self.api, self.namespace, target, &read, wanted, false).await;
            match self.written(seq, planned, written, status) {
                Ok(end) => return Ok(end),
                Err(why) => refusal = why,
            }
        }
        Ok(StepEnd::refused(&refusal))
    }
}

/// What stands there, if it is not what was judged.
fn other_content(planned: &PlannedStep, target: &TargetRef, read: &target::Read) -> Option<String> {
    let there = read.content.hash();
    let judged = planned.content.as_ref().is_none_or(|judged| *judged == there);
    (!judged).then(|| format!("{target} carries {there}, which was not judged: its number stays"))
}

/// The autoscaler that owns the number of this workload's pods.
pub async fn autoscaler(api: &Api, namespace: &str, target: &TargetRef) -> Result<Option<String>, ApiError> {
    let all: KubeApi<HorizontalPodAutoscaler> = KubeApi::namespaced(api.client.clone(), namespace);
    let all = api.ask(None, all.list(&ListParams::default())).await?;
    let owns = |one: &HorizontalPodAutoscaler| {
        let scaled = &one.spec.scale_target_ref;
        scaled.name == target.name && scaled.kind == format!("{:?}", target.kind)
    };
    Ok(all.items.iter().find(|one| owns(one)).map(ResourceExt::name_any))
}

/// One where nothing is said.
pub fn asked_for(read: &target::Read) -> i64 {
    let replicas = read.object.data.pointer("/spec/replicas").and_then(Value::as_i64);
    replicas.unwrap_or(1)
}
