//! Every shipped preset over series as the real exporters name and label them: on a real Prometheus, and on the embedded
//! one as far as its PromQL goes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test may stop at the first surprise"
)]

mod cost;
mod fixture;
mod real;
mod recipes;
mod signals;
mod watch;

use std::time::Duration;

use jiff::Timestamp;
use modosu::{model::reading::Measured, observe::prometheus::Prometheus};
use modosu_cluster::Version;
use modosu_world::{World, WorldOptions};
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::time::{Instant, sleep};

use crate::{
    fixture::{Fixture, Traffic},
    real::Real,
    watch::{Watch, guard},
};

/// What a preset must read of its exporter, worked out by hand from the fixture.
struct Expected {
    preset: &'static str,
    /// What the guard says beyond the preset's name.
    more: &'static str,
    /// Bad and all requests in a healthy and in a bad round.
    healthy: (f64, f64),
    bad: (f64, f64),
    /// Numbers in healthy traffic.
    numbers: &'static [(&'static str, f64)],
    /// Default triggers that bad traffic trips.
    fires: &'static [&'static str],
}

const fn served(preset: &'static str, requests: f64, numbers: &'static [(&'static str, f64)]) -> Expected {
    Expected {
        preset,
        more: "",
        healthy: (0.0, requests),
        bad: (8.0, 20.0),
        numbers,
        fires: &["error rate rose"],
    }
}

/// 4 of 20 answers took up to 0.1 s, the others up to 0.25 s: the 19th of 20 lies 15/16 up the second bucket.
const P95: f64 = 0.1 + 0.15 * 15.0 / 16.0;

const EXPECTED: [Expected; 11] = [
    // Two answers with 404 count among the times, too: the 20.9th of 22.
    served("http", 22.0, &[("response_time", 0.1 + 0.15 * 14.9 / 16.0)]),
    served("prometheus-http", 22.0, &[("response_time", P95)]),
    // Two answers with 404 count among the times, too: the 20.9th of 22, of buckets that are few.
    Expected {
        more: ", match: {namespace: shop, job: orders-api}",
        ..served(
            "prometheus-http-status",
            22.0,
            &[("response_time", 0.1 + 0.4 * 16.9 / 18.0)],
        )
    },
    // One caller hung up. Milliseconds become seconds.
    served("istio", 23.0, &[("response_time", P95)]),
    // Linkerd's second bucket ends at 200 ms.
    served("linkerd", 22.0, &[("response_time", 0.1 + 0.1 * 15.0 / 16.0)]),
    served("nginx-ingress", 22.0, &[("response_time", P95)]),
    served("grpc", 23.0, &[("response_time", P95)]),
    Expected {
        fires: &["tasks fail"],
        ..served("celery", 20.0, &[("response_time", P95), ("queue_length", 3.0)])
    },
    Expected {
        preset: "kubernetes",
        more: "",
        healthy: (0.0, 0.0),
        bad: (0.0, 0.0),
        numbers: &[
            ("restarts", 0.0),
            ("oom_kills", 0.0),
            ("ready", 1.0),
            ("cpu_throttled", 0.1),
            ("memory", 67_108_864.0),
        ],
        fires: &["containers restart", "out of memory"],
    },
    Expected {
        preset: "ci",
        more: ", match: {project: shop/orders, ref: main}",
        healthy: (0.0, 0.0),
        bad: (0.0, 0.0),
        numbers: &[
            ("success_rate", 0.99),
            ("coverage", 0.756),
            ("failed_jobs", 0.0),
            ("duration", 494.0),
        ],
        fires: &["tests fail", "a job failed"],
    },
    Expected {
        more: ", match: {testid: orders}",
        fires: &["error rate rose"],
        ..served("benchmark", 20.0, &[("response_time", 0.182)])
    },
];

const FIXTURES: [&str; 12] = [
    "benchmark",
    "celery",
    "ci",
    "grpc",
    "http",
    "istio",
    "kubernetes",
    "kubernetes-state",
    "linkerd",
    "nginx-ingress",
    "prometheus-http",
    "prometheus-http-status",
];

fn all() -> impl Iterator<Item = (String, modosu::judge::policy::Policy)> {
    EXPECTED.iter().map(|expected| {
        let metrics = format!("{{preset: {}{}}}", expected.preset, expected.more);
        (expected.preset.to_owned(), guard(&metrics))
    })
}

/// Turns, and pushes, for that long.
async fn turns(real: &Real, watch: &mut Watch, length: Duration) {
    let end = Instant::now() + length;
    while Instant::now() < end {
        real.push().await;
        watch.turn(Timestamp::now()).await;
        sleep(Duration::from_millis(500)).await;
    }
}

/// What was counted, after so many rounds of each kind, must be exactly what happened.
fn check_counts(watch: &Watch, healthy: f64, bad: f64, which: impl Fn(&str) -> bool) {
    for expected in EXPECTED.iter().filter(|expected| which(expected.preset)) {
        let guard = &watch.guards[expected.preset];
        let of = |pick: fn(&(f64, f64)) -> f64| pick(&expected.healthy) * healthy + pick(&expected.bad) * bad;
        let happened = (of(|n| n.0), of(|n| n.1));
        if happened.1 > 0.0 {
            assert_eq!(
                guard.sums.get("error_rate"),
                Some(&happened),
                "{}: {guard:?}",
                expected.preset
            );
            let rate = if expected.preset == "benchmark" {
                "throughput"
            } else {
                "request_rate"
            };
            assert_eq!(guard.sums.get(rate), Some(&(0.0, happened.1)), "{}", expected.preset);
        }
    }
}

fn check_numbers(watch: &Watch, which: impl Fn(&str) -> bool) {
    for expected in EXPECTED.iter().filter(|expected| which(expected.preset)) {
        let guard = &watch.guards[expected.preset];
        for (signal, number) in expected.numbers {
            let Measured::Value { value, .. } = guard.read(signal) else {
                panic!("{}: {signal} is {:?}", expected.preset, guard.read(signal))
            };
            let off = (value - number).abs();
            assert!(
                off <= 1e-9 * number.abs(),
                "{}: {signal} is {value}, not {number}",
                expected.preset
            );
        }
        assert!(guard.fired.is_empty(), "{} fires: {:?}", expected.preset, guard.said);
    }
}

fn missing(watch: &Watch, which: impl Fn(&str) -> bool) -> Vec<String> {
    let unfired = |expected: &Expected| {
        let guard = &watch.guards[expected.preset];
        let missing: Vec<_> = expected
            .fires
            .iter()
            .filter(|name| !guard.fired.contains(**name))
            .collect();
        (!missing.is_empty()).then(|| format!("{}: {missing:?} of {:?}", expected.preset, guard.said))
    };
    EXPECTED
        .iter()
        .filter(|expected| which(expected.preset))
        .filter_map(unfired)
        .collect()
}

modosu_cluster::on_both!(every_preset_reads_exactly_what_its_exporter_counts);

async fn every_preset_reads_exactly_what_its_exporter_counts(version: Version) {
    let real = Real::start(version, &FIXTURES, json!([])).await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(12) {
        real.push().await;
        sleep(Duration::from_secs(1)).await;
    }
    let mut watch = Watch::new(real.prometheus(), Timestamp::now(), all());
    turns(&real, &mut watch, Duration::from_secs(4)).await;
    for _ in 0..6 {
        real.round(Traffic::Healthy);
        turns(&real, &mut watch, Duration::from_millis(1300)).await;
    }
    turns(&real, &mut watch, Duration::from_secs(5)).await;
    check_counts(&watch, 6.0, 0.0, |_| true);
    check_numbers(&watch, |_| true);
    let mut rounds = 0.0;
    while !missing(&watch, |_| true).is_empty() {
        assert!(rounds < 30.0, "{:#?}", missing(&watch, |_| true));
        real.round(Traffic::Bad);
        rounds += 1.0;
        turns(&real, &mut watch, Duration::from_millis(1300)).await;
    }
    turns(&real, &mut watch, Duration::from_secs(5)).await;
    check_counts(&watch, 6.0, rounds, |_| true);
}

/// k6 pushes, and the embedded Prometheus takes nothing that is pushed.
fn is_scraped(preset: &str) -> bool {
    preset != "benchmark"
}

#[tokio::test(start_paused = true)]
async fn the_embedded_prometheus_reads_every_scraped_preset_alike() {
    let world = World::start(WorldOptions {
        scrape_interval: Duration::from_secs(5),
        ..WorldOptions::default()
    });
    let exporters: Vec<_> = FIXTURES
        .iter()
        .map(|name| Arc::new(Mutex::new(Fixture::read(name))))
        .collect();
    for exporter in &exporters {
        let Some(target) = exporter.lock().unwrap().target.clone() else {
            continue;
        };
        let labels: Vec<_> = target.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let page = exporter.clone();
        world.add_target(&labels, move |_| Some(page.lock().unwrap().page()));
    }
    let round = |traffic| {
        exporters
            .iter()
            .for_each(|exporter| exporter.lock().unwrap().rounds(traffic, 1.0));
    };
    sleep(Duration::from_secs(60)).await;
    let prometheus = Prometheus::from_service(world.prometheus(), Duration::from_secs(5));
    let guards = all().filter(|(preset, _)| is_scraped(preset));
    let mut watch = Watch::new(prometheus, world.now(), guards);
    let turns = async |watch: &mut Watch, n: u32| {
        for _ in 0..n {
            watch.turn(world.now()).await;
            sleep(Duration::from_millis(4700)).await;
        }
    };
    turns(&mut watch, 3).await;
    for _ in 0..6 {
        round(Traffic::Healthy);
        turns(&mut watch, 1).await;
    }
    turns(&mut watch, 3).await;
    check_counts(&watch, 6.0, 0.0, is_scraped);
    check_numbers(&watch, is_scraped);
    for _ in 0..8 {
        round(Traffic::Bad);
        turns(&mut watch, 1).await;
    }
    turns(&mut watch, 3).await;
    check_counts(&watch, 6.0, 8.0, is_scraped);
    let missing = missing(&watch, is_scraped);
    assert!(missing.is_empty(), "{missing:#?}");
}

#[tokio::test]
async fn ten_thousand_guards_of_any_preset_cost_at_most_ten_queries_a_turn() {
    for expected in &EXPECTED {
        let on_targets =
            ["http", "prometheus-http", "prometheus-http-status", "grpc", "linkerd"].contains(&expected.preset);
        let (most, asked) = cost::most_queries(expected.preset, on_targets).await;
        assert!(most <= 10, "{}: {most} queries: {asked:#?}", expected.preset);
    }
}
