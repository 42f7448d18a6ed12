//! One turn of the judge over 10,000 guards of the smallest kind: the preset's signals, its triggers, readings every 15 s.
//!
//! `cargo bench --bench judge`. The figure is for all guards together: 10 ms is 1 µs per guard. Where Linux tells it, it is
//! the thread's own time on a processor, so that a busy machine changes little.
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a benchmark may stop at the first surprise"
)]

use std::{
    collections::BTreeMap,
    hint::black_box,
    sync::LazyLock,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use modosu::{
    judge::{
        Context, Facts, Memory, judge,
        policy::{Policy, Source},
    },
    model::{
        guard::{Baseline, GuardSpec},
        preset::Preset,
        reading::{Measured, Reading},
    },
};

const GUARDS: usize = 10_000;
const POLL: Duration = Duration::from_secs(15);

fn policy() -> Policy {
    let yaml = "targets: [{kind: Deployment, name: orders}]\nmetrics: {preset: prometheus-http}\n";
    let spec: GuardSpec = serde_saphyr::from_str(yaml).unwrap();
    Policy::compile("shop", &spec, &Preset::shipped()).unwrap()
}

fn reading(policy: &Policy, at: Timestamp, bad: f64) -> Reading {
    let signals = policy.signals.iter().map(|signal| match signal.source {
        Source::Bad { .. } | Source::Good { .. } => Measured::Counts { bad, total: 750.0 },
        Source::Rate { .. } => Measured::Events(750.0),
        Source::Quantile { .. } | Source::Gauge { .. } | Source::Alerts { .. } | Source::Complement { .. } => {
            Measured::Value {
                value: 0.2,
                over: Duration::from_secs(60),
            }
        }
    });
    Reading {
        at,
        span: POLL,
        newest: Some(at),
        signals: signals.collect(),
    }
}

/// The time that this thread has had; by the clock where the system does not tell.
fn spent() -> Duration {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let on_processor = told.split(' ').next().and_then(|nanos| nanos.parse().ok());
    on_processor.map_or_else(|| BEGUN.elapsed(), Duration::from_nanos)
}

fn turns(criterion: &mut Criterion) {
    let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let values: BTreeMap<_, _> = [
        ("error_rate", 0.002),
        ("request_rate", 50.0),
        ("response_time", 0.2),
        ("success_rate", 0.998),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let baseline = Baseline {
        taken_at: start,
        hash: "6f9c".into(),
        counts: BTreeMap::new(),
        values,
    };
    let facts = Facts::default();
    let mut group = criterion.benchmark_group("judge");
    group
        .throughput(Throughput::Elements(u64::try_from(GUARDS).unwrap()))
        .sample_size(20);
    for (name, bad) in [("healthy", 1.0), ("failing", 230.0)] {
        let guards: Vec<Policy> = (0..GUARDS).map(|_| policy()).collect();
        let mut memories: Vec<Memory> = guards.iter().map(Memory::new).collect();
        let mut at = start;
        group.bench_function(format!("{GUARDS} guards, {name}"), |bencher| {
            bencher.iter_custom(|turns| {
                let begun = spent();
                for _ in 0..turns {
                    at += POLL;
                    let context = Context {
                        now: at,
                        since: start,
                        baseline: Some(&baseline),
                        facts: &facts,
                        rolled_out: true,
                    };
                    let reading = reading(&guards[0], at, bad);
                    for (policy, memory) in guards.iter().zip(&mut memories) {
                        black_box(judge(policy, memory, Some(&reading), &context));
                    }
                }
                spent().saturating_sub(begun)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, turns);
criterion_main!(benches);
