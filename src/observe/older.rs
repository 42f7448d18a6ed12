//! Pure. The revisions that a guard's Deployments still have, by their ReplicaSets: nobody proved them.

use super::cluster::Cluster;
use crate::model::{
    guard::{GuardSpec, TargetKind, TargetRef},
    incident::StateRef,
};

/// How a state that is a ReplicaSet's is named.
const REPLICA_SET: &str = "ReplicaSet/";

/// A revision of a Deployment that does not run now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Older {
    pub target: TargetRef,
    /// The ReplicaSet's name.
    pub name: String,
    /// Its `pod-template-hash`.
    pub hash: String,
}

impl Older {
    /// As a state to go back to.
    pub fn state(&self) -> StateRef {
        StateRef {
            name: Some(format!("{REPLICA_SET}{}", self.name)),
            hash: self.hash.clone(),
            ..StateRef::default()
        }
    }
}

/// The ReplicaSet that a state is of, where nobody proved it.
pub fn replica_set(state: &StateRef) -> Option<&str> {
    state.name.as_deref()?.strip_prefix(REPLICA_SET)
}

/// As the watches show them.
pub fn older(namespace: &str, spec: &GuardSpec, cluster: &Cluster) -> Vec<Older> {
    let deployments = spec
        .targets
        .iter()
        .filter(|target| target.kind == TargetKind::Deployment);
    let of_target = |target: &TargetRef| {
        let workload = cluster.workload(namespace, target)?;
        let old = |set: &super::objects::Revision| set.owner == workload.uid && set.revision != workload.revision;
        let sets = cluster.revisions.matching(namespace, old).into_iter();
        let all = sets.filter_map(|(name, set)| {
            let (target, hash) = (target.clone(), set.hash.clone()?);
            Some(Older { target, name, hash })
        });
        Some(all.collect::<Vec<_>>())
    };
    deployments.filter_map(of_target).flatten().collect()
}
