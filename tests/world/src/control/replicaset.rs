//! The ReplicaSet controller: as many pods as asked for, and a status that counts them.

use serde_json::{Value, json};

use crate::{
    api::{kind::Kind, writing::Cluster},
    json::{child, list, number, text},
    number::{length, signed},
    store::Key,
};

pub(crate) fn reconcile(cluster: &mut Cluster, key: &Key) {
    let Some(set) = cluster.store.get(key).cloned() else {
        return;
    };
    if text(&set, "/metadata/deletionTimestamp").is_empty() {
        scale(cluster, key, &set);
    }
    let all = pods_of(cluster, &set).len();
    let pods: Vec<Value> = active(cluster, &set).into_iter().map(|(_, pod)| pod).collect();
    let terminating = signed(all - pods.len());
    let ready = signed(pods.iter().filter(|pod| is_ready(pod)).count());
    let present = signed(pods.len());
    cluster.change(key, "status", |object| {
        let generation = number(object, "/metadata/generation").unwrap_or(1);
        let mut status = json!({
            "replicas": present, "observedGeneration": generation, "terminatingReplicas": terminating,
        });
        if present > 0 {
            status["fullyLabeledReplicas"] = present.into();
        }
        if ready > 0 {
            status["readyReplicas"] = ready.into();
            status["availableReplicas"] = ready.into();
        }
        crate::json::map(object).insert("status".into(), status);
    });
}

fn scale(cluster: &mut Cluster, key: &Key, set: &Value) {
    let wanted = length(number(set, "/spec/replicas").unwrap_or(1));
    let mut present = active(cluster, set);
    for _ in present.len()..wanted {
        create(cluster, key, set);
    }
    // Pods that are not ready go first.
    present.sort_by_key(|(_, pod)| is_ready(pod));
    let Some(pods) = Kind::built_in("", "pods") else { return };
    for (key, _) in present.iter().take(present.len().saturating_sub(wanted)) {
        // The pod was there a moment ago, under the same lock.
        let _ = cluster.delete(&pods, key, &json!({}), false);
    }
}

fn create(cluster: &mut Cluster, key: &Key, set: &Value) {
    let Some(kind) = Kind::built_in("", "pods") else { return };
    let mut pod = set.pointer("/spec/template").cloned().unwrap_or_else(|| json!({}));
    let metadata = child(&mut pod, "metadata");
    metadata.insert("generateName".into(), format!("{}-", key.name).into());
    metadata.insert(
        "ownerReferences".into(),
        json!([{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": key.name,
            "uid": set.pointer("/metadata/uid"), "controller": true, "blockOwnerDeletion": true,
        }]),
    );
    let writer = cluster.writer(&kind, "kube-controller-manager", "");
    // A template that makes no valid pod makes no pods; the real controller only logs it too.
    let _ = cluster.create(&kind, &key.namespace, pod, &writer, false);
}

/// The set's pods that are not being deleted.
fn active(cluster: &Cluster, set: &Value) -> Vec<(Key, Value)> {
    let mut pods = pods_of(cluster, set);
    pods.retain(|(_, pod)| text(pod, "/metadata/deletionTimestamp").is_empty());
    pods
}

fn pods_of(cluster: &Cluster, set: &Value) -> Vec<(Key, Value)> {
    let store = &cluster.store;
    let children = store.children(text(set, "/metadata/uid")).into_iter();
    children
        .filter_map(|key| store.get(&key).map(|pod| (key, Value::clone(pod))))
        .collect()
}

fn is_ready(pod: &Value) -> bool {
    let ready = |one: &Value| text(one, "/type") == "Ready" && text(one, "/status") == "True";
    list(pod, "/status/conditions").iter().any(ready)
}
