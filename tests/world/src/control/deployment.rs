//! The Deployment controller: one ReplicaSet per pod template, revisions, and a rolling update
//! from the old ones to the new one.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    conditions::{self, Totals},
    rollout::{Set, Wish},
};
use crate::{
    api::{kind::Kind, writing::Cluster},
    json::{child, entries, map, metadata, number, text},
    rng::{Rng, hashed},
    store::Key,
};

const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_AT: &str = "/metadata/annotations/deployment.kubernetes.io~1revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const HASH: &str = "pod-template-hash";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

type Owned = (Key, Value);

/// Brings the deployment's sets in line; says when to look again though nothing changes.
pub(crate) fn reconcile(cluster: &mut Cluster, key: &Key) -> Option<Timestamp> {
    let deployment = cluster.store.get(key).map(|object| Value::clone(object))?;
    if !text(&deployment, "/metadata/deletionTimestamp").is_empty() {
        return None;
    }
    let wish = Wish::of(&deployment);
    let mut sets = owned(cluster, &deployment);
    let (new, created) = new_set(cluster, key, &deployment, &wish, &mut sets);
    let old: Vec<Owned> = sets
        .iter()
        .filter(|(set, _)| Some(set) != new.as_ref())
        .cloned()
        .collect();
    if !wish.paused {
        scale(cluster, &wish, new.as_ref(), &old);
    }
    report(cluster, key, &wish, new.as_ref(), created)
}

/// The deployment's ReplicaSets, oldest revision first.
fn owned(cluster: &Cluster, deployment: &Value) -> Vec<Owned> {
    let store = &cluster.store;
    let children = store.children(text(deployment, "/metadata/uid")).into_iter();
    let mut sets: Vec<Owned> = children
        .filter(|key| key.plural == "replicasets")
        .filter_map(|key| store.get(&key).map(|set| (key, Value::clone(set))))
        .collect();
    sets.sort_by_key(|(_, set)| revision(set));
    sets
}

/// The set of the present template, found or created, with the newest revision.
fn new_set(
    cluster: &mut Cluster,
    key: &Key,
    deployment: &Value,
    wish: &Wish,
    sets: &mut Vec<Owned>,
) -> (Option<Key>, bool) {
    let wanted = without_hash(deployment.pointer("/spec/template"));
    let found = sets
        .iter()
        .find(|(_, set)| without_hash(set.pointer("/spec/template")) == wanted);
    let found = found.map(|(set, _)| set.clone());
    if found.is_none() && wish.paused {
        return (None, false);
    }
    let others = sets.iter().filter(|(set, _)| Some(set) != found.as_ref());
    let newest = others.map(|(_, set)| revision(set)).max().unwrap_or(0) + 1;
    let created = found.is_none();
    let set = match found {
        Some(set) => {
            annotate(cluster, &set, deployment, wish, newest);
            Some(set)
        }
        None => create(cluster, key, deployment, wish, newest, sets),
    };
    if let Some(object) = set.as_ref().and_then(|set| cluster.store.get(set)) {
        let newest = revision(object).to_string();
        cluster.change(key, "status", |object| {
            annotations(object).insert(REVISION.into(), newest.into());
        });
    }
    (set, created)
}

fn create(
    cluster: &mut Cluster,
    key: &Key,
    deployment: &Value,
    wish: &Wish,
    newest: i64,
    sets: &mut Vec<Owned>,
) -> Option<Key> {
    let kind = Kind::built_in("apps", "replicasets")?;
    let mut template = deployment.pointer("/spec/template").cloned().unwrap_or_default();
    let hash = Rng::seeded(hashed(&template.to_string())).suffix(9);
    let name = format!("{}-{hash}", key.name);
    let mut selector = deployment.pointer("/spec/selector").cloned().unwrap_or_default();
    child(&mut selector, "matchLabels").insert(HASH.into(), hash.clone().into());
    let labels = map(child(&mut template, "metadata").entry("labels").or_insert(Value::Null));
    labels.insert(HASH.into(), hash.into());
    let labels = labels.clone();
    let replicas = wish.new_set(Set::default(), sets.iter().map(|(_, set)| wanted(set)).sum());
    let object = json!({
        "metadata": {
            "name": name, "labels": labels,
            "annotations": set_annotations(&Map::new(), deployment, wish, newest),
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "Deployment", "name": key.name,
                "uid": deployment.pointer("/metadata/uid"),
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "replicas": if wish.recreate { 0 } else { replicas },
            "selector": selector, "template": template,
        },
    });
    let writer = cluster.writer(&kind, "kube-controller-manager", "");
    let made = cluster.create(&kind, &key.namespace, object, &writer, false).ok()?;
    let set = kind.key(&key.namespace, &name);
    sets.push((set.clone(), Value::clone(&made)));
    Some(set)
}

fn annotate(cluster: &mut Cluster, set: &Key, deployment: &Value, wish: &Wish, newest: i64) {
    cluster.change(set, "", |object| {
        let former = revision(object);
        let newest = newest.max(former);
        let mut before = annotations(object).clone();
        if newest > former {
            let history = before.get(HISTORY).and_then(Value::as_str);
            let history = history.map_or(former.to_string(), |history| format!("{history},{former}"));
            before.insert(HISTORY.into(), history.into());
        }
        *annotations(object) = set_annotations(&before, deployment, wish, newest);
    });
}

/// A set carries the deployment's annotations, its revision, and what was wanted of it.
fn set_annotations(before: &Map<String, Value>, deployment: &Value, wish: &Wish, newest: i64) -> Map<String, Value> {
    let mut all = before.clone();
    for (name, value) in entries(deployment, "/metadata/annotations") {
        if name != LAST_APPLIED && !name.starts_with("deployment.kubernetes.io/") {
            all.insert(name.clone(), value.clone());
        }
    }
    let numbers = [
        (REVISION, newest),
        ("deployment.kubernetes.io/desired-replicas", wish.replicas),
        ("deployment.kubernetes.io/max-replicas", wish.replicas + wish.surge),
    ];
    for (name, value) in numbers {
        all.insert(name.into(), value.to_string().into());
    }
    all
}

fn scale(cluster: &mut Cluster, wish: &Wish, new: Option<&Key>, old: &[Owned]) {
    let counts: Vec<Set> = old.iter().map(|(_, set)| counted(set)).collect();
    let Some(new_key) = new else { return };
    let Some(new) = cluster.store.get(new_key).map(|set| counted(set)) else {
        return;
    };
    let old_total: i64 = counts.iter().map(|set| set.wanted).sum();
    if wish.recreate {
        for (key, _) in old {
            resize(cluster, key, 0);
        }
        let pods = old.iter().any(|(key, _)| {
            cluster
                .store
                .get(key)
                .is_some_and(|set| !cluster.store.children(text(set, "/metadata/uid")).is_empty())
        });
        if !pods {
            resize(cluster, new_key, wish.replicas);
        }
        return;
    }
    let wanted = wish.new_set(new, new.wanted + old_total);
    resize(cluster, new_key, wanted);
    let new = Set { wanted, ..new };
    for ((key, _), wanted) in old.iter().zip(wish.old_sets(new, &counts)) {
        resize(cluster, key, wanted);
    }
}

fn resize(cluster: &mut Cluster, key: &Key, replicas: i64) {
    cluster.change(key, "", |object| {
        child(object, "spec").insert("replicas".into(), replicas.into());
    });
}

fn report(cluster: &mut Cluster, key: &Key, wish: &Wish, new: Option<&Key>, created: bool) -> Option<Timestamp> {
    let deployment = cluster.store.get(key).map(|object| Value::clone(object))?;
    let sets = owned(cluster, &deployment);
    let sum = |name: &str| -> i64 {
        let at = format!("/status/{name}");
        sets.iter().map(|(_, set)| number(set, &at).unwrap_or(0)).sum()
    };
    let of_new = sets.iter().find(|(set, _)| Some(set) == new).map(|(_, set)| set);
    let totals = Totals {
        replicas: sum("replicas"),
        updated: of_new.and_then(|set| number(set, "/status/replicas")).unwrap_or(0),
        ready: sum("readyReplicas"),
        available: sum("availableReplicas"),
        terminating: sum("terminatingReplicas"),
        wanted: sets.iter().map(|(_, set)| wanted(set)).sum(),
        new_set: new.map(|key| key.name.clone()).unwrap_or_default(),
        created,
    };
    let now = cluster.clock.now();
    let (status, again) = conditions::status(&deployment, wish, &totals, now);
    cluster.change(key, "status", |object| {
        map(object).insert("status".into(), status);
    });
    again
}

fn counted(set: &Value) -> Set {
    let available = number(set, "/status/availableReplicas").unwrap_or(0);
    Set {
        wanted: wanted(set),
        available,
    }
}

fn wanted(set: &Value) -> i64 {
    number(set, "/spec/replicas").unwrap_or(0)
}

fn revision(object: &Value) -> i64 {
    text(object, REVISION_AT).parse().unwrap_or(0)
}

fn annotations(object: &mut Value) -> &mut Map<String, Value> {
    map(metadata(object).entry("annotations").or_insert(Value::Null))
}

fn without_hash(template: Option<&Value>) -> Value {
    let mut template = template.cloned().unwrap_or_default();
    if let Some(Value::Object(labels)) = template.pointer_mut("/metadata/labels") {
        labels.remove(HASH);
    }
    template
}
