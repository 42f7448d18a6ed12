//! Pure. The evidence meter: an anytime-valid test whether a share got worse than it was before the change.
//!
//! Before the change, E of N were bad, counted in k steps (E_i of N_i) of at least a minute and 20 events each:
//!
//! ```text
//! φ̂  = max(1, Σ (E_i − N_i E/N)² / (N_i E/N (1 − E/N)) / (k − 1))      how much burstier than chance (Pearson's χ²/df)
//! n̄  = N / k
//! ρ̂  = (φ̂ − 1) / (n̄ − 1), within [0, 0.5]                              correlation within a step; 0 is a plain binomial
//! p_hi = upper 99 % Clopper–Pearson bound of E/φ̂ of N/φ̂
//! p* = max(1.2 · p_hi, floor)                                          what is tolerated
//! ```
//!
//! Since the change, each disjoint reading (e bad of n) weighs six alternatives g_k · p* (at most 0.9), g = 1.25 … 45,
//! against p*:
//!
//! ```text
//! LLR_k = ln BetaBin(e | n, g_k p*, s) − ln BetaBin(e | n, p*, s),  s = 1/ρ̂ − 1          (binomial where ρ̂ = 0)
//! S     = ln( (1/6) Σ_k exp Σ LLR_k )                                  trips at S ≥ ln(1/α)
//! ```
//!
//! One reading adds 0.6 ln(1/α) to S at most, and it takes three to trip, so that none decides alone: what is more is taken off
//! every sum alike.
//!
//! BetaBin(· | n, m, s) is the beta-binomial with a = m s and b = (1 − m) s. As long as the true share is p* or less, e^S
//! is a supermartingale that begins at 1, so that the chance that it *ever* reaches 1/α is at most α (Ville), however often
//! it is looked at. The cap only lowers e^S, and what it lowers stays lower.
//!
//! What turns bad only after hours would have to make up for hours of good readings first. So a tenth of the stake is kept for
//! later beginnings ([`Meter::beginning_late`]): 0.1/(j (j + 1)) for one right before reading j,
//!
//! ```text
//! e^S = (1/6) Σ_k ( 0.9 exp Σ_{i ≥ 1} LLR_k,i + Σ_{j ≤ n} 0.1/(j (j + 1)) exp Σ_{i ≥ j} LLR_k,i ) + 0.1/(n + 1)
//! ```
//!
//! which is a mean of such supermartingales and holds the same promise. It costs ln(1/0.9) at the beginning, and
//! ln(10 j (j + 1)) later: with the cap, a few readings instead of as long as it was healthy.
//!
//! A reading costs two passes over the grid and no allocation.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// The highest share that a few of many may come from.
mod bound;
/// How likely counts are under one share.
mod law;
#[cfg(test)]
mod tests;

pub use bound::upper;
use law::Law;

/// How many times worse than tolerated the alternatives are.
pub const GRID: [f64; 6] = [1.25, 1.7, 2.7, 5.0, 12.0, 45.0];
/// How many they are.
const ALTERNATIVES: f64 = 6.0;
/// No alternative is a higher share than this.
const HIGHEST: f64 = 0.9;
/// What is tolerated is so many times the upper bound of the share before.
const MARGIN: f64 = 1.2;
/// The error of that bound.
const ERROR: f64 = 0.01;
/// More correlation within a step than this is not believed.
const MOST_CORRELATED: f64 = 0.5;
/// The share of the stake that is kept for later beginnings.
const KEPT: f64 = 0.1;
/// Readings at the cap are enough, however they were rounded.
const ROUNDING: f64 = 1e-9;
/// As many readings as it takes at least.
const READINGS: u32 = 3;
/// What one of them may add at most, of what it takes.
const MOST: f64 = 0.6;

/// How often something was bad in healthy time, and how unevenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BaseRate {
    pub requests: f64,
    pub bad: f64,
    /// φ̂: 1 is chance alone; bursts make it larger.
    pub dispersion: f64,
    /// n̄: requests per step of those that φ̂ was found in.
    pub per_step: f64,
}

/// The meter of one share since one change.
#[derive(Clone, Debug, PartialEq)]
pub struct Meter {
    tolerated: f64,
    null: Law,
    laws: [Law; GRID.len()],
    /// What a reading may add to S at most.
    cap: f64,
    trips_at: f64,
    sums: [f64; GRID.len()],
    /// The share of the stake that begins later, and the logarithm of what it has become, by alternative.
    kept: f64,
    late: [f64; GRID.len()],
    /// S.
    odds: f64,
    read: Read,
}

/// What a meter has read since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Read {
    /// Readings with at least one request.
    pub readings: u32,
    pub bad: f64,
    pub all: f64,
    /// The share in the reading that spoke loudest for "worse".
    pub largest: f64,
    loudest: f64,
}

impl BaseRate {
    /// Correlation within a step, ρ̂.
    pub fn correlation(self) -> f64 {
        let rho = (self.dispersion.max(1.0) - 1.0) / (self.per_step - 1.0);
        if rho.is_finite() && rho > 0.0 {
            rho.min(MOST_CORRELATED)
        } else {
            0.0
        }
    }

    /// The highest share that is not called worse, p*.
    pub fn tolerated(self, floor: f64) -> f64 {
        let spread = self.dispersion.max(1.0);
        (MARGIN * upper(self.bad / spread, self.requests / spread, ERROR)).max(floor)
    }
}

impl Meter {
    /// A meter that has read nothing; `None` where nothing could be much worse: p* is 90 % or more, or nothing is known.
    pub fn new(before: BaseRate, alpha: f64, floor: f64) -> Option<Self> {
        let tolerated = before.tolerated(floor);
        let sane = tolerated > 0.0 && tolerated < HIGHEST && alpha > 0.0 && alpha < 1.0;
        sane.then(|| Self::of(tolerated, before.correlation(), alpha))
    }

    /// A meter for a tolerated share between 0 and 0.9, correlation ρ (0: binomial) and error α.
    pub fn of(tolerated: f64, rho: f64, alpha: f64) -> Self {
        let trips_at = -alpha.ln();
        Self {
            tolerated,
            null: Law::new(tolerated, rho),
            laws: GRID.map(|times| Law::new((times * tolerated).min(HIGHEST), rho)),
            cap: trips_at * MOST,
            trips_at,
            sums: [0.0; GRID.len()],
            kept: 0.0,
            late: [f64::NEG_INFINITY; GRID.len()],
            odds: 0.0,
            read: Read::default(),
        }
    }

    /// The same without the cap per reading: for counts that are given request by request.
    #[must_use]
    pub const fn uncapped(mut self) -> Self {
        self.cap = f64::INFINITY;
        self
    }

    /// The same, ready for what turns bad later.
    #[must_use]
    pub const fn beginning_late(mut self) -> Self {
        self.kept = KEPT;
        self
    }

    /// Forgets what it read.
    pub fn begin(&mut self) {
        self.sums = [0.0; GRID.len()];
        self.late = [f64::NEG_INFINITY; GRID.len()];
        self.odds = 0.0;
        self.read = Read::default();
    }

    /// One disjoint reading: that many bad of all. What is no count changes nothing.
    pub fn add(&mut self, bad: f64, all: f64) {
        if !(bad >= 0.0 && all > 0.0 && all.is_finite()) {
            return;
        }
        let (bad, good) = (bad.min(all), (all - bad).max(0.0));
        let tolerable = self.null.weigh(bad, good);
        let mut loudest = f64::NEG_INFINITY;
        let reading = f64::from(self.read.readings) + 1.0;
        let begins = self.kept / (reading * (reading + 1.0));
        for ((sum, late), law) in self.sums.iter_mut().zip(&mut self.late).zip(&self.laws) {
            let ratio = law.weigh(bad, good) - tolerable;
            loudest = loudest.max(ratio);
            *sum += ratio;
            if begins > 0.0 {
                let most = late.max(0.0);
                *late = most + ((*late - most).exp() + begins * (-most).exp()).ln() + ratio;
            }
        }
        let read = &mut self.read;
        if read.readings == 0 || loudest > read.loudest {
            (read.loudest, read.largest) = (loudest, bad / all);
        }
        read.readings = read.readings.saturating_add(1);
        read.bad += bad;
        read.all += all;
        self.take_at_most(self.odds + self.cap);
    }

    /// S from the sums; where it is more than `most`, the sums are lowered until it is not.
    fn take_at_most(&mut self, most: f64) {
        let begun = self.begun();
        let waiting = (self.kept / (f64::from(self.read.readings) + 1.0)).ln();
        self.odds = together(begun, waiting);
        if self.odds > most {
            let excess = begun - (most + (-(waiting - most).exp()).ln_1p());
            self.sums
                .iter_mut()
                .chain(&mut self.late)
                .for_each(|sum| *sum -= excess);
            self.odds = most;
        }
    }

    /// The logarithm of what all stakes that have begun are worth now.
    fn begun(&self) -> f64 {
        let mean = |logs: &[f64; GRID.len()]| {
            let most = logs.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = logs.iter().map(|log| (log - most).exp()).sum();
            most + (sum / ALTERNATIVES).ln()
        };
        let early = mean(&self.sums);
        if self.kept > 0.0 {
            together(early + (-self.kept).ln_1p(), mean(&self.late))
        } else {
            early
        }
    }

    /// S: the logarithm of the odds that the share exceeds what is tolerated.
    pub const fn log_odds(&self) -> f64 {
        self.odds
    }

    /// Whether it is worse.
    pub fn tripped(&self) -> bool {
        let enough = self.read.readings >= READINGS || self.cap.is_infinite();
        enough && self.odds >= self.trips_at - ROUNDING
    }

    /// S at which it trips, ln(1/α).
    pub const fn trips_at(&self) -> f64 {
        self.trips_at
    }

    /// p*: the highest share that is not called worse.
    pub const fn tolerated(&self) -> f64 {
        self.tolerated
    }

    /// What it has read.
    pub const fn read(&self) -> Read {
        self.read
    }
}

/// ln(eˣ + eʸ).
fn together(one: f64, other: f64) -> f64 {
    let (most, least) = (one.max(other), one.min(other));
    most + (least - most).exp().ln_1p()
}
