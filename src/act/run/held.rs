//! IO. Pods that hold a roll-out up: a StatefulSet brings its pods one after the other, and waits for one of the bad revision to
//! get Ready for ever, also when its template is back. Such pods are deleted one by one, each a journalled step of its own.

use k8s_openapi::api::core::v1;
use kube::{
    Api as KubeApi, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Preconditions},
};
use serde_json::Value;

use super::{Journal, Run, StepEnd, entry};
use crate::{
    act::{ApiError, target},
    model::{
        guard::{TargetKind, TargetRef},
        incident::{IncidentStatus, PlannedStep},
    },
    observe::{
        cluster::dynamic,
        objects::{Pod, Workload},
    },
};

/// What the journal calls it.
const DELETE: &str = "deletePod";
/// What the intent to write a StatefulSet says of its pods.
const OF_REVISION: &str = "its pods are of revision ";

/// A pod of a StatefulSet, as it was just read.
struct Member {
    name: String,
    ordinal: u32,
    uid: String,
    version: Option<String>,
    pod: Pod,
}

impl Member {
    fn read(set: &str, workload: &Workload, object: &DynamicObject) -> Option<Self> {
        let name = object.name_any();
        let pod = Pod::read(object).filter(|pod| pod.owner == workload.uid)?;
        Some(Self {
            ordinal: ordinal(set, &name)?,
            name,
            uid: object.uid()?,
            version: object.resource_version(),
            pod,
        })
    }

    fn target(&self) -> String {
        format!("Pod/{}", self.name)
    }
}

/// An intent to delete a pod that has no receipt yet.
struct Open {
    target: String,
    uid: String,
}

/// What the intent to write a StatefulSet says of its pods, so that those of the bad revision are known when it is written.
pub(super) fn revision(planned: &PlannedStep, read: Option<&target::Read>) -> Option<String> {
    let target: TargetRef = planned.target.as_deref()?.parse().ok()?;
    let revision = Workload::read(target.kind, &read?.object).revision;
    let revision = revision.filter(|_| target.kind == TargetKind::StatefulSet)?;
    Some(format!("{OF_REVISION}{revision}"))
}

impl Run<'_> {
    /// Deletes the pod that holds this workload up, where the plan put its template back. Gives what is waited for, or stands in
    /// the way of that.
    pub(super) async fn free(
        &self,
        seq: u32,
        planned: &PlannedStep,
        target: &TargetRef,
        object: &DynamicObject,
        status: &mut Journal<'_>,
    ) -> Result<Option<StepEnd>, ApiError> {
        let workload = Workload::read(target.kind, object);
        let open = unanswered(seq, &target.name, status);
        let left = left_behind(target, &workload, status);
        let stands = workload.rollout.complete().is_err() && !left.is_empty();
        if target.kind != TargetKind::StatefulSet || (!stands && open.is_empty()) {
            return Ok(None);
        }
        let pods = self.members(&target.name, &workload, object).await?;
        for open in open {
            self.settle(seq, planned, &open, &pods, status).await?;
        }
        let seen = workload.rollout.observed >= workload.rollout.generation;
        let replaces = workload.ordered && workload.keeps_pods.is_none() && !workload.rollout.paused;
        let holds_up = |member: &&Member| {
            let of_bad = member.pod.revision.as_ref().is_some_and(|own| left.contains(own));
            of_bad && !member.pod.ready && !member.pod.leaving
        };
        let held = pods.iter().filter(holds_up).max_by_key(|member| member.ordinal);
        match held.filter(|_| stands && seen && replaces) {
            Some(held) => self.delete(seq, planned, held, status).await.map(Some),
            None => Ok(None),
        }
    }

    async fn members(&self, set: &str, workload: &Workload, object: &DynamicObject) -> Result<Vec<Member>, ApiError> {
        let labels = object.data.pointer("/spec/selector/matchLabels");
        let labels = labels.and_then(Value::as_object).into_iter().flatten();
        let labels = labels.filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)));
        let own = ListParams::default().labels(&labels.collect::<Vec<_>>().join(","));
        let all = self.api.ask(None, self.pods().list(&own)).await?.items;
        Ok(all.iter().filter_map(|pod| Member::read(set, workload, pod)).collect())
    }

    /// One pod, exactly as it was just read: if it is another one by now, or another state of it, the next turn looks again.
    async fn delete(
        &self,
        seq: u32,
        planned: &PlannedStep,
        member: &Member,
        status: &mut Journal<'_>,
    ) -> Result<StepEnd, ApiError> {
        let target = member.target();
        if !unanswered_of(seq, status)
            .iter()
            .any(|open| open.target == target && open.uid == member.uid)
        {
            let mut entry = entry(seq, self.clock.now(), planned, member.version.clone());
            entry.intent = Some(DELETE.to_owned());
            entry.target = Some(target.clone());
            let revision = member.pod.revision.as_deref().unwrap_or_default();
            let words = format!("of revision {revision} and not Ready, it holds the roll-out up");
            entry.note = Some(format!("{}: {words}", member.uid));
            self.append(entry, status).await?;
        }
        if let Some(end) = self.stopped(planned, status).await {
            return Ok(end);
        }
        let same = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(member.uid.clone()),
                resource_version: member.version.clone(),
            }),
            ..DeleteParams::default()
        };
        let name = &member.name;
        match self.api.ask(Some("pod"), self.pods().delete(name, &same)).await {
            Ok(_) => {
                self.answered(seq, planned, target.clone(), "done", status).await?;
                Ok(StepEnd::Waiting(format!(
                    "{target} held the roll-out up and was deleted"
                )))
            }
            Err(ApiError::Unsure(why) | ApiError::NotFound(why) | ApiError::Invalid(why)) => Ok(StepEnd::Waiting(why)),
            Err(why @ (ApiError::Exists(_) | ApiError::Refused(_))) => Ok(StepEnd::Failed(format!(
                "pod {name} holds the roll-out up and cannot be deleted, `kubectl delete pod {name}`: {why}"
            ))),
        }
    }

    /// An intent is answered by what is there: the pod is on its way out or gone, or needs it no more.
    async fn settle(
        &self,
        seq: u32,
        planned: &PlannedStep,
        open: &Open,
        pods: &[Member],
        status: &mut Journal<'_>,
    ) -> Result<(), ApiError> {
        let there = pods
            .iter()
            .find(|member| member.target() == open.target && member.uid == open.uid && !member.pod.leaving);
        match there {
            None => self.answered(seq, planned, open.target.clone(), "done", status).await,
            Some(member) if member.pod.ready => {
                self.answered(seq, planned, open.target.clone(), "already", status)
                    .await
            }
            Some(_) => Ok(()),
        }
    }

    async fn answered(
        &self,
        seq: u32,
        planned: &PlannedStep,
        target: String,
        word: &str,
        status: &mut Journal<'_>,
    ) -> Result<(), ApiError> {
        let mut entry = entry(seq, self.clock.now(), planned, None);
        entry.receipt = Some(word.to_owned());
        entry.target = Some(target);
        self.append(entry, status).await
    }

    fn pods(&self) -> KubeApi<DynamicObject> {
        dynamic::<v1::Pod>(&self.api.client, &Some(self.namespace.to_owned()))
    }
}

/// The revisions that this incident's plans replaced in that workload, without the one that is wanted now.
fn left_behind(target: &TargetRef, workload: &Workload, status: &IncidentStatus) -> Vec<String> {
    let target = target.to_string();
    let own = status
        .journal
        .iter()
        .filter(|entry| entry.target.as_ref() == Some(&target));
    let revisions = own.filter_map(|entry| entry.note.as_ref()?.strip_prefix(OF_REVISION));
    let other = revisions.filter(|revision| Some(*revision) != workload.revision.as_deref());
    other.map(str::to_owned).collect()
}

/// The pods of that StatefulSet whose last entry under that number is an intent.
fn unanswered(seq: u32, set: &str, status: &IncidentStatus) -> Vec<Open> {
    let mut open = unanswered_of(seq, status);
    open.retain(|open| ordinal(set, open.target.trim_start_matches("Pod/")).is_some());
    open
}

fn unanswered_of(seq: u32, status: &IncidentStatus) -> Vec<Open> {
    let mut open: Vec<Open> = Vec::new();
    for entry in status.journal.iter().filter(|entry| entry.seq == seq) {
        let Some(target) = entry.target.as_ref().filter(|target| target.starts_with("Pod/")) else {
            continue;
        };
        open.retain(|other| other.target != *target);
        if entry.intent.is_some() {
            let note = entry.note.as_deref().unwrap_or_default();
            open.push(Open {
                target: target.clone(),
                uid: note.split(':').next().unwrap_or_default().to_owned(),
            });
        }
    }
    open
}

/// `2` of `web-2`, a pod of `web`.
fn ordinal(set: &str, pod: &str) -> Option<u32> {
    pod.strip_prefix(set)?.strip_prefix('-')?.parse().ok()
}
