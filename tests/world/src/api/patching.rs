//! JSON Patch, merge patch and strategic merge patch. Pure.

use serde_json::{Map, Value};

use crate::{
    api::{failure::Failure, kind::Kind, owning::merge_key},
    json::map,
};

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

/// `object` with the patch of this media type applied.
pub(crate) fn patched(kind: &Kind, object: &Value, media_type: &str, patch: &Value) -> Result<Value, Failure> {
    let mut object = object.clone();
    match media_type {
        JSON => json_patch(&mut object, patch)?,
        MERGE => json_patch::merge(&mut object, patch),
        STRATEGIC if !kind.is_custom() => strategic(&mut object, patch),
        _ => return Err(unsupported(kind, media_type)),
    }
    Ok(object)
}

fn json_patch(object: &mut Value, patch: &Value) -> Result<(), Failure> {
    let operations: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
    json_patch::patch(object, &operations).map_err(|_| Failure::patch_does_not_apply())
}

fn unsupported(kind: &Kind, media_type: &str) -> Failure {
    let accepted = match kind.is_custom() {
        true => format!("{JSON}, {MERGE}, {APPLY}"),
        false => format!("{JSON}, {MERGE}, {STRATEGIC}, {APPLY}"),
    };
    Failure::media_type(media_type, &accepted)
}

/// Merges maps by key and the API's keyed lists by element; replaces everything else.
fn strategic(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if patch.get("$patch").and_then(Value::as_str) == Some("replace") {
        *target = Value::Object(plain(patch));
        return;
    }
    let target = map(target);
    for (name, change) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        match (merge_key(name), change) {
            (_, Value::Null) => {
                target.remove(name);
            }
            (Some(key), Value::Array(changes)) => {
                let elements = target.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                merge_elements(elements, key, changes);
            }
            (_, Value::Object(fields)) if is_deletion(fields) => {
                target.remove(name);
            }
            (_, Value::Object(_)) => {
                strategic(target.entry(name).or_insert(Value::Null), change);
            }
            (_, Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                target.insert(name.clone(), change.clone());
            }
        }
    }
}

fn merge_elements(elements: &mut Value, key: &str, changes: &[Value]) {
    let Value::Array(elements) = elements else { return };
    for change in changes {
        let Some(fields) = change.as_object() else { continue };
        let found = elements.iter().position(|one| one.get(key) == fields.get(key));
        match (is_deletion(fields), found) {
            (true, Some(at)) => {
                elements.remove(at);
            }
            (true, None) => {}
            (false, Some(at)) => strategic(&mut elements[at], change),
            (false, None) => elements.push(Value::Object(plain(fields))),
        }
    }
}

fn is_deletion(fields: &Map<String, Value>) -> bool {
    fields.get("$patch").and_then(Value::as_str) == Some("delete")
}

/// The fields without directives and nulls.
fn plain(fields: &Map<String, Value>) -> Map<String, Value> {
    let kept = fields
        .iter()
        .filter(|(name, value)| !name.starts_with('$') && !value.is_null());
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}
