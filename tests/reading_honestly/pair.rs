//! Two replicas of Prometheus behind one address that sends a query to either, as a Service without affinity does.

use std::{
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

/// A pair that has known both services, which have a long history, for a while.
async fn pair(version: Version) -> (Real, Real, Either, Counted) {
    let one = Real::start(version).await;
    for job in JOBS {
        for place in 0..3 {
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

/// What comes at each of the six exporters, and of how many services that is.
fn requests(real: &Real, truth: &mut (f64, f64)) {
    for job in JOBS {
        for place in 0..3 {
            real.set(&format!("{job}-{place}"), |e| {
                *e.counters.entry("200").or_default() += 9;
                *e.counters.entry("500").or_default() += 1;
            });
        }
    }
    *truth = (truth.0 + 3.0, truth.1 + 30.0);
}

on_both!(
    a_switch_between_replicas_while_traffic_rests_counts_nothing_twice,
    replicas_that_take_turns_never_count_history
);

async fn a_switch_between_replicas_while_traffic_rests_counts_nothing_twice(version: Version) {
    let (one, _other, either, mut counted) = pair(version).await;
    let mut truth = (0.0, 0.0);
    for _ in 0..4 {
        for _ in 0..3 {
            requests(&one, &mut truth);
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

async fn replicas_that_take_turns_never_count_history(version: Version) {
    let (one, _other, either, mut counted) = pair(version).await;
    either.alternate();
    let mut truth = (0.0, 0.0);
    for _ in 0..12 {
        requests(&one, &mut truth);
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
