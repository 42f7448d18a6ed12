//! Pure. How sure a share is: exact binomial (Clopper–Pearson) bounds, one-sided.
//!
//! The lower bound at error e lies above a limit p exactly when so many bad ones, or more, would come with probability
//! below e if the true share were p. That needs one incomplete beta function instead of its inverse.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use statrs::function::beta::checked_beta_reg;

use super::condition::Relation;

/// Some of all, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    pub some: f64,
    pub all: f64,
}

impl Count {
    /// The share, where anything was counted.
    pub fn share(self) -> Option<f64> {
        (self.all > 0.0).then(|| self.some / self.all)
    }

    /// The others of all.
    pub fn others(self) -> Self {
        Self {
            some: self.all - self.some,
            all: self.all,
        }
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            some: self.some + other.some,
            all: self.all + other.all,
        }
    }

    /// What is left of it to be sure with, where counts came in bursts: φ̂ times fewer. More than 20 is not believed, else
    /// nothing would ever be sure.
    pub fn spread_by(self, dispersion: f64) -> Self {
        let by = if dispersion > 1.0 {
            dispersion.min(MOST_SPREAD)
        } else {
            1.0
        };
        Self {
            some: self.some / by,
            all: self.all / by,
        }
    }

    /// Whether the true share is beyond the limit, wrong with probability `error` at most. Cheap where the plain share
    /// is not beyond it.
    pub fn surely(self, relation: Relation, limit: f64, error: f64) -> bool {
        let plain = self.share().is_some_and(|share| relation.holds(share, limit));
        // Chernoff's bound is never below the chance, so where it is small enough nothing dearer is needed.
        plain && limit.is_finite() && (self.at_most(relation, limit) < error || self.chance(relation, limit) < error)
    }

    /// How likely a share as far out, or farther, would be if the true share were the limit.
    pub fn chance(self, relation: Relation, limit: f64) -> f64 {
        let side = if relation.upward() { self } else { self.others() };
        let limit = if relation.upward() { limit } else { 1.0 - limit };
        if limit < 0.0 {
            return 0.0; // every share is beyond it
        }
        if limit >= 1.0 || side.some <= 0.0 || side.some > side.all {
            return 1.0;
        }
        if self.all > EXACT_UP_TO {
            return chernoff(side, limit);
        }
        // P(X ≥ some) for X ~ Binomial(all, limit) = I_limit(some, all − some + 1).
        checked_beta_reg(side.some, side.all - side.some + 1.0, limit).unwrap_or(1.0)
    }

    /// No less than the chance of a share as far out, cheaply.
    fn at_most(self, relation: Relation, limit: f64) -> f64 {
        let (side, limit) = if relation.upward() {
            (self, limit)
        } else {
            (self.others(), 1.0 - limit)
        };
        if limit > 0.0 && limit < 1.0 {
            chernoff(side, limit)
        } else {
            1.0
        }
    }

    /// The exact bound: at least this (`upward`), or at most this, with that error.
    pub fn bound(self, upward: bool, error: f64) -> f64 {
        let relation = if upward { Relation::Greater } else { Relation::Less };
        let (mut beyond, mut within) = if upward { (0.0, 1.0) } else { (1.0, 0.0) };
        for _ in 0..60 {
            let middle = f64::midpoint(beyond, within);
            if self.chance(relation, middle) < error {
                beyond = middle;
            } else {
                within = middle;
            }
        }
        beyond
    }
}

/// Above so many the beta function's continued fraction is cut off before it has converged, so Chernoff's bound, which
/// is never too small a chance, takes its place.
const EXACT_UP_TO: f64 = 10_000.0;

/// Bursts beyond this are not believed.
const MOST_SPREAD: f64 = 20.0;

/// P(X ≥ some) ≤ exp(−all · KL(share ‖ limit)) where the share is above the limit.
fn chernoff(count: Count, limit: f64) -> f64 {
    let share = count.some / count.all;
    if share <= limit {
        return 1.0;
    }
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    (-count.all * (part(share, limit) + part(1.0 - share, 1.0 - limit))).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn of(some: f64, all: f64) -> Count {
        Count { some, all }
    }

    /// SciPy 1.17: `scipy.stats.beta.ppf(e, x, n - x + 1)` below, `scipy.stats.beta.ppf(1 - e, x + 1, n - x)` above
    /// (`scipy.stats.beta.isf(e, …)` for the small errors).
    #[test]
    fn bounds_agree_with_scipy() {
        for (some, all, error, lower, upper) in SCIPY {
            let count = of(some, all);
            let (low, high) = (count.bound(true, error), count.bound(false, error));
            assert!(
                (low - lower).abs() < 1e-9,
                "lower {some}/{all} at {error}: {low} {lower}"
            );
            assert!(
                (high - upper).abs() < 1e-9,
                "upper {some}/{all} at {error}: {high} {upper}"
            );
            if low > 0.0 {
                assert!(count.surely(Relation::Greater, low - 1e-7, error));
                assert!(!count.surely(Relation::Greater, low + 1e-7, error));
            }
            if high < 1.0 {
                assert!(count.surely(Relation::Less, high + 1e-7, error));
                assert!(!count.surely(Relation::Less, high - 1e-7, error));
            }
        }
    }

    /// SciPy, as above: 0.045970533133 and 0.054248660076 for 5,000 of 100,000 at 1e-9.
    #[test]
    fn large_counts_are_bounded_a_little_wider_than_exactly() {
        let count = of(5e3, 1e5);
        let (low, high) = (count.bound(true, 1e-9), count.bound(false, 1e-9));
        assert!((0.0456..0.045_970_54).contains(&low), "{low}");
        assert!((0.054_248_66..0.0546).contains(&high), "{high}");
    }

    #[test]
    fn exactly_the_limit_is_never_surely_beyond_it() {
        assert!(!of(5e6, 1e8).surely(Relation::Greater, 0.05, 0.4));
        assert!(!of(7e7, 1e8).surely(Relation::Less, 0.7, 0.4));
        assert!(!of(0.0, 0.0).surely(Relation::Less, 0.7, 0.4));
    }

    #[test]
    fn nothing_at_the_edges_panics() {
        for some in [-1.0, 0.0, 1.0, 30.0, f64::NAN] {
            for all in [0.0, 1.0, 30.0, f64::INFINITY] {
                for limit in [-1.0, 0.0, 0.5, 1.0, 2.0, f64::NAN] {
                    for relation in [Relation::Less, Relation::Greater] {
                        of(some, all).surely(relation, limit, 1e-6);
                    }
                }
            }
        }
        assert!(
            of(1.0, 1.0).surely(Relation::Greater, 0.0, 1e-6),
            "one bad is more than none"
        );
        assert!(!of(1.0, 1.0).surely(Relation::Less, 2.0, 0.0));
    }

    const SCIPY: [(f64, f64, f64, f64, f64); 10] = [
        (3.0, 24.0, 1e-06, 0.000793852231, 0.615229606389),
        (129.0, 412.0, 1e-06, 0.211723185434, 0.428430531046),
        (18.0, 60.0, 1e-06, 0.082681234946, 0.611671308669),
        (0.0, 50.0, 0.025, 0.000000000000, 0.071121736464),
        (50.0, 50.0, 0.025, 0.928878263536, 1.000000000000),
        (10.0, 100.0, 0.025, 0.049004689221, 0.176222597740),
        (1.0, 1000.0, 0.01, 0.000010050285, 0.006619668396),
        (280.0, 412.0, 1e-06, 0.563907154897, 0.781919949557),
        (500.0, 10000.0, 1e-09, 0.037965131045, 0.064231594981),
        (12.0, 12.0, 1e-06, 0.316227766017, 1.000000000000),
    ];
}
