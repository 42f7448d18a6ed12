//! Stories of time: healthy, quiet, baselines, watch events; and that no reading panics.

use std::time::Duration;

use proptest::prelude::*;

use super::timeline::{World, one_trigger, plus, seconds};
use crate::{
    judge::{Context, Facts, Status, condition::Truth, verify_conditions},
    model::reading::{Because, Measured, Reading},
};

#[test]
fn healthy_time_runs_only_while_all_is_rolled_out_and_known() {
    let mut world = World::new("");
    world.play("4x 0/75 200ms");
    assert_eq!(seconds(world.memory.healthy_for()), 45);
    assert_eq!(world.memory.requests_since_change(), Some(300));
    world.play("4x ?; 3x =");
    assert_eq!(seconds(world.memory.healthy_for()), 45, "Unknown stops the clock");
    world.play("2x 0/75 200ms");
    assert_eq!(seconds(world.memory.healthy_for()), 60);
    world.rolled_out = false;
    world.play("4x 0/75 200ms");
    assert_eq!(seconds(world.memory.healthy_for()), 60, "not rolled out stops it");
    assert_eq!(seconds(world.memory.all_quiet_for()), 120, "but nothing held");
    world.rolled_out = true;
    world.play("75/75 200ms");
    assert_eq!(
        (
            seconds(world.memory.healthy_for()),
            seconds(world.memory.all_quiet_for())
        ),
        (0, 0)
    );
    assert_eq!(world.memory.quiet_for("error rate rose").map(seconds), Some(0));
    assert!(world.memory.quiet_for("response time degraded").map(seconds).unwrap() > 100);
    assert_eq!(world.memory.quiet_for("no such trigger"), None);
}

#[test]
fn the_baseline_is_what_was_healthy_whatever_one_spike_was() {
    let mut world = World::new("");
    world.play("16x 1/75 180ms");
    assert_eq!(
        world.memory.baseline(&world.policy),
        None,
        "four minutes are not enough"
    );
    world.play("4x 1/75 180ms; 2x 1/75 290ms; 30x 1/75 180ms");
    let taken = world.memory.baseline(&world.policy).unwrap();
    insta::assert_snapshot!(format!("{taken:.4?}"), @r#"
{"error_rate": 0.0133, "request_rate": 5.0000, "response_time": 0.1800, "success_rate": 0.9867}
"#);
    world.play("3x 70/75 900ms");
    assert_eq!(
        world.memory.baseline(&world.policy),
        Some(taken),
        "an outage is no baseline"
    );
    world.since = world.now;
    world.play("2x 1/75 180ms");
    assert!(
        world.memory.baseline(&world.policy).is_some(),
        "windows that begin anew do not make the state another one"
    );
    world.since = world.now;
    world.memory.begin(world.since);
    assert_eq!(world.memory.baseline(&world.policy), None);
    world.play("30x 1/75 280ms");
    let anew = world.memory.baseline(&world.policy).unwrap()["response_time"];
    assert!((anew - 0.28).abs() < 1e-9, "{anew}");
}

#[test]
fn a_watch_event_judges_again_and_advances_nothing() {
    let mut world = one_trigger("error_rate > 5%", "for: 40s");
    world.play("2x 0/75; 3x 60/75");
    let (held, healthy) = (world.memory.holds[0].held.total(), world.memory.healthy_for());
    for _ in 0..20 {
        world.now = plus(world.now, 5);
        let verdict = world.judge(None);
        assert!(matches!(verdict.triggers[0].status, Status::Suspect { .. }));
    }
    assert_eq!(
        (held, healthy),
        (world.memory.holds[0].held.total(), world.memory.healthy_for())
    );
    assert_eq!(world.read("60/75").firing.len(), 1);
}

#[test]
fn the_guards_own_conditions_must_hold_for_a_while() {
    let mut world = World::new("verify: {conditions: ['success_rate >= 95%']}");
    world.play("4x 0/75");
    assert_eq!(seconds(world.memory.verified_for()), 45);
    world.play("2x ?");
    assert_eq!(seconds(world.memory.verified_for()), 45, "Unknown stops the clock");
    world.play("75/75");
    assert_eq!(seconds(world.memory.verified_for()), 0);
    world.play("30x 0/75");
    assert!(seconds(world.memory.verified_for()) >= 60, "and it begins anew");
}

#[test]
fn recovery_is_asked_in_the_guards_own_words() {
    let mut world = World::new(
        "verify: {conditions: ['success_rate >= 95%', 'change(request_rate) > -2%', 'response_time < 100ms']}",
    );
    world.play("4x 0/75");
    let facts = Facts::default();
    let baseline = world.baseline.clone();
    let context = Context {
        now: world.now,
        since: world.since,
        baseline: baseline.as_ref(),
        facts: &facts,
        rolled_out: true,
    };
    let told: Vec<_> = verify_conditions(&world.policy, &mut world.memory, &context);
    assert_eq!(
        told.iter().map(|t| t.1).collect::<Vec<_>>(),
        [Truth::True, Truth::True, Truth::Unknown]
    );
    insta::assert_snapshot!(
        told.iter()
            .map(|t| format!("{}: {}", t.0, t.2))
            .collect::<Vec<_>>()
            .join("\n"), @r#"
success_rate >= 95%: success_rate 100 % >= 95 %
change(request_rate) > -2%: change(request_rate) 0 % > -2 %
response_time < 100ms: Prometheus has no such series for this guard
"#);
}

#[test]
fn no_data_at_all_is_unknown_also_where_nothing_is_armed() {
    let mut world = one_trigger("response_time > baseline * 1.5", "");
    world.baseline = None;
    insta::assert_snapshot!(world.play("2x ?; 2x 0/75; 2x 0/75 200ms"), @r#"
15 s  ?              Unknown | t not armed: no baseline yet of response_time: 0 s of 5 min of healthy time and 0 of 100 requests so far
      …
75 s  0/75 200ms     Healthy | t not armed: no baseline yet of response_time: 0 s of 5 min of healthy time and 0 of 100 requests so far
90 s  0/75 200ms     Healthy | t not armed: no baseline yet of response_time: 15 s of 5 min of healthy time and 75 of 100 requests so far, about 4.75 min more
"#);
}

proptest! {
    #[test]
    fn no_readings_panic_or_fire_on_nothing(readings in proptest::collection::vec((any::<f64>(), any::<f64>(), any::<f64>(), -5..40_i64, any::<bool>()), 0..40)) {
        let mut world = World::new("triggers: [{name: a, condition: 'error_rate > 5% or response_time / baseline(response_time) > 2', action: automatic_rollback}, {name: b, condition: 'change(request_rate) < -10%', action: monitor}]");
        for (bad, total, value, step, known) in readings {
            world.now = world.now.checked_add(jiff::SignedDuration::from_secs(step)).unwrap();
            let signals = world.policy.signals.iter().map(|_| if known { Measured::Counts { bad, total } } else { Measured::Value { value, over: Duration::from_secs(60) } }).collect();
            let reading = Reading { at: world.now, span: Duration::from_secs(5), newest: Some(world.now), signals };
            let verdict = world.judge(Some(&reading));
            for shown in &verdict.signals {
                prop_assert!(shown.value.is_none_or(f64::is_finite));
            }
        }
        world.turn((f64::NAN, f64::INFINITY), Some(f64::NAN), Some(Because::NoData));
    }
}
