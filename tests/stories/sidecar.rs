//! A modosu of one guard, in the pods that it guards; and the operator beside it.

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::{Value, json};

use crate::{
    stage::{Stage, guard_spec},
    story,
};

story!(the_operator_leaves_a_sidecars_guard_alone);
async fn the_operator_leaves_a_sidecars_guard_alone(stage: &Stage) {
    stage
        .deploy("orders", json!([{"name": "WORKER_MODE", "value": "legacy"}]))
        .await;
    guard_with_a_sidecar(stage).await;
    stage.wait(2).await; // objects are as old as whole seconds tell
    stage.guard("another", guard_spec("orders")).await;
    stage.daemon().await;

    stage
        .until("the younger guard of the same object is refused", 20, async || {
            let status = stage.guard_now("another").await.status?;
            let mut conditions = status.conditions.into_iter();
            conditions.find(|one| one.reason == "TargetShared").map(drop)
        })
        .await;
    stage
        .always("its guard is not looked at", 12, async || {
            stage.guard_now("orders").await.status.is_none() && stage.shown("orders").await.is_null()
        })
        .await;

    let label = json!({"metadata": {"labels": {"modosu.dev/sidecar": null}}});
    stage.edit("modosu.dev/v1alpha1", "Guard", "orders", label).await;
    stage.proven("orders").await;
}

/// Processes in pods: on real servers alone.
mod a_sidecar_outlives_its_own_rollback {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn real() {
        let stage = crate::stage::Stage::real("a_sidecar_outlives_its_own_rollback").await;
        stage.tell_all(super::outlives(&stage)).await;
    }
}

async fn outlives(stage: &Stage) {
    let prometheus = stage.ships_modosu();
    the_shipped_account(stage).await;
    guard_with_a_sidecar(stage).await;
    let legacy = json!([{"name": "WORKER_MODE", "value": "legacy"}]);
    stage.deploy("orders", legacy).await;
    with_a_sidecar(stage, &prometheus).await;
    // An operator watches the same namespace.
    stage.daemon().await;
    stage.proven("orders").await;
    let before = holder(stage).await;

    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("Recovered", 120).await;

    let (person, itself) = ("admin", format!("system:serviceaccount:{}:modosu", stage.namespace));
    let wrote = stage.template_writers("orders");
    assert_eq!(
        wrote,
        [person, person, &itself],
        "its patch, the bad release, and one rollback"
    );
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
    let after = holder(stage).await;
    assert_ne!(before, after, "no pod of the beginning is left");
    let status = incident.status.unwrap();
    let patched = status.journal.iter().find(|entry| entry.receipt.is_some()).unwrap();
    let pod = after.split('_').next().unwrap().to_owned();
    let last = stage.api("v1", "Pod").get(&pod).await.unwrap();
    let born = last.metadata.creation_timestamp.unwrap().0;
    assert!(
        born.as_second() >= patched.at.as_second(),
        "the one that closes it came with the rollback: {born}, {}",
        patched.at
    );
    assert_eq!(stage.incidents().await.len(), 1);
    assert_eq!(stage.target_writes(), 0, "the operator wrote nothing");
}

// ---- what they share -------------------------------------------------------------------------------------------------

async fn guard_with_a_sidecar(stage: &Stage) {
    let labels = json!({"modosu.dev/sidecar": "true"});
    let guard = json!({"metadata": {"name": "orders", "labels": labels}, "spec": guard_spec("orders")});
    stage.create("modosu.dev/v1alpha1", "Guard", guard).await;
}

/// What `deploy/overlays/sidecar` grants.
async fn the_shipped_account(stage: &Stage) {
    for part in include_str!("../../deploy/overlays/sidecar/role.yaml").split("\n---\n") {
        let mut object: Value = serde_saphyr::from_str(part).unwrap();
        if object["kind"] == "RoleBinding" {
            object["subjects"][0]["namespace"] = json!(stage.namespace);
        }
        let (version, kind) = (object["apiVersion"].clone(), object["kind"].clone());
        stage
            .create(version.as_str().unwrap(), kind.as_str().unwrap(), object)
            .await;
    }
}

/// The patch of docs/sidecar.md, as the last container: the test's node has Prometheus ask the first. Processes share this
/// machine's ports, so theirs are any.
async fn with_a_sidecar(stage: &Stage, prometheus: &str) {
    let documented = include_str!("../../docs/sidecar.md").split("```yaml\n").nth(2).unwrap();
    let documented = documented.split("```").next().unwrap();
    let mut patch: Value = serde_saphyr::from_str(documented).unwrap();
    let container = &mut patch["spec"]["template"]["spec"]["containers"][0];
    container["args"] = json!(["run", "--guard", format!("{}/orders", stage.namespace)]);
    container["env"][0]["value"] = json!(prometheus);
    let env = container["env"].as_array_mut().unwrap();
    env.push(json!({"name": "MODOSU__POLL", "value": "1s"}));
    env.push(json!({"name": "MODOSU__HTTP__LISTEN", "value": "127.0.0.1:0"}));
    let own = patch["spec"]["template"]["spec"]["containers"][0].take();
    let mut deployment = stage.deployment("orders").await;
    let service = deployment.data["spec"]["template"]["spec"]["containers"][0].take();
    patch["spec"]["template"]["spec"]["containers"] = json!([service, own]);
    patch["spec"]["replicas"] = json!(2);
    stage.edit("apps/v1", "Deployment", "orders", patch).await;
    stage.rolled_out("orders").await;
}

/// The pod that acts.
async fn holder(stage: &Stage) -> String {
    let leases: Api<Lease> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let lease = leases.get("modosu-orders").await.unwrap();
    lease.spec.unwrap().holder_identity.unwrap()
}
