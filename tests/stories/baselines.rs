//! What signals are compared with, where it is not the healthy hour before.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use modosu_world::Reply;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{stage::Stage, story};

async fn baseline(stage: &Stage) -> Value {
    let status = serde_json::to_value(stage.guard_now("orders").await.status).unwrap();
    status["baseline"].clone()
}

story!(a_stored_benchmark_is_asked_once_at_the_change);
async fn a_stored_benchmark_is_asked_once_at_the_change(stage: &Stage) {
    stage.deploy("orders", json!([])).await;
    // Whether or not a pod is up at that moment.
    let query = format!("max(up{{namespace=\"{}\"}}) * 0 + 0.25", stage.namespace);
    let spec = json!({"baseline": {"window": null, "query": {"response_time": query}}});
    stage.guard("orders", spec).await;
    stage.daemon().await;
    let taken = async || baseline(stage).await["takenAt"].as_str().map(str::to_owned);
    stage
        .until("the benchmark's number is in the status", 150, async || {
            (baseline(stage).await["response_time"] == 0.25).then_some(())
        })
        .await;
    stage.proven("orders").await;
    stage
        .until("the page shows it, from the next turn on", 20, async || {
            let shown = stage.shown("orders").await;
            let mut signals = shown["signals"].as_array()?.iter();
            let response_time = signals.find(|signal| signal["name"] == "response_time")?;
            (response_time["baseline"] == 0.25).then_some(())
        })
        .await;

    let before = taken().await;
    stage.wait(6).await;
    assert_eq!(taken().await, before, "asked once");
    stage
        .release("orders", json!([{"name": "VERSION", "value": "2"}]), |_| {})
        .await;
    stage
        .until("it was asked again for the change", 150, async || {
            (taken().await > before && baseline(stage).await["response_time"] == 0.25).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_same_time_before_is_compared_with_and_said_where_it_is_not_known() {
    let stage = Stage::embedded("the_same_time_before").await;
    stage.deploy("orders", json!([])).await;
    stage
        .guard("orders", json!({"baseline": {"window": null, "offset": "15m"}}))
        .await;
    stage.daemon().await;
    stage.wait(20).await;
    let shown = stage.shown("orders").await;
    let why = shown["triggers"].to_string();
    assert!(why.contains("too little is known of that time before"), "{shown}");
    assert!(baseline(&stage).await["response_time"].is_null());

    stage.wait(20 * 60).await;
    stage
        .release("orders", json!([{"name": "VERSION", "value": "2"}]), |_| {})
        .await;
    stage
        .until("it is known of the time before the release", 120, async || {
            baseline(&stage).await["response_time"].is_number().then_some(())
        })
        .await;
    assert!(stage.incidents().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn slow_benchmarks_of_many_guards_do_not_wait_for_each_other() {
    let stage = Stage::embedded("slow_benchmarks").await;
    for n in 0..12 {
        stage.deploy(&format!("orders-{n}"), json!([])).await;
        let spec = json!({
            "targets": [{"kind": "Deployment", "name": format!("orders-{n}")}],
            "baseline": {"window": null, "query": {"response_time": format!("vector(0.25) + 0 * {n}")}},
        });
        stage.guard(&format!("guard-{n}"), spec).await;
    }
    let asked: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let asks = asked.clone();
    stage.world().on_query(move |query| {
        if !query.starts_with("vector(0.25)") {
            return Reply::GoOn;
        }
        asks.lock().unwrap().push(Instant::now());
        Reply::Delay(Duration::from_secs(3))
    });
    stage.daemon().await;
    stage
        .until("all were asked", 60, async || {
            (asked.lock().unwrap().len() == 12).then_some(())
        })
        .await;
    let asked = asked.lock().unwrap();
    let (first, last) = (asked[0], asked[11]);
    assert!(
        asked.iter().filter(|at| **at - first < Duration::from_secs(1)).count() == 8,
        "eight at once"
    );
    assert!(last - first < Duration::from_secs(4), "{:?}", last - first);
}
