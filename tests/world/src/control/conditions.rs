//! A Deployment's status: its numbers, and the conditions Available and Progressing, which change
//! exactly where the real controller changes them. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::rollout::Wish;
use crate::{
    clock::{later, parsed, seconds},
    json::{list, number, text},
};

/// What the sets of a deployment add up to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) replicas: i64,
    pub(crate) updated: i64,
    pub(crate) ready: i64,
    pub(crate) available: i64,
    pub(crate) terminating: i64,
    /// What all sets together shall have.
    pub(crate) wanted: i64,
    /// Name of the set of the present template.
    pub(crate) new_set: String,
    /// That set was created just now.
    pub(crate) created: bool,
}

/// The new status of `deployment`, and when to look again though nothing changes.
pub(crate) fn status(deployment: &Value, wish: &Wish, totals: &Totals, now: Timestamp) -> (Value, Option<Timestamp>) {
    let mut conditions = list(deployment, "/status/conditions").to_vec();
    if totals.created {
        let message = format!("Created new replica set \"{}\"", totals.new_set);
        progressing(&mut conditions, "True", "NewReplicaSetCreated", &message, now);
    }
    paused(&mut conditions, wish, now);
    if totals.available >= wish.replicas - wish.unavailable {
        let message = "Deployment has minimum availability.";
        set(
            &mut conditions,
            "Available",
            "True",
            "MinimumReplicasAvailable",
            message,
            now,
        );
    } else {
        let message = "Deployment does not have minimum availability.";
        set(
            &mut conditions,
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            message,
            now,
        );
    }
    let again = match wish.deadline {
        Some(deadline) if !wish.paused => progress(deployment, wish, totals, &mut conditions, deadline, now),
        _ => None,
    };
    let mut status = Map::new();
    let generation = number(deployment, "/metadata/generation").unwrap_or(1);
    let numbers = [
        ("observedGeneration", generation),
        ("replicas", totals.replicas),
        ("updatedReplicas", totals.updated),
        ("readyReplicas", totals.ready),
        ("availableReplicas", totals.available),
        ("unavailableReplicas", (totals.wanted - totals.available).max(0)),
    ];
    for (name, value) in numbers.into_iter().filter(|(_, value)| *value != 0) {
        status.insert(name.into(), value.into());
    }
    status.insert("terminatingReplicas".into(), totals.terminating.into());
    status.insert("conditions".into(), conditions.into());
    (Value::Object(status), again)
}

fn progress(
    deployment: &Value,
    wish: &Wish,
    totals: &Totals,
    conditions: &mut Vec<Value>,
    deadline: i64,
    now: Timestamp,
) -> Option<Timestamp> {
    let reason = |conditions: &[Value]| found(conditions).map(|one| text(one, "/reason").to_owned());
    let before = reason(conditions);
    if totals.replicas == totals.updated && before.as_deref() == Some("NewReplicaSetAvailable") {
        return None;
    }
    let named = format!("ReplicaSet \"{}\"", totals.new_set);
    let complete =
        totals.updated == wish.replicas && totals.replicas == wish.replicas && totals.available == wish.replicas;
    if complete {
        let message = format!("{named} has successfully progressed.");
        set(
            conditions,
            "Progressing",
            "True",
            "NewReplicaSetAvailable",
            &message,
            now,
        );
        return None;
    }
    if has_progressed(deployment, totals) {
        let message = format!("{named} is progressing.");
        progressing(conditions, "True", "ReplicaSetUpdated", &message, now);
    }
    let since = found(conditions).and_then(|one| parsed(text(one, "/lastUpdateTime")))?;
    if matches!(
        reason(conditions).as_deref(),
        Some("NewReplicaSetAvailable" | "ProgressDeadlineExceeded")
    ) {
        return None;
    }
    let over = later(since, std::time::Duration::from_secs(deadline.unsigned_abs()));
    if now > over {
        let message = format!("{named} has timed out progressing.");
        set(
            conditions,
            "Progressing",
            "False",
            "ProgressDeadlineExceeded",
            &message,
            now,
        );
        return None;
    }
    Some(later(over, std::time::Duration::from_millis(1)))
}

fn has_progressed(deployment: &Value, totals: &Totals) -> bool {
    let before = |name: &str| number(deployment, &format!("/status/{name}")).unwrap_or(0);
    totals.updated > before("updatedReplicas")
        || totals.replicas - totals.updated < before("replicas") - before("updatedReplicas")
        || totals.ready > before("readyReplicas")
        || totals.available > before("availableReplicas")
}

/// While paused the clock of the deadline stands still, and the condition says why.
fn paused(conditions: &mut Vec<Value>, wish: &Wish, now: Timestamp) {
    let reason = found(conditions).map(|one| text(one, "/reason").to_owned());
    let reason = reason.as_deref().unwrap_or_default();
    if wish.paused && reason != "DeploymentPaused" && reason != "ProgressDeadlineExceeded" {
        let message = "Deployment is paused";
        set(conditions, "Progressing", "Unknown", "DeploymentPaused", message, now);
    } else if !wish.paused && reason == "DeploymentPaused" {
        let message = "Deployment is resumed";
        set(conditions, "Progressing", "Unknown", "DeploymentResumed", message, now);
    }
}

fn found(conditions: &[Value]) -> Option<&Value> {
    conditions.iter().find(|one| text(one, "/type") == "Progressing")
}

/// Updates the Progressing condition even where status and reason stay: progress was made.
fn progressing(conditions: &mut Vec<Value>, status: &str, reason: &str, message: &str, now: Timestamp) {
    let since = found(conditions)
        .filter(|one| text(one, "/status") == status)
        .map(|one| text(one, "/lastTransitionTime").to_owned());
    conditions.retain(|one| text(one, "/type") != "Progressing");
    set(conditions, "Progressing", status, reason, message, now);
    if let (Some(since), Some(last)) = (since, conditions.last_mut()) {
        last["lastTransitionTime"] = since.into();
    }
}

/// Sets a condition; one with the same status and reason stays as it is.
fn set(conditions: &mut Vec<Value>, name: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
    let before = conditions.iter().position(|one| text(one, "/type") == name);
    let mut since = seconds(now);
    if let Some(before) = before.and_then(|at| conditions.get(at)) {
        let same_status = text(before, "/status") == status;
        if same_status && text(before, "/reason") == reason {
            return;
        }
        if same_status {
            since = text(before, "/lastTransitionTime").into();
        }
    }
    conditions.retain(|one| text(one, "/type") != name);
    conditions.push(json!({
        "type": name, "status": status, "reason": reason, "message": message,
        "lastUpdateTime": seconds(now), "lastTransitionTime": since,
    }));
}
