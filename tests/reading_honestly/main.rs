//! Every request is counted exactly once: on a real Prometheus that scrapes slow, young, restarting and failing
//! targets, and on the embedded one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test may stop at the first surprise"
)]

mod counted;
mod gauges;
mod pair;
mod past;
mod real;
mod unknowns;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use modosu::{
    model::reading::{Because, Measured},
    observe::prometheus::Prometheus,
};
use modosu_cluster::{Version, on_both};
use modosu_world::{World, WorldOptions};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    counted::Counted,
    real::{Exporter, Real},
};

const JOBS: [(&str, u64); 3] = [("quick", 50), ("usual", 400), ("slow", 1500)];
const TARGETS: u64 = 6;

/// What happened in truth, by job: bad and all requests.
type Truth = BTreeMap<String, (u64, u64)>;

fn happened(truth: &mut Truth, job: &str, bad: u64, total: u64) {
    let known = truth.entry(job.to_owned()).or_default();
    *known = (known.0 + bad, known.1 + total);
}

/// Requests come in while Prometheus scrapes and modosu reads, each at its own time.
async fn busy(real: &Real, counted: &mut Counted, truth: &mut Truth) {
    for round in 0..20 {
        for (job, _) in JOBS {
            for place in 0..TARGETS {
                let more = 3 + (round + place) % 5;
                real.set(&format!("{job}-{place}"), |e| {
                    *e.counters.entry("200").or_default() += more
                });
                happened(truth, job, 0, more);
            }
        }
        counted.turns_for(1).await;
    }
    counted.turns_for(6).await;
}

/// The first errors ever; a new pod with its first requests; a restart that keeps nothing.
async fn births(real: &Real, counted: &mut Counted, truth: &mut Truth) {
    for (job, delay_ms) in JOBS {
        real.set(&format!("{job}-0"), |e| *e.counters.entry("500").or_default() += 30);
        happened(truth, job, 30, 30);
        let counters = [("200", 7), ("500", 2)].into();
        let new = Exporter {
            job,
            counters,
            delay_ms,
            ..Exporter::default()
        };
        real.set(&format!("{job}-new"), |e| *e = new);
        happened(truth, job, 2, 9);
        real.set(&format!("{job}-1"), |e| e.counters = [("200", 5)].into());
        happened(truth, job, 0, 5);
    }
    real.targets();
    counted.turns_for(14).await;
}

/// Scrapes that fail for a while: what happened meanwhile counts when they succeed again.
async fn failures(real: &Real, counted: &mut Counted, truth: &mut Truth) {
    for (job, _) in JOBS {
        real.set(&format!("{job}-2"), |e| {
            e.broken = true;
            *e.counters.entry("200").or_default() += 900;
        });
        happened(truth, job, 0, 900);
    }
    counted.turns_for(5).await;
    for (job, _) in JOBS {
        real.set(&format!("{job}-2"), |e| e.broken = false);
    }
    counted.turns_for(7).await;
}

/// Prometheus itself dies and comes back with its data.
async fn power_cut(real: &mut Real, counted: &mut Counted, truth: &mut Truth) {
    real.cut().await;
    // Longer than what one server may be behind another.
    counted.turns_for(12).await;
    for (job, _) in JOBS {
        real.set(&format!("{job}-3"), |e| *e.counters.entry("200").or_default() += 11);
        happened(truth, job, 0, 11);
    }
    real.launch().await;
    counted.turns_for(16).await;
}

on_both!(
    every_request_is_counted_exactly_once,
    a_prometheus_that_lost_its_data_counts_nobodys_history
);

/// The daemon is killed, requests go on, and a new one reads what happened since then.
async fn another_daemon(real: &Real, counted: &mut Counted, truth: &mut Truth, since: Timestamp) {
    for (job, _) in JOBS {
        real.set(&format!("{job}-4"), |e| *e.counters.entry("500").or_default() += 13);
        happened(truth, job, 13, 13);
    }
    sleep(Duration::from_secs(5)).await;
    counted.restart(real.prometheus(), since).await;
    for (job, _) in JOBS {
        real.set(&format!("{job}-5"), |e| *e.counters.entry("200").or_default() += 17);
        happened(truth, job, 0, 17);
    }
    counted.turns_for(6).await;
}

async fn every_request_is_counted_exactly_once(version: Version) {
    let mut real = Real::start(version).await;
    for (job, delay_ms) in JOBS {
        for place in 0..TARGETS {
            let counters = [("200", 1000)].into();
            let exporter = Exporter {
                job,
                counters,
                delay_ms,
                ..Exporter::default()
            };
            real.set(&format!("{job}-{place}"), |e| *e = exporter);
        }
    }
    real.targets();
    // Prometheus takes up to five seconds to read the file.
    sleep(Duration::from_secs(12)).await;
    let mut counted = Counted::new(real.prometheus(), &JOBS.map(|(job, _)| job), "requests_total");
    counted.turns_for(5).await;
    let since = Timestamp::now();
    counted.turns_for(3).await;
    let mut truth = Truth::new();
    busy(&real, &mut counted, &mut truth).await;
    assert_eq!(counted.whole(), truth, "requests, in {} turns", counted.turns);
    births(&real, &mut counted, &mut truth).await;
    assert_eq!(counted.whole(), truth, "births and a restart");
    another_daemon(&real, &mut counted, &mut truth, since).await;
    assert_eq!(counted.whole(), truth, "another daemon");
    failures(&real, &mut counted, &mut truth).await;
    assert_eq!(counted.whole(), truth, "failed scrapes");
    power_cut(&mut real, &mut counted, &mut truth).await;
    assert_eq!(counted.whole(), truth, "a power cut");
    another_daemon(&real, &mut counted, &mut truth, since).await;
    assert_eq!(counted.whole(), truth, "another daemon, which reads of all of it");
}

async fn a_prometheus_that_lost_its_data_counts_nobodys_history(version: Version) {
    let mut real = Real::start(version).await;
    for n in 0..8 {
        let counters = [("200", 100_000), ("500", 9_000)].into();
        real.set(&format!("old-{n}"), |e| {
            *e = Exporter {
                job: "old",
                counters,
                delay_ms: 20,
                ..Exporter::default()
            }
        });
    }
    real.targets();
    sleep(Duration::from_secs(5)).await;
    let mut counted = Counted::new(real.prometheus(), &["old"], "requests_total");
    counted.turns_for(3).await;
    real.cut().await;
    real.forget();
    real.launch().await;
    counted.turns_for(10).await;
    for _ in 0..20 {
        if !matches!(counted.last["old"].signals[0], Measured::Counts { .. }) {
            counted.turns_for(1).await;
        }
    }
    assert_eq!(counted.sums["old"], (0.0, 0.0));
    let known = &counted.last["old"].signals[0];
    assert!(matches!(known, Measured::Counts { .. }), "{known:?}");
}

/// Older versions pass over such buckets without a warning.
#[tokio::test]
async fn one_services_malformed_buckets_blind_that_service_alone() {
    let real = Real::start(Version::Newest).await;
    let sound = "# TYPE duration_seconds histogram\nduration_seconds_bucket{le=\"0.1\"} 5\nduration_seconds_bucket{le=\"+Inf\"} 5\nduration_seconds_sum 0.2\nduration_seconds_count 5\n";
    let malformed = "duration_seconds_bucket{le=\"fast\"} 5\nduration_seconds_bucket{le=\"+Inf\"} 5\n";
    for (job, extra) in [("a", sound), ("b", sound), ("c", malformed), ("d", sound), ("e", sound)] {
        let counters = [("200", 10)].into();
        real.set(job, |e| {
            *e = Exporter {
                job,
                counters,
                extra,
                ..Exporter::default()
            }
        });
    }
    real.targets();
    sleep(Duration::from_secs(10)).await;
    let mut counted = Counted::new(real.prometheus(), &["a", "b", "c", "d", "e"], "requests_total");
    for _ in 0..2 {
        counted.turns_for(2).await;
        let time = |job: &str| counted.last[job].signals[1].clone();
        assert!(
            matches!(time("c"), Measured::Unknown(Because::Partial(why)) if why.contains("le")),
            "{:?}",
            time("c")
        );
        // Nothing happens between the scrapes, so the others have no quantile; but they have an answer.
        assert_eq!(
            [time("a"), time("e")],
            [
                Measured::Unknown(Because::NotANumber),
                Measured::Unknown(Because::NotANumber)
            ]
        );
        assert!(matches!(counted.last["c"].signals[0], Measured::Counts { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn the_embedded_prometheus_counts_alike() {
    for delay in [50, 400, 1500] {
        let world = World::start(WorldOptions {
            scrape_interval: Duration::from_secs(4),
            ..WorldOptions::default()
        });
        let env = [
            ("METRICS_DELAY_MS", &*delay.to_string()),
            ("ERROR_SHARE", "0.1"),
            ("RPS", "37"),
        ];
        world
            .create_deployment("shop", "orders", &env, &json!({"spec": {"replicas": 3}}))
            .unwrap();
        sleep(Duration::from_secs(30)).await;
        let prometheus = Prometheus::from_service(world.prometheus(), Duration::from_secs(5));
        let mut counted = Counted::new(prometheus, &["orders"], "http_requests_total");
        let mut ends = Vec::new();
        for turn in 0..60_u64 {
            counted.turn(world.now()).await;
            ends.push(counted.last["orders"].at);
            sleep(Duration::from_millis(1700 + turn * 13)).await;
        }
        let value = async |code: &str, at: Timestamp| {
            let query = format!("sum(http_requests_total{{{code}job=\"orders\"}})");
            let answer = world.prometheus().query(&query, Some(at)).await.unwrap();
            answer["data"]["result"][0]["value"][1]
                .as_str()
                .unwrap()
                .parse::<f64>()
                .unwrap()
        };
        let (bad, total) = counted.sums["orders"];
        for (code, sum) in [("", total), ("code=\"500\",", bad)] {
            let grown = value(code, ends[59]).await - value(code, ends[0]).await;
            assert!(
                (grown - sum).abs() < 1e-6 && sum > 100.0,
                "delay {delay}: {sum} counted, {grown} happened"
            );
        }
    }
}
