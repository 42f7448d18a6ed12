//! Pure. The cluster's objects, trimmed to what modosu judges by. Contents are kept as hashes only.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::DynamicObject;
use serde_json::Value;

use super::managers::Manager;
use crate::model::content::{Content, NO_WAY_BACK, POD_TEMPLATE_HASH, images};
use crate::model::{
    freeze::Freeze,
    guard::{TargetKind, TargetRef},
};

/// A Deployment, StatefulSet or DaemonSet as far as it concerns a guard.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    pub uid: String,
    /// The newest revision: by it the newest pods (or the newest ReplicaSet) are known.
    pub revision: Option<String>,
    /// The hash of its pod template.
    pub template: String,
    pub images: Vec<String>,
    /// Why nobody may go back from its template without a person: what its annotation says.
    pub no_way_back: Option<String>,
    pub config: Vec<ConfigUse>,
    pub rollout: Rollout,
    /// What its annotations say.
    pub freeze: Option<Freeze>,
    /// The tool that looks after it.
    pub manager: Option<Manager>,
    /// The kind and name of a controller that owns it, such as a Rollout.
    pub owner: Option<String>,
    /// Why a new template would not replace its pods.
    pub keeps_pods: Option<String>,
    /// Its pods come one after the other: one that does not get Ready stops the others, also on the way back.
    pub ordered: bool,
}

/// The numbers of a roll-out, as `kubectl rollout status` reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    pub generation: i64,
    pub observed: i64,
    pub wanted: i64,
    pub replicas: i64,
    pub updated: i64,
    pub available: i64,
    pub paused: bool,
    /// When its controller last called it complete.
    pub completed_at: Option<Timestamp>,
    /// The message of `ProgressDeadlineExceeded`.
    pub deadline_exceeded: Option<String>,
}

/// A ConfigMap or a Secret that a pod template uses, and whether a running process can see it change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigUse {
    pub target: TargetRef,
    /// Read once, at the container's start: env, envFrom, subPath.
    pub at_start: bool,
}

/// A ReplicaSet: which revision of which Deployment it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    pub uid: String,
    pub owner: String,
    /// Its `pod-template-hash`.
    pub hash: Option<String>,
    pub revision: Option<String>,
}

/// A pod, its owner and how its containers do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub owner: String,
    pub created: Option<Timestamp>,
    pub ready: bool,
    /// Since when it is not Ready; absent where it is.
    pub unready_since: Option<Timestamp>,
    /// Of a StatefulSet's or DaemonSet's pod: its revision.
    pub revision: Option<String>,
    pub ready_since: Option<Timestamp>,
    pub leaving: bool,
    /// All of its containers ended for good.
    pub finished: bool,
    pub containers: Vec<Container>,
    pub config: Vec<ConfigUse>,
    /// The owner's name, for words.
    pub owner_name: String,
    /// Its IP address, once it has one.
    pub address: Option<String>,
    /// A ReplicaSet owns it: whose that is tells another watch, maybe later.
    pub replicated: bool,
}

/// How often a container ended, and how last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub name: String,
    pub ended: i64,
    pub last: String,
}

impl Rollout {
    /// Complete as `kubectl rollout status` says: generation first, then the numbers; paused never is.
    pub fn complete(&self) -> Result<(), String> {
        let Self {
            wanted,
            replicas,
            updated,
            available,
            ..
        } = *self;
        if self.paused {
            Err("it is paused".into())
        } else if self.observed < self.generation {
            Err("its newest generation was not seen by its controller yet".into())
        } else if updated < wanted {
            Err(format!("{updated} of {wanted} pods are updated"))
        } else if replicas > updated {
            Err(format!("{} old pods are still there", replicas - updated))
        } else if available < updated {
            Err(format!("{available} of {updated} updated pods are available"))
        } else {
            Ok(())
        }
    }
}

impl Workload {
    /// Reads a workload of that kind.
    pub fn read(kind: TargetKind, object: &DynamicObject) -> Self {
        let data = &object.data;
        let template = data.pointer("/spec/template").unwrap_or(&Value::Null);
        let rollout = match kind {
            TargetKind::DaemonSet => daemon_set(object),
            TargetKind::Deployment | TargetKind::StatefulSet | TargetKind::ConfigMap | TargetKind::Secret => {
                counted(object)
            }
        };
        let note = |name: &str| object.metadata.annotations.as_ref()?.get(name).cloned();
        Self {
            uid: object.metadata.uid.clone().unwrap_or_default(),
            revision: match kind {
                TargetKind::StatefulSet => data
                    .pointer("/status/updateRevision")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
                TargetKind::DaemonSet => note(GENERATION_OF_DAEMON_SET),
                TargetKind::Deployment | TargetKind::ConfigMap | TargetKind::Secret => revision(&object.metadata),
            },
            template: Content::of(kind, data).hash(),
            freeze: Freeze::of_annotations(
                &format!("{kind:?}/{}", object.metadata.name.as_deref().unwrap_or_default()),
                object.metadata.annotations.as_ref(),
            ),
            images: images(template),
            no_way_back: template
                .get("metadata")
                .and_then(|metadata| text(metadata.get("annotations")?, NO_WAY_BACK))
                .map(str::to_owned),
            config: config_uses(template.get("spec").unwrap_or(&Value::Null)),
            rollout,
            manager: Manager::of(&object.metadata),
            owner: controller(&object.metadata).map(|owner| format!("{}/{}", owner.kind, owner.name)),
            keeps_pods: keeps_pods(data),
            ordered: kind == TargetKind::StatefulSet
                && data.pointer("/spec/podManagementPolicy").and_then(Value::as_str) != Some("Parallel"),
        }
    }
}

/// Kubernetes itself tells by it which pods of a DaemonSet are new, beside the hash of their revision.
const GENERATION_OF_DAEMON_SET: &str = "deprecated.daemonset.template.generation";

fn number(object: &DynamicObject, path: &str) -> Option<i64> {
    object.data.pointer(path).and_then(Value::as_i64)
}

/// The numbers of a Deployment or a StatefulSet.
fn counted(object: &DynamicObject) -> Rollout {
    let count = |path: &str| number(object, path).unwrap_or(0);
    let conditions = || {
        let all = object.data.pointer("/status/conditions").and_then(Value::as_array);
        all.into_iter().flatten()
    };
    let completed = conditions().find(|c| text(c, "reason") == Some("NewReplicaSetAvailable"));
    let exceeded = conditions()
        .filter(|c| text(c, "reason") == Some("ProgressDeadlineExceeded") && text(c, "status") == Some("False"))
        .map(|c| text(c, "message").unwrap_or("progress deadline exceeded").to_owned())
        .next();
    Rollout {
        generation: object.metadata.generation.unwrap_or(0),
        observed: count("/status/observedGeneration"),
        wanted: number(object, "/spec/replicas").unwrap_or(1),
        replicas: count("/status/replicas"),
        updated: count("/status/updatedReplicas"),
        available: count("/status/availableReplicas"),
        paused: object
            .data
            .pointer("/spec/paused")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        completed_at: completed.and_then(|c| text(c, "lastUpdateTime")?.parse().ok()),
        deadline_exceeded: exceeded,
    }
}

fn daemon_set(object: &DynamicObject) -> Rollout {
    let count = |path: &str| number(object, path).unwrap_or(0);
    Rollout {
        generation: object.metadata.generation.unwrap_or(0),
        observed: count("/status/observedGeneration"),
        wanted: count("/status/desiredNumberScheduled"),
        replicas: count("/status/currentNumberScheduled"),
        updated: count("/status/updatedNumberScheduled"),
        available: count("/status/numberAvailable"),
        paused: false,
        completed_at: None,
        deadline_exceeded: None,
    }
}

/// `OnDelete` replaces no pod by itself, and a partition leaves the first ones as they are.
fn keeps_pods(data: &Value) -> Option<String> {
    let partition = data
        .pointer("/spec/updateStrategy/rollingUpdate/partition")
        .and_then(Value::as_i64);
    match (
        data.pointer("/spec/updateStrategy/type").and_then(Value::as_str),
        partition,
    ) {
        (Some("OnDelete"), _) => Some("its updateStrategy is OnDelete, which replaces no pods".to_owned()),
        (_, Some(partition)) if partition > 0 => Some(format!(
            "its partition of {partition} leaves the first pods as they are"
        )),
        (_, Some(_) | None) => None,
    }
}

impl Revision {
    /// Reads a ReplicaSet's metadata. One that nobody owns is known as nobody's.
    pub fn read(metadata: &ObjectMeta) -> Option<Self> {
        let owner = controller(metadata).map(|owner| owner.uid.clone());
        Some(Self {
            uid: metadata.uid.clone()?,
            owner: owner.unwrap_or_default(),
            hash: metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get(POD_TEMPLATE_HASH).cloned()),
            revision: revision(metadata),
        })
    }
}

impl Pod {
    /// Reads a pod that some controller owns.
    pub fn read(object: &DynamicObject) -> Option<Self> {
        let owner = controller(&object.metadata)?;
        let data = &object.data;
        let conditions = data.pointer("/status/conditions").and_then(Value::as_array);
        let ready = conditions
            .into_iter()
            .flatten()
            .find(|c| text(c, "type") == Some("Ready"));
        let created = object.metadata.creation_timestamp.as_ref().map(|t| t.0);
        let changed = ready.and_then(|c| text(c, "lastTransitionTime")?.parse().ok());
        let ready = ready.is_some_and(|c| text(c, "status") == Some("True"));
        let label = |name: &str| object.metadata.labels.as_ref()?.get(name).cloned();
        let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"].map(|at| data.pointer(at));
        Some(Self {
            owner: owner.uid.clone(),
            owner_name: owner.name.clone(),
            address: data.pointer("/status/podIP").and_then(Value::as_str).map(str::to_owned),
            replicated: owner.kind == "ReplicaSet",
            created,
            ready,
            ready_since: changed.filter(|_| ready),
            unready_since: changed.or(created).filter(|_| !ready),
            revision: match owner.kind.as_str() {
                "StatefulSet" => label("controller-revision-hash"),
                "DaemonSet" => label("pod-template-generation"),
                _ => None,
            },
            leaving: object.metadata.deletion_timestamp.is_some(),
            finished: matches!(
                data.pointer("/status/phase").and_then(Value::as_str),
                Some("Succeeded" | "Failed")
            ),
            containers: statuses
                .into_iter()
                .flatten()
                .filter_map(Value::as_array)
                .flatten()
                .map(container)
                .collect(),
            config: config_uses(data.get("spec").unwrap_or(&Value::Null)),
        })
    }
}

/// A container's end is counted once: when it is restarted, or while it lies ended or waits to be restarted.
fn container(status: &Value) -> Container {
    let restarts = status.get("restartCount").and_then(Value::as_i64).unwrap_or(0);
    let lies = status.pointer("/state/terminated");
    let waits = status
        .pointer("/state/waiting")
        .and(status.pointer("/lastState/terminated"));
    let last = lies.or_else(|| status.pointer("/lastState/terminated"));
    let failed = |end: &Value| end.get("exitCode").and_then(Value::as_i64).unwrap_or(0) != 0;
    let lying = i64::from(lies.is_some_and(failed) || waits.is_some_and(failed));
    let words = last.map_or_else(String::new, |end| {
        let code = end.get("exitCode").and_then(Value::as_i64).unwrap_or(0);
        format!("exit code {code}, {}", text(end, "reason").unwrap_or("no reason given"))
    });
    Container {
        name: text(status, "name").unwrap_or_default().to_owned(),
        ended: restarts + lying,
        last: words,
    }
}

fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true))
}

fn revision(metadata: &ObjectMeta) -> Option<String> {
    metadata
        .annotations
        .as_ref()?
        .get("deployment.kubernetes.io/revision")
        .cloned()
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// Every ConfigMap and Secret that a pod spec reads: env, envFrom, volumes, projected volumes; init containers too.
pub fn config_uses(spec: &Value) -> Vec<ConfigUse> {
    let mut uses = Vec::new();
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let containers: Vec<Value> = ["initContainers", "containers"]
        .iter()
        .flat_map(|key| list(spec, key))
        .collect();
    for container in &containers {
        for env in list(container, "env") {
            named(
                &env,
                "/valueFrom/configMapKeyRef/name",
                "/valueFrom/secretKeyRef/name",
                true,
                &mut uses,
            );
        }
        for from in list(container, "envFrom") {
            named(&from, "/configMapRef/name", "/secretRef/name", true, &mut uses);
        }
    }
    for volume in list(spec, "volumes") {
        let sub_path = containers
            .iter()
            .flat_map(|c| list(c, "volumeMounts"))
            .any(|mount| text(&mount, "name") == text(&volume, "name") && mount.get("subPath").is_some());
        named(&volume, "/configMap/name", "/secret/secretName", sub_path, &mut uses);
        for source in volume.get("projected").map(|p| list(p, "sources")).unwrap_or_default() {
            named(&source, "/configMap/name", "/secret/name", sub_path, &mut uses);
        }
    }
    uses.sort();
    uses.dedup_by(|next, kept| {
        let same = next.target == kept.target;
        kept.at_start |= same && next.at_start;
        same
    });
    uses
}

/// The ConfigMap or the Secret that is named at one of these places.
fn named(value: &Value, config: &str, secret: &str, at_start: bool, uses: &mut Vec<ConfigUse>) {
    for (kind, place) in [(TargetKind::ConfigMap, config), (TargetKind::Secret, secret)] {
        uses.extend(value.pointer(place).and_then(Value::as_str).map(|name| ConfigUse {
            target: TargetRef {
                kind,
                name: name.to_owned(),
            },
            at_start,
        }));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_way_to_read_a_config_map_or_a_secret_is_seen() {
        let spec = json!({
            "initContainers": [{"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "init", "key": "a"}}}]}],
            "containers": [{
                "env": [{"name": "B", "valueFrom": {"secretKeyRef": {"name": "key", "key": "b"}}}],
                "envFrom": [{"configMapRef": {"name": "all"}}, {"secretRef": {"name": "whole"}}],
                "volumeMounts": [{"name": "one", "mountPath": "/x", "subPath": "x"}],
            }],
            "imagePullSecrets": [{"name": "no process reads it"}],
            "volumes": [
                {"name": "one", "configMap": {"name": "file"}},
                {"name": "two", "projected": {"sources": [{"configMap": {"name": "part"}}, {"secret": {"name": "s"}}]}},
                {"name": "three", "configMap": {"name": "all"}},
                {"name": "four", "secret": {"secretName": "mounted"}},
            ],
        });
        let seen: Vec<_> = config_uses(&spec)
            .into_iter()
            .map(|used| (used.target.to_string(), used.at_start))
            .collect();
        let want = [
            ("ConfigMap/all", true),
            ("ConfigMap/file", true),
            ("ConfigMap/init", true),
            ("ConfigMap/part", false),
            ("Secret/key", true),
            ("Secret/mounted", false),
            ("Secret/s", false),
            ("Secret/whole", true),
        ];
        assert_eq!(seen, want.map(|(name, at_start)| (name.to_owned(), at_start)));
    }

    #[test]
    fn a_container_waiting_to_be_restarted_ended_once_more_than_it_was_restarted() {
        let waiting = json!({"name": "c", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}});
        assert_eq!(container(&waiting).ended, 3);
        let running = json!({"name": "c", "restartCount": 2, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}}});
        assert_eq!(container(&running).ended, 2);
    }

    #[test]
    fn a_roll_out_is_complete_only_for_the_newest_generation() {
        let done = Rollout {
            generation: 2,
            observed: 2,
            wanted: 2,
            replicas: 2,
            updated: 2,
            available: 2,
            ..Rollout::default()
        };
        assert_eq!(done.complete(), Ok(()));
        assert!(
            Rollout {
                generation: 3,
                ..done.clone()
            }
            .complete()
            .is_err()
        );
        assert!(
            Rollout {
                paused: true,
                ..done.clone()
            }
            .complete()
            .is_err()
        );
        assert!(Rollout { replicas: 3, ..done }.complete().is_err());
    }
}
