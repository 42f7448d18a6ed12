//! A process that ends with the cluster, whatever happens: it leads a process group of its own and registers that group with the
//! watchdog (see `scratch.rs`) before it becomes the program, so there is no moment in which it could be forgotten.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::watch;

use crate::background;
use crate::scratch::Scratch;

const REGISTER: &str = r#"true >"$0/run/$$" && exec "$@""#;

/// What to start.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    command: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    bare: bool,
}

impl Program {
    /// `name` names the log.
    pub fn new(name: impl Into<String>, path: impl Into<OsString>) -> Self {
        Self {
            name: name.into(),
            command: vec![path.into()],
            env: Vec::new(),
            bare: false,
        }
    }

    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.extend(args.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Gets nothing of this process's environment.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self
    }
}

/// A started program. Clones are the same process; it is killed with the last of them.
#[derive(Clone, Debug)]
pub struct Process(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pid: u32,
    log: PathBuf,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    pub(crate) async fn start(scratch: &Arc<Scratch>, program: Program) -> anyhow::Result<Self> {
        let scratch = scratch.clone();
        background::run(async move { Self::start_here(&scratch, &program) }).await
    }

    fn start_here(scratch: &Arc<Scratch>, program: &Program) -> anyhow::Result<Self> {
        ensure!(!scratch.has_ended(), "the cluster has ended");
        let log = scratch.join("logs").join(format!("{}.log", program.name));
        let output = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = tokio::process::Command::new("sh");
        if program.bare {
            command.env_clear();
        }
        command
            .arg("-c")
            .arg(REGISTER)
            .arg(scratch.path())
            .args(&program.command);
        command.envs(program.env.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        let mut child = command.spawn().with_context(|| format!("starting {}", program.name))?;
        let pid = child.id().context("a process that just started has an id")?;
        let (tell, exit) = watch::channel(None);
        let entry = scratch.join("run").join(pid.to_string());
        background::spawn(async move {
            let status = child.wait().await.unwrap_or_else(|_| ExitStatus::from_raw(0));
            // What it left behind ends with it, as in a container.
            signal_group(pid, "KILL");
            _ = std::fs::remove_file(entry);
            tell.send_replace(Some(status));
        });
        Ok(Self(Arc::new(Inner { pid, log, exit })))
    }

    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    /// How it ended, if it did.
    pub fn exited(&self) -> Option<ExitStatus> {
        *self.0.exit.borrow()
    }

    pub async fn wait(&self) -> ExitStatus {
        let mut exit = self.0.exit.clone();
        let ended = exit.wait_for(Option::is_some).await.ok().and_then(|status| *status);
        ended.unwrap_or_else(|| ExitStatus::from_raw(0))
    }

    /// `kill -9`, and back when it is dead.
    pub async fn kill(&self) -> ExitStatus {
        self.signal("KILL");
        self.wait().await
    }

    /// SIGTERM; SIGKILL when it is still there after `grace`.
    pub async fn terminate(&self, grace: Duration) -> ExitStatus {
        if self.exited().is_none() {
            signal(&self.0.pid.to_string(), "TERM");
        }
        match tokio::time::timeout(grace, self.wait()).await {
            Ok(status) => status,
            Err(_) => self.kill().await,
        }
    }

    /// Any signal by name (`STOP`, `CONT`, `HUP` …) to the process and its children.
    pub fn signal(&self, name: &str) {
        if self.exited().is_none() {
            signal_group(self.0.pid, name);
        }
    }

    /// Everything it has printed so far (and what former processes of that name printed before).
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.0.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.exit.borrow().is_none() {
            signal_group(self.pid, "KILL");
        }
    }
}

fn signal_group(pid: u32, name: &str) {
    signal(&format!("-{pid}"), name);
}

/// Through the shell: a signal by system call needs unsafe code or one more crate.
fn signal(whom: &str, name: &str) {
    let script = r#"kill -s "$0" -- "$1" 2>/dev/null"#;
    if let Err(error) = std::process::Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(name)
        .arg(whom)
        .status()
    {
        tracing::warn!(%error, "no signal could be sent");
    }
}
