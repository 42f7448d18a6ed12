//! The few validations of Kubernetes' own kinds that a tool like modosu can run into. Pure.

use serde_json::Value;

use crate::{
    api::{failure::Failure, kind::Kind, schema},
    json::{entries, text},
};

type Cause = (&'static str, String, String);

/// Refuses an object that the real server would refuse.
pub(crate) fn check(kind: &Kind, old: Option<&Value>, new: &Value) -> Result<(), Failure> {
    let mut causes = Vec::new();
    if let Some(schema) = &kind.schema {
        schema::check(schema, new, "", &mut causes);
    }
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets") => {
            workload(old, new, &mut causes);
        }
        ("apps", "controllerrevisions") => kept_data(old, new, &mut causes),
        ("", "configmaps" | "secrets") => immutable_data(old, new, &mut causes),
        _ => {}
    }
    match causes.is_empty() {
        true => Ok(()),
        false => Err(Failure::invalid(kind, text(new, "/metadata/name"), &causes)),
    }
}

fn workload(old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    let labels = new.pointer("/spec/template/metadata/labels");
    let matches = entries(new, "/spec/selector/matchLabels")
        .all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value));
    if !matches {
        let shown = labels.cloned().unwrap_or_default();
        let message = format!("Invalid value: {shown}: `selector` does not match template `labels`");
        causes.push(("FieldValueInvalid", "spec.template.metadata.labels".into(), message));
    }
    if crate::json::list(new, "/spec/template/spec/containers").is_empty() {
        let field = "spec.template.spec.containers".to_owned();
        causes.push(("FieldValueRequired", field, "Required value".into()));
    }
    let selector = |object: &Value| object.pointer("/spec/selector").cloned();
    if old.is_some_and(|old| selector(old) != selector(new)) {
        let shown = selector(new).unwrap_or_default();
        let message = format!("Invalid value: {shown}: field is immutable");
        causes.push(("FieldValueInvalid", "spec.selector".into(), message));
    }
}

/// A revision's number may change, what it holds may not.
fn kept_data(old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    if old.is_some_and(|old| old.get("data") != new.get("data")) {
        let shown = new.get("data").cloned().unwrap_or_default();
        let message = format!("Invalid value: {shown}: field is immutable");
        causes.push(("FieldValueInvalid", "data".into(), message));
    }
}

fn immutable_data(old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    let Some(old) = old.filter(|old| old.get("immutable") == Some(&Value::Bool(true))) else {
        return;
    };
    for field in ["data", "binaryData"] {
        if old.get(field) != new.get(field) {
            let message = "Forbidden: field is immutable when `immutable` is set".to_owned();
            causes.push(("FieldValueForbidden", field.into(), message));
        }
    }
}
