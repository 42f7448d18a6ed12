//! Pure. What of an object is restored, and the hash by which it is known.
//!
//! A hash is over canonical JSON (keys sorted) and leaves out what does not change behaviour: the
//! `pod-template-hash` label, `restartedAt`, nulls, modosu's own annotations. It is versioned, so that a later rule
//! cannot be taken for an earlier one.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::guard::{TargetKind, TargetRef};

/// Prefix of modosu's own annotations.
pub const OWN_PREFIX: &str = "modosu.dev/";
/// Put on a pod template so that its pods restart with a restored ConfigMap.
pub const RESTORED_AT: &str = "modosu.dev/restored-at";
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
const VERSION: &str = "modosu v1";

/// The part of an object that is restored: a workload's pod template, a ConfigMap's `data` and `binaryData`.
#[derive(Clone, Debug, PartialEq)]
pub struct Content(pub Value);

/// The contents of all of a guard's targets.
pub type Contents = BTreeMap<TargetRef, Content>;

impl Content {
    /// The restorable part of a whole object as the API server gives it.
    pub fn of(kind: TargetKind, object: &Value) -> Self {
        match kind {
            TargetKind::Deployment | TargetKind::StatefulSet | TargetKind::DaemonSet => {
                Self(object.pointer("/spec/template").cloned().unwrap_or(Value::Null))
            }
            TargetKind::ConfigMap => {
                let part = |key: &str| object.get(key).cloned().unwrap_or(Value::Null);
                let mut content = Map::new();
                content.insert("data".into(), part("data"));
                content.insert("binaryData".into(), part("binaryData"));
                Self(without_nulls(&Value::Object(content)))
            }
        }
    }

    /// Content-addressed: equal for contents that behave the same.
    pub fn hash(&self) -> String {
        short_hash(&canonical(&self.0).to_string())
    }
}

/// The hash of a whole state from the hashes of its parts.
pub fn state_hash<'a>(parts: impl IntoIterator<Item = (&'a TargetRef, &'a str)>) -> String {
    let mut text = String::new();
    for (target, hash) in parts {
        text.push_str(&format!("{target} {hash}\n"));
    }
    short_hash(&text)
}

/// 48 bits of SHA-256 in hexadecimal digits, over the version and the text.
pub fn short_hash(text: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(VERSION.as_bytes());
    hasher.update(b"\n");
    hasher.update(text.as_bytes());
    let digest = hasher.finalize();
    hex::encode(digest.get(..6).unwrap_or_default())
}

/// The images of a pod template, in the order of its containers.
pub fn images(template: &Value) -> Vec<String> {
    let containers = template.pointer("/spec/containers").and_then(Value::as_array);
    containers
        .into_iter()
        .flatten()
        .filter_map(|container| container.get("image").and_then(Value::as_str))
        .map(short_image)
        .collect()
}

/// `registry/team/orders:1.4.2` as people call it: `orders:1.4.2`.
fn short_image(image: &str) -> String {
    image.rsplit('/').next().unwrap_or(image).to_owned()
}

/// The value without what does not change behaviour, keys sorted (`serde_json::Map` is a `BTreeMap` here).
fn canonical(content: &Value) -> Value {
    let mut value = without_nulls(content);
    remove_entry(&mut value, "labels", |key| key == "pod-template-hash");
    remove_entry(&mut value, "annotations", |key| {
        key == RESTARTED_AT || key.starts_with(OWN_PREFIX)
    });
    value
}

fn remove_entry(template: &mut Value, map: &str, drop: impl Fn(&str) -> bool) {
    let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    if let Some(entries) = metadata.get_mut(map).and_then(Value::as_object_mut) {
        entries.retain(|key, _| !drop(key));
        if entries.is_empty() {
            metadata.remove(map);
        }
    }
    if metadata.is_empty()
        && let Some(object) = template.as_object_mut()
    {
        object.remove("metadata");
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut sorted: Vec<_> = map.iter().filter(|(_, v)| !v.is_null()).collect();
            sorted.sort_by_key(|(key, _)| *key);
            Value::Object(
                sorted
                    .into_iter()
                    .map(|(key, v)| (key.clone(), without_nulls(v)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(annotations: Value, mode: &str) -> Content {
        Content(json!({
            "metadata": {"labels": {"app": "orders", "pod-template-hash": "abc"}, "annotations": annotations, "creationTimestamp": null},
            "spec": {"containers": [{"name": "orders", "image": "r/orders:1.4.2", "env": [{"name": "WORKER_MODE", "value": mode}]}]},
        }))
    }

    #[test]
    fn a_restart_is_no_other_state() {
        let plain = template(Value::Null, "legacy").hash();
        let restarted = template(
            json!({"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}),
            "legacy",
        )
        .hash();
        let restored = template(json!({"modosu.dev/restored-at": "2026-01-01T00:00:00Z"}), "legacy").hash();
        assert_eq!(plain, restarted);
        assert_eq!(plain, restored);
        assert_ne!(plain, template(Value::Null, "celery").hash());
    }

    #[test]
    fn an_emptied_config_map_is_no_missing_one_but_null_is_absent() {
        let of = |object: &Value| Content::of(TargetKind::ConfigMap, object).hash();
        assert_eq!(
            of(&json!({"data": {"a": "1"}})),
            of(&json!({"data": {"a": "1"}, "binaryData": null}))
        );
        assert_ne!(of(&json!({"data": {"a": "1"}})), of(&json!({"data": {"a": "2"}})));
    }

    #[test]
    fn images_are_called_as_people_call_them() {
        assert_eq!(images(&template(Value::Null, "legacy").0), vec!["orders:1.4.2"]);
    }
}
