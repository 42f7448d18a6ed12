//! What a real Prometheus does not know, or knows only of long ago, is Unknown in its own words; and whose clock is wrong
//! changes no number.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use modosu::model::reading::{Because, Measured};
use modosu_cluster::{Version, on_both};
use tokio::time::sleep;

use crate::{
    counted::Counted,
    real::{Exporter, Real},
};

const JOBS: [&str; 4] = ["serves", "idles", "uncounted", "dies"];

on_both!(
    what_is_not_there_is_unknown_and_what_rests_is_not,
    samples_that_get_old_are_stale,
    a_daemon_whose_clock_is_wrong_counts_the_same
);

fn exporter(job: &'static str, counters: &[(&'static str, u64)]) -> Exporter {
    Exporter {
        job,
        counters: counters.iter().copied().collect(),
        delay_ms: 20,
        ..Exporter::default()
    }
}

async fn what_is_not_there_is_unknown_and_what_rests_is_not(version: Version) {
    let real = Real::start(version).await;
    for job in JOBS {
        let counters: &[_] = if job == "uncounted" {
            &[]
        } else {
            &[("200", 1000), ("500", 10)]
        };
        real.set(job, |e| *e = exporter(job, counters));
    }
    real.targets();
    sleep(Duration::from_secs(10)).await;
    let mut counted = Counted::new(real.prometheus(), &JOBS, "requests_total");
    counted.turns_for(3).await;
    for _ in 0..6 {
        real.set("serves", |e| *e.counters.entry("200").or_default() += 5);
        counted.turns_for(1).await;
    }
    real.set("dies", |e| e.broken = true);
    counted.turns_for(8).await;
    let ratio = |job: &str| counted.last[job].signals[0].clone();
    assert!(
        matches!(ratio("serves"), Measured::Counts { .. }),
        "{:?}",
        ratio("serves")
    );
    assert_eq!(counted.sums["serves"], (0.0, 30.0));
    let nothing = Measured::Counts { bad: 0.0, total: 0.0 };
    assert_eq!(
        ratio("idles"),
        nothing,
        "no requests are no share, neither good nor bad"
    );
    for job in ["uncounted", "dies"] {
        let unknown = ratio(job);
        assert!(
            matches!(unknown, Measured::Unknown(Because::NoData | Because::NoRows(_))),
            "{job}: {unknown:?}"
        );
    }
}

/// An exporter that gives its own times has no stale markers: its last sample is there for five minutes.
async fn samples_that_get_old_are_stale(version: Version) {
    let real = Real::start(version).await;
    let sample = |at: Timestamp, n: u64| -> &'static str {
        format!("requests_total{{code=\"200\"}} {n} {}\n", at.as_millisecond()).leak()
    };
    real.set("late", |e| {
        *e = Exporter {
            extra: sample(Timestamp::now(), 1),
            ..exporter("late", &[])
        }
    });
    real.targets();
    let mut counted = Counted::new(real.prometheus(), &["late"], "requests_total");
    for n in 2..22 {
        real.set("late", |e| e.extra = sample(Timestamp::now(), n));
        counted.turns_for(1).await;
    }
    let known = counted.last["late"].signals[0].clone();
    assert!(matches!(known, Measured::Counts { .. }), "{known:?}");
    let mut said = Vec::new();
    for _ in 0..20 {
        counted.turns_for(1).await;
        said.push(counted.last["late"].signals[0].clone());
    }
    let stale = |one: &Measured| matches!(one, Measured::Unknown(Because::Stale { .. }));
    assert!(said.iter().any(stale), "{said:?}");
}

async fn a_daemon_whose_clock_is_wrong_counts_the_same(version: Version) {
    let real = Real::start(version).await;
    real.set("serves", |e| *e = exporter("serves", &[("200", 1000), ("500", 10)]));
    real.targets();
    sleep(Duration::from_secs(10)).await;
    let off = SignedDuration::from_mins(10);
    let all = [-off, SignedDuration::ZERO, off];
    let mut daemons = all.map(|_| Counted::new(real.prometheus(), &["serves"], "requests_total"));
    for round in 0..24 {
        if (6..16).contains(&round) {
            real.set("serves", |e| *e.counters.entry("500").or_default() += 3);
        }
        for (counted, off) in daemons.iter_mut().zip(all) {
            counted.turn(Timestamp::now() + off).await;
        }
        sleep(Duration::from_millis(700)).await;
    }
    for (counted, off) in daemons.iter().zip(all) {
        assert_eq!(counted.sums["serves"], (30.0, 30.0), "{off:#}");
        let behind = (Timestamp::now() + off).duration_since(counted.last["serves"].at);
        assert!(
            behind.abs() < SignedDuration::from_mins(1),
            "its times are on its own clock: {behind:#}"
        );
    }
}
