//! Plans of an owner's own steps: keys of a ConfigMap, numbers of pods, requests; checks before them; and what follows where
//! one fails.

use kube::api::{DynamicObject, ListParams};
use modosu::model::incident::IncidentStatus;
use serde_json::{Value, json};

use crate::{
    stage::{Kill, Stage, deployment, written_at},
    story,
};

story!(keys_of_a_config_map_are_set);
async fn keys_of_a_config_map_are_set(stage: &Stage) {
    let data = json!({"CELERY_ERROR_SHARE": "0.4", "GREETING": "hello", "EXTRA": "1"});
    stage.config("settings", data).await;
    let mut orders = deployment(
        &stage.namespace,
        "orders",
        json!([{"name": "WORKER_MODE", "value": "legacy"}]),
    );
    orders["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    stage.create("apps/v1", "Deployment", orders).await;
    stage.rolled_out("orders").await;
    let set = json!({"target": "ConfigMap/settings", "data": {"CELERY_ERROR_SHARE": "0"}, "remove": ["EXTRA"]});
    let steps = json!([{"setConfig": set}, {"waitReady": {}}]);
    // A short window, so that what the old pods answered on their way out is soon out of sight.
    let spec = json!({"knownGoodAfter": "1h", "rollback": {"steps": steps}, "metrics": {"window": "3s"}});
    watched(stage, spec).await;

    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("Recovered", 90).await;
    assert_eq!(
        stage.config_data("settings").await,
        json!({"CELERY_ERROR_SHARE": "0", "GREETING": "hello"}),
        "what the step names, and nothing else"
    );
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "celery", "the release stays");
    let written = stage.writes();
    let written: Vec<_> = written
        .iter()
        .filter(|write| ["deployments", "configmaps"].contains(&write.resource.as_str()))
        .map(|write| write.resource.as_str())
        .collect();
    assert_eq!(
        written,
        ["configmaps", "deployments"],
        "the keys, then the pods that read them"
    );
    let set = written_at(&incident, "ConfigMap/settings");
    for pod in stage.pods("orders").await {
        let made = pod.metadata.creation_timestamp.clone().unwrap().0;
        assert!(
            made.as_second() >= set.as_second(),
            "the pod of {made} reads what was set at {set}"
        );
    }
}

story!(a_workload_is_scaled_once);
async fn a_workload_is_scaled_once(stage: &Stage) {
    with_worker(stage, json!({"onFailure": "escalate"})).await;
    // Between the write and its receipt: the next start finds it done.
    stage.kill_at(Kill::Patched);
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage
        .until("the daemon is killed", 60, async || stage.killed().then_some(()))
        .await;
    assert_eq!(replicas(stage).await, 0, "written before the kill");
    stage.daemon().await;
    let incident = stage.incident_in("Recovered", 90).await;

    let status = incident.status.unwrap();
    let scale = &status.plan[0];
    assert_eq!(
        (scale.from.as_deref(), scale.to.as_deref()),
        (Some("1 replica"), Some("0 replicas"))
    );
    assert_eq!(replicas(stage).await, 0);
    assert!(stage.pods("worker").await.is_empty(), "no pod of it is left");
    assert_eq!(scale_patches(stage), 1, "once, also over a restart");
    assert_eq!(
        stage.env("orders", "WORKER_MODE").await,
        "legacy",
        "and the plan went on"
    );
    assert!(!status.reason.contains("failed"), "{}", status.reason);
}

story!(an_autoscaler_keeps_its_number);
async fn an_autoscaler_keeps_its_number(stage: &Stage) {
    let autoscaler = json!({
        "metadata": {"name": "worker-scaler"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"}, "maxReplicas": 3},
    });
    stage
        .create("autoscaling/v2", "HorizontalPodAutoscaler", autoscaler)
        .await;
    with_worker(stage, json!({"onFailure": "continue"})).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("Recovered", 90).await;

    assert_eq!(replicas(stage).await, 1, "the autoscaler's number stays");
    assert_eq!(scale_patches(stage), 0);
    assert_eq!(
        stage.env("orders", "WORKER_MODE").await,
        "legacy",
        "the other steps are done"
    );
    let reason = incident.status.unwrap().reason;
    let but = ", but scale Deployment/worker failed: HorizontalPodAutoscaler/worker-scaler owns the number";
    assert!(reason.contains(but), "never plainly recovered: {reason}");
    let event = stage
        .until("the Event", 20, async || event(stage, "Recovered").await)
        .await;
    assert_eq!(event.data["type"], "Warning");
    assert!(event.data["note"].as_str().unwrap().contains(but), "{:?}", event.data);
}

story!(a_failed_request_after_the_rollback_is_told);
async fn a_failed_request_after_the_rollback_is_told(stage: &Stage) {
    stage.asked.answer(503, "token: abc123, the queue is stuck");
    let url = format!("{}/health", stage.asked.url);
    let http = json!({"get": url, "headers": {"Authorization": "Bearer hunter2"}, "retries": 1});
    let steps = json!([legacy(), {"waitReady": {}}, {"http": http, "onFailure": "continue"}]);
    orders(stage, json!({"knownGoodAfter": "1h", "rollback": {"steps": steps}})).await;

    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("Recovered", 90).await;
    assert_eq!(
        stage.asked.requests(),
        ["GET /health", "GET /health"],
        "once more, and no more"
    );
    let told = serde_json::to_string(&incident).unwrap();
    let reason = incident.status.unwrap().reason;
    let but = format!(", but http failed: GET {url}: answered 503, expected 200; it said: token:");
    assert!(reason.contains(&but), "{reason}");
    for secret in ["abc123", "hunter2"] {
        assert!(!told.contains(secret), "{told}");
    }
}

story!(a_check_that_fails_leaves_it_to_people);
async fn a_check_that_fails_leaves_it_to_people(stage: &Stage) {
    stage.asked.answer(404, "no backup since yesterday");
    let url = format!("{}/backup", stage.asked.url);
    let before = json!([
        {"condition": "request_rate > 0/s"},
        {"http": {"get": url, "retries": 0, "body": "backup"}, "name": "backup is present"},
    ]);
    let rollback = json!({"before": before, "steps": [legacy(), {"waitReady": {}}]});
    orders(stage, json!({"knownGoodAfter": "1h", "rollback": rollback})).await;

    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("AwaitingDecision", 60).await;
    let status = incident.status.clone().unwrap();
    let said = "`backup is present` failed: GET ";
    assert!(status.reason.contains(said), "{}", status.reason);
    assert!(status.reason.contains("no backup since yesterday"), "{}", status.reason);
    assert!(
        notes(&status).iter().any(|note| note.contains(said)),
        "{:?}",
        status.journal
    );
    assert!(
        !stage.is_bad("orders", &incident.spec.bad.hash).await,
        "what was not put back is not marked"
    );
    stage.kill().await;
    stage.daemon().await;
    stage
        .always("nothing is written, nothing is asked again", 10, async || {
            stage.target_writes() == 0 && stage.asked.requests().len() == 1
        })
        .await;

    let name = incident.metadata.name.unwrap();
    stage.decide(&name, "rollback").await;
    let status = stage.incident_in("Recovered", 90).await.status.unwrap();
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
    let notes = notes(&status);
    assert!(
        notes
            .iter()
            .any(|note| note.starts_with("sam rolls back although a check failed")),
        "{notes:?}"
    );
}

story!(a_condition_that_does_not_hold_leaves_it_to_people);
async fn a_condition_that_does_not_hold_leaves_it_to_people(stage: &Stage) {
    let before = json!([{"condition": "request_rate < 0.1/s", "name": "traffic is drained"}]);
    let rollback = json!({"before": before, "steps": [legacy(), {"waitReady": {}}]});
    orders(stage, json!({"knownGoodAfter": "1h", "rollback": rollback})).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("AwaitingDecision", 60).await;
    let reason = incident.status.unwrap().reason;
    assert!(
        reason.contains("`traffic is drained` does not hold: not request_rate"),
        "{reason}"
    );
    stage
        .always("nothing is written", 10, async || stage.target_writes() == 0)
        .await;
    let bad = incident.spec.bad.hash;
    assert!(
        !stage.is_bad("orders", &bad).await,
        "what was not put back is not marked"
    );
}

fn legacy() -> Value {
    json!({"setEnv": {"target": "Deployment/orders", "env": {"WORKER_MODE": "legacy"}}})
}

async fn orders(stage: &Stage, spec: Value) {
    let env = json!([{"name": "WORKER_MODE", "value": "legacy"}]);
    stage.deploy("orders", env).await;
    watched(stage, spec).await;
}

fn notes(status: &IncidentStatus) -> Vec<&str> {
    let notes = status.journal.iter().filter(|entry| !entry.is_step());
    notes.filter_map(|entry| entry.note.as_deref()).collect()
}

/// The orders service and a worker beside it; the plan scales the worker away and puts orders back to legacy.
async fn with_worker(stage: &Stage, on_failure: Value) {
    for name in ["orders", "worker"] {
        stage
            .deploy(name, json!([{"name": "WORKER_MODE", "value": "legacy"}]))
            .await;
    }
    let mut scale = json!({"scale": {"target": "Deployment/worker", "replicas": 0}});
    json_patch::merge(&mut scale, &on_failure);
    let targets = json!([{"kind": "Deployment", "name": "orders"}, {"kind": "Deployment", "name": "worker"}]);
    let steps = json!([scale, legacy(), {"waitReady": {}}]);
    let spec = json!({"targets": targets, "knownGoodAfter": "1h", "rollback": {"steps": steps}});
    watched(stage, spec).await;
}

async fn watched(stage: &Stage, spec: Value) {
    stage.guard("orders", spec).await;
    stage.daemon().await;
    stage
        .until("the guard sees what runs", 20, async || stage.current("orders").await)
        .await;
}

async fn replicas(stage: &Stage) -> i64 {
    stage.deployment("worker").await.data["spec"]["replicas"]
        .as_i64()
        .unwrap()
}

fn scale_patches(stage: &Stage) -> usize {
    let writes = stage.writes();
    writes
        .iter()
        .filter(|write| write.body.to_string().contains("/spec/replicas"))
        .count()
}

async fn event(stage: &Stage, reason: &str) -> Option<DynamicObject> {
    let events = stage.api("events.k8s.io/v1", "Event");
    let all = events.list(&ListParams::default()).await.unwrap();
    all.items.into_iter().find(|event| event.data["reason"] == reason)
}
