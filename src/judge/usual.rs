//! Pure. What a service's failures do anyway: could these counts be one more burst, such as came before the change?
//!
//! Before the change E of N were bad, φ̂ times as unevenly as chance would have it; how unevenly it came in the states before
//! that one counts too, for a service is as bursty after a release as before it. An hour without a burst does not say that
//! there are none, so [`IMAGINED`] bursts of φ = 10 are added to those that were seen; and what few bursts tell is not taken
//! for more than that, so φ is not taken for less than the upper bound of φ̂:
//!
//! ```text
//! φ   = (seen · φ̂ + 2 · 10) / (seen + 2), at least φ⁺     seen = min(k, E/φ̂) + n̄/100, k steps of n̄ requests
//! φ⁺  = 1 + (φ̂ − 1)/q, at most max(10, φ̂)                q: the 1 % quantile of χ²/df, df = min(T/300 s, E/φ̂) (Wilson and Hilferty)
//! p   = the median bound of E/φ of N/φ
//! ρ   = (φ − 1)/(n₆₀ − 1), at most 0.5                     n₆₀ requests a minute, or in the window where that is shorter; at least 20
//! ```
//!
//! The chance of e or more of n is the beta-binomial's with mean p and correlation ρ: as if one burst covered all of the
//! window. What lasts longer than [`LONGEST`] would take several: the chance is raised to the power of their number.
//!
//! A busy service is hardly held up by this; a quiet one that fails in bursts, or is not known well enough to say that it
//! does not, is acted on after minutes.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use statrs::function::{beta::checked_beta_reg, gamma::ln_gamma};

use super::{history::Cell, meter::upper, policy::Policy, share::Count, view::Place};
use crate::model::guard::{Baseline, BaselineCounts, EarlierCounts};

/// Bursts that nobody saw yet, and how bursty they are.
const IMAGINED: f64 = 2.0;
const BURSTY: f64 = 10.0;
/// φ̂ is taken for its upper bound with an error of 1 %: so many standard deviations of a normal law.
const DEVIATIONS: f64 = 2.326_347_874;
/// Where next to nothing was seen the quantile would be nought or less: not below this, cubed.
const LEAST_ROOT: f64 = 0.2;
/// So many requests of a step speak as loud as one burst that was seen.
const STEP: f64 = 100.0;
/// φ is that of a minute, of so many requests at least.
const MINUTE: f64 = 60.0;
const FEWEST: f64 = 20.0;
/// More correlation than this is not believed.
const MOST_CORRELATED: f64 = 0.5;
/// No burst lasts longer, in seconds.
const LONGEST: f64 = 300.0;
/// The tail is summed up to so many; above, counts are their shares.
const SUMMED_UP_TO: f64 = 2000.0;
/// What is known where nothing was counted: as if so many requests in steps of a hundred.
const LEAST_KNOWN: f64 = 1000.0;
/// So much of earlier states is kept, in seconds.
const WEEK: f64 = 7.0 * 24.0 * 3600.0;

/// What was counted before the change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    pub before: Count,
    /// φ̂, earlier states included.
    pub dispersion: f64,
    /// n̄.
    pub per_step: f64,
    seconds: f64,
    earlier: EarlierCounts,
}

const NOTHING: EarlierCounts = EarlierCounts {
    bad: 0.0,
    dispersion: 1.0,
    seconds: 0.0,
};

impl From<BaselineCounts> for Usual {
    fn from(counts: BaselineCounts) -> Self {
        let earlier = counts.earlier.unwrap_or(NOTHING);
        let before = Count {
            some: counts.bad,
            all: counts.requests,
        };
        Self {
            before,
            dispersion: pooled(
                (counts.dispersion, counts.seconds),
                (earlier.dispersion, earlier.seconds),
            ),
            per_step: counts.per_step,
            seconds: counts.seconds,
            earlier,
        }
    }
}

impl Usual {
    /// What a signal's share was counted from; where it was not counted, as if from little.
    pub fn of(policy: &Policy, baseline: &Baseline, signal: usize, place: Place) -> Option<Self> {
        let Place::Share { of, others, .. } = place else {
            return None;
        };
        let name = |signal: usize| policy.signals.get(signal).map(|signal| &signal.name);
        if let Some(counts) = baseline.counts.get(name(of)?) {
            let bad = Self::from(*counts);
            return Some(if others { bad.others() } else { bad });
        }
        let share = baseline.values.get(name(signal)?)?;
        Some(Self::of_share(*share))
    }

    /// Where only the share is known.
    pub fn of_share(share: f64) -> Self {
        Self {
            before: Count {
                some: share.clamp(0.0, 1.0) * LEAST_KNOWN,
                all: LEAST_KNOWN,
            },
            dispersion: 1.0,
            per_step: STEP,
            seconds: LEAST_KNOWN / STEP * MINUTE,
            earlier: NOTHING,
        }
    }

    /// Together with what else was counted of the same state.
    #[must_use]
    pub fn and(self, other: BaselineCounts) -> Self {
        let steps = self.before.all / self.per_step.max(1.0) + other.requests / other.per_step.max(1.0);
        let before = self.before.plus(Count {
            some: other.bad,
            all: other.requests,
        });
        Self {
            before,
            dispersion: pooled((self.dispersion, self.known()), (other.dispersion, other.seconds)),
            per_step: before.all / steps.max(1.0),
            seconds: self.seconds + other.seconds,
            ..self
        }
    }

    /// The same of the others.
    #[must_use]
    pub fn others(self) -> Self {
        Self {
            before: self.before.others(),
            ..self
        }
    }

    /// What a later state's counts keep of it.
    pub fn remembered(self) -> EarlierCounts {
        let kept = (WEEK / self.known()).min(1.0);
        EarlierCounts {
            bad: (self.bad() * kept).round(),
            dispersion: (self.dispersion * 1e4).round() / 1e4,
            seconds: (self.known() * kept).round(),
        }
    }

    /// How likely a share as high (`upward`) or as low, or farther out, would be in such a window, had nothing changed.
    pub fn chance(self, window: Cell, upward: bool) -> f64 {
        let side = |count: Count| if upward { count } else { count.others() };
        let (before, count) = (side(self.before), side(window.count));
        if !(count.some > 0.0 && count.all >= count.some && window.seconds > 0.0) {
            return 1.0;
        }
        let phi = self.burstiness();
        let mean = upper(before.some / phi, before.all / phi, 0.5);
        let rho = correlation(phi, count.all, window.seconds);
        let bursts = (window.seconds / LONGEST).max(1.0);
        tail(count, mean, rho).powf(bursts)
    }

    /// T: healthy time of this state and the earlier ones.
    fn known(self) -> f64 {
        self.seconds + self.earlier.seconds
    }

    /// Bad ones, or good ones where they are fewer; of the earlier states too.
    fn bad(self) -> f64 {
        self.before.some.min(self.before.all - self.before.some) + self.earlier.bad
    }

    /// φ: what was not seen imagined, and what was seen not taken for more than it tells.
    fn burstiness(self) -> f64 {
        let dispersion = self.dispersion.max(1.0);
        let independent = self.bad() / dispersion;
        let steps = self.before.all / self.per_step.max(1.0) * (self.known() / self.seconds).max(1.0);
        let seen = independent.min(steps) + self.per_step / STEP;
        let imagined = (seen * dispersion + IMAGINED * BURSTY) / (seen + IMAGINED);
        imagined.max(at_most(dispersion, independent.min(self.known() / LONGEST)))
    }
}

/// φ⁺: no burstier than this, where so many independent bursts could be seen.
fn at_most(dispersion: f64, freedom: f64) -> f64 {
    let spread = 2.0 / (9.0 * freedom);
    let root = 1.0 - spread - DEVIATIONS * spread.sqrt();
    let bound = 1.0 + (dispersion - 1.0) / root.max(LEAST_ROOT).powi(3);
    bound.min(dispersion.max(BURSTY))
}

/// The mean of two dispersions, by how long each was seen.
fn pooled(one: (f64, f64), other: (f64, f64)) -> f64 {
    let weighed = one.0.max(1.0) * one.1 + other.0.max(1.0) * other.1;
    let mean = weighed / (one.1 + other.1);
    if mean.is_finite() { mean } else { one.0.max(other.0) }
}

fn correlation(phi: f64, requests: f64, seconds: f64) -> f64 {
    let scale = if seconds > MINUTE { MINUTE / seconds } else { 1.0 };
    let together = (requests * scale).max(FEWEST * (seconds / MINUTE).min(1.0));
    ((phi - 1.0) / (together - 1.0).max(1.0)).clamp(1e-9, MOST_CORRELATED)
}

/// P(X ≥ some) for X ~ BetaBin(all, mean, ρ).
fn tail(count: Count, mean: f64, rho: f64) -> f64 {
    let s = 1.0 / rho - 1.0;
    let (a, b) = (mean * s, (1.0 - mean) * s);
    let Count { some, all } = count;
    if !(a > 0.0 && b > 0.0) {
        return 1.0;
    }
    if all > SUMMED_UP_TO {
        // Of so many, the share is the burst's own but for chance: less is taken for it.
        let share = ((some - 5.0 * some.sqrt()) / all).clamp(0.0, 1.0);
        return 1.0 - checked_beta_reg(a, b, share).unwrap_or(0.0);
    }
    let some = some.floor();
    let ln = |x: f64, y: f64| ln_gamma(x) + ln_gamma(y) - ln_gamma(x + y);
    let choose = -ln(some + 1.0, all - some + 1.0) - (all + 1.0).ln();
    let mut each = (choose + ln(a + some, b + all - some) - ln(a, b)).exp();
    let (mut sum, mut k) = (each, some);
    while k + 1.0 <= all && each > sum * 1e-12 {
        each *= (all - k) * (a + k) / ((k + 1.0) * (b + all - k - 1.0));
        sum += each;
        k += 1.0;
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn window(some: f64, all: f64, seconds: f64) -> Cell {
        Cell {
            count: Count { some, all },
            seconds,
        }
    }

    /// Steps of a minute.
    const fn usual(bad: f64, requests: f64, dispersion: f64, per_step: f64) -> Usual {
        Usual {
            before: Count {
                some: bad,
                all: requests,
            },
            dispersion,
            per_step,
            seconds: requests / per_step * MINUTE,
            earlier: NOTHING,
        }
    }

    /// mpmath 1.3 with 50 digits: `nsum(lambda k: binomial(n, k)*beta(a+k, b+n-k)/beta(a, b), [e, n])`.
    #[test]
    fn tails_agree_with_mpmath() {
        for (some, all, mean, rho, right) in MPMATH {
            let found = tail(Count { some, all }, mean, rho);
            assert!((found / right - 1.0).abs() < 1e-8, "{some} of {all}: {found} {right}");
        }
    }

    #[test]
    fn of_many_the_chance_is_never_taken_for_less_than_it_is() {
        let (rho, mean) = (0.02, 0.01);
        let summed = tail(
            Count {
                some: 300.0,
                all: 2000.0,
            },
            mean,
            rho,
        );
        let shared = tail(
            Count {
                some: 300.3,
                all: 2002.0,
            },
            mean,
            rho,
        );
        assert!(shared > summed && shared < summed * 20.0, "{shared} {summed}");
    }

    #[test]
    fn a_busy_service_that_fails_evenly_is_told_within_a_scrape() {
        let busy = usual(22.0, 22_500.0, 1.0, 300.0);
        assert!(busy.chance(window(15.0, 75.0, 15.0), true) < 1e-6);
        let spotless = usual(0.0, 22_500.0, 1.0, 300.0);
        assert!(spotless.chance(window(30.0, 150.0, 30.0), true) < 1e-6);
    }

    #[test]
    fn a_quiet_service_that_nobody_knows_well_is_given_minutes() {
        let quiet = usual(2.0, 1800.0, 1.0, 30.0);
        assert!(quiet.chance(window(15.0, 30.0, 60.0), true) > 1e-6, "half of a minute");
        assert!(
            quiet.chance(window(75.0, 150.0, 300.0), true) > 1e-6,
            "one burst may last so long"
        );
        assert!(quiet.chance(window(150.0, 300.0, 600.0), true) < 1e-6);
    }

    #[test]
    fn bursts_that_were_seen_are_believed_to_come_again() {
        let bursty = usual(1300.0, 43_200.0, 10.0, 30.0);
        assert!(bursty.chance(window(25.0, 30.0, 60.0), true) > 1e-4);
        let even = usual(1300.0, 43_200.0, 1.0, 30.0);
        assert!(even.chance(window(25.0, 30.0, 60.0), true) < 1e-6);
        let mirrored = even.others().chance(window(5.0, 30.0, 60.0), false);
        assert!((mirrored / even.chance(window(25.0, 30.0, 60.0), true) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn how_bursty_a_service_is_does_not_begin_anew_with_a_release() {
        let counted = |dispersion, earlier| BaselineCounts {
            requests: 3600.0,
            bad: 108.0,
            dispersion,
            per_step: 30.0,
            seconds: 7200.0,
            slower_than: None,
            earlier,
        };
        let bursty = Usual::from(BaselineCounts {
            seconds: 86_400.0,
            ..counted(10.0, None)
        });
        let minute = window(25.0, 30.0, 60.0);
        let calm = |earlier| Usual::from(counted(1.0, earlier)).chance(minute, true);
        assert!(calm(None) < 1e-6, "two calm hours are all that is known");
        assert!(calm(Some(bursty.remembered())) > 1e-4, "it was bursty all day before");
        // It is carried on from release to release, and fades after a week of calm.
        let mut kept = bursty.remembered();
        for _ in 0..12 {
            kept = Usual::from(counted(1.0, Some(kept))).remembered();
        }
        assert!(
            (kept.dispersion - 5.5).abs() < 1e-3 && kept.seconds > 172_799.0,
            "{kept:?}"
        );
        for _ in 0..1000 {
            kept = Usual::from(counted(1.0, Some(kept))).remembered();
        }
        assert!(kept.dispersion < 1.1 && kept.seconds <= WEEK, "{kept:?}");
    }

    #[test]
    fn few_bursts_are_not_taken_for_more_than_they_tell() {
        let seen = |bursts: f64| at_most(2.0, bursts);
        assert!(seen(2.0) >= BURSTY && seen(0.0) >= BURSTY, "next to nothing was seen");
        // SciPy 1.17.1: 1 + 1/(chi2.ppf(0.01, df)/df) is 3.2107 of 24 and 2.1125 of 1000.
        assert!(
            (seen(24.0) - 3.2107).abs() < 0.01 && (seen(1000.0) - 2.1125).abs() < 0.01,
            "{} {}",
            seen(24.0),
            seen(1000.0)
        );
        assert!(at_most(1.0, 3.0) <= 1.0, "what came evenly");
        assert!(at_most(14.0, 3.0) >= 14.0, "what is burstier than any that is imagined");
    }

    #[test]
    fn nothing_at_the_edges_panics() {
        for some in [-1.0, 0.0, 1.0, 30.0, f64::NAN] {
            for all in [0.0, 1.0, 30.0, 5000.0, f64::INFINITY] {
                for seconds in [0.0, 15.0, 1e6, f64::NAN] {
                    for before in [
                        usual(0.0, 0.0, 1.0, 0.0),
                        usual(f64::NAN, 5.0, f64::NAN, 1.0),
                        Usual::of_share(2.0),
                    ] {
                        let chance = before.chance(window(some, all, seconds), true);
                        let sane = chance.is_nan() || (0.0..=1.0).contains(&chance);
                        assert!(sane, "{some} of {all} in {seconds}: {chance}");
                    }
                }
            }
        }
    }

    const MPMATH: [(f64, f64, f64, f64, f64); 4] = [
        (15.0, 30.0, 0.01, 0.31, 0.00418621122479),
        (60.0, 300.0, 0.0005, 0.03, 2.90513562813e-6),
        (6.0, 6.0, 0.03, 0.13, 6.84251041388e-5),
        (25.0, 1800.0, 0.002, 0.01, 0.0323871232045),
    ];
}
