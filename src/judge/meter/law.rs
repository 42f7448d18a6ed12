//! Pure. How likely counts are under one share: binomial, or beta-binomial where they come in bursts.
//!
//! Only ratios of likelihoods with the same s are used, so what all have in common (ln C(n, e), ln Γ(s) − ln Γ(n + s)) is
//! left out.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use statrs::function::gamma::ln_gamma;

/// Less correlation than this is none: the binomial is its limit.
const NONE: f64 = 1e-9;

/// One share's law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    Binomial {
        ln_bad: f64,
        ln_good: f64,
    },
    /// a = m s and b = (1 − m) s.
    BetaBinomial {
        a: f64,
        b: f64,
        ln_a: f64,
        ln_b: f64,
    },
}

impl Law {
    /// The law of a mean between 0 and 1 (both excluded) and a correlation below 1.
    pub fn new(mean: f64, rho: f64) -> Self {
        if rho <= NONE {
            return Self::Binomial {
                ln_bad: mean.ln(),
                ln_good: (-mean).ln_1p(),
            };
        }
        let s = 1.0 / rho - 1.0;
        let (a, b) = (mean * s, (1.0 - mean) * s);
        Self::BetaBinomial {
            a,
            b,
            ln_a: ln_gamma(a),
            ln_b: ln_gamma(b),
        }
    }

    /// The logarithm of the likelihood, but for what all laws of the same correlation share.
    pub fn weigh(&self, bad: f64, good: f64) -> f64 {
        match *self {
            Self::Binomial { ln_bad, ln_good } => bad * ln_bad + good * ln_good,
            Self::BetaBinomial { a, b, ln_a, ln_b } => rising(a, ln_a, bad) + rising(b, ln_b, good),
        }
    }
}

/// ln Γ(x + n) − ln Γ(x).
fn rising(x: f64, ln_x: f64, n: f64) -> f64 {
    if n > 0.0 { ln_gamma(x + n) - ln_x } else { 0.0 }
}
