//! Pure. A share over healthy time, without one earlier spike.
//!
//! The spike is the stretch in which most came beyond twice the share of all. It is left out where it is no longer than a
//! quarter of the time and where the exact bounds of both say that it is not like the rest: chance would bring as many, or
//! more, once in a thousand million times even if the rest were as bad as its counts allow. What comes by chance, or again and
//! again, is how the service is and stays in: the share of rare errors is not biased low.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::judge::{condition::Relation, share::Count};

/// How often chance may make a spike.
const ERROR: f64 = 1e-9;
/// How often the rest may be worse than its bound.
const REST: f64 = 0.01;
const TWICE: f64 = 2.0;

/// The sum of the steps without one spike.
pub fn without_spike(steps: &[Count]) -> Count {
    let all = sum(steps);
    let Some(share) = all.share().filter(|share| *share > 0.0) else {
        return all;
    };
    let (from, to) = worst(steps, share * TWICE);
    let spike = steps.get(from..to).map(sum).unwrap_or_default();
    let rest = Count {
        some: all.some - spike.some,
        all: all.all - spike.all,
    };
    let is_short = to > from && (to - from) * 4 <= steps.len();
    // The bound of the rest costs most and is asked last.
    let is_spike = is_short
        && rest
            .share()
            .is_some_and(|share| spike.surely(Relation::Greater, share, ERROR))
        && spike.surely(Relation::Greater, rest.bound(false, REST), ERROR);
    if is_spike { rest } else { all }
}

/// The stretch in which most came beyond that share.
fn worst(steps: &[Count], share: f64) -> (usize, usize) {
    let (mut worst, mut most) = ((0, 0), 0.0);
    let (mut from, mut beyond) = (0, 0.0);
    for (place, step) in steps.iter().enumerate() {
        if beyond <= 0.0 {
            (from, beyond) = (place, 0.0);
        }
        beyond += step.some - share * step.all;
        if beyond > most {
            (worst, most) = ((from, place + 1), beyond);
        }
    }
    worst
}

fn sum(steps: &[Count]) -> Count {
    steps.iter().fold(Count::default(), |sum, step| sum.plus(*step))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An hour of minutes: so many bad of so many, and some minutes of others.
    fn hour(usual: (f64, f64), others: &[(std::ops::Range<usize>, f64)]) -> f64 {
        let minute = |place: usize| {
            let other = others.iter().find(|(range, _)| range.contains(&place));
            Count {
                some: other.map_or(usual.0, |(_, some)| *some),
                all: usual.1,
            }
        };
        let steps: Vec<Count> = (0..60).map(minute).collect();
        without_spike(&steps).share().unwrap()
    }

    fn is(share: f64, expected: f64) -> bool {
        (share - expected).abs() <= expected * 1e-6
    }

    #[test]
    fn one_spike_is_left_out_wherever_it_lies() {
        for from in [0, 20, 55] {
            let spike = [(from..from + 5, 120.0)];
            assert!(is(hour((6.0, 3000.0), &spike), 0.002), "from minute {from}");
        }
        assert!(
            is(hour((0.0, 60.0), &[(10..15, 12.0)]), 0.0),
            "also where little is asked"
        );
    }

    #[test]
    fn what_chance_brings_stays_in() {
        // One error in an hour, and three in one minute.
        assert!(is(hour((0.0, 20.0), &[(30..31, 1.0)]), 1.0 / 1200.0));
        assert!(is(hour((0.0, 20.0), &[(30..31, 3.0)]), 3.0 / 1200.0));
    }

    #[test]
    fn what_comes_again_and_again_or_lasts_is_how_it_is() {
        let bursts: Vec<_> = (0..6).map(|n| (n * 10..n * 10 + 1, 30.0)).collect();
        let (without, with) = (hour((1.0, 100.0), &bursts), (54.0 + 180.0) / 6000.0);
        assert!(without > with * 0.85 && without <= with, "{without} of {with}");
        let long = hour((6.0, 3000.0), &[(10..26, 120.0)]);
        assert!(is(long, (44.0 * 6.0 + 16.0 * 120.0) / 180_000.0), "{long}");
    }

    /// Rare errors by chance: over many hours the share stays what it is.
    #[test]
    fn rare_errors_are_not_counted_low() {
        let mut seed: u64 = 7;
        let mut dice = || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 40).is_multiple_of(1000)
        };
        let (mut kept, mut all) = (0.0, 0.0);
        for _ in 0..300 {
            let minute = |_| Count {
                some: (0..20).map(|_| if dice() { 1.0 } else { 0.0 }).sum(),
                all: 20.0,
            };
            let steps: Vec<Count> = (0..60).map(minute).collect();
            kept += without_spike(&steps).some;
            all += sum(&steps).some;
        }
        assert!(all > 200.0 && kept >= all, "{kept} of {all}");
    }
}
