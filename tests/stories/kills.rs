//! `kill -9` of the daemon in the middle of a rollback: the next start finishes what was begun, and nothing is done twice.

use modosu::model::incident::Incident;
use serde_json::json;

use crate::{
    stage::{
        Kill, Stage,
        line::{Point, Side},
    },
    story,
};

story!(killed_after_the_intent);
async fn killed_after_the_intent(stage: &Stage) {
    killed(stage, Kill::Intended).await;
}

story!(killed_after_the_patch);
async fn killed_after_the_patch(stage: &Stage) {
    killed(stage, Kill::Patched).await;
}

story!(killed_after_the_opening);
async fn killed_after_the_opening(stage: &Stage) {
    until_killed(stage, Kill::Opened).await;
    assert_eq!(stage.incidents().await.len(), 1, "the evidence is there");

    stage.daemon().await;
    stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
    assert_eq!(stage.template_patches("orders"), 1, "patched exactly once");
    // What is written is shown when the turn is over.
    let shown = stage
        .until("it is shown as recovered", 10, async || {
            let shown = stage.status().await?["incidents"].take();
            (shown[0]["state"] == "Recovered").then_some(shown)
        })
        .await;
    assert_eq!(
        shown[1],
        json!(null),
        "it was taken up again, nothing is left behind: {shown}"
    );
}

story!(killed_before_its_plan_began_it_is_judged_again);
async fn killed_before_its_plan_began_it_is_judged_again(stage: &Stage) {
    stage
        .deploy("orders", json!([{"name": "WORKER_MODE", "value": "legacy"}]))
        .await;
    stage.guard("orders", json!({"automaticFor": "30s"})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    stage.kill_on(&before_the_first_intent());
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage
        .until("the daemon is killed", 60, async || stage.killed().then_some(()))
        .await;

    // By the time of the next start modosu may not act on this change by itself any more.
    stage.wait(30).await;
    stage.daemon().await;
    stage.incident_in("AwaitingDecision", 60).await;
    stage
        .always("it is left to people", 10, async || {
            stage.template_patches("orders") == 0 && stage.incidents().await.len() == 1
        })
        .await;
}

/// Evidence, and the guard's reference to it, are written; nothing says that its plan runs.
pub fn before_the_first_intent() -> Point {
    Point {
        request: "patch incidents status RollingBack 1 intent".to_owned(),
        nth: 1,
        side: Side::Before,
    }
}

async fn killed(stage: &Stage, point: Kill) {
    until_killed(stage, point).await;
    let patched = usize::from(point == Kill::Patched);
    stage
        .until("what it did before it was killed", 10, async || {
            (stage.template_patches("orders") == patched).then_some(())
        })
        .await;
    let begun = stage.incidents().await;
    assert_eq!(begun.len(), 1, "the evidence is there");
    assert_eq!(journal(&begun[0]), ["1 intent"], "an intent without its receipt");
    stage.wait(3).await;

    stage.daemon().await;
    let incident = stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
    assert_eq!(
        stage.template_patches("orders"),
        1,
        "patched exactly once by both daemons"
    );
    assert_eq!(
        journal(&incident),
        ["1 intent", "1 receipt", "2 intent", "2 receipt"],
        "one intent and one receipt of each step"
    );
    assert_eq!(stage.incidents().await.len(), 1, "the same incident was carried on");
    stage.rolled_out("orders").await;
}

async fn until_killed(stage: &Stage, point: Kill) {
    stage
        .deploy("orders", json!([{"name": "WORKER_MODE", "value": "legacy"}]))
        .await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;

    stage.kill_at(point);
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage
        .until("the daemon is killed", 60, async || stage.killed().then_some(()))
        .await;
}

/// `1 intent`, `1 receipt` … in the order in which they were written.
fn journal(incident: &Incident) -> Vec<String> {
    let entries = incident.status.iter().flat_map(|status| &status.journal);
    entries
        .map(|entry| {
            let word = match (&entry.intent, &entry.receipt) {
                (Some(_), None) => "intent",
                (None, Some(_)) => "receipt",
                (Some(_), Some(_)) | (None, None) => "neither",
            };
            format!("{} {word}", entry.seq)
        })
        .collect()
}
