//! The defaults that the real server fills in. Pure.

use serde_json::{Map, Value, json};

use crate::{
    api::kind::Kind,
    json::{child, entries, map, number},
};

/// Fills the defaults of `kind` into `object`.
pub(crate) fn fill(kind: &Kind, object: &mut Value) {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "pods") => pod_spec(object),
        ("", "secrets") => set(map(object), "type", json!("Opaque")),
        ("", "namespaces") => namespace(object),
        (_, "events") => {
            set(map(object), "firstTimestamp", Value::Null);
            set(map(object), "lastTimestamp", Value::Null);
            set(map(object), "source", json!({}));
        }
        ("apps", "deployments") => deployment(object),
        ("apps", "replicasets") => {
            set(child(object, "spec"), "replicas", json!(1));
            template(object);
        }
        ("apps", "statefulsets" | "daemonsets") => workload(kind, object),
        _ => {}
    }
    if let Some(schema) = &kind.schema {
        schema_defaults(schema, object);
    }
}

fn namespace(object: &mut Value) {
    let name = crate::json::text(object, "/metadata/name").to_owned();
    let metadata = crate::json::metadata(object);
    let labels = metadata.entry("labels").or_insert(Value::Null);
    set(map(labels), "kubernetes.io/metadata.name", name.into());
    set(child(object, "spec"), "finalizers", json!(["kubernetes"]));
}

fn deployment(object: &mut Value) {
    let spec = child(object, "spec");
    set(spec, "replicas", json!(1));
    set(spec, "revisionHistoryLimit", json!(10));
    set(spec, "progressDeadlineSeconds", json!(600));
    let strategy = spec.entry("strategy").or_insert(Value::Null);
    let strategy = map(strategy);
    set(strategy, "type", json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        let rolling = map(strategy.entry("rollingUpdate").or_insert(Value::Null));
        set(rolling, "maxSurge", json!("25%"));
        set(rolling, "maxUnavailable", json!("25%"));
    }
    template(object);
}

fn workload(kind: &Kind, object: &mut Value) {
    let spec = child(object, "spec");
    set(spec, "revisionHistoryLimit", json!(10));
    let strategy = map(spec.entry("updateStrategy").or_insert(Value::Null));
    set(strategy, "type", json!("RollingUpdate"));
    let rolling = strategy["type"] == "RollingUpdate";
    if kind.plural == "statefulsets" {
        if rolling {
            let rolling = map(strategy.entry("rollingUpdate").or_insert(Value::Null));
            set(rolling, "partition", json!(0));
        }
        set(spec, "replicas", json!(1));
        set(spec, "podManagementPolicy", json!("OrderedReady"));
    } else if rolling {
        let rolling = map(strategy.entry("rollingUpdate").or_insert(Value::Null));
        set(rolling, "maxSurge", json!(0));
        set(rolling, "maxUnavailable", json!(1));
    }
    template(object);
}

fn template(object: &mut Value) {
    let spec = child(object, "spec");
    if let Some(template) = spec.get_mut("template") {
        let metadata = map(template).entry("metadata").or_insert(Value::Null);
        map(metadata).remove("creationTimestamp");
        pod_spec(template);
    }
}

fn pod_spec(holder: &mut Value) {
    let spec = child(holder, "spec");
    set(spec, "restartPolicy", json!("Always"));
    set(spec, "terminationGracePeriodSeconds", json!(30));
    set(spec, "dnsPolicy", json!("ClusterFirst"));
    set(spec, "securityContext", json!({}));
    set(spec, "schedulerName", json!("default-scheduler"));
    for group in ["containers", "initContainers"] {
        if let Some(Value::Array(containers)) = spec.get_mut(group) {
            containers.iter_mut().for_each(container);
        }
    }
    if let Some(Value::Array(volumes)) = spec.get_mut("volumes") {
        for volume in volumes {
            for source in ["configMap", "secret", "projected"] {
                if let Some(source) = volume.get_mut(source) {
                    set(map(source), "defaultMode", json!(420));
                }
            }
        }
    }
}

fn container(container: &mut Value) {
    let image = crate::json::text(container, "/image").to_owned();
    let container = map(container);
    let tag = image
        .rsplit('/')
        .next()
        .and_then(|name| name.split_once(':'))
        .map(|(_, tag)| tag);
    let pull = match tag {
        None if !image.contains('@') => "Always",
        Some("latest") => "Always",
        _ => "IfNotPresent",
    };
    set(container, "imagePullPolicy", pull.into());
    set(container, "resources", json!({}));
    set(container, "terminationMessagePath", json!("/dev/termination-log"));
    set(container, "terminationMessagePolicy", json!("File"));
    if let Some(Value::Array(ports)) = container.get_mut("ports") {
        ports
            .iter_mut()
            .for_each(|port| set(map(port), "protocol", json!("TCP")));
    }
    for name in ["readinessProbe", "livenessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name) {
            probe_defaults(map(probe));
        }
    }
    if let Some(Value::Array(variables)) = container.get_mut("env") {
        for variable in variables {
            if let Some(field) = variable.pointer_mut("/valueFrom/fieldRef") {
                set(map(field), "apiVersion", json!("v1"));
            }
        }
    }
}

fn probe_defaults(probe: &mut Map<String, Value>) {
    set(probe, "timeoutSeconds", json!(1));
    set(probe, "periodSeconds", json!(10));
    set(probe, "successThreshold", json!(1));
    set(probe, "failureThreshold", json!(3));
    if let Some(get) = probe.get_mut("httpGet") {
        set(map(get), "scheme", json!("HTTP"));
        set(map(get), "path", json!("/"));
    }
}

/// The defaults of a custom resource's schema.
fn schema_defaults(schema: &Value, value: &mut Value) {
    for (name, property) in entries(schema, "/properties") {
        let Value::Object(fields) = &mut *value else { return };
        if let (None | Some(Value::Null), Some(default)) = (fields.get(name), property.get("default"))
            && (fields.get(name).is_none() || property.get("nullable") != Some(&Value::Bool(true)))
        {
            fields.insert(name.clone(), default.clone());
        }
        if let Some(below) = fields.get_mut(name) {
            schema_defaults(property, below);
        }
    }
    if let (Some(items), Value::Array(elements)) = (schema.get("items"), &mut *value) {
        elements.iter_mut().for_each(|element| schema_defaults(items, element));
    }
    if let (Some(each), Value::Object(fields)) = (schema.get("additionalProperties"), value) {
        fields.values_mut().for_each(|field| schema_defaults(each, field));
    }
}

fn set(fields: &mut Map<String, Value>, name: &str, value: Value) {
    if fields.get(name).is_none_or(Value::is_null) {
        fields.insert(name.into(), value);
    }
}

/// Which kinds count `metadata.generation`.
pub(crate) fn has_generation(kind: &Kind) -> bool {
    kind.is_custom()
        || kind.group == "apps" && kind.plural != "controllerrevisions"
        || matches!(kind.plural.as_str(), "pods" | "jobs" | "customresourcedefinitions")
}

/// Whether `new` differs from `old` in what raises the generation.
pub(crate) fn is_new_generation(kind: &Kind, old: &Value, new: &Value) -> bool {
    if kind.is_custom() {
        let own = |value: &Value| {
            let mut value = value.clone();
            ["metadata", "status"].iter().for_each(|name| {
                map(&mut value).remove(*name);
            });
            value
        };
        return own(old) != own(new);
    }
    let annotations = |value: &Value| value.pointer("/metadata/annotations").cloned();
    old.get("spec") != new.get("spec") || kind.plural == "deployments" && annotations(old) != annotations(new)
}

/// The generation after `old`'s.
pub(crate) fn next_generation(old: &Value) -> i64 {
    number(old, "/metadata/generation").unwrap_or(0) + 1
}
