//! The StatefulSet and DaemonSet controllers, which own their pods directly: a new template replaces pod after pod. The
//! node is one, so that a DaemonSet has one pod. Their ControllerRevisions are not kept, and a pod that is created anew
//! during a roll-out is always of the newest revision.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    api::{kind::Kind, writing::Cluster},
    json::{child, list, map, metadata, number, text},
    number::{length, signed},
    rng::{Rng, hashed},
    store::Key,
};

const HASH: &str = "controller-revision-hash";
const GENERATION: &str = "pod-template-generation";
const GENERATION_OF_SET: &str = "deprecated.daemonset.template.generation";

/// What a DaemonSet's template was when last looked at, and how often it changed.
pub(crate) type Generations = BTreeMap<String, (String, i64)>;

type Owned = (Key, Value);

/// As many pods as asked for, by ordinal; from the last to the first those of an older revision are replaced.
pub(crate) fn stateful_set(cluster: &mut Cluster, key: &Key) {
    let Some(set) = living(cluster, key) else { return };
    let wanted = length(number(&set, "/spec/replicas").unwrap_or(1));
    let newest = format!("{}-{}", key.name, hash(&set));
    let ordered = text(&set, "/spec/podManagementPolicy") != "Parallel";
    let blocked = create_missing(cluster, key, &set, wanted, &newest, ordered);
    let rolls = text(&set, "/spec/updateStrategy/type") != "OnDelete";
    if !blocked && rolls {
        let partition = length(number(&set, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0));
        replace_last(cluster, key, &set, partition..wanted, &newest);
    }
    for (pod, _) in pods_of(cluster, &set)
        .iter()
        .filter(|(pod, _)| ordinal(pod).is_some_and(|n| n >= wanted))
    {
        delete(cluster, pod);
    }
    report_stateful_set(cluster, key, &newest);
}

/// Creates pods in order; true while one of them must be waited for.
fn create_missing(cluster: &mut Cluster, key: &Key, set: &Value, wanted: usize, newest: &str, ordered: bool) -> bool {
    let mut blocked = false;
    for place in 0..wanted {
        let found = pods_of(cluster, set)
            .into_iter()
            .find(|(pod, _)| ordinal(pod) == Some(place));
        let ready = found.as_ref().is_some_and(|(_, pod)| is_ready(pod) && !is_leaving(pod));
        if found.is_none() {
            let name = format!("{}-{place}", key.name);
            let labels = [
                (HASH, newest.to_owned()),
                ("statefulset.kubernetes.io/pod-name", name.clone()),
                ("apps.kubernetes.io/pod-index", place.to_string()),
            ];
            create(cluster, key, set, "StatefulSet", json!({"name": name}), &labels);
        }
        if !ready && ordered {
            return true;
        }
        blocked |= found.is_none();
    }
    blocked
}

fn replace_last(cluster: &mut Cluster, _key: &Key, set: &Value, places: std::ops::Range<usize>, newest: &str) {
    let pods = pods_of(cluster, set);
    for place in places.rev() {
        let Some((key, pod)) = pods.iter().find(|(pod, _)| ordinal(pod) == Some(place)) else {
            return;
        };
        if is_leaving(pod) {
            return;
        }
        if label(pod, HASH) != newest {
            return delete(cluster, key);
        }
        if !is_ready(pod) {
            return;
        }
    }
}

fn report_stateful_set(cluster: &mut Cluster, key: &Key, newest: &str) {
    let Some(set) = living(cluster, key) else { return };
    let pods: Vec<Value> = pods_of(cluster, &set).into_iter().map(|(_, pod)| pod).collect();
    let present: Vec<&Value> = pods.iter().filter(|pod| !is_leaving(pod)).collect();
    let ready = present.iter().filter(|pod| is_ready(pod)).count();
    let of = |revision: &str| present.iter().filter(|pod| label(pod, HASH) == revision).count();
    let updated = of(newest);
    let wanted = length(number(&set, "/spec/replicas").unwrap_or(1));
    let complete = updated == wanted && ready == wanted && pods.len() == wanted;
    let before = text(&set, "/status/currentRevision");
    let current = if before.is_empty() || complete { newest } else { before };
    let mut status = json!({
        "observedGeneration": number(&set, "/metadata/generation").unwrap_or(1),
        "replicas": signed(pods.len()), "availableReplicas": signed(ready), "collisionCount": 0,
        "currentRevision": current, "updateRevision": newest,
    });
    for (name, count) in [
        ("readyReplicas", ready),
        ("currentReplicas", of(current)),
        ("updatedReplicas", updated),
    ] {
        if count > 0 {
            status[name] = signed(count).into();
        }
    }
    cluster.change(key, "status", |object| {
        map(object).insert("status".into(), status);
    });
}

/// One pod, on the one node; a new template deletes the old pod first.
pub(crate) fn daemon_set(cluster: &mut Cluster, key: &Key, generations: &mut Generations) {
    let Some(set) = living(cluster, key) else { return };
    let revision = hash(&set);
    let known = generations
        .entry(text(&set, "/metadata/uid").to_owned())
        .or_insert_with(|| (revision.clone(), 1));
    if known.0 != revision {
        *known = (revision.clone(), known.1 + 1);
    }
    let generation = known.1.to_string();
    let marked = generation.clone();
    cluster.change(key, "status", |object| {
        map(metadata(object).entry("annotations").or_insert(Value::Null))
            .insert(GENERATION_OF_SET.into(), marked.into());
    });
    let pods = pods_of(cluster, &set);
    let rolls = text(&set, "/spec/updateStrategy/type") != "OnDelete";
    match pods.first() {
        None => {
            let labels = [(HASH, revision), (GENERATION, generation.clone())];
            let named = json!({"generateName": format!("{}-", key.name)});
            create(cluster, key, &set, "DaemonSet", named, &labels);
        }
        Some((pod, object)) if rolls && !is_leaving(object) && label(object, GENERATION) != generation => {
            delete(cluster, pod);
        }
        Some(_) => {}
    }
    let Some(set) = living(cluster, key) else { return };
    let present = pods_of(cluster, &set)
        .into_iter()
        .map(|(_, pod)| pod)
        .find(|pod| !is_leaving(pod));
    let ready = present.as_ref().is_some_and(is_ready);
    let updated = present.as_ref().is_some_and(|pod| label(pod, GENERATION) == generation);
    let mut status = json!({
        "observedGeneration": number(&set, "/metadata/generation").unwrap_or(1),
        "desiredNumberScheduled": 1, "numberMisscheduled": 0,
        "currentNumberScheduled": i64::from(present.is_some()), "numberReady": i64::from(ready),
    });
    for (name, holds) in [
        ("updatedNumberScheduled", updated),
        ("numberAvailable", ready),
        ("numberUnavailable", !ready),
    ] {
        if holds {
            status[name] = 1.into();
        }
    }
    cluster.change(key, "status", |object| {
        map(object).insert("status".into(), status);
    });
}

fn living(cluster: &Cluster, key: &Key) -> Option<Value> {
    let set = cluster.store.get(key).map(|object| Value::clone(object))?;
    text(&set, "/metadata/deletionTimestamp").is_empty().then_some(set)
}

fn hash(set: &Value) -> String {
    let template = set.pointer("/spec/template").cloned().unwrap_or_default();
    Rng::seeded(hashed(&template.to_string())).suffix(9)
}

fn create(cluster: &mut Cluster, key: &Key, set: &Value, kind: &str, named: Value, labels: &[(&str, String)]) {
    let Some(pods) = Kind::built_in("", "pods") else { return };
    let mut pod = set.pointer("/spec/template").cloned().unwrap_or_else(|| json!({}));
    let metadata = child(&mut pod, "metadata");
    metadata.extend(map(&mut named.clone()).clone());
    metadata.insert(
        "ownerReferences".into(),
        json!([{
            "apiVersion": "apps/v1", "kind": kind, "name": key.name,
            "uid": set.pointer("/metadata/uid"), "controller": true, "blockOwnerDeletion": true,
        }]),
    );
    let all = map(metadata.entry("labels").or_insert(Value::Null));
    for (name, value) in labels {
        all.insert((*name).into(), value.clone().into());
    }
    let writer = cluster.writer(&pods, "kube-controller-manager", "");
    // A template that makes no valid pod makes no pods; the real controllers only log it too.
    let _ = cluster.create(&pods, &key.namespace, pod, &writer, false);
}

fn delete(cluster: &mut Cluster, pod: &Key) {
    let Some(pods) = Kind::built_in("", "pods") else { return };
    // It was there a moment ago, under the same lock.
    let _ = cluster.delete(&pods, pod, &json!({}), false);
}

/// The set's pods, also those on their way out, by name.
fn pods_of(cluster: &Cluster, set: &Value) -> Vec<Owned> {
    let store = &cluster.store;
    let children = store.children(text(set, "/metadata/uid")).into_iter();
    let mut pods: Vec<Owned> = children
        .filter(|key| key.plural == "pods")
        .filter_map(|key| store.get(&key).map(|pod| (key, Value::clone(pod))))
        .collect();
    pods.sort_by(|one, other| one.0.name.cmp(&other.0.name));
    pods
}

fn ordinal(pod: &Key) -> Option<usize> {
    pod.name.rsplit('-').next()?.parse().ok()
}

fn label<'a>(pod: &'a Value, name: &str) -> &'a str {
    let labels = pod.pointer("/metadata/labels").and_then(|labels| labels.get(name));
    labels.and_then(Value::as_str).unwrap_or_default()
}

fn is_leaving(pod: &Value) -> bool {
    !text(pod, "/metadata/deletionTimestamp").is_empty()
}

fn is_ready(pod: &Value) -> bool {
    let ready = |one: &Value| text(one, "/type") == "Ready" && text(one, "/status") == "True";
    list(pod, "/status/conditions").iter().any(ready)
}
