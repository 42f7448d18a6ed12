//! Releases that hurt, and releases that do not.

use serde_json::json;

use crate::{stage::Stage, story};

story!(celery_to_legacy);
async fn celery_to_legacy(stage: &Stage) {
    stage
        .deploy("orders", json!([{"name": "WORKER_MODE", "value": "legacy"}]))
        .await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;

    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage
        .until("the template is back", 40, async || {
            (stage.env("orders", "WORKER_MODE").await == "legacy").then_some(())
        })
        .await;
    let incident = stage.incident_in("Recovered", 60).await;

    assert_eq!(stage.template_patches("orders"), 1);
    assert_eq!(incident.spec.guard, "orders");
    stage.rolled_out("orders").await;
}
