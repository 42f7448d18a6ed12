//! The controllers: they read what changed in the store and bring the rest in line.

mod collect;
mod conditions;
mod deployment;
mod direct;
mod established;
mod replicaset;
mod rollout;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    api::{kind::CRD_GROUP, writing::Cluster},
    json::{list, text},
    store::{Change, Key},
};

/// The controllers' memory: how far they have read, and what they look at again later.
#[derive(Default)]
pub(crate) struct Control {
    position: u64,
    later: BTreeMap<Key, Timestamp>,
    generations: direct::Generations,
    /// They do nothing.
    pub(crate) stopped: bool,
}

/// What one round has to look at.
#[derive(Default)]
struct Round {
    deployments: BTreeSet<Key>,
    replica_sets: BTreeSet<Key>,
    stateful_sets: BTreeSet<Key>,
    daemon_sets: BTreeSet<Key>,
    definitions: BTreeSet<Key>,
    namespaces: BTreeSet<Key>,
    gone: BTreeSet<String>,
    /// Sets of which a pod is gone for good: a deployment that recreates waits for that.
    left: BTreeSet<Key>,
    orphans: BTreeSet<Key>,
}

impl Control {
    /// When a deployment has to be looked at without a change.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.later.values().min().copied().filter(|_| !self.stopped)
    }

    /// Brings everything in line that changed or is due; false when there was nothing.
    pub(crate) fn reconcile(&mut self, cluster: &mut Cluster) -> bool {
        if self.stopped {
            return false;
        }
        let now = cluster.clock.now();
        let mut round = self.changed(cluster);
        let due = self.later.iter().filter(|(_, at)| **at <= now);
        round.deployments.extend(due.map(|(key, _)| key.clone()));
        self.later.retain(|_, at| *at > now);
        if round.is_empty() {
            return false;
        }
        round
            .definitions
            .iter()
            .for_each(|key| established::reconcile(cluster, key));
        collect::reconcile(cluster, &round.gone, &round.orphans);
        round.namespaces.iter().for_each(|key| collect::namespace(cluster, key));
        round
            .replica_sets
            .iter()
            .for_each(|key| replicaset::reconcile(cluster, key));
        round
            .stateful_sets
            .iter()
            .for_each(|key| direct::stateful_set(cluster, key));
        for key in &round.daemon_sets {
            direct::daemon_set(cluster, key, &mut self.generations);
        }
        for key in &round.deployments {
            match deployment::reconcile(cluster, key) {
                Some(at) => self.later.insert(key.clone(), at),
                None => self.later.remove(key),
            };
        }
        true
    }

    fn changed(&mut self, cluster: &Cluster) -> Round {
        let mut round = Round::default();
        let store = &cluster.store;
        if let Some(changes) = store.since(self.position) {
            changes.for_each(|change| round.note(change));
        } else {
            let all = |group, plural| store.all(group, plural, None).map(|(key, _)| key.clone());
            round.deployments.extend(all("apps", "deployments"));
            round.replica_sets.extend(all("apps", "replicasets"));
            round.stateful_sets.extend(all("apps", "statefulsets"));
            round.daemon_sets.extend(all("apps", "daemonsets"));
            round.definitions.extend(all(CRD_GROUP, "customresourcedefinitions"));
        }
        for set in std::mem::take(&mut round.left) {
            let Some(object) = store.get(&set) else { continue };
            for owner in list(object, "/metadata/ownerReferences") {
                let name = text(owner, "/name");
                round
                    .deployments
                    .insert(Key::new("apps", "deployments", &set.namespace, name));
            }
        }
        self.position = store.version();
        round
    }
}

impl Round {
    fn note(&mut self, change: &Change) {
        let key = change.key.clone();
        let owners = list(&change.object, "/metadata/ownerReferences");
        if change.gone {
            self.gone.insert(text(&change.object, "/metadata/uid").to_owned());
        } else if !owners.is_empty() && change.old.is_none() {
            self.orphans.insert(key.clone());
        }
        for owner in owners {
            let name = text(owner, "/name");
            match text(owner, "/kind") {
                "ReplicaSet" if key.plural == "pods" => {
                    let set = Key::new("apps", "replicasets", &key.namespace, name);
                    if change.gone {
                        self.left.insert(set.clone());
                    }
                    self.replica_sets.insert(set);
                }
                "StatefulSet" if key.plural == "pods" => {
                    self.stateful_sets
                        .insert(Key::new("apps", "statefulsets", &key.namespace, name));
                }
                "DaemonSet" if key.plural == "pods" => {
                    self.daemon_sets
                        .insert(Key::new("apps", "daemonsets", &key.namespace, name));
                }
                "Deployment" if key.plural == "replicasets" => {
                    self.deployments
                        .insert(Key::new("apps", "deployments", &key.namespace, name));
                }
                _ => {}
            }
        }
        let set = match key.plural.as_str() {
            "deployments" => &mut self.deployments,
            "replicasets" => &mut self.replica_sets,
            "statefulsets" => &mut self.stateful_sets,
            "daemonsets" => &mut self.daemon_sets,
            "namespaces" => &mut self.namespaces,
            "customresourcedefinitions" => &mut self.definitions,
            _ => return,
        };
        if !change.gone {
            set.insert(key);
        }
    }

    fn is_empty(&self) -> bool {
        self.deployments.is_empty()
            && self.replica_sets.is_empty()
            && self.stateful_sets.is_empty()
            && self.daemon_sets.is_empty()
            && self.definitions.is_empty()
            && self.namespaces.is_empty()
            && self.gone.is_empty()
            && self.orphans.is_empty()
    }
}
