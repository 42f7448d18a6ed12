//! Where putting back does not help, or would be wrong: modosu says so and leaves it to people.

use jiff::{Timestamp, ToSpan};
use serde_json::json;

use crate::{
    stage::{Bad, Stage},
    story,
};

story!(bad_for_another_reason);
async fn bad_for_another_reason(stage: &Stage) {
    stage.deploy("orders", json!([{"name": "VERSION", "value": "a"}])).await;
    stage
        .guard("orders", json!({"watchFor": "15s", "automaticFor": "15s"}))
        .await;
    stage.daemon().await;
    stage.proven("orders").await;
    let a = stage.current("orders").await.unwrap().hash;
    stage.set_env("orders", "VERSION", "b").await;
    let b = stage.changed("orders", &a).await;
    stage.proven("orders").await;
    stage
        .until("probation is over", 60, async || {
            (stage.shown("orders").await["state"] == "Steady").then_some(())
        })
        .await;

    // The database breaks, not the service: there is a proven state to go to, and it would not help.
    stage.misbehave(
        "orders",
        Bad {
            error_share: Some(0.3),
            ..Bad::default()
        },
    );
    let incident = stage.incident_in("AwaitingDecision", 60).await;
    let reason = incident.status.unwrap_or_default().reason;
    assert!(
        reason.contains("it is not the change: nothing was changed within watchFor"),
        "the incident says why people decide: {reason}"
    );
    assert!(
        incident.spec.restore_to.is_some_and(|to| to.hash == a),
        "people may still go back"
    );
    assert!(!incident.spec.triggers.is_empty(), "with its numbers");
    stage
        .always("nothing is patched", 10, async || {
            stage.target_writes() == 0 && stage.env("orders", "VERSION").await == "b"
        })
        .await;
    assert!(!stage.is_bad("orders", &b).await, "what is not to blame is not marked");
}

story!(a_rollback_that_does_not_help, alone);
async fn a_rollback_that_does_not_help(stage: &Stage) {
    stage
        .deploy("orders", json!([{"name": "WORKER_MODE", "value": "legacy"}]))
        .await;
    stage
        .guard(
            "orders",
            json!({"rollback": {"within": "40s"}, "metrics": {"window": "15s"}}),
        )
        .await;
    stage.daemon().await;
    stage.proven("orders").await;
    let legacy = stage.current("orders").await.unwrap().hash;

    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage.changed("orders", &legacy).await;
    let outside = Bad {
        error_share: Some(0.4),
        ..Bad::default()
    };
    stage.misbehave("orders", outside);
    let incident = stage.incident_in("Escalated", 120).await;
    let (spec, status) = (incident.spec, incident.status.unwrap_or_default());
    let reason = &status.reason;
    for part in [
        "modosu has stopped; nothing more happens until you act",
        "tried: Deployment/orders done, waitReady done",
        "not recovered in time, seen now:",
        // So nearly: some requests were answered before it went bad.
        "error_rate ",
        " % > 5 % for ",
    ] {
        assert!(reason.contains(part), "{part} is missing in: {reason}");
    }
    assert_eq!(reason.matches("error_rate").count(), 1, "each number once: {reason}");
    let now: Timestamp = stage.status().await.unwrap()["now"].as_str().unwrap().parse().unwrap();
    // The page is as old as the last turn.
    assert!(
        now >= spec.first_bad_at + 38.seconds(),
        "not before `within` is over: {now}, bad since {}",
        spec.first_bad_at
    );
    assert!(
        now <= spec.first_bad_at + 55.seconds(),
        "soon after `within` is over: {now}, bad since {}",
        spec.first_bad_at
    );
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
    stage
        .always("modosu has stopped", 8, async || stage.template_patches("orders") == 1)
        .await;

    stage.behave("orders");
    stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.template_patches("orders"), 1, "put back exactly once");
}
