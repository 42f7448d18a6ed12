//! While old and new pods both run: what hurts both alike is not the release.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use kube::api::DynamicObject;
use modosu::model::incident::Incident;
use modosu_world::Reply;
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

story!(what_only_new_pods_do_is_put_back_at_once, alone);
async fn what_only_new_pods_do_is_put_back_at_once(stage: &Stage) {
    half_rolled_out(stage, bad_release()).await;
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

/// While Prometheus does not say how old and new pods compare.
#[tokio::test(start_paused = true)]
async fn what_could_not_be_compared_is_asked_again_and_then_for_people() {
    let stage = Stage::embedded("what_could_not_be_compared").await;
    half_rolled_out(&stage, bad_release()).await;
    stage.world().on_query(|query| match query.contains("pod, instance") {
        true => Reply::Hang,
        false => Reply::GoOn,
    });
    let incident = held_then_for_people(&stage).await;
    let reason = incident.status.unwrap().reason;
    assert!(
        reason.contains("old and new pods could not be compared: Prometheus does not answer"),
        "{reason}"
    );
}

/// What is asked beside readings, for a few, holds nobody up.
#[tokio::test(start_paused = true)]
async fn what_is_not_answered_for_one_does_not_delay_the_others() {
    let stage = Stage::embedded("what_is_not_answered_for_one").await;
    stage.deploy("stock", json!([])).await;
    let benchmark = json!({"baseline": {"window": null, "query": {"response_time": "vector(0.25)"}}});
    stage.guard("stock", benchmark).await;
    let turns = Arc::new(AtomicUsize::new(0));
    let hangs = |unanswered: &'static [&'static str]| {
        let turns = turns.clone();
        stage.world().on_query(move |query| {
            turns.fetch_add(usize::from(query == "time()"), Ordering::Relaxed);
            match unanswered.iter().any(|text| query.contains(text)) {
                true => Reply::Hang,
                false => Reply::GoOn,
            }
        });
    };
    hangs(&["vector(0.25)"]);
    half_rolled_out(&stage, bad_release()).await;
    hangs(&["vector(0.25)", "pod, instance"]);
    stage
        .until("a trigger fires", 30, async || fires(&stage).await.then_some(()))
        .await;
    let before = turns.load(Ordering::Relaxed);
    stage.wait(20).await;
    let turns = turns.load(Ordering::Relaxed) - before;
    assert!(turns >= 12, "{turns} turns in 20 s");
}

#[tokio::test(start_paused = true)]
async fn what_is_compared_in_time_is_put_back() {
    let stage = Stage::embedded("what_is_compared_in_time").await;
    half_rolled_out(&stage, bad_release()).await;
    stage.world().on_query(|query| match query.contains("pod, instance") {
        true => Reply::Fail(503, "unavailable".into(), "busy".into()),
        false => Reply::GoOn,
    });
    held(&stage, 25).await;
    stage.world().no_hooks();
    stage
        .until("the template is back", 8, async || {
            (stage.env("orders", "VERSION").await == "a").then_some(())
        })
        .await;
}

/// A template whose controller has not seen it yet: which pods are old and which are new is not known.
#[tokio::test(start_paused = true)]
async fn what_no_controller_has_seen_is_not_acted_on() {
    let stage = Stage::embedded("what_no_controller_has_seen").await;
    half_rolled_out(&stage, bad_release()).await;
    stage.world().controllers(false);
    let edit = json!({"spec": {"revisionHistoryLimit": 5}});
    stage.edit("apps/v1", "Deployment", "orders", edit).await;
    let incident = held_then_for_people(&stage).await;
    let reason = incident.status.unwrap().reason;
    assert!(
        reason.contains("could not be compared: a controller has not seen the newest change yet"),
        "{reason}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_controller_sees_in_time_is_put_back() {
    let stage = Stage::embedded("what_a_controller_sees_in_time").await;
    half_rolled_out(&stage, bad_release()).await;
    stage.world().controllers(false);
    let edit = json!({"spec": {"revisionHistoryLimit": 5}});
    stage.edit("apps/v1", "Deployment", "orders", edit).await;
    held(&stage, 25).await;
    stage.world().controllers(true);
    stage
        .until("the template is back", 3, async || {
            (stage.env("orders", "VERSION").await == "a").then_some(())
        })
        .await;
}

fn bad_release() -> Value {
    json!([{"name": "VERSION", "value": "b"}, {"name": "ERROR_SHARE", "value": "0.5"}])
}

/// The trigger fires, and for so many seconds nothing follows, whatever else happens in the namespace.
async fn held(stage: &Stage, seconds: u64) {
    stage
        .until("a trigger fires", 30, async || fires(stage).await.then_some(()))
        .await;
    stage.config("others", json!({"n": "0"})).await;
    let mut n = 0;
    stage
        .always("held", seconds, async || {
            n += 1;
            let other = json!({"metadata": {"annotations": {"n": n.to_string()}}});
            stage.edit("modosu.dev/v1alpha1", "Guard", "orders", other).await;
            stage.incidents().await.is_empty() && stage.target_writes() == 0
        })
        .await;
}

async fn held_then_for_people(stage: &Stage) -> Incident {
    held(stage, 20).await;
    let incident = stage.incident_in("AwaitingDecision", 30).await;
    stage
        .always("people decide", 20, async || {
            let all = stage.incidents().await;
            all.len() == 1 && state_of(&all[0]) == "AwaitingDecision" && stage.target_writes() == 0
        })
        .await;
    incident
}

async fn fires(stage: &Stage) -> bool {
    let shown = stage.shown("orders").await;
    let triggers = shown["triggers"].as_array();
    triggers.is_some_and(|all| all.iter().any(|trigger| trigger["status"] == "firing"))
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
