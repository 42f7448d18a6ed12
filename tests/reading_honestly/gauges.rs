//! A guard of gauges alone: it has no counter, and what its gauges said long ago is not what they say.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

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

on_both!(gauges_of_a_prometheus_that_stopped_scraping_get_stale);

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
    let mut gauges = Gauges::new(real.prometheus(), "max by ($by) (queue_length{$match})");
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
