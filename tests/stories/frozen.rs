//! Stopping modosu: nothing is written while somebody froze it, and nothing fires in retrospect when that ends.

use serde_json::{Value, json};

use crate::{
    stage::{Stage, state_of},
    story,
};

/// A guarded service whose state is proven.
pub async fn guarded(stage: &Stage, spec: Value) {
    stage
        .deploy("orders", json!([{"name": "WORKER_MODE", "value": "legacy"}]))
        .await;
    stage.guard("orders", spec).await;
    stage.daemon().await;
    stage.proven("orders").await;
}

pub fn notes() -> Value {
    json!({"modosu.dev/freeze-until": "2999-01-01T00:00:00Z", "modosu.dev/by": "ann", "modosu.dev/reason": "repairs"})
}

const THAW: Value = Value::Null;

fn thawed() -> Value {
    json!({"modosu.dev/freeze-until": THAW, "modosu.dev/by": THAW, "modosu.dev/reason": THAW})
}

pub async fn annotate(stage: &Stage, (api, kind, name): (&str, &str, &str), notes: Value) {
    stage
        .edit(api, kind, name, json!({"metadata": {"annotations": notes}}))
        .await;
}

async fn frozen(stage: &Stage) {
    stage
        .until("it is frozen", 30, async || {
            (stage.shown("orders").await["state"] == "Frozen").then_some(())
        })
        .await;
}

async fn thaws(stage: &Stage) {
    stage
        .until("it is frozen no more", 30, async || {
            (stage.shown("orders").await["state"] != "Frozen").then_some(())
        })
        .await;
}

/// A bad release while it is frozen at that place leads to people; afterwards it is left to them, the next one is not.
async fn stops_all(stage: &Stage, place: (&str, &str, &str)) {
    guarded(stage, json!({})).await;
    annotate(stage, place, notes()).await;
    frozen(stage).await;
    let shown = stage.shown("orders").await;
    assert_eq!(shown["freeze"]["by"], "ann", "{shown}");
    assert_eq!(shown["freeze"]["reason"], "repairs");

    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let told = stage.incident_in("AwaitingDecision", 60).await;
    let reason = told.status.unwrap().reason;
    assert!(reason.contains("frozen by ann until"), "{reason}");
    stage
        .always("nothing is written", 10, async || stage.target_writes() == 0)
        .await;

    annotate(stage, place, thawed()).await;
    thaws(stage).await;
    stage
        .always("nothing fires in retrospect", 15, async || stage.target_writes() == 0)
        .await;
    assert_eq!(stage.incidents().await.len(), 1);
}

story!(a_frozen_guard_writes_nothing);
async fn a_frozen_guard_writes_nothing(stage: &Stage) {
    stops_all(stage, ("modosu.dev/v1alpha1", "Guard", "orders")).await;
}

story!(a_frozen_workload_writes_nothing);
async fn a_frozen_workload_writes_nothing(stage: &Stage) {
    stops_all(stage, ("apps/v1", "Deployment", "orders")).await;
}

story!(a_frozen_namespace_writes_nothing);
async fn a_frozen_namespace_writes_nothing(stage: &Stage) {
    let name = stage.namespace.clone();
    stops_all(stage, ("v1", "Namespace", &name)).await;
}

story!(a_plan_frozen_halfway_goes_on_when_a_person_says_so);
async fn a_plan_frozen_halfway_goes_on_when_a_person_says_so(stage: &Stage) {
    // A first step that is waited for leaves time to stop before the second one.
    let steps = json!([
        {"setEnv": {"target": "Deployment/orders", "env": {"STEP": "one"}}},
        {"waitReady": {}},
        {"restore": {}},
        {"waitReady": {}},
    ]);
    guarded(stage, json!({"rollback": {"steps": steps}})).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let deployment = ("apps/v1", "Deployment", "orders");
    stage
        .until("the first step", 60, async || {
            (stage.env("orders", "STEP").await == "one").then_some(())
        })
        .await;
    annotate(stage, deployment, notes()).await;
    let stopped = stage.incident_in("Escalated", 30).await;
    assert!(stopped.status.unwrap().reason.contains("frozen by ann"));
    stage
        .always("nothing more is written", 10, async || {
            stage.env("orders", "WORKER_MODE").await == "celery"
        })
        .await;

    annotate(stage, deployment, thawed()).await;
    thaws(stage).await;
    stage.decide(&stopped.metadata.name.clone().unwrap(), "resume").await;
    let over = stage.incident_in("Recovered", 90).await;
    assert_eq!(state_of(&over), "Recovered");
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
    assert_eq!(stage.template_patches("orders"), 2, "each step once");
}

/// `modosu …` from a desk, with the stage's cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_command_line() {
    let stage = Stage::real("from_the_command_line").await;
    guarded(&stage, json!({})).await;
    let guard = format!("{}/orders", stage.namespace);
    let said = stage
        .command(&["freeze", &guard, "--for", "10m", "--reason", "repairs"])
        .await;
    assert!(
        said.contains("frozen by ") && said.contains(": repairs (Guard/orders)"),
        "{said}"
    );
    frozen(&stage).await;
    let said = stage.command(&["resume", &guard]).await;
    assert_eq!(said, "Guard/orders: frozen no more\n");
    thaws(&stage).await;

    let said = stage.command(&["freeze", "--namespace", &stage.namespace]).await;
    assert!(said.contains("Namespace/"), "{said}");
    frozen(&stage).await;
    stage.command(&["resume", "--namespace", &stage.namespace]).await;
    thaws(&stage).await;
    stage.end().await;
}

/// One that no daemon reads freezes nothing, and whoever called it must hear that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_of_everything_in_a_wrong_namespace_is_said() {
    let stage = Stage::real("a_freeze_of_everything_in_a_wrong_namespace").await;
    guarded(&stage, json!({})).await;
    let all = ["--all", "--daemon-namespace", &stage.namespace];
    let resumed = stage.tries(&[&["resume"][..], &all].concat()).await.unwrap_err();
    assert!(
        resumed.contains("no ConfigMap modosu-freeze freezes everything"),
        "{resumed}"
    );
    let long = ["freeze", "--for", "29d"];
    let frozen = stage.tries(&[&long[..], &all].concat()).await.unwrap_err();
    assert!(frozen.contains("no guard is frozen by it"), "{frozen}");
    stage.end().await;
}
