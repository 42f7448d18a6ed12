//! Services that break together: the release that explains it goes back, and where none does nobody is touched.

use kube::api::ListParams;
use modosu::model::incident::Incident;
use serde_json::json;

use crate::{
    stage::{Bad, Stage, state_of},
    story,
};

const SERVICES: [&str; 3] = ["orders", "payments", "web"];
const FAILING: Bad = Bad {
    error_share: Some(0.3),
    latency_ms: None,
    crash: None,
    ready: None,
    rps: None,
};

story!(a_bad_shared_backend);
async fn a_bad_shared_backend(stage: &Stage) {
    three_proven(stage).await;
    payments_breaks_its_callers(stage).await;
    the_backend_goes_back_and_its_callers_recover_untouched(stage).await;
}

story!(a_bad_shared_backend_over_a_restart);
async fn a_bad_shared_backend_over_a_restart(stage: &Stage) {
    three_proven(stage).await;
    payments_breaks_its_callers(stage).await;
    stage
        .until("its callers wait", 60, async || {
            let open = stage.incidents().await;
            (open.len() == 3 && open.iter().all(|one| one.status.is_some())).then_some(())
        })
        .await;
    stage.kill().await;
    stage.wait(3).await;
    stage.daemon().await;
    the_backend_goes_back_and_its_callers_recover_untouched(stage).await;
}

story!(a_shared_outage);
async fn a_shared_outage(stage: &Stage) {
    three_proven(stage).await;
    // Each has a release of its own behind it, none related to the others.
    for service in SERVICES {
        let before = stage.current(service).await.unwrap().hash;
        stage.set_env(service, "VERSION", "b").await;
        stage.changed(service, &before).await;
        stage.proven(service).await;
    }
    for service in SERVICES {
        stage.misbehave(service, FAILING);
    }

    let open = stage
        .until("an incident of each", 60, async || {
            let open = stage.incidents().await;
            let decided = open.iter().filter(|one| state_of(one) == "AwaitingDecision").count();
            (decided == 3).then_some(open)
        })
        .await;
    for incident in &open {
        let reason = &incident.status.as_ref().unwrap().reason;
        assert!(reason.contains("3 guards breach together"), "{reason}");
    }
    let speakers: Vec<&Incident> = open.iter().filter(|one| cause(one).speaks).collect();
    assert_eq!(speakers.len(), 1, "one of them tells of it, for all");
    let told = cause(speakers[0]);
    let mut names = told.guards.clone();
    names.sort();
    assert_eq!(names, SERVICES.map(|service| format!("{}/{service}", stage.namespace)));
    assert!(told.acts_on.is_empty(), "no release explains it: {told:?}");
    let events = stage
        .until("one Event", 20, async || {
            let events = common_events(stage).await;
            (!events.is_empty()).then_some(events)
        })
        .await;
    assert_eq!(events.len(), 1, "one message: {events:?}");
    for service in SERVICES {
        assert!(events[0].contains(service), "{}", events[0]);
    }
    stage
        .always("nobody is rolled back", 15, async || stage.target_writes() == 0)
        .await;
    for service in SERVICES {
        assert_eq!(stage.env(service, "VERSION").await, "b");
    }
}

async fn three_proven(stage: &Stage) {
    for service in SERVICES {
        let env = json!([{"name": "WORKER_MODE", "value": "legacy"}, {"name": "VERSION", "value": "a"}]);
        stage.deploy(service, env).await;
        stage.guard(service, json!({})).await;
    }
    stage.daemon().await;
    for service in SERVICES {
        stage.proven(service).await;
    }
}

async fn payments_breaks_its_callers(stage: &Stage) {
    let before = stage.current("payments").await.unwrap().hash;
    stage.set_env("payments", "WORKER_MODE", "celery").await;
    stage.changed("payments", &before).await;
    stage
        .until("payments fails", 30, async || {
            (stage.signal("payments", "error_rate").await? > 0.0).then_some(())
        })
        .await;
    for caller in ["orders", "web"] {
        stage.misbehave(caller, FAILING);
    }
}

async fn the_backend_goes_back_and_its_callers_recover_untouched(stage: &Stage) {
    stage
        .until("payments is back", 60, async || {
            (stage.env("payments", "WORKER_MODE").await == "legacy").then_some(())
        })
        .await;
    // The callers go on failing for a moment, longer than their own triggers take.
    stage
        .until("an incident of each", 30, async || {
            (stage.incidents().await.len() == 3).then_some(())
        })
        .await;
    for caller in ["orders", "web"] {
        stage.behave(caller);
    }
    let all = stage
        .until("all three incidents ended", 120, async || {
            let all = stage.incidents().await;
            let ended = all
                .iter()
                .filter(|one| ["Recovered", "Passed"].contains(&state_of(one).as_str()));
            (ended.count() == 3).then_some(all)
        })
        .await;
    for incident in &all {
        let (guard, state) = (incident.spec.guard.as_str(), state_of(incident));
        let reason = &incident.status.as_ref().unwrap().reason;
        if guard == "payments" {
            assert_eq!(state, "Recovered", "the release that hurt is put back: {reason}");
        } else {
            assert_eq!(state, "Passed", "{guard} waited for it: {reason}");
            assert!(reason.contains("payments"), "{reason}");
            assert_eq!(cause(incident).acts_on, [format!("{}/payments", stage.namespace)]);
        }
    }
    assert_eq!(stage.template_patches("payments"), 1);
    assert_eq!(stage.target_writes(), 1, "its callers are untouched");
}

fn cause(incident: &Incident) -> modosu::model::incident::CommonCause {
    let status = incident.status.as_ref().unwrap();
    status.common_cause.clone().unwrap_or_default()
}

/// What the Events on guards say of a common cause.
async fn common_events(stage: &Stage) -> Vec<String> {
    let all = stage
        .api("events.k8s.io/v1", "Event")
        .list(&ListParams::default())
        .await
        .unwrap()
        .items;
    let of_guards = all
        .into_iter()
        .filter(|event| event.data["reason"] == "CommonCause" && event.data["regarding"]["kind"] == "Guard");
    of_guards
        .map(|event| event.data["note"].as_str().unwrap_or_default().to_owned())
        .collect()
}
