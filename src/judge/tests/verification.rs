//! Plan B's verification list as the shipped example has it: each point alone keeps a rollback from being called done.

use std::time::Duration;

use super::timeline::{baseline, plus, start};
use crate::{
    judge::{Context, Facts, Memory, Truth, judge, policy::Policy, verify_conditions},
    model::{
        guard::Guard,
        preset::Preset,
        reading::{Because, Measured, Reading},
    },
};

const EXAMPLE: &str = include_str!("../../../config/guards/plan-b-verification.yaml");
const DONE: [(&str, f64); 5] = [
    ("new_scheduler", 0.0),
    ("legacy_share", 1.0),
    ("error_rate", 0.001),
    ("throughput", 1010.0),
    ("failed_tests", 0.0),
];

/// Whether each point holds after a minute with these numbers; a number that is missing is not known.
fn points(numbers: &[(&str, f64)]) -> Vec<Truth> {
    let guard: Guard = serde_saphyr::from_str(EXAMPLE).unwrap_or_else(|why| panic!("{why}"));
    let policy = Policy::compile("shop", &guard.spec, &Preset::shipped()).unwrap_or_else(|all| panic!("{all:?}"));
    let mut memory = Memory::new(&policy);
    let (facts, before) = (Facts::default(), baseline(&[("throughput", 1000.0)]));
    let measured = |name: &str| {
        let number = numbers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, number)| *number);
        match (name, number) {
            (_, None) => Measured::Unknown(Because::NoData),
            ("legacy_share", Some(share)) => Measured::Counts {
                bad: 10_000.0 * (1.0 - share),
                total: 10_000.0,
            },
            ("error_rate", Some(share)) => Measured::Counts {
                bad: 10_000.0 * share,
                total: 10_000.0,
            },
            (_, Some(value)) => Measured::Value {
                value,
                over: Duration::ZERO,
            },
        }
    };
    let context = |at| Context {
        now: at,
        since: start(),
        baseline: Some(&before),
        facts: &facts,
        rolled_out: true,
    };
    let mut last = start();
    for turn in 1..=5 {
        last = plus(start(), turn * 15);
        let reading = Reading {
            at: last,
            span: Duration::from_secs(15),
            newest: Some(last),
            signals: policy.signals.iter().map(|signal| measured(&signal.name)).collect(),
        };
        let _ = judge(&policy, &mut memory, Some(&reading), &context(last));
    }
    let told = verify_conditions(&policy, &mut memory, &context(last));
    told.into_iter().map(|(_, truth, _)| truth).collect()
}

fn but(name: &str, number: Option<f64>) -> Vec<Truth> {
    let others = DONE.into_iter().filter(|(known, _)| *known != name);
    points(&others.chain(number.map(|number| (name, number))).collect::<Vec<_>>())
}

#[test]
fn plan_bs_list_is_done_when_all_five_hold() {
    assert_eq!(points(&DONE), [Truth::True; 5]);
}

#[test]
fn each_point_of_plan_bs_list_alone_keeps_it_from_being_done() {
    let wrong = [
        (0, "new_scheduler", 1.0),
        (1, "legacy_share", 0.9),
        (2, "throughput", 970.0),
        (2, "throughput", 1030.0),
        (3, "error_rate", 0.02),
        (4, "failed_tests", 1.0),
    ];
    for (place, name, number) in wrong {
        let mut expected = [Truth::True; 5];
        expected[place] = Truth::False;
        assert_eq!(but(name, Some(number)), expected, "{name} {number}");
        expected[place] = Truth::Unknown;
        assert_eq!(but(name, None), expected, "what is not known proves nothing: {name}");
    }
}
