//! Jobs as checks before the first write: once in an incident, and where one does not hold people decide.

use kube::api::{DeleteParams, ListParams};
use modosu::model::incident::{Checked, Incident, IncidentStatus, JournalEntry};
use serde_json::{Value, json};

use crate::{
    stage::{Stage, jobs::template, line},
    steps::{legacy, orders},
    story,
};

story!(a_job_that_holds_lets_the_rollback_begin);
async fn a_job_that_holds_lets_the_rollback_begin(stage: &Stage) {
    backed_up(stage, &template("three backups\nfound", 8, 0), json!({})).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    job_is_made(stage).await;
    // The next start takes up the Job that is there.
    stage.kill().await;
    stage.daemon().await;
    assert_eq!(stage.target_writes(), 0, "it is waited for");
    stage
        .until("what is waited for is shown", 20, async || {
            let shown = stage.shown("orders").await;
            let waits = "the check `backup is present` before the first write: Job/";
            shown["waitsFor"].as_str()?.starts_with(waits).then_some(())
        })
        .await;

    let incident = stage.incident_in("Recovered", 90).await;
    let status = incident.status.clone().unwrap();
    assert_eq!(made(stage), 1, "once, also over a restart");
    let [intent, receipt] = journalled(&status)[..] else {
        panic!("one intent and one receipt: {:?}", status.journal);
    };
    assert_eq!(intent.intent.as_deref(), Some("check"));
    assert_eq!(
        intent.note.as_deref(),
        Some("backup is present: ConfigMap/runbook backup.yaml")
    );
    assert_eq!(receipt.receipt.as_deref(), Some("done"));
    let said = " completed, exit code 0; it said:\nthree backups\nfound";
    assert!(receipt.note.as_deref().unwrap().ends_with(said), "{receipt:?}");
    assert_eq!(status.before.as_ref().unwrap().outcome, Checked::Held);
    let steps: Vec<_> = status.journal.iter().filter(|entry| entry.is_step()).collect();
    assert_eq!(steps[0].seq, 1, "the steps keep their numbers");
    assert!(receipt.at <= steps[0].at, "first the check, then the first write");
}

story!(a_job_that_fails_leaves_it_to_people);
async fn a_job_that_fails_leaves_it_to_people(stage: &Stage) {
    let says = "looking for backups\ntoken=hunter2\nnone since yesterday";
    backed_up(stage, &template(says, 0, 3), json!({})).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("AwaitingDecision", 60).await;
    let status = incident.status.clone().unwrap();
    for said in [
        "`backup is present` failed: Job/",
        "failed (BackoffLimitExceeded), exit code 3; it said:",
        "none since yesterday",
    ] {
        assert!(status.reason.contains(said), "{}", status.reason);
    }
    let name = incident.metadata.name.clone().unwrap();
    stage
        .until("the page says how it ended", 10, async || {
            let page = stage.page(&format!("/incidents/{}/{name}", stage.namespace)).await;
            (page.contains("exit code 3") && page.contains("none since yesterday")).then_some(())
        })
        .await;
    let told = serde_json::to_string(&incident).unwrap();
    assert!(!told.contains("hunter2"), "{told}");
    stage.kill().await;
    stage.daemon().await;
    stage
        .always("nothing is written, nothing runs again", 10, async || {
            stage.target_writes() == 0 && made(stage) == 1
        })
        .await;
    overruled(stage, &incident).await;
    assert_eq!(made(stage), 1, "it is not asked again");
}

story!(a_job_that_takes_too_long_leaves_it_to_people);
async fn a_job_that_takes_too_long_leaves_it_to_people(stage: &Stage) {
    backed_up(stage, &template("looking", 600, 0), json!({"timeout": "4s"})).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("AwaitingDecision", 60).await;
    let reason = incident.status.clone().unwrap().reason;
    let late = reason.contains("did not end in time") || reason.contains("DeadlineExceeded");
    assert!(late && reason.contains("`backup is present` failed"), "{reason}");
    assert_eq!(stage.target_writes(), 0);
    overruled(stage, &incident).await;
}

story!(a_job_that_may_not_run_leaves_it_to_people);
async fn a_job_that_may_not_run_leaves_it_to_people(stage: &Stage) {
    stage.forbid_jobs();
    backed_up(stage, &template("three", 0, 0), json!({})).await;
    let why = "this daemon runs no Jobs: its settings do not say `steps: {job: true}`";
    not_ready(
        stage,
        "CheckImpossible",
        &format!("the check `backup is present`: {why}"),
    )
    .await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("AwaitingDecision", 60).await;
    let reason = incident.status.clone().unwrap().reason;
    assert!(
        reason.contains(&format!("`backup is present` cannot be asked: {why}")),
        "{reason}"
    );
    assert_eq!(stage.target_writes(), 0);
    overruled(stage, &incident).await;
    assert_eq!(made(stage), 0);
}

story!(a_job_without_its_template_is_known_beforehand);
async fn a_job_without_its_template_is_known_beforehand(stage: &Stage) {
    stage.config("runbook", json!({"other.yaml": "x"})).await;
    guarded(stage, json!({})).await;
    let why = "the check `backup is present`: ConfigMap/runbook holds no `backup.yaml`";
    not_ready(stage, "NoWayToPlan", why).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("AwaitingDecision", 60).await;
    let reason = incident.status.clone().unwrap().reason;
    assert!(
        reason.contains("`backup is present` failed: ConfigMap/runbook holds no"),
        "{reason}"
    );
    assert_eq!(stage.target_writes(), 0);
}

story!(what_a_job_came_to_holds_for_a_later_attempt);
async fn what_a_job_came_to_holds_for_a_later_attempt(stage: &Stage) {
    backed_up(stage, &template("three", 6, 0), json!({})).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    job_is_made(stage).await;
    freeze(stage, json!("2100-01-01T00:00:00Z")).await;
    let incident = stage.incident_in("Escalated", 30).await;
    stage.wait(8).await;
    assert_eq!(stage.target_writes(), 0, "it is frozen, whatever the check says");
    freeze(stage, Value::Null).await;
    stage.wait(3).await;
    stage.decide(&incident.metadata.name.unwrap(), "rollback").await;
    let incident = stage.incident_in("Recovered", 90).await;
    assert_eq!(made(stage), 1, "once in the incident");
    assert_eq!(journalled(&incident.status.unwrap()).len(), 2);
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
}

story!(a_job_that_is_deleted_is_not_made_again);
async fn a_job_that_is_deleted_is_not_made_again(stage: &Stage) {
    backed_up(stage, &template("looking", 600, 0), json!({})).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let name = job_is_made(stage).await;
    stage
        .until("its line is written", 20, async || {
            let all = stage.incidents().await;
            let notes = all[0].status.iter().flat_map(|status| &status.journal);
            let made = format!("made Job/{name}");
            notes
                .filter_map(|entry| entry.note.as_deref())
                .any(|note| note == made)
                .then_some(())
        })
        .await;
    let jobs = stage.api("batch/v1", "Job");
    jobs.delete(&name, &DeleteParams::background()).await.unwrap();
    let reason = stage.incident_in("AwaitingDecision", 60).await.status.unwrap().reason;
    assert!(reason.contains("was deleted before it ended"), "{reason}");
    assert_eq!((made(stage), stage.target_writes()), (1, 0));
}

/// The API server has it refused in other ways, too: those are in the sweep.
#[tokio::test(start_paused = true)]
async fn a_job_that_is_refused_leaves_it_to_people() {
    let stage = Stage::embedded("a_job_that_is_refused").await;
    backed_up(&stage, &template("three", 0, 0), json!({})).await;
    let refused = modosu_world::Failure::new(403, "Forbidden", "jobs.batch is forbidden: not here");
    let create = line::Point {
        request: "create jobs".to_owned(),
        nth: 1,
        side: line::Side::Before,
    };
    let what = line::What::Answers(modosu_world::Answer::Fail(refused));
    stage.fault(line::Fault::new(create, what, std::time::Duration::from_secs(3600)));
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("AwaitingDecision", 60).await;
    let reason = incident.status.clone().unwrap().reason;
    let said = "cannot be made: the API server refused: jobs.batch is forbidden: not here";
    assert!(reason.contains(said), "{reason}");
    assert_eq!(stage.target_writes(), 0);
    overruled(&stage, &incident).await;
}

// ---- what they need -------------------------------------------------------------------------------------------------

/// The orders service, whose rollback waits for a backup.
async fn backed_up(stage: &Stage, template: &str, check: Value) {
    stage.run_jobs();
    stage.config("runbook", json!({"backup.yaml": template})).await;
    guarded(stage, check).await;
}

async fn guarded(stage: &Stage, check: Value) {
    let mut before = json!({"name": "backup is present", "job": {"from": "ConfigMap/runbook", "key": "backup.yaml"}});
    json_patch::merge(&mut before, &check);
    let rollback = json!({"before": [before], "steps": [legacy(), {"waitReady": {}}]});
    orders(stage, json!({"knownGoodAfter": "1h", "rollback": rollback})).await;
}

/// A person says `rollback` although the check failed.
async fn overruled(stage: &Stage, incident: &Incident) {
    stage.decide(incident.metadata.name.as_ref().unwrap(), "rollback").await;
    let status = stage.incident_in("Recovered", 90).await.status.unwrap();
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
    assert_eq!(status.before.unwrap().outcome, Checked::Overruled);
    let mut notes = status.journal.iter().filter_map(|entry| entry.note.as_deref());
    assert!(
        notes.any(|note| note.starts_with("sam rolls back although a check failed: `backup is present`")),
        "{:?}",
        status.journal
    );
}

async fn job_is_made(stage: &Stage) -> String {
    stage
        .until("the Job", 60, async || {
            let all = stage.api("batch/v1", "Job").list(&ListParams::default()).await.unwrap();
            all.items.into_iter().find_map(|job| job.metadata.name)
        })
        .await
}

/// How many Jobs modosu made.
fn made(stage: &Stage) -> usize {
    stage.writes().iter().filter(|write| write.resource == "jobs").count()
}

fn journalled(status: &IncidentStatus) -> Vec<&JournalEntry> {
    status
        .journal
        .iter()
        .filter(|entry| entry.is_check())
        .filter(|entry| entry.intent.is_some() || entry.receipt.is_some())
        .collect()
}

async fn not_ready(stage: &Stage, reason: &str, words: &str) {
    stage
        .until(&format!("RollbackReady is False: {words}"), 60, async || {
            let status = stage.guard_now("orders").await.status?;
            let mut conditions = status.conditions.into_iter();
            let ready = conditions.find(|condition| condition.type_ == "RollbackReady")?;
            (ready.status == "False" && ready.reason == reason && ready.message.contains(words)).then_some(())
        })
        .await;
}

async fn freeze(stage: &Stage, until: Value) {
    let patch = json!({"metadata": {"annotations": {"modosu.dev/freeze-until": until}}});
    stage.edit("modosu.dev/v1alpha1", "Guard", "orders", patch).await;
}
