use proptest::prelude::*;

use super::{BaseRate, GRID, Meter, bound::upper};

/// One baseline, readings since, and what follows from them.
struct Case {
    /// N, E, φ̂, n̄.
    before: [f64; 4],
    alpha: f64,
    floor: f64,
    readings: &'static [(f64, f64)],
    tolerated: f64,
    rho: f64,
    capped: f64,
    uncapped: f64,
}

/// SciPy 1.17 and mpmath 1.3 with 50 digits: `t = max(1.2*scipy.stats.beta.ppf(.99, E/phi+1, (N-E)/phi), floor)`,
/// `rho = max(0, min(.5, (phi-1)/(nbar-1)))`, `s = 1/rho-1`, for each reading and each g
/// `lb(e+m*s, n-e+(1-m)*s) - lb(m*s, (1-m)*s)` with `lb(x, y) = loggamma(x)+loggamma(y)-loggamma(x+y)` at `m = min(g*t, .9)`
/// less the same at `m = t` (at rho 0: `e*log(m)+(n-e)*log(1-m)`), summed; then `log(sum(exp(sums))/6)`. Where capped, after each
/// reading what is more than `0.6*log(1/alpha)` above the value before is taken off all sums. p* agrees to 11 digits up to N/φ̂ = 10,000; beyond, the bound is an approximation (see `upper`).
const CASES: [Case; 7] = [
    Case {
        before: [9000.0, 0.0, 1.0, 30.0],
        alpha: 1e-4,
        floor: 1e-3,
        readings: &[(1.0, 20.0), (2.0, 20.0), (0.0, 20.0), (4.0, 20.0)],
        tolerated: 0.001,
        rho: 0.0,
        capped: 12.09103701829,
        uncapped: 21.56785552643,
    },
    Case {
        before: [4000.0, 3.0, 1.0, 30.0],
        alpha: 1e-4,
        floor: 1e-3,
        readings: &[(0.0, 60.0); 10],
        tolerated: 0.00301088252289,
        rho: 0.0,
        capped: -1.829691438192,
        uncapped: -1.829691438192,
    },
    Case {
        before: [50_000.0, 2500.0, 10.0, 35.0],
        alpha: 1e-6,
        floor: 1e-3,
        readings: &[(10.0, 30.0), (12.0, 30.0), (30.0, 30.0)],
        tolerated: 0.0691610450965,
        rho: 0.264705882353,
        capped: 7.323517187299,
        uncapped: 7.323517187299,
    },
    Case {
        before: [8000.0, 40.0, 2.5, 25.0],
        alpha: 1e-4,
        floor: 1e-2,
        readings: &[(1.0, 6.0), (0.0, 7.0), (3.0, 5.0)],
        tolerated: 0.0104916628649,
        rho: 0.0625,
        capped: 3.608213000038,
        uncapped: 3.608213000038,
    },
    Case {
        before: [100_000.0, 120.0, 1.0, 500.0],
        alpha: 1e-4,
        floor: 1e-3,
        readings: &[(0.0, 75.0), (3.0, 75.0), (9.0, 80.0), (31.0, 100.0)],
        tolerated: 0.00177635150944,
        rho: 0.0,
        capped: 14.319091869,
        uncapped: 138.4944933676,
    },
    Case {
        before: [300_000.0, 900.0, 4.2, 600.0],
        alpha: 1e-4,
        floor: 1e-3,
        readings: &[(5.0, 600.0), (30.0, 600.0), (60.0, 600.0), (200.0, 600.0)],
        tolerated: 0.00421374325668,
        rho: 0.00534223706177,
        capped: 14.42127627024,
        uncapped: 37.6333900708,
    },
    Case {
        before: [864_000.0, 8640.0, 1.0, 600.0],
        alpha: 1e-4,
        floor: 1e-3,
        readings: &[(9.0, 750.0), (14.0, 750.0), (25.0, 751.0)],
        tolerated: 0.0123022163698,
        rho: 0.0,
        capped: 4.481970903311,
        uncapped: 4.481970903311,
    },
];

#[test]
fn odds_agree_with_scipy_and_mpmath() {
    for case in CASES {
        let [requests, bad, dispersion, per_step] = case.before;
        let before = BaseRate {
            requests,
            bad,
            dispersion,
            per_step,
        };
        let exact = requests / dispersion <= 10_000.0;
        let near = |found: f64, right: f64, digits: f64| (found / right - 1.0).abs() < digits;
        let tolerated = before.tolerated(case.floor);
        assert!(
            near(tolerated, case.tolerated, if exact { 1e-11 } else { 4e-5 }),
            "{tolerated}"
        );
        assert!((before.correlation() - case.rho).abs() < 1e-12);
        // The odds are pinned at the very p* that they were computed for.
        for (capped, right) in [(true, case.capped), (false, case.uncapped)] {
            let meter = Meter::of(case.tolerated, before.correlation(), case.alpha);
            let mut meter = if capped { meter } else { meter.uncapped() };
            for (bad, all) in case.readings {
                meter.add(*bad, *all);
            }
            assert!(near(meter.log_odds(), right, 1e-9), "{} {right}", meter.log_odds());
        }
        assert!(Meter::new(before, case.alpha, case.floor).is_some());
    }
}

/// SciPy 1.17: `scipy.stats.beta.ppf(.99, bad + 1, all - bad)`.
#[test]
fn upper_bounds_agree_with_scipy() {
    for (bad, all, right) in [
        (0.0, 50.0, 0.087_989_160_644_09),
        (3.0, 24.0, 0.361_169_627_278_4),
        (12.0, 9999.0, 0.002_281_077_511_761),
        (120.0, 1e4, 0.014_784_200_334_86),
    ] {
        assert!((upper(bad, all, 0.01) - right).abs() < 1e-12, "{bad} of {all}");
    }
    for (bad, all, right, wider) in [
        (0.0, 1e5, 4.605_064_149_654e-5, 2.2e-3),
        (1.0, 2e6, 3.319_171_355_341e-6, 2.2e-3),
        (5.0, 1e6, 1.310_843_050_797e-5, 1.2e-3),
        (120.0, 1e5, 0.001_480_292_924_537, 4e-5),
        (8640.0, 864_000.0, 0.010_251_846_974_85, 1e-6),
        (90_000.0, 1e6, 0.090_667_875_966_05, 1e-6),
    ] {
        let excess = upper(bad, all, 0.01) / right - 1.0;
        assert!((-1e-9..wider).contains(&excess), "{bad} of {all}: {excess}");
    }
    assert!((upper(0.0, 0.0, 0.01) - 1.0).abs() < 1e-12 && (upper(5.0, 5.0, 0.01) - 1.0).abs() < 1e-12);
}

#[test]
fn it_takes_three_readings_however_bad_they_are() {
    let mut meter = Meter::of(0.01, 0.0, 1e-4);
    let mut tripped = Vec::new();
    for _ in 0..3 {
        meter.add(100_000.0, 100_000.0);
        tripped.push(meter.tripped());
    }
    assert_eq!(tripped, [false, false, true]);
    let mut uncapped = Meter::of(0.01, 0.0, 1e-4).uncapped();
    uncapped.add(30.0, 100.0);
    assert!(uncapped.tripped());
}

#[test]
fn bursts_that_were_seen_before_weigh_less() {
    let told = |dispersion: f64| {
        let before = BaseRate {
            requests: 100_000.0,
            bad: 1000.0,
            dispersion,
            per_step: 100.0,
        };
        let mut meter = Meter::new(before, 1e-4, 1e-3).unwrap();
        (1..).find(|_| {
            meter.add(6.0, 100.0);
            meter.tripped()
        })
    };
    assert_eq!((told(1.0), told(4.0)), (Some(3), Some(8)));
}

#[test]
fn where_nothing_could_be_worse_there_is_no_meter() {
    let before = |bad| BaseRate {
        requests: 1000.0,
        bad,
        dispersion: 1.0,
        per_step: 100.0,
    };
    assert!(Meter::new(before(600.0), 1e-4, 1e-3).is_some());
    assert!(Meter::new(before(800.0), 1e-4, 1e-3).is_none());
    let nothing = BaseRate {
        requests: 0.0,
        ..before(0.0)
    };
    assert!(Meter::new(nothing, 1e-4, 1e-3).is_none());
}

#[test]
fn it_says_what_it_read_and_begins_anew() {
    let mut meter = Meter::of(0.01, 0.0, 1e-4);
    for (bad, all) in [
        (0.0, 0.0),
        (1.0, 3.0),
        (31.0, 100.0),
        (f64::NAN, 5.0),
        (5.0, f64::INFINITY),
    ] {
        meter.add(bad, all);
    }
    let read = meter.read();
    assert_eq!((read.readings, read.bad.round(), read.all.round()), (2, 32.0, 103.0));
    assert!((read.largest - 0.31).abs() < 1e-12, "{read:?}");
    meter.begin();
    assert_eq!(meter, Meter::of(0.01, 0.0, 1e-4));
}

/// mpmath 1.3 with 50 digits, as above; each alternative's sum over i ≥ j taken for every j, with 0.1/(j(j+1)) for a beginning
/// right before reading j, 0.9 for the first, 0.1/(n+1) for what has not begun.
#[test]
fn later_beginnings_agree_with_mpmath() {
    let told = |rho: f64, tolerated: f64, readings: &[(f64, f64)]| {
        let mut meter = Meter::of(tolerated, rho, 1e-4).beginning_late();
        for (bad, all) in readings {
            meter.add(*bad, *all);
        }
        meter.log_odds()
    };
    let mut readings = vec![(0.0, 100.0); 40];
    readings.extend([(12.0, 100.0); 4]);
    let found = told(0.0, 0.01, &readings);
    assert!((found / 16.114_655_230_301 - 1.0).abs() < 1e-9, "{found}");
    let bursts = [(3.0, 100.0), (0.0, 100.0), (20.0, 100.0), (30.0, 100.0), (1.0, 40.0)];
    let found = told(0.05, 0.02, &bursts);
    assert!((found / 2.508_853_418_193_3 - 1.0).abs() < 1e-9, "{found}");
}

/// An hour of 20 good requests a second first; then one in ten is bad.
#[test]
fn what_turns_bad_late_is_told_within_minutes() {
    let told = |late: bool| {
        let meter = Meter::of(0.0025, 0.0, 1e-4);
        let mut meter = if late { meter.beginning_late() } else { meter };
        (0..240).for_each(|_| meter.add(0.0, 300.0));
        (1..1000).find(|_| {
            meter.add(30.0, 300.0);
            meter.tripped()
        })
    };
    assert_eq!((told(true), told(false)), (Some(4), Some(11)));
}

/// A small generator (SplitMix64), so that every run is the same.
struct Chance(u64);

impl Chance {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [a, b, c, d, ..] = (z ^ (z >> 31)).to_le_bytes();
        (f64::from(u32::from_le_bytes([a, b, c, d])) + 0.5) / 4_294_967_296.0
    }
}

/// Ville's bound, seen: with α = 5 %, of 2,000 releases whose share is exactly what is tolerated no more than 5 % ever trip
/// in 400 readings, although each is looked at 400 times.
#[test]
fn however_often_it_is_looked_at_it_is_hardly_ever_wrong() {
    let mut chance = Chance(7);
    let mut wrong = 0;
    for _ in 0..2000 {
        let mut meter = Meter::of(0.02, 0.0, 0.05).uncapped().beginning_late();
        wrong += u32::from((0..400).any(|_| {
            let bad: u32 = (0..20).map(|_| u32::from(chance.unit() < 0.02)).sum();
            meter.add(f64::from(bad), 20.0);
            meter.tripped()
        }));
    }
    assert!((1..=100).contains(&wrong), "{wrong} of 2000");
}

proptest! {
    #[test]
    fn any_numbers_give_finite_odds(
        before in (0.0..1e9_f64, 0.0..1.0_f64, 0.5..1e3_f64, 0.0..1e6_f64),
        readings in proptest::collection::vec((0.0..1e6_f64, 0.0..1e6_f64), 0..30),
    ) {
        let (requests, share, dispersion, per_step) = before;
        let before = BaseRate { requests, bad: requests * share, dispersion, per_step };
        if let Some(mut meter) = Meter::new(before, 1e-4, 1e-3) {
            let mut uncapped = meter.clone().uncapped();
            let (mut late, mut capped) = (uncapped.clone().beginning_late(), meter.clone().beginning_late());
            prop_assert!(meter.tolerated() >= 1e-3 && meter.tolerated() < 0.9);
            for (bad, all) in readings {
                let was = meter.log_odds();
                meter.add(bad, all);
                for meter in [&mut late, &mut capped, &mut uncapped] {
                    meter.add(bad, all);
                }
                prop_assert!(late.log_odds().is_finite() && late.log_odds() >= uncapped.log_odds() - 0.11);
                prop_assert!(capped.log_odds().is_finite() && capped.log_odds() <= late.log_odds() + 1e-6);
                prop_assert!(meter.log_odds().is_finite());
                prop_assert!(meter.log_odds() - was <= meter.trips_at() * 0.6 + 1e-6);
            }
        }
    }

    /// Whole readings or the same requests one by one: without bursts and cap it comes to the same.
    #[test]
    fn request_by_request_comes_to_the_same(bads in proptest::collection::vec(proptest::bool::weighted(0.1), 1..200)) {
        let (mut one_by_one, mut at_once) = (Meter::of(0.02, 0.0, 1e-4).uncapped(), Meter::of(0.02, 0.0, 1e-4).uncapped());
        let bad = bads.iter().map(|bad| f64::from(u8::from(*bad)));
        bad.clone().for_each(|bad| one_by_one.add(bad, 1.0));
        at_once.add(bad.clone().sum(), bad.map(|_| 1.0).sum());
        prop_assert!((one_by_one.log_odds() - at_once.log_odds()).abs() < 1e-9);
        prop_assert_eq!(GRID.len(), 6);
    }
}
