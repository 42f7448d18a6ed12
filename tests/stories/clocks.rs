//! Nobody decides in time: the next one is asked, once, and nothing else happens.

use modosu::model::incident::{Clock, Incident, JournalEntry};
use serde_json::json;

use crate::{decisions::slow_release, stage::Stage, story};

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

    // The note does not stand in the plan's way.
    stage.decide(&waiting.metadata.name.clone().unwrap(), "rollback").await;
    let recovered = stage.incident_in("Recovered", 90).await;
    let journal = recovered.status.unwrap().journal;
    assert_eq!(journal[0], missed.journal[0], "append-only");
    assert!(journal[1..].iter().all(JournalEntry::is_step), "{journal:?}");
    assert_eq!(stage.env("orders", "LATENCY_MS").await, "20", "the template is back");
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
