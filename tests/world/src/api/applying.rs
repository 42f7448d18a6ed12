//! Server-side apply: the fields of one manager's configuration, merged by owner. Pure.

use serde_json::{Value, json};

use crate::{
    api::{
        failure::Failure,
        kind::Kind,
        owning::{self, Path, Writer, merge_key},
    },
    json::{list, map, text},
};

/// The object after `writer` applied `configuration`.
pub(crate) fn applied(
    kind: &Kind,
    live: &Value,
    configuration: &Value,
    writer: &Writer,
    force: bool,
) -> Result<Value, Failure> {
    let wanted = owning::leaves(&owning::trimmed(configuration));
    let mut entries = list(live, "/metadata/managedFields").to_vec();
    if !force {
        refuse_conflicts(kind, live, configuration, &entries, &wanted, writer)?;
    }
    let before = entries.iter().find(|entry| is_apply_of(entry, writer)).cloned();
    let mut result = live.clone();
    merge(&mut result, configuration);
    drop_abandoned(&mut result, before.as_ref(), &entries, &wanted, writer);
    for entry in entries.iter_mut().filter(|entry| !is_apply_of(entry, writer)) {
        let fields = map(entry).entry("fieldsV1").or_insert(Value::Null);
        for path in &wanted {
            if value_at(live, path) != value_at(configuration, path) {
                owning::forget(fields, path);
            }
        }
    }
    let same_fields = before.as_ref().is_some_and(|entry| entry["fieldsV1"] == tree(&wanted));
    if !same_fields || owning::trimmed(&result) != owning::trimmed(live) {
        owning::own(&mut entries, writer, |fields| *fields = tree(&wanted));
    }
    owning::store(&mut result, entries);
    Ok(result)
}

fn is_apply_of(entry: &Value, writer: &Writer) -> bool {
    text(entry, "/manager") == writer.manager
        && text(entry, "/operation") == "Apply"
        && text(entry, "/subresource") == writer.subresource
}

fn refuse_conflicts(
    kind: &Kind,
    live: &Value,
    configuration: &Value,
    entries: &[Value],
    wanted: &[Path],
    writer: &Writer,
) -> Result<(), Failure> {
    let others = || entries.iter().filter(|entry| !is_apply_of(entry, writer));
    let contested: Vec<(String, String)> = wanted
        .iter()
        .filter(|path| path.last().is_some_and(|step| step != "."))
        .filter(|path| value_at(live, path) != value_at(configuration, path))
        .filter_map(|path| {
            let owner = others().find(|entry| owning::owns(&entry["fieldsV1"], path))?;
            let path: String = path.iter().map(|step| step.replacen("f:", ".", 1)).collect();
            Some((text(owner, "/manager").to_owned(), path))
        })
        .collect();
    let Some((owner, path)) = contested.first() else {
        return Ok(());
    };
    let count = contested.len();
    let s = if count == 1 { "" } else { "s" };
    let message = format!("Apply failed with {count} conflict{s}: conflict with \"{owner}\": {path}");
    let mut failure = Failure::conflict(kind, "", "");
    failure.message = message;
    failure.details = json!({"causes": contested.iter().map(|(owner, path)| json!({
        "reason": "FieldManagerConflict", "message": format!("conflict with \"{owner}\""),
        "field": path,
    })).collect::<Vec<_>>()});
    Err(failure)
}

fn tree(paths: &[Path]) -> Value {
    let mut fields = json!({});
    paths.iter().for_each(|path| owning::insert(&mut fields, path));
    fields
}

/// Removes what the manager applied before, no longer applies, and nobody else owns.
fn drop_abandoned(result: &mut Value, before: Option<&Value>, entries: &[Value], wanted: &[Path], writer: &Writer) {
    let Some(before) = before else { return };
    let kept = tree(wanted);
    let mut abandoned = Vec::new();
    walk(&before["fieldsV1"], &mut Vec::new(), &mut abandoned);
    for path in abandoned.iter().filter(|path| !owning::owns(&kept, path)) {
        let others = entries.iter().filter(|entry| !is_apply_of(entry, writer));
        if !others.into_iter().any(|entry| owning::owns(&entry["fieldsV1"], path)) {
            remove_at(result, path);
        }
    }
}

fn walk(fields: &Value, path: &mut Path, found: &mut Vec<Path>) {
    for (step, below) in crate::json::entries(fields, "") {
        path.push(step.clone());
        found.push(path.clone());
        walk(below, path, found);
        path.pop();
    }
}

fn merge(target: &mut Value, configuration: &Value) {
    let Some(fields) = configuration.as_object() else {
        *target = configuration.clone();
        return;
    };
    let target = map(target);
    for (name, wanted) in fields {
        let current = target.entry(name).or_insert(Value::Null);
        let (Some(key), Some(wanted_elements)) = (merge_key(name), wanted.as_array()) else {
            if wanted.is_object() {
                merge(current, wanted);
            } else {
                *current = wanted.clone();
            }
            continue;
        };
        let mut elements = current.as_array().cloned().unwrap_or_default();
        for element in wanted_elements {
            match elements.iter_mut().find(|one| one.get(key) == element.get(key)) {
                Some(one) => merge(one, element),
                None => elements.push(element.clone()),
            }
        }
        *current = elements.into();
    }
}

fn value_at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match step.split_once(':') {
        Some(("f", name)) => value.get(name),
        Some((_, key)) => element(value, key),
        None => Some(value),
    })
}

fn element<'a>(elements: &'a Value, key: &str) -> Option<&'a Value> {
    let at = position(elements, key)?;
    elements.get(at)
}

fn position(elements: &Value, key: &str) -> Option<usize> {
    let key: Value = serde_json::from_str(key).ok()?;
    let (name, wanted) = key.as_object()?.iter().next()?;
    elements
        .as_array()?
        .iter()
        .position(|one| one.get(name) == Some(wanted))
}

fn remove_at(value: &mut Value, path: &[String]) {
    let Some((last, way)) = path.split_last() else { return };
    let mut value = value;
    for step in way {
        let next = match step.split_once(':') {
            Some(("f", name)) => value.get_mut(name),
            Some((_, key)) => position(value, key).and_then(|at| value.get_mut(at)),
            None => None,
        };
        let Some(next) = next else { return };
        value = next;
    }
    match (last.split_once(':'), value) {
        (Some(("f", name)), Value::Object(fields)) => {
            fields.remove(name);
        }
        (Some((_, key)), elements) => {
            let at = position(elements, key);
            if let (Some(at), Value::Array(elements)) = (at, elements) {
                elements.remove(at);
            }
        }
        (None, _) => {}
    }
}
