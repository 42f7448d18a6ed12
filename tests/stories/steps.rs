//! Plans of an owner's own steps: keys of a ConfigMap, numbers of pods, requests; checks before them; and what follows where
//! one fails.

use std::time::Duration;

use kube::api::{DynamicObject, ListParams};
use modosu::model::{incident::IncidentStatus, units::Length};
use modosu_world::Answer;
use serde_json::{Value, json};

use crate::{
    stage::{
        Kill, Stage, deployment,
        line::{Fault, Point, Side, What},
        written_at,
    },
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
    // The guard's record is written right after the incident.
    stage
        .until("what was not put back is not marked", 10, async || {
            (!stage.is_bad("orders", &incident.spec.bad.hash).await).then_some(())
        })
        .await;
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

/// Only the embedded world can keep a request waiting.
#[tokio::test(start_paused = true)]
async fn a_check_that_is_not_answered_holds_nobody_else() {
    let stage = Stage::embedded("a_check_that_is_not_answered").await;
    stage.deploy("billing", json!([])).await;
    stage.guard("billing", json!({})).await;
    let get = json!({"get": format!("{}/health", stage.asked.url)});
    let before = json!([{"http": get, "name": "backup is present"}]);
    let rollback = json!({"before": before, "steps": [legacy(), {"waitReady": {}}]});
    orders(&stage, json!({"knownGoodAfter": "1h", "rollback": rollback})).await;
    let hang = Point {
        request: "GET /health".to_owned(),
        nth: 1,
        side: Side::Before,
    };
    let for_long = Duration::from_secs(600);
    stage.fault(Fault::new(hang, What::Answers(Answer::Hang), for_long));
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let asked = async || stage.has_failed().then_some(());
    stage.until("the check is asked", 60, asked).await;

    let seen = stage.current("billing").await.unwrap().hash;
    stage.set_env("billing", "VERSION", "b").await;
    let changed = async || (stage.current("billing").await?.hash != seen).then_some(());
    stage.until("another guard's turns go on", 2, changed).await;
    assert!(stage.incidents().await[0].status.as_ref().unwrap().before.is_none());
    let incident = stage.incident_in("AwaitingDecision", 60).await;
    let reason = incident.status.unwrap().reason;
    assert!(reason.contains("`backup is present` failed"), "{reason}");
    assert_eq!(stage.target_writes(), 0);
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

story!(a_person_does_a_step_and_says_done);
async fn a_person_does_a_step_and_says_done(stage: &Stage) {
    let ask = json!({"role": "tech-lead", "text": "drain the queue", "command": "queue drain --token=hunter2"});
    let steps = json!([{"ask": ask}, legacy(), {"waitReady": {}}]);
    orders(stage, json!({"knownGoodAfter": "1h", "rollback": {"steps": steps}})).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage
        .until("the step is asked for", 60, async || {
            let all = stage.incidents().await;
            let asks = |status: &IncidentStatus| {
                status
                    .reason
                    .starts_with("asks tech-lead: drain the queue (`queue drain")
            };
            all.into_iter().find(|one| one.status.as_ref().is_some_and(asks))
        })
        .await;
    assert_eq!(incident.status.clone().unwrap().decider.as_deref(), Some("tech-lead"));
    let told = stage
        .until("the Event", 20, async || event(stage, "PersonAsked").await)
        .await;
    assert!(
        told.data["note"].as_str().unwrap().contains("drain the queue"),
        "{:?}",
        told.data
    );
    stage.kill().await;
    stage.daemon().await;
    stage
        .always("nothing is written before", 10, async || stage.target_writes() == 0)
        .await;

    let name = incident.metadata.name.unwrap();
    let page = stage.page(&format!("/incidents/{}/{name}", stage.namespace)).await;
    assert!(
        page.contains("Do what the plan asks of tech-lead: drain the queue"),
        "{page}"
    );
    stage.decide(&name, "done").await;
    let incident = stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy", "the plan went on");
    let whole = serde_json::to_string(&incident.status).unwrap();
    assert!(!whole.contains("hunter2"), "{whole}");
    let status = incident.status.unwrap();
    let asked: Vec<_> = status
        .journal
        .iter()
        .filter(|entry| entry.seq == 1 && entry.is_step())
        .collect();
    assert_eq!(asked.len(), 2, "asked once, also over a restart: {asked:?}");
    assert_eq!(asked[1].receipt.as_deref(), Some("done"));
    assert_eq!(asked[1].note.as_deref(), Some("sam says it is done: a story"));
    assert_eq!(
        status.decider.as_deref(),
        Some("oncall"),
        "nobody else is asked any more"
    );
}

/// `modosu done`, as a person calls it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_says_done_with_a_command() {
    let stage = Stage::real("a_person_says_done_with_a_command").await;
    let ask = json!({"role": "tech-lead", "text": "drain the queue"});
    let steps = json!([legacy(), {"ask": ask}, {"waitReady": {}}]);
    orders(
        &stage,
        json!({"knownGoodAfter": "1h", "rollback": {"within": "20s", "steps": steps}}),
    )
    .await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let asks = |status: &IncidentStatus| status.asked().is_some();
    let name = stage
        .until("the step is asked for", 60, async || {
            let all = stage.incidents().await;
            let asked = all.into_iter().find(|one| one.status.as_ref().is_some_and(asks));
            asked.and_then(|one| one.metadata.name)
        })
        .await;
    // Longer than `within`: that time is people's.
    stage.wait(25).await;
    let incident = format!("{}/{name}", stage.namespace);
    let said = stage.command(&["done", &incident, "--reason", "it is drained"]).await;
    assert!(said.contains("goes on"), "{said}");
    let status = stage.incident_in("Recovered", 60).await.status.unwrap();
    let said = status.receipt_of(1).and_then(|receipt| receipt.note.clone());
    let said = said.unwrap_or_else(|| panic!("nobody said it is done: {status:#?}"));
    assert!(said.ends_with(" says it is done: it is drained"), "{said}");
    let waited = status.timings.unwrap().waited_for_people.unwrap();
    let waited: Length = waited.parse().unwrap();
    assert!(waited.0 >= Duration::from_secs(25), "{waited}");
    stage.end().await;
}

story!(what_nobody_does_fails_in_time);
async fn what_nobody_does_fails_in_time(stage: &Stage) {
    let ask =
        json!({"ask": {"role": "tech-lead", "text": "drain the queue"}, "timeout": "5s", "onFailure": "continue"});
    let steps = json!([ask, legacy(), {"waitReady": {}}]);
    orders(stage, json!({"knownGoodAfter": "1h", "rollback": {"steps": steps}})).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let status = stage.incident_in("Recovered", 90).await.status.unwrap();
    let but = ", but ask failed: nobody said done within 5s: asks tech-lead: drain the queue";
    assert!(status.reason.contains(but), "{}", status.reason);
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
}

story!(a_job_runs_once_and_its_end_is_told);
async fn a_job_runs_once_and_its_end_is_told(stage: &Stage) {
    let job = runbook(stage, json!({})).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let name = job_name(stage).await;
    // The next start takes up the Job that is there.
    stage.kill().await;
    stage.daemon().await;
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "celery", "it is waited for");
    job_ends(
        stage,
        &name,
        &[
            ("SuccessCriteriaMet", "CompletionsReached"),
            ("Complete", "CompletionsReached"),
        ],
    )
    .await;
    let status = stage.incident_in("Recovered", 90).await.status.unwrap();
    let made = stage.writes();
    let made = made
        .iter()
        .filter(|write| write.resource == "jobs" && write.body["metadata"]["labels"]["modosu.dev/guard"] == "orders");
    assert_eq!(made.count(), 1, "once, also over a restart");
    assert_eq!(
        status.plan[0].to.as_deref(),
        Some(modosu::model::content::short_hash(&job).as_str())
    );
    let receipt = status.receipt_of(0).unwrap();
    assert_eq!(receipt.receipt.as_deref(), Some("done"));
    assert!(
        receipt
            .note
            .as_deref()
            .unwrap()
            .starts_with(&format!("Job/{name} completed")),
        "{receipt:?}"
    );
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
}

story!(a_job_that_fails_is_told);
async fn a_job_that_fails_is_told(stage: &Stage) {
    runbook(stage, json!({"onFailure": "continue"})).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let name = job_name(stage).await;
    job_ends(
        stage,
        &name,
        &[
            ("FailureTarget", "BackoffLimitExceeded"),
            ("Failed", "BackoffLimitExceeded"),
        ],
    )
    .await;
    let status = stage.incident_in("Recovered", 90).await.status.unwrap();
    let but = format!(", but job failed: Job/{name} failed (BackoffLimitExceeded)");
    assert!(status.reason.contains(&but), "{}", status.reason);
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
}

/// The orders service, put back by a Job and then by hand. The Job is suspended: how it ends the story says.
async fn runbook(stage: &Stage, step: Value) -> String {
    let job = "{apiVersion: batch/v1, kind: Job, spec: {suspend: true, template: {spec: {restartPolicy: Never, \
               containers: [{name: alias, image: tools}]}}}}";
    stage.config("runbook", json!({"job.yaml": job})).await;
    let mut run = json!({"job": {"from": "ConfigMap/runbook", "key": "job.yaml"}});
    json_patch::merge(&mut run, &step);
    let steps = json!([run, legacy(), {"waitReady": {}}]);
    orders(stage, json!({"knownGoodAfter": "1h", "rollback": {"steps": steps}})).await;
    job.to_owned()
}

async fn job_name(stage: &Stage) -> String {
    stage
        .until("the Job", 60, async || {
            let jobs = stage.api("batch/v1", "Job").list(&ListParams::default()).await.unwrap();
            jobs.items.into_iter().next().and_then(|job| job.metadata.name)
        })
        .await
}

async fn job_ends(stage: &Stage, name: &str, conditions: &[(&str, &str)]) {
    let at = "2026-01-01T00:00:00Z";
    let condition = |(kind, reason): &(&str, &str)| json!({"type": kind, "status": "True", "reason": reason, "lastTransitionTime": at, "lastProbeTime": at});
    let mut status = json!({"startTime": at, "conditions": conditions.iter().map(condition).collect::<Vec<_>>()});
    if conditions.iter().any(|(kind, _)| *kind == "Complete") {
        status["completionTime"] = json!(at);
    }
    let patch = kube::api::Patch::Merge(json!({"status": status}));
    let jobs = stage.api("batch/v1", "Job");
    jobs.patch_status(name, &kube::api::PatchParams::default(), &patch)
        .await
        .unwrap();
}

pub fn legacy() -> Value {
    json!({"setEnv": {"target": "Deployment/orders", "env": {"WORKER_MODE": "legacy"}}})
}

pub async fn orders(stage: &Stage, spec: Value) {
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

pub async fn event(stage: &Stage, reason: &str) -> Option<DynamicObject> {
    let events = stage.api("events.k8s.io/v1", "Event");
    let all = events.list(&ListParams::default()).await.unwrap();
    all.items.into_iter().find(|event| event.data["reason"] == reason)
}
