//! Kinds of signals on a real Prometheus: native histograms, firing alerts.

use std::time::Duration;

use jiff::Timestamp;
use modosu::model::reading::{Because, Measured};
use modosu_cluster::{
    Version,
    push::{Native, Worth},
};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    fixture::Traffic,
    real::Real,
    watch::{Watch, policy},
};

fn series(name: &str, job: &str, le: &str) -> Vec<(String, String)> {
    let labels = [
        ("__name__", name),
        ("instance", "a"),
        ("job", job),
        ("le", le),
        ("namespace", "shop"),
    ];
    let given = labels.into_iter().filter(|(_, value)| !value.is_empty());
    given.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// So many answers, all in the bucket that ends at a quarter of a second: one of a native histogram's, or (0.1, 0.25].
fn page(answers: u32) -> Vec<(Vec<(String, String)>, Worth)> {
    let n = f64::from(answers);
    let native = |job| {
        let native = Native {
            first: -16,
            counts: vec![u64::from(answers)],
        };
        (series("time_seconds", job, ""), Worth::Native(native))
    };
    let mut page = vec![native("native"), native("both")];
    for job in ["classic", "both"] {
        let buckets = [("0.1", 0.0), ("0.25", n), ("+Inf", n)];
        page.extend(buckets.map(|(le, n)| (series("time_seconds_bucket", job, le), Worth::Number(n))));
    }
    page.extend(["native", "classic", "both"].map(|job| (series("answers_total", job, ""), Worth::Number(n))));
    page
}

modosu_cluster::on_both!(
    a_quantile_is_read_from_native_and_from_classic_histograms,
    firing_alerts_are_counted_and_a_quiet_one_is_zero_only_where_its_rule_is_evaluated
);

async fn a_quantile_is_read_from_native_and_from_classic_histograms(version: Version) {
    let real = Real::start(version, &[], json!([])).await;
    let guard = |job: &str| {
        let yaml = format!(
            "targets: [{{kind: Deployment, name: orders}}]\ntriggers: []\nmetrics:\n  match: {{namespace: shop, job: {job}}}\n  \
             window: 15s\n  signals:\n    rate: {{rate: answers_total}}\n    \
             time: {{quantile: {{histogram: time_seconds, q: 0.95}}}}\n    \
             in_ms: {{quantile: {{histogram: time_seconds, q: 0.95, scale: 1000}}}}\n"
        );
        (job.to_owned(), policy(&yaml))
    };
    let guards = ["native", "classic", "both"].map(guard);
    let mut watch = Watch::new(real.prometheus(), Timestamp::now(), guards);
    for second in 1..=20 {
        real.write(&page(second * 40)).await;
        sleep(Duration::from_secs(1)).await;
        watch.turn(Timestamp::now()).await;
    }
    // A native bucket is as wide as its bounds' ratio, and interpolated alike; before 3.0 like a classic one.
    let (low, high) = ((-2.125_f64).exp2(), 0.25);
    let native = match version {
        Version::Newest => (-2.125 + 0.125 * 0.95_f64).exp2(),
        Version::Debian => low + (high - low) * 0.95,
    };
    let classic = 0.1 + 0.15 * 0.95;
    for (job, expected) in [("native", native), ("classic", classic), ("both", classic)] {
        for (signal, scale) in [("time", 1.0), ("in_ms", 1000.0)] {
            let Measured::Value { value, .. } = *watch.guards[job].read(signal) else {
                panic!("{job}: {:?}", watch.guards[job].last)
            };
            let off = (value - expected * scale).abs();
            assert!(off < 1e-9 * scale, "{job}: {signal} is {value}, not {expected}");
        }
    }
}

const ALERTS: &str = "targets: [{kind: Deployment, name: orders}]
metrics:
  match: {namespace: shop, job: JOB}
  signals:
    failing: {alerts: {alertname: OrdersFail, severity: page}}
    renamed: {alerts: {alertname: OrdersFial}}
    broken: {alerts: {alertname: Broken}}
triggers: [{name: alert, condition: failing >= 1, for: 2s, action: alert_and_manual_review}]
";

async fn firing_alerts_are_counted_and_a_quiet_one_is_zero_only_where_its_rule_is_evaluated(version: Version) {
    let rules = json!([{"name": "orders", "rules": [
        {"alert": "OrdersFail", "labels": {"severity": "page"},
         "expr": "sum by (namespace, job) (rate(http_requests_total{code=~\"5..\"}[10s])) > 0.1"},
        {"alert": "Broken", "expr": "http_requests_total * on (namespace) http_requests_total > 0"}]}]);
    let real = Real::start(version, &["prometheus-http"], rules).await;
    let guard = |job: &str| (job.to_owned(), policy(&ALERTS.replace("JOB", job)));
    let mut watch = Watch::new(real.prometheus(), Timestamp::now(), ["orders", "payments"].map(guard));
    let number = |value| Measured::Value {
        value,
        over: Duration::ZERO,
    };
    sleep(Duration::from_secs(8)).await;
    watch.turn(Timestamp::now()).await;
    for guard in watch.guards.values() {
        assert_eq!(*guard.read("failing"), number(0.0));
        let why = |signal: &str| {
            let Measured::Unknown(Because::NoRule(why)) = guard.read(signal) else {
                panic!("{signal}: {:?}", guard.read(signal))
            };
            why.clone()
        };
        assert_eq!(why("renamed"), "no alerting rule is named `OrdersFial`");
        assert!(
            why("broken").starts_with("the rule of the alert `Broken` fails: "),
            "{}",
            why("broken")
        );
    }
    for _ in 0..15 {
        real.round(Traffic::Bad);
        sleep(Duration::from_secs(1)).await;
        watch.turn(Timestamp::now()).await;
    }
    assert_eq!(*watch.guards["orders"].read("failing"), number(1.0));
    assert_eq!(*watch.guards["payments"].read("failing"), number(0.0));
    assert!(watch.guards["orders"].fired.contains("alert") && watch.guards["payments"].fired.is_empty());
}
