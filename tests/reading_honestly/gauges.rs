//! A guard of gauges alone: it has no counter, and what its gauges said long ago is not what they say.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use modosu::{
    judge::policy::{Policy, Signal, Source},
    model::{
        guard::{Unit, Worse},
        reading::{Because, Measured, Reading},
    },
    observe::{poll::Poller, prometheus::Prometheus},
};
use modosu_cluster::{Version, on_both};
use modosu_world::{World, WorldOptions};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    counted::policy,
    real::{Exporter, Real},
};

struct Gauges {
    poller: Poller<String>,
    guards: BTreeMap<String, Arc<Policy>>,
    queries: u32,
}

impl Gauges {
    fn new(prometheus: Prometheus, query: &str) -> Self {
        let signal = Signal {
            name: "queue".into(),
            unit: Unit::Count,
            worse: Worse::Up,
            source: Source::Gauge { query: query.into() },
        };
        let policy = Policy {
            signals: vec![signal],
            ..policy("orders", "")
        };
        Self {
            poller: Poller::new(prometheus),
            guards: [("orders".to_owned(), Arc::new(policy))].into(),
            queries: 0,
        }
    }

    async fn turn(&mut self, now: Timestamp) -> Reading {
        let polled = self.poller.turn(&self.guards, now).await;
        self.queries = self.queries.max(polled.queries);
        polled.readings["orders"].clone()
    }
}

fn is_known(reading: &Reading) -> bool {
    matches!(reading.signals[..], [Measured::Value { .. }])
}

fn is_stale(reading: &Reading) -> bool {
    let [Measured::Unknown(Because::Stale { age, interval })] = reading.signals[..] else {
        return false;
    };
    // Learned from a time in which scrapes are missing, the interval is longer than it is.
    age > interval * 2 && interval <= Duration::from_secs(20)
}

const QUEUE: &str = "max by ($by) (queue_length{$match})";
/// What is pushed, as long as it is pushed: a Pushgateway repeats it for ever, and says when it came.
const PUSHED: &str =
    "max by ($by) (queue_length{$match} and on (job, instance) (time() - push_time_seconds{$match} <= 6))";

fn is_absent(reading: &Reading) -> bool {
    matches!(
        reading.signals[..],
        [Measured::Unknown(Because::NoData | Because::NoRows(_))]
    )
}

on_both!(
    gauges_of_a_prometheus_that_stopped_scraping_get_stale,
    a_gauge_whose_exporter_died_is_unknown,
    a_gauge_that_brings_its_own_time_gets_stale,
    what_a_pushgateway_repeats_is_known_as_long_as_its_query_says
);

/// A page of gauges, by the second since 1970.
async fn exporter(version: Version, page: impl Fn(i64) -> String) -> Real {
    let real = Real::start(version).await;
    let orders = Exporter {
        job: "orders",
        ..Exporter::default()
    };
    real.set("orders", |e| *e = orders);
    says(&real, &page);
    real.targets();
    for _ in 0..12 {
        sleep(Duration::from_secs(1)).await;
        says(&real, &page);
    }
    real
}

fn says(real: &Real, page: &impl Fn(i64) -> String) {
    let page = page(Timestamp::now().as_second());
    real.set("orders", |e| e.extra = page.leak());
}

async fn until(gauges: &mut Gauges, seconds: u32, is_so: fn(&Reading) -> bool) {
    let mut last = None;
    for _ in 0..seconds {
        sleep(Duration::from_secs(1)).await;
        let reading = gauges.turn(Timestamp::now()).await;
        if is_so(&reading) {
            return;
        }
        last = Some(reading);
    }
    panic!("{last:?}");
}

async fn a_gauge_whose_exporter_died_is_unknown(version: Version) {
    let real = exporter(version, |_| "queue_length 4\n".to_owned()).await;
    let mut gauges = Gauges::new(real.prometheus(), QUEUE);
    assert!(is_known(&gauges.turn(Timestamp::now()).await));
    real.set("orders", |e| e.broken = true);
    until(&mut gauges, 10, is_absent).await;
    real.set("orders", |e| e.broken = false);
    until(&mut gauges, 10, is_known).await;
}

/// Such samples have no stale markers where their exporter goes on repeating them.
async fn a_gauge_that_brings_its_own_time_gets_stale(version: Version) {
    let page = |now: i64| format!("queue_length 4 {now}000\n");
    let real = exporter(version, page).await;
    let mut gauges = Gauges::new(real.prometheus(), QUEUE);
    for _ in 0..12 {
        says(&real, &page);
        let reading = gauges.turn(Timestamp::now()).await;
        assert!(is_known(&reading), "{reading:?}");
        sleep(Duration::from_secs(1)).await;
    }
    until(&mut gauges, 45, is_stale).await;
    says(&real, &page);
    until(&mut gauges, 6, is_known).await;
}

async fn what_a_pushgateway_repeats_is_known_as_long_as_its_query_says(version: Version) {
    let page = |now: i64| format!("queue_length 4\npush_time_seconds {now}\n");
    let real = exporter(version, page).await;
    let [mut pushed, mut repeated] = [PUSHED, QUEUE].map(|query| Gauges::new(real.prometheus(), query));
    assert!(is_known(&pushed.turn(Timestamp::now()).await));
    // Nobody pushes any more, and Prometheus scrapes the same again and again.
    until(&mut pushed, 15, is_absent).await;
    assert!(
        is_known(&repeated.turn(Timestamp::now()).await),
        "to Prometheus its samples are new"
    );
    says(&real, &page);
    until(&mut pushed, 6, is_known).await;
}

async fn gauges_of_a_prometheus_that_stopped_scraping_get_stale(version: Version) {
    let mut real = Real::start(version).await;
    real.set("orders", |e| {
        *e = Exporter {
            job: "orders",
            extra: "queue_length 4\n",
            ..Exporter::default()
        }
    });
    real.targets();
    sleep(Duration::from_secs(12)).await;
    let mut gauges = Gauges::new(real.prometheus(), QUEUE);
    for _ in 0..6 {
        let reading = gauges.turn(Timestamp::now()).await;
        assert!(is_known(&reading), "{reading:?}");
        sleep(Duration::from_secs(1)).await;
    }
    // It goes on without any target, and nothing says that the old ones are gone.
    real.cut().await;
    real.untargeted();
    real.launch().await;
    for _ in 0..45 {
        let reading = gauges.turn(Timestamp::now()).await;
        if is_stale(&reading) {
            assert!(gauges.queries <= 6, "{} queries", gauges.queries);
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
    panic!("{:?}", gauges.turn(Timestamp::now()).await);
}

#[tokio::test(start_paused = true)]
async fn gauges_of_the_embedded_prometheus_get_stale_alike() {
    let world = World::start(WorldOptions {
        scrape_interval: Duration::from_secs(5),
        ..WorldOptions::default()
    });
    world.create_deployment("shop", "orders", &[], &json!({})).unwrap();
    sleep(Duration::from_secs(60)).await;
    let prometheus = Prometheus::from_service(world.prometheus(), Duration::from_secs(5));
    let mut gauges = Gauges::new(prometheus, "max by ($by) (http_requests_total{$match})");
    for _ in 0..6 {
        let reading = gauges.turn(world.now()).await;
        assert!(is_known(&reading), "{reading:?}");
        sleep(Duration::from_secs(5)).await;
    }
    world.prometheus_stop();
    sleep(Duration::from_secs(30)).await;
    world.prometheus_start();
    let reading = gauges.turn(world.now()).await;
    assert!(is_stale(&reading), "{reading:?}");
    sleep(Duration::from_secs(30)).await;
    let reading = gauges.turn(world.now()).await;
    assert!(is_known(&reading), "{reading:?}");
}

/// An exporter of that page that can die; a world that scrapes it every five seconds.
fn embedded(page: impl Fn(Timestamp) -> String + Send + 'static) -> (World, Arc<AtomicBool>) {
    let world = World::start(WorldOptions {
        scrape_interval: Duration::from_secs(5),
        ..WorldOptions::default()
    });
    let alive = Arc::new(AtomicBool::new(true));
    let lives = alive.clone();
    let labels = [("instance", "queue"), ("job", "orders"), ("namespace", "shop")];
    world.add_target(&labels, move |now| lives.load(Ordering::SeqCst).then(|| page(now)));
    (world, alive)
}

#[tokio::test(start_paused = true)]
async fn a_gauge_of_the_embedded_prometheus_whose_exporter_died_is_unknown_alike() {
    let (world, alive) = embedded(|_| "queue_length 4\n".to_owned());
    let prometheus = Prometheus::from_service(world.prometheus(), Duration::from_secs(5));
    let mut gauges = Gauges::new(prometheus, QUEUE);
    for (lives, is_so) in [
        (true, is_known as fn(&Reading) -> bool),
        (false, is_absent),
        (true, is_known),
    ] {
        alive.store(lives, Ordering::SeqCst);
        sleep(Duration::from_secs(20)).await;
        let reading = gauges.turn(world.now()).await;
        assert!(is_so(&reading), "{lives}: {reading:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_repeated_to_the_embedded_prometheus_is_known_as_long_as_its_query_says_alike() {
    let pushed_at = Arc::new(AtomicI64::new(0));
    let told = pushed_at.clone();
    let (world, _) = embedded(move |_| {
        let at = told.load(Ordering::SeqCst);
        format!("queue_length 4\npush_time_seconds {at}\n")
    });
    let prometheus = Prometheus::from_service(world.prometheus(), Duration::from_secs(5));
    let query = PUSHED.replace("<= 6", "<= 15");
    let mut gauges = Gauges::new(prometheus, &query);
    let expected = [
        (true, is_known as fn(&Reading) -> bool),
        (false, is_absent),
        (true, is_known),
    ];
    for (pushes, is_so) in expected {
        if pushes {
            pushed_at.store(world.now().as_second(), Ordering::SeqCst);
        }
        sleep(Duration::from_secs(10)).await;
        let reading = gauges.turn(world.now()).await;
        assert!(is_so(&reading), "pushes {pushes}: {reading:?}");
    }
}
