//! Pure. What of an object is restored, and the hash by which it is known.
//!
//! A hash is over canonical JSON (keys sorted) and leaves out what does not change behaviour: the
//! `pod-template-hash` label, `restartedAt`, nulls, modosu's own annotations. It is versioned, so that a later rule
//! cannot be taken for an earlier one.
//!
//! Hashes are read by many who may not read Secrets, and a short password is soon found by its hash. So a Secret's is taken
//! with a salt that only those know who may read Secrets.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::guard::{TargetKind, TargetRef};

/// Prefix of modosu's own annotations.
pub const OWN_PREFIX: &str = "modosu.dev/";
/// Put on a pod template so that its pods restart with a restored ConfigMap.
pub const RESTORED_AT: &str = "modosu.dev/restored-at";
/// On a pod template: from this state there is no way back that modosu may take by itself, and why (a migration).
pub const NO_WAY_BACK: &str = "modosu.dev/no-way-back";
/// On a pod template: the whole hash of the commit that it was built from.
pub const COMMIT: &str = "modosu.dev/commit";
/// The label by which the pods of one ReplicaSet are known.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
const VERSION: &str = "modosu v1";

/// The Secret of a namespace that holds the salt of its Secrets' hashes.
pub const SALT_SECRET: &str = "modosu-salt";
/// In the content of a Secret: what its hash is taken with. Never written to the Secret.
pub const SALT: &str = "salt";
/// What belongs to a ConfigMap or a Secret but not to its content: needed where it is created again.
const BESIDE: [&str; 2] = ["immutable", "type"];

/// The part of an object that is restored: a workload's pod template, the `data` and `binaryData` of a ConfigMap or a Secret.
#[derive(Clone, PartialEq)]
pub struct Content(pub Value);

/// It may be a Secret's: no values.
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({})", self.hash())
    }
}

/// The contents of all of a guard's targets.
pub type Contents = BTreeMap<TargetRef, Content>;

impl Content {
    /// The restorable part of a whole object as the API server gives it.
    pub fn of(kind: TargetKind, object: &Value) -> Self {
        match kind {
            TargetKind::Deployment | TargetKind::StatefulSet | TargetKind::DaemonSet => {
                Self(object.pointer("/spec/template").cloned().unwrap_or(Value::Null))
            }
            TargetKind::ConfigMap | TargetKind::Secret => {
                let keys = ["data", "binaryData"].into_iter().chain(BESIDE);
                let parts = keys.filter_map(|key| Some((key.to_owned(), object.get(key)?.clone())));
                Self(without_nulls(&Value::Object(parts.collect())))
            }
        }
    }

    /// A Secret's content, so that its hash tells nothing to those who do not know the salt.
    #[must_use]
    pub fn salted(mut self, salt: &str) -> Self {
        if let Some(content) = self.0.as_object_mut() {
            content.insert(SALT.to_owned(), salt.into());
        }
        self
    }

    /// The names of the keys that a ConfigMap or a Secret holds.
    pub fn keys(&self) -> Vec<&str> {
        let fields = ["data", "binaryData"]
            .into_iter()
            .filter_map(|field| self.0.get(field)?.as_object());
        fields.flat_map(Map::keys).map(String::as_str).collect()
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

/// The hash of the state that consists of these contents.
pub fn state_of(contents: &Contents) -> String {
    let hashes: Vec<_> = contents
        .iter()
        .map(|(target, content)| (target, content.hash()))
        .collect();
    state_hash(hashes.iter().map(|(target, hash)| (*target, hash.as_str())))
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
    let mut value = without_own(content);
    if let Some(object) = value.as_object_mut() {
        object.retain(|key, _| !BESIDE.contains(&key.as_str()));
    }
    value
}

/// A pod template without nulls, and without the labels and annotations that do not change behaviour.
pub fn without_own(template: &Value) -> Value {
    let mut value = without_nulls(template);
    remove_entry(&mut value, "labels", |key| key == POD_TEMPLATE_HASH);
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
    fn the_hash_of_a_secret_tells_nothing_without_the_salt_and_its_debug_output_nothing_at_all() {
        let object = json!({"type": "Opaque", "data": {"PIN": "MTIzNA=="}});
        let secret = || Content::of(TargetKind::Secret, &object);
        assert_eq!(secret().salted("a").hash(), secret().salted("a").hash());
        assert_ne!(secret().salted("a").hash(), secret().salted("b").hash());
        assert_ne!(secret().salted("a").hash(), secret().hash());
        assert_eq!(format!("{:?}", secret()), format!("Content({})", secret().hash()));
    }

    #[test]
    fn what_an_object_is_created_with_is_kept_and_is_no_other_content() {
        let config = |more: Value| {
            let mut object = json!({"data": {"a": "1"}});
            json_patch::merge(&mut object, &more);
            Content::of(TargetKind::ConfigMap, &object)
        };
        let immutable = config(json!({"immutable": true}));
        assert_eq!(immutable.hash(), config(json!({})).hash());
        assert_eq!(immutable.0, json!({"data": {"a": "1"}, "immutable": true}));
    }

    #[test]
    fn images_are_called_as_people_call_them() {
        assert_eq!(images(&template(Value::Null, "legacy").0), vec!["orders:1.4.2"]);
    }
}
