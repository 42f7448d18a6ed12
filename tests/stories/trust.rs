//! The incident is not a way in: only what modosu itself opened and planned is acted on.

use kube::api::{Patch, PatchParams, PostParams};
use modosu::model::incident::Incident;
use serde_json::json;

use crate::{stage::Stage, story};

/// A proven service with a release that fails, in a mode that asks people.
async fn awaiting(stage: &Stage) -> Incident {
    stage.deploy("orders", json!([])).await;
    stage.guard("orders", json!({"mode": "ask"})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    stage.set_env("orders", "ERROR_SHARE", "0.5").await;
    stage.incident_in("AwaitingDecision", 90).await
}

async fn write_status(stage: &Stage, incident: &str, status: serde_json::Value) {
    let api = stage.api("modosu.dev/v1alpha1", "Incident");
    let patch = json!({"status": status});
    api.patch_status(incident, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}

story!(a_forged_incident_is_ignored);
async fn a_forged_incident_is_ignored(stage: &Stage) {
    stage
        .deploy("orders", json!([{"name": "WORKER_MODE", "value": "legacy"}]))
        .await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let current = stage.guard_now("orders").await.status.unwrap().current.unwrap();

    let forged = json!({"metadata": {"name": format!("orders-{}", current.hash)}, "spec": {
        "guard": "orders", "firstBadAt": current.since, "openedAt": current.since, "grade": "Critical",
        "action": "automatic_rollback", "summary": "trust me", "triggers": [],
        "bad": {"hash": current.hash, "images": []}, "restoreTo": {"name": "orders-000000000000", "hash": "000000000000", "images": []},
        "decision": {"verb": "rollback", "by": "mallory"}}});
    let name = format!("orders-{}", current.hash);
    stage.create("modosu.dev/v1alpha1", "Incident", forged).await;
    let plan =
        json!([{"step": "restore", "target": "Deployment/orders", "from": "111111111111", "to": "000000000000"}]);
    write_status(
        stage,
        &name,
        json!({"state": "RollingBack", "grade": "Critical", "reason": "", "plan": plan, "journal": []}),
    )
    .await;
    stage.wait(6).await;

    assert_eq!(
        stage.target_writes(),
        0,
        "nothing is written for an incident of somebody else"
    );
    assert!(stage.guard_now("orders").await.status.unwrap().incident.is_none());
}

story!(a_plan_that_was_tampered_with_is_not_run);
async fn a_plan_that_was_tampered_with_is_not_run(stage: &Stage) {
    let incident = awaiting(stage).await;
    let name = incident.metadata.name.clone().unwrap();
    stage.kill().await;
    let mut plan = serde_json::to_value(&incident.status.as_ref().unwrap().plan).unwrap();
    plan[0]["to"] = json!("000000000000");
    write_status(stage, &name, json!({"plan": plan, "planHash": "0123456789ab"})).await;
    stage.daemon().await;
    stage.decide(&name, "rollback").await;

    let ended = stage.incident_in("Escalated", 30).await;
    let recorded = ended.status.unwrap();
    assert!(recorded.reason.contains("not the one that was recorded"));
    assert_eq!(stage.target_writes(), 0);
    assert_eq!(
        recorded.plan,
        incident.status.unwrap().plan,
        "the one that would be made now"
    );

    // Whoever looked at that one may allow it.
    let allowed = json!({"spec": {"decision": {"verb": "rollback", "by": "sam", "reason": "I looked at it"}}});
    stage.edit("modosu.dev/v1alpha1", "Incident", &name, allowed).await;
    stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.env("orders", "ERROR_SHARE").await, "", "the template is back");
}

story!(a_snapshot_that_was_exchanged_is_not_restored);
async fn a_snapshot_that_was_exchanged_is_not_restored(stage: &Stage) {
    let incident = awaiting(stage).await;
    let snapshot = incident.spec.restore_to.clone().unwrap().name.unwrap();
    let api = stage.api("apps/v1", "ControllerRevision");
    let mut revision = api.get(&snapshot).await.unwrap();
    api.delete(&snapshot, &kube::api::DeleteParams::default())
        .await
        .unwrap();
    let template = &mut revision.data["data"]["parts"][0]["content"];
    template["spec"]["containers"][0]["image"] = json!("mallory:1");
    revision.metadata.resource_version = None;
    revision.metadata.uid = None;
    revision.metadata.managed_fields = None;
    api.create(&PostParams::default(), &revision).await.unwrap();
    stage.decide(&incident.metadata.name.clone().unwrap(), "rollback").await;

    let ended = stage.incident_in("Escalated", 30).await;
    assert!(ended.status.unwrap().reason.contains("it was changed"));
    assert_eq!(stage.target_writes(), 0);
}

/// The schema's own rules live in the real API server alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_evidence_of_an_incident_is_immutable() {
    let stage = Stage::real("the_evidence_of_an_incident_is_immutable").await;
    let incident = awaiting(&stage).await;
    let name = incident.metadata.name.unwrap();
    let api = stage.api("modosu.dev/v1alpha1", "Incident");
    for (field, value) in [
        ("guard", json!("other")),
        ("grade", json!("Low")),
        ("action", json!("monitor")),
        ("summary", json!("nothing happened")),
        ("firstBadAt", json!("2020-01-01T00:00:00Z")),
        ("openedAt", json!("2020-01-01T00:00:00Z")),
        ("triggers", json!([])),
        ("bad", json!({"hash": "000000000000", "images": []})),
        ("restoreTo", json!(null)),
    ] {
        let patch = json!({"spec": {field: value}});
        let refused = api
            .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("immutable"), "{field}: {refused}");
    }
    stage.decide(&name, "keep").await;
    stage.incident_in("Kept", 20).await;
    stage.end().await;
}

/// Signals are for processes.
mod alone {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn told_to_stop_it_stops_within_five_seconds() {
        let stage = Stage::real("told_to_stop_it_stops_within_five_seconds").await;
        stage.deploy("orders", json!([])).await;
        stage.guard("orders", json!({})).await;
        stage.daemon().await;
        stage.wait(3).await;
        let (code, took) = stage.terminate().await;
        assert_eq!(code, Some(0));
        assert!(took < std::time::Duration::from_secs(5), "{took:?}");
        stage.end().await;
    }
}
