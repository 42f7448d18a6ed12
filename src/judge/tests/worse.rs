//! Stories of `worse(signal)` and of how sure a share is: what was seen before the change, and what that makes of now.

use std::time::Duration;

use super::timeline::{World, baseline, counted, one_trigger, plus, start, tell};
use crate::{
    judge::{Status, Unarmed, policy::Source},
    model::reading::{Because, Bucket, Measured, Reading},
};

/// The preset's own triggers after a day with that share of bad requests.
fn after_a_day(share: f64, dispersion: f64) -> World {
    let mut world = World::new("");
    world.baseline = Some(before(share, dispersion));
    world
}

fn before(share: f64, dispersion: f64) -> crate::model::guard::Baseline {
    let mut taken = baseline(&[
        ("response_time", 0.2),
        ("error_rate", share),
        ("success_rate", 1.0 - share),
    ]);
    taken.counts = counted(share, dispersion);
    taken
}

#[test]
fn errors_well_below_the_limit_but_more_than_before_are_told_to_people() {
    let mut world = after_a_day(0.002, 1.0);
    insta::assert_snapshot!(world.play("8x 1/300 200ms; 6x 6/300 200ms; 2x 1/300 200ms"), @r#"
 15 s  1/300 200ms    Healthy
       …
165 s  6/300 200ms    Breached | more errors than before suspect: 140,000 : 1 that errors exceed 0.25 %; the largest poll gave 2 %: for 0 s of 10 s
180 s  6/300 200ms    Breached | more errors than before FIRES: 35,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 2 % (32 of 3600 requests; baseline 0.2 %)
195 s  6/300 200ms    Breached | more errors than before FIRES: 8,900,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 2 % (38 of 3900 requests; baseline 0.2 %)
210 s  6/300 200ms    Breached | more errors than before FIRES: 1,000,000,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 2 % (44 of 4200 requests; baseline 0.2 %)
225 s  1/300 200ms    Breached | more errors than before FIRES: 330,000,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 2 % (45 of 4500 requests; baseline 0.2 %)
240 s  1/300 200ms    Breached | more errors than before FIRES: 81,000,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 2 % (46 of 4800 requests; baseline 0.2 %)
"#);
    let verdict = world.read("6/300 200ms");
    let evidence = &verdict.firing[0].evidence;
    assert_eq!(evidence.readings, Some(17));
    assert!(
        evidence.odds.is_some_and(|odds| odds >= 1e4) && evidence.tolerated == evidence.limit,
        "{evidence:?}"
    );
    assert_eq!(evidence.requests, Some(5100));
}

#[test]
fn the_same_errors_as_before_are_never_worse() {
    let mut world = after_a_day(0.02, 1.0);
    insta::assert_snapshot!(world.play("2000x 6/300 200ms"), @r#"
15 s  6/300 200ms    Healthy
      …
"#);
}

#[test]
fn one_terrible_reading_alone_is_not_enough() {
    let mut world = one_trigger("worse(error_rate)", "action: alert_and_manual_review, for: 0s");
    world.baseline = Some(before(0.002, 1.0));
    insta::assert_snapshot!(world.play("4x 0/300; 150/300; 8x 0/300; 7x 150/300"), @r#"
 15 s  0/300          Healthy
       …
240 s  150/300        Breached | t FIRES: 120,000 : 1 that errors exceed 0.25 %; the largest poll gave 50 % (600 of 4800 requests; baseline 0.2 %)
255 s  150/300        Breached | t FIRES: 31,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 50 % (750 of 5100 requests; baseline 0.2 %)
270 s  150/300        Breached | t FIRES: 7,900,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 50 % (900 of 5400 requests; baseline 0.2 %)
285 s  150/300        Breached | t FIRES: 1,000,000,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 50 % (1050 of 5700 requests; baseline 0.2 %)
300 s  150/300        Breached | t FIRES: 1,000,000,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 50 % (1200 of 6000 requests; baseline 0.2 %)
"#);
}

#[test]
fn without_a_counted_hour_it_is_not_armed_and_says_why() {
    let mut world = one_trigger("worse(error_rate)", "");
    let mut picture = world.play("0/300");
    for seconds in [840.0, 3600.0] {
        let mut taken = before(0.002, 1.0);
        taken.counts.get_mut("error_rate").unwrap().seconds = seconds;
        taken.taken_at = plus(start(), 1);
        world.baseline = (seconds < 1000.0).then_some(taken);
        picture += &world.play("0/300");
    }
    world.baseline = Some(before(0.8, 1.0));
    picture += &world.play("0/300");
    let mut off = one_trigger("worse(error_rate)", "");
    off.policy.evidence = None;
    picture += &off.play("0/300");
    insta::assert_snapshot!(picture, @r#"
15 s  0/300          Healthy | t not armed: the baseline has no counts of error_rate
30 s  0/300          Healthy | t not armed: error_rate was counted for 14 min of healthy time, an hour is needed
45 s  0/300          Healthy | t not armed: no baseline yet of error_rate: 30 s of 5 min of healthy time and 100 of 100 requests so far, about 4.5 min more
60 s  0/300          Healthy | t not armed: 80 % of error_rate's requests were bad when healthy: nothing is much worse than that
15 s  0/300          Healthy | t not armed: `evidence` is switched off for this guard
"#);
}

#[test]
fn it_is_unknown_while_nothing_is_known_and_goes_on_afterwards() {
    let mut world = one_trigger("worse(success_rate)", "");
    world.baseline = Some(before(0.002, 1.0));
    insta::assert_snapshot!(world.play("3x 30/300; 2x ?; 3x 30/300"), @r#"
 15 s  30/300         Healthy
       …
 45 s  30/300         Breached | t suspect: 15,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 10 %: for 0 s of 10 s
 60 s  ?              Unknown | t: Prometheus did not answer: connection refused
       …
 90 s  30/300         Breached | t suspect: 3,900,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 10 %: for 0 s of 10 s
105 s  30/300         Breached | t FIRES: 1,000,000,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 10 % (150 of 1500 requests; baseline 99.8 %)
120 s  30/300         Breached | t FIRES: 1,000,000,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 10 % (180 of 1800 requests; baseline 99.8 %)
"#);
}

#[test]
fn nothing_is_weighed_over_a_change_or_against_another_baseline() {
    let mut world = one_trigger("worse(error_rate)", "action: monitor");
    world.baseline = Some(before(0.002, 1.0));
    let mut picture = world.play("2x 30/300");
    world.since = plus(world.now, 1);
    picture += &world.play("3x 30/300");
    let mut other = before(0.2, 1.0);
    other.taken_at = plus(start(), 60);
    world.baseline = Some(other);
    picture += &world.play("6x 30/300");
    insta::assert_snapshot!(picture, @r#"
15 s  30/300         Healthy
      …
45 s  30/300         Unknown | t: no requests since the change: of nothing there is no share
60 s  30/300         Healthy
      …
90 s  30/300         Healthy
      …
"#);
}

/// After `watchFor` it is no longer about the change, but an open question stays open.
#[test]
fn it_rests_when_the_change_is_no_longer_watched() {
    let mut world = one_trigger("worse(error_rate)", "action: alert_and_manual_review");
    world.baseline = Some(before(0.002, 1.0));
    world.since = start() - Duration::from_secs(86_400);
    insta::assert_snapshot!(world.play("8x 30/300"), @r#"
15 s  30/300         Healthy
      …
"#);
    let mut open = one_trigger("worse(error_rate)", "action: alert_and_manual_review");
    open.baseline = Some(before(0.002, 1.0));
    open.play("8x 30/300");
    open.now = plus(start(), 86_400);
    insta::assert_snapshot!(open.play("2x 30/300"), @r#"
86415 s  30/300         Breached | t FIRES: 1,000,000,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 10 % (270 of 2700 requests; baseline 0.2 %)
86430 s  30/300         Breached | t FIRES: 1,000,000,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 10 % (300 of 3000 requests; baseline 0.2 %)
"#);
    open.baseline = None;
    assert!(tell(&open.read("30/300")).contains("not armed: no baseline yet"));
}

#[test]
fn it_joins_others_and_may_act() {
    let mut world = one_trigger("worse(error_rate) and not success_rate > 99.9% or error_rate > 50%", "");
    world.baseline = Some(before(0.002, 1.0));
    insta::assert_snapshot!(world.play("4x 0/300; 6x 12/300"), @r#"
 15 s  0/300          Healthy
       …
105 s  12/300         Breached | t suspect: 1,900,000 : 1 that errors exceed 0.25 %; the largest poll gave 4 % and success_rate 97 % <= 99.9 %: for 0 s of 10 s
120 s  12/300         Breached | t FIRES: 470,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 4 % and success_rate 96 % <= 99.9 % (48 of 2400 requests; baseline 0.2 %)
135 s  12/300         Breached | t FIRES: 120,000,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 4 % and success_rate 96 % <= 99.9 % (60 of 2700 requests; baseline 0.2 %)
150 s  12/300         Breached | t FIRES: 1,000,000,000,000 : 1 that errors exceed 0.25 %; the largest poll gave 4 % and success_rate 96 % <= 99.9 % (72 of 3000 requests; baseline 0.2 %)
"#);
}

/// A fifth bad in each minute: sure by chance alone, not where errors always came in bursts; most of them bad is sure there too.
#[test]
fn where_errors_come_in_bursts_it_takes_more_to_act() {
    let mut told = Vec::new();
    for dispersion in [1.0, 10.0] {
        let mut world = one_trigger("error_rate > 5%", "");
        world.baseline = Some(before(0.01, dispersion));
        world.play("4x 0/75; 24x 15/75");
        told.push(tell(&world.read("15/75")));
        let mut broken = one_trigger("error_rate > 5%", "");
        broken.baseline = Some(before(0.01, dispersion));
        broken.play("4x 0/75; 3x 60/75");
        assert_eq!(broken.read("60/75").firing.len(), 1, "broken enough, at {dispersion}");
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
Breached | t FIRES: error_rate 20 % > 5 % for 5.75 min (60 of 300 requests; baseline 1 %)
Breached | t suspect: error_rate 20 % > 5 %: over the limit, 60 of 300 requests: too few to act on
"#);
}

#[test]
fn a_share_exactly_at_the_limit_before_disarms_that_trigger_alone() {
    let mut world = World::new("");
    world.baseline = Some(before(0.05, 1.0));
    let verdict = world.read("15/300 200ms");
    let unarmed: Vec<&Unarmed> = verdict
        .triggers
        .iter()
        .filter_map(|trigger| match &trigger.status {
            Status::NotArmed(unarmed) => Some(unarmed),
            Status::Quiet | Status::Unknown(_) | Status::Suspect { .. } | Status::Firing { .. } => None,
        })
        .collect();
    assert!(unarmed.iter().all(|unarmed| unarmed.limit_below_baseline));
    insta::assert_snapshot!(tell(&verdict), @r#"
Healthy | error rate rose not armed: its limit lies at the baseline: error_rate was 5 % when healthy, the limit is 5 %; move the limit, or compare with the baseline, as in `error_rate > baseline * 2`
"#);
    let mut never = one_trigger("error_rate > 0%", "");
    never.baseline = Some(before(0.0, 1.0));
    assert_eq!(never.play("2x 0/300").lines().count(), 2, "no error so far: armed");
}

/// One reading of 300 requests, so many of them slower than 250 ms and so many of those slower than 500 ms.
fn timed(world: &mut World, slow: f64, slower: f64) -> String {
    world.now = plus(world.now, world.every);
    let bucket = |le, count| Bucket { le, count };
    let buckets = vec![
        bucket(0.1, 200.0),
        bucket(0.25, 300.0 - slow),
        bucket(0.5, 300.0 - slower),
        bucket(f64::INFINITY, 300.0),
    ];
    let signals = world.policy.signals.iter().map(|signal| match signal.source {
        Source::Quantile { .. } => Measured::Timed {
            value: 0.2,
            over: Duration::from_secs(60),
            buckets: buckets.clone(),
        },
        Source::Bad { .. } => Measured::Counts { bad: 0.0, total: 300.0 },
        Source::Rate { .. } => Measured::Events(300.0),
        Source::Good { .. } | Source::Complement { .. } | Source::Gauge { .. } | Source::Alerts { .. } => {
            Measured::Unknown(Because::NoData)
        }
    });
    let reading = Reading {
        at: world.now,
        span: Duration::from_secs(world.every),
        newest: Some(world.now),
        signals: signals.collect(),
    };
    tell(&world.judge(Some(&reading)))
}

/// The 95th percentile was 200 ms, 4 % were slower than its bucket's 250 ms: later 12 % are.
#[test]
fn more_slow_requests_than_before_are_worse() {
    let mut world = one_trigger("worse(response_time)", "action: alert_and_manual_review");
    world.baseline = None;
    for _ in 0..250 {
        timed(&mut world, 12.0, 3.0);
    }
    let counts = world.memory.counts(&world.policy);
    assert_eq!(counts["response_time"].slower_than, Some(0.25));
    assert!((counts["response_time"].bad / counts["response_time"].requests - 0.04).abs() < 1e-9);
    let mut taken = baseline(&[("response_time", 0.2)]);
    taken.counts = counts;
    world.baseline = Some(taken);
    world.since = world.now;
    world.memory.begin(world.since);
    let mut told: Vec<_> = (0..3).map(|_| timed(&mut world, 12.0, 3.0)).collect();
    told.extend((0..7).map(|_| timed(&mut world, 36.0, 3.0)));
    told.push(tell(&world.read("0/300 200ms")));
    told.dedup();
    insta::assert_snapshot!(told.join("\n"), @r#"
Unknown
Healthy
Breached | t suspect: 490,000 : 1 that requests slower than 250 ms exceed 5 %; the largest poll gave 12 %: for 0 s of 10 s
Breached | t FIRES: 120,000,000 : 1 that requests slower than 250 ms exceed 5 %; the largest poll gave 12 % (180 of 2100 requests; baseline 200 ms)
Breached | t FIRES: 30,000,000,000 : 1 that requests slower than 250 ms exceed 5 %; the largest poll gave 12 % (216 of 2400 requests; baseline 200 ms)
Breached | t FIRES: 1,000,000,000,000 : 1 that requests slower than 250 ms exceed 5 %; the largest poll gave 12 % (252 of 2700 requests; baseline 200 ms)
Breached | t FIRES: 1,000,000,000,000 : 1 that requests slower than 250 ms exceed 5 %; the largest poll gave 12 % (288 of 3000 requests; baseline 200 ms)
Unknown | t: the histogram's buckets were not counted in this reading
"#);
    let evidence = world.judge(None).firing.first().map(|finding| finding.evidence.clone());
    assert_eq!(evidence, None, "without buckets nothing is known");
}

/// A quiet service that fails in bursts: half of a minute's requests, every now and then.
#[test]
fn bursts_that_passed_by_themselves_are_counted_as_how_the_service_is() {
    let mut world = World::new("");
    world.rolled_out = true;
    world.play("40x 0/75 200ms; 1x 20/75 200ms; 40x 0/75 200ms; 1x 20/75 200ms; 40x 0/75 200ms");
    let counts = world.memory.counts(&world.policy)["error_rate"];
    assert!(
        (counts.bad - 40.0).abs() < 1e-9 && counts.dispersion > 10.0,
        "{counts:?}"
    );
}

#[test]
fn what_came_to_an_incident_is_not_counted_as_how_the_service_is() {
    let mut world = World::new("");
    world.rolled_out = true;
    world.baseline = Some(before(0.002, 1.0));
    world.play("40x 0/75 200ms; 6x 40/75 200ms; 40x 0/75 200ms");
    let counts = world.memory.counts(&world.policy)["error_rate"];
    assert!(counts.bad < 1.0 && counts.dispersion < 1.1, "{counts:?}");
}

/// Half of 30 requests a minute fail. Who is known for a day to fail evenly is acted on; who is known for half an hour, minutes later.
#[test]
fn a_quiet_service_that_is_not_known_well_is_given_time() {
    let acted = |requests: f64| {
        let mut world = one_trigger("error_rate > 5%", "");
        let mut taken = before(0.002, 1.0);
        let counts = taken.counts.get_mut("error_rate").unwrap();
        (counts.requests, counts.bad, counts.per_step) = (requests, requests * 0.002, 30.0);
        world.baseline = Some(taken);
        (1..100)
            .find(|_| !world.read("4/8").firing.is_empty())
            .map(|readings| readings * 15)
    };
    let (day, hour) = (acted(43_200.0).unwrap(), acted(900.0).unwrap());
    assert!(day <= 60 && (120..900).contains(&hour), "{day} s, {hour} s");
}
