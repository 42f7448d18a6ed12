//! The world's dice: a small seeded generator (SplitMix64), so that one seed is one story.

use std::f64::consts::TAU;

use crate::number::{count, float};

/// A seeded source of randomness.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn seeded(seed: u64) -> Self {
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.0)
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        float(self.next() >> 11) / float(1 << 53)
    }

    /// `length` characters of the alphabet that Kubernetes uses for generated names.
    pub(crate) fn suffix(&mut self, length: usize) -> String {
        const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..length)
            .map(|_| char::from(ALPHABET[usize::from(self.byte()) % 27]))
            .collect()
    }

    /// A version 4 UUID.
    pub(crate) fn uid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | ((low >> 48) & 0x3fff),
            low & 0xffff_ffff_ffff
        )
    }

    /// A standard normal number.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }

    /// How many events of a Poisson process with this mean.
    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 60.0 {
            return count((mean + mean.sqrt() * self.normal() + 0.5).max(0.0));
        }
        let (limit, mut product, mut events) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            events += 1;
        }
        events
    }

    /// How many of `trials` succeed at this share.
    pub(crate) fn binomial(&mut self, trials: u64, share: f64) -> u64 {
        if share <= 0.0 || trials == 0 {
            return 0;
        }
        if share >= 1.0 {
            return trials;
        }
        if share > 0.5 {
            return trials - self.binomial(trials, 1.0 - share);
        }
        let mean = float(trials) * share;
        if mean > 60.0 {
            let spread = (mean * (1.0 - share)).sqrt();
            return count((mean + spread * self.normal() + 0.5).max(0.0)).min(trials);
        }
        self.binomial_by_inversion(trials, share)
    }

    fn binomial_by_inversion(&mut self, trials: u64, share: f64) -> u64 {
        let odds = share / (1.0 - share);
        let mut chance = (1.0 - share).powf(float(trials));
        let (mut left, mut successes) = (self.unit(), 0);
        while left > chance && successes < trials {
            left -= chance;
            chance *= odds * float(trials - successes) / float(successes + 1);
            successes += 1;
        }
        successes
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }
}

/// A well-mixed hash of `text`, the same on every machine.
pub(crate) fn hashed(text: &str) -> u64 {
    let folded = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mixed(folded)
}

fn mixed(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}
