//! `metadata.managedFields`: who wrote which field, and when. Pure.
//!
//! Maps are owned key by key, the API's keyed lists element by element, other lists as a whole.

use serde_json::{Map, Value, json};

use crate::{
    api::fieldset::{FieldSet, Path},
    json::{list, map, metadata, text},
};

/// Who writes, and how.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) manager: String,
    pub(crate) operation: &'static str,
    pub(crate) subresource: String,
    pub(crate) api_version: String,
    pub(crate) now: String,
    /// Whether the kind comes from a definition: then `spec` itself is a field like any other.
    pub(crate) custom: bool,
    /// Whether `data` is one thing, as in a ControllerRevision.
    pub(crate) whole_data: bool,
}

/// Fields of the metadata that nobody owns.
const OWNERLESS: [&str; 10] = [
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
];
/// Parts of Kubernetes' own kinds that are always there, so that nobody owns them as such.
const STRUCTURE: [&str; 6] = [
    "f:metadata",
    "f:spec",
    "f:status",
    "f:template",
    "f:strategy",
    "f:containers",
];
/// Maps that are owned as one thing.
const WHOLE: [&str; 4] = ["f:selector", "f:configMapKeyRef", "f:secretKeyRef", "f:fieldRef"];

/// Records in `new` what an Update by `writer` changed since `old`.
pub(crate) fn record(old: &Value, new: &mut Value, writer: &Writer) {
    let changes = Changes::between(&trimmed(old), &trimmed(new), writer);
    let mut entries = list(old, "/metadata/managedFields").to_vec();
    // Where nobody owns anything any more, the server does not begin anew.
    let untracked = entries.is_empty() && old.get("metadata").is_some();
    if untracked || (changes.set.is_empty() && changes.removed.is_empty()) {
        return store(new, entries);
    }
    for entry in &mut entries {
        let mut fields = FieldSet::read(&entry["fieldsV1"]);
        fields.remove_all(&changes.set);
        fields.remove_all(&changes.removed);
        entry["fieldsV1"] = fields.written();
    }
    if !changes.set.is_empty() {
        own(&mut entries, writer, |fields| fields.extend(&changes.set));
    }
    store(new, entries);
}

/// The entry of `writer`, created where missing, changed by `change` and stamped.
pub(crate) fn own(entries: &mut Vec<Value>, writer: &Writer, change: impl FnOnce(&mut FieldSet)) {
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
    let mut fields = FieldSet::read(entry.get("fieldsV1").unwrap_or(&Value::Null));
    change(&mut fields);
    entry.insert("fieldsV1".into(), fields.written());
}

/// Puts the entries that still own something into the object.
pub(crate) fn store(object: &mut Value, mut entries: Vec<Value>) {
    entries.retain(|entry| !FieldSet::read(&entry["fieldsV1"]).is_empty());
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

/// The fields that a configuration of server-side apply says something about: maps only by what is in them.
pub(crate) fn said(configuration: &Value, writer: &Writer) -> FieldSet {
    let mut said = FieldSet::default();
    for path in Changes::between(&json!({}), &trimmed(configuration), writer).set.iter() {
        let element = path.last().is_some_and(|step| !step.starts_with("f:"));
        if element || value_at(configuration, path).is_none_or(|value| !has_own_fields(path, value)) {
            said.insert(path.clone());
        }
    }
    said
}

fn has_own_fields(path: &Path, value: &Value) -> bool {
    let listed = path.last().and_then(|step| step.strip_prefix("f:")).map(by);
    value.as_object().is_some_and(|fields| !fields.is_empty())
        || listed.is_some_and(|by| !matches!(by, By::Whole) && value.is_array())
}

/// The value of a field.
pub(crate) fn value_at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match step.split_once(':') {
        Some(("f", name)) => value.get(name),
        Some((sort, key)) => value.get(position(value, sort, key)?),
        None => None,
    })
}

/// Which element of a list this step means.
pub(crate) fn position(elements: &Value, sort: &str, key: &str) -> Option<usize> {
    let key: Value = serde_json::from_str(key).ok()?;
    let elements = elements.as_array()?;
    if sort == "v" {
        return elements.iter().position(|one| *one == key);
    }
    let wanted = key.as_object()?;
    let same = |one: &Value| wanted.iter().all(|(name, value)| one.get(name) == Some(value));
    elements.iter().position(same)
}

/// How the API tells the elements of a list apart.
#[derive(Clone, Copy)]
pub(crate) enum By {
    Keys(&'static [&'static str]),
    Value,
    Whole,
}

pub(crate) fn by(list: &str) -> By {
    match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => By::Keys(&["name"]),
        "ports" => By::Keys(&["containerPort", "protocol"]),
        "volumeMounts" => By::Keys(&["mountPath"]),
        "conditions" => By::Keys(&["type"]),
        "ownerReferences" => By::Keys(&["uid"]),
        "finalizers" => By::Value,
        _ => By::Whole,
    }
}

#[derive(Default)]
struct Changes {
    structure: &'static [&'static str],
    whole_data: bool,
    set: FieldSet,
    removed: FieldSet,
}

impl Changes {
    fn between(old: &Value, new: &Value, writer: &Writer) -> Changes {
        let structure = if writer.custom { &STRUCTURE[..1] } else { &STRUCTURE[..] };
        let mut changes = Changes {
            structure,
            whole_data: writer.whole_data,
            ..Changes::default()
        };
        changes.compare(old, new, &mut Vec::new());
        changes
    }

    fn compare(&mut self, old: &Value, new: &Value, path: &mut Path) {
        if old == new {
            return;
        }
        match (self.steps(old, path), self.steps(new, path)) {
            (Some(old), Some(new)) => self.compare_steps(&old, &new, path),
            _ => self.set.insert(path.clone()),
        }
    }

    fn compare_steps(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, path: &mut Path) {
        for (step, value) in new {
            path.push(step.clone());
            match old.get(step) {
                Some(before) => self.compare(before, value, path),
                None => self.every(value, path, false),
            }
            path.pop();
        }
        for (step, value) in old.iter().filter(|(step, _)| !new.contains_key(*step)) {
            path.push(step.clone());
            self.every(value, path, true);
            path.pop();
        }
    }

    /// The field itself and all below it.
    fn every(&mut self, value: &Value, path: &mut Path, removed: bool) {
        let below = self.steps(value, path).unwrap_or_default();
        let structure = path.last().is_some_and(|step| self.structure.contains(&step.as_str()));
        if below.is_empty() || !structure {
            let set = if removed { &mut self.removed } else { &mut self.set };
            set.insert(path.clone());
        }
        for (step, value) in &below {
            path.push(step.clone());
            self.every(value, path, removed);
            path.pop();
        }
    }
}

impl Changes {
    /// What is below a map or a list whose elements are told apart; `None` where the value is one thing.
    fn steps(&self, value: &Value, path: &[String]) -> Option<Map<String, Value>> {
        let last = path.last().map_or("", String::as_str);
        let is_data = self.whole_data && path.len() == 1 && last == "f:data";
        if is_data || WHOLE.contains(&last) || last.starts_with("k:{\"uid\":") {
            return None;
        }
        if let Some(fields) = value.as_object() {
            let fields = fields.iter();
            return Some(
                fields
                    .map(|(name, value)| (format!("f:{name}"), value.clone()))
                    .collect(),
            );
        }
        let elements = value.as_array()?;
        match by(last.strip_prefix("f:")?) {
            By::Whole => None,
            By::Value => Some(elements.iter().map(|one| (format!("v:{one}"), Value::Null)).collect()),
            By::Keys(keys) => elements.iter().map(|one| keyed(one, keys)).collect(),
        }
    }
}

fn keyed(element: &Value, keys: &[&str]) -> Option<(String, Value)> {
    let present = keys
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), element.get(key)?.clone())));
    let key: Map<String, Value> = present.collect();
    (!key.is_empty()).then(|| (format!("k:{}", Value::Object(key)), element.clone()))
}
