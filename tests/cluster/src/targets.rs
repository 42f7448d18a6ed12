//! The scrape targets, as the file that Prometheus' file discovery reads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::json;

use crate::scratch::{Scratch, write_atomically};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(crate) struct Targets {
    folder: PathBuf,
    known: Mutex<BTreeMap<String, Target>>,
}

impl Targets {
    pub(crate) fn new(scratch: &Scratch) -> Self {
        Self {
            folder: scratch.join("targets"),
            known: Mutex::default(),
        }
    }

    pub(crate) fn glob(&self) -> PathBuf {
        self.folder.join("*.json")
    }

    /// Adds, changes or (`None`) removes the target of that key.
    pub(crate) fn set(&self, key: String, target: Option<Target>) -> anyhow::Result<()> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match &target {
            Some(target) => known.insert(key, target.clone()),
            None => known.remove(&key),
        };
        if before == target {
            return Ok(());
        }
        let groups: Vec<_> = known
            .values()
            .map(|target| json!({"targets": [target.address], "labels": target.labels}))
            .collect();
        write_atomically(&self.folder.join("all.json"), &serde_json::to_vec(&groups)?)
    }
}
