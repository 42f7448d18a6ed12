//! What a turn computes: judge and decide for 10,000 guards of the smallest kind, each with a proven state behind it.
//!
//! `cargo bench --bench turn`. The figure is for all guards together: 10 ms is 1 µs per guard. Nothing fires, as in nearly
//! every turn of nearly every guard; the preset has four signals, one of which is another one's complement.
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a benchmark may stop at the first surprise"
)]

use std::{collections::BTreeMap, hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use modosu::{
    decide::{Around, Clocks, Input, Record, Step, clocks::context, decide},
    judge::{
        Facts, Memory, judge,
        policy::{Policy, Source},
    },
    model::{
        guard::{Baseline, Current, GuardSpec, GuardStatus, Mode},
        preset::Preset,
        reading::{Measured, Reading},
    },
    observe::{cluster::Proven, seen::Seen},
};

const GUARDS: usize = 10_000;
const POLL: Duration = Duration::from_secs(15);

/// One guard between turns.
struct Guard {
    policy: Policy,
    memory: Memory,
    record: Record,
    seen: Seen,
    proven: Vec<Proven>,
}

impl Guard {
    /// On probation, four of its last states proven.
    fn new(number: usize, start: Timestamp) -> Self {
        let yaml =
            format!("targets: [{{kind: Deployment, name: orders-{number}}}]\nmetrics: {{preset: prometheus-http}}\n");
        let spec: GuardSpec = serde_saphyr::from_str(&yaml).unwrap();
        let policy = Policy::compile("shop", &spec, &Preset::shipped()).unwrap();
        // Not one of the proven states below.
        let hash = format!("{:08x}", number + 5);
        let state = |n: u32| Proven {
            name: format!("orders-{number}-{n}"),
            guard: format!("orders-{number}"),
            hash: format!("{n:08x}"),
            proven_at: start,
            last_running: start,
            images: vec![format!("orders:1.{n}.0")],
        };
        let images = vec!["orders:1.5.0".to_owned()];
        let values = [
            ("error_rate", 0.002),
            ("request_rate", 50.0),
            ("response_time", 0.2),
            ("success_rate", 0.998),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value)).into();
        Self {
            memory: Memory::new(&policy),
            policy,
            record: GuardStatus {
                current: Some(Current {
                    hash: hash.clone(),
                    since: start,
                    proven: false,
                    change: true,
                    images: images.clone(),
                    rolling_since: None,
                    allowed: false,
                    held_before: Vec::new(),
                }),
                baseline: Some(Baseline {
                    taken_at: start,
                    hash: "00000004".into(),
                    counts: BTreeMap::new(),
                    values,
                }),
                ..GuardStatus::default()
            }
            .into(),
            seen: Seen {
                hash,
                images,
                parts: BTreeMap::new(),
                // It never becomes proven, so that every turn does the same.
                whole_since: None,
                rolled_out: Err("1 of 2 pods are updated".into()),
                facts: Facts::default(),
                shared: Vec::new(),
                keeps_pods: None,
            },
            proven: (1..=4).map(state).collect(),
        }
    }

    /// The guard's part of a turn, as the daemon computes it.
    fn turn(&mut self, reading: &Reading, now: Timestamp, since: Timestamp) -> Step {
        let context = context(&self.record, &self.seen, since, now);
        let verdict = judge(&self.policy, &mut self.memory, Some(reading), &context);
        let clocks = Clocks::of(&self.policy, &mut self.memory, &context, &self.record, &self.seen.hash);
        decide(&Input {
            guard: "shop/orders",
            allow: None,
            now,
            policy: &self.policy,
            cap: Mode::Enforce,
            record: &self.record,
            seen: &self.seen,
            verdict: &verdict,
            clocks: &clocks,
            proven: &self.proven,
            case: None,
            around: &Around::default(),
            freeze: None,
            over_budget: None,
        })
    }
}

fn reading(policy: &Policy, at: Timestamp) -> Reading {
    let signals = policy.signals.iter().map(|signal| match signal.source {
        Source::Bad { .. } | Source::Good { .. } => Measured::Counts { bad: 1.0, total: 750.0 },
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

fn turns(criterion: &mut Criterion) {
    let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let mut guards: Vec<Guard> = (0..GUARDS).map(|number| Guard::new(number, start)).collect();
    let mut now = start;
    let mut group = criterion.benchmark_group("turn");
    group
        .throughput(Throughput::Elements(u64::try_from(GUARDS).unwrap()))
        .sample_size(20);
    group.bench_function(format!("judge and decide, {GUARDS} guards"), |bencher| {
        bencher.iter(|| {
            now += POLL;
            let reading = reading(&guards[0].policy, now);
            for guard in &mut guards {
                let step = black_box(guard.turn(&reading, now, start));
                assert!(
                    step.actions.is_empty() && step.happened.is_empty(),
                    "{:?}",
                    step.happened
                );
                guard.record = step.record;
            }
        });
    });
    group.finish();
}

criterion_group!(benches, turns);
criterion_main!(benches);
