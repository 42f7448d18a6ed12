//! A cluster's temporary folder and the watchdog that cleans up after it.
//!
//! The watchdog is a tiny shell in a process group of its own. It waits for the end of a pipe that only this process holds open; the
//! kernel closes it however the process ends, SIGKILL included. Then it kills every process group that registered itself under `run/`
//! (see `process.rs`) and removes the folder; a program that cannot register does not start. `MODOSU_CLUSTER_KEEP=1` leaves the folder for a look.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;

use crate::failure;

const WATCHDOG: &str = r#"
cat >/dev/null
for round in 1 2 3; do
    for entry in "$0"/run/*; do [ -e "$entry" ] && kill -s KILL -- "-${entry##*/}" 2>/dev/null; done
    sleep 0.1
done
rm -rf -- "$0/run"
[ -n "$MODOSU_CLUSTER_KEEP" ] || rm -rf -- "$0" || { sleep 0.5; rm -rf -- "$0"; }
"#;

#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    watchdog: Mutex<Child>,
    ended: AtomicBool,
}

impl Scratch {
    pub(crate) fn new() -> anyhow::Result<Arc<Self>> {
        let path = tempfile::Builder::new()
            .prefix("modosu-cluster-")
            .tempdir()
            .context("a temporary folder")?
            .keep();
        for part in ["run", "logs", "backend", "targets", "kubeconfig"] {
            std::fs::create_dir(path.join(part)).context("a temporary folder")?;
        }
        let watchdog = Command::new("sh")
            .arg("-c")
            .arg(WATCHDOG)
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("starting the watchdog: is there a shell `sh`?")?;
        let scratch = Arc::new(Self {
            path,
            watchdog: Mutex::new(watchdog),
            ended: AtomicBool::new(false),
        });
        failure::show_logs_of(&scratch);
        Ok(scratch)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, part: impl AsRef<Path>) -> PathBuf {
        self.path.join(part)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Returns when every process is dead and the folder gone. For good: nothing starts in it afterwards.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        let mut watchdog = self.watchdog.lock().unwrap_or_else(PoisonError::into_inner);
        drop(watchdog.stdin.take());
        if let Err(error) = watchdog.wait() {
            tracing::warn!(%error, "the watchdog could not be waited for");
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.end();
    }
}

/// Writes a file so that a reader sees the old content or the new one, never a part.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a file in a folder")?;
    let partial = tempfile::NamedTempFile::new_in(folder).with_context(|| format!("writing {}", path.display()))?;
    std::fs::write(partial.path(), content).with_context(|| format!("writing {}", path.display()))?;
    partial
        .persist(path)
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(())
}
