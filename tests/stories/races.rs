//! What comes between two steps of modosu. Only the embedded world can hold a request back.

use std::time::Duration;

use modosu_world::{Answer, Stage as When, Verb};
use serde_json::json;

use crate::stage::{Stage, state_of};

/// modosu's writes to Deployments take their time to arrive.
fn slow_writes(stage: &Stage) {
    stage.world().on_request(|call| {
        let write = call.verb == Verb::Patch && call.resource == "deployments" && call.user.starts_with("modosu");
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
    slow_writes(&stage);
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
