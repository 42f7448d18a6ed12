//! Prometheus is away: modosu says that it knows nothing, and leaves everything alone.

use serde_json::{Value, json};

use crate::{stage::Stage, story};

story!(prometheus_dies_while_all_is_well);
async fn prometheus_dies_while_all_is_well(stage: &Stage) {
    legacy_is_proven(stage).await;
    let before = stage.shown("orders").await;

    stage.prometheus(false).await;
    knows_nothing(stage).await;
    stage
        .always("nothing known: nothing written, nobody blamed", 12, async || {
            stage.target_writes() == 0 && stage.incidents().await.is_empty()
        })
        .await;
    let blind = stage.shown("orders").await;
    assert_eq!(blind["state"], before["state"], "Unknown is a verdict: the state stays");
    assert_eq!(blind["current"], before["current"], "what was proven stays proven");

    stage.prometheus(true).await;
    stage
        .until("healthy again", 60, async || {
            stage.is_healthy("orders").await.then_some(())
        })
        .await;
    let status = stage.status().await.unwrap();
    assert_eq!(status["prometheus"]["state"], "up", "{status}");
    assert!(
        stage.incidents().await.is_empty(),
        "an outage of Prometheus is no incident"
    );
    assert_eq!(stage.target_writes(), 0);
}

story!(prometheus_dies_under_a_bad_release);
async fn prometheus_dies_under_a_bad_release(stage: &Stage) {
    legacy_is_proven(stage).await;

    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage
        .until("the release is under suspicion", 40, async || {
            (stage.shown("orders").await["state"] == "Suspect").then_some(())
        })
        .await;
    stage.prometheus(false).await;
    knows_nothing(stage).await;
    stage
        .always("suspicion alone undoes nothing", 15, async || {
            stage.target_writes() == 0 && stage.env("orders", "WORKER_MODE").await == "celery"
        })
        .await;
    assert!(stage.incidents().await.is_empty(), "nothing known opens no incident");

    stage.prometheus(true).await;
    stage
        .until("the template is back", 60, async || {
            (stage.env("orders", "WORKER_MODE").await == "legacy").then_some(())
        })
        .await;
    stage.incident_in("Recovered", 60).await;
    assert_eq!(stage.template_patches("orders"), 1, "put back exactly once");
}

/// The same with a Prometheus that is really killed, and comes back with its data.
mod prometheus_is_killed {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn real() {
        let stage = crate::stage::Stage::real_alone("prometheus_is_killed").await;
        super::prometheus_dies_under_a_bad_release(&stage).await;
        stage.end().await;
    }
}

async fn legacy_is_proven(stage: &Stage) {
    stage
        .deploy("orders", json!([{"name": "WORKER_MODE", "value": "legacy"}]))
        .await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
}

/// The guard is Unknown, and everything that shows a number says why there is none.
async fn knows_nothing(stage: &Stage) {
    let why = "Prometheus did not answer";
    let says_why = |text: &Value| text.as_str().is_some_and(|text| text.contains(why));
    stage
        .until("Unknown, with the reason", 20, async || {
            let guard = stage.shown("orders").await;
            let reason = guard["reason"].as_str().unwrap_or_default();
            (reason.starts_with("Unknown") && reason.contains(why)).then_some(())
        })
        .await;
    let guard = stage.shown("orders").await;
    let signals = guard["signals"].as_array().cloned().unwrap_or_default();
    assert!(!signals.is_empty(), "{guard}");
    for signal in signals {
        assert_eq!(signal["verdict"], "Unknown", "{signal}");
        assert!(signal["value"].is_null(), "a missing number is null: {signal}");
        assert!(says_why(&signal["because"]), "the signal says why: {signal}");
    }
    let prometheus = stage.status().await.unwrap_or_default()["prometheus"].take();
    assert_eq!(prometheus["state"], "down", "{prometheus}");
    assert!(prometheus["error"].is_string(), "{prometheus}");
}
