//! Pure. `modosu crds`: the custom resources as YAML, from the types in `model`. `deploy/crds/` holds the same text.

use anyhow::Context as _;
use kube::CustomResourceExt as _;
use serde_json::Value;

use crate::model::{guard::Guard, incident::Incident};

/// Each custom resource definition: the file under `deploy/crds/` that holds it, and the definition.
pub fn definitions() -> anyhow::Result<[(&'static str, Value); 2]> {
    let mut all = [
        ("guards.modosu.dev.yaml", serde_json::to_value(Guard::crd())?),
        ("incidents.modosu.dev.yaml", serde_json::to_value(Incident::crd())?),
    ];
    all.iter_mut().for_each(|(_, definition)| known_formats(definition));
    Ok(all)
}

/// One definition as YAML.
pub fn yaml(definition: &Value) -> anyhow::Result<String> {
    serde_saphyr::to_string(definition).context("a custom resource definition as YAML")
}

/// All of them as one stream, for `kubectl apply -f -`.
pub fn stream() -> anyhow::Result<String> {
    let texts: anyhow::Result<Vec<String>> = definitions()?.iter().map(|(_, definition)| yaml(definition)).collect();
    Ok(texts?.join("---\n"))
}

/// Rust's unsigned formats mean nothing to Kubernetes, which warns of each: `minimum` says the same.
fn known_formats(schema: &mut Value) {
    if let Some(map) = schema.as_object_mut() {
        if map
            .get("format")
            .and_then(Value::as_str)
            .is_some_and(|format| format.starts_with("uint"))
        {
            map.remove("format");
        }
        map.values_mut().for_each(known_formats);
    } else if let Some(list) = schema.as_array_mut() {
        list.iter_mut().for_each(known_formats);
    }
}
