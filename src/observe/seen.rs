//! Pure. A guard's targets as they are now, put together from what the watches show.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use crate::judge::Facts;
use crate::model::{
    content::state_hash,
    guard::{GuardSpec, TargetKind, TargetRef},
};

use super::{
    cluster::{Cluster, ReadConfig},
    objects::{Pod, Workload},
    sides::pods_of,
};

/// A guard's targets as they are now.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The state's hash.
    pub hash: String,
    pub images: Vec<String>,
    /// The content hash of each target.
    pub parts: BTreeMap<TargetRef, String>,
    /// Every workload rolled out, no pod older than the settings it read at its start.
    pub rolled_out: Result<(), String>,
    /// Since when that is known to be so without a break.
    pub whole_since: Option<Timestamp>,
    pub facts: Facts,
    /// ConfigMaps that other workloads use as well: named, never restored.
    pub shared: Vec<String>,
    /// Why a restored template would not replace the pods that hurt.
    pub keeps_pods: Option<String>,
}

/// Why a guard's targets cannot be seen as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSeen {
    /// A target does not exist.
    Missing(TargetRef),
    /// Another controller owns a target.
    Owned { target: TargetRef, by: String },
    /// An older guard names it too.
    Shared { target: TargetRef, by: String },
}

/// The ConfigMaps that a guard's state consists of; and those shared with others, by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    pub own: BTreeSet<String>,
    pub shared: BTreeMap<String, String>,
}

/// What a plan of a guard may write: its targets, and the ConfigMaps that it follows and nobody else uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writable {
    targets: BTreeSet<TargetRef>,
    follows: bool,
    /// ConfigMaps that others use.
    others: BTreeSet<String>,
}

impl Writable {
    /// As of now.
    pub fn of(namespace: &str, spec: &GuardSpec, cluster: &Cluster) -> Self {
        Self {
            targets: spec.targets.iter().cloned().collect(),
            follows: spec.follow_config,
            others: if spec.follow_config {
                others(namespace, spec, cluster)
            } else {
                BTreeSet::new()
            },
        }
    }

    /// Whether this object may be written.
    pub fn holds(&self, target: &TargetRef) -> bool {
        let followed = self.follows && target.kind == TargetKind::ConfigMap && !self.others.contains(&target.name);
        followed || self.targets.contains(target)
    }
}

impl Followed {
    /// Which ConfigMaps of the namespace belong to this guard alone.
    pub fn find(namespace: &str, spec: &GuardSpec, cluster: &Cluster, users: &Users) -> Self {
        let configs = spec
            .targets
            .iter()
            .filter(|target| target.kind == TargetKind::ConfigMap);
        let mut followed = Self {
            own: configs.map(|target| target.name.clone()).collect(),
            shared: BTreeMap::new(),
        };
        if !spec.follow_config {
            return followed;
        }
        let workloads: Vec<_> = spec
            .targets
            .iter()
            .filter_map(|target| cluster.workload(namespace, target))
            .collect();
        let mine: BTreeSet<&str> = workloads.iter().map(|workload| workload.uid.as_str()).collect();
        let used = workloads.iter().flat_map(|workload| &workload.config);
        for name in used.map(|used| used.name.as_str()) {
            match users.other(name, &mine) {
                Some(by) if !followed.own.contains(name) => {
                    followed.shared.insert(name.to_owned(), by.to_owned());
                }
                Some(_) | None => {
                    followed.own.insert(name.to_owned());
                }
            }
        }
        followed
    }
}

/// Who uses which ConfigMaps of a namespace: found once for all of its guards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<String, Vec<User>>);

/// One user of a ConfigMap: a workload, by its uid, and its name for words.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    uid: String,
    name: String,
}

impl Users {
    /// As templates and running pods show it.
    pub fn of(namespace: &str, cluster: &Cluster) -> Self {
        let mut users = Self::default();
        for (name, workload) in cluster.workloads(namespace) {
            for used in &workload.config {
                users.add(&used.name, &workload.uid, &name);
            }
        }
        let revisions = cluster.revisions.of_namespace(namespace);
        let owners: BTreeMap<&str, &str> = revisions
            .iter()
            .map(|(_, revision)| (revision.uid.as_str(), revision.owner.as_str()))
            .collect();
        for (_, pod) in cluster.pods.of_namespace(namespace) {
            let owner = match owners.get(pod.owner.as_str()) {
                Some(owner) => owner,
                // The watch of pods may be ahead of the watch of ReplicaSets: a pod of a new one may be anybody's.
                None if pod.replicated => continue,
                None => pod.owner.as_str(),
            };
            for used in pod.config.iter().filter(|_| !pod.leaving) {
                users.add(&used.name, owner, &pod.owner_name);
            }
        }
        users
    }

    fn add(&mut self, config: &str, uid: &str, name: &str) {
        let users = self.0.entry(config.to_owned()).or_default();
        if !users.iter().any(|user| user.uid == uid) {
            users.push(User {
                uid: uid.to_owned(),
                name: name.to_owned(),
            });
        }
    }

    /// Somebody else who uses it.
    fn other(&self, config: &str, mine: &BTreeSet<&str>) -> Option<&str> {
        let mut users = self.0.get(config)?.iter();
        users
            .find(|user| !mine.contains(user.uid.as_str()))
            .map(|user| user.name.as_str())
    }
}

fn others(namespace: &str, spec: &GuardSpec, cluster: &Cluster) -> BTreeSet<String> {
    let targets = spec.targets.iter();
    let workloads: Vec<_> = targets
        .filter_map(|target| cluster.workload(namespace, target))
        .collect();
    let mine: BTreeSet<&str> = workloads.iter().map(|workload| workload.uid.as_str()).collect();
    let users = Users::of(namespace, cluster);
    let shared = users.0.keys().filter(|config| users.other(config, &mine).is_some());
    shared.cloned().collect()
}

impl Seen {
    /// Puts a guard's targets together. `configs` holds the content of the ConfigMaps in `followed.own` that exist.
    pub fn assemble(
        namespace: &str,
        spec: &GuardSpec,
        followed: &Followed,
        configs: &BTreeMap<String, ReadConfig>,
        cluster: &Cluster,
        now: Timestamp,
    ) -> Result<Self, NotSeen> {
        let mut parts = BTreeMap::new();
        let mut keeps_pods = None;
        let mut images = Vec::new();
        let mut rolled_out = Ok(());
        let mut whole_since = Some(Timestamp::MIN);
        let mut facts = Facts::default();
        for target in &spec.targets {
            match target.kind {
                TargetKind::ConfigMap => {
                    let config = configs
                        .get(&target.name)
                        .ok_or_else(|| NotSeen::Missing(target.clone()))?;
                    parts.insert(target.clone(), config.hash.clone());
                }
                TargetKind::Deployment | TargetKind::StatefulSet | TargetKind::DaemonSet => {
                    let found = cluster.workload(namespace, target);
                    let workload = found.ok_or_else(|| NotSeen::Missing(target.clone()))?;
                    if let Some(by) = &workload.owner {
                        return Err(NotSeen::Owned {
                            target: target.clone(),
                            by: by.clone(),
                        });
                    }
                    parts.insert(target.clone(), workload.template.clone());
                    images.extend(workload.images.iter().cloned());
                    let pods = newest_pods(namespace, &workload, cluster);
                    let complete = workload.rollout.complete().map_err(|why| format!("{target}: {why}"));
                    rolled_out = rolled_out.and(complete).and(fresh(&pods, configs));
                    whole_since = whole_since.zip(whole(&workload, &pods)).map(|(all, one)| all.max(one));
                    collect_facts(target, &workload, &pods, now, &mut facts);
                    keeps_pods = keeps_pods.or_else(|| stuck(target, &workload, &pods));
                }
            }
        }
        for name in &followed.own {
            let target = TargetRef {
                kind: TargetKind::ConfigMap,
                name: name.clone(),
            };
            parts.extend(configs.get(name).map(|config| (target, config.hash.clone())));
        }
        let hash = state_hash(parts.iter().map(|(target, hash)| (target, hash.as_str())));
        let shared = followed
            .shared
            .iter()
            .map(|(name, by)| format!("ConfigMap/{name}, shared with {by}, left alone"));
        Ok(Self {
            hash,
            images,
            parts,
            whole_since: whole_since.filter(|_| rolled_out.is_ok()),
            rolled_out,
            facts,
            shared: shared.collect(),
            keeps_pods,
        })
    }
}

/// The pods of the workload's newest revision, once its controller has seen the newest generation.
fn newest_pods(namespace: &str, workload: &Workload, cluster: &Cluster) -> Vec<(String, Arc<Pod>)> {
    if workload.rollout.observed < workload.rollout.generation || workload.revision.is_none() {
        return Vec::new();
    }
    let pods = pods_of(namespace, workload, cluster).into_iter();
    pods.filter(|(_, pod, newest)| *newest && !pod.leaving)
        .map(|(name, pod, _)| (name, pod))
        .collect()
}

/// A StatefulSet that brings its pods one after the other does not replace one that never gets Ready, also when the
/// template is back.
fn stuck(target: &TargetRef, workload: &Workload, pods: &[(String, Arc<Pod>)]) -> Option<String> {
    if let Some(why) = &workload.keeps_pods {
        return Some(format!("{target}: {why}"));
    }
    let (pod, _) = pods.iter().find(|(_, pod)| !pod.ready).filter(|_| workload.ordered)?;
    Some(format!(
        "{target} replaces its pods in order, and pod {pod} is not Ready: put the template back, then `kubectl delete pod {pod}`"
    ))
}

/// Since when the roll-out is complete and every pod Ready. API times are whole seconds, rounded down.
fn whole(workload: &Workload, pods: &[(String, std::sync::Arc<Pod>)]) -> Option<Timestamp> {
    let ready = pods.iter().map(|(_, pod)| pod.ready_since);
    let times = ready.chain([workload.rollout.completed_at]);
    let latest = times.reduce(|one, other| Some(one?.max(other?))).flatten()?;
    latest.checked_add(jiff::SignedDuration::from_secs(1)).ok()
}

/// A pod that read its settings at its start must be younger than they are. API times are whole seconds.
fn fresh(pods: &[(String, Arc<Pod>)], configs: &BTreeMap<String, ReadConfig>) -> Result<(), String> {
    for (name, pod) in pods {
        for used in pod.config.iter().filter(|used| used.at_start) {
            let changed: Option<Timestamp> = configs.get(&used.name).and_then(|config| config.changed);
            if let (Some(changed), Some(created)) = (changed, pod.created)
                && created < changed
            {
                return Err(format!(
                    "pod {name} is older than the last change of ConfigMap/{}",
                    used.name
                ));
            }
        }
    }
    Ok(())
}

fn collect_facts(
    target: &TargetRef,
    workload: &Workload,
    pods: &[(String, Arc<Pod>)],
    now: Timestamp,
    facts: &mut Facts,
) {
    let current = workload.rollout.observed >= workload.rollout.generation;
    let told = workload.rollout.deadline_exceeded.clone().filter(|_| current);
    let exceeded = match target.kind {
        TargetKind::StatefulSet | TargetKind::DaemonSet => no_progress(workload, pods, now).filter(|_| current),
        TargetKind::Deployment | TargetKind::ConfigMap => told,
    };
    if let Some(message) = exceeded {
        facts
            .progress_deadline_exceeded
            .get_or_insert_with(|| format!("{target}: {message}"));
    }
    if pods.iter().any(|(_, pod)| pod.ready) {
        return;
    }
    let worst = pods
        .iter()
        .flat_map(|(name, pod)| pod.containers.iter().map(move |c| (name, c)))
        .max_by_key(|(_, c)| c.ended);
    if let Some((pod, container)) = worst.filter(|(_, c)| c.ended >= CRASHES) {
        facts.crash_looping.get_or_insert_with(|| {
            format!(
                "container {} of pod {pod} ended {} times ({}) and no new pod is Ready",
                container.name, container.ended, container.last
            )
        });
    }
}

/// What a Deployment's controller says by itself after `progressDeadlineSeconds` (600 by default), for kinds without one: the
/// roll-out is not complete, and a pod of the new revision has not been Ready for so long.
fn no_progress(workload: &Workload, pods: &[(String, Arc<Pod>)], now: Timestamp) -> Option<String> {
    workload.rollout.complete().err()?;
    let (name, _) = pods.iter().find(|(_, pod)| {
        let since = pod.unready_since.map(|since| now.duration_since(since));
        since.is_some_and(|unready| unready >= PROGRESS_DEADLINE)
    })?;
    Some(format!("pod {name} of the new revision has not been Ready for 10 min"))
}

/// The default of a Deployment's `progressDeadlineSeconds`.
const PROGRESS_DEADLINE: SignedDuration = SignedDuration::from_secs(600);
/// A container of the new revision that ended so often, while no new pod is Ready, is crash looping.
const CRASHES: i64 = 3;

#[cfg(test)]
mod tests {
    use kube::api::DynamicObject;
    use serde_json::json;

    use super::*;

    /// A StatefulSet of two, of which one pod is of the new revision.
    fn stateful_set(policy: &str) -> Workload {
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "uid": "u", "generation": 2},
            "spec": {"replicas": 2, "podManagementPolicy": policy, "template": {"spec": {"containers": []}}},
            "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 1, "updateRevision": "db-2"},
        }))
        .unwrap();
        Workload::read(TargetKind::StatefulSet, &object)
    }

    fn pod(unready_since: Option<&str>) -> Vec<(String, Arc<Pod>)> {
        let status = if unready_since.is_some() { "False" } else { "True" };
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "db-1", "labels": {"controller-revision-hash": "db-2"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u", "controller": true}]},
            "status": {"conditions": [{"type": "Ready", "status": status, "lastTransitionTime": unready_since}]},
        }))
        .unwrap();
        vec![("db-1".to_owned(), Arc::new(Pod::read(&object).unwrap()))]
    }

    #[test]
    fn what_no_deadline_tells_of_is_derived_from_the_pods() {
        let now: Timestamp = "2026-03-01T00:10:00Z".parse().unwrap();
        let said = |since| no_progress(&stateful_set("OrderedReady"), &pod(since), now);
        assert_eq!(said(Some("2026-03-01T00:00:01Z")), None);
        let sentence = said(Some("2026-03-01T00:00:00Z")).unwrap();
        assert_eq!(sentence, "pod db-1 of the new revision has not been Ready for 10 min");
        assert_eq!(said(None), None, "it is Ready");
        assert_eq!(pod(None)[0].1.revision.as_deref(), Some("db-2"));
    }

    #[test]
    fn pods_that_come_in_order_are_not_replaced_while_one_is_not_ready() {
        let target: TargetRef = "StatefulSet/db".parse().unwrap();
        let since = Some("2026-03-01T00:00:00Z");
        let why = stuck(&target, &stateful_set("OrderedReady"), &pod(since)).unwrap();
        assert!(why.contains("kubectl delete pod db-1"), "{why}");
        assert_eq!(stuck(&target, &stateful_set("OrderedReady"), &pod(None)), None);
        assert_eq!(stuck(&target, &stateful_set("Parallel"), &pod(since)), None);
        let kept = Workload {
            keeps_pods: Some("its updateStrategy is OnDelete, which replaces no pods".into()),
            ..stateful_set("Parallel")
        };
        assert!(stuck(&target, &kept, &pod(None)).is_some());
    }
}
