//! How much lies between the reading that is bad and the write that puts it back.

use serde_json::json;

use crate::stage::{Stage, deployment, line::changes};

/// The evidence while the server is asked about the plan, the guard that names it, the plan with its first intent.
const BEFORE: [&str; 4] = [
    "create incidents",
    "patch deployments/orders (dry run)",
    "patch guards/orders status",
    "patch incidents status RollingBack 1 intent",
];
/// Reads: what was judged and its proven state, and right before the write whether it was frozen, or something newer came.
const READS: usize = 8;

#[tokio::test(start_paused = true)]
async fn four_requests_change_something_before_the_first_restoring_write() {
    let stage = Stage::embedded("pace").await;
    stage.deploy("orders", json!([])).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    stage.record();
    let bad = json!([{"name": "ERROR_SHARE", "value": "0.5"}]);
    stage.release("orders", bad, |_| ()).await;
    stage.incident_in("Recovered", 120).await;
    let line = stage.recorded();
    let at = |words: &str| line.iter().position(|request| request == words).unwrap();
    let (opened, write) = (at("create incidents"), at("patch deployments/orders"));
    let before = line[..opened].iter();
    let suspected = before
        .clone()
        .rposition(|request| request == "patch guards/orders status");
    let told = |request: &&String| !request.contains("events");
    let between = line[suspected.unwrap() + 1..write].iter().filter(told);
    let (mut writes, reads): (Vec<&str>, Vec<&str>) = between.map(String::as_str).partition(|words| changes(words));
    // These two go side by side.
    writes[..2].sort_unstable();
    assert_eq!(writes, BEFORE, "{line:#?}");
    assert!(reads.len() <= READS, "{reads:#?}");
}

/// Of those only these wait for one another, with whatever number of targets but for their dry runs and writes.
#[tokio::test(start_paused = true)]
async fn what_need_not_wait_is_asked_at_the_same_time() {
    let stage = Stage::embedded("rounds").await;
    two_writes(&stage).await;
    let rounds = from_the_verdict_on(stage.rounds());
    assert_eq!(
        rounds,
        [
            // The plan, from what is there and what was proven.
            vec![
                "get configmaps/settings",
                "get controllerrevisions",
                "get deployments/orders"
            ],
            // The evidence, while the server is asked about each write of the plan.
            vec!["create incidents", "patch configmaps/settings (dry run)"],
            vec!["patch deployments/orders (dry run)"],
            // The guard's reference to it.
            vec!["patch guards/orders status"],
            // Plan and intent, while it is looked whether somebody stopped it or brought something newer.
            vec![
                "get configmaps/modosu-freeze",
                "get deployments/orders",
                "get guards/orders",
                "get incidents",
                "get namespaces",
                "patch incidents status RollingBack 1 intent"
            ],
            vec!["patch configmaps/settings"],
            // Its receipt and the next intent, and the same look.
            vec![
                "get configmaps/modosu-freeze",
                "get configmaps/settings",
                "get deployments/orders",
                "get guards/orders",
                "get incidents",
                "get namespaces",
                "patch incidents status RollingBack 2 intent"
            ],
            vec!["patch deployments/orders"],
        ],
        "{rounds:#?}"
    );
}

/// A release of a template and its settings is put back.
async fn two_writes(stage: &Stage) {
    stage.config("settings", json!({"GREETING": "hello"})).await;
    let mut orders = deployment(
        &stage.namespace,
        "orders",
        json!([{"name": "WORKER_MODE", "value": "legacy"}]),
    );
    orders["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    stage.create("apps/v1", "Deployment", orders).await;
    stage.rolled_out("orders").await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let settings = json!({"data": {"GREETING": "hullo"}});
    stage.edit("v1", "ConfigMap", "settings", settings).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage
        .until("the release is under suspicion", 40, async || {
            (stage.shown("orders").await["state"] == "Suspect").then_some(())
        })
        .await;
    stage.record_rounds();
    stage.incident_in("Recovered", 120).await;
}

/// Until the last target is written; what is told of it beside is left out.
fn from_the_verdict_on(rounds: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let mut rounds: Vec<Vec<String>> = rounds
        .into_iter()
        .map(|mut round| {
            round.retain(|request| !request.contains(" events"));
            round.sort();
            round
        })
        // Namespaces are read now and then, before Prometheus is asked.
        .filter(|round| !round.is_empty() && *round != ["get namespaces"])
        .collect();
    let has = |round: &Vec<String>, words: &str| round.iter().any(|request| request == words);
    let opened = rounds.iter().position(|round| has(round, "create incidents")).unwrap();
    let before = rounds[..opened]
        .iter()
        .rposition(|round| round.iter().any(|request| changes(request)))
        .map_or(0, |last| last + 1);
    let last = rounds
        .iter()
        .position(|round| has(round, "patch deployments/orders"))
        .unwrap();
    rounds.truncate(last + 1);
    rounds.split_off(before)
}
