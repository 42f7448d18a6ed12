//! The counters of one running container, computed when somebody looks: steady traffic needs no
//! event per request. Exact by default; drawn by lot where the settings ask for it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    app::Settings,
    number::{count, float},
    rng::Rng,
};

/// The histogram's upper bounds in seconds; the last bucket, +Inf, is the total.
const BOUNDS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0,
];
/// Where latency is not drawn, it is spread evenly this far around its mean.
const SPREAD: f64 = 0.2;
/// Width of the log-normal latency where it is drawn.
const SIGMA: f64 = 0.4;

/// One line of a metrics page: the series as text, which is also its identity, and its value.
pub(crate) type Line = (Arc<str>, f64);

/// Counts the requests of one container.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    settings: Settings,
    open: bool,
    since: Timestamp,
    seen: (u64, u64),
    owed: (f64, f64),
    last: Timestamp,
    rng: Rng,
    good: u64,
    bad: u64,
    /// Not whole: steady traffic is spread over the buckets by share.
    buckets: [f64; 13],
    sum: f64,
}

impl Traffic {
    pub(crate) fn new(settings: Settings, now: Timestamp, seed: u64) -> Traffic {
        Traffic {
            settings,
            open: false,
            since: now,
            seen: (0, 0),
            owed: (0.0, 0.0),
            last: now,
            rng: Rng::seeded(seed),
            good: 0,
            bad: 0,
            buckets: [0.0; 13],
            sum: 0.0,
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// From now on traffic comes, or does not, with these settings.
    pub(crate) fn change(&mut self, now: Timestamp, open: bool, settings: Settings) {
        self.advance(now);
        if self.open == open && self.settings == settings {
            return;
        }
        let (arrived, failed) = self.expected(now);
        self.owed = (arrived - float(self.seen.0), failed - float(self.seen.1));
        (self.since, self.seen) = (now, (0, 0));
        (self.open, self.settings) = (open, settings);
    }

    /// The metrics page at `now`.
    pub(crate) fn page(&mut self, now: Timestamp, names: &Names) -> Vec<Line> {
        self.advance(now);
        let total = float(self.good + self.bad);
        let mut lines = Vec::with_capacity(18);
        let named = |code: &str, usual: &Arc<str>| match &self.settings.metric {
            Some(metric) => format!("{metric}_total{{code=\"{code}\"}}").into(),
            None => usual.clone(),
        };
        if self.good > 0 {
            lines.push((named("200", &names.good), float(self.good)));
        }
        if self.bad > 0 {
            lines.push((named("500", &names.bad), float(self.bad)));
        }
        for (name, requests) in names.buckets.iter().zip(self.buckets) {
            lines.push((name.clone(), (requests + 1e-6).floor()));
        }
        lines.push((names.all.clone(), total));
        lines.push((names.sum.clone(), self.sum));
        lines.push((names.count.clone(), total));
        if self.settings.bad_le {
            lines.push((names.malformed.clone(), 7.0));
        }
        lines
    }

    fn advance(&mut self, now: Timestamp) {
        if now <= self.last {
            return;
        }
        let elapsed = now.duration_since(self.last).as_secs_f64();
        self.last = now;
        if !self.open {
            return;
        }
        let (requests, errors) = if self.settings.random {
            let requests = self.rng.poisson(self.settings.rps * elapsed);
            (requests, self.rng.binomial(requests, self.settings.error_share))
        } else {
            let (arrived, failed) = self.expected(now);
            // A billionth of a request makes up for rounding: 0.1 s at 50/s are five requests.
            let now_seen = (count(arrived + 1e-9), count(failed + 1e-9));
            let before = std::mem::replace(&mut self.seen, now_seen);
            (now_seen.0 - before.0, now_seen.1 - before.1)
        };
        self.bad += errors;
        self.good += requests.saturating_sub(errors);
        self.observe(requests);
    }

    /// Requests and errors since the last change, if they came exactly as the settings say.
    fn expected(&self, now: Timestamp) -> (f64, f64) {
        if !self.open {
            return self.owed;
        }
        let elapsed = now.duration_since(self.since).as_secs_f64();
        let arrived = self.owed.0 + self.settings.rps * elapsed;
        let failed = self.owed.1 + (arrived + 1e-9).floor() * self.settings.error_share;
        (arrived, failed)
    }

    fn observe(&mut self, requests: u64) {
        let median = self.settings.latency_ms / 1000.0;
        if !self.settings.random {
            for (bound, bucket) in BOUNDS.iter().zip(&mut self.buckets) {
                let share = (bound / median - 1.0 + SPREAD) / (2.0 * SPREAD);
                *bucket += float(requests) * share.clamp(0.0, 1.0);
            }
            self.sum += float(requests) * median;
            return;
        }
        let (mut left, mut below, mut share_below) = (requests, 0, 0.0);
        for (bound, bucket) in BOUNDS.iter().zip(&mut self.buckets) {
            let share = normal_share((bound / median).ln() / SIGMA);
            let here = (share - share_below) / (1.0 - share_below);
            let drawn = if share_below < 1.0 {
                self.rng.binomial(left, here)
            } else {
                0
            };
            (left, below, share_below) = (left - drawn, below + drawn, share);
            *bucket += float(below);
        }
        self.sum += float(requests) * median * (SIGMA * SIGMA / 2.0).exp();
    }
}

/// The share of a standard normal below `x` (Abramowitz and Stegun 26.2.17, error < 1e-7).
fn normal_share(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let series = [
        0.319_381_53,
        -0.356_563_782,
        1.781_477_937,
        -1.821_255_978,
        1.330_274_429,
    ];
    let tail = series.iter().rev().fold(0.0, |sum, term| (sum + term) * t) * (-x * x / 2.0).exp()
        / std::f64::consts::TAU.sqrt();
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// The text of every series of the page, made once.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    good: Arc<str>,
    bad: Arc<str>,
    buckets: Vec<Arc<str>>,
    malformed: Arc<str>,
    all: Arc<str>,
    sum: Arc<str>,
    count: Arc<str>,
}

impl Names {
    pub(crate) fn new() -> Names {
        let bucket = |le: &str| Arc::from(format!("http_request_duration_seconds_bucket{{le=\"{le}\"}}"));
        Names {
            good: "http_requests_total{code=\"200\"}".into(),
            bad: "http_requests_total{code=\"500\"}".into(),
            buckets: BOUNDS.iter().map(|bound| bucket(&format!("{bound:?}"))).collect(),
            malformed: bucket("soon"),
            all: bucket("+Inf"),
            sum: "http_request_duration_seconds_sum".into(),
            count: "http_request_duration_seconds_count".into(),
        }
    }
}
