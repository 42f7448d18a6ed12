//! Pure. `modosu crds`: the custom resources as YAML, from the types in `model`. `deploy/crds/` holds the same text.

use anyhow::Context as _;
use kube::CustomResourceExt as _;

use crate::model::{guard::Guard, incident::Incident};

/// Each custom resource definition: the file under `deploy/crds/` that holds it, and its YAML.
pub fn definitions() -> anyhow::Result<[(&'static str, String); 2]> {
    Ok([
        ("guards.modosu.dev.yaml", yaml(&Guard::crd())?),
        ("incidents.modosu.dev.yaml", yaml(&Incident::crd())?),
    ])
}

/// All of them as one stream, for `kubectl apply -f -`.
pub fn stream() -> anyhow::Result<String> {
    Ok(definitions()?.map(|(_, text)| text).join("---\n"))
}

fn yaml(definition: &impl serde::Serialize) -> anyhow::Result<String> {
    serde_saphyr::to_string(definition).context("a custom resource definition as YAML")
}
