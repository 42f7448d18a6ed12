//! IO. Pods that hold a roll-out up: a StatefulSet brings its pods one after the other, and waits for one of the bad revision to
//! get Ready for ever, also when its template is back. Each such pod is deleted, as a journalled step of its own.

use k8s_openapi::api::core::v1;
use kube::{
    Api as KubeApi, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Preconditions},
};
use serde_json::Value;

use super::{Run, StepEnd, entry};
use crate::{
    act::ApiError,
    decide::plan::scale::SCALE,
    model::{
        guard::TargetRef,
        incident::{IncidentStatus, PlannedStep},
    },
    observe::{
        cluster::dynamic,
        objects::{Pod, Workload},
    },
};

/// What the journal calls it.
const DELETE: &str = "deletePod";

/// A pod that holds its StatefulSet up.
struct Held {
    name: String,
    uid: Option<String>,
    version: Option<String>,
}

impl Held {
    fn target(&self) -> String {
        format!("Pod/{}", self.name)
    }
}

impl Run<'_> {
    /// Deletes what holds this workload up, where the plan put its template back. Gives what stands in the way of that.
    pub(super) async fn free(
        &self,
        seq: u32,
        planned: &PlannedStep,
        target: &TargetRef,
        object: &DynamicObject,
        status: &mut IncidentStatus,
    ) -> Result<Option<StepEnd>, ApiError> {
        let workload = Workload::read(target.kind, object);
        let seen = workload.rollout.observed >= workload.rollout.generation;
        if !seen || !workload.ordered || workload.keeps_pods.is_some() || !is_back(target, status) {
            return Ok(None);
        }
        let held = self.held(&workload, object).await?;
        for pod in &held {
            if let Some(end) = self.delete(seq, planned, pod, status).await? {
                return Ok(Some(end));
            }
        }
        // What was deleted before the daemon could write it down.
        for gone in unanswered(seq, status) {
            if held.iter().all(|pod| pod.target() != gone) {
                self.deleted(seq, planned, gone, status).await?;
            }
        }
        Ok(None)
    }

    /// Its pods that are of another revision than the wanted one and not Ready.
    async fn held(&self, workload: &Workload, object: &DynamicObject) -> Result<Vec<Held>, ApiError> {
        let labels = object.data.pointer("/spec/selector/matchLabels");
        let labels = labels.and_then(Value::as_object).into_iter().flatten();
        let labels = labels.filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)));
        let own = ListParams::default().labels(&labels.collect::<Vec<_>>().join(","));
        let all = self.api.ask(None, self.pods().list(&own)).await?;
        let holds_up = |pod: &DynamicObject| {
            Pod::read(pod).is_some_and(|pod| {
                let outdated = pod.revision.is_some() && pod.revision != workload.revision;
                pod.owner == workload.uid && outdated && !pod.ready && !pod.leaving
            })
        };
        let held = all.items.into_iter().filter(holds_up);
        Ok(held
            .map(|pod| Held {
                name: pod.name_any(),
                uid: pod.uid(),
                version: pod.resource_version(),
            })
            .collect())
    }

    /// One pod, known by its uid: asked for twice, it is deleted once.
    async fn delete(
        &self,
        seq: u32,
        planned: &PlannedStep,
        pod: &Held,
        status: &mut IncidentStatus,
    ) -> Result<Option<StepEnd>, ApiError> {
        let target = pod.target();
        if !unanswered(seq, status).contains(&target) {
            let mut entry = entry(seq, self.clock.now(), planned, pod.version.clone());
            entry.intent = Some(DELETE.to_owned());
            entry.target = Some(target.clone());
            entry.note = Some("of the bad revision and not Ready: it holds the roll-out up".to_owned());
            self.append(entry, status).await?;
        }
        if let Some(end) = self.stopped(planned, status).await {
            return Ok(Some(end));
        }
        let same = DeleteParams {
            preconditions: Some(Preconditions {
                uid: pod.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self.api.ask(Some("pod"), self.pods().delete(&pod.name, &same)).await {
            // Gone, or another one has its name by now.
            Ok(_) | Err(ApiError::NotFound(_) | ApiError::Invalid(_)) => {
                self.deleted(seq, planned, target, status).await?;
                Ok(None)
            }
            Err(ApiError::Unsure(why)) => Ok(Some(StepEnd::Waiting(why))),
            Err(why @ (ApiError::Exists(_) | ApiError::Refused(_))) => Ok(Some(StepEnd::Failed(format!(
                "pod {} holds the roll-out up and cannot be deleted, `kubectl delete pod {}`: {why}",
                pod.name, pod.name
            )))),
        }
    }

    fn pods(&self) -> KubeApi<DynamicObject> {
        dynamic::<v1::Pod>(&self.api.client, &Some(self.namespace.to_owned()))
    }

    async fn deleted(
        &self,
        seq: u32,
        planned: &PlannedStep,
        target: String,
        status: &mut IncidentStatus,
    ) -> Result<(), ApiError> {
        let mut entry = entry(seq, self.clock.now(), planned, None);
        entry.receipt = Some("done".to_owned());
        entry.target = Some(target);
        self.append(entry, status).await
    }
}

/// Whether the plan has put its template back.
fn is_back(target: &TargetRef, status: &IncidentStatus) -> bool {
    let target = target.to_string();
    let mut steps = status.plan.iter().enumerate();
    steps.any(|(place, step)| {
        let receipt = status.receipt_of(place).and_then(|entry| entry.receipt.as_deref());
        step.target.as_ref() == Some(&target) && step.step != SCALE && matches!(receipt, Some("done" | "already"))
    })
}

/// The pods whose last entry under that number is an intent.
fn unanswered(seq: u32, status: &IncidentStatus) -> Vec<String> {
    let mut open = Vec::new();
    for entry in status.journal.iter().filter(|entry| entry.seq == seq) {
        let Some(pod) = entry.target.as_ref().filter(|target| target.starts_with("Pod/")) else {
            continue;
        };
        open.retain(|other| other != pod);
        if entry.intent.is_some() {
            open.push(pod.clone());
        }
    }
    open
}
