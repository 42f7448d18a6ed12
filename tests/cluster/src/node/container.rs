//! One container's life: environment, start, probe, end, back-off, again; until it is told to stop.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::back_off::BackOff;
use super::status::{Report, State, Termination};
use super::{Shared, account, environment, probe};
use crate::behaviour;
use crate::process::{Process, Program};

/// In an image name: it can never be pulled.
const UNPULLABLE: &str = "does-not-exist";

pub(crate) struct Runner {
    pub(crate) client: Client,
    pub(crate) shared: Arc<Shared>,
    pub(crate) pod: Pod,
    pub(crate) container: Container,
    pub(crate) port: u16,
    /// The service's name in Prometheus, also that of its backend file.
    pub(crate) job: String,
    pub(crate) report: watch::Sender<Report>,
}

impl Runner {
    /// Ends when the container is over for good; dropping the future kills the process.
    pub(crate) async fn run(self, mut stop: watch::Receiver<Option<Duration>>) {
        let stopped = async |stop: &mut watch::Receiver<Option<Duration>>| {
            stop.wait_for(Option::is_some)
                .await
                .ok()
                .and_then(|grace| *grace)
                .unwrap_or_default()
        };
        let mut back_off = BackOff::default();
        let mut restarts = 0;
        loop {
            let process = tokio::select! {
                process = self.started() => process,
                _ = stopped(&mut stop) => return self.stopped_early(),
            };
            let started = (Timestamp::now(), Instant::now());
            // Both at once, as the kubelet tells it: an end is counted where it is over.
            self.report.send_modify(|report| {
                report.state = State::Running { since: started.0 };
                report.restarts = restarts;
            });
            restarts += 1;
            let status = tokio::select! {
                status = process.wait() => status,
                grace = stopped(&mut stop) => {
                    let status = process.terminate(grace).await;
                    return self.over(&ended(status, started.0));
                }
                () = self.probe() => return,
            };
            let end = ended(status, started.0);
            if !self.restarts_after(&end) {
                return self.over(&end);
            }
            self.ended(&end, false);
            let wait = back_off.after_end(started.1.elapsed());
            tokio::select! {
                () = self.wait_for_restart(&end, wait) => {}
                _ = stopped(&mut stop) => return self.over(&end),
            }
        }
    }

    /// Tries until it runs; each reason why it does not is reported as the kubelet reports it.
    async fn started(&self) -> Process {
        if self.image().contains(UNPULLABLE) {
            return self.never_pulled().await;
        }
        loop {
            match self.start().await {
                Ok(process) => return process,
                Err(message) => self.waiting("CreateContainerConfigError", message),
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn start(&self) -> Result<Process, String> {
        if let Some(why) = probe::unsupported(&self.container) {
            return Err(why);
        }
        let environment = environment::resolve(&self.client, &self.pod, &self.container).await?;
        let mut command = self.command()?.into_iter();
        let namespace = self.pod.namespace().unwrap_or_default();
        let name = format!("pod-{namespace}-{}-{}", self.pod.name_any(), self.container.name);
        let backend = behaviour::file(&self.shared.scratch, &namespace, &self.job);
        let mut program = Program::new(name, command.next().unwrap_or_default())
            .args(command)
            .bare()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOSTNAME", self.pod.name_any())
            .env(behaviour::VARIABLE, backend);
        if let Some(kubeconfig) = account::kubeconfig(&self.client, &self.shared, &self.pod).await? {
            program = program.env("KUBECONFIG", kubeconfig);
        }
        for (name, value) in environment {
            program = program.env(name, value);
        }
        let program = program.env("PORT", self.port.to_string());
        Process::start(&self.shared.scratch, program)
            .await
            .map_err(|error| format!("{error:#}"))
    }

    fn command(&self) -> Result<Vec<String>, String> {
        let given = self.container.command.clone().unwrap_or_default();
        let args = self.container.args.clone().unwrap_or_default();
        if !given.is_empty() {
            return Ok([given, args].concat());
        }
        let program = self.shared.program_of(self.image());
        let program =
            program.ok_or_else(|| format!("no command, and no program is known for image {:?}", self.image()))?;
        Ok([vec![program.to_string_lossy().into_owned()], args].concat())
    }

    async fn never_pulled(&self) -> Process {
        let mut wait = Duration::from_secs(10);
        loop {
            self.waiting(
                "ErrImagePull",
                format!("failed to pull image {:?}: not found", self.image()),
            );
            sleep(Duration::from_secs(1)).await;
            self.waiting("ImagePullBackOff", format!("Back-off pulling image {:?}", self.image()));
            sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(300));
        }
    }

    async fn probe(&self) {
        let set_ready = |ready| self.report.send_modify(|report| report.ready = ready);
        let probe = self.container.readiness_probe.clone();
        probe::watch(&self.shared.probes, probe, self.port, set_ready).await;
    }

    async fn wait_for_restart(&self, end: &Termination, wait: Duration) {
        self.report.send_modify(|report| report.last = Some(end.clone()));
        if !wait.is_zero() {
            let (name, pod) = (&self.container.name, self.pod.name_any());
            let message = format!(
                "back-off {}s restarting failed container={name} pod={pod}",
                wait.as_secs()
            );
            self.waiting("CrashLoopBackOff", message);
            sleep(wait).await;
        }
    }

    fn restarts_after(&self, end: &Termination) -> bool {
        match self.pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()) {
            Some("Never") => false,
            Some("OnFailure") => end.exit_code != 0,
            _ => true,
        }
    }

    fn stopped_early(&self) {
        let now = Timestamp::now();
        let never = Termination {
            exit_code: 137,
            reason: "ContainerStatusUnknown",
            started: now,
            finished: now,
        };
        self.over(&never);
    }

    fn over(&self, end: &Termination) {
        self.ended(end, true);
    }

    fn ended(&self, end: &Termination, over: bool) {
        self.report.send_modify(|report| {
            report.state = State::Terminated(end.clone());
            (report.ready, report.over) = (false, over);
        });
    }

    fn waiting(&self, reason: &'static str, message: String) {
        self.report
            .send_modify(|report| report.state = State::Waiting { reason, message });
    }

    fn image(&self) -> &str {
        self.container.image.as_deref().unwrap_or_default()
    }
}

fn ended(status: ExitStatus, started: Timestamp) -> Termination {
    let exit_code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(0);
    let reason = if exit_code == 0 { "Completed" } else { "Error" };
    Termination {
        exit_code,
        reason,
        started,
        finished: Timestamp::now(),
    }
}
