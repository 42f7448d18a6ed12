//! Plans that change a repository: a merge or a range is reverted, a path is taken from another branch, and pushed once, whatever comes
//! in between.

use std::time::Duration;

use modosu::{
    act::git::{
        look::rehearse,
        program::{Program, Trouble},
    },
    config::{GitCredentials, GitSettings},
    model::{
        guard::GitChange,
        incident::{Incident, IncidentStatus},
    },
};
use modosu_world::Answer;
use serde_json::{Value, json};

use crate::{
    frozen,
    stage::{
        Stage,
        line::{Fault, Point, Side, What},
        repository::Repository,
    },
    story,
};

/// The place of the plan's `git` in the journal, behind the restored object and its roll-out.
const STEP: u32 = 3;

story!(the_merge_of_a_change_is_reverted);
async fn the_merge_of_a_change_is_reverted(stage: &Stage) {
    let repository = Repository::served();
    let before = proven(stage, &repository, json!({"revert": "merge-of-change"})).await;
    let merge = repository.merge("celery", "app/mode", "celery");
    let later = repository.commit("README", "later");
    celery(stage, &merge).await;
    let incident = stage.incident_in("Recovered", 120).await;

    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
    assert_eq!(
        repository.at_server(&["rev-parse", "main^"]),
        later,
        "one commit, on what was there"
    );
    assert_eq!(repository.holds("README"), "later", "what came later stays");
    let difference = repository.at_server(&["diff", "--stat", &before, "main", "--", "app"]);
    assert_eq!(difference, "", "the merge is undone");
    let name = incident.metadata.name.clone().unwrap();
    let mark = format!(
        "{}/{name}/{}#{STEP}",
        stage.namespace,
        incident.metadata.uid.clone().unwrap()
    );
    let told = repository.at_server(&["log", "-1", "--format=%B", "main"]);
    assert!(told.starts_with("Revert \"Merge celery\"\n"), "{told}");
    assert!(told.ends_with(&format!("\nModosu-Incident: {mark}")), "{told}");
    let note = receipt(&incident);
    assert!(note.ends_with(&format!("pushed as {}", repository.tip())), "{note}");
    let page = stage.page(&format!("/incidents/{}/{name}", stage.namespace)).await;
    let says = format!(
        "reverts the merge that brought {} into main of {}",
        &merge[..12],
        repository.url
    );
    assert!(page.contains(&says), "{page}");
}

story!(what_returns_although_it_was_reverted_is_said);
async fn what_returns_although_it_was_reverted_is_said(stage: &Stage) {
    let repository = Repository::served();
    proven(stage, &repository, json!({"revert": "merge-of-change"})).await;
    let merge = repository.merge("celery", "app/mode", "celery");
    celery(stage, &merge).await;
    stage.incident_in("Recovered", 120).await;
    // A tool that applies another branch.
    celery(stage, &merge).await;
    let again = stage
        .until("the incident of its return", 60, async || {
            let mut all = stage.incidents().await.into_iter();
            all.find(|one| one.spec.triggers[0].name == "retry_lock")
        })
        .await;
    let says = format!("on main of {}: pushed as {}); ", repository.url, repository.tip());
    let summary = again.spec.summary.replace("into main", "on main");
    assert!(
        summary.contains("although modosu changed the repository (reverts the merge"),
        "{summary}"
    );
    assert!(summary.contains(&says), "{summary}");
}

story!(the_range_of_a_change_is_reverted);
async fn the_range_of_a_change_is_reverted(stage: &Stage) {
    let repository = Repository::served();
    let before = proven(stage, &repository, json!({"revert": "range-of-change"})).await;
    repository.commit("app/mode", "celery");
    repository.merge("beat", "app/beat", "on");
    let bad = repository.commit("app/mode", "celery, faster");
    celery(stage, &bad).await;
    let incident = stage.incident_in("Recovered", 120).await;
    assert_eq!(repository.at_server(&["rev-parse", "main^"]), bad, "one commit");
    assert_eq!(repository.at_server(&["diff", "--stat", &before, "main"]), "");
    let recorded = incident.status.unwrap().plan.into_iter().find_map(|step| step.commits);
    assert_eq!(recorded, Some(format!("{before}..{bad}")));
}

story!(a_path_is_taken_from_another_branch);
async fn a_path_is_taken_from_another_branch(stage: &Stage) {
    let repository = Repository::served();
    let before = proven(
        stage,
        &repository,
        json!({"checkout": {"path": "app", "from": "legacy"}}),
    )
    .await;
    repository.git(&["push", "-q", "origin", "main:legacy"]);
    repository.commit("app/mode", "celery");
    let bad = repository.commit("README", "later");
    celery(stage, &bad).await;
    let incident = stage.incident_in("Recovered", 120).await;
    assert_eq!(
        (
            repository.holds("app/mode").as_str(),
            repository.holds("README").as_str()
        ),
        ("legacy", "later")
    );
    let recorded = incident.status.unwrap().plan.into_iter().find_map(|step| step.commits);
    assert_eq!(recorded, Some(before), "the commit that the branch was at");
}

story!(a_revert_that_does_not_apply_is_for_people);
async fn a_revert_that_does_not_apply_is_for_people(stage: &Stage) {
    let repository = Repository::served();
    proven(stage, &repository, json!({"revert": "merge-of-change"})).await;
    let merge = repository.merge("celery", "app/mode", "celery");
    let later = repository.commit("app/mode", "celery, faster");
    celery(stage, &merge).await;
    let incident = stage.incident_in("Escalated", 120).await;
    let reason = incident.status.unwrap().reason;
    assert!(
        reason.contains("git: does not apply, conflicts in app/mode; nothing was pushed"),
        "{reason}"
    );
    assert_eq!((repository.tip(), repository.pushes()), (later, 0));
    assert_eq!(
        stage.env("orders", "WORKER_MODE").await,
        "legacy",
        "the cluster was put back before"
    );
}

story!(a_branch_that_moved_is_not_pushed_over);
async fn a_branch_that_moved_is_not_pushed_over(stage: &Stage) {
    let repository = Repository::served();
    proven(stage, &repository, json!({"revert": "merge-of-change"})).await;
    let merge = repository.merge("celery", "app/mode", "celery");
    repository.is_faster("README", "faster");
    celery(stage, &merge).await;
    let incident = stage.incident_in("Recovered", 120).await;
    assert_eq!(
        (repository.made(), repository.pushes()),
        (1, 2),
        "refused once, then made again"
    );
    assert_eq!(
        (
            repository.holds("README").as_str(),
            repository.holds("app/mode").as_str()
        ),
        ("faster", "legacy")
    );
    assert!(receipt(&incident).ends_with(&format!("pushed as {}", repository.tip())));
}

story!(killed_between_push_and_receipt);
async fn killed_between_push_and_receipt(stage: &Stage) {
    // Its journal's entries: the intent, what is pushed, and the receipt.
    killed(stage, &entry("receipt", 2, Side::Before), 1).await;
}

/// The same at each other point.
#[tokio::test(start_paused = true)]
async fn killed_at_any_entry_of_a_push_it_is_pushed_once() {
    let points = [
        entry("intent", 1, Side::Before),
        entry("intent", 1, Side::After),
        entry("receipt", 1, Side::Before),
        entry("receipt", 1, Side::After),
        entry("receipt", 2, Side::After),
    ];
    for point in points {
        let stage = Stage::embedded("killed-at-any-entry").await;
        let before = usize::from(point == entry("receipt", 2, Side::After));
        killed(&stage, &point, before).await;
    }
}

async fn killed(stage: &Stage, point: &Point, pushed: usize) {
    let repository = Repository::served();
    proven(stage, &repository, json!({"revert": "merge-of-change"})).await;
    let merge = repository.merge("celery", "app/mode", "celery");
    stage.kill_on(point);
    celery(stage, &merge).await;
    stage
        .until("the daemon is killed", 90, async || stage.killed().then_some(()))
        .await;
    assert_eq!(repository.pushes(), pushed, "{point}");
    stage.daemon().await;
    let incident = stage.incident_in("Recovered", 120).await;
    assert_eq!((repository.made(), repository.pushes()), (1, 1), "{point}: pushed once");
    assert_eq!(repository.holds("app/mode"), "legacy");
    assert!(receipt(&incident).ends_with(&format!("pushed as {}", repository.tip())));
    let status = incident.status.unwrap();
    let steps = status
        .journal
        .iter()
        .filter(|entry| entry.seq == STEP && entry.is_step());
    assert_eq!(steps.count(), 2, "{point}: one intent and one receipt");
}

/// The nth write of the incident whose last entry is one of the step's.
fn entry(word: &str, nth: usize, side: Side) -> Point {
    Point {
        request: format!("patch incidents status RollingBack {STEP} {word}"),
        nth,
        side,
    }
}

/// Between the commit and its push.
#[tokio::test(start_paused = true)]
async fn what_is_frozen_before_the_push_is_not_pushed() {
    let stage = &Stage::embedded("frozen-before-the-push").await;
    let repository = Repository::served();
    proven(stage, &repository, json!({"revert": "merge-of-change"})).await;
    let merge = repository.merge("celery", "app/mode", "celery");
    let slow = What::Answers(Answer::Delay(Duration::from_secs(5)));
    let writes_down = entry("receipt", 1, Side::After);
    stage.fault(Fault::new(writes_down, slow, Duration::ZERO));
    celery(stage, &merge).await;
    stage
        .until("the commit is made", 90, async || stage.has_failed().then_some(()))
        .await;
    frozen::annotate(stage, ("modosu.dev/v1alpha1", "Guard", "orders"), frozen::notes()).await;
    let stopped = stage.incident_in("Escalated", 30).await;
    assert!(stopped.status.unwrap().reason.contains("frozen by ann"));
    stage
        .always("nothing is pushed", 10, async || repository.pushes() == 0)
        .await;
}

story!(a_branch_that_is_not_there_is_known_beforehand);
async fn a_branch_that_is_not_there_is_known_beforehand(stage: &Stage) {
    let repository = Repository::served();
    let change = json!({"branch": "release", "revert": "merge-of-change"});
    proven(stage, &repository, change).await;
    let words = ready(stage, "False", "Refused").await;
    assert!(
        words.starts_with("git: there is no branch release in http://"),
        "{words}"
    );
    repository.git(&["push", "-q", "origin", "main:release"]);
    ready(stage, "True", "DryRunAccepted").await;
    stage
        .edit("apps/v1", "Deployment", "orders", annotated(Value::Null))
        .await;
    let words = ready(stage, "False", "NoWayToPlan").await;
    assert_eq!(words, "git: no pod template names its commit in `modosu.dev/commit`");
    assert_eq!(repository.pushes(), 0);
}

/// A repository that lets nobody in but who knows a password.
#[test]
fn a_password_goes_where_the_settings_send_it_and_is_told_nowhere() {
    // modosu:hunter2
    let repository = Repository::locked("bW9kb3N1Omh1bnRlcjI=");
    let file = tempfile::NamedTempFile::new().unwrap();
    let change = GitChange {
        repository: repository.url.clone(),
        branch: "main".to_owned(),
        revert: Some("merge-of-change".to_owned()),
        checkout: None,
    };
    let tried = |password: &str, namespace: &str| {
        std::fs::write(file.path(), format!("{password}\n")).unwrap();
        let program = Program {
            path: "git".into(),
            settings: GitSettings {
                protocols: vec!["http".to_owned()],
                credentials: vec![GitCredentials {
                    url: repository.url.replace("/orders.git", ""),
                    namespaces: vec!["shop".to_owned()],
                    username: Some("modosu".to_owned()),
                    password_file: Some(file.path().to_owned()),
                    key_file: None,
                    known_hosts_file: None,
                }],
                ..GitSettings::default()
            },
            stop: tokio_util::sync::CancellationToken::new(),
        };
        rehearse(&program, namespace, &change, Duration::from_secs(60))
    };
    assert_eq!(tried("hunter2", "shop"), Ok(None));
    for (password, namespace) in [("hunter3", "shop"), ("hunter2", "billing")] {
        let Err(Trouble::Refused(said)) = tried(password, namespace) else {
            panic!("let in with {password} of {namespace}");
        };
        assert!(said.contains("cannot be reached") && !said.contains("hunter"), "{said}");
    }
}

/// The orders service, proven, with the commit that it was built from; its plan restores, then changes the repository.
async fn proven(stage: &Stage, repository: &Repository, change: Value) -> String {
    let built_from = repository.commit("app/mode", "legacy");
    let mut git = json!({"repository": repository.url, "branch": "main"});
    json_patch::merge(&mut git, &change);
    let steps = json!([{"restore": {}}, {"waitReady": {}}, {"git": git}]);
    stage
        .deploy("orders", json!([{"name": "WORKER_MODE", "value": "legacy"}]))
        .await;
    stage
        .edit("apps/v1", "Deployment", "orders", annotated(json!(built_from)))
        .await;
    stage.rolled_out("orders").await;
    stage.guard("orders", json!({"rollback": {"steps": steps}})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    built_from
}

/// The release that hurts, built from that commit.
async fn celery(stage: &Stage, commit: &str) {
    let env = json!([{"name": "WORKER_MODE", "value": "celery"}]);
    let change = |template: &mut Value| template["metadata"]["annotations"] = json!({"modosu.dev/commit": commit});
    stage.release("orders", env, change).await;
}

fn annotated(commit: Value) -> Value {
    json!({"spec": {"template": {"metadata": {"annotations": {"modosu.dev/commit": commit}}}}})
}

fn receipt(incident: &Incident) -> String {
    let status: &IncidentStatus = incident.status.as_ref().unwrap();
    let mut entries = status.journal.iter().filter(|entry| entry.seq == STEP);
    let receipt = entries.find(|entry| entry.receipt.as_deref() == Some("done"));
    receipt
        .and_then(|entry| entry.note.clone())
        .unwrap_or_else(|| panic!("{:?}", status.journal))
}

/// Waits until `RollbackReady` is so. Gives its message.
async fn ready(stage: &Stage, holds: &str, reason: &str) -> String {
    stage
        .until(&format!("RollbackReady={holds}({reason})"), 100, async || {
            let conditions = stage.guard_now("orders").await.status?.conditions;
            let found = conditions.into_iter().find(|one| one.type_ == "RollbackReady")?;
            (found.status == holds && found.reason == reason).then_some(found.message)
        })
        .await
}
