//! Stories of triggers: what fires, when, and what is said of what does not.

use std::collections::BTreeMap;

use super::timeline::{World, baseline, one_trigger, plus, seconds, start, tell};
use crate::{
    judge::{Facts, Memory, Word, policy::Policy},
    model::guard::Action,
};

#[test]
fn a_release_that_fails_three_of_ten_fires_once_it_held() {
    let mut world = World::new("");
    insta::assert_snapshot!(world.play("4x 0/75 200ms; 3x 22/75 200ms"), @r#"
 15 s  0/75 200ms     Healthy | more errors than before not armed: the baseline has no counts of error_rate
       …
 75 s  22/75 200ms    Breached | error rate rose suspect: error_rate 29.3 % > 5 %: over the limit, 22 of 75 requests: a burst that passes could be so too | more errors than before not armed: the baseline has no counts of error_rate
 90 s  22/75 200ms    Breached | error rate rose FIRES: error_rate 14.7 % > 5 % for 15 s (44 of 300 requests; baseline 0.2 %) | more errors than before not armed: the baseline has no counts of error_rate
105 s  22/75 200ms    Breached | error rate rose FIRES: error_rate 22 % > 5 % for 30 s (66 of 300 requests; baseline 0.2 %) | more errors than before not armed: the baseline has no counts of error_rate
"#);
}

#[test]
fn with_for_zero_the_first_sure_reading_fires() {
    let mut world = one_trigger("error_rate > 5%", "for: 0s");
    insta::assert_snapshot!(world.play("4x 0/75; 40/75"), @r#"
15 s  0/75           Healthy
      …
75 s  40/75          Breached | t FIRES: error_rate 13.3 % > 5 % for 0 s (40 of 300 requests; baseline 0.2 %)
"#);
}

#[test]
fn each_trigger_fires_alone_with_its_numbers() {
    let fired = |timeline: &str, triggers: &str| {
        let mut world = World::new(triggers);
        world.play(timeline);
        let verdict = world.read(timeline.rsplit(';').next().unwrap().split("x ").last().unwrap().trim());
        verdict
            .firing
            .into_iter()
            .map(|f| {
                format!(
                    "{} {:?} {}/{}: {} ({:?})",
                    f.name, f.action, f.grade, f.rank, f.evidence.sentence, f.evidence.signal
                )
            })
            .collect::<Vec<_>>()
            .join("\n")
    };
    insta::assert_snapshot!(fired("4x 5/75 410ms", ""), @r#"
response time degraded AlertAndManualReview High/3: response_time 410 ms > 300 ms for 60 s (375 requests; baseline 200 ms) (Some("response_time"))
"#);
    insta::assert_snapshot!(fired("4x 15/75 200ms", ""), @r#"
error rate rose AutomaticRollback Critical/4: error_rate 20 % > 5 % for 60 s (60 of 300 requests; baseline 0.2 %) (Some("error_rate"))
"#);
    insta::assert_snapshot!(fired(
        "4x 60/75 200ms",
        "scheme: levels\ntriggers: [{name: s, condition: 'success_rate < 70%', action: automatic_rollback}]"
    ), @r#"
s AutomaticRollback 3/3: success_rate 20 % < 70 % for 60 s (60 of 300 requests; baseline 99.8 %) (Some("success_rate"))
"#);
}

#[test]
fn exactly_the_limit_does_not_fire() {
    let mut world = World::new("");
    insta::assert_snapshot!(world.play("20x 3/60 300ms"), @r#"
15 s  3/60 300ms     Healthy | more errors than before not armed: the baseline has no counts of error_rate
      …
"#);
    let mut world = one_trigger("success_rate < 70%", "certainty: off");
    insta::assert_snapshot!(world.play("20x 30/100; 20x 3/10"), @r#"
15 s  30/100         Healthy
      …
"#);
}

#[test]
fn few_errors_of_few_requests_are_suspect_but_not_acted_on() {
    let mut world = one_trigger("error_rate > 5%", "");
    insta::assert_snapshot!(world.play("3x 0/6; 3/6; 6x 0/6"), @r#"
 15 s  0/6            Unknown | t: 6 requests since the change, 20 are needed
 30 s  0/6            Unknown | t: 12 requests since the change, 20 are needed
 45 s  0/6            Unknown | t: 18 requests since the change, 20 are needed
 60 s  3/6            Breached | t suspect: error_rate 12.5 % > 5 %: over the limit, 3 of 24 requests: too few to act on
       …
120 s  0/6            Healthy
       …
"#);
}

#[test]
fn a_quiet_service_is_judged_over_a_longer_window_and_not_before_it_holds_enough() {
    let mut world = one_trigger("error_rate > 5%", "");
    insta::assert_snapshot!(world.play("4x 0/5; 4x 1/1"), @r#"
 15 s  0/5            Unknown | t: 5 requests since the change, 20 are needed
 30 s  0/5            Unknown | t: 10 requests since the change, 20 are needed
 45 s  0/5            Unknown | t: 15 requests since the change, 20 are needed
 60 s  0/5            Healthy
       …
 90 s  1/1            Breached | t suspect: error_rate 9.09 % > 5 %: over the limit, 2 of 22 requests: too few to act on
105 s  1/1            Breached | t suspect: error_rate 13 % > 5 %: over the limit, 3 of 23 requests: too few to act on
120 s  1/1            Breached | t suspect: error_rate 16.7 % > 5 %: over the limit, 4 of 24 requests: too few to act on
"#);
}

#[test]
fn without_certainty_it_takes_two_readings_with_new_data() {
    let mut world = one_trigger("error_rate > 5%", "certainty: off, for: 0s");
    insta::assert_snapshot!(world.play("4x 0/75; 22/75; 2x =; 22/75"), @r#"
 15 s  0/75           Healthy
       …
 75 s  22/75          Breached | t suspect: error_rate 7.33 % > 5 %: one more reading with new data is needed
       …
120 s  22/75          Breached | t FIRES: error_rate 29.3 % > 5 % for 45 s (44 of 150 requests; baseline 0.2 %)
"#);
}

#[test]
fn a_gauge_takes_two_readings() {
    let yaml = "targets: [{kind: Deployment, name: a}]
metrics: {match: {a: b}, signals: {queue: {gauge: q}}}
triggers: [{name: t, condition: 'queue > 10', action: automatic_rollback, for: 0s}]";
    let policy = Policy::compile("shop", &serde_saphyr::from_str(yaml).unwrap(), &BTreeMap::new()).unwrap();
    let mut world = World {
        memory: Memory::new(&policy),
        policy,
        ..World::new("")
    };
    insta::assert_snapshot!(world.play("2x 10/0; 2x 11/0; 10/0"), @r#"
15 s  10/0           Healthy
      …
45 s  11/0           Breached | t suspect: queue 11 > 10: one more reading with new data is needed
60 s  11/0           Breached | t FIRES: queue 11 > 10 for 15 s
75 s  10/0           Healthy
"#);
}

#[test]
fn unknown_and_old_data_neither_add_nor_take() {
    let mut world = one_trigger("error_rate > 5%", "for: 40s");
    insta::assert_snapshot!(world.play("2x 0/75; 2x 60/75; 3x ?; 4x =; 3x 60/75; 5x 0/75"), @r#"
 15 s  0/75           Healthy
       …
 45 s  60/75          Breached | t suspect: error_rate 26.7 % > 5 %: for 0 s of 40 s
 60 s  60/75          Breached | t suspect: error_rate 40 % > 5 %: for 15 s of 40 s
 75 s  ?              Unknown | t: Prometheus did not answer: connection refused
       …
120 s  =              Breached | t suspect: error_rate 40 % > 5 %: for 15 s of 40 s
       …
180 s  60/75          Breached | t suspect: error_rate 80 % > 5 %: for 15 s of 40 s
195 s  60/75          Breached | t suspect: error_rate 80 % > 5 %: for 30 s of 40 s
210 s  60/75          Breached | t FIRES: error_rate 80 % > 5 % for 45 s (120 of 150 requests; baseline 0.2 %)
225 s  0/75           Breached | t suspect: error_rate 53.3 % > 5 %: the newest reading is within the limit again
240 s  0/75           Breached | t suspect: error_rate 40 % > 5 %: the newest reading is within the limit again
255 s  0/75           Breached | t suspect: error_rate 20 % > 5 %: the newest reading is within the limit again
270 s  0/75           Healthy
       …
"#);
}

#[test]
fn a_blip_of_one_reading_is_not_acted_on() {
    let mut world = one_trigger("error_rate > 5%", "");
    insta::assert_snapshot!(world.play("4x 0/75; 60/75; 5x 0/75"), @r#"
 15 s  0/75           Healthy
       …
 75 s  60/75          Breached | t suspect: error_rate 20 % > 5 %: for 0 s of 10 s
 90 s  0/75           Breached | t suspect: error_rate 20 % > 5 %: the newest reading is within the limit again
       …
135 s  0/75           Healthy
       …
"#);
}

#[test]
fn false_starts_anew() {
    let mut world = one_trigger("error_rate > 50%", "for: 20s, certainty: off");
    insta::assert_snapshot!(world.play("2x 60/75; 4x 0/75; 5x 60/75"), @r#"
 15 s  60/75          Breached | t suspect: error_rate 80 % > 50 %: one more reading with new data is needed
 30 s  60/75          Breached | t suspect: error_rate 80 % > 50 %: for 15 s of 20 s
 45 s  0/75           Breached | t FIRES: error_rate 53.3 % > 50 % for 30 s (120 of 225 requests; baseline 0.2 %)
 60 s  0/75           Healthy
       …
135 s  60/75          Breached | t suspect: error_rate 60 % > 50 %: one more reading with new data is needed
150 s  60/75          Breached | t suspect: error_rate 80 % > 50 %: for 15 s of 20 s
165 s  60/75          Breached | t FIRES: error_rate 80 % > 50 % for 30 s (240 of 300 requests; baseline 0.2 %)
"#);
}

#[test]
fn nothing_holds_over_a_change() {
    let mut world = one_trigger("error_rate > 5%", "for: 20s");
    let mut picture = world.play("2x 60/75");
    world.since = plus(world.now, 10);
    picture += &world.play("60/75; 3x 60/75");
    insta::assert_snapshot!(picture, @r#"
15 s  60/75          Breached | t suspect: error_rate 80 % > 5 %: for 0 s of 20 s
30 s  60/75          Breached | t suspect: error_rate 80 % > 5 %: for 15 s of 20 s
45 s  60/75          Unknown | t: no requests since the change: of nothing there is no share
60 s  60/75          Breached | t suspect: error_rate 80 % > 5 %: for 0 s of 20 s
75 s  60/75          Breached | t suspect: error_rate 80 % > 5 %: for 15 s of 20 s
90 s  60/75          Breached | t FIRES: error_rate 80 % > 5 % for 30 s (180 of 225 requests; baseline 0.2 %)
"#);
}

#[test]
fn a_quantile_that_reaches_back_before_the_change_is_unknown() {
    let mut world = one_trigger("response_time > baseline * 1.5", "action: alert_and_manual_review");
    world.since = plus(start(), 10);
    insta::assert_snapshot!(world.play("7x 0/750 410ms"), @r#"
 15 s  0/750 410ms    Unknown | t: the window still reaches back before the change
       …
 75 s  0/750 410ms    Breached | t suspect: response_time 410 ms > 300 ms: one more reading with new data is needed
 90 s  0/750 410ms    Breached | t FIRES: response_time 410 ms > 300 ms for 15 s (1500 requests; baseline 200 ms)
105 s  0/750 410ms    Breached | t FIRES: response_time 410 ms > 300 ms for 30 s (2250 requests; baseline 200 ms)
"#);
}

#[test]
fn latency_of_a_busy_service_is_told_as_soon_as_it_held() {
    let mut world = one_trigger("response_time > baseline * 1.5", "action: alert_and_manual_review");
    insta::assert_snapshot!(world.play("4x 0/750 200ms; 3x 0/750 410ms"), @r#"
 15 s  0/750 200ms    Healthy
       …
 75 s  0/750 410ms    Breached | t suspect: response_time 410 ms > 300 ms: one more reading with new data is needed
 90 s  0/750 410ms    Breached | t FIRES: response_time 410 ms > 300 ms for 15 s (1500 requests; baseline 200 ms)
105 s  0/750 410ms    Breached | t FIRES: response_time 410 ms > 300 ms for 30 s (2250 requests; baseline 200 ms)
"#);
}

#[test]
fn latency_of_a_quiet_service_takes_two_hundred_slow_requests() {
    let mut world = one_trigger(
        "response_time > baseline(response_time) * 1.5 or error_rate > 50%",
        "action: alert_and_manual_review",
    );
    world.every = 60;
    insta::assert_snapshot!(world.play("2x 0/32 200ms; 8x 0/32 410ms"), @r#"
 60 s  0/32 200ms     Healthy
       …
180 s  0/32 410ms     Breached | t suspect: response_time 410 ms > 300 ms: one more reading with new data is needed
240 s  0/32 410ms     Breached | t suspect: response_time 410 ms > 300 ms: 64 of the 200 requests that such a quantile takes to be trusted
300 s  0/32 410ms     Breached | t suspect: response_time 410 ms > 300 ms: 96 of the 200 requests that such a quantile takes to be trusted
360 s  0/32 410ms     Breached | t suspect: response_time 410 ms > 300 ms: 128 of the 200 requests that such a quantile takes to be trusted
420 s  0/32 410ms     Breached | t suspect: response_time 410 ms > 300 ms: 160 of the 200 requests that such a quantile takes to be trusted
480 s  0/32 410ms     Breached | t suspect: response_time 410 ms > 300 ms: 192 of the 200 requests that such a quantile takes to be trusted
540 s  0/32 410ms     Breached | t FIRES: response_time 410 ms > 300 ms for 6 min (224 requests; baseline 200 ms)
600 s  0/32 410ms     Breached | t FIRES: response_time 410 ms > 300 ms for 7 min (256 requests; baseline 200 ms)
"#);
    let mut world = one_trigger(
        "response_time > baseline(response_time) * 1.5 or error_rate > 50%",
        "action: alert_and_manual_review",
    );
    world.play("4x 0/8 200ms; 4x 8/8 410ms");
    assert!(world.memory.quiet_for("t").is_some_and(|quiet| quiet.is_zero()));
    assert_eq!(world.read("8/8 410ms").firing.len(), 1, "the share alone is enough");
}

#[test]
fn a_trigger_without_its_baseline_or_with_its_limit_below_it_is_not_armed() {
    let mut world = World::new("");
    world.baseline = None;
    let mut picture = world.play("4x 0/75 900ms");
    assert_eq!(seconds(world.memory.healthy_for()), 45);
    world.baseline = Some(baseline(&[("response_time", 0.2), ("error_rate", 0.061)]));
    picture += &world.play("2x 7/75 200ms");
    insta::assert_snapshot!(picture, @r#"
15 s  0/75 900ms     Healthy | response time degraded not armed: no baseline yet of response_time: 0 s of 5 min of healthy time and 0 of 100 requests so far | more errors than before not armed: no baseline yet of error_rate: 0 s of 5 min of healthy time and 0 of 100 requests so far
30 s  0/75 900ms     Healthy | response time degraded not armed: no baseline yet of response_time: 15 s of 5 min of healthy time and 75 of 100 requests so far, about 4.75 min more | more errors than before not armed: no baseline yet of error_rate: 15 s of 5 min of healthy time and 75 of 100 requests so far, about 4.75 min more
45 s  0/75 900ms     Healthy | response time degraded not armed: no baseline yet of response_time: 30 s of 5 min of healthy time and 100 of 100 requests so far, about 4.5 min more | more errors than before not armed: no baseline yet of error_rate: 30 s of 5 min of healthy time and 100 of 100 requests so far, about 4.5 min more
60 s  0/75 900ms     Healthy | response time degraded not armed: no baseline yet of response_time: 45 s of 5 min of healthy time and 100 of 100 requests so far, about 4.25 min more | more errors than before not armed: no baseline yet of error_rate: 45 s of 5 min of healthy time and 100 of 100 requests so far, about 4.25 min more
75 s  7/75 200ms     Healthy | error rate rose not armed: its limit lies below the baseline: error_rate was 6.1 % when healthy, the limit is 5 %; move the limit, or compare with the baseline, as in `error_rate > baseline * 2` | more errors than before not armed: the baseline has no counts of error_rate
      …
"#);
}

#[test]
fn what_is_relative_to_nothing_is_not_armed_and_the_state_gets_proven() {
    for condition in [
        "change(error_rate) > 50%",
        "error_rate / baseline > 3",
        "3 < error_rate / (2 * baseline)",
        "change(error_rate) > 50% and change(request_rate) < -50%",
    ] {
        let mut world = one_trigger(condition, "");
        world.baseline = Some(baseline(&[("error_rate", 0.0), ("request_rate", 1.0)]));
        world.play("20x 0/75; 20x 1/75");
        let told = tell(&world.read("1/75"));
        assert_eq!(
            told, "Healthy | t not armed: the baseline of error_rate is 0: nothing is relative to it",
            "{condition}"
        );
        assert_eq!(seconds(world.memory.healthy_for()), 600, "{condition}");
    }
    let mut unknown = one_trigger("1 / (error_rate - error_rate) > 3", "");
    assert_eq!(
        tell(&unknown.read("0/75")),
        "Unknown | t: the value is not a finite number"
    );
}

#[test]
fn what_is_missing_disarms_only_what_nothing_else_makes_true() {
    let mut world = one_trigger("error_rate > 50% or error_rate > baseline + 5%", "");
    world.baseline = None;
    insta::assert_snapshot!(world.play("2x 10/75; 3x 70/75; 6x 0/75"), @r#"
 15 s  10/75          Healthy | t not armed: no baseline yet of error_rate: 0 s of 5 min of healthy time and 0 of 100 requests so far
 30 s  10/75          Healthy | t not armed: no baseline yet of error_rate: 15 s of 5 min of healthy time and 75 of 100 requests so far, about 4.75 min more
 45 s  70/75          Breached | t suspect: error_rate 93.3 % > 50 %: for 0 s of 10 s
 60 s  70/75          Breached | t FIRES: error_rate 93.3 % > 50 % for 15 s (70 of 75 requests)
 75 s  70/75          Breached | t FIRES: error_rate 73.3 % > 50 % for 30 s (220 of 300 requests)
 90 s  0/75           Breached | t suspect: error_rate 70 % > 50 %: the newest reading is within the limit again
105 s  0/75           Healthy | t not armed: no baseline yet of error_rate: 30 s of 5 min of healthy time and 100 of 100 requests so far, about 4.5 min more
120 s  0/75           Healthy | t not armed: no baseline yet of error_rate: 45 s of 5 min of healthy time and 100 of 100 requests so far, about 4.25 min more
135 s  0/75           Healthy | t not armed: no baseline yet of error_rate: 60 s of 5 min of healthy time and 100 of 100 requests so far, about 4 min more
150 s  0/75           Healthy | t not armed: no baseline yet of error_rate: 75 s of 5 min of healthy time and 100 of 100 requests so far, about 3.75 min more
165 s  0/75           Healthy | t not armed: no baseline yet of error_rate: 90 s of 5 min of healthy time and 100 of 100 requests so far, about 3.5 min more
"#);
    let mut world = one_trigger("error_rate > 50% or worse(error_rate)", "");
    world.baseline = None;
    insta::assert_snapshot!(world.play("2x 10/75; 3x 70/75"), @r#"
15 s  10/75          Healthy | t not armed: no baseline yet of error_rate: 0 s of 5 min of healthy time and 0 of 100 requests so far
30 s  10/75          Healthy | t not armed: no baseline yet of error_rate: 15 s of 5 min of healthy time and 75 of 100 requests so far, about 4.75 min more
45 s  70/75          Breached | t suspect: error_rate 93.3 % > 50 %: for 0 s of 10 s
60 s  70/75          Breached | t FIRES: error_rate 93.3 % > 50 % for 15 s (70 of 75 requests)
75 s  70/75          Breached | t FIRES: error_rate 73.3 % > 50 % for 30 s (220 of 300 requests)
"#);
    let mut world = one_trigger("error_rate > 50% or change(error_rate) > 50%", "");
    world.baseline = Some(baseline(&[("error_rate", 0.0)]));
    insta::assert_snapshot!(world.play("2x 10/75; 3x 70/75"), @r#"
15 s  10/75          Healthy | t not armed: the baseline of error_rate is 0: nothing is relative to it
      …
45 s  70/75          Breached | t suspect: error_rate 93.3 % > 50 %: for 0 s of 10 s
60 s  70/75          Breached | t FIRES: error_rate 93.3 % > 50 % for 15 s (70 of 75 requests; baseline 0 %)
75 s  70/75          Breached | t FIRES: error_rate 73.3 % > 50 % for 30 s (220 of 300 requests; baseline 0 %)
"#);
    // Its limit lies below what is usual here: being true means nothing.
    let mut world = one_trigger("error_rate > 5% or change(request_rate) < -50%", "");
    world.baseline = Some(baseline(&[("error_rate", 0.9)]));
    insta::assert_snapshot!(world.play("5x 70/75"), @r#"
15 s  70/75          Healthy | t not armed: its limit lies below the baseline: error_rate was 90 % when healthy, the limit is 5 %; move the limit, or compare with the baseline, as in `error_rate > baseline * 2`
      …
"#);
}

/// Exact fractions: `1 / sum(comb(300, i) * p**i * (1 - p)**(300 - i) for i in range(32, 301))` with `p = Fraction(1, 20)`.
#[test]
fn the_evidence_of_a_share_says_how_likely_so_many_are_by_chance() {
    let odds = |condition: &str, timeline: &str| {
        let mut world = one_trigger(condition, "for: 0s, certainty: off");
        world.play(timeline);
        let (_, last) = timeline.rsplit_once("x ").unwrap();
        world.read(last).firing[0].evidence.odds
    };
    for (condition, timeline, expected) in [
        ("error_rate > 5%", "3x 8/75", 18_400.644),
        ("success_rate < 95%", "3x 8/75", 18_400.644),
        ("error_rate > 50%", "3x 75/75", 1e12),
    ] {
        let told = odds(condition, timeline).unwrap();
        assert!((told / expected - 1.0).abs() < 1e-3, "{condition}: {told}");
    }
    assert_eq!(odds("response_time > 300ms", "3x 0/750 410ms"), None);
}

#[test]
fn what_nobody_asked_for_has_no_share_and_is_told_so() {
    let mut world = one_trigger("error_rate > 5%", "");
    let mut picture = world.play("20x 0/75; 250x 0/0");
    world.since = world.now;
    picture += &world.play("2x 0/0; 0/1; 0/3");
    insta::assert_snapshot!(picture, @r#"
  15 s  0/75           Healthy
        …
3900 s  0/0            Unknown | t: no requests in the last hour: of nothing there is no share
        …
4065 s  0/0            Unknown | t: no requests since the change: of nothing there is no share
        …
4095 s  0/1            Unknown | t: 1 request since the change, 20 are needed
4110 s  0/3            Unknown | t: 4 requests since the change, 20 are needed
"#);
    world.play("3x 0/10; 6x 0/0");
    let shown = world.read("0/0");
    let (_, rate) = shown.named_signals().find(|(name, _)| *name == "error_rate").unwrap();
    assert_eq!((rate.value, rate.verdict), (Some(0.0), Word::Healthy));
    // What is older than the window is kept by the minute.
    assert_eq!(rate.because, "no requests in the last 60 s; this is of the 20 before");
    assert!(
        shown.told().ends_with(&format!("; {}", rate.because)),
        "{}",
        shown.told()
    );
}

#[test]
fn every_verdict_explains_itself_in_one_sentence_with_numbers() {
    let mut world = World::new("");
    let mut told = Vec::new();
    for part in ["4x 0/75 200ms", "2x 22/75 410ms", "4x ?"] {
        world.play(part);
        told.push(world.read(part.split_once("x ").unwrap().1).told());
    }
    world.facts.crash_looping = Some("container app of orders-7d ended 3 times, no new pod is Ready".into());
    told.push(world.judge(None).told());
    insta::assert_snapshot!(told.join("\n"), @r#"
healthy: error_rate 0 % (limit 5 %), request_rate 5/s (baseline 5/s), response_time 200 ms (limit 300 ms), success_rate 100 % (limit 70 %)
response_time 410 ms > 300 ms for 30 s (225 requests; baseline 200 ms); error_rate 22 % > 5 % for 30 s (66 of 300 requests; baseline 0.2 %)
Unknown: Prometheus did not answer: connection refused
container app of orders-7d ended 3 times, no new pod is Ready
"#);
    let verdict = World::new("").read("60/75 200ms");
    let because = |wanted: &str| {
        let (_, signal) = verdict.named_signals().find(|(name, _)| *name == wanted).unwrap();
        signal.because.clone()
    };
    insta::assert_snapshot!(because("error_rate"), @"error_rate 80 % > 5 %: for 0 s of 10 s");
    assert_eq!(because("response_time"), "");
}

#[test]
fn hard_facts_fire_at_once_without_requests() {
    let mut world = World::new("hardFacts: automatic_rollback\nscheme: levels");
    world.facts = Facts {
        crash_looping: Some("container app of orders-7d ended 3 times, no new pod is Ready".into()),
        ..Facts::default()
    };
    let verdict = world.judge(None);
    assert_eq!(verdict.action(), Some(Action::AutomaticRollback));
    assert_eq!((verdict.firing[0].grade.as_str(), verdict.firing[0].rank), ("3", 3));
    insta::assert_snapshot!(tell(&verdict).split(" | ").take(2).collect::<Vec<_>>().join(" | "), @r#"
Breached | crash_looping FIRES: container app of orders-7d ended 3 times, no new pod is Ready
"#);
    let mut off = World::new("hardFacts: 'off'");
    off.facts = world.facts.clone();
    assert!(off.judge(None).firing.is_empty());
}
