//! The past, read by range queries: as exact as having been there.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use modosu::{
    model::reading::{Because, Measured, Reading},
    observe::prometheus::Prometheus,
};
use modosu_world::{Reply, World, WorldOptions};
use serde_json::json;
use tokio::time::sleep;

use crate::counted::Counted;

/// A service that is scraped every four seconds, thirty seconds old.
async fn world(delay: u64, rps: &str) -> World {
    let world = World::start(WorldOptions {
        scrape_interval: Duration::from_secs(4),
        ..WorldOptions::default()
    });
    let delay = delay.to_string();
    let env = [("METRICS_DELAY_MS", &*delay), ("ERROR_SHARE", "0.1"), ("RPS", rps)];
    let spec = json!({"spec": {"replicas": 3}});
    world.create_deployment("shop", "orders", &env, &spec).unwrap();
    sleep(Duration::from_secs(30)).await;
    world
}

fn counted(world: &World) -> Counted {
    let prometheus = Prometheus::from_service(world.prometheus(), Duration::from_secs(5));
    Counted::new(prometheus, &["orders"], "http_requests_total")
}

/// What the counters say at that time: bad, and all.
async fn counters(world: &World, at: Timestamp) -> [f64; 2] {
    let mut values = [0.0; 2];
    for (value, code) in values.iter_mut().zip(["code=\"500\",", ""]) {
        let query = format!("sum(http_requests_total{{{code}job=\"orders\"}})");
        let answer = world.prometheus().query(&query, Some(at)).await.unwrap();
        *value = answer["data"]["result"][0]["value"][1]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
    }
    values
}

fn sum(readings: &[Reading]) -> [f64; 2] {
    let counts = readings.iter().filter_map(|reading| match reading.signals[0] {
        Measured::Counts { bad, total } => Some([bad, total]),
        Measured::Value { .. } | Measured::Timed { .. } | Measured::Events(_) | Measured::Unknown(_) => None,
    });
    counts.fold([0.0; 2], |sum, more| [sum[0] + more[0], sum[1] + more[1]])
}

#[tokio::test(start_paused = true)]
async fn past_and_live_readings_of_a_new_daemon_come_to_what_the_counters_grew() {
    for delay in [50, 400, 1500] {
        let world = world(delay, "37").await;
        let mut first = counted(&world);
        for turn in 0..40_u64 {
            first.turn(world.now()).await;
            sleep(Duration::from_millis(1700 + turn * 13)).await;
        }
        // A new daemon, after ten minutes of which nobody read anything.
        sleep(Duration::from_secs(600)).await;
        let mut second = counted(&world);
        let from = world.now() - SignedDuration::from_mins(10);
        let past = past(&mut second, from, world.now()).await.unwrap();
        for turn in 0..10_u64 {
            second.turn(world.now()).await;
            sleep(Duration::from_millis(900 + turn * 217)).await;
        }
        let begin = past[0].at - past[0].span;
        let contiguous = past.windows(2).all(|pair| pair[1].at - pair[1].span == pair[0].at);
        assert!(contiguous && past.iter().all(|reading| reading.span == Duration::from_secs(2)));
        let (before, after) = (
            counters(&world, begin).await,
            counters(&world, second.last["orders"].at).await,
        );
        let live = second.sums["orders"];
        let read = [sum(&past)[0] + live.0, sum(&past)[1] + live.1];
        for (read, grown) in read.iter().zip([after[0] - before[0], after[1] - before[1]]) {
            assert!(
                (read - grown).abs() < 1e-6 && grown > 100.0,
                "{delay}: {read} read, {grown} happened"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_live_is_read_again_from_the_past() {
    let world = world(50, "20").await;
    let mut live = counted(&world);
    let mut readings = Vec::new();
    // Turns on whole seconds, as past ones are.
    let odd = world.now().subsec_millisecond();
    sleep(Duration::from_millis(u64::try_from(1000 - odd).unwrap())).await;
    for _ in 0..30 {
        live.turn(world.now()).await;
        readings.push(live.last["orders"].clone());
        sleep(Duration::from_secs(2)).await;
    }
    let begin = readings[0].at;
    let past = past(&mut counted(&world), begin, world.now()).await.unwrap();
    let lived = &readings[1..];
    // Both saw the same samples, at most one scrape apart.
    let (live, past) = (sum(lived), sum(&past));
    for (live, past) in live.iter().zip(past) {
        assert!(
            (live - past).abs() <= 20.0 * 4.0 && *live > 50.0,
            "{live} live, {past} from the past"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_piece_of_the_past_without_a_whole_answer_is_unknown_and_nothing_of_it_counts() {
    let world = world(50, "20").await;
    sleep(Duration::from_secs(120)).await;
    let from = world.now() - SignedDuration::from_secs(60);
    let whole = past(&mut counted(&world), from, world.now()).await.unwrap();
    assert!(
        whole
            .iter()
            .all(|reading| matches!(reading.signals[0], Measured::Counts { .. }))
    );

    world.on_query(|query| {
        if query.contains("5..") {
            Reply::Warn("a store is missing".into())
        } else {
            Reply::GoOn
        }
    });
    let partial = past(&mut counted(&world), from, world.now()).await.unwrap();
    assert_eq!(partial.len(), whole.len());
    for (reading, before) in partial.iter().zip(&whole) {
        let because = Because::Partial("a store is missing".into());
        assert_eq!(reading.signals[0], Measured::Unknown(because));
        assert_eq!((reading.at, &reading.signals[1]), (before.at, &before.signals[1]));
    }

    world.on_query(|_| Reply::Fail(503, "unavailable".into(), "starting up".into()));
    assert_eq!(
        past(&mut counted(&world), from, world.now()).await,
        None,
        "it can be asked again"
    );
}

/// The readings of the one job.
async fn past(counted: &mut Counted, from: Timestamp, now: Timestamp) -> Option<Vec<Reading>> {
    counted.past(from, now).await?.into_values().next()
}
