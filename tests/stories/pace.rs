//! How much lies between the reading that is bad and the write that puts it back.

use serde_json::json;

use crate::stage::{Stage, line::changes};

/// The evidence while the server is asked about the plan, the guard that names it, the plan with its first intent.
const BEFORE: [&str; 4] = [
    "create incidents",
    "patch deployments/orders (dry run)",
    "patch guards/orders status",
    "patch incidents status RollingBack 1 intent",
];
/// Reads: what was judged and its proven state, and right before the write whether it was frozen, or something newer came.
const READS: usize = 8;

#[tokio::test(start_paused = true)]
async fn four_requests_change_something_before_the_first_restoring_write() {
    let stage = Stage::embedded("pace").await;
    stage.deploy("orders", json!([])).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    stage.record();
    let bad = json!([{"name": "ERROR_SHARE", "value": "0.5"}]);
    stage.release("orders", bad, |_| ()).await;
    stage.incident_in("Recovered", 120).await;
    let line = stage.recorded();
    let at = |words: &str| line.iter().position(|request| request == words).unwrap();
    let (opened, write) = (at("create incidents"), at("patch deployments/orders"));
    let before = line[..opened].iter();
    let suspected = before
        .clone()
        .rposition(|request| request == "patch guards/orders status");
    let told = |request: &&String| !request.contains("events");
    let between = line[suspected.unwrap() + 1..write].iter().filter(told);
    let (mut writes, reads): (Vec<&str>, Vec<&str>) = between.map(String::as_str).partition(|words| changes(words));
    // These two go side by side.
    writes[..2].sort_unstable();
    assert_eq!(writes, BEFORE, "{line:#?}");
    assert!(reads.len() <= READS, "{reads:#?}");
}
