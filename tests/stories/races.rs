//! What comes between two steps of modosu.

use std::time::Duration;

use modosu_world::{Answer, Stage as When, Verb};
use serde_json::json;

use crate::{
    config::deploy_with_settings,
    stage::{
        Stage,
        line::{Point, Side},
        state_of,
    },
    story,
};

/// modosu's writes of that kind take their time to arrive.
fn slow_writes(stage: &Stage, resource: &'static str) {
    stage.world().on_request(move |call| {
        let write = call.verb == Verb::Patch && call.resource == resource && call.user.starts_with("modosu");
        if write && call.stage == When::Before {
            Answer::Delay(Duration::from_secs(3))
        } else {
            Answer::GoOn
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_state_that_comes_between_reading_and_writing_is_not_written_over() {
    let stage = Stage::embedded("a_state_that_comes_between_reading_and_writing_is_not_written_over").await;
    stage
        .deploy("orders", json!([{"name": "WORKER_MODE", "value": "legacy"}]))
        .await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let a = stage.current("orders").await.unwrap().hash;
    slow_writes(&stage, "deployments");
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let b = stage.changed("orders", &a).await;
    stage
        .until("an intent", 60, async || {
            let journal = stage.incidents().await.first()?.status.clone()?.journal;
            journal.iter().any(|entry| entry.intent.is_some()).then_some(())
        })
        .await;

    stage.set_env("orders", "VERSION", "c").await;
    stage.changed("orders", &b).await;
    stage
        .always("what came stays", 20, async || {
            stage.env("orders", "VERSION").await == "c"
        })
        .await;

    let on_b: Vec<_> = stage.incidents().await;
    let on_b: Vec<_> = on_b.iter().filter(|incident| incident.spec.bad.hash == b).collect();
    assert_eq!(on_b.len(), 1, "one incident of one case");
    assert_eq!(state_of(on_b[0]), "Superseded");
    assert!(stage.is_bad("orders", &b).await);
}

async fn proven_with_settings(stage: &Stage) {
    deploy_with_settings(stage, "legacy", &json!({"ERROR_SHARE": "0"})).await;
    stage.guard("orders", json!({"metrics": {"window": "3s"}})).await;
    stage.daemon().await;
    stage.proven("orders").await;
}

/// Settings and template hurt together; the settings are written first.
async fn half_of_a_bad_release_is_back(stage: &Stage, within: u64) {
    stage
        .edit("v1", "ConfigMap", "settings", json!({"data": {"ERROR_SHARE": "0.4"}}))
        .await;
    stage.set_env("orders", "VERSION", "b").await;
    let back = async || (stage.config_data("settings").await["ERROR_SHARE"] == "0").then_some(());
    stage.until("the settings are back", within, back).await;
}

#[tokio::test(start_paused = true)]
async fn a_fix_between_two_writes_stops_the_plan_and_what_stands_where_is_told() {
    let stage = Stage::embedded("a_fix_between_two_writes").await;
    proven_with_settings(&stage).await;
    let a = stage.current("orders").await.unwrap().hash;
    slow_writes(&stage, "deployments");
    half_of_a_bad_release_is_back(&stage, 60).await;

    stage.set_env("orders", "VERSION", "c").await;
    let over = stage.incident_in("Superseded", 30).await;
    stage
        .always("what came stays", 20, async || {
            stage.env("orders", "VERSION").await == "c" && stage.config_data("settings").await["ERROR_SHARE"] == "0"
        })
        .await;
    let stands = over.status.unwrap().stands;
    let told: Vec<_> = stands
        .iter()
        .map(|one| (one.target.as_str(), one.words.as_str()))
        .collect();
    let (already, newer) = (
        format!("already back at {a}; to leave that again"),
        format!("carries the newer rollout; to put it back to {a} too"),
    );
    assert_eq!(
        told,
        [("ConfigMap/settings", already.as_str()), ("Deployment/orders", &newer)]
    );
    let page = stage
        .page(&format!(
            "/incidents/{}/{}",
            stage.namespace,
            over.metadata.name.unwrap()
        ))
        .await;
    assert!(page.contains(&stands[1].command.replace('\'', "&#39;")), "{page}");
    let current = stage.current("orders").await.unwrap();
    assert!(current.change, "the fix has a probation of its own");
}

#[tokio::test(start_paused = true)]
async fn a_fix_of_what_is_back_already_stops_the_plan_before_its_next_write() {
    let stage = Stage::embedded("a_fix_of_what_is_back_already").await;
    proven_with_settings(&stage).await;
    stage.world().on_request(|call| {
        let journal = call
            .body
            .pointer("/2/value/journal")
            .and_then(serde_json::Value::as_array);
        let last = journal.and_then(|journal| journal.last());
        let second = last.is_some_and(|entry| entry["seq"] == 2 && entry["intent"].is_string());
        if second && call.stage == When::Before {
            Answer::Delay(Duration::from_secs(3))
        } else {
            Answer::GoOn
        }
    });
    half_of_a_bad_release_is_back(&stage, 60).await;

    // Only what modosu wrote already is fixed; what it would write next is as it was judged.
    let fix = json!({"data": {"ERROR_SHARE": "0", "FIXED": "yes"}});
    stage.edit("v1", "ConfigMap", "settings", fix).await;
    stage.incident_in("Superseded", 30).await;
    assert_eq!(stage.template_patches("orders"), 0, "nothing more was written");
    assert_eq!(stage.env("orders", "VERSION").await, "b");
    let current = stage.current("orders").await.unwrap();
    assert!(current.change, "the fix has a probation of its own");
}

story!(a_fix_deployed_between_two_writes);
async fn a_fix_deployed_between_two_writes(stage: &Stage) {
    proven_with_settings(stage).await;
    let a = stage.current("orders").await.unwrap().hash;
    stage.kill_on(&Point {
        request: "patch incidents status RollingBack 2 intent".to_owned(),
        nth: 1,
        side: Side::After,
    });
    half_of_a_bad_release_is_back(stage, 90).await;
    let killed = async || stage.killed().then_some(());
    stage.until("the daemon is killed", 30, killed).await;

    stage.set_env("orders", "VERSION", "c").await;
    stage.daemon().await;
    let over = stage.incident_in("Superseded", 60).await;
    assert_eq!(stage.template_patches("orders"), 0, "nothing more is written");
    assert_eq!(stage.env("orders", "VERSION").await, "c");
    assert_eq!(stage.config_data("settings").await, json!({"ERROR_SHARE": "0"}));
    let stands = over.status.unwrap().stands;
    let told: Vec<_> = stands
        .iter()
        .map(|one| format!("{} {}", one.target, one.words))
        .collect();
    assert_eq!(
        told,
        [
            format!("ConfigMap/settings already back at {a}; to leave that again"),
            format!("Deployment/orders carries the newer rollout; to put it back to {a} too"),
        ]
    );
    let current = stage.current("orders").await.unwrap();
    assert!(current.change && !current.proven, "the fix has a probation of its own");
}

#[tokio::test(start_paused = true)]
async fn a_decision_between_two_writes_stops_the_plan_before_the_next() {
    let stage = Stage::embedded("a_decision_between_two_writes").await;
    proven_with_settings(&stage).await;
    slow_writes(&stage, "incidents");
    half_of_a_bad_release_is_back(&stage, 90).await;

    let name = stage.incidents().await[0].metadata.name.clone().unwrap();
    stage.decide(&name, "freeze").await;
    let still = async || stage.env("orders", "VERSION").await == "b";
    stage.always("nothing more is written", 30, still).await;
    stage.world().on_request(|_| Answer::GoOn);
    stage.decide(&name, "resume").await;
    stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.env("orders", "VERSION").await, "", "the template is back");
}

#[tokio::test(start_paused = true)]
async fn keep_between_two_writes_stops_the_plan_and_leaves_what_runs() {
    let stage = Stage::embedded("keep_between_two_writes").await;
    proven_with_settings(&stage).await;
    slow_writes(&stage, "incidents");
    half_of_a_bad_release_is_back(&stage, 90).await;

    let name = stage.incidents().await[0].metadata.name.clone().unwrap();
    stage.decide(&name, "keep").await;
    stage.incident_in("Kept", 60).await;
    stage.world().on_request(|_| Answer::GoOn);
    let as_it_was = async || {
        stage.env("orders", "VERSION").await == "b" && stage.incidents().await.len() == 1 && stage.target_writes() == 1
    };
    stage.always("it is left as it is", 60, as_it_was).await;
}
