//! `metadata.managedFields`: who wrote which field, and when. Pure.
//!
//! Maps are owned key by key, the API's keyed lists element by element, other lists as a whole.

use serde_json::{Map, Value, json};

use crate::json::{list, map, metadata, text};

/// Who writes, and how.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) manager: String,
    pub(crate) operation: &'static str,
    pub(crate) subresource: String,
    pub(crate) api_version: String,
    pub(crate) now: String,
}

/// Fields of the metadata that nobody owns.
const OWNERLESS: [&str; 11] = [
    "managedFields",
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "generation",
    "name",
    "namespace",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
];

pub(crate) type Path = Vec<String>;

/// Records in `new` what an Update by `writer` changed since `old`.
pub(crate) fn record(old: &Value, new: &mut Value, writer: &Writer) {
    let mut changes = Changes::default();
    compare(&trimmed(old), &trimmed(new), &mut Vec::new(), &mut changes);
    let mut entries = list(old, "/metadata/managedFields").to_vec();
    if changes.set.is_empty() && changes.removed.is_empty() {
        return store(new, entries);
    }
    for entry in &mut entries {
        let fields = map(entry).entry("fieldsV1").or_insert(Value::Null);
        for path in changes.set.iter().chain(&changes.removed) {
            forget(fields, path);
        }
    }
    if !changes.set.is_empty() {
        own(&mut entries, writer, |fields| {
            changes.set.iter().for_each(|path| insert(fields, path));
        });
    }
    store(new, entries);
}

/// The entry of `writer`, created where missing, changed by `change` and stamped.
pub(crate) fn own(entries: &mut Vec<Value>, writer: &Writer, change: impl FnOnce(&mut Value)) {
    let is_own = |entry: &Value| {
        text(entry, "/manager") == writer.manager
            && text(entry, "/operation") == writer.operation
            && text(entry, "/subresource") == writer.subresource
    };
    let at = entries.iter().position(is_own).unwrap_or_else(|| {
        entries.push(json!({
            "manager": writer.manager, "operation": writer.operation,
            "apiVersion": writer.api_version, "fieldsType": "FieldsV1", "fieldsV1": {},
        }));
        entries.len() - 1
    });
    let entry = map(&mut entries[at]);
    entry.insert("time".into(), writer.now.clone().into());
    if !writer.subresource.is_empty() {
        entry.insert("subresource".into(), writer.subresource.clone().into());
    }
    change(entry.entry("fieldsV1").or_insert(Value::Null));
}

/// Puts the entries that still own something into the object.
pub(crate) fn store(object: &mut Value, mut entries: Vec<Value>) {
    entries.retain(|entry| {
        entry
            .get("fieldsV1")
            .and_then(Value::as_object)
            .is_some_and(|fields| !fields.is_empty())
    });
    if entries.is_empty() {
        metadata(object).remove("managedFields");
    } else {
        metadata(object).insert("managedFields".into(), entries.into());
    }
}

/// The object without what nobody owns.
pub(crate) fn trimmed(object: &Value) -> Value {
    let mut object = object.clone();
    let fields = map(&mut object);
    fields.remove("apiVersion");
    fields.remove("kind");
    if let Some(metadata) = fields.get_mut("metadata") {
        let metadata = map(metadata);
        metadata.retain(|name, _| !OWNERLESS.contains(&name.as_str()));
        if metadata.is_empty() {
            fields.remove("metadata");
        }
    }
    object
}

/// Every leaf of `value` as a path.
pub(crate) fn leaves(value: &Value) -> Vec<Path> {
    let mut changes = Changes::default();
    compare(&json!({}), value, &mut Vec::new(), &mut changes);
    changes.set
}

/// Makes `path` part of the owned fields.
pub(crate) fn insert(fields: &mut Value, path: &[String]) {
    if let Some((first, rest)) = path.split_first() {
        insert(map(fields).entry(first.clone()).or_insert_with(|| json!({})), rest);
    }
}

/// Takes `path` and all below it out of the owned fields.
pub(crate) fn forget(fields: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let fields = map(fields);
    if rest.is_empty() {
        fields.remove(first);
    } else if let Some(below) = fields.get_mut(first) {
        forget(below, rest);
        if below.as_object().is_some_and(Map::is_empty) {
            fields.remove(first);
        }
    }
}

/// Whether the owned fields contain `path`.
pub(crate) fn owns(fields: &Value, path: &[String]) -> bool {
    path.iter().try_fold(fields, |fields, step| fields.get(step)).is_some()
}

/// The key by which the API tells the elements of this list apart.
pub(crate) fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => Some("name"),
        "ports" => Some("containerPort"),
        "volumeMounts" => Some("mountPath"),
        "conditions" => Some("type"),
        "ownerReferences" => Some("uid"),
        _ => None,
    }
}

#[derive(Default)]
struct Changes {
    set: Vec<Path>,
    removed: Vec<Path>,
}

fn compare(old: &Value, new: &Value, path: &mut Path, changes: &mut Changes) {
    if old == new {
        return;
    }
    if let (Value::Object(old), Value::Object(new)) = (old, new) {
        return compare_maps(old, new, path, changes);
    }
    let key = path.last().and_then(|step| merge_key(step.strip_prefix("f:")?));
    if let (Some(key), Value::Array(old), Value::Array(new)) = (key, old, new) {
        let by_key = |elements: &[Value]| -> Option<Map<String, Value>> {
            let named = |one: &Value| Some((format!("k:{}", json!({key: one.get(key)?})), one.clone()));
            elements.iter().map(named).collect()
        };
        if let (Some(old), Some(new)) = (by_key(old), by_key(new)) {
            return compare_elements(&old, &new, path, changes);
        }
    }
    changes.set.push(path.clone());
}

fn compare_maps(old: &Map<String, Value>, new: &Map<String, Value>, path: &mut Path, changes: &mut Changes) {
    let prefixed = |fields: &Map<String, Value>| {
        fields
            .iter()
            .map(|(name, value)| (format!("f:{name}"), value.clone()))
            .collect()
    };
    compare_elements(&prefixed(old), &prefixed(new), path, changes);
}

fn compare_elements(old: &Map<String, Value>, new: &Map<String, Value>, path: &mut Path, changes: &mut Changes) {
    for (step, value) in new {
        path.push(step.clone());
        match old.get(step) {
            Some(before) => compare(before, value, path, changes),
            None => born(value, path, changes),
        }
        path.pop();
    }
    for step in old.keys().filter(|step| !new.contains_key(*step)) {
        changes.removed.push(path.iter().chain([step]).cloned().collect());
    }
}

/// A field that did not exist: its leaves, and the marker of the map or element itself.
fn born(value: &Value, path: &mut Path, changes: &mut Changes) {
    let key = path.last().and_then(|step| merge_key(step.strip_prefix("f:")?));
    let empty = match value {
        Value::Object(fields) if !fields.is_empty() => json!({}),
        Value::Array(elements) if !elements.is_empty() && key.is_some() => json!([]),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) | Value::Array(_) => {
            return changes.set.push(path.clone());
        }
    };
    let structure = ["f:metadata", "f:spec", "f:status", "f:template"];
    if path.last().is_some_and(|step| !structure.contains(&step.as_str())) {
        changes.set.push(path.iter().cloned().chain([".".to_owned()]).collect());
    }
    compare(&empty, value, path, changes);
}
