//! A pod's status as the kubelet would write it, from what its containers are doing. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::environment::POD_IP;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    Waiting { reason: &'static str, message: String },
    Running { since: Timestamp },
    Terminated(Termination),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Termination {
    pub(crate) exit_code: i32,
    pub(crate) reason: &'static str,
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
}

/// What one container does now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    pub(crate) state: State,
    pub(crate) last: Option<Termination>,
    pub(crate) restarts: i32,
    pub(crate) ready: bool,
    /// It will not be started again.
    pub(crate) over: bool,
}

impl Report {
    pub(crate) fn creating() -> Self {
        let state = State::Waiting {
            reason: "ContainerCreating",
            message: String::new(),
        };
        Self {
            state,
            last: None,
            restarts: 0,
            ready: false,
            over: false,
        }
    }
}

/// The patch for the status subresource. `ready_since` is when the present readiness began.
pub(crate) fn patch(pod: &Pod, reports: &[Report], started: Timestamp, ready_since: Timestamp) -> Value {
    let ready = all_ready(reports);
    let word = if ready { "True" } else { "False" };
    let condition = |kind: &str, status: &str, since: Timestamp| {
        let reason = if status == "False" {
            json!("ContainersNotReady")
        } else {
            Value::Null
        };
        json!({"type": kind, "status": status, "lastTransitionTime": seconds(since), "reason": reason})
    };
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let statuses: Vec<_> = containers
        .zip(reports)
        .map(|(container, report)| container_status(&container.name, container.image.as_deref(), report))
        .collect();
    json!({
        "metadata": {"uid": pod.metadata.uid},
        "status": {
            "phase": phase(reports),
            "observedGeneration": pod.metadata.generation,
            "hostIP": POD_IP,
            "podIP": POD_IP,
            "podIPs": [{"ip": POD_IP}],
            "startTime": seconds(started),
            "conditions": [
                condition("PodReadyToStartContainers", "True", started),
                condition("Initialized", "True", started),
                condition("ContainersReady", word, ready_since),
                condition("Ready", word, ready_since),
            ],
            "containerStatuses": statuses,
        },
    })
}

pub(crate) fn all_ready(reports: &[Report]) -> bool {
    reports.iter().all(|report| report.ready)
}

fn phase(reports: &[Report]) -> &'static str {
    let ended = |report: &Report| match &report.state {
        State::Terminated(end) if report.over => Some(end.exit_code),
        State::Terminated(_) | State::Waiting { .. } | State::Running { .. } => None,
    };
    let ends: Option<Vec<_>> = reports.iter().map(ended).collect();
    match ends {
        Some(codes) if codes.iter().all(|code| *code == 0) => "Succeeded",
        Some(_) => "Failed",
        None if reports.iter().any(never_started) => "Pending",
        None => "Running",
    }
}

fn never_started(report: &Report) -> bool {
    matches!(report.state, State::Waiting { .. }) && report.last.is_none()
}

fn container_status(name: &str, image: Option<&str>, report: &Report) -> Value {
    json!({
        "name": name,
        "image": image,
        "imageID": if never_started(report) { String::new() } else { format!("local/{}", image.unwrap_or_default()) },
        "ready": report.ready,
        "started": matches!(report.state, State::Running { .. }),
        "restartCount": report.restarts,
        "state": state(&report.state),
        "lastState": report.last.as_ref().map_or_else(|| json!({}), |end| json!({"terminated": termination(end)})),
    })
}

fn state(state: &State) -> Value {
    match state {
        State::Waiting { reason, message } => json!({"waiting": {"reason": reason, "message": message}}),
        State::Running { since } => json!({"running": {"startedAt": seconds(*since)}}),
        State::Terminated(end) => json!({"terminated": termination(end)}),
    }
}

fn termination(end: &Termination) -> Value {
    json!({
        "exitCode": end.exit_code,
        "reason": end.reason,
        "startedAt": seconds(end.started),
        "finishedAt": seconds(end.finished),
    })
}

/// Kubernetes' times have whole seconds.
fn seconds(at: Timestamp) -> String {
    format!("{at:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(state: State, last: Option<Termination>) -> Report {
        let over = matches!(state, State::Terminated(_));
        Report {
            state,
            last,
            restarts: 0,
            ready: false,
            over,
        }
    }

    fn end(exit_code: i32) -> Termination {
        Termination {
            exit_code,
            reason: "Error",
            started: Timestamp::UNIX_EPOCH,
            finished: Timestamp::UNIX_EPOCH,
        }
    }

    fn waiting() -> State {
        State::Waiting {
            reason: "CrashLoopBackOff",
            message: String::new(),
        }
    }

    #[test]
    fn the_phase_is_the_kubelets() {
        let running = State::Running {
            since: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(phase(&[Report::creating()]), "Pending");
        assert_eq!(phase(&[report(running, None), Report::creating()]), "Pending");
        assert_eq!(
            phase(&[report(waiting(), Some(end(1)))]),
            "Running",
            "a crash loop is Running"
        );
        let between = Report {
            over: false,
            ..report(State::Terminated(end(1)), None)
        };
        assert_eq!(phase(&[between]), "Running", "it will be started again");
        assert_eq!(phase(&[report(State::Terminated(end(0)), None)]), "Succeeded");
        assert_eq!(
            phase(&[
                report(State::Terminated(end(0)), None),
                report(State::Terminated(end(1)), None)
            ]),
            "Failed"
        );
    }

    #[test]
    fn times_have_whole_seconds() {
        assert_eq!(seconds(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00Z");
    }
}
