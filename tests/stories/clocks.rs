//! Nobody decides in time: the next one is asked, once, and nothing else happens.

use modosu::model::incident::{Clock, Incident, JournalEntry};
use serde_json::{Value, json};

use crate::{
    decisions::slow_release,
    stage::{Stage, state_of},
    story,
};

story!(a_missed_clock_asks_the_next_and_decides_nothing);
async fn a_missed_clock_asks_the_next_and_decides_nothing(stage: &Stage) {
    // Yellow: the tech lead within 4 s, 2 s later the project manager; the architect only from red up.
    slow_release(stage, json!({"metrics": {"window": "5s"}, "scheme": "quick"})).await;
    let waiting = stage.incident_in("AwaitingDecision", 90).await;
    let status = waiting.status.clone().unwrap();
    assert_eq!(
        (status.grade.as_str(), status.decider.as_deref()),
        ("yellow", Some("tech-lead"))
    );
    assert_eq!(
        status.decide_by,
        Some(waiting.spec.opened_at + std::time::Duration::from_secs(4))
    );
    assert_eq!((status.respond_by, status.done_by), (status.decide_by, None));
    assert!(
        status.journal.is_empty(),
        "nothing was missed yet: {:?}",
        status.journal
    );

    let missed = stage
        .until("the next role is asked", 30, async || {
            let now = only(stage).await;
            now.status.clone().filter(|status| !status.missed.is_empty())
        })
        .await;
    assert_eq!(missed.decider.as_deref(), Some("project-manager"));
    assert_eq!(
        (missed.missed[0].clock, Some(missed.missed[0].due)),
        (Clock::Decide, status.decide_by)
    );
    assert!(
        missed.missed[0].at >= missed.missed[0].due + std::time::Duration::from_secs(2),
        "not before the chain says so: {:?}",
        missed.missed
    );
    assert_eq!(notes(&missed.journal).len(), 1, "journalled: {:?}", missed.journal);

    // A new daemon knows what the old one told, and the end of the chain is quiet.
    stage.kill().await;
    stage.daemon().await;
    stage.wait(8).await;
    let after = only(stage).await.status.unwrap();
    assert_eq!(after.missed, missed.missed, "once for each clock, also over restarts");
    assert_eq!(after.journal, missed.journal);
    assert_eq!(stage.target_writes(), 0, "silence is never a yes");
    assert_eq!(told(stage).await, 1, "one Event on the guard");

    let name = waiting.metadata.name.clone().unwrap();
    a_fix_is_expected(stage, &waiting).await;

    // The note does not stand in the plan's way.
    stage.decide(&name, "rollback").await;
    let recovered = stage.incident_in("Recovered", 90).await;
    let journal = recovered.status.unwrap().journal;
    assert_eq!(journal[0], missed.journal[0], "append-only");
    assert_eq!(
        notes(&journal).len(),
        2,
        "the missed clock and the time to fix: {journal:?}"
    );
    assert_eq!(stage.env("orders", "LATENCY_MS").await, "20", "the template is back");
}

/// When it will be fixed can be told without deciding.
async fn a_fix_is_expected(stage: &Stage, waiting: &Incident) {
    let name = waiting.metadata.name.clone().unwrap();
    let fix = json!({"spec": {"decision": {"fixEta": "2h"}}});
    stage.edit("modosu.dev/v1alpha1", "Incident", &name, fix).await;
    let told = stage
        .until("the time to fix is noted", 20, async || {
            only(stage).await.status.unwrap().fix
        })
        .await;
    assert_eq!(told.ready_at, told.told_at + std::time::Duration::from_secs(7_200));
    stage.wait(2).await;
    assert_eq!(state_of(&only(stage).await), "AwaitingDecision", "that is no decision");
    assert_eq!(stage.target_writes(), 0);
    let guard = stage.guard_now("orders").await.status.unwrap();
    let rolled_out = guard
        .roll_out
        .expect("the release was seen from its beginning to its end");
    assert_eq!(rolled_out.hash, waiting.spec.bad.hash);
}

async fn only(stage: &Stage) -> Incident {
    let mut all = stage.incidents().await;
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn notes(journal: &[JournalEntry]) -> Vec<&str> {
    let notes = journal.iter().filter(|entry| !entry.is_step());
    notes.filter_map(|entry| entry.note.as_deref()).collect()
}

/// How many Events on the guard tell of a missed clock.
async fn told(stage: &Stage) -> usize {
    let events = stage.api("events.k8s.io/v1", "Event");
    let all = events.list(&kube::api::ListParams::default()).await.unwrap().items;
    let missed = all.iter().filter(|event| event.data["reason"] == "ClockMissed");
    missed
        .filter(|event| event.data["regarding"]["kind"] == "Guard")
        .count()
}

story!(what_failed_so_far_is_counted_while_people_are_awaited);
async fn what_failed_so_far_is_counted_while_people_are_awaited(stage: &Stage) {
    stage
        .deploy("orders", json!([{"name": "ERROR_SHARE", "value": "0"}]))
        .await;
    let spec = json!({"mode": "ask", "impactPerMinute": "about 40 orders", "metrics": {"window": "5s"}});
    stage.guard("orders", spec).await;
    stage.daemon().await;
    stage.proven("orders").await;
    assert!(
        stage.shown("orders").await["harm"].is_null(),
        "nothing failed: not known, and not 0"
    );

    stage.set_env("orders", "ERROR_SHARE", "0.4").await;
    let waiting = stage.incident_in("AwaitingDecision", 90).await;
    let harm = stage
        .until("a hundred requests failed", 60, async || {
            let harm = stage.shown("orders").await["harm"].clone();
            (harm["failed"].as_u64()? >= 100).then_some(harm)
        })
        .await;
    let share = harm["failed"].as_f64().unwrap() / harm["requests"].as_f64().unwrap();
    assert!((0.3..0.5).contains(&share), "four of ten fail: {harm}");
    assert_eq!(stage.shown("orders").await["impactPerMinute"], "about 40 orders");

    stage.decide(&waiting.metadata.name.clone().unwrap(), "rollback").await;
    let recovered = stage.incident_in("Recovered", 90).await.status.unwrap();
    let kept = recovered.harm.expect("kept with the incident");
    assert!(kept.failed >= 100 && kept.since <= waiting.spec.opened_at, "{kept:?}");
    assert!(
        recovered.timings.unwrap().restored.is_some(),
        "what the next one is compared with"
    );
}

#[tokio::test(start_paused = true)]
async fn an_incident_stands_in_each_phase_and_fills_its_check_lists() {
    let stage = Stage::embedded("an_incident_stands_in_each_phase").await;
    stage.deploy("orders", json!([])).await;
    stage.guard("orders", json!({"mode": "ask"})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    stage.set_env("orders", "ERROR_SHARE", "0.5").await;
    let name = stage.incident_in("AwaitingDecision", 60).await.metadata.name.unwrap();
    let shown = async || -> Value {
        let page = stage.page(&format!("/incidents/{}/{name}.json", stage.namespace)).await;
        serde_json::from_str(&page).unwrap()
    };
    let done = |shown: &Value, list: usize, item: usize| shown["checkLists"][list]["items"][item]["done"] == true;
    for expected in ["detect", "respond", "roll back", "after"] {
        let now = shown().await;
        let here = now["phases"]
            .as_array()
            .unwrap()
            .iter()
            .find(|phase| phase["now"] == true);
        assert_eq!(here.unwrap()["name"], expected, "{now}");
        stage.wait(5 * 60).await;
    }
    let before = shown().await;
    assert!(
        done(&before, 0, 0) && done(&before, 0, 1) && done(&before, 0, 3),
        "grade, scope, told: {before}"
    );
    assert!(!done(&before, 1, 0) && !done(&before, 2, 0), "nothing is run yet");

    stage.decide(&name, "rollback").await;
    stage.incident_in("Recovered", 90).await;
    let after = shown().await;
    assert_eq!(after["phases"][3]["now"], true);
    assert!(
        (0..4).all(|item| done(&after, 1, item)),
        "run, checked, logged, watched: {after}"
    );
    assert!(done(&after, 2, 0) && done(&after, 2, 1), "healthy, measured: {after}");
    assert!(!done(&after, 2, 3), "what is better next time is people's");
}
