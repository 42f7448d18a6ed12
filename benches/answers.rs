//! What a turn reads: the queries for 10,000 guards written, every answer decoded, and every row matched to its guard.
//!
//! `cargo bench --bench answers`. The figures are for all guards together, on one thread.
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a benchmark may stop at the first surprise"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt::Write as _,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use modosu::{
    judge::policy::Policy,
    model::{guard::GuardSpec, preset::Preset},
    observe::{
        poll::Poller,
        prometheus::Prometheus,
        prometheus_batch::{Batch, Memory},
        query::{Form, Moment, Values},
    },
};
use tokio::{runtime::Builder, time::Instant};

const GUARDS: usize = 10_000;
const BEGIN: i64 = 1_700_000_000;
/// Every turn is so many seconds after the last one.
const POLL: i64 = 5;

/// As Prometheus writes it, for services in a hundred namespaces: numbers, or also when each server's newest sample was as
/// the counts begin, or the time `now` of every newest sample.
fn body(now: Option<i64>, marks: Option<i64>) -> String {
    let mut rows = String::new();
    for guard in 0..GUARDS {
        let number = now.unwrap_or_else(|| i64::try_from(guard % 977).unwrap());
        let mut row = |more: &str, number: i64| {
            let comma = if rows.is_empty() { "" } else { "," };
            write!(
                rows,
                r#"{comma}{{"metric":{{"job":"service-{guard}-with-a-name","namespace":"team-{}"{more}}},"value":[1700000000.123,"{number}"]}}"#,
                guard % 100,
            )
            .unwrap();
        };
        row("", number);
        if let Some(at) = marks {
            row(r#","newest":"mark""#, at);
        }
    }
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{rows}]}}}}"#)
}

fn response(body: Bytes) -> http::Response<Bytes> {
    http::Response::builder()
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

/// A Prometheus that always answers the same, at once.
fn prometheus() -> Prometheus {
    let body = Bytes::from(body(None, None));
    let service = tower::service_fn(move |_: http::Request<Bytes>| {
        let response = response(body.clone());
        async move { Ok::<_, Infallible>(response) }
    });
    Prometheus::from_service(service, Duration::from_secs(5))
}

/// A Prometheus that knows what the time is, and answers at once with a row for every guard.
fn living(clock: Arc<AtomicI64>) -> Prometheus {
    let far = BEGIN + 1_000_000_000;
    let [numbers, counts, newest] = [body(None, None), body(None, Some(far)), body(Some(far), None)].map(Bytes::from);
    let service = tower::service_fn(move |request: http::Request<Bytes>| {
        let query = String::from_utf8_lossy(&request.body()[..60.min(request.body().len())]).into_owned();
        let now = clock.load(Ordering::Relaxed);
        let body = if query.starts_with("query=time") {
            let answer = format!(r#"{{"status":"success","data":{{"resultType":"scalar","result":[{now},"{now}"]}}}}"#);
            Bytes::from(answer)
        } else if query.contains("timestamp") {
            newest.clone()
        } else if query.contains("clamp_min") {
            counts.clone()
        } else {
            numbers.clone()
        };
        let response = response(body);
        async move { Ok::<_, Infallible>(response) }
    });
    Prometheus::from_service(service, Duration::from_secs(60))
}

/// The smallest guard, for every service.
fn guards() -> BTreeMap<usize, Arc<Policy>> {
    let text = "{targets: [{kind: Deployment, name: orders}], metrics: {preset: prometheus-http}}";
    let spec: GuardSpec = serde_saphyr::from_str(text).unwrap();
    let policy = Policy::compile("shop", &spec, &Preset::shipped()).unwrap();
    let guard = |n: usize| {
        let own = [
            ("job", format!("service-{n}-with-a-name")),
            ("namespace", format!("team-{}", n % 100)),
        ];
        let matching = own.map(|(name, value)| (name.to_owned(), value)).into();
        (
            n,
            Arc::new(Policy {
                matching,
                ..policy.clone()
            }),
        )
    };
    (0..GUARDS).map(guard).collect()
}

/// A whole turn of reading.
fn turn(criterion: &mut Criterion) {
    let clock = Arc::new(AtomicI64::new(BEGIN));
    let (mut poller, guards) = (Poller::new(living(clock.clone())), guards());
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let mut once = || {
        let now = clock.fetch_add(POLL, Ordering::Relaxed) + POLL;
        runtime.block_on(poller.turn(&guards, Timestamp::from_second(now).unwrap()))
    };
    once();
    assert!(once().queries <= 10);
    let mut group = criterion.benchmark_group("answers");
    group
        .throughput(Throughput::Elements(u64::try_from(GUARDS).unwrap()))
        .sample_size(10);
    group.bench_function(format!("all of a turn's answers for {GUARDS} guards"), |bencher| {
        bencher.iter(|| assert_eq!(black_box(once().readings).len(), GUARDS));
    });
    group.finish();
}

fn answers(criterion: &mut Criterion) {
    let prometheus = prometheus();
    let rows: BTreeSet<Values> = (0..GUARDS)
        .map(|guard| vec![format!("service-{guard}-with-a-name"), format!("team-{}", guard % 100)])
        .collect();
    let batch = Batch {
        form: Form::Newest {
            least: false,
            selector: "http_requests_total".into(),
        },
        names: vec!["job".into(), "namespace".into()],
        rows,
    };
    let at = Moment::from_seconds(1_700_000_000.0).unwrap();
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let mut group = criterion.benchmark_group("answers");
    group
        .throughput(Throughput::Elements(u64::try_from(GUARDS).unwrap()))
        .sample_size(20);
    group.bench_function(format!("one query's answer for {GUARDS} guards"), |bencher| {
        bencher.iter(|| {
            let deadline = Instant::now() + Duration::from_secs(5);
            let asked = runtime.block_on(batch.ask(&prometheus, Memory::default(), at, deadline));
            assert_eq!(black_box(asked.numbers).len(), GUARDS);
        });
    });
    group.finish();
}

criterion_group!(benches, answers, turn);
criterion_main!(benches);
