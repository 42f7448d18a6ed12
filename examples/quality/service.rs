//! One service: requests come by lot, some fail, some are slow; Prometheus scrapes its pods, and a poll reads what
//! they counted, in the form in which modosu's own reader gives it.

use std::{cell::RefCell, collections::VecDeque, sync::Arc, time::Duration};

use jiff::Timestamp;
use modosu::{
    judge::policy::{Policy, Source},
    model::reading::{Because, Measured, Reading},
};

use super::{
    chance::Chance,
    worlds::{Effect, World},
};

pub const SCRAPE: f64 = 15.0;
pub const POLL: f64 = 5.0;
/// Readings stay behind Prometheus' own now by this much.
const LAG: f64 = 0.1;
/// The bounds of a client library's histogram, in seconds.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const MEDIAN: f64 = 0.09;
/// Quantiles reach back over so many scrapes.
const OVER: f64 = 60.0;

/// Requests by the bucket of their latency.
type Buckets = [f64; 12];

/// What one scrape of one pod brought.
#[derive(Clone, Copy, Debug, Default)]
struct Scrape {
    at: f64,
    bad: f64,
    all: f64,
    buckets: Buckets,
}

/// Something that happens to the service from some moment on.
#[derive(Clone, Copy, Debug)]
pub struct Deed {
    pub from: f64,
    pub until: f64,
    pub effect: Effect,
}

/// A service in its world; times are seconds since the beginning.
#[derive(Clone, Debug)]
pub struct Service {
    world: Arc<World>,
    chance: Chance,
    seed: u64,
    /// When each pod is scraped, within the interval.
    phases: Vec<f64>,
    scraped: Vec<f64>,
    kept: VecDeque<Scrape>,
    deeds: Vec<Deed>,
    restarted: f64,
    blip: f64,
    read: f64,
    newest: f64,
    /// Bucket shares by rounded logarithm of the latency factor.
    shares: RefCell<Vec<Option<Buckets>>>,
}

impl Service {
    pub fn new(world: Arc<World>, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let first = chance.within(0.0, SCRAPE);
        let pods = world.pods;
        let phases: Vec<f64> = (0..pods)
            .map(|pod| (first + SCRAPE * pod as f64 / pods as f64) % SCRAPE)
            .collect();
        let mut service = Self {
            scraped: phases.iter().map(|phase| phase - SCRAPE).collect(),
            phases,
            world,
            chance,
            seed,
            kept: VecDeque::new(),
            deeds: Vec::new(),
            restarted: f64::NEG_INFINITY,
            blip: f64::INFINITY,
            read: 0.0,
            newest: f64::NEG_INFINITY,
            shares: RefCell::new(vec![None; 512]),
        };
        service.blip = service.next_blip(0.0);
        service
    }

    /// Another future of the same past.
    pub fn fork(&self, number: u64) -> Self {
        Self {
            chance: Chance::other(self.seed, number),
            seed: Chance::other(self.seed, number).next(),
            ..self.clone()
        }
    }

    /// All pods are replaced now.
    pub fn restart(&mut self, at: f64) {
        self.restarted = at;
    }

    pub fn happens(&mut self, deed: Deed) {
        self.deeds.push(deed);
    }

    /// What happened before is over.
    pub fn nothing_happens(&mut self) {
        self.deeds.clear();
    }

    /// One poll.
    pub fn poll(&mut self, now: f64, policy: &Policy, clock: impl Fn(f64) -> Timestamp) -> Reading {
        let at = ((now - LAG) * 10.0).floor() / 10.0;
        let (mut bad, mut all) = (0.0, 0.0);
        for pod in 0..self.phases.len() {
            while self.scraped[pod] + SCRAPE <= at {
                let scrape = self.scrape(pod, self.scraped[pod], self.scraped[pod] + SCRAPE);
                self.scraped[pod] = scrape.at;
                self.newest = self.newest.max(scrape.at);
                bad += scrape.bad;
                all += scrape.all;
                self.kept.push_back(scrape);
            }
        }
        while self.kept.front().is_some_and(|oldest| oldest.at <= at - OVER) {
            self.kept.pop_front();
        }
        let p95 = self.quantile(0.95, at);
        let signals = policy.signals.iter().map(|signal| match signal.source {
            Source::Bad { .. } | Source::Good { .. } => Measured::Counts { bad, total: all },
            Source::Rate { .. } => Measured::Events(all),
            Source::Quantile { .. } => p95.map_or(Measured::Unknown(Because::NotANumber), |value| Measured::Value {
                value,
                over: Duration::from_secs_f64(OVER),
            }),
            Source::Gauge { .. } | Source::Complement { .. } | Source::Alerts { .. } => {
                Measured::Unknown(Because::NoData)
            }
        });
        let reading = Reading {
            at: clock(at),
            span: Duration::from_secs_f64(at - self.read),
            newest: self.newest.is_finite().then(|| clock(self.newest)),
            signals: signals.collect(),
        };
        self.read = at;
        reading
    }

    fn scrape(&mut self, pod: usize, begin: f64, end: f64) -> Scrape {
        let mut scrape = Scrape {
            at: end,
            ..Scrape::default()
        };
        let mut from = begin;
        while from < end {
            let until = self.next_edge(from).min(end);
            self.requests(pod, from, until, &mut scrape);
            from = until;
        }
        scrape
    }

    /// Where the next thing begins or ends; bursts do at multiples of their length, a slope is walked in steps.
    fn next_edge(&self, from: f64) -> f64 {
        let mut next = f64::INFINITY;
        let mut edge = |at: f64| {
            if at > from + 1e-9 {
                next = next.min(at);
            }
        };
        if self.world.burst > 0.0 {
            edge(((from / self.world.burst + 1e-9).floor() + 1.0) * self.world.burst);
        }
        for deed in &self.deeds {
            edge(deed.from);
            edge(deed.until);
            if from >= deed.from && from < deed.from + deed.effect.over {
                edge(from + 3.0);
            }
        }
        if let Some(warm_up) = self.world.warm_up
            && from < self.restarted + warm_up.seconds
        {
            edge(self.restarted);
            edge(from + 5.0);
        }
        if let Some(blip) = self.world.blip {
            edge(self.blip);
            edge(self.blip + blip.seconds);
        }
        next
    }

    /// The requests of a time in which nothing changes.
    fn requests(&mut self, pod: usize, from: f64, until: f64, scrape: &mut Scrape) {
        let world = self.world.clone();
        let middle = f64::midpoint(from, until);
        let day = 1.0 + (world.drift - 1.0) * f64::midpoint(1.0, -(middle / 86_400.0 * std::f64::consts::TAU).cos());
        let requests = world.per_second * day * (until - from) / world.pods as f64;
        let all = self.chance.poisson(requests);
        let share = self.share(pod, middle, day);
        let bad = self.chance.binomial(all, share);
        scrape.all += all;
        scrape.bad += bad;
        let shares = self.shares(self.slower(pod, middle));
        let (mut left, mut rest) = (all, 1.0);
        for (bucket, share) in scrape.buckets.iter_mut().zip(shares) {
            if left <= 0.0 || rest <= 0.0 {
                break;
            }
            let here = self.chance.binomial(left, (share / rest).clamp(0.0, 1.0));
            *bucket += here;
            left -= here;
            rest -= share;
        }
    }

    /// The share of requests that fail at that moment.
    fn share(&mut self, pod: usize, at: f64, day: f64) -> f64 {
        let world = &self.world;
        let mut share = (world.base * day).min(1.0);
        if world.turns {
            let turn = (at / 300.0) as usize % world.pods;
            share = if turn == pod { share * world.pods as f64 } else { 0.0 };
        }
        if world.phi > 1.0 {
            let number = (at / world.burst) as u64;
            share = Chance::other(self.seed, number).beta(share, world.correlation());
        }
        for deed in self.deeds.iter().filter(|deed| at >= deed.from && at < deed.until) {
            if !deed.effect.one_pod || pod == 0 {
                share += deed.effect.points * part(at - deed.from, deed.effect.over);
            }
        }
        if let Some(warm_up) = world.warm_up
            && at >= self.restarted
        {
            share += warm_up.points * (1.0 - (at - self.restarted) / warm_up.seconds).max(0.0);
        }
        if let Some(blip) = world.blip {
            if at >= self.blip && at < self.blip + blip.seconds {
                share = share.max(blip.share);
            } else if at >= self.blip + blip.seconds {
                self.blip = self.next_blip(at);
            }
        }
        share.min(1.0)
    }

    fn next_blip(&mut self, at: f64) -> f64 {
        let Some(blip) = self.world.blip else {
            return f64::INFINITY;
        };
        let next = at + blip.every * self.chance.within(0.5, 1.5);
        if !blip.one_reading {
            return next;
        }
        // So that it ends before the scrape that sees it.
        let scrape = ((next - self.phases[0]) / SCRAPE).ceil() * SCRAPE + self.phases[0];
        scrape + self.chance.within(0.1, SCRAPE - blip.seconds - 0.1)
    }

    /// The factor of latencies at that moment.
    fn slower(&self, pod: usize, at: f64) -> f64 {
        let minute = (at.max(0.0) / 60.0) as u64;
        let mut log = self.world.wander * Chance::other(self.seed ^ 0xa5a5, minute).normal();
        for deed in self.deeds.iter().filter(|deed| at >= deed.from && at < deed.until) {
            if deed.effect.slower > 0.0 && (!deed.effect.one_pod || pod == 0) {
                log += deed.effect.slower.ln() * part(at - deed.from, deed.effect.over);
            }
        }
        if let Some(warm_up) = self.world.warm_up
            && at >= self.restarted
        {
            log += warm_up.slower.ln() * (1.0 - (at - self.restarted) / warm_up.seconds).max(0.0);
        }
        log
    }

    /// The share of each bucket at that logarithm of the latency factor, rounded to 2 %.
    fn shares(&self, log: f64) -> Buckets {
        let place = ((log / 0.02).round() + 256.0).clamp(0.0, 511.0) as usize;
        *self.shares.borrow_mut()[place].get_or_insert_with(|| {
            let middle = MEDIAN.ln() + (place as f64 - 256.0) * 0.02;
            let below = |bound: f64| normal_below((bound.ln() - middle) / self.world.spread);
            let mut buckets = [0.0; 12];
            let mut before = 0.0;
            for (bucket, bound) in buckets.iter_mut().zip(BOUNDS) {
                *bucket = below(bound) - before;
                before = below(bound);
            }
            buckets[11] = 1.0 - before;
            buckets
        })
    }

    /// As Prometheus' `histogram_quantile` over `rate` gives it: the first sample in the window only begins the growth.
    fn quantile(&self, q: f64, at: f64) -> Option<f64> {
        let grown = |scrape: &&Scrape| scrape.at - SCRAPE > at - OVER;
        let sum = |bucket: usize| self.kept.iter().filter(grown).map(|s| s.buckets[bucket]).sum::<f64>();
        let sums: [f64; 12] = std::array::from_fn(sum);
        let all: f64 = sums.iter().sum();
        if all <= 0.0 {
            return None;
        }
        let rank = q * all;
        let mut below = 0.0;
        for (bucket, bound) in BOUNDS.iter().enumerate() {
            if sums[bucket] > 0.0 && below + sums[bucket] >= rank {
                let low = if bucket == 0 { 0.0 } else { BOUNDS[bucket - 1] };
                return Some(low + (bound - low) * (rank - below) / sums[bucket]);
            }
            below += sums[bucket];
        }
        Some(BOUNDS[10])
    }
}

/// How much of an effect is there after that time.
fn part(passed: f64, over: f64) -> f64 {
    if over > 0.0 {
        (passed / over).clamp(0.0, 1.0)
    } else {
        1.0
    }
}

fn normal_below(z: f64) -> f64 {
    0.5 * statrs::function::erf::erfc(-z / std::f64::consts::SQRT_2)
}
