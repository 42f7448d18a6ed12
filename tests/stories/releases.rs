//! Releases that hurt, and releases that do not.

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::json;

use crate::{
    stage::{Stage, written_at},
    story,
};

story!(celery_to_legacy, alone);
async fn celery_to_legacy(stage: &Stage) {
    stage
        .deploy("orders", json!([{"name": "WORKER_MODE", "value": "legacy"}]))
        .await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;

    stage.set_env("orders", "WORKER_MODE", "celery").await;
    // No request can have failed before this: the container's start, rounded down to the second.
    let first_failure = serving_since(stage, "celery").await;
    let incident = stage.incident_in("Recovered", 90).await;

    let status = incident.status.clone().unwrap();
    let (opened, patched) = (incident.spec.opened_at, written_at(&incident, "Deployment/orders"));
    let (rolled_out, recovered) = (status.rolled_out_at.unwrap(), status.recovered_at.unwrap());
    let after = |moment: Timestamp| moment.duration_since(first_failure).as_secs_f64();
    let story = format!(
        "after the first failing request: opened {:.1} s, template back {:.1} s, legacy runs {:.1} s, recovered {:.1} s",
        after(opened),
        after(patched),
        after(rolled_out),
        after(recovered)
    );
    eprintln!("{story}");
    assert!(
        opened <= patched && patched <= rolled_out,
        "evidence, patch, pods: {story}"
    );
    assert!(
        after(rolled_out) <= 30.0,
        "template and pods are back within 30 s: {story}"
    );
    assert!(
        after(recovered) <= 35.0,
        "recovered within 30 s and the hold of 5 s: {story}"
    );

    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy", "the template");
    let pods = stage.pods("orders").await;
    assert!(!pods.is_empty(), "pods run");
    for pod in &pods {
        assert_eq!(worker_mode(pod), "legacy", "every pod runs the restored template");
        assert!(after(ready_since(pod)) <= 30.0, "and is ready within 30 s");
    }
    assert_eq!(stage.template_patches("orders"), 1, "one template patch by modosu");
    assert_eq!(stage.target_writes(), 1, "and no other write to what it guards");
    let fired: Vec<_> = incident.spec.triggers.iter().map(|fired| fired.name.as_str()).collect();
    assert_eq!(
        fired,
        ["error rate rose"],
        "three failures in ten are 70 % success: not below it"
    );
    let share = incident.spec.triggers[0].value.unwrap();
    assert!(
        (0.2..0.4).contains(&share),
        "the share of failures that decided: {share}"
    );
}

story!(healthy_release);
async fn healthy_release(stage: &Stage) {
    stage
        .deploy("orders", json!([{"name": "FLAVOUR", "value": "plain"}]))
        .await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let before = stage.guard_now("orders").await.status.unwrap().current.unwrap();

    stage.set_env("orders", "FLAVOUR", "new").await;
    let release = stage
        .until("the release is seen", 20, async || {
            let current = stage.guard_now("orders").await.status?.current?;
            (current.hash != before.hash).then_some(current)
        })
        .await;
    assert!(!release.proven, "a release is not proven when it comes");
    assert_eq!(stage.shown("orders").await["state"], "Probation");
    let status = stage.guard_now("orders").await.status.unwrap();
    assert_eq!(
        status.restore_to.unwrap().hash,
        before.hash,
        "on probation a rollback would go to the state before it"
    );

    stage.proven("orders").await;
    let status = stage.guard_now("orders").await.status.unwrap();
    assert_eq!(
        status.current.unwrap().hash,
        release.hash,
        "the release itself is proven"
    );
    let snapshot = format!("orders-{}", release.hash);
    let proven_at = proven_at(stage, &snapshot).await;
    let after = proven_at.duration_since(release.since).as_secs_f64();
    assert!(
        after >= 8.0,
        "proven after knownGoodAfter (8 s), not after {after:.1} s"
    );
    assert!(stage.incidents().await.is_empty(), "a healthy release is no incident");
    assert_eq!(stage.target_writes(), 0, "nothing is written to what is guarded");
    assert_eq!(stage.env("orders", "FLAVOUR").await, "new");
}

story!(first_state_of_a_new_guard);
async fn first_state_of_a_new_guard(stage: &Stage) {
    stage.deploy("orders", json!([])).await;
    // The default baseline takes five healthy minutes: there is none when the state is to be proven.
    stage.guard("orders", json!({"baseline": {"window": "1h"}})).await;
    stage.daemon().await;
    stage.proven("orders").await;

    let status = stage.guard_now("orders").await.status.unwrap();
    assert!(
        status.baseline.is_none(),
        "no history, no baseline: {:?}",
        status.baseline
    );
    let shown = stage.shown("orders").await;
    let triggers: Vec<_> = shown["triggers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|trigger| (trigger["name"].as_str().unwrap(), trigger["status"].as_str().unwrap()))
        .collect();
    assert_eq!(
        triggers,
        [
            ("success rate dropped", "quiet"),
            ("response time degraded", "not armed"),
            ("error rate rose", "quiet"),
            ("more errors than before", "not armed"),
        ],
        "only the triggers that need a baseline wait for one"
    );
    let sentence = shown["triggers"][1]["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("no baseline yet of response_time: ") && sentence.contains(" of 5 min of healthy time"),
        "and says why it is not armed: {sentence}"
    );
    assert!(
        stage.incidents().await.is_empty(),
        "a trigger that is not armed never fires"
    );
}

story!(set_env_without_a_proven_state);
async fn set_env_without_a_proven_state(stage: &Stage) {
    let env = json!([{"name": "WORKER_MODE", "value": "legacy"}, {"name": "LATENCY_MS", "value": "20"}]);
    stage.deploy("orders", env).await;
    let to_legacy = json!({"setEnv": {"target": "Deployment/orders", "env": {"WORKER_MODE": "legacy"}}});
    let spec = json!({"knownGoodAfter": "1h", "rollback": {"steps": [to_legacy]}});
    stage.guard("orders", spec).await;
    stage.daemon().await;
    stage
        .until("the guard sees what runs", 20, async || {
            stage.guard_now("orders").await.status?.current
        })
        .await;

    stage.set_env("orders", "LATENCY_MS", "21").await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("Recovered", 90).await;

    assert!(
        incident.spec.restore_to.is_none(),
        "no state was proven: {:?}",
        incident.spec.restore_to
    );
    let status = incident.status.unwrap();
    let plan: Vec<_> = status.plan.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(plan, ["setEnv"], "the plan is its one step");
    assert_eq!(
        stage.env("orders", "WORKER_MODE").await,
        "legacy",
        "the variable is set"
    );
    assert_eq!(
        stage.env("orders", "LATENCY_MS").await,
        "21",
        "everything else of the release stays"
    );
    assert_eq!(stage.template_patches("orders"), 1, "one template patch by modosu");
    let pods = stage.pods("orders").await;
    assert!(
        !pods.is_empty() && pods.iter().all(|pod| worker_mode(pod) == "legacy"),
        "pods run legacy"
    );
}

/// When the first pod in this mode began to serve.
async fn serving_since(stage: &Stage, mode: &str) -> Timestamp {
    stage
        .until(&format!("a pod serves in mode {mode}"), 60, async || {
            let pods = stage.pods("orders").await;
            let container = pods
                .iter()
                .find(|pod| worker_mode(pod) == mode)
                .map(|pod| pod.data["status"]["containerStatuses"][0].clone())?;
            container["state"]["running"]["startedAt"].as_str()?.parse().ok()
        })
        .await
}

fn ready_since(pod: &DynamicObject) -> Timestamp {
    let conditions = pod.data["status"]["conditions"].as_array().unwrap();
    let ready = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    ready.unwrap()["lastTransitionTime"].as_str().unwrap().parse().unwrap()
}

fn worker_mode(pod: &DynamicObject) -> String {
    let env = pod.data["spec"]["containers"][0]["env"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mode = env.iter().find(|variable| variable["name"] == "WORKER_MODE");
    mode.and_then(|mode| mode["value"].as_str())
        .unwrap_or_default()
        .to_owned()
}

async fn proven_at(stage: &Stage, snapshot: &str) -> Timestamp {
    let snapshot = stage.api("apps/v1", "ControllerRevision").get(snapshot).await.unwrap();
    snapshot.metadata.annotations.unwrap()["modosu.dev/proven-at"]
        .parse()
        .unwrap()
}
