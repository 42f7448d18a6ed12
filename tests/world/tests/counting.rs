//! Prometheus on the embedded world: scrapes, staleness, births, resets, and the query forms that
//! modosu is built on.

use std::time::Duration;

use jiff::Timestamp;
use modosu_world::{Behaviour, World, WorldOptions};
use serde_json::{Value, json};

const MATCHERS: &str = "namespace=\"shop\",job=\"orders\"";

fn world(scrape_ms: u64) -> World {
    World::start(WorldOptions {
        scrape_interval: Duration::from_millis(scrape_ms),
        ..WorldOptions::default()
    })
}

async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

async fn ask(world: &World, query: &str) -> Value {
    world.prometheus().query(query, None).await.expect("Prometheus runs")
}

/// The one value of a query; `None` where there is no row.
async fn value_at(world: &World, query: &str, at: Option<Timestamp>) -> Option<f64> {
    let answer = world.prometheus().query(query, at).await.expect("Prometheus runs");
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    let rows = answer["data"]["result"].as_array().expect("rows").clone();
    assert!(rows.len() <= 1, "{query}: {rows:?}");
    rows.first().and_then(|row| row["value"][1].as_str()?.parse().ok())
}

async fn value(world: &World, query: &str) -> Option<f64> {
    value_at(world, query, None).await
}

/// The growth of a counter in a disjoint window, births included.
fn growth(metric: &str, millis: u128) -> String {
    let x = match metric.strip_suffix('}') {
        Some(open) => format!("{open},{MATCHERS}}}"),
        None => format!("{metric}{{{MATCHERS}}}"),
    };
    let back = format!("offset {millis}ms");
    let up = format!("up{{{MATCHERS}}}");
    format!(
        "sum by (namespace, job) (clamp_min({x} - {x} {back}, 0) \
         or ({x} unless {x} {back}) and on (job, instance) ({up} {back} == 1) \
         or ({x} unless {x} {back}) unless on (job, instance) \
         (max_over_time({up}[1h] {back}) == 1) and on (job) ({up} {back} == 1))"
    )
}

#[tokio::test(start_paused = true)]
async fn every_request_is_counted_exactly_once_however_slow_the_exporter_is() {
    for delay in [50, 400, 1500] {
        let world = world(4000);
        let env = [
            ("METRICS_DELAY_MS", &*delay.to_string()),
            ("ERROR_SHARE", "0.1"),
            ("RPS", "37"),
        ];
        world
            .create_deployment("shop", "orders", &env, &json!({"spec": {"replicas": 3}}))
            .expect("ok");
        pass(20_000).await;
        let lag = Duration::from_millis(delay + 100);
        let (mut total, mut bad) = (0.0, 0.0);
        let begin = world.now() - lag;
        let mut last = begin;
        for poll in 0..40 {
            pass(1700 + poll * 13).await;
            let at = world.now() - lag;
            let window = (at.as_millisecond() - last.as_millisecond()).unsigned_abs().into();
            let grown = growth("http_requests_total", window);
            total += value_at(&world, &grown, Some(at)).await.unwrap_or(0.0);
            let grown = growth("http_requests_total{code=~\"5..\"}", window);
            bad += value_at(&world, &grown, Some(at)).await.unwrap_or(0.0);
            last = at;
        }
        let sum = |code: &str| format!("sum(http_requests_total{{{code}{MATCHERS}}})");
        for (code, counted) in [("", total), ("code=\"500\",", bad)] {
            let end = value_at(&world, &sum(code), Some(last)).await.expect("counted");
            let start = value_at(&world, &sum(code), Some(begin)).await.expect("counted");
            assert!(
                (end - start - counted).abs() < 1e-6,
                "delay {delay}: {end} {start} {counted}"
            );
            assert!(counted > 100.0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_errors_ever_are_counted_and_a_series_seen_again_is_not() {
    let world = world(1000);
    world
        .create_deployment("shop", "orders", &[("RPS", "10")], &json!({}))
        .expect("ok");
    pass(30_000).await;
    let errors = "http_requests_total{code=~\"5..\"}";
    assert_eq!(
        value(&world, &growth(errors, 5000)).await,
        None,
        "there was never an error"
    );
    let bad = Behaviour {
        error_share: Some(0.5),
        ..Behaviour::default()
    };
    world.misbehave("shop", "orders", bad);
    pass(5000).await;
    let born = value(&world, &growth(errors, 5000)).await.expect("born");
    assert!((20.0..=25.0).contains(&born), "{born} of 25 errors in five seconds");

    world.prometheus_stop();
    assert!(
        world.prometheus().query("time()", None).await.is_err(),
        "nobody listens"
    );
    pass(600_000).await;
    world.prometheus_start();
    pass(3000).await;
    let again = value(&world, &growth(errors, 5000)).await;
    assert!(
        again.is_none_or(|again| again == 0.0),
        "seen again, not born: {again:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn new_pods_count_in_full_and_restarts_count_as_resets() {
    let world = world(1000);
    world
        .create_deployment("shop", "orders", &[("RPS", "10")], &json!({}))
        .expect("ok");
    pass(30_000).await;
    let release = json!({"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}});
    let api: kube::Api<k8s_openapi::api::apps::v1::Deployment> = kube::Api::namespaced(world.client("ann"), "shop");
    let patch = kube::api::Patch::Merge(release);
    api.patch("orders", &Default::default(), &patch).await.expect("patched");
    let mut counted = 0.0;
    for _ in 0..20 {
        pass(1000).await;
        counted += value(&world, &growth("http_requests_total", 1000)).await.unwrap_or(0.0);
    }
    assert!((180.0..=220.0).contains(&counted), "{counted} of about 200 requests");
}

#[tokio::test(start_paused = true)]
async fn a_vanished_pod_goes_stale_and_a_crashed_one_is_down() {
    let world = world(1000);
    world.create_deployment("shop", "orders", &[], &json!({})).expect("ok");
    pass(10_000).await;
    assert_eq!(value(&world, "sum(up)").await, Some(1.0));
    world.misbehave(
        "shop",
        "orders",
        Behaviour {
            crash: Some(true),
            ..Behaviour::default()
        },
    );
    pass(8000).await;
    assert_eq!(value(&world, "sum(up)").await, Some(0.0), "in its back-off");
    assert_eq!(value(&world, "count(http_requests_total)").await, None);
    world.behave("shop", "orders");
    pass(30_000).await;
    assert_eq!(value(&world, "sum(up)").await, Some(1.0));
    let api: kube::Api<k8s_openapi::api::apps::v1::Deployment> = kube::Api::namespaced(world.client("ann"), "shop");
    api.delete("orders", &Default::default()).await.expect("deleted");
    pass(10_000).await;
    assert_eq!(
        value(&world, "count(up)").await,
        None,
        "stale, not five minutes of nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn quantiles_come_from_buckets_and_a_malformed_le_warns() {
    let world = world(1000);
    world
        .create_deployment("shop", "orders", &[("LATENCY_MS", "40")], &json!({}))
        .expect("ok");
    world
        .create_deployment("shop", "broken", &[("BAD_LE", "1")], &json!({}))
        .expect("ok");
    pass(60_000).await;
    let query = |matchers: &str| {
        format!(
            "histogram_quantile(0.95, sum by (namespace, job, le) \
             (rate(http_request_duration_seconds_bucket{{{matchers}}}[30s])))"
        )
    };
    let p95 = value(&world, &query(MATCHERS)).await.expect("a quantile");
    assert!(
        (p95 - 0.04875).abs() < 1e-9,
        "{p95}: 95 % of the way from 25 ms to 50 ms"
    );
    let both = ask(&world, &query("job=~\"orders|broken\"")).await;
    assert_eq!(both["data"]["result"].as_array().map(Vec::len), Some(2));
    assert!(
        both["warnings"][0].as_str().is_some_and(|text| text.contains("le")),
        "{both}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_batched_forms_answer_and_anything_else_is_bad_data() {
    let world = world(1000);
    for name in ["orders", "stock"] {
        world
            .create_deployment("shop", name, &[("RPS", "20")], &json!({}))
            .expect("ok");
    }
    pass(60_000).await;
    let forms = [
        "max by (namespace, job) (max_over_time(scrape_duration_seconds{namespace=~\"shop\"}[10m]))",
        "max by (namespace, job) (count_over_time(http_requests_total{job=~\"orders|stock\"}[2m]))",
        "max by (namespace, job) (timestamp(http_requests_total{job=~\"orders|stock\"}))",
        "sum by (job) (http_requests_total)",
        "2 * sum by (job) (http_requests_total) / 10 - 1",
    ];
    for form in forms {
        let answer = ask(&world, form).await;
        let rows = answer["data"]["result"].as_array().map(Vec::len);
        assert_eq!(rows, Some(2), "{form}: {answer}");
    }
    let time = ask(&world, "time()").await;
    assert_eq!(time["data"]["resultType"], "scalar");
    for wrong in [
        "holt_winters(x[1m], 1, 1)",
        "sum(",
        "x{a=1}",
        "rate(x)",
        "x[5m] + 1",
        "",
    ] {
        let answer = ask(&world, wrong).await;
        assert_eq!(answer["errorType"], "bad_data", "{wrong}: {answer}");
    }
    let two = ask(&world, "up - on (namespace) up").await;
    assert_eq!(two["errorType"], "execution", "{two}");
}

#[tokio::test(start_paused = true)]
async fn a_random_service_has_the_rates_it_should_have() {
    let world = world(15_000);
    let env = [
        ("RANDOM", "1"),
        ("RPS", "50"),
        ("ERROR_SHARE", "0.02"),
        ("LATENCY_MS", "100"),
    ];
    world.create_deployment("shop", "orders", &env, &json!({})).expect("ok");
    pass(3_600_000).await;
    let total = value(&world, "sum(http_requests_total)").await.expect("requests");
    let bad = value(&world, "http_requests_total{code=\"500\"}")
        .await
        .expect("errors");
    assert!((175_000.0..185_000.0).contains(&total), "{total} of 180,000");
    assert!((0.018..0.022).contains(&(bad / total)), "{bad} of {total}");
    let below = "http_request_duration_seconds_bucket{le=\"0.1\"}";
    let median = value(&world, below).await.expect("a bucket") / total;
    assert!((0.48..0.52).contains(&median), "{median} at the median");
}
