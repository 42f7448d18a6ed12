//! The guarded service as Kubernetes objects.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// A Deployment of the orders service: labels `app: <name>`, one container `orders` with image `orders:1.0.0`, probed on `/health` every
/// second. `env` is a list as in a container: `json!([{"name": "WORKER_MODE", "value": "legacy"}])`. Change the JSON at will.
pub fn deployment(namespace: &str, name: &str, replicas: u32, env: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 60,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "terminationGracePeriodSeconds": 2,
                    "automountServiceAccountToken": false,
                    "containers": [{
                        "name": "orders",
                        "image": "orders:1.0.0",
                        "env": env,
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1, "failureThreshold": 2},
                    }],
                },
            },
        },
    })
}

/// The program, which cargo puts beside the tests' own folder.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("MODOSU_ORDERS") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let path = test
        .parent()
        .and_then(|deps| deps.parent())
        .context("a test's place")?
        .join("orders");
    if !path.exists() {
        build(path.parent().is_some_and(|folder| folder.ends_with("release")))?;
    }
    if !path.exists() {
        bail!("{} is missing: run `cargo build --workspace --bins`", path.display());
    }
    Ok(path)
}

/// Builds it beside the program that runs now.
fn build(release: bool) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["build", "--package", "orders"]);
    if release {
        command.arg("--release");
    }
    let status = command.status().context("running cargo")?;
    if !status.success() {
        bail!("cargo could not build the orders service");
    }
    Ok(())
}
