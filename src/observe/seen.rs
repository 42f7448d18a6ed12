//! Pure. A guard's targets as they are now, put together from what the watches show.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::judge::Facts;
use crate::model::{
    content::state_hash,
    guard::{GuardSpec, TargetKind, TargetRef},
};

use super::{
    cache::ObjectKey,
    cluster::{Cluster, ReadConfig},
    managers::Managed,
    objects::{Pod, Workload},
    progress::Progress,
    sides::pods_of,
    users::{Users, others},
};

/// A guard's targets as they are now.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The state's hash.
    pub hash: String,
    pub images: Vec<String>,
    /// The content hash of each target.
    pub parts: BTreeMap<TargetRef, String>,
    /// That of ConfigMaps which are no part of the state, because others use them too.
    pub left_out: BTreeMap<TargetRef, String>,
    /// Every workload rolled out, no pod older than the settings it read at its start.
    pub rolled_out: Result<(), String>,
    /// Since when that is known to be so without a break.
    pub whole_since: Option<Timestamp>,
    pub facts: Facts,
    /// ConfigMaps that other workloads use as well: named, never restored.
    pub shared: Vec<String>,
    /// Named ConfigMaps and Secrets that are not there, although a proven state holds them.
    pub gone: BTreeSet<TargetRef>,
    /// Why a restored template would not replace the pods that hurt.
    pub keeps_pods: Option<String>,
    /// What the tools that look after the targets will do.
    pub managed: Vec<Arc<Managed>>,
    /// What templates say of why there is no way back from this state.
    pub no_way_back: Vec<String>,
}

/// How a guard's roll-outs were seen so far.
pub struct Watched<'a> {
    pub progress: &'a mut Progress,
    /// The roll-out of the present state has not been complete since it came.
    pub rolling: bool,
    pub now: Instant,
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

/// The ConfigMaps and Secrets that a guard's state consists of; and the ConfigMaps shared with others, by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    pub own: BTreeSet<TargetRef>,
    pub shared: BTreeMap<String, String>,
    /// Named ones that are not there, although a proven state holds them: that is a change.
    pub gone: BTreeSet<TargetRef>,
}

/// What a plan of a guard may write: its targets, and the ConfigMaps that it follows and nobody else uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writable {
    targets: BTreeSet<TargetRef>,
    follows: bool,
    /// ConfigMaps that others use, and who.
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

    /// Who else uses that ConfigMap, which the guard would follow else.
    pub fn shared_with(&self, target: &TargetRef) -> Option<&str> {
        let follows = self.follows && is_config(target) && !self.targets.contains(target);
        follows.then(|| self.others.get(&target.name).map(String::as_str))?
    }

    /// Whether this object may be written.
    pub fn holds(&self, target: &TargetRef) -> bool {
        let followed = self.follows && is_config(target) && !self.others.contains_key(&target.name);
        followed || self.targets.contains(target)
    }
}

impl Followed {
    /// All whose contents are to be known.
    pub fn all(&self) -> impl Iterator<Item = TargetRef> {
        let shared = self.shared.keys().map(|name| config(name));
        self.own.iter().cloned().chain(shared)
    }

    /// Which ConfigMaps of the namespace belong to this guard alone, and which Secrets it names.
    pub fn find((namespace, guard): &ObjectKey, spec: &GuardSpec, cluster: &Cluster, users: &Users) -> Self {
        let named = spec.targets.iter().filter(|target| !target.kind.is_workload());
        let own: BTreeSet<TargetRef> = named.cloned().collect();
        let gone = |target: &&TargetRef| {
            cluster.version(namespace, target) == Ok(None) && cluster.is_proven(namespace, guard, target)
        };
        let mut followed = Self {
            gone: own.iter().filter(gone).cloned().collect(),
            own,
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
        for target in used.map(|used| &used.target).filter(|target| is_config(target)) {
            match users.other(&target.name, &mine) {
                Some(by) if !followed.own.contains(target) => {
                    followed.shared.insert(target.name.clone(), by.to_owned());
                }
                Some(_) | None => {
                    followed.own.insert(target.clone());
                }
            }
        }
        followed
    }
}

fn config(name: &str) -> TargetRef {
    TargetRef {
        kind: TargetKind::ConfigMap,
        name: name.to_owned(),
    }
}

/// Secrets are followed by nobody: they are targets where they are named.
pub fn is_config(target: &TargetRef) -> bool {
    target.kind == TargetKind::ConfigMap
}

impl Seen {
    /// Why what is put back would not stay, if so.
    pub fn heals(&self) -> Option<&str> {
        let healing = self.managed.iter().find(|managed| managed.heals);
        healing.map(|managed| managed.words.as_str())
    }

    /// Puts a guard's targets together. `configs` holds what is known of those in `followed.own` that exist.
    pub fn assemble(
        namespace: &str,
        spec: &GuardSpec,
        followed: &Followed,
        configs: &BTreeMap<TargetRef, ReadConfig>,
        cluster: &Cluster,
        watched: Watched<'_>,
    ) -> Result<Self, NotSeen> {
        let mut parts: BTreeMap<TargetRef, String> = followed
            .own
            .iter()
            .filter_map(|target| Some((target.clone(), configs.get(target)?.hash.clone())))
            .collect();
        let mut keeps_pods = None;
        let mut no_way_back = Vec::new();
        let mut images = Vec::new();
        let mut rolled_out = Ok(());
        let mut whole_since = Some(Timestamp::MIN);
        let mut facts = Facts::default();
        for target in &spec.targets {
            match target.kind {
                TargetKind::ConfigMap | TargetKind::Secret => {
                    if !parts.contains_key(target) && !followed.gone.contains(target) {
                        return Err(NotSeen::Missing(target.clone()));
                    }
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
                    no_way_back.extend(workload.no_way_back.clone());
                    let pods = newest_pods(namespace, &workload, cluster);
                    let complete = workload.rollout.complete().map_err(|why| format!("{target}: {why}"));
                    rolled_out = rolled_out.and(complete).and(fresh(&pods, &followed.own, configs));
                    whole_since = whole_since.zip(whole(&workload, &pods)).map(|(all, one)| all.max(one));
                    let stalls = watched.progress.stalls(target, &workload, &pods, watched.now);
                    collect_facts(target, &workload, &pods, stalls.filter(|_| watched.rolling), &mut facts);
                    let keeps = workload.keeps_pods.as_ref().map(|why| format!("{target}: {why}"));
                    keeps_pods = keeps_pods.or(keeps);
                }
            }
        }
        let shared = followed.shared.keys().map(|name| config(name));
        let left_out = shared.filter_map(|target| Some((target.clone(), configs.get(&target)?.hash.clone())));
        let left_out = left_out.collect();
        let hash = state_hash(parts.iter().map(|(target, hash)| (target, hash.as_str())));
        let shared = followed.shared.iter().map(|(name, by)| left_alone(name, by));
        Ok(Self {
            gone: followed.gone.clone(),
            hash,
            images,
            parts,
            left_out,
            whole_since: whole_since.filter(|_| rolled_out.is_ok()),
            rolled_out,
            facts,
            shared: shared.collect(),
            keeps_pods,
            no_way_back,
            managed: Vec::new(),
        })
    }
}

/// A ConfigMap that others use as well, in words.
pub fn left_alone(config: &str, by: &str) -> String {
    format!("ConfigMap/{config}, shared with {by}, left alone")
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

/// Since when the roll-out is complete and every pod Ready. API times are whole seconds, rounded down.
fn whole(workload: &Workload, pods: &[(String, std::sync::Arc<Pod>)]) -> Option<Timestamp> {
    let ready = pods.iter().map(|(_, pod)| pod.ready_since);
    let times = ready.chain([workload.rollout.completed_at]);
    let latest = times.reduce(|one, other| Some(one?.max(other?))).flatten()?;
    latest.checked_add(jiff::SignedDuration::from_secs(1)).ok()
}

/// A pod that read its settings at its start must be younger than they are. API times are whole seconds.
fn fresh(
    pods: &[(String, Arc<Pod>)],
    own: &BTreeSet<TargetRef>,
    configs: &BTreeMap<TargetRef, ReadConfig>,
) -> Result<(), String> {
    for (name, pod) in pods {
        for used in pod
            .config
            .iter()
            .filter(|used| used.at_start && own.contains(&used.target))
        {
            let changed: Option<Timestamp> = configs.get(&used.target).and_then(|config| config.changed);
            if let (Some(changed), Some(created)) = (changed, pod.created)
                && created < changed
            {
                return Err(format!("pod {name} is older than the last change of {}", used.target));
            }
        }
    }
    Ok(())
}

fn collect_facts(
    target: &TargetRef,
    workload: &Workload,
    pods: &[(String, Arc<Pod>)],
    stalls: Option<String>,
    facts: &mut Facts,
) {
    let current = workload.rollout.observed >= workload.rollout.generation;
    let told = workload.rollout.deadline_exceeded.clone().filter(|_| current);
    let exceeded = match target.kind {
        TargetKind::StatefulSet | TargetKind::DaemonSet => stalls.filter(|_| current),
        TargetKind::Deployment | TargetKind::ConfigMap | TargetKind::Secret => told,
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

/// A container of the new revision that ended so often, while no new pod is Ready, is crash looping.
const CRASHES: i64 = 3;
