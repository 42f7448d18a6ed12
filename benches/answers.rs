//! What a turn reads: one query for 10,000 guards written, its answer decoded, and every row matched to its guard.
//!
//! `cargo bench --bench answers`. The figure is for all guards together, on one thread.
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a benchmark may stop at the first surprise"
)]

use std::{collections::BTreeSet, convert::Infallible, fmt::Write as _, hint::black_box, time::Duration};

use axum::body::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use modosu::observe::{
    prometheus::Prometheus,
    prometheus_batch::{Batch, Memory},
    query::{Form, Moment, Values},
};
use tokio::{runtime::Builder, time::Instant};

const GUARDS: usize = 10_000;

/// As Prometheus writes it, for services in a hundred namespaces.
fn body() -> String {
    let mut rows = String::new();
    for guard in 0..GUARDS {
        let comma = if guard == 0 { "" } else { "," };
        write!(
            rows,
            r#"{comma}{{"metric":{{"job":"service-{guard}-with-a-name","namespace":"team-{}"}},"value":[1700000000.123,"{}"]}}"#,
            guard % 100,
            guard % 977
        )
        .unwrap();
    }
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{rows}]}}}}"#)
}

/// A Prometheus that always answers the same, at once.
fn prometheus() -> Prometheus {
    let body = Bytes::from(body());
    let service = tower::service_fn(move |_: http::Request<Bytes>| {
        let response = http::Response::builder()
            .header("content-type", "application/json")
            .body(body.clone())
            .unwrap();
        async move { Ok::<_, Infallible>(response) }
    });
    Prometheus::from_service(service, Duration::from_secs(5))
}

fn answers(criterion: &mut Criterion) {
    let prometheus = prometheus();
    let rows: BTreeSet<Values> = (0..GUARDS)
        .map(|guard| vec![format!("service-{guard}-with-a-name"), format!("team-{}", guard % 100)])
        .collect();
    let batch = Batch {
        form: Form::Newest {
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

criterion_group!(benches, answers);
criterion_main!(benches);
