//! While old and new pods both run: what hurts both alike is not the release.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::{
    stage::{Bad, Stage, deployment, state_of},
    story,
};

story!(what_old_pods_do_as_well_is_not_the_release);
async fn what_old_pods_do_as_well_is_not_the_release(stage: &Stage) {
    half_rolled_out(stage, json!([{"name": "VERSION", "value": "b"}])).await;
    // What both need is down.
    let failing = Bad {
        error_share: Some(0.3),
        ..Bad::default()
    };
    stage.misbehave("orders", failing);

    let incident = stage.incident_in("AwaitingDecision", 60).await;
    let reason = incident.status.unwrap().reason;
    assert!(reason.contains("old pods are as bad as new ones"), "{reason}");
    assert_eq!(incident.spec.triggers[0].name, "error rate rose");
    stage
        .always("people decide", 10, async || {
            let all = stage.incidents().await;
            all.len() == 1 && state_of(&all[0]) == "AwaitingDecision" && stage.target_writes() == 0
        })
        .await;
    assert_eq!(stage.env("orders", "VERSION").await, "b");
}

story!(what_only_new_pods_do_is_put_back_at_once);
async fn what_only_new_pods_do_is_put_back_at_once(stage: &Stage) {
    let env = json!([{"name": "VERSION", "value": "b"}, {"name": "ERROR_SHARE", "value": "0.5"}]);
    half_rolled_out(stage, env).await;
    stage
        .until("the template is back", 60, async || {
            (stage.env("orders", "VERSION").await == "a").then_some(())
        })
        .await;
    let incident = stage.incidents().await.pop().unwrap();
    let waited = incident
        .spec
        .opened_at
        .duration_since(incident.spec.first_bad_at)
        .as_secs_f64();
    assert!(
        waited <= 13.0,
        "acted on as soon as the trigger fires (for 10 s), not after {waited} s"
    );
    stage
        .edit("apps/v1", "Deployment", "orders", json!({"spec": {"paused": false}}))
        .await;
    stage.incident_in("Recovered", 60).await;
    assert_eq!(stage.template_patches("orders"), 1);
}

/// Four pods are proven; a release is stopped when some of them are new and some are old.
async fn half_rolled_out(stage: &Stage, env: Value) {
    let mut orders = deployment(&stage.namespace, "orders", json!([{"name": "VERSION", "value": "a"}]));
    orders["spec"]["replicas"] = json!(4);
    orders["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    stage.create("apps/v1", "Deployment", orders).await;
    stage.rolled_out("orders").await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;

    stage.release("orders", env, |_| {}).await;
    stage
        .until("a new pod serves", 40, async || {
            let pods = stage.pods("orders").await;
            pods.iter()
                .any(|pod| version(pod) == "b" && is_ready(pod))
                .then_some(())
        })
        .await;
    stage
        .edit("apps/v1", "Deployment", "orders", json!({"spec": {"paused": true}}))
        .await;
    stage
        .until("what was on its way has come", 20, async || {
            let pods = stage.pods("orders").await;
            pods.iter().all(is_ready).then_some(())
        })
        .await;
    let pods = stage.pods("orders").await;
    let new = pods.iter().filter(|pod| version(pod) == "b").count();
    assert!(
        (1..pods.len()).contains(&new),
        "old and new ones run: {new} of {}",
        pods.len()
    );
}

fn version(pod: &DynamicObject) -> &str {
    let env = pod.data["spec"]["containers"][0]["env"].as_array();
    let version = env.and_then(|env| env.iter().find(|variable| variable["name"] == "VERSION"));
    version
        .and_then(|version| version["value"].as_str())
        .unwrap_or_default()
}

fn is_ready(pod: &DynamicObject) -> bool {
    let conditions = pod.data["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}
