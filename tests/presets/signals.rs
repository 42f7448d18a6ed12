//! Kinds of signals on a real Prometheus: native histograms, firing alerts.

use std::time::Duration;

use jiff::Timestamp;
use modosu::model::reading::{Because, Measured};
use modosu_cluster::{
    Version,
    push::{Labels, Native, Worth},
};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    fixture::Traffic,
    real::Real,
    watch::{Watch, guard, policy},
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
    the_preset_http_counts_what_native_histograms_counted,
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

/// So many answers of each kind so far, in native histograms; of the job `both` also in a classic one, which says twice as many.
fn answered(good: u32, bad: u32) -> Vec<(Labels, Worth)> {
    let labels = |suffix: &str, code: &str, job: &str| -> Labels {
        let name = format!("http_server_request_duration_seconds{suffix}");
        let pairs = [
            ("__name__", &*name),
            ("http_response_status_code", code),
            ("instance", "a"),
            ("job", job),
            ("namespace", "shop"),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    };
    let mut page = Vec::new();
    for (code, n) in [("200", good), ("500", bad)].into_iter().filter(|(_, n)| *n > 0) {
        for job in ["native", "both"] {
            let native = Native {
                first: -16,
                counts: vec![u64::from(n)],
            };
            page.push((labels("", code, job), Worth::Native(native)));
        }
        page.push((labels("_count", code, "both"), Worth::Number(f64::from(2 * n))));
    }
    page
}

/// A Prometheus before 3 cannot say what a native histogram counted before: then nothing is known, and nothing is counted.
async fn the_preset_http_counts_what_native_histograms_counted(version: Version) {
    let real = Real::start(version, &[], json!([])).await;
    let guards = ["native", "both"].map(|job| {
        let metrics = format!("{{preset: http, match: {{namespace: shop, job: {job}}}}}");
        (job.to_owned(), guard(&metrics))
    });
    let mut watch = Watch::new(real.prometheus(), Timestamp::now(), guards);
    for _ in 0..12 {
        real.write(&answered(1000, 0)).await;
        sleep(Duration::from_secs(1)).await;
    }
    for second in 0..30_u32 {
        // The first failure that there ever was comes after ten seconds.
        let bad = 30 * (second.clamp(9, 20) - 9);
        real.write(&answered(1000 + 70 * second.min(20), bad)).await;
        watch.turn(Timestamp::now()).await;
        sleep(Duration::from_secs(1)).await;
    }
    let sums = |job: &str, signal: &str| watch.guards[job].sums.get(signal).copied();
    assert_eq!(
        sums("both", "error_rate"),
        Some((660.0, 3460.0)),
        "{:?}",
        watch.guards["both"]
    );
    if version == Version::Debian {
        assert_eq!(sums("native", "error_rate"), None);
        let unknown = watch.guards["native"].read("error_rate");
        assert_eq!(*unknown, Measured::Unknown(Because::NoData));
        return;
    }
    let guard = &watch.guards["native"];
    assert_eq!(sums("native", "error_rate"), Some((330.0, 1730.0)), "{guard:?}");
    assert_eq!(sums("native", "success_rate"), Some((330.0, 1730.0)));
    assert_eq!(sums("native", "request_rate"), Some((0.0, 1730.0)));
    assert!(guard.fired.contains("error rate rose"), "{:?}", guard.said);
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
