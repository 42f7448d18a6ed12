//! Rollbacks in stages: what hurts is switched off at once, a person goes on with the rest; and what follows where a stage does
//! not help.

use std::time::Duration;

use kube::api::ListParams;
use modosu::model::incident::{Incident, IncidentStatus, PlannedStage, StageState};
use serde_json::{Value, json};

use crate::{
    stage::{Bad, Kill, Stage, state_of},
    story,
};

story!(the_first_stage_mitigates_and_a_person_begins_the_second);
async fn the_first_stage_mitigates_and_a_person_begins_the_second(stage: &Stage) {
    let revert =
        json!({"name": "revert", "within": "60s", "ask": "tech-lead", "steps": [{"restore": {}}, {"waitReady": {}}]});
    released(stage, json!([flag_off("60s"), revert])).await;

    let waiting = waits_for_the_tech_lead(stage).await;
    let status = waiting.status.clone().unwrap();
    assert_eq!(states(&status), [StageState::Proven, StageState::Asked]);
    assert_eq!(
        (
            stage.env("orders", "WORKER_MODE").await,
            stage.env("orders", "VERSION").await
        ),
        ("legacy".to_owned(), "2".to_owned()),
        "the flag is off, the release stays"
    );
    let said = "mitigated by flag-off; stage revert waits for tech-lead: it begins when somebody decides `rollback`";
    assert_eq!(status.reason, said);
    assert_eq!(status.decider.as_deref(), Some("tech-lead"));
    assert!(status.mitigated_at.is_some() && status.recovered_at.is_none());
    told(stage, "Mitigated", "mitigated by flag-off").await;
    told(stage, "StageAsked", "stage revert waits for tech-lead").await;
    stage.kill().await;
    stage.daemon().await;
    stage
        .always("nobody begins it by silence", 10, async || {
            stage.template_patches("orders") == 1 && state_of(&stage.incidents().await[0]) == "AwaitingDecision"
        })
        .await;

    stage.decide(&waiting.metadata.name.unwrap(), "rollback").await;
    let incident = stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.env("orders", "VERSION").await, "1", "the release is put back");
    assert_eq!(stage.template_patches("orders"), 2, "each stage wrote once");
    let status = incident.status.unwrap();
    assert_eq!(states(&status), [StageState::Proven, StageState::Proven]);
    assert!(status.mitigated_at < status.recovered_at, "{status:?}");
    assert!(!status.reason.contains("but"), "{}", status.reason);
    assert_eq!(
        status.decider.as_deref(),
        Some("oncall"),
        "nobody else is asked any more"
    );
    let waited = status.timings.unwrap().waited_for_people.unwrap();
    let waited = humantime::parse_duration(&waited).unwrap();
    assert!(
        waited >= Duration::from_secs(10),
        "people's time is shown apart: {waited:?}"
    );
}

// ---- what they need -------------------------------------------------------------------------------------------------

/// Switches the new way off that hurts.
fn flag_off(within: &str) -> Value {
    json!({"name": "flag-off", "within": within, "steps": [set("WORKER_MODE", "legacy"), {"waitReady": {}}]})
}

fn set(name: &str, value: &str) -> Value {
    json!({"setEnv": {"target": "Deployment/orders", "env": {name: value}}})
}

/// A guard with these stages and a proven state; then a release that hurts.
async fn released(stage: &Stage, stages: Value) {
    proven(stage, stages).await;
    stage.release("orders", version("2", "celery"), |_| ()).await;
}

async fn proven(stage: &Stage, stages: Value) {
    stage.deploy("orders", version("1", "legacy")).await;
    let spec = json!({"rollback": {"stages": stages}, "metrics": {"window": "3s"}, "verify": {"hold": "3s"}});
    stage.guard("orders", spec).await;
    stage.daemon().await;
    stage.proven("orders").await;
}

fn version(version: &str, mode: &str) -> Value {
    json!([{"name": "VERSION", "value": version}, {"name": "WORKER_MODE", "value": mode}])
}

async fn waits_for_the_tech_lead(stage: &Stage) -> Incident {
    let asked = |one: &PlannedStage| one.state == StageState::Asked;
    stage
        .until("the tech lead is asked", 90, async || {
            let all = stage.incidents().await;
            let waits = |one: &Incident| one.status.iter().any(|status| status.stages.iter().any(asked));
            all.into_iter().find(waits)
        })
        .await
}

fn states(status: &IncidentStatus) -> Vec<StageState> {
    status.stages.iter().map(|one| one.state).collect()
}

/// An Event tells of it.
async fn told(stage: &Stage, reason: &str, words: &str) {
    let api = stage.api("events.k8s.io/v1", "Event");
    stage
        .until(&format!("the Event {reason}"), 20, async || {
            let all = api.list(&ListParams::default()).await.unwrap();
            let says =
                |one: &Value| one["reason"] == reason && one["note"].as_str().is_some_and(|note| note.contains(words));
            all.iter().any(|one| says(&one.data)).then_some(())
        })
        .await;
}
