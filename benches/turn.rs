//! What a turn computes of one guard: judge and decide, nothing firing, as in nearly every turn of nearly every guard.
//!
//! `cargo bench --bench turn`. The figures are per guard, on one core: of one guard turn after turn, and of 10,000 guards that
//! take turns, so that each has to be fetched from memory. Readings are decoded before. Where Linux tells it, it is the
//! thread's own time on a processor, so that a busy machine changes little.
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a benchmark may stop at the first surprise"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    hint::black_box,
    sync::LazyLock,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use modosu::{
    decide::{Around, Clocks, Input, Record, Step, clocks::context, decide},
    judge::{
        Facts, Memory, Verdict, judge,
        policy::{Policy, Source},
    },
    model::{
        guard::{Baseline, BaselineCounts, Current, GuardSpec, GuardStatus, Mode},
        preset::Preset,
        reading::{Measured, Reading},
    },
    observe::{cluster::Proven, seen::Seen},
};

const POLL: Duration = Duration::from_secs(15);
const HOUR: u32 = 240;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Three signals, three triggers.
const THREE: &str = r#"
targets: [{kind: Deployment, name: orders}]
metrics:
  match: {namespace: shop, job: orders}
  signals:
    error_rate: {ratio: {bad: 'http_requests_total{code=~"5.."}', total: http_requests_total}}
    request_rate: {rate: http_requests_total}
    response_time: {quantile: {histogram: http_request_duration_seconds, q: 0.95}}
triggers:
- {name: error rate rose, condition: error_rate > 5%, action: automatic_rollback}
- {name: response time degraded, condition: response_time > baseline * 1.5, action: alert_and_manual_review}
- {name: more errors than before, condition: worse(error_rate), action: alert_and_manual_review}
knownGoodAfter: 3650d
watchFor: 3650d
"#;

/// The preset's four signals, one of them another one's complement, and four triggers.
const PRESET: &str = "
targets: [{kind: Deployment, name: orders}]
metrics: {preset: prometheus-http}
knownGoodAfter: 3650d
watchFor: 3650d
";

/// One guard between turns.
struct Guard {
    policy: Policy,
    memory: Memory,
    record: Record,
    seen: Seen,
    proven: Vec<Proven>,
}

impl Guard {
    /// Four proven states behind it; steady on the last of them, or on probation since then on one that came after.
    fn new(number: u32, yaml: &str, steady: bool, since: Timestamp) -> Self {
        let spec: GuardSpec = serde_saphyr::from_str(yaml).unwrap();
        let policy = Policy::compile("shop", &spec, &Preset::shipped()).unwrap();
        let state = |n: u32| Proven {
            name: format!("orders-{number}-{n}"),
            guard: format!("orders-{number}"),
            hash: format!("{n:08x}"),
            proven_at: since + DAY * n,
            last_running: since + DAY * n,
            images: vec![format!("orders:1.{n}.0")],
            no_way_back: Vec::new(),
            settings: BTreeMap::new(),
        };
        let images = vec!["orders:1.5.0".to_owned()];
        let hash = if steady { "00000004" } else { "00000005" }.to_owned();
        Self {
            memory: Memory::new(&policy),
            policy,
            record: GuardStatus {
                current: Some(Current {
                    hash: hash.clone(),
                    since,
                    proven: steady,
                    change: !steady,
                    images: images.clone(),
                    rolling_since: None,
                    allowed: false,
                    held_before: Vec::new(),
                    left_out: Vec::new(),
                }),
                baseline: Some(baseline(since)),
                ..GuardStatus::default()
            }
            .into(),
            seen: Seen {
                hash,
                images,
                parts: BTreeMap::new(),
                whole_since: Some(since),
                rolled_out: Ok(()),
                facts: Facts::default(),
                shared: Vec::new(),
                gone: BTreeSet::new(),
                keeps_pods: None,
                left_out: BTreeMap::new(),
                no_way_back: Vec::new(),
                managed: Vec::new(),
            },
            proven: (1..=4).map(state).collect(),
        }
    }

    fn judge(&mut self, reading: &Reading, since: Timestamp) -> Verdict {
        let context = context(&self.record, &self.seen, since, reading.at);
        judge(&self.policy, &mut self.memory, Some(reading), &context)
    }

    /// The guard's part of a turn, as the daemon computes it.
    fn turn(&mut self, reading: &Reading, since: Timestamp) -> Step {
        let verdict = self.judge(reading, since);
        let context = context(&self.record, &self.seen, since, reading.at);
        let clocks = Clocks::of(&self.policy, &mut self.memory, &context, &self.record, &self.seen.hash);
        decide(&Input {
            guard: "shop/orders",
            allow: None,
            fields: None,
            older: &[],
            wish: None,
            now: reading.at,
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

    /// A turn in which nothing happens.
    fn quiet_turn(&mut self, reading: &Reading, since: Timestamp) {
        let step = black_box(self.turn(reading, since));
        assert!(step.is_quiet(), "{:?} {:?}", step.actions, step.happened);
        self.record = step.record;
    }
}

/// Of the last proven state, counted for a day.
fn baseline(taken_at: Timestamp) -> Baseline {
    let values = [
        ("error_rate", 0.002),
        ("request_rate", 50.0),
        ("response_time", 0.2),
        ("success_rate", 0.998),
    ];
    let counts = BaselineCounts {
        requests: 4_320_000.0,
        bad: 8_640.0,
        dispersion: 1.2,
        per_step: 3000.0,
        seconds: DAY.as_secs_f64(),
        slower_than: None,
        earlier: None,
    };
    Baseline {
        taken_at,
        hash: "00000004".into(),
        counts: [("error_rate".to_owned(), counts)].into(),
        values: values.map(|(name, value)| (name.to_owned(), value)).into(),
    }
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

/// Turns of so many guards, an hour of them before any is measured.
fn turns(criterion: &mut Criterion, many: u32, signals: u32, state: &str) {
    let (yaml, steady) = (if signals == 3 { THREE } else { PRESET }, state == "steady");
    let since: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let mut guards: Vec<Guard> = (0..many).map(|n| Guard::new(n, yaml, steady, since)).collect();
    // A change is watched for ten years, so that probation does not end meanwhile.
    let mut at = if steady { since + DAY * 3651 } else { since };
    let mut turn = |bad: f64, each: fn(&mut Guard, &Reading, Timestamp)| {
        at += POLL;
        let reading = reading(&guards[0].policy, at, bad);
        guards.iter_mut().for_each(|guard| each(guard, &reading, since));
    };
    (0..HOUR).for_each(|_| turn(1.0, Guard::quiet_turn));
    let judge = |guard: &mut Guard, reading: &Reading, since| drop(black_box(guard.judge(reading, since)));
    let mut group = criterion.benchmark_group(format!("{signals} signals, {state}, {many} guards"));
    group.sample_size(20);
    for (what, bad, each) in [
        (
            "judge and decide",
            1.0,
            Guard::quiet_turn as fn(&mut Guard, &Reading, Timestamp),
        ),
        ("judge", 1.0, judge),
        ("judge, failing", 230.0, judge),
    ] {
        group.bench_function(what, |bencher| {
            bencher.iter_custom(|turns| {
                let begun = spent();
                (0..turns).for_each(|_| turn(bad, each));
                spent().saturating_sub(begun) / many
            });
        });
    }
    group.finish();
}

fn all(criterion: &mut Criterion) {
    for many in [1, 10_000] {
        for signals in [3, 4] {
            for state in ["steady", "on probation"] {
                turns(criterion, many, signals, state);
            }
        }
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
