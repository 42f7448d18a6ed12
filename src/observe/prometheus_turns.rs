//! Tests of whole turns, over a Prometheus that is a function.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{Poller, State};
use crate::{
    judge::{
        condition::Condition,
        policy::{Policy, Signal, Source},
    },
    model::{
        grade::Scheme,
        guard::{Mode, Unit, Worse},
        reading::{Because, Bucket, Measured, Reading},
    },
    observe::prometheus::Prometheus,
};

/// What the function answers: requests grow by 10 a second in every job, 1 of them bad, the quantile is 0.25.
#[derive(Default)]
struct Script {
    /// Prometheus' own clock.
    now: f64,
    down: bool,
    /// Queries that contain one of these texts are answered with a warning, or with 422, or not at all.
    warn: Vec<&'static str>,
    warn_quantile_of: Option<&'static str>,
    warn_growth_of: Option<&'static str>,
    refuse: Vec<&'static str>,
    fail: Vec<&'static str>,
    /// Jobs without any series, and jobs whose last sample is this old.
    absent: BTreeSet<&'static str>,
    stale: BTreeMap<&'static str, f64>,
    never_bad: bool,
    /// Jobs of which the server that answers missed so much, in seconds.
    missed: BTreeMap<&'static str, f64>,
    /// Jobs of which a series is so far behind the others, in seconds.
    behind: BTreeMap<&'static str, f64>,
    /// A label that no target has.
    untargeted: Option<&'static str>,
    seen: Vec<String>,
}

struct Stage {
    script: Arc<Mutex<Script>>,
    calls: Arc<AtomicU32>,
    poller: Poller<String>,
    guards: BTreeMap<String, Arc<Policy>>,
}

impl Stage {
    fn new(jobs: impl IntoIterator<Item = String>) -> Self {
        let script = Arc::new(Mutex::new(Script {
            now: 1_700_000_000.0,
            ..Script::default()
        }));
        let calls = Arc::new(AtomicU32::new(0));
        let (asked, count) = (script.clone(), calls.clone());
        let service = tower::service_fn(move |request: http::Request<Bytes>| {
            count.fetch_add(1, Ordering::Relaxed);
            let response = answer(&mut asked.lock().unwrap(), request.body());
            async move { Ok::<_, Infallible>(response) }
        });
        let poller = Poller::new(Prometheus::from_service(service, Duration::from_secs(5)));
        let guards = jobs
            .into_iter()
            .map(|job| (job.clone(), Arc::new(policy(&job))))
            .collect();
        Self {
            script,
            calls,
            poller,
            guards,
        }
    }

    fn few() -> Self {
        Self::new(["a", "b", "c", "d"].map(String::from))
    }

    fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    /// A turn that much later, with a daemon clock that is `behind` Prometheus'.
    async fn turn_with(&mut self, later: f64, behind: SignedDuration) -> BTreeMap<String, Reading> {
        let seconds = {
            let mut script = self.script.lock().unwrap();
            script.now += later;
            script.seen.clear();
            script.now
        };
        self.calls.store(0, Ordering::Relaxed);
        let now = Timestamp::from_millisecond(0).unwrap() + SignedDuration::from_secs_f64(seconds) - behind;
        self.poller.turn(&self.guards, now).await.readings
    }

    async fn turn(&mut self) -> BTreeMap<String, Reading> {
        self.turn_with(5.0, SignedDuration::ZERO).await
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }
}

fn policy(job: &str) -> Policy {
    let signal = |name: &str, unit, source| Signal {
        name: name.into(),
        unit,
        worse: Worse::Up,
        source,
    };
    let (bad, total) = (r#"requests{code=~"5.."}"#.to_owned(), "requests".to_owned());
    let hour = Duration::from_secs(3600);
    Policy {
        mode: Mode::Enforce,
        matching: [("job", job), ("namespace", "shop")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        signals: vec![
            signal("success_rate", Unit::Ratio, Source::Complement { of: 1 }),
            signal(
                "error_rate",
                Unit::Ratio,
                Source::Bad {
                    bad,
                    total: total.clone(),
                },
            ),
            signal(
                "response_time",
                Unit::Seconds,
                Source::Quantile {
                    histogram: "duration".into(),
                    q: 0.95,
                    scale: 1.0,
                },
            ),
            signal("request_rate", Unit::Rate, Source::Rate { counter: total }),
        ],
        names: Arc::default(),
        triggers: vec![],
        hard_facts: None,
        scheme: Scheme::default().into(),
        window: Duration::from_secs(60),
        baseline_window: hour,
        reference: crate::judge::policy::Reference::Healthy,
        evidence: None,
        watch_for: hour,
        automatic_for: hour,
        known_good_after: hour,
        cooldown: hour,
        retry_lock: hour,
        lock_fields: Vec::new(),
        within: hour,
        steps: vec![],
        stages: Vec::new(),
        jobs: true,
        before: vec![],
        verify: vec![],
        hold: hour,
    }
}

fn answer(script: &mut Script, body: &[u8]) -> http::Response<Bytes> {
    let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    let query = form.get("query").cloned().unwrap_or_default();
    script.seen.push(query.clone());
    let has = |texts: &[&str]| texts.iter().any(|text| query.contains(text));
    let at = form
        .get("time")
        .and_then(|time| time.parse().ok())
        .unwrap_or(script.now);
    let (status, body) = if script.down || has(&script.fail) {
        (
            503,
            json!({"status": "error", "errorType": "unavailable", "error": "starting up"}),
        )
    } else if has(&script.refuse) {
        (
            422,
            json!({"status": "error", "errorType": "execution", "error": "many-to-many matching"}),
        )
    } else {
        let spoilt =
            |form: &str, job: Option<&str>| query.starts_with(form) && job.is_some_and(|job| query.contains(job));
        let one = spoilt("histogram_quantile", script.warn_quantile_of) || spoilt("sum by", script.warn_growth_of);
        let warnings = if one || has(&script.warn) {
            vec!["bucket label \"le\" is malformed"]
        } else {
            vec![]
        };
        (
            200,
            json!({"status": "success", "data": data(script, &query, at), "warnings": warnings}),
        )
    };
    http::Response::builder()
        .status(status)
        .body(Bytes::from(body.to_string()))
        .unwrap()
}

fn data(script: &Script, query: &str, at: f64) -> Value {
    if query == "time()" {
        return json!({"resultType": "scalar", "result": [at, at.to_string()]});
    }
    let is_bad = query.contains("code=~");
    let is_newest = query.starts_with("max by") && query.contains("timestamp");
    let value: f64 = if query.starts_with("sum by") {
        let over = query
            .split("offset ")
            .nth(1)
            .and_then(|rest| rest.split("ms").next())
            .unwrap();
        over.parse::<f64>().unwrap() / if is_bad { 1000.0 } else { 100.0 }
    } else if query.contains("count_over_time") {
        if query.contains("[20s]") { 4.0 } else { 24.0 }
    } else {
        0.25
    };
    let row = |job: &str| {
        let newest = (at - script.stale.get(job).copied().unwrap_or(0.5)).floor();
        let value = if is_newest { newest } else { value };
        json!({"metric": {"job": job, "namespace": "shop", "service": "queue"}, "value": [at, value.to_string()]})
    };
    let with_le = |job: &str| {
        let buckets = [("0.5", 0.9), ("1", 0.96), ("+Inf", 1.0)];
        buckets.map(|(le, share)| {
            let mut row = row(job);
            row["metric"]["le"] = json!(le);
            row["value"][1] = json!((value * share).to_string());
            row
        })
    };
    let silent = script.never_bad && is_bad;
    let jobs = query
        .split_once("job=")
        .map(|(_, rest)| rest.trim_start_matches('~').trim_start_matches('"'))
        .unwrap();
    let jobs = jobs
        .split('"')
        .next()
        .unwrap()
        .split('|')
        .filter(|job| !silent && !script.absent.contains(job));
    let untargeted = query.contains("scrape_duration") && script.untargeted.is_some_and(|label| query.contains(label));
    let begun = |job: &str| {
        let mut row = row(job);
        let missed = script.missed.get(job).copied().unwrap_or(0.5);
        row["metric"]["newest"] = json!("mark");
        let over = if is_bad { value } else { value / 10.0 };
        row["value"][1] = json!((at - over - missed).to_string());
        row
    };
    let furthest = |job: &str| {
        let mut row = row(job);
        row["metric"]["newest"] = json!("least");
        let behind = script.behind.get(job).copied().unwrap_or_default();
        row["value"][1] = json!((at - 0.5 - behind).to_string());
        row
    };
    let rows: Vec<Value> = if untargeted {
        Vec::new()
    } else if is_newest && query.contains("label_replace") {
        jobs.flat_map(|job| [row(job), furthest(job)]).collect()
    } else if query.contains("label_replace") {
        jobs.flat_map(|job| [row(job), begun(job)]).collect()
    } else if query.starts_with("sum by (job, namespace, le)") {
        jobs.flat_map(with_le).collect()
    } else {
        jobs.map(row).collect()
    };
    json!({"resultType": "vector", "result": rows})
}

fn counts(reading: &Reading) -> (f64, f64) {
    let Measured::Counts { bad, total } = reading.signals[1] else {
        panic!("no counts: {reading:?}")
    };
    (bad, total)
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_guards_of_one_preset_cost_at_most_ten_queries() {
    let mut stage = Stage::new((0..10_000).map(|n| format!("service-{n}-with-a-name")));
    let first = stage.turn().await;
    assert!(stage.calls() <= 10, "{} queries", stage.calls());
    assert_eq!(
        first["service-1-with-a-name"].signals[1],
        Measured::Unknown(Because::WarmingUp)
    );
    // The second one also asks again how often and how long targets are scraped.
    for later in [5.0, 60.0] {
        let readings = stage.turn_with(later, SignedDuration::ZERO).await;
        assert!(stage.calls() <= 10, "{} queries", stage.calls());
        assert_eq!(readings.len(), 10_000);
        assert_eq!(counts(&readings["service-9999-with-a-name"]), (later, later * 10.0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reading_holds_every_signal_in_the_policys_order() {
    let mut stage = Stage::few();
    stage.turn().await;
    let readings = stage.turn().await;
    let reading = &readings["a"];
    let counts = Measured::Counts { bad: 5.0, total: 50.0 };
    let value = Measured::Value {
        value: 0.25,
        over: Duration::from_secs(60),
    };
    assert_eq!(reading.signals, [counts.clone(), counts, value, Measured::Events(50.0)]);
    assert_eq!(reading.span, Duration::from_secs(5));
    // Behind now: the slowest scrape (0.25 s, a quarter longer, to the grid) and a margin.
    assert_eq!(reading.at.to_string(), "2023-11-14T22:13:29.5Z");
    assert_eq!(stage.calls(), 6, "{:#?}", stage.script.lock().unwrap().seen);
}

#[tokio::test(start_paused = true)]
async fn buckets_are_counted_only_where_a_change_is_watched() {
    let mut stage = Stage::few();
    for policy in stage.guards.values_mut() {
        let policy = Arc::make_mut(policy);
        policy.verify = vec![Condition::compile("not worse(response_time)", &policy.signals).unwrap()];
    }
    stage.turn().await;
    stage.turn().await;
    let buckets = |stage: &Stage| {
        let script = stage.script.lock().unwrap();
        let of_buckets = script
            .seen
            .iter()
            .filter(|query| query.starts_with("sum by (job, namespace, le)"));
        of_buckets.count()
    };
    assert_eq!(buckets(&stage), 0);
    stage.poller.look_closely(["a".to_owned()].into());
    let readings = stage.turn().await;
    assert_eq!(buckets(&stage), 1, "one query for all of them");
    let bucket = |le, count| Bucket { le, count };
    assert_eq!(
        readings["a"].signals[2],
        Measured::Timed {
            value: 0.25,
            over: Duration::from_secs(60),
            buckets: vec![bucket(0.5, 45.0), bucket(1.0, 48.0), bucket(f64::INFINITY, 50.0)],
        }
    );
    assert!(matches!(readings["b"].signals[2], Measured::Value { .. }));
    stage.script(|script| script.fail = vec!["duration_bucket{job=\"a\", namespace=\"shop\"} -"]);
    let readings = stage.turn().await;
    assert!(
        matches!(readings["a"].signals[2], Measured::Value { .. }),
        "the quantile is known without them"
    );
}

#[tokio::test(start_paused = true)]
async fn a_series_that_spoils_its_batch_is_found_and_asked_alone() {
    let mut stage = Stage::new((0..1000).map(|n| format!("s{n:03}")));
    stage.turn().await;
    let quantile = |readings: &BTreeMap<String, Reading>, job: &str| readings[job].signals[2].clone();
    stage.script(|script| script.warn_quantile_of = Some("s123"));
    let restrict = |query: &str| query.starts_with("histogram_quantile");
    let first = stage.turn().await;
    let spoilt = stage
        .script
        .lock()
        .unwrap()
        .seen
        .iter()
        .filter(|query| restrict(query))
        .count();
    assert!((2..=22).contains(&spoilt), "{spoilt} quantile queries");
    assert!(matches!(quantile(&first, "s123"), Measured::Unknown(Because::Partial(why)) if why.contains("le")));
    assert!(matches!(quantile(&first, "s122"), Measured::Value { .. }));
    let second = stage.turn().await;
    let spoilt = stage
        .script
        .lock()
        .unwrap()
        .seen
        .iter()
        .filter(|query| restrict(query))
        .count();
    assert_eq!(spoilt, 2, "the culprit is asked apart");
    assert!(matches!(
        quantile(&second, "s123"),
        Measured::Unknown(Because::Partial(_))
    ));
    assert!(matches!(quantile(&second, "s999"), Measured::Value { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_the_whole_server_makes_nobody_a_culprit() {
    let mut stage = Stage::new((0..1000).map(|n| format!("s{n}")));
    stage.turn().await;
    stage.script(|script| script.warn = vec!["job"]);
    // The first tries to split; the second does so for what the first did not ask.
    for _ in 0..2 {
        stage.turn().await;
        assert!(stage.calls() < 150, "{} queries", stage.calls());
    }
    let readings = stage.turn().await;
    assert!(stage.calls() <= 10, "{} queries", stage.calls());
    assert!(matches!(
        readings["s77"].signals[1],
        Measured::Unknown(Because::Partial(_))
    ));
    stage.script(|script| script.warn.clear());
    let readings = stage.turn().await;
    assert_eq!(counts(&readings["s77"]), (5.0, 50.0));
    assert!(stage.calls() <= 10, "{} queries", stage.calls());
}

#[tokio::test(start_paused = true)]
async fn counts_without_an_answer_are_counted_with_the_next_reading() {
    let mut stage = Stage::few();
    stage.turn().await;
    stage.turn().await;
    stage.script(|script| script.fail = vec!["clamp_min(requests{job"]);
    for _ in 0..3 {
        let readings = stage.turn().await;
        assert!(matches!(
            readings["a"].signals[1],
            Measured::Unknown(Because::NoAnswer(_))
        ));
        assert!(matches!(readings["a"].signals[2], Measured::Value { .. }));
    }
    stage.script(|script| script.fail.clear());
    let readings = stage.turn().await;
    assert_eq!(counts(&readings["a"]), (20.0, 200.0));
    assert_eq!(readings["a"].span, Duration::from_secs(20));
    assert_eq!(counts(&stage.turn().await["a"]), (5.0, 50.0));
}

#[tokio::test(start_paused = true)]
async fn a_new_guard_is_read_apart_until_it_is_level() {
    let mut stage = Stage::few();
    stage.turn().await;
    stage.guards.insert("e".into(), Arc::new(policy("e")));
    let readings = stage.turn().await;
    assert_eq!(readings["e"].signals[1], Measured::Unknown(Because::WarmingUp));
    assert_eq!(counts(&readings["a"]), (5.0, 50.0));
    let readings = stage.turn().await;
    assert_eq!(counts(&readings["e"]), counts(&readings["a"]));
    assert_eq!(stage.calls(), 6);
}

#[tokio::test(start_paused = true)]
async fn while_prometheus_is_down_everything_is_unknown_and_nothing_is_lost() {
    let mut stage = Stage::few();
    stage.turn().await;
    stage.turn().await;
    stage.script(|script| script.down = true);
    let readings = stage.turn().await;
    assert!(
        readings["a"]
            .signals
            .iter()
            .all(|signal| matches!(signal, Measured::Unknown(Because::NoAnswer(_))))
    );
    assert_eq!((stage.calls(), stage.poller.breaker.health().state), (1, State::Down));
    let mut probes = 0;
    for _ in 0..60 {
        stage.turn_with(1.0, SignedDuration::ZERO).await;
        probes += stage.calls();
    }
    assert!((4..=9).contains(&probes), "{probes} probes in a minute");
    stage.script(|script| script.down = false);
    let readings = stage.turn_with(20.0, SignedDuration::ZERO).await;
    assert_eq!(counts(&readings["a"]), (85.0, 850.0));
    assert_eq!(stage.poller.breaker.health().state, State::Up);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_clock_that_is_wrong_changes_nothing_but_the_times_shown() {
    let (mut right, mut wrong) = (Stage::few(), Stage::few());
    let minutes = SignedDuration::from_mins(10);
    for _ in 0..5 {
        let (a, b) = (
            right.turn_with(5.0, SignedDuration::ZERO).await,
            wrong.turn_with(5.0, minutes).await,
        );
        assert_eq!(a["a"].signals, b["a"].signals);
        assert_eq!((a["a"].at - minutes, a["a"].span), (b["a"].at, b["a"].span));
    }
}

#[tokio::test(start_paused = true)]
async fn no_bad_counter_is_zero_bad_and_no_total_is_unknown() {
    let mut stage = Stage::few();
    stage.turn().await;
    stage.script(|script| script.never_bad = true);
    assert_eq!(counts(&stage.turn().await["a"]), (0.0, 50.0));
    stage.script(|script| script.absent = ["a"].into());
    let readings = stage.turn().await;
    let hint = Because::NoRows("there is no requests at all".into());
    assert_eq!(readings["a"].signals, vec![Measured::Unknown(hint); 4]);
    assert_eq!(counts(&readings["b"]), (0.0, 50.0));
}

#[tokio::test(start_paused = true)]
async fn old_samples_make_a_guard_unknown() {
    let mut stage = Stage::few();
    stage.turn().await;
    stage.script(|script| script.stale = [("a", 30.0)].into());
    let readings = stage.turn().await;
    let Measured::Unknown(Because::Stale { age, interval }) = readings["a"].signals[0] else {
        panic!("not stale")
    };
    assert!(age >= Duration::from_secs(30) && interval == Duration::from_secs(5));
    assert_eq!(counts(&readings["b"]), (5.0, 50.0));
}

#[tokio::test(start_paused = true)]
async fn what_another_server_told_before_is_not_counted_again() {
    let mut stage = Stage::few();
    stage.turn().await;
    stage.turn().await;
    stage.script(|script| script.missed = [("a", 60.0)].into());
    let readings = stage.turn().await;
    for signal in [0, 1, 3] {
        let because = Measured::Unknown(Because::CountedBefore);
        assert_eq!(readings["a"].signals[signal], because);
    }
    assert_eq!(counts(&readings["b"]), (5.0, 50.0));
    stage.script(|script| script.missed.clear());
    assert_eq!(
        counts(&stage.turn().await["a"]),
        (5.0, 50.0),
        "what was missed is left out"
    );
}

#[tokio::test(start_paused = true)]
async fn one_server_that_meets_its_targets_again_one_after_the_other_counts_what_it_missed() {
    let mut stage = Stage::few();
    stage.turn().await;
    // It was down for a minute; of two targets one was scraped since, and the other one is still as it was.
    stage.script(|script| script.behind = [("a", 60.0)].into());
    stage.turn_with(60.0, SignedDuration::ZERO).await;
    stage.script(|script| (script.behind, script.missed) = (BTreeMap::new(), [("a", 60.0)].into()));
    assert_eq!(counts(&stage.turn().await["a"]), (5.0, 50.0), "nobody told it before");
    // Somebody did by now.
    let readings = stage.turn().await;
    assert_eq!(readings["a"].signals[1], Measured::Unknown(Because::CountedBefore));
}

#[tokio::test(start_paused = true)]
async fn what_is_pushed_holds_up_nobody_else() {
    let mut stage = Stage::few();
    let mut pushed = policy("p");
    pushed.matching = [("job", "p"), ("service", "queue")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    stage.guards.insert("p".into(), Arc::new(pushed));
    stage.script(|script| script.untargeted = Some("service="));
    stage.turn().await;
    let readings = stage.turn().await;
    // Its samples come every five seconds, and a quarter later.
    assert_eq!(readings["p"].at.to_string(), "2023-11-14T22:13:23.6Z");
    assert_eq!(readings["a"].at.to_string(), "2023-11-14T22:13:29.5Z");
    assert_eq!(counts(&readings["p"]), counts(&readings["a"]));
}

#[tokio::test(start_paused = true)]
async fn a_culprit_is_remembered_while_another_guard_catches_up() {
    let mut stage = Stage::new((0..64).map(|n| format!("s{n:02}")));
    let counting = |stage: &Stage| {
        let script = stage.script.lock().unwrap();
        script.seen.iter().filter(|query| query.starts_with("sum by")).count()
    };
    stage.turn().await;
    stage.script(|script| script.warn_growth_of = Some("s63"));
    stage.turn().await;
    // One guard is behind, so that counts are asked in two groups.
    let behind = stage.poller.marks["s00"].before(Duration::from_secs(5));
    stage.poller.marks.insert("s00".into(), behind);
    let readings = stage.turn().await;
    assert_eq!(counts(&readings["s00"]), (10.0, 100.0));
    // Bad and total each for it, for the culprit and for all others.
    assert_eq!(counting(&stage), 6);
    stage.turn().await;
    assert_eq!(counting(&stage), 4);
}
