//! Custom resources against their structural schema: unknown fields are dropped, and types,
//! required fields, enums and bounds are checked. CEL rules are not evaluated. Pure.

use serde_json::{Map, Value};

use crate::{
    api::kind::Kind,
    json::{entries, list, number, text},
    number::signed,
    prometheus::pattern::Pattern,
};

type Cause = (&'static str, String, String);

/// Drops the fields that the schema of a custom resource does not know.
pub(crate) fn prune(kind: &Kind, object: &mut Value) {
    let Some(schema) = &kind.schema else { return };
    let Value::Object(fields) = object else { return };
    let known = schema.get("properties").and_then(Value::as_object);
    fields.retain(|name, _| {
        matches!(name.as_str(), "apiVersion" | "kind" | "metadata")
            || known.is_some_and(|known| known.contains_key(name))
            || keeps_unknown(schema)
    });
    for (name, property) in entries(schema, "/properties").filter(|(name, _)| *name != "metadata") {
        if let Some(value) = fields.get_mut(name) {
            prune_value(property, value);
        }
    }
}

fn prune_value(schema: &Value, value: &mut Value) {
    if let (Some(items), Value::Array(elements)) = (schema.get("items"), &mut *value) {
        elements.iter_mut().for_each(|element| prune_value(items, element));
    }
    let Value::Object(fields) = value else { return };
    if let Some(each) = schema.get("additionalProperties") {
        fields.values_mut().for_each(|field| prune_value(each, field));
        return;
    }
    let empty = Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    if !keeps_unknown(schema) {
        fields.retain(|name, value| {
            // A null where null is not allowed is dropped, so that its default can come back.
            known
                .get(name)
                .is_some_and(|property| !value.is_null() || is_nullable(property))
        });
    }
    for (name, property) in known {
        if let Some(value) = fields.get_mut(name) {
            prune_value(property, value);
        }
    }
}

fn keeps_unknown(schema: &Value) -> bool {
    schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true))
}

fn is_nullable(schema: &Value) -> bool {
    schema.get("nullable") == Some(&Value::Bool(true))
}

/// Adds what is wrong with `value` to `causes`.
pub(crate) fn check(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && is_nullable(schema) {
        return;
    }
    if let Some(message) = wrong_type(schema, value, path) {
        causes.push(("FieldValueTypeInvalid", shown(path), message));
        return;
    }
    let allowed = list(schema, "/enum");
    if !allowed.is_empty() && !allowed.contains(value) {
        let names: Vec<String> = allowed.iter().map(Value::to_string).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", names.join(", "));
        causes.push(("FieldValueNotSupported", shown(path), message));
    }
    bounds(schema, value, path, causes);
    for required in list(schema, "/required").iter().filter_map(Value::as_str) {
        if value.is_object() && value.get(required).is_none() {
            let field = shown(&format!("{path}.{required}"));
            causes.push(("FieldValueRequired", field, "Required value".into()));
        }
    }
    for (name, property) in entries(schema, "/properties") {
        if let Some(value) = value.get(name).filter(|_| !(path.is_empty() && name == "metadata")) {
            check(property, value, &format!("{path}.{name}"), causes);
        }
    }
    if let (Some(items), Some(elements)) = (schema.get("items"), value.as_array()) {
        for (at, element) in elements.iter().enumerate() {
            check(items, element, &format!("{path}[{at}]"), causes);
        }
    }
    if let (Some(each), Some(fields)) = (schema.get("additionalProperties"), value.as_object()) {
        for (name, field) in fields {
            check(each, field, &format!("{path}.{name}"), causes);
        }
    }
}

fn wrong_type(schema: &Value, value: &Value, path: &str) -> Option<String> {
    let wanted = text(schema, "/type");
    let either = schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
    let whole = value.is_i64() || value.is_u64();
    let fits = match wanted {
        _ if either => value.is_string() || whole,
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => whole,
        "number" => value.is_number(),
        _ => true,
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if whole => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let name = in_body(path);
    (!fits).then(|| format!("Invalid value: \"{kind}\": {name} must be of type {wanted}: \"{kind}\""))
}

fn bounds(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let name = in_body(path);
    let mut refuse = |reason: &'static str, message: String| causes.push((reason, shown(path), message));
    let invalid = |what: String| format!("Invalid value: {value}: {name} should {what}");
    let limit = |name: &str| number(schema, &format!("/{name}"));
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    if let Some(size) = value.as_array().map(|elements| signed(elements.len())) {
        if let Some(most) = limit("maxItems").filter(|most| size > *most) {
            refuse(
                "FieldValueTooMany",
                format!("Too many: {size}: must have at most {most} items"),
            );
        }
        if let Some(least) = limit("minItems").filter(|least| size < *least) {
            refuse(
                "FieldValueInvalid",
                format!("Invalid value: {size}: {name} should have at least {least} items"),
            );
        }
    }
    if let Some(letters) = value.as_str() {
        let size = signed(letters.chars().count());
        if let Some(most) = limit("maxLength").filter(|most| size > *most) {
            refuse(
                "FieldValueTooLong",
                format!("Too long: may not be more than {most} bytes"),
            );
        }
        if let Some(least) = limit("minLength").filter(|least| size < *least) {
            refuse("FieldValueInvalid", invalid(format!("be at least {least} chars long")));
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
            && Pattern::unanchored(pattern).is_ok_and(|pattern| !pattern.matches(letters))
        {
            refuse("FieldValueInvalid", invalid(format!("match '{pattern}'")));
        }
    }
    if let Some(size) = value.as_f64() {
        if let Some(least) = bound("minimum").filter(|least| size < *least) {
            refuse(
                "FieldValueInvalid",
                invalid(format!("be greater than or equal to {least}")),
            );
        }
        if let Some(most) = bound("maximum").filter(|most| size > *most) {
            refuse("FieldValueInvalid", invalid(format!("be less than or equal to {most}")));
        }
    }
}

/// As the messages name a field: below `status` without that word.
fn in_body(path: &str) -> String {
    let path = path.trim_start_matches('.');
    format!("{} in body", path.strip_prefix("status.").unwrap_or(path))
}

fn shown(path: &str) -> String {
    match path.trim_start_matches('.') {
        "" => "<nil>".into(),
        path => path.into(),
    }
}
