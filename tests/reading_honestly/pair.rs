//! Two replicas of Prometheus behind one address that sends a query to either, as a Service without affinity does.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, Uri, header},
};
use jiff::Timestamp;
use modosu::model::reading::{Because, Measured};
use modosu_cluster::{Version, on_both};
use tokio::{net::TcpListener, time::sleep};

use crate::{
    counted::Counted,
    real::{Exporter, Real, prometheus},
};

const HISTORY: u64 = 1_000_000;
const JOBS: [&str; 2] = ["orders", "stock"];

/// One address for both.
struct Either {
    url: String,
    turn: Arc<AtomicUsize>,
}

/// Adding this to the turn makes every query go to the other one.
const ALTERNATE: usize = 1 << 32;

impl Either {
    async fn start(upstreams: [String; 2]) -> Self {
        let turn = Arc::new(AtomicUsize::new(0));
        let known = turn.clone();
        let http = reqwest::Client::new();
        let forward = move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let alternate = known.load(Ordering::SeqCst) >= ALTERNATE;
            let turn = known.fetch_add(usize::from(alternate), Ordering::SeqCst);
            let request = http.post(format!("{}{uri}", upstreams[turn % 2])).body(body);
            let request = request.header(header::CONTENT_TYPE, &headers[header::CONTENT_TYPE]);
            async move {
                let answer = request.send().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
                let status = answer.status();
                Ok::<_, StatusCode>((status, answer.bytes().await.map_err(|_| StatusCode::BAD_GATEWAY)?))
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(forward)).await });
        Self { url, turn }
    }

    /// From now on the other one answers.
    fn switch(&self) {
        self.turn.fetch_add(1, Ordering::SeqCst);
    }

    /// From now on each query is answered by the one that did not answer the last.
    fn alternate(&self) {
        self.turn.fetch_add(ALTERNATE, Ordering::SeqCst);
    }
}

/// A pair that has known both services, which have so many pods each and a long history, for a while.
async fn pair(version: Version, pods: u32) -> (Real, Real, Either, Counted) {
    let one = Real::start(version).await;
    for job in JOBS {
        for place in 0..pods {
            let counters = [("200", HISTORY), ("500", HISTORY / 10)].into();
            one.set(&format!("{job}-{place}"), |e| {
                *e = Exporter {
                    job,
                    counters,
                    delay_ms: 20,
                    ..Exporter::default()
                }
            });
        }
    }
    one.targets();
    let other = one.replica().await;
    sleep(Duration::from_secs(10)).await;
    let either = Either::start([one.url(), other.url()]).await;
    let mut counted = Counted::new(prometheus(either.url.clone()), &JOBS, "requests_total");
    counted.turns_for(3).await;
    (one, other, either, counted)
}

/// What comes at each of the exporters, and what that is for each service.
fn requests(real: &Real, pods: u32, truth: &mut (f64, f64)) {
    for job in JOBS {
        for place in 0..pods {
            real.set(&format!("{job}-{place}"), |e| {
                *e.counters.entry("200").or_default() += 9;
                *e.counters.entry("500").or_default() += 1;
            });
        }
    }
    *truth = (truth.0 + f64::from(pods), truth.1 + 10.0 * f64::from(pods));
}

on_both!(
    a_switch_between_replicas_while_traffic_rests_counts_nothing_twice,
    a_replica_that_was_down_counts_nothing_twice_while_it_meets_its_targets,
    replicas_that_take_turns_never_count_history
);

async fn a_switch_between_replicas_while_traffic_rests_counts_nothing_twice(version: Version) {
    let (one, _other, either, mut counted) = pair(version, 3).await;
    let mut truth = (0.0, 0.0);
    for _ in 0..4 {
        for _ in 0..3 {
            requests(&one, 3, &mut truth);
            counted.turns_for(1).await;
        }
        counted.turns_for(4).await;
        either.switch();
        counted.turns_for(2).await;
        for job in JOBS {
            assert_eq!(counted.sums[job], truth, "{job}");
        }
    }
}

/// Its targets are scraped again one after the other, each with all that it missed.
async fn a_replica_that_was_down_counts_nothing_twice_while_it_meets_its_targets(version: Version) {
    const PODS: u32 = 8;
    let (one, mut other, either, mut counted) = pair(version, PODS).await;
    counted.turns_for(12).await;
    let mut truth = (0.0, 0.0);
    for _ in 0..2 {
        other.cut().await;
        for _ in 0..10 {
            requests(&one, PODS, &mut truth);
            counted.turns_for(1).await;
        }
        counted.turns_for(4).await;
        assert_eq!(counted.sums[JOBS[0]], truth, "the other one told it all");
        other.launch().await;
        either.switch();
        let mut said = BTreeSet::new();
        // Prometheus takes up to five seconds to read which targets there are.
        for _ in 0..70 {
            counted.turn(Timestamp::now()).await;
            said.insert(format!("{:?}", counted.last[JOBS[0]].signals[0]));
            sleep(Duration::from_millis(150)).await;
        }
        assert_eq!(counted.sums[JOBS[0]], truth, "{said:?}");
        let abstained = Measured::Unknown(Because::CountedBefore);
        assert!(said.contains(&format!("{abstained:?}")), "{said:?}");
        for _ in 0..3 {
            requests(&one, PODS, &mut truth);
            counted.turns_for(1).await;
        }
        counted.turns_for(4).await;
        assert_eq!(counted.sums[JOBS[1]], truth, "and it goes on counting");
        either.switch();
        counted.turns_for(2).await;
        assert_eq!(counted.sums[JOBS[1]], truth, "back at the first one");
    }
}

async fn replicas_that_take_turns_never_count_history(version: Version) {
    let (one, _other, either, mut counted) = pair(version, 3).await;
    either.alternate();
    let mut truth = (0.0, 0.0);
    for _ in 0..12 {
        requests(&one, 3, &mut truth);
        counted.turns_for(1).await;
    }
    counted.turns_for(4).await;
    // What one replica has seen before the other may count for both; what was there before counts for neither.
    for job in JOBS {
        let (bad, total) = counted.sums[job];
        assert!(
            bad <= 2.0 * truth.0 && total <= 2.0 * truth.1 && total > 0.0,
            "{job}: {bad} of {total}, {truth:?} happened"
        );
    }
}
