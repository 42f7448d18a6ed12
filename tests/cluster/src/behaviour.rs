//! Makes the orders service bad, or good, from outside and whatever its settings: a file that all its pods read ten times a second.

use std::path::PathBuf;

use serde::Serialize;

use crate::scratch::{Scratch, write_atomically};

/// The variable that tells a pod where its file is.
pub(crate) const VARIABLE: &str = "ORDERS_BACKEND_FILE";

/// What is `None` stays as the service's own settings have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Behaviour {
    pub error_share: Option<f64>,
    pub latency_ms: Option<f64>,
    pub crash: Option<bool>,
    pub ready: Option<bool>,
    /// Requests per second of each pod.
    pub rps: Option<f64>,
}

pub(crate) fn file(scratch: &Scratch, namespace: &str, job: &str) -> PathBuf {
    scratch.join("backend").join(format!("{namespace}-{job}.json"))
}

pub(crate) fn set(scratch: &Scratch, namespace: &str, job: &str, behaviour: Behaviour) -> anyhow::Result<()> {
    write_atomically(&file(scratch, namespace, job), &serde_json::to_vec(&behaviour)?)
}

pub(crate) fn clear(scratch: &Scratch, namespace: &str, job: &str) -> anyhow::Result<()> {
    match std::fs::remove_file(file(scratch, namespace, job)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
