//! A quiet service with random latencies: how often does a healthy one alarm, and how soon is a slower one told?

use super::timeline::World;

/// A small generator (SplitMix64), so that every run is the same.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In (0, 1).
    fn unit(&mut self) -> f64 {
        let [a, b, c, d, ..] = self.next().to_le_bytes();
        (f64::from(u32::from_le_bytes([a, b, c, d])) + 0.5) / 4_294_967_296.0
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Poisson, for small means.
    fn count(&mut self, mean: f64) -> u32 {
        let (limit, mut product, mut n) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            n += 1;
        }
        n
    }
}

/// The bounds of a client library's histogram, in seconds.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

type Buckets = [u32; 12];

/// As Prometheus' `histogram_quantile` gives it.
fn quantile(q: f64, windows: &[Buckets]) -> Option<f64> {
    let sum = |bucket: usize| windows.iter().map(|w| w[bucket]).sum::<u32>();
    let all: u32 = (0..12).map(sum).sum();
    if all == 0 {
        return None;
    }
    let rank = q * f64::from(all);
    let mut below = 0;
    for (bucket, bound) in BOUNDS.iter().enumerate() {
        let here = sum(bucket);
        if f64::from(below + here) >= rank && here > 0 {
            let low = if bucket == 0 { 0.0 } else { BOUNDS[bucket - 1] };
            return Some(low + (bound - low) * (rank - f64::from(below)) / f64::from(here));
        }
        below += here;
    }
    Some(BOUNDS[10])
}

struct Service {
    chance: Chance,
    per_second: f64,
    spread: f64,
    /// Latencies of this many readings make the minute's quantile.
    minute: Vec<Buckets>,
    world: World,
}

impl Service {
    fn new(per_second: f64, spread: f64, seed: u64) -> Self {
        let mut world = World::new("");
        world.baseline = None;
        Self {
            chance: Chance(seed),
            per_second,
            spread,
            minute: Vec::new(),
            world,
        }
    }

    /// One poll with latencies that many times the usual; the names of what fires.
    fn poll(&mut self, factor: f64) -> Vec<String> {
        let mut buckets = [0; 12];
        let mut bad = 0;
        let requests = self.chance.count(self.per_second * 15.0 / 4.0)
            + self.chance.count(self.per_second * 15.0 / 4.0)
            + self.chance.count(self.per_second * 15.0 / 4.0)
            + self.chance.count(self.per_second * 15.0 / 4.0);
        for _ in 0..requests {
            let latency = 0.09 * factor * (self.spread * self.chance.normal()).exp();
            buckets[BOUNDS.iter().position(|bound| latency <= *bound).unwrap_or(11)] += 1;
            bad += u32::from(self.chance.unit() < 0.001);
        }
        self.minute.push(buckets);
        let from = self.minute.len().saturating_sub(4);
        self.minute.drain(..from);
        let p95 = quantile(0.95, &self.minute);
        self.world.new_data();
        self.world.now = super::timeline::plus(self.world.now, self.world.every);
        let verdict = self.world.turn((f64::from(bad), f64::from(requests)), p95, None);
        verdict.firing.into_iter().map(|finding| finding.name).collect()
    }

    /// Healthy until there is a baseline, which is then taken, as early as can be.
    fn take_baseline(&mut self) {
        for _ in 0..10_000 {
            self.poll(1.0);
            if let Some(values) = self.world.memory.baseline(&self.world.policy) {
                let mut taken = super::timeline::baseline(&[]);
                taken.values = values;
                self.world.baseline = Some(taken);
                return;
            }
        }
        panic!("never healthy for long enough");
    }
}

/// Days of a healthy release: how often something fires, and after how many polls it had been healthy for ten minutes.
fn healthy_release(days: u32, spread: f64, seed: u64) -> (usize, u32) {
    let mut service = Service::new(0.5, spread, seed);
    service.take_baseline();
    service.world.since = service.world.now;
    service.world.memory.begin(service.world.since);
    let (mut alarms, mut proven) = (0, u32::MAX);
    for poll in 0..days * 5760 {
        alarms += usize::from(!service.poll(1.0).is_empty());
        if proven == u32::MAX && service.world.memory.healthy_for().as_secs() >= 600 {
            proven = poll;
        }
    }
    (alarms, proven)
}

/// A hundred days in all: no alarm, and proven within three hours.
fn never_alarms(spread: f64, seed: u64) {
    let (alarms, proven) = healthy_release(34, spread, seed);
    assert_eq!(alarms, 0);
    assert!(proven < 720, "proven after {proven} polls");
}

#[test]
fn a_quiet_healthy_service_never_alarms_with_even_latencies() {
    never_alarms(0.4, 1);
}

#[test]
fn a_quiet_healthy_service_never_alarms_with_uneven_latencies() {
    never_alarms(0.5, 2);
}

#[test]
fn a_quiet_healthy_service_never_alarms_with_wild_latencies() {
    never_alarms(0.6, 3);
}

/// Polls until the slower service is told, at most an hour.
fn told_after(per_second: f64, factor: f64, seed: u64) -> Option<u32> {
    let mut service = Service::new(per_second, 0.5, seed);
    service.take_baseline();
    (1..=240).find(|_| !service.poll(factor).is_empty())
}

#[test]
fn a_service_twice_as_slow_is_told_soon() {
    let busy: Vec<_> = (0..5).map(|seed| told_after(50.0, 2.0, seed).unwrap()).collect();
    assert!(busy.iter().all(|polls| *polls <= 5), "{busy:?}");
    let mut quiet: Vec<_> = (0..9)
        .map(|seed| told_after(0.5, 2.5, seed).unwrap_or(u32::MAX))
        .collect();
    quiet.sort_unstable();
    assert!(quiet[4] <= 60, "{quiet:?}");
}
