//! Rollbacks in stages: what hurts is switched off at once, a person goes on with the rest; and what follows where a stage does
//! not help.

use std::time::Duration;

use kube::api::{DynamicObject, ListParams, PostParams};
use modosu::model::incident::{Incident, IncidentStatus, PlannedStage, StageState};
use serde_json::{Value, json};

use crate::{
    stage::{Bad, Kill, Stage, guard_spec, state_of},
    story,
};

story!(the_first_stage_mitigates_and_a_person_begins_the_second);
async fn the_first_stage_mitigates_and_a_person_begins_the_second(stage: &Stage) {
    let mut asked = revert("60s");
    asked["ask"] = json!("tech-lead");
    released(stage, json!([flag_off("60s"), asked])).await;

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
    let name = waiting.metadata.name.unwrap();
    shows_its_stages(stage, &format!("/incidents/{}/{name}", stage.namespace)).await;
    stage.kill().await;
    stage.daemon().await;
    stage
        .always("nobody begins it by silence", 10, async || {
            stage.template_patches("orders") == 1 && state_of(&stage.incidents().await[0]) == "AwaitingDecision"
        })
        .await;

    stage.decide(&name, "rollback").await;
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

story!(where_the_first_stage_does_not_help_the_second_does);
async fn where_the_first_stage_does_not_help_the_second_does(stage: &Stage) {
    let no_use = json!({"name": "flag-off", "within": "15s", "steps": [set("FLAG", "off"), {"waitReady": {}}]});
    released(stage, json!([no_use, revert("60s")])).await;

    let status = stage.incident_in("Recovered", 120).await.status.unwrap();
    assert_eq!(states(&status), [StageState::Failed, StageState::Proven]);
    assert_eq!(stage.env("orders", "VERSION").await, "1");
    assert_eq!(stage.env("orders", "FLAG").await, "", "all of it is put back");
    assert_eq!(stage.template_patches("orders"), 2);
    let but = ", but stage flag-off did not help: tried: Deployment/orders done";
    assert!(
        status.reason.contains(but),
        "never plainly recovered: {}",
        status.reason
    );
    assert_eq!(status.mitigated_at, status.recovered_at, "the first proof is the last");
    told(stage, "StageFailed", "stage flag-off did not help").await;
}

story!(what_a_policy_refuses_of_a_stage_is_followed_by_the_next);
async fn what_a_policy_refuses_of_a_stage_is_followed_by_the_next(stage: &Stage) {
    let refused = json!({"name": "flag-off", "within": "10m", "steps": [set("FLAG", "off"), {"waitReady": {}}]});
    proven(stage, json!([refused, revert("60s")])).await;
    stage.forbid("FLAG", "off").await;
    stage.release("orders", version("2", "celery"), |_| ()).await;

    let status = stage.incident_in("Recovered", 120).await.status.unwrap();
    assert_eq!(states(&status), [StageState::Failed, StageState::Proven]);
    assert_eq!(stage.env("orders", "VERSION").await, "1");
    assert_eq!(stage.template_patches("orders"), 1, "the first stage wrote nothing");
    let but = "but stage flag-off did not help: the API server would refuse it, nothing was written";
    assert!(status.reason.contains(but), "{}", status.reason);
    stage.allow("FLAG", "off").await;
}

story!(where_no_stage_helps_people_are_told_what_each_did);
async fn where_no_stage_helps_people_are_told_what_each_did(stage: &Stage) {
    proven(stage, json!([flag_off("15s"), revert("15s")])).await;
    // Whatever runs, it hurts.
    stage.release("orders", version("2", "celery"), |_| ()).await;
    let bad = Bad {
        error_share: Some(0.4),
        ..Bad::default()
    };
    stage.misbehave("orders", bad);

    let incident = stage.incident_in("Escalated", 120).await;
    let status = incident.status.clone().unwrap();
    assert_eq!(states(&status), [StageState::Failed, StageState::Failed]);
    for name in ["flag-off", "revert"] {
        let said = format!("stage {name} did not help: tried: Deployment/orders done");
        assert!(status.reason.contains(&said), "{}", status.reason);
    }
    assert_eq!(status.mitigated_at, None);
    assert_eq!(stage.template_patches("orders"), 2, "each stage once");
    stage.kill().await;
    stage.daemon().await;
    stage
        .always("nothing more is written", 5, async || {
            stage.template_patches("orders") == 2
        })
        .await;
    let name = incident.metadata.name.unwrap();
    let page = stage.page(&format!("/incidents/{}/{name}", stage.namespace)).await;
    assert!(page.contains("did not help"), "{page}");
}

story!(killed_in_every_stage_each_writes_once);
async fn killed_in_every_stage_each_writes_once(stage: &Stage) {
    proven(stage, json!([flag_off("60s"), revert("60s")])).await;
    stage.kill_at(Kill::Patched);
    stage.release("orders", version("2", "celery"), |_| ()).await;
    for patches in [1, 2] {
        stage
            .until("the daemon is killed", 60, async || stage.killed().then_some(()))
            .await;
        stage
            .until("what it wrote before", 10, async || {
                (stage.template_patches("orders") == patches).then_some(())
            })
            .await;
        stage.daemon().await;
        if patches == 1 {
            stage.kill_at(Kill::Patched);
        }
    }
    let status = stage.incident_in("Recovered", 90).await.status.unwrap();
    assert_eq!(states(&status), [StageState::Proven, StageState::Proven]);
    assert_eq!(stage.template_patches("orders"), 2, "each once by all daemons");
    assert_eq!(stage.env("orders", "VERSION").await, "1");
    let journal = status.journal.iter().filter(|entry| entry.is_step());
    let journal: Vec<_> = journal.map(|entry| (entry.seq, entry.receipt.is_some())).collect();
    let expected: Vec<_> = (1..=4).flat_map(|seq| [(seq, false), (seq, true)]).collect();
    assert_eq!(journal, expected, "one intent and one receipt of each step");
    assert!(status.mitigated_at < status.recovered_at, "{status:?}");
}

/// The API server checks what it can, before any daemon reads it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_beside_stages_are_refused() {
    let stage = Stage::real("steps_beside_stages_are_refused").await;
    let guard = |rollback: Value| {
        let mut spec = guard_spec("orders");
        spec["rollback"] = rollback;
        let metadata = json!({"name": "orders", "namespace": stage.namespace});
        let object = json!({"apiVersion": "modosu.dev/v1alpha1", "kind": "Guard", "metadata": metadata, "spec": spec});
        serde_json::from_value::<DynamicObject>(object).unwrap()
    };
    let api = stage.api("modosu.dev/v1alpha1", "Guard");
    let both = guard(json!({"steps": [{"restore": {}}], "stages": [revert("1m")]}));
    let twice = guard(json!({"stages": [revert("1m"), revert("2m")]}));
    let empty = guard(json!({"stages": [{"name": "revert", "within": "1m", "steps": []}]}));
    let wrong = [
        (both, "a rollback has either steps or stages"),
        (twice, "each stage has a name of its own"),
        (empty, "spec.rollback.stages[0].steps"),
    ];
    for (guard, words) in wrong {
        let refused = api.create(&PostParams::default(), &guard).await.unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
    }
    let right = guard(json!({"stages": [revert("1m")]}));
    api.create(&PostParams::default(), &right).await.unwrap();
    stage.end().await;
}

// ---- what they need -------------------------------------------------------------------------------------------------

/// Switches the new way off that hurts.
fn flag_off(within: &str) -> Value {
    json!({"name": "flag-off", "within": within, "steps": [set("WORKER_MODE", "legacy"), {"waitReady": {}}]})
}

fn revert(within: &str) -> Value {
    json!({"name": "revert", "within": within, "steps": [{"restore": {}}, {"waitReady": {}}]})
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

/// The page of an incident that waits for the tech lead; and the same for programs.
async fn shows_its_stages(stage: &Stage, path: &str) {
    let words = [
        "waits for tech-lead",
        "begin stage revert of the plan",
        "Mitigated by stage flag-off at ",
    ];
    for words in words {
        let shows = async || stage.page(path).await.contains(words).then_some(());
        stage.until(&format!("the page says {words}"), 10, shows).await;
    }
    let json: Value = serde_json::from_str(&stage.page(&format!("{path}.json")).await).unwrap();
    let shown: Vec<_> = json["status"]["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {} {}", one["name"], one["state"], one["within"]))
        .collect();
    assert_eq!(
        shown,
        [r#""flag-off" "Proven" "1m""#, r#""revert" "Asked" "1m""#],
        "{json}"
    );
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
