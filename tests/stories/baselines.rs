//! What signals are compared with, where it is not the healthy hour before.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use modosu::model::incident::Incident;
use modosu_cluster::push::{Labels, Worth};
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

story!(what_is_slower_than_given_numbers_goes_to_people);
async fn what_is_slower_than_given_numbers_goes_to_people(stage: &Stage) {
    // The same number, written down and asked for; the service itself takes a fifth of it.
    let query = format!("max(up{{namespace=\"{}\"}}) * 0 + 0.1", stage.namespace);
    let baselines = [
        ("orders", json!({"window": null, "fixed": {"response_time": "100ms"}})),
        ("payments", json!({"window": null, "query": {"response_time": query}})),
    ];
    for (service, baseline) in &baselines {
        stage.deploy(service, json!([])).await;
        let spec = json!({"baseline": baseline, "metrics": {"window": "10s"}});
        stage.guard(service, spec).await;
    }
    stage.daemon().await;
    for (service, _) in &baselines {
        stage.proven(service).await;
        stage.set_env(service, "LATENCY_MS", "60").await;
    }
    for (service, _) in &baselines {
        stage
            .until("it is slower by far than it was", 60, async || {
                let value = stage.signal(service, "response_time").await?;
                (value > 0.05).then_some(())
            })
            .await;
    }
    stage.wait(6).await;
    assert!(stage.incidents().await.is_empty(), "but not than the number");
    for (service, _) in &baselines {
        stage.set_env(service, "LATENCY_MS", "300").await;
    }
    for (service, _) in &baselines {
        assert_eq!(
            compared_with(&slow_incident(stage, service).await),
            Some(0.1),
            "{service}"
        );
    }
}

/// The incident of a service that got slow, which people decide.
async fn slow_incident(stage: &Stage, service: &str) -> Incident {
    let incident = stage
        .until(&format!("an incident of {service}"), 60, async || {
            let all = stage.incidents().await;
            all.into_iter().find(|incident| incident.spec.guard == service)
        })
        .await;
    let fired: Vec<_> = incident.spec.triggers.iter().map(|fired| fired.name.as_str()).collect();
    assert_eq!(fired, ["response time degraded"]);
    incident
}

/// With what its response time was compared.
fn compared_with(incident: &Incident) -> Option<f64> {
    incident.spec.triggers[0].baseline
}

const A_WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What one pod counted a week ago, around this time of the week, every fifteen seconds: fifty requests a second, one of a
/// hundred failed, all took between a tenth and a quarter of a second; and for three minutes an outage.
fn a_week_ago(namespace: &str, now: Timestamp) -> Vec<(Labels, Worth)> {
    let labels = |name: &str, label: &str, value: &str| -> Labels {
        let mut labels = [
            ("__name__", name),
            ("instance", "gone"),
            ("job", "orders"),
            ("namespace", namespace),
            (label, value),
        ];
        labels.sort_unstable();
        labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    };
    // Scrapes were rarer then, and none of them on a whole minute.
    let begin = Timestamp::from_second(now.as_second() / 60 * 60 + 8).unwrap() - A_WEEK;
    let moments = (-40..=280).map(|n: i32| (n, (begin + SignedDuration::from_secs(15) * n).as_millisecond()));
    let run = |per_step: &dyn Fn(i32) -> f64| {
        let mut sum = 1_000_000.0;
        let count = |(n, at)| {
            sum += per_step(n);
            (at, sum)
        };
        Worth::Run(moments.clone().map(count).collect())
    };
    let outage = |n: i32| (100..112).contains(&n);
    let bad = |n| if outage(n) { 375.0 } else { 7.5 };
    let counter = "http_requests_total";
    let buckets = "http_request_duration_seconds_bucket";
    vec![
        (labels(counter, "code", "500"), run(&bad)),
        (labels(counter, "code", "200"), run(&|n| 750.0 - bad(n))),
        (labels(buckets, "le", "0.1"), run(&|_| 0.0)),
        (
            labels(buckets, "le", "0.25"),
            run(&|n| if outage(n) { 0.0 } else { 750.0 }),
        ),
        (labels(buckets, "le", "1"), run(&|_| 750.0)),
        (labels(buckets, "le", "+Inf"), run(&|_| 750.0)),
    ]
}

/// The embedded Prometheus has no last week.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_time_last_week_is_compared_with() {
    let stage = Stage::real("the_same_time_last_week").await;
    stage
        .tell_all(async {
            stage.remembered(&a_week_ago(&stage.namespace, Timestamp::now())).await;
            stage.deploy("orders", json!([])).await;
            stage
                .guard("orders", json!({"baseline": {"window": null, "offset": "7d"}}))
                .await;
            stage.daemon().await;
            stage.proven("orders").await;
            let taken = baseline(&stage).await;
            let near = |signal: &str, number: f64| {
                let known = taken[signal].as_f64().unwrap_or_else(|| panic!("{signal}: {taken}"));
                assert!(
                    (known - number).abs() < number / 100.0,
                    "{signal} is {known}, not {number}"
                );
            };
            near("request_rate", 50.0);
            near("response_time", 0.1 + 0.15 * 0.95);
            near("error_rate", 0.01);
            // A tenth of last week's time is not slow, twice as long is.
            stage.set_env("orders", "LATENCY_MS", "600").await;
            let known = compared_with(&slow_incident(&stage, "orders").await).unwrap();
            assert!((known - (0.1 + 0.15 * 0.95)).abs() < 0.003, "{known}");
        })
        .await;
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
