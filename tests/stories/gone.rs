//! What is deleted while an incident is open: nobody waits for what cannot come any more, and nothing is written for it.

use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams};
use modosu::model::incident::Incident;
use modosu_world::{Answer, Stage as When, Verb};
use serde_json::{Value, json};

use crate::{
    config::deploy_with_settings,
    stage::{Stage, deployment, state_of},
    story,
};

fn bad() -> Value {
    json!([{"name": "VERSION", "value": "b"}, {"name": "ERROR_SHARE", "value": "0.5"}])
}

/// A proven service, and a release that fails.
async fn failing(stage: &Stage, spec: Value) {
    let good = json!([{"name": "VERSION", "value": "a"}]);
    stage.deploy("orders", good).await;
    stage.guard("orders", spec).await;
    stage.daemon().await;
    stage.proven("orders").await;
    stage.release("orders", bad(), |_| {}).await;
}

async fn awaiting(stage: &Stage) -> Incident {
    failing(stage, json!({"mode": "ask"})).await;
    stage.incident_in("AwaitingDecision", 90).await
}

async fn delete(stage: &Stage, api_version: &str, kind: &str, name: &str) {
    let background = DeleteParams::background();
    stage.api(api_version, kind).delete(name, &background).await.unwrap();
}

async fn reason_of(stage: &Stage, incident: &str) -> String {
    let all = stage.incidents().await.into_iter();
    let mut named = all.filter(|one| one.metadata.name.as_deref() == Some(incident));
    named.next().unwrap().status.unwrap().reason
}

story!(a_deleted_target_ends_its_incident_with_words);
async fn a_deleted_target_ends_its_incident_with_words(stage: &Stage) {
    let incident = awaiting(stage).await;
    let name = incident.metadata.name.clone().unwrap();
    delete(stage, "apps/v1", "Deployment", "orders").await;
    stage.incident_in("Abandoned", 30).await;
    let reason = reason_of(stage, &name).await;
    assert!(reason.starts_with("Deployment/orders was deleted"), "{reason}");
    assert!(
        stage.is_bad("orders", &incident.spec.bad.hash).await,
        "left while it hurt"
    );

    // The same manifest again: a case of its own, which nobody acts on by himself.
    stage
        .create("apps/v1", "Deployment", deployment(&stage.namespace, "orders", bad()))
        .await;
    stage.incident_in("AwaitingDecision", 90).await;
    assert_eq!(stage.incidents().await.len(), 2);
    assert!(
        reason_of(stage, &name)
            .await
            .starts_with("Deployment/orders was deleted")
    );
    assert_eq!(stage.target_writes(), 0);
}

story!(people_decide_while_their_guard_is_blocked);
async fn people_decide_while_their_guard_is_blocked(stage: &Stage) {
    let incident = awaiting(stage).await;
    let name = incident.metadata.name.unwrap();
    let triggers = json!([{"name": "x", "condition": "no_such_signal > 1", "action": "monitor"}]);
    let wrong = json!({"spec": {"triggers": triggers}});
    stage.edit("modosu.dev/v1alpha1", "Guard", "orders", wrong).await;
    let blocked = async || (stage.shown("orders").await["state"] == "NotReady").then_some(());
    stage.until("the guard is blocked", 20, blocked).await;

    stage.decide(&name, "abandon").await;
    stage.incident_in("Abandoned", 20).await;
    let let_go = async || stage.guard_now("orders").await.status?.incident.is_none().then_some(());
    stage.until("the guard goes on without it", 20, let_go).await;
    assert_eq!(stage.target_writes(), 0);
}

story!(a_guard_made_anew_leaves_no_incident_open);
async fn a_guard_made_anew_leaves_no_incident_open(stage: &Stage) {
    let incident = awaiting(stage).await;
    let name = incident.metadata.name.unwrap();
    // The API server's times are whole seconds.
    stage.wait(2).await;
    delete(stage, "modosu.dev/v1alpha1", "Guard", "orders").await;
    stage.guard("orders", json!({"mode": "ask"})).await;
    let over = async || {
        let all = stage.incidents().await;
        let old = all.into_iter().find(|one| one.metadata.name.as_ref() == Some(&name))?;
        (state_of(&old) == "Abandoned").then_some(())
    };
    stage.until("nobody waits for the old one", 40, over).await;
    let reason = reason_of(stage, &name).await;
    assert!(reason.contains("its guard was deleted"), "{reason}");
}

/// Something comes while the intent of the second write is on its way.
fn slow_second_intent(stage: &Stage) {
    stage.world().on_request(|call| {
        let journal = call.body.pointer("/2/value/journal").and_then(Value::as_array);
        let last = journal.and_then(|journal| journal.last());
        let second = last.is_some_and(|entry| entry["seq"] == 2 && entry["intent"].is_string());
        if second && call.stage == When::Before {
            Answer::Delay(Duration::from_secs(3))
        } else {
            Answer::GoOn
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_deleted_between_two_writes_stops_its_plan() {
    let stage = Stage::embedded("a_guard_that_is_deleted_between_two_writes").await;
    deploy_with_settings(&stage, "legacy", &json!({"ERROR_SHARE": "0"})).await;
    stage.guard("orders", json!({"metrics": {"window": "3s"}})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    slow_second_intent(&stage);
    let hurts = json!({"data": {"ERROR_SHARE": "0.4"}});
    stage.edit("v1", "ConfigMap", "settings", hurts).await;
    stage.set_env("orders", "VERSION", "b").await;
    let back = async || (stage.config_data("settings").await["ERROR_SHARE"] == "0").then_some(());
    stage.until("the settings are back", 60, back).await;

    delete(&stage, "modosu.dev/v1alpha1", "Guard", "orders").await;
    stage.incident_in("Abandoned", 60).await;
    assert_eq!(stage.env("orders", "VERSION").await, "b", "nothing more was written");
    assert_eq!(stage.template_patches("orders"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_made_anew_under_a_plan_is_for_people() {
    let stage = Stage::embedded("a_target_that_is_made_anew").await;
    stage.world().on_request(|call| {
        let patch = call.verb == Verb::Patch && call.resource == "deployments" && call.user.starts_with("modosu");
        if patch && !call.dry_run && call.stage == When::Before {
            Answer::Delay(Duration::from_secs(3))
        } else {
            Answer::GoOn
        }
    });
    failing(&stage, json!({"rollback": {"within": "1h"}})).await;
    let intent = async || {
        let journal = stage.incidents().await.first()?.status.clone()?.journal;
        journal.iter().any(|entry| entry.intent.is_some()).then_some(())
    };
    stage.until("the write is on its way", 60, intent).await;

    // No turn sees that it was gone.
    delete(&stage, "apps/v1", "Deployment", "orders").await;
    stage
        .create("apps/v1", "Deployment", deployment(&stage.namespace, "orders", bad()))
        .await;
    let over = stage.incident_in("Escalated", 60).await;
    let reason = over.status.unwrap().reason;
    assert!(reason.contains("was not judged"), "{reason}");
    assert_eq!(stage.target_writes(), 0);

    // A person may have it all the same, with a plan for the one that is there.
    stage.decide(&over.metadata.name.unwrap(), "rollback").await;
    stage.incident_in("Recovered", 120).await;
    assert_eq!(stage.env("orders", "VERSION").await, "a");
}

story!(incidents_that_are_over_for_long_are_deleted);
async fn incidents_that_are_over_for_long_are_deleted(stage: &Stage) {
    stage.deploy("orders", json!([{"name": "VERSION", "value": "a"}])).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let now = stage.current("orders").await.unwrap().since;
    let days = jiff::SignedDuration::from_hours(24);
    ended(stage, "orders-old", Some(now - 91 * days)).await;
    ended(stage, "orders-young", Some(now - 89 * days)).await;
    ended(stage, "orders-without-an-end", None).await;

    stage
        .until("the old one is deleted", 90, async || {
            let left = stage.incidents().await;
            let mut names: Vec<_> = left.into_iter().filter_map(|one| one.metadata.name).collect();
            names.sort();
            (names == ["orders-without-an-end", "orders-young"]).then_some(())
        })
        .await;
}

/// An incident of an earlier time, and when it ended.
async fn ended(stage: &Stage, name: &str, closed_at: Option<jiff::Timestamp>) {
    let now = stage.current("orders").await.unwrap().since;
    let evidence = json!({
        "guard": "orders", "firstBadAt": now, "openedAt": now, "grade": "Critical", "action": "automatic_rollback",
        "triggers": [], "bad": {"hash": "abc"},
    });
    let incident = json!({"metadata": {"name": name}, "spec": evidence});
    stage.create("modosu.dev/v1alpha1", "Incident", incident).await;
    let status = json!({"status": {"state": "Recovered", "closedAt": closed_at}});
    let incidents = stage.api("modosu.dev/v1alpha1", "Incident");
    let (params, patch) = (PatchParams::default(), Patch::Merge(&status));
    incidents.patch_status(name, &params, &patch).await.unwrap();
}
