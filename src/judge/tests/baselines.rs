//! Stories of baselines: plan B's rules, given numbers, and what is said while there is none.

use super::timeline::{World, baseline, plus, policy, start};
use crate::judge::policy::Policy;
use crate::{
    judge::{Context, Facts, Truth, policy::Reference, verify_conditions},
    model::{guard::GuardSpec, preset::Preset},
};

/// Plan B: throughput against a stored benchmark.
const PLAN_B: &str = "
baseline: {fixed: {throughput: 1000/s}}
metrics:
  preset: prometheus-http
  signals: {throughput: {gauge: 'benchmark_throughput', unit: rate}}
triggers:
  - {name: much slower, condition: 'change(throughput) < -10%', action: automatic_rollback, grade: High}
  - {name: slower, condition: 'change(throughput) < -5%', action: alert_and_manual_review, grade: Medium}
verify: {conditions: ['abs(change(throughput)) <= 2%', 'change(throughput) > -2%']}";

fn plan_b() -> World {
    let yaml = format!("targets: [{{kind: Deployment, name: orders}}]\n{PLAN_B}\n");
    let spec: GuardSpec = serde_saphyr::from_str(&yaml).unwrap();
    let mut world = World::new("");
    world.policy = Policy::compile("shop", &spec, &Preset::shipped()).unwrap();
    world.memory = crate::judge::Memory::new(&world.policy);
    world.baseline = None;
    world
}

#[test]
fn plan_bs_rules_compare_throughput_with_a_stored_benchmark() {
    // Exactly the limit is not beyond it.
    for (throughput, firing) in [
        (1000, vec![]),
        (951, vec![]),
        (950, vec![]),
        (949, vec!["slower"]),
        (900, vec!["slower"]),
        (899, vec!["much slower", "slower"]),
        (1200, vec![]),
    ] {
        let mut world = plan_b();
        let verdict = (0..4)
            .map(|_| world.read(&format!("{throughput}/75 200ms")))
            .last()
            .unwrap();
        let names: Vec<&str> = verdict.firing.iter().map(|finding| finding.name.as_str()).collect();
        assert_eq!(names, firing, "{throughput} of 1000");
    }
}

#[test]
fn back_within_two_percent_is_a_condition_of_recovery() {
    for (throughput, within, not_below) in [
        (1000, Truth::True, Truth::True),
        (981, Truth::True, Truth::True),
        (979, Truth::False, Truth::False),
        (1021, Truth::False, Truth::True),
    ] {
        let mut world = plan_b();
        world.read(&format!("{throughput}/75 200ms"));
        let facts = Facts::default();
        let context = Context {
            now: world.now,
            since: world.since,
            baseline: None,
            facts: &facts,
            rolled_out: true,
        };
        let truths: Vec<Truth> = verify_conditions(&world.policy, &mut world.memory, &context)
            .into_iter()
            .map(|(_, truth, _)| truth)
            .collect();
        assert_eq!(truths, [within, not_below], "{throughput} of 1000");
    }
}

#[test]
fn without_a_baseline_a_trigger_says_what_is_missing_and_how_long_it_will_take() {
    let mut world = World::new("");
    world.baseline = None;
    let told = |world: &mut World, reading: &str| super::timeline::tell(&world.read(reading));
    world.play("8x 0/3 200ms");
    let few = told(&mut world, "0/3 200ms");
    let why = "no baseline yet of response_time: 30 s of 5 min of healthy time and 6 of 100 requests so far, about 7.83 min more";
    assert!(few.contains(why), "{few}");
    world.play("30x 0/75 200ms");
    let enough = told(&mut world, "0/75 200ms");
    assert!(
        enough.contains("this state's own is taken when it is steady"),
        "{enough}"
    );
    world.memory.baseline_waits_for("its query gave none".into());
    let given = told(&mut world, "0/75 200ms");
    assert!(
        given.contains("no baseline yet of response_time: its query gave none"),
        "{given}"
    );
}

#[test]
fn every_mistake_in_a_baseline_is_told_with_its_place() {
    let wrong = |baseline: &str| {
        let yaml = format!(
            "targets: [{{kind: Deployment, name: orders}}]\nmetrics: {{preset: prometheus-http}}\nbaseline: {baseline}\n"
        );
        let spec: GuardSpec = serde_saphyr::from_str(&yaml).unwrap();
        let mistakes = Policy::compile("shop", &spec, &Preset::shipped()).unwrap_err();
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(wrong("{window: 1h, offset: 7d}"), @"spec.baseline: is exactly one of window, offset, fixed, query, such as `{window: 1h}`");
    insta::assert_snapshot!(wrong("{}"), @"spec.baseline: is exactly one of window, offset, fixed, query, such as `{window: 1h}`");
    insta::assert_snapshot!(wrong("{offset: 0s}"), @"spec.baseline.offset: must be at least `5m`: less healthy time than that is no baseline");
    insta::assert_snapshot!(wrong("{offset: 299s}"), @"spec.baseline.offset: must be at least `5m`: less healthy time than that is no baseline");
    insta::assert_snapshot!(wrong("{window: 0s}"), @"spec.baseline.window: must be longer than nothing, such as `1h`");
    insta::assert_snapshot!(wrong("{fixed: {response_time: 5%, respons_time: 1s, error_rate: 1s 2s}}"), @r"
    spec.baseline.fixed.error_rate: column 4: one number with its unit is needed, such as `200ms`
    1s 2s
       ^
    spec.baseline.fixed.respons_time: there is no signal `respons_time`; did you mean `response_time`?
    spec.baseline.fixed.response_time: column 1: this is a share, and a time is compared with one such as `250ms` or `1.5s`
    5%
    ^
    ");
    insta::assert_snapshot!(wrong("{fixed: {error_rate: 5, success_rate: '120%'}}"), @r#"
spec.baseline.fixed.error_rate: column 1: a share of `5` would be more than all; did you mean `5%`?
5
^
spec.baseline.fixed.success_rate: `success_rate` lies between 0 % and 100 %, `120%` does not
"#);
    insta::assert_snapshot!(wrong("{query: {response_time: ' '}}"), @"spec.baseline.query.response_time: is empty; write a query that gives one number");
    insta::assert_snapshot!(wrong("{fixed: {}}"), @"spec.baseline.fixed: names no signal; write for example `{response_time: …}`");
}

#[test]
fn a_fixed_number_stands_before_what_healthy_time_gave_and_only_where_it_is_named() {
    let fixed = policy("baseline: {fixed: {response_time: 300ms}}");
    let Reference::Fixed(numbers) = &fixed.reference else {
        panic!("{:?}", fixed.reference)
    };
    assert_eq!(numbers.get("response_time"), Some(&0.3));
    let mut world = World::new("baseline: {fixed: {response_time: 300ms}}");
    world.baseline = Some(baseline(&[("response_time", 0.1), ("error_rate", 0.002)]));
    let verdict = world.read("0/75 200ms");
    let compared = |name: &str| {
        let mut signals = verdict.named_signals();
        let (_, signal) = signals.find(|(known, _)| *known == name).unwrap();
        signal.baseline
    };
    assert_eq!(
        (compared("response_time"), compared("error_rate")),
        (Some(0.3), Some(0.002))
    );
    assert!(plus(start(), 15) == world.now);
}

/// What was collected as the baseline of errors.
fn usual_errors(world: &World) -> f64 {
    world.memory.baseline(&world.policy).unwrap()["error_rate"]
}

#[test]
fn one_earlier_spike_does_not_move_what_is_usual() {
    // 50 requests a second, 0.2 % of them bad; for five minutes 4 % (below the limit of 5 %), or 30 % (beyond it).
    let usual = |world: &mut World, readings: usize| {
        for n in 0..readings {
            world.read(if n % 2 == 0 { "1/750 200ms" } else { "2/750 200ms" });
        }
    };
    for spike in ["30/750 200ms", "225/750 200ms"] {
        let mut world = World::new("");
        usual(&mut world, 100);
        let before = usual_errors(&world);
        world.play(&format!("20x {spike}"));
        usual(&mut world, 120);
        let after = usual_errors(&world);
        assert!((before - 0.002).abs() < 1e-5, "{before}");
        assert!((after / before - 1.0).abs() <= 0.1, "{spike}: {before} became {after}");
    }
}
