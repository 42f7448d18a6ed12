//! One program of the cluster that can be stopped, killed and started again in its place, with the same flags and data.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Child;

use crate::process::{Process, Program};
use crate::scratch::Scratch;

const STARTS_WITHIN: Duration = Duration::from_secs(240);

/// The folder of the cluster's programs: `MODOSU_CLUSTER_BIN`, else what `tests/cluster/build` prints, which builds them once per user.
pub fn programs() -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("MODOSU_CLUSTER_BIN") {
        return Ok(folder.into());
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/build");
    let built = Command::new(script)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("running {script}"))?;
    if !built.status.success() {
        bail!("{script} could not build the cluster's programs; what it lacks stands above");
    }
    Ok(PathBuf::from(String::from_utf8(built.stdout)?.trim_end()))
}

/// Starts that Prometheus by itself on `folder/prometheus.yaml`, its data in `folder/data`, with more flags; it ends when dropped.
pub fn bare_prometheus(version: Version, folder: &Path, listen: &str, flags: &[&str]) -> anyhow::Result<Child> {
    let child = tokio::process::Command::new(program(version.program())?)
        .arg("--config.file")
        .arg(folder.join("prometheus.yaml"))
        .arg("--storage.tsdb.path")
        .arg(folder.join("data"))
        .args(["--web.listen-address", listen, "--log.level", "error"])
        .args(flags)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

/// The versions of Prometheus that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 3.5, the one of the cluster.
    Newest,
    /// 2.42, as Debian 12 packages it: closed windows instead of left-open ones, and older forms of everything.
    Debian,
}

impl Version {
    const fn program(self) -> &'static str {
        match self {
            Self::Newest => "prometheus",
            Self::Debian => "prometheus-2.42",
        }
    }
}

/// The file of a program of the cluster.
pub(crate) fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = programs()?.join(name);
    if !path.exists() {
        bail!(
            "{} is missing: run `export MODOSU_CLUSTER_BIN=$(tests/cluster/build)`",
            path.display()
        );
    }
    Ok(path)
}

#[derive(Debug)]
pub struct Part {
    scratch: Arc<Scratch>,
    program: Program,
    ready: Ready,
    process: Mutex<Option<Process>>,
}

/// How one sees that it serves: a URL that answers 200.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
}

impl Part {
    pub(crate) fn new(scratch: &Arc<Scratch>, program: Program, ready: Ready) -> Self {
        Self {
            scratch: scratch.clone(),
            program,
            ready,
            process: Mutex::default(),
        }
    }

    pub(crate) fn asked_with(mut self, client: reqwest::Client) -> Self {
        self.ready.client = client;
        self
    }

    /// Back when it serves. Does nothing while it runs.
    pub async fn start(&self) -> anyhow::Result<()> {
        self.launch().await?;
        self.wait_ready().await
    }

    /// SIGTERM, SIGKILL after five seconds.
    pub async fn stop(&self) {
        if let Some(process) = self.take() {
            process.terminate(Duration::from_secs(5)).await;
        }
    }

    /// `kill -9`.
    pub async fn kill(&self) {
        if let Some(process) = self.take() {
            process.kill().await;
        }
    }

    /// The running process, for signals such as `STOP` and `CONT`.
    pub fn process(&self) -> Option<Process> {
        self.lock().clone().filter(|process| process.exited().is_none())
    }

    pub(crate) async fn launch(&self) -> anyhow::Result<()> {
        if self.process().is_none() {
            let process = Process::start(&self.scratch, self.program.clone()).await?;
            *self.lock() = Some(process);
        }
        Ok(())
    }

    pub(crate) async fn wait_ready(&self) -> anyhow::Result<()> {
        let process = self.lock().clone().context("it was not started")?;
        let asked = tokio::time::Instant::now();
        while asked.elapsed() < STARTS_WITHIN {
            if process.exited().is_some() {
                bail!("it ended at once:\n{}", process.log());
            }
            let answer = self.ready.client.get(&self.ready.url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!(
            "{} does not answer 200 after {STARTS_WITHIN:?}:\n{}",
            self.ready.url,
            process.log()
        )
    }

    fn take(&self) -> Option<Process> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
