//! The daemon is started anew: what it would remember is read again from Prometheus.

use serde_json::json;

use crate::{stage::Stage, story};

story!(a_start_carries_on_where_the_last_one_stood);
async fn a_start_carries_on_where_the_last_one_stood(stage: &Stage) {
    stage.deploy("orders", json!([])).await;
    stage
        .guard("orders", json!({"metrics": {"window": "8s"}, "knownGoodAfter": "40s"}))
        .await;
    stage.daemon().await;
    stage.wait(32).await;
    let proven = async || stage.current("orders").await.is_some_and(|current| current.proven);
    assert!(!proven().await, "32 of 40 seconds");
    stage.kill().await;
    stage.wait(5).await;

    stage.daemon().await;
    // Counted anew it would take forty seconds.
    stage
        .until("its state is proven", 25, async || proven().await.then_some(()))
        .await;
    assert!(stage.incidents().await.is_empty());
}
