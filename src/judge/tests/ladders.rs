//! The plans' grades as ladders of triggers: the shipped examples, step by step, each limit from both sides.

use std::{fmt::Write as _, time::Duration};

use super::timeline::{baseline, plus, start};
use crate::{
    judge::{
        Context, Facts, Finding, Memory, Truth, judge,
        policy::{Policy, Rule},
    },
    model::{
        guard::{Guard, GuardSpec},
        preset::Preset,
        reading::{Measured, Reading},
    },
};

const PLAN_A: &str = include_str!("../../../config/guards/plan-a-levels.yaml");
const PLAN_B: &str = include_str!("../../../config/guards/plan-b-severities.yaml");
const SMALLEST: &str = include_str!("../../../config/guards/orders.yaml");

fn compiled(example: &str) -> Policy {
    let guard: Guard = serde_saphyr::from_str(example).unwrap_or_else(|why| panic!("{why}"));
    Policy::compile("shop", &guard.spec, &Preset::shipped()).unwrap_or_else(|all| panic!("{all:?}"))
}

/// A line for each value of one signal: the worst grade that fires, its action, and what is said of it.
fn ladder(example: &str, healthy: &[(&str, f64)], signal: &str, values: &[f64]) -> String {
    let mut told = String::new();
    for value in values {
        let worst = firing(example, healthy, signal, *value)
            .into_iter()
            .max_by_key(|finding| finding.rank);
        match worst {
            None => writeln!(told, "{value:>6}  none").unwrap(),
            Some(found) => {
                let (grade, action, said) = (found.grade, found.action, found.evidence.sentence);
                writeln!(told, "{value:>6}  {grade} {action:?}: {said}").unwrap();
            }
        }
    }
    told
}

/// What fires after a minute with this value, everything else as it was when healthy.
fn firing(example: &str, healthy: &[(&str, f64)], moved: &str, to: f64) -> Vec<Finding> {
    let policy = compiled(example);
    let mut memory = Memory::new(&policy);
    let (facts, before) = (Facts::default(), baseline(healthy));
    let number = |name: &str| healthy.iter().find(|(known, _)| *known == name).unwrap().1;
    let mut firing = Vec::new();
    for turn in 1..=4 {
        let at = plus(start(), turn * 15);
        let signals = policy.signals.iter().map(|signal| Measured::Value {
            value: if signal.name == moved { to } else { number(&signal.name) },
            over: Duration::ZERO,
        });
        let reading = Reading {
            at,
            span: Duration::from_secs(15),
            newest: Some(at),
            signals: signals.collect(),
        };
        let context = Context {
            now: at,
            since: start(),
            baseline: Some(&before),
            facts: &facts,
            rolled_out: true,
        };
        firing = judge(&policy, &mut memory, Some(&reading), &context).firing;
    }
    firing
}

const A_WHEN_HEALTHY: [(&str, f64); 4] = [
    ("test_coverage", 0.8),
    ("failing_tests", 0.0),
    ("broken_jobs", 0.0),
    ("task_time", 1.0),
];
const B_WHEN_HEALTHY: [(&str, f64); 2] = [("throughput", 1000.0), ("workers", 3.0)];

#[test]
fn plan_a_coverage_five_percent_lower_is_level_1_and_ten_is_level_2() {
    let values = [0.8, 0.761, 0.76, 0.721, 0.72, 0.5];
    insta::assert_snapshot!(ladder(PLAN_A, &A_WHEN_HEALTHY, "test_coverage", &values), @r#"
  0.8  none
0.761  none
 0.76  1 Monitor: change(test_coverage) -5 % <= -5 % for 45 s (test_coverage 76 %; baseline 80 %)
0.721  1 Monitor: change(test_coverage) -9.88 % <= -5 % for 45 s (test_coverage 72.1 %; baseline 80 %)
 0.72  2 AlertAndManualReview: change(test_coverage) -10 % <= -10 % for 45 s (test_coverage 72 %; baseline 80 %)
  0.5  2 AlertAndManualReview: change(test_coverage) -37.5 % <= -10 % for 45 s (test_coverage 50 %; baseline 80 %)
"#);
}

#[test]
fn plan_a_ten_to_under_twenty_percent_slower_is_level_1_and_twenty_is_level_2() {
    let values = [1.0, 1.04, 1.05, 1.09, 1.1, 1.15, 1.199, 1.2, 1.5];
    insta::assert_snapshot!(ladder(PLAN_A, &A_WHEN_HEALTHY, "task_time", &values), @r#"
    1  none
 1.04  none
 1.05  1 Monitor: change(task_time) 5 % >= 5 % for 45 s (task_time 1.05 s; baseline 1 s)
 1.09  1 Monitor: change(task_time) 9 % >= 5 % for 45 s (task_time 1.09 s; baseline 1 s)
  1.1  1 Monitor: change(task_time) 10 % >= 5 % for 45 s (task_time 1.1 s; baseline 1 s)
 1.15  1 Monitor: change(task_time) 15 % >= 5 % for 45 s (task_time 1.15 s; baseline 1 s)
1.199  1 Monitor: change(task_time) 19.9 % >= 5 % for 45 s (task_time 1.2 s; baseline 1 s)
  1.2  2 AlertAndManualReview: change(task_time) 20 % >= 20 % for 45 s (task_time 1.2 s; baseline 1 s)
  1.5  2 AlertAndManualReview: change(task_time) 50 % >= 20 % for 45 s (task_time 1.5 s; baseline 1 s)
"#);
}

#[test]
fn plan_a_thirty_percent_of_all_tests_includes_thirty() {
    let values = [0.0, 0.299, 0.3, 0.301, 1.0];
    insta::assert_snapshot!(ladder(PLAN_A, &A_WHEN_HEALTHY, "failing_tests", &values), @r#"
    0  none
0.299  none
  0.3  3 AutomaticRollback: failing_tests 30 % >= 30 % for 45 s (baseline 0 %)
0.301  3 AutomaticRollback: failing_tests 30.1 % >= 30 % for 45 s (baseline 0 %)
    1  3 AutomaticRollback: failing_tests 100 % >= 30 % for 45 s (baseline 0 %)
"#);
    insta::assert_snapshot!(ladder(PLAN_A, &A_WHEN_HEALTHY, "broken_jobs", &[0.0, 1.0]), @r#"
0  none
1  2 AlertAndManualReview: broken_jobs 1 > 0 for 45 s (baseline 0)
"#);
}

#[test]
fn plan_b_exactly_ten_and_exactly_five_percent_are_medium() {
    let values = [1000.0, 980.0, 979.0, 951.0, 950.0, 949.0, 900.0, 899.0, 500.0];
    insta::assert_snapshot!(ladder(PLAN_B, &B_WHEN_HEALTHY, "throughput", &values), @r#"
1000  none
 980  none
 979  Low Monitor: change(throughput) -2.1 % < -2 % for 45 s (throughput 979/s; baseline 1000/s)
 951  Low Monitor: change(throughput) -4.9 % < -2 % for 45 s (throughput 951/s; baseline 1000/s)
 950  Medium AlertAndManualReview: change(throughput) -5 % <= -5 % for 45 s (throughput 950/s; baseline 1000/s)
 949  Medium AlertAndManualReview: change(throughput) -5.1 % <= -5 % for 45 s (throughput 949/s; baseline 1000/s)
 900  Medium AlertAndManualReview: change(throughput) -10 % <= -5 % for 45 s (throughput 900/s; baseline 1000/s)
 899  High AlertAndManualReview: change(throughput) -10.1 % < -10 % for 45 s (throughput 899/s; baseline 1000/s)
 500  High AlertAndManualReview: change(throughput) -50 % < -10 % for 45 s (throughput 500/s; baseline 1000/s)
"#);
    insta::assert_snapshot!(ladder(PLAN_B, &B_WHEN_HEALTHY, "workers", &[3.0, 1.0, 0.0]), @r#"
3  none
1  none
0  Critical AutomaticRollback: workers 0 < 1 for 45 s (baseline 3)
"#);
}

/// The shipped preset, whose triggers a guard has that names none.
#[test]
fn the_benchmark_preset_draws_plan_bs_lines_and_other_schemes_take_its_actions() {
    let worst = |scheme: &str, now: f64| {
        let yaml = format!(
            "targets: [{{kind: Deployment, name: a}}]\nmetrics: {{preset: benchmark, match: {{testid: orders}}}}\nscheme: {scheme}\n"
        );
        let spec: GuardSpec = serde_saphyr::from_str(&yaml).unwrap();
        let policy = Policy::compile("shop", &spec, &Preset::shipped()).unwrap();
        let throughput = policy.signal("throughput");
        let number = |value: f64| move |signal: usize| (Some(signal) == throughput).then_some(value);
        let fires = |rule: &&Rule| rule.condition.truth(&number(now), &number(1000.0)) == Truth::True;
        let worst = policy
            .triggers
            .iter()
            .filter(fires)
            .max_by_key(|rule| policy.scheme.rank(&rule.grade));
        worst.map_or_else(|| "none".to_owned(), |rule| format!("{} {:?}", rule.grade, rule.action))
    };
    let told = [951.0, 950.0, 900.0, 899.0].map(|now| worst("severities", now));
    let people = |grade: &str| format!("{grade} AlertAndManualReview");
    assert_eq!(
        told,
        ["none".to_owned(), people("Medium"), people("Medium"), people("High")]
    );
    assert_eq!(worst("levels", 900.0), people("2"), "it has no grade of that name");
}

#[test]
fn every_example_is_a_guard_that_compiles() {
    for example in [PLAN_A, PLAN_B, SMALLEST] {
        compiled(example);
    }
}
