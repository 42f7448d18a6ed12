//! Guards that cannot work say so, where, and what would be right; the others go on.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

use crate::{stage::Stage, story};

/// Guard, its condition, and what must stand in the message: place, advice, the line with its caret.
const WRONG: [(&str, &str, [&str; 3]); 3] = [
    (
        "unknown-signal",
        "success_rate < 70% or eror_rate > 5%",
        [
            "spec.triggers[0].condition: column 23: ",
            "did you mean `error_rate`?",
            "success_rate < 70% or eror_rate > 5%\n                      ^",
        ],
    ),
    (
        "bad-unit",
        "error_rate > 250ms",
        [
            "spec.triggers[0].condition: column 14: ",
            "such as `5%`",
            "error_rate > 250ms\n             ^",
        ],
    ),
    (
        "no-condition",
        "error_rate > > 5%",
        [
            "spec.triggers[0].condition: column 14: ",
            "number",
            "error_rate > > 5%\n             ^",
        ],
    ),
];

story!(wrong_guards);
async fn wrong_guards(stage: &Stage) {
    stage
        .deploy("orders", json!([{"name": "WORKER_MODE", "value": "legacy"}]))
        .await;
    stage.deploy("unknown-signal", json!([])).await;
    for (name, condition, _) in WRONG {
        stage.guard(name, guarding(name, condition)).await;
    }
    stage
        .guard("missing-target", guarding("nobody", "error_rate > 5%"))
        .await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;

    for (name, _, words) in WRONG {
        says(stage, name, "InvalidGuard", &words).await;
    }
    let words = ["Deployment/nobody does not exist in this namespace"];
    says(stage, "missing-target", "TargetMissing", &words).await;
    for wrong in ["unknown-signal", "bad-unit", "no-condition", "missing-target"] {
        let shown = stage.shown(wrong).await;
        assert_eq!(shown["state"], "NotReady", "{wrong} on the page");
    }

    stage.proven("orders").await;
    assert_eq!(
        ready(stage, "orders").await.unwrap().status,
        "True",
        "a right guard goes on"
    );
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("Recovered", 90).await;
    assert_eq!(incident.spec.guard, "orders");
    assert_eq!(stage.incidents().await.len(), 1, "wrong guards open nothing");

    let triggers = guarding("orders", "success_rate < 70% or error_rate > 5%")["triggers"].clone();
    let patch = json!({"spec": {"triggers": triggers}});
    stage
        .edit("modosu.dev/v1alpha1", "Guard", "unknown-signal", patch)
        .await;
    stage
        .until("the corrected guard is ready", 20, async || {
            ready(stage, "unknown-signal")
                .await
                .filter(|ready| ready.status == "True")
        })
        .await;
}

story!(a_guard_without_rows_is_told_which_rows_there_are);
async fn a_guard_without_rows_is_told_which_rows_there_are(stage: &Stage) {
    stage.deploy("orders", json!([])).await;
    let metrics = |job: &str| json!({"metrics": {"preset": "prometheus-http", "match": {"job": job}}});
    stage.guard("orders", metrics("ordres")).await;
    stage.daemon().await;

    let available = async |status: &str| {
        let conditions = stage.guard_now("orders").await.status?.conditions;
        let found = conditions
            .into_iter()
            .find(|condition| condition.type_ == "MetricsAvailable");
        found.filter(|condition| condition.status == status)
    };
    let said = stage.until("it is told", 90, async || available("False").await).await;
    assert_eq!(said.reason, "NoData");
    assert!(
        said.message.contains("; http_requests_total{code!=\"\"}: job is "),
        "{}",
        said.message
    );
    assert!(said.message.contains("orders"), "{}", said.message);

    stage
        .edit(
            "modosu.dev/v1alpha1",
            "Guard",
            "orders",
            json!({"spec": metrics("orders")}),
        )
        .await;
    stage
        .until("it has its rows", 60, async || available("True").await)
        .await;
}

/// A guard of that Deployment with one trigger.
fn guarding(deployment: &str, condition: &str) -> Value {
    json!({
        "targets": [{"kind": "Deployment", "name": deployment}],
        "triggers": [{"name": "too many errors", "condition": condition, "action": "automatic_rollback"}],
    })
}

/// The guard is not ready, for this reason, with all of this in its message.
async fn says(stage: &Stage, guard: &str, reason: &str, words: &[&str]) {
    let ready = stage
        .until(&format!("{guard} is told to be wrong"), 20, async || {
            ready(stage, guard).await.filter(|ready| ready.status == "False")
        })
        .await;
    assert_eq!(ready.reason, reason, "{guard}: {}", ready.message);
    for part in words {
        assert!(
            ready.message.contains(part),
            "{guard} says\n{}\nand not\n{part}",
            ready.message
        );
    }
}

async fn ready(stage: &Stage, guard: &str) -> Option<Condition> {
    let status = stage.guard_now(guard).await.status?;
    status
        .conditions
        .into_iter()
        .find(|condition| condition.type_ == "Ready")
}

story!(of_two_guards_of_one_object_the_older_works);
async fn of_two_guards_of_one_object_the_older_works(stage: &Stage) {
    stage
        .deploy("orders", json!([{"name": "WORKER_MODE", "value": "legacy"}]))
        .await;
    stage.guard("first", guarding("orders", "error_rate > 5%")).await;
    stage.wait(2).await; // objects are as old as whole seconds tell
    stage.guard("another", guarding("orders", "error_rate > 5%")).await;
    stage.daemon().await;

    let words = ["Deployment/orders is a target of guard first too"];
    says(stage, "another", "TargetShared", &words).await;
    stage.proven("first").await;
    assert_eq!(stage.shown("another").await["state"], "NotReady");

    stage
        .api("modosu.dev/v1alpha1", "Guard")
        .delete("first", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    stage.proven("another").await;
}
