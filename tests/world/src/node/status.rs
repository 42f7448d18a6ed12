//! A pod's status, written from its life. Pure.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::life::{Ended, Life, Pod, containers};
use crate::{
    clock::seconds,
    json::{child, list, text},
};

/// Writes the status of `pod` into its object.
pub(crate) fn write(pod: &Pod, object: &mut Value, now: Timestamp) {
    let statuses: Vec<Value> = containers(object)
        .iter()
        .enumerate()
        .map(|(at, container)| container_status(pod, container, at == 0))
        .collect();
    let ready = statuses.iter().all(|status| status["ready"] == true);
    let started = pod.was_started();
    let conditions = [
        ("PodReadyToStartContainers", started),
        ("Initialized", true),
        ("Ready", ready),
        ("ContainersReady", ready),
        ("PodScheduled", true),
    ]
    .map(|(name, holds)| condition(object, name, holds, now));
    let created = text(object, "/metadata/creationTimestamp").to_owned();
    let status = child(object, "status");
    status.insert("phase".into(), if started { "Running" } else { "Pending" }.into());
    status.insert("conditions".into(), conditions.into_iter().collect());
    status.insert("containerStatuses".into(), statuses.into());
    status.insert("startTime".into(), created.into());
    status.insert("hostIP".into(), "10.255.0.1".into());
    status.insert("qosClass".into(), "BestEffort".into());
    if started {
        status.insert("podIP".into(), pod.ip.clone().into());
        status.insert("podIPs".into(), json!([{"ip": pod.ip}]));
    }
}

fn condition(object: &Value, name: &str, holds: bool, now: Timestamp) -> Value {
    let status = if holds { "True" } else { "False" };
    let before = list(object, "/status/conditions")
        .iter()
        .find(|one| text(one, "/type") == name);
    let since = match before {
        Some(before) if text(before, "/status") == status => text(before, "/lastTransitionTime").to_owned(),
        _ => seconds(now),
    };
    let mut condition = json!({
        "type": name, "status": status, "lastProbeTime": null, "lastTransitionTime": since,
    });
    if !holds && name.ends_with("Ready") {
        condition["reason"] = "ContainersNotReady".into();
        condition["message"] = "containers with unready status".into();
    }
    condition
}

fn container_status(pod: &Pod, container: &Value, is_service: bool) -> Value {
    let image = text(container, "/image");
    let mut status = json!({
        "name": container["name"], "image": image, "imageID": format!("world/{image}"),
        "restartCount": 0, "ready": pod.was_started(), "started": pod.was_started(),
        "lastState": {}, "state": {"running": {}},
    });
    if !pod.was_started() && !is_service {
        status["state"] = json!({"waiting": {"reason": "ContainerCreating"}});
    }
    if !is_service {
        return status;
    }
    status["restartCount"] = pod.restarts.into();
    if let Some(ended) = &pod.ended {
        status["lastState"] = json!({"terminated": terminated(ended)});
    }
    let (state, ready, started) = match &pod.life {
        Life::Waiting { reason, .. } => (waiting(pod, reason, image), false, false),
        Life::Running { since, ready, .. } => (json!({"running": {"startedAt": seconds(*since)}}), *ready, true),
        Life::Ending { .. } => return status,
    };
    status["state"] = state;
    status["ready"] = ready.into();
    status["started"] = started.into();
    status
}

fn waiting(pod: &Pod, reason: &str, image: &str) -> Value {
    let message = match reason {
        "CrashLoopBackOff" => format!("back-off restarting failed container of pod {}", pod.key.name),
        "ErrImagePull" => format!("failed to pull image \"{image}\": not found"),
        "ImagePullBackOff" => format!("Back-off pulling image \"{image}\""),
        _ => return json!({"waiting": {"reason": reason}}),
    };
    json!({"waiting": {"reason": reason, "message": message}})
}

fn terminated(ended: &Ended) -> Value {
    json!({
        "exitCode": 1, "reason": "Error", "startedAt": seconds(ended.started),
        "finishedAt": seconds(ended.finished),
    })
}
