//! Server-side apply: the fields of one manager's configuration, merged by owner. Pure.

use serde_json::{Value, json};

use crate::{
    api::{
        failure::Failure,
        fieldset::FieldSet,
        kind::Kind,
        owning::{self, By, Writer, value_at},
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
    let wanted = owning::said(configuration, writer);
    let mut entries = list(live, "/metadata/managedFields").to_vec();
    let mut taken = FieldSet::default();
    let changed = wanted
        .iter()
        .filter(|path| value_at(live, path) != value_at(configuration, path));
    changed.for_each(|path| taken.insert(path.clone()));
    if !force {
        refuse_conflicts(kind, &entries, &taken, writer)?;
    }
    let own = entries.iter().find(|entry| is_apply_of(entry, writer)).cloned();
    let before = own.map(|entry| FieldSet::read(&entry["fieldsV1"]));
    let mut result = live.clone();
    merge(&mut result, configuration);
    drop_abandoned(&mut result, before.as_ref(), &entries, &wanted, writer);
    for entry in entries.iter_mut().filter(|entry| !is_apply_of(entry, writer)) {
        let mut fields = FieldSet::read(&entry["fieldsV1"]);
        fields.remove_all(&taken);
        entry["fieldsV1"] = fields.written();
    }
    if before.as_ref() != Some(&wanted) || owning::trimmed(&result) != owning::trimmed(live) {
        owning::own(&mut entries, writer, |fields| *fields = wanted);
    }
    owning::store(&mut result, entries);
    Ok(result)
}

fn is_apply_of(entry: &Value, writer: &Writer) -> bool {
    text(entry, "/manager") == writer.manager
        && text(entry, "/operation") == "Apply"
        && text(entry, "/subresource") == writer.subresource
}

fn refuse_conflicts(kind: &Kind, entries: &[Value], taken: &FieldSet, writer: &Writer) -> Result<(), Failure> {
    let others: Vec<(String, FieldSet)> = entries
        .iter()
        .filter(|entry| !is_apply_of(entry, writer))
        .map(|entry| (named(entry), FieldSet::read(&entry["fieldsV1"])))
        .collect();
    let contested: Vec<(&str, String)> = taken
        .iter()
        .filter_map(|path| {
            let (owner, _) = others.iter().find(|(_, fields)| fields.contains(path))?;
            let path = path.iter().map(|step| step.replacen("f:", ".", 1)).collect();
            Some((owner.as_str(), path))
        })
        .collect();
    let Some((owner, path)) = contested.first() else {
        return Ok(());
    };
    let message = match contested.len() {
        1 => format!("Apply failed with 1 conflict: conflict with {owner}: {path}"),
        count => format!("Apply failed with {count} conflicts: conflict with {owner}: {path}"),
    };
    let mut failure = Failure::conflict(kind, "", "");
    failure.message = message;
    failure.details = json!({"causes": contested.iter().map(|(owner, path)| json!({
        "reason": "FieldManagerConflict", "message": format!("conflict with {owner}"),
        "field": path,
    })).collect::<Vec<_>>()});
    Err(failure)
}

fn named(entry: &Value) -> String {
    let manager = text(entry, "/manager");
    match text(entry, "/operation") {
        "Update" => format!("\"{manager}\" using {}", text(entry, "/apiVersion")),
        _ => format!("\"{manager}\""),
    }
}

/// Removes what the manager applied before, no longer applies, and nobody else owns.
fn drop_abandoned(
    result: &mut Value,
    before: Option<&FieldSet>,
    entries: &[Value],
    wanted: &FieldSet,
    writer: &Writer,
) {
    let Some(before) = before else { return };
    let others = entries.iter().filter(|entry| !is_apply_of(entry, writer));
    let mut kept = wanted.clone();
    others.for_each(|entry| kept.extend(&FieldSet::read(&entry["fieldsV1"])));
    for path in before.iter().filter(|path| !kept.contains(path)) {
        remove_at(result, path);
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
        match (owning::by(name), wanted.as_array()) {
            (By::Keys(keys), Some(elements)) => merge_elements(current, elements, |one, other| {
                keys.iter().all(|key| one.get(key) == other.get(key))
            }),
            (By::Value, Some(elements)) => merge_elements(current, elements, |one, other| one == other),
            _ if wanted.is_object() => merge(current, wanted),
            _ => *current = wanted.clone(),
        }
    }
}

fn merge_elements(current: &mut Value, wanted: &[Value], same: impl Fn(&Value, &Value) -> bool) {
    let mut elements = current.as_array().cloned().unwrap_or_default();
    for element in wanted {
        match elements.iter_mut().find(|one| same(one, element)) {
            Some(one) => merge(one, element),
            None => elements.push(element.clone()),
        }
    }
    *current = elements.into();
}

fn remove_at(value: &mut Value, path: &[String]) {
    let Some((last, way)) = path.split_last() else {
        return;
    };
    let mut value = value;
    for step in way {
        let next = match step.split_once(':') {
            Some(("f", name)) => value.get_mut(name),
            Some((sort, key)) => owning::position(value, sort, key).and_then(|at| value.get_mut(at)),
            None => None,
        };
        let Some(next) = next else { return };
        value = next;
    }
    match (last.split_once(':'), value) {
        (Some(("f", name)), Value::Object(fields)) => {
            fields.remove(name);
        }
        (Some((sort, key)), elements) => {
            let at = owning::position(elements, sort, key);
            if let (Some(at), Value::Array(elements)) = (at, elements) {
                elements.remove(at);
            }
        }
        (None, _) => {}
    }
}
