//! Plan A's triggers, word for word: each alone, and none of them at its limit.

use modosu::model::{guard::Action, incident::Incident};
use serde_json::{Value, json};

use crate::{stage::Stage, story};

/// The file as plan A has it.
pub const PLAN_A: &str = r#"triggers:
  - name: "テスト成功率低下"
    condition: "success_rate < 70%"
    action: "automatic_rollback"

  - name: "パフォーマンス劣化"
    condition: "response_time > baseline * 1.5"
    action: "alert_and_manual_review"

  - name: "エラー率上昇"
    condition: "error_rate > 5%"
    action: "automatic_rollback"
"#;

/// The signals of a healthy service; times that halve and add without rounding.
const HEALTHY: [(&str, &str, &str); 3] = [
    ("success_rate", "0.99", "ratio"),
    ("response_time", "0.25", "seconds"),
    ("error_rate", "0.01", "ratio"),
];

story!(success_rate_alone);
async fn success_rate_alone(stage: &Stage) {
    both_schemes(stage, "success_rate", "0.69").await;
    for (service, grade) in [("orders", "Critical"), ("payments", "3")] {
        let incident = incident_of(stage, service).await;
        names_exactly(&incident, "テスト成功率低下", grade, Action::AutomaticRollback);
        put_back(stage, service).await;
    }
}

story!(response_time_alone);
async fn response_time_alone(stage: &Stage) {
    both_schemes(stage, "response_time", "0.376").await;
    for (service, grade) in [("orders", "High"), ("payments", "2")] {
        let incident = incident_of(stage, service).await;
        names_exactly(&incident, "パフォーマンス劣化", grade, Action::AlertAndManualReview);
        stage.incident_in("AwaitingDecision", 10).await;
        assert_eq!(stage.env(service, "WORKER_MODE").await, "celery", "people decide");
    }
    stage.wait(2).await;
    assert_eq!(stage.target_writes(), 0, "nothing is patched");
}

story!(error_rate_alone);
async fn error_rate_alone(stage: &Stage) {
    both_schemes(stage, "error_rate", "0.051").await;
    for (service, grade) in [("orders", "Critical"), ("payments", "3")] {
        let incident = incident_of(stage, service).await;
        names_exactly(&incident, "エラー率上昇", grade, Action::AutomaticRollback);
        put_back(stage, service).await;
    }
}

story!(relative_to_no_errors_at_all);
/// Nothing is relative to nothing: such a trigger is shown as not armed, and keeps no release from being proven.
async fn relative_to_no_errors_at_all(stage: &Stage) {
    let trigger =
        json!({"name": "more errors", "condition": "change(error_rate) > 50%", "action": "automatic_rollback"});
    stage.deploy("orders", json!([])).await;
    stage.guard("orders", json!({"triggers": [trigger]})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let a = stage.current("orders").await.unwrap().hash;
    stage.set_env("orders", "VERSION", "b").await;
    let b = stage.changed("orders", &a).await;
    stage.proven("orders").await;
    assert_eq!(stage.current("orders").await.unwrap().hash, b);
    stage
        .until("/status.json says why it is not armed", 20, async || {
            let trigger = stage.shown("orders").await["triggers"][0].clone();
            let why = "the baseline of error_rate is 0: nothing is relative to it";
            (trigger["status"] == "not armed" && trigger["sentence"] == why).then_some(())
        })
        .await;
    assert!(stage.incidents().await.is_empty());
}

story!(exactly_at_the_limits);
async fn exactly_at_the_limits(stage: &Stage) {
    let cases = [
        ("success", "success_rate", "0.7"),
        ("response", "response_time", "0.375"),
        ("errors", "error_rate", "0.05"),
    ];
    for (service, signal, limit) in cases {
        deploy(stage, service, "severities", signal, limit).await;
    }
    stage.daemon().await;
    for (service, ..) in cases {
        stage.proven(service).await;
    }
    for (service, ..) in cases {
        stage.set_env(service, "WORKER_MODE", "celery").await;
    }
    for (service, signal, limit) in cases {
        stage
            .until(&format!("{service}: {signal} is exactly {limit}"), 60, async || {
                let value = stage.signal(service, signal).await?;
                (value.to_string() == limit).then_some(())
            })
            .await;
    }
    // Longer than a trigger takes to fire.
    stage.wait(14).await;

    let incidents = stage.incidents().await;
    let opened: Vec<_> = incidents.iter().map(|one| one.spec.guard.as_str()).collect();
    assert!(opened.is_empty(), "at a limit is not beyond it: {opened:?}");
    for (service, signal, limit) in cases {
        let shown = stage.shown(service).await;
        let value = stage.signal(service, signal).await.unwrap();
        assert_eq!(value.to_string(), limit, "{service}: {signal} is still at its limit");
        let triggers = shown["triggers"].as_array().unwrap();
        assert_eq!(triggers.len(), 3);
        for trigger in triggers {
            assert_eq!(
                trigger["status"], "quiet",
                "{service}: at the limit is not beyond it: {trigger}"
            );
        }
        assert_eq!(
            stage.env(service, "WORKER_MODE").await,
            "celery",
            "{service}: left alone"
        );
    }
}

/// Two services, graded by either scheme; the release of each moves this one signal to this value.
async fn both_schemes(stage: &Stage, signal: &str, after: &str) {
    deploy(stage, "orders", "severities", signal, after).await;
    deploy(stage, "payments", "levels", signal, after).await;
    stage.daemon().await;
    for service in ["orders", "payments"] {
        stage.proven(service).await;
    }
    for service in ["orders", "payments"] {
        stage.set_env(service, "WORKER_MODE", "celery").await;
    }
}

async fn deploy(stage: &Stage, service: &str, scheme: &str, signal: &str, after: &str) {
    let env = json!([{"name": "WORKER_MODE", "value": "legacy"}]);
    stage.deploy(service, env).await;
    let plan_a: Value = serde_saphyr::from_str(PLAN_A).unwrap();
    let mut signals = json!({});
    for (name, healthy, unit) in HEALTHY {
        let released = if name == signal { after } else { healthy };
        let query = switched(&stage.namespace, service, healthy, released);
        signals[name] = json!({"gauge": query, "unit": unit});
    }
    let rows = json!({"namespace": stage.namespace, "job": service});
    let metrics = json!({"preset": null, "match": rows, "signals": signals});
    let spec = json!({"scheme": scheme, "triggers": plan_a["triggers"], "metrics": metrics});
    stage.guard(service, spec).await;
}

/// A query that gives `released` while a pod fails requests, as only the release's do, and else `healthy`.
fn switched(namespace: &str, service: &str, healthy: &str, released: &str) -> String {
    let rows = format!("namespace=\"{namespace}\", job=\"{service}\"");
    let failing = format!("count(http_requests_total{{{rows}, code=\"500\"}})");
    let present = format!("count(up{{{rows}}})");
    format!("{failing} * 0 + {released} or {present} * 0 + {healthy}")
}

async fn incident_of(stage: &Stage, guard: &str) -> Incident {
    stage
        .until(&format!("an incident of {guard}"), 60, async || {
            let all = stage.incidents().await;
            all.into_iter().find(|incident| incident.spec.guard == guard)
        })
        .await
}

fn names_exactly(incident: &Incident, trigger: &str, grade: &str, action: Action) {
    let fired: Vec<_> = incident.spec.triggers.iter().map(|fired| fired.name.as_str()).collect();
    assert_eq!(fired, [trigger], "the one trigger that can fire");
    assert_eq!(incident.spec.grade, grade);
    assert_eq!(incident.spec.triggers[0].grade, grade);
    assert_eq!(incident.spec.action, action);
}

async fn put_back(stage: &Stage, service: &str) {
    stage
        .until(&format!("{service} is back on legacy"), 30, async || {
            (stage.env(service, "WORKER_MODE").await == "legacy").then_some(())
        })
        .await;
}
