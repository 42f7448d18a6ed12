//! Seeded chance: exact Poisson, binomial, gamma and beta numbers, the same on every machine.
//!
//! Means above ten are drawn by Hörmann's transformed rejection (PTRS 1993, BTRS 1993), which is exact: no normal
//! approximation, because everything that is measured here happens in the tails.

use statrs::function::gamma::ln_gamma;

/// A small generator (SplitMix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(mixed(seed ^ 0x5851_f42d_4c95_7f2d))
    }

    /// Another one, which depends on this seed and that number alone.
    pub fn other(seed: u64, number: u64) -> Self {
        Self::new(mixed(seed).wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// In (0, 1).
    pub fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// In (from, to).
    pub fn within(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Events of a Poisson process with that mean.
    pub fn poisson(&mut self, mean: f64) -> f64 {
        if mean <= 0.0 {
            return 0.0;
        }
        if mean < 10.0 {
            let (limit, mut product, mut events) = ((-mean).exp(), self.unit(), 0.0);
            while product > limit {
                product *= self.unit();
                events += 1.0;
            }
            return events;
        }
        let (log, b) = (mean.ln(), 0.931 + 2.53 * mean.sqrt());
        let a = -0.059 + 0.024_83 * b;
        let (inverse, sure) = (1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2.0));
        loop {
            let (u, v) = (self.unit() - 0.5, self.unit());
            let tail = 0.5 - u.abs();
            let events = ((2.0 * a / tail + b) * u + mean + 0.43).floor();
            if tail >= 0.07 && v <= sure {
                return events;
            }
            if events < 0.0 || (tail < 0.013 && v > tail) {
                continue;
            }
            let bound = events * log - mean - ln_gamma(events + 1.0);
            if (v * inverse / (a / (tail * tail) + b)).ln() <= bound {
                return events;
            }
        }
    }

    /// How many of so many trials succeed at this share.
    pub fn binomial(&mut self, trials: f64, share: f64) -> f64 {
        if share <= 0.0 || trials <= 0.0 {
            return 0.0;
        }
        if share >= 1.0 {
            return trials;
        }
        if share > 0.5 {
            return trials - self.binomial(trials, 1.0 - share);
        }
        if trials * share < 10.0 {
            self.few(trials, share)
        } else {
            self.many(trials, share)
        }
    }

    fn few(&mut self, trials: f64, share: f64) -> f64 {
        let odds = share / (1.0 - share);
        let mut chance = (trials * (-share).ln_1p()).exp();
        let (mut left, mut successes) = (self.unit(), 0.0);
        while left > chance && successes < trials {
            left -= chance;
            chance *= odds * (trials - successes) / (successes + 1.0);
            successes += 1.0;
        }
        successes
    }

    fn many(&mut self, trials: f64, share: f64) -> f64 {
        let spread = (trials * share * (1.0 - share)).sqrt();
        let b = 1.15 + 2.53 * spread;
        let a = -0.0873 + 0.0248 * b + 0.01 * share;
        let (centre, sure) = (trials * share + 0.5, 0.92 - 4.2 / b);
        let (ratio, alpha) = (share / (1.0 - share), (2.83 + 5.1 / b) * spread);
        let mode = ((trials + 1.0) * share).floor();
        loop {
            let (u, v) = (self.unit() - 0.5, self.unit());
            let tail = 0.5 - u.abs();
            let k = ((2.0 * a / tail + b) * u + centre).floor();
            if tail >= 0.07 && v <= sure {
                return k;
            }
            if k < 0.0 || k > trials {
                continue;
            }
            let bound = (mode + 0.5) * ((mode + 1.0) / (ratio * (trials - mode + 1.0))).ln()
                + (trials + 1.0) * ((trials - mode + 1.0) / (trials - k + 1.0)).ln()
                + (k + 0.5) * (ratio * (trials - k + 1.0) / (k + 1.0)).ln()
                + stirling(mode)
                + stirling(trials - mode)
                - stirling(k)
                - stirling(trials - k);
            if (v * alpha / (a / (tail * tail) + b)).ln() <= bound {
                return k;
            }
        }
    }

    /// Gamma distributed with that shape and scale 1 (Marsaglia and Tsang 2000).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.gamma(shape + 1.0) * self.unit().powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// A share that is `mean` on average; `rho` is the correlation of two requests that it holds for.
    pub fn beta(&mut self, mean: f64, rho: f64) -> f64 {
        if rho <= 0.0 || mean <= 0.0 || mean >= 1.0 {
            return mean.clamp(0.0, 1.0);
        }
        let size = 1.0 / rho - 1.0;
        let (a, b) = (self.gamma(mean * size), self.gamma((1.0 - mean) * size));
        if a + b > 0.0 { a / (a + b) } else { 0.0 }
    }
}

/// The remainder of Stirling's formula.
fn stirling(k: f64) -> f64 {
    const FIRST: [f64; 10] = [
        0.081_061_466_795_327_3,
        0.041_340_695_955_409_3,
        0.027_677_925_684_998_3,
        0.020_790_672_103_765_1,
        0.016_644_691_189_821_2,
        0.013_876_128_823_070_7,
        0.011_896_709_945_891_8,
        0.010_411_265_261_972_1,
        0.009_255_462_182_712_73,
        0.008_330_563_433_362_87,
    ];
    if k <= 9.0 {
        return FIRST[k as usize];
    }
    let (once, square) = (k + 1.0, (k + 1.0) * (k + 1.0));
    (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / square) / square) / once
}

fn mixed(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of 200,000 drawn numbers.
    fn moments(mut draw: impl FnMut(&mut Chance) -> f64) -> (f64, f64) {
        let mut chance = Chance::new(7);
        let drawn: Vec<f64> = (0..200_000).map(|_| draw(&mut chance)).collect();
        let mean = drawn.iter().sum::<f64>() / 200_000.0;
        (mean, drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 200_000.0)
    }

    fn close(drawn: (f64, f64), mean: f64, variance: f64) {
        let apart = (drawn.0 - mean).abs() / (variance / 200_000.0).sqrt();
        assert!(apart < 4.5, "mean {} is not {mean}", drawn.0);
        assert!(
            (drawn.1 / variance - 1.0).abs() < 0.05,
            "variance {} is not {variance}",
            drawn.1
        );
    }

    #[test]
    fn drawn_numbers_have_their_means_and_variances() {
        for mean in [0.3, 4.0, 11.0, 15_000.0] {
            close(moments(|c| c.poisson(mean)), mean, mean);
        }
        for (n, p) in [
            (20.0, 0.05),
            (1500.0, 0.002),
            (1500.0, 0.03),
            (15_000.0, 0.4),
            (90.0, 0.9),
        ] {
            close(moments(|c| c.binomial(n, p)), n * p, n * p * (1.0 - p));
        }
        for (p, rho) in [(0.01, 0.15), (0.05, 0.01), (0.3, 0.4)] {
            close(moments(|c| c.beta(p, rho)), p, p * (1.0 - p) * rho);
        }
    }
}
