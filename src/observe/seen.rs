//! Pure. A guard's targets as they are now, put together from what the watches show.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::judge::Facts;
use crate::model::{
    content::state_hash,
    guard::{GuardSpec, TargetKind, TargetRef},
};

use super::{
    cluster::{Cluster, ReadConfig},
    objects::{Pod, Workload},
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
}

/// Why a guard's targets cannot be seen as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSeen {
    /// A target does not exist.
    Missing(TargetRef),
    /// Another controller owns a target.
    Owned { target: TargetRef, by: String },
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
    others: BTreeMap<String, String>,
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
                BTreeMap::new()
            },
        }
    }

    /// Whether this object may be written.
    pub fn holds(&self, target: &TargetRef) -> bool {
        let followed = self.follows && target.kind == TargetKind::ConfigMap && !self.others.contains_key(&target.name);
        followed || self.targets.contains(target)
    }
}

impl Followed {
    /// Which ConfigMaps of the namespace belong to this guard alone.
    pub fn find(namespace: &str, spec: &GuardSpec, cluster: &Cluster) -> Self {
        let named = |kind| {
            spec.targets
                .iter()
                .filter(move |t| t.kind == kind)
                .map(|t| t.name.clone())
        };
        let mut followed = Self {
            own: named(TargetKind::ConfigMap).collect(),
            shared: BTreeMap::new(),
        };
        if !spec.follow_config {
            return followed;
        }
        let workloads: Vec<_> = named(TargetKind::Deployment)
            .filter_map(|name| cluster.workloads.get(namespace, &name))
            .collect();
        let used: BTreeSet<&str> = workloads
            .iter()
            .flat_map(|workload| &workload.config)
            .map(|used| used.name.as_str())
            .collect();
        if used.is_empty() {
            return followed;
        }
        let others = others(namespace, spec, cluster);
        for name in used {
            match others.get(name) {
                Some(by) if !followed.own.contains(name) => {
                    followed.shared.insert(name.to_owned(), by.clone());
                }
                Some(_) | None => {
                    followed.own.insert(name.to_owned());
                }
            }
        }
        followed
    }
}

/// The ConfigMaps that others than this guard's workloads use, and who does.
fn others(namespace: &str, spec: &GuardSpec, cluster: &Cluster) -> BTreeMap<String, String> {
    let guards = |name: &str| {
        let mut targets = spec.targets.iter();
        targets.any(|target| target.kind == TargetKind::Deployment && target.name == name)
    };
    let workloads = cluster.workloads.of_namespace(namespace);
    let mine: BTreeSet<&str> = workloads
        .iter()
        .filter(|(name, _)| guards(name))
        .map(|(_, workload)| workload.uid.as_str())
        .collect();
    let revisions = cluster.revisions.of_namespace(namespace);
    let owners: BTreeMap<&str, &str> = revisions
        .iter()
        .map(|(_, revision)| (revision.uid.as_str(), revision.owner.as_str()))
        .collect();
    // The watch of pods may be ahead of the watch of ReplicaSets: a pod of a new one may be anybody's, also this guard's.
    let foreign = |pod: &Pod| match owners.get(pod.owner.as_str()) {
        Some(owner) => !mine.contains(owner),
        None => !pod.replicated,
    };
    let mut others = BTreeMap::new();
    for (name, workload) in workloads.iter().filter(|(name, _)| !guards(name)) {
        others.extend(workload.config.iter().map(|used| (used.name.clone(), name.clone())));
    }
    for (_, pod) in cluster.pods.of_namespace(namespace) {
        if !pod.leaving && foreign(&pod) {
            for used in &pod.config {
                others
                    .entry(used.name.clone())
                    .or_insert_with(|| pod.owner_name.clone());
            }
        }
    }
    others
}

impl Seen {
    /// Puts a guard's targets together. `configs` holds the content of the ConfigMaps in `followed.own` that exist.
    pub fn assemble(
        namespace: &str,
        spec: &GuardSpec,
        followed: &Followed,
        configs: &BTreeMap<String, ReadConfig>,
        cluster: &Cluster,
    ) -> Result<Self, NotSeen> {
        let mut parts = BTreeMap::new();
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
                TargetKind::Deployment => {
                    let found = cluster.workloads.get(namespace, &target.name);
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
                    collect_facts(target, &workload, &pods, &mut facts);
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
        })
    }
}

/// The pods of the workload's newest revision, once its controller has seen the newest generation.
fn newest_pods(namespace: &str, workload: &Workload, cluster: &Cluster) -> Vec<(String, std::sync::Arc<Pod>)> {
    if workload.rollout.observed < workload.rollout.generation || workload.revision.is_none() {
        return Vec::new();
    }
    let newest = cluster.revisions.matching(namespace, |revision| {
        revision.owner == workload.uid && revision.revision == workload.revision
    });
    let Some((_, newest)) = newest.first() else {
        return Vec::new();
    };
    cluster
        .pods
        .matching(namespace, |pod| pod.owner == newest.uid && !pod.leaving)
}

/// Since when the roll-out is complete and every pod Ready. API times are whole seconds, rounded down.
fn whole(workload: &Workload, pods: &[(String, std::sync::Arc<Pod>)]) -> Option<Timestamp> {
    let ready = pods.iter().map(|(_, pod)| pod.ready_since);
    let times = ready.chain([workload.rollout.completed_at]);
    let latest = times.reduce(|one, other| Some(one?.max(other?))).flatten()?;
    latest.checked_add(jiff::SignedDuration::from_secs(1)).ok()
}

/// A pod that read its settings at its start must be younger than they are. API times are whole seconds.
fn fresh(pods: &[(String, std::sync::Arc<Pod>)], configs: &BTreeMap<String, ReadConfig>) -> Result<(), String> {
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

fn collect_facts(target: &TargetRef, workload: &Workload, pods: &[(String, std::sync::Arc<Pod>)], facts: &mut Facts) {
    let current = workload.rollout.observed >= workload.rollout.generation;
    if let Some(message) = workload.rollout.deadline_exceeded.as_ref().filter(|_| current) {
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

/// A container of the new revision that ended so often, while no new pod is Ready, is crash looping.
const CRASHES: i64 = 3;
