//! Pure. Who uses the ConfigMaps of a namespace, as templates and running pods show it.

use std::collections::{BTreeMap, BTreeSet};

use super::{cluster::Cluster, seen::is_config};
use crate::model::guard::{GuardSpec, TargetRef};

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
                users.add(&used.target, &workload.uid, &name);
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
            for used in pod.config.iter().filter(|_| !pod.leaving && !pod.finished) {
                users.add(&used.target, owner, &pod.owner_name);
            }
        }
        users
    }

    fn add(&mut self, config: &TargetRef, uid: &str, name: &str) {
        if !is_config(config) {
            return;
        }
        let users = self.0.entry(config.name.clone()).or_default();
        if !users.iter().any(|user| user.uid == uid) {
            users.push(User {
                uid: uid.to_owned(),
                name: name.to_owned(),
            });
        }
    }

    /// Somebody else who uses it.
    pub fn other(&self, config: &str, mine: &BTreeSet<&str>) -> Option<&str> {
        let mut users = self.0.get(config)?.iter();
        users
            .find(|user| !mine.contains(user.uid.as_str()))
            .map(|user| user.name.as_str())
    }
}

pub fn others(namespace: &str, spec: &GuardSpec, cluster: &Cluster) -> BTreeMap<String, String> {
    let targets = spec.targets.iter();
    let workloads: Vec<_> = targets
        .filter_map(|target| cluster.workload(namespace, target))
        .collect();
    let mine: BTreeSet<&str> = workloads.iter().map(|workload| workload.uid.as_str()).collect();
    let users = Users::of(namespace, cluster);
    let by = |config: &String| Some((config.clone(), users.other(config, &mine)?.to_owned()));
    users.0.keys().filter_map(by).collect()
}
