//! JSON Patch, merge patch and strategic merge patch. Pure.

use serde_json::{Map, Value};

use crate::{
    api::{
        failure::Failure,
        kind::Kind,
        owning::{By, by},
    },
    json::{map, text},
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
        STRATEGIC => {
            let message = format!(
                "the body of the request was in an unknown format - accepted media types include: {JSON}, {MERGE}, {APPLY}"
            );
            return Err(Failure {
                details: Value::Null,
                ..Failure::media_type(&message)
            });
        }
        _ => return Err(Failure::media_type("415: Unsupported Media Type")),
    }
    Ok(object)
}

/// With the real server's two peculiarities: a missing field can be replaced, and tests as null.
fn json_patch(object: &mut Value, patch: &Value) -> Result<(), Failure> {
    let Some(operations) = patch.as_array() else {
        return Err(Failure::bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ));
    };
    for operation in operations {
        let mut operation = operation.clone();
        let path = text(&operation, "/path").to_owned();
        let is_missing = object.pointer(&path).is_none();
        let parent = path.rsplit_once('/').and_then(|(parent, _)| object.pointer(parent));
        if is_missing && parent.is_some_and(Value::is_object) {
            match text(&operation, "/op") {
                "replace" => operation["op"] = "add".into(),
                "test" if operation.get("value").is_some_and(Value::is_null) => continue,
                _ => {}
            }
        }
        let operation: json_patch::PatchOperation =
            serde_json::from_value(operation).map_err(|_| Failure::patch_does_not_apply())?;
        json_patch::patch(object, &[operation]).map_err(|_| Failure::patch_does_not_apply())?;
    }
    Ok(())
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
                let order = patch.get(&format!("$setElementOrder/{name}")).and_then(Value::as_array);
                let elements = target.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                merge_elements(elements, key, changes, order.unwrap_or(changes));
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

fn merge_elements(elements: &mut Value, key: &str, changes: &[Value], order: &[Value]) {
    let Value::Array(elements) = elements else { return };
    let before: Vec<Value> = elements.iter().filter_map(|one| one.get(key).cloned()).collect();
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
    let order: Vec<&Value> = order.iter().filter_map(|one| one.get(key)).collect();
    *elements = ordered(std::mem::take(elements), key, &order, &before);
}

/// The patch's elements in its order; the others where they were in relation to them.
fn ordered(elements: Vec<Value>, key: &str, order: &[&Value], before: &[Value]) -> Vec<Value> {
    let place = |one: &Value| order.iter().position(|name| Some(*name) == one.get(key));
    let was = |one: &Value| before.iter().position(|name| Some(name) == one.get(key));
    let (mut named, others): (Vec<Value>, Vec<Value>) = elements.into_iter().partition(|one| place(one).is_some());
    named.sort_by_key(|one| place(one));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    let mut sorted = Vec::new();
    while let (Some(one), Some(other)) = (named.peek(), others.peek()) {
        let other_first = was(other).zip(was(one)).is_some_and(|(other, one)| other < one);
        sorted.extend(if other_first { others.next() } else { named.next() });
    }
    sorted.into_iter().chain(named).chain(others).collect()
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

/// The field by which a strategic merge patch tells the elements of this list apart.
fn merge_key(list: &str) -> Option<&'static str> {
    match by(list) {
        By::Keys(keys) => keys.first().copied(),
        By::Value | By::Whole => None,
    }
}
