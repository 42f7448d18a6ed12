//! One rollback with a check that is a Job and a step of each kind, killed at every point between two instructions; and the same with an API server
//! that fails at every point. Each time the same end is checked, and that nothing was done twice.
//!
//! The points are read off an undisturbed run: every request from the suspicion to the end. Whatever else the daemon waits
//! for lies between two requests, and killed there it leaves the world as if the next request had never arrived.

use std::{thread, time::Duration};

use modosu::model::incident::{Incident, JournalEntry, StageState};
use modosu_world::{Answer, Failure};
use serde_json::{Value, json};

use crate::{
    config::written,
    stage::{
        Stage, deployment,
        jobs::template,
        line::{Fault, Point, Side, What, changes},
        state_of,
    },
};

/// What the plan writes, once each.
const WRITTEN: [&str; 3] = ["configmaps/settings", "deployments/orders", "deployments/worker"];
/// The story whose plan has stages.
const STAGES: &str = "sweep-in-stages";
/// Points on real servers, and how many of them at the same time.
const SAMPLE: usize = 16;
const SIDE_BY_SIDE: usize = 6;
/// The plan's steps.
const STEPS: u32 = 6;
/// The only one that cannot be looked at afterwards: whether it was sent may stay unknown.
const POST: u32 = 6;

#[test]
fn killed_before_any_request_arrives() {
    let points = points(Side::Before);
    sweep(points, "killed", killed);
}

#[test]
fn killed_after_any_request_is_carried_out() {
    let mut points = points(Side::After);
    // What changes nothing leaves the world as the next request finds it: before that it was killed above.
    points.retain(|point| changes(&point.request));
    sweep(points, "killed", killed);
}

#[test]
fn killed_while_any_request_is_on_its_way() {
    let late = What::KillLate(Duration::from_millis(1500));
    let all = faults(writes(Side::Before), &late, Duration::ZERO);
    sweep(all, "killed", async |fault| {
        let stage = Stage::embedded("sweep").await;
        suspected(&stage).await;
        stage.fault(fault);
        is_killed_and_recovers(&stage).await;
    });
}

/// The same plan in two stages: what is put back, and what follows its proof.
#[test]
fn killed_at_any_request_of_a_plan_in_stages() {
    let mut points = points_of(STAGES, Side::Before);
    let mut after = points_of(STAGES, Side::After);
    after.retain(|point| changes(&point.request));
    points.extend(after);
    sweep(points, "killed", async |point| {
        let stage = Stage::embedded(STAGES).await;
        suspected(&stage).await;
        stage.kill_on(&point);
        is_killed_and_recovers(&stage).await;
        let status = stage.incidents().await.remove(0).status.unwrap();
        let proven = status.stages.iter().filter(|one| one.state == StageState::Proven);
        assert_eq!(proven.count(), 2, "{:?}", status.stages);
        assert!(status.mitigated_at < status.recovered_at, "{status:?}");
    });
}

/// Another copy waits, and takes over wherever the leader is killed.
#[test]
fn another_copy_takes_over_wherever_the_leader_is_killed() {
    let mut points = points(Side::Before);
    let mut after = points_of("sweep", Side::After);
    after.retain(|point| changes(&point.request));
    points.extend(after);
    sweep(points, "killed", async |point| {
        let stage = Stage::embedded("sweep").await;
        suspected(&stage).await;
        stage.second_daemon().await;
        stage.kill_on(&point);
        stage
            .until("the leader is killed", 60, async || stage.killed().then_some(()))
            .await;
        stage.swap();
        is_recovered(&stage).await;
        // Killed at the end, it may have left nothing to do.
        stage
            .until("the other copy leads", 20, async || stage.leads().await.then_some(()))
            .await;
        stage.wait(3).await;
        is_recovered(&stage).await;
    });
}

/// A sample of the points with a process, `kill -9` and real servers.
mod killed_at_some_points {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn real() {
        use futures::StreamExt;
        let points = super::sample().into_iter().enumerate();
        let runs = points.map(|(place, point)| super::killed_really(place, point));
        futures::stream::iter(runs)
            .for_each_concurrent(super::SIDE_BY_SIDE, |run| run)
            .await;
    }
}

#[test]
fn refused_for_a_while_at_any_write() {
    // In turn: a step has three writes of its own, so that each kind of write meets each answer.
    let all = writes(Side::Before)
        .into_iter()
        .zip(refusals().into_iter().cycle())
        .map(|(point, what)| {
            // A record for some turns. What is refused again and again of a target or of a Job is for people, see below.
            let seconds = if of_target(&point) || of_check(&point) { 0 } else { 3 };
            Fault::new(point, what, Duration::from_secs(seconds))
        });
    sweep(all.collect(), "refused", async |fault| failed(fault, 3).await);
}

#[test]
fn refused_for_good_at_any_target() {
    let mut targets = writes(Side::Before);
    targets.retain(of_target);
    let [conflict, invalid, ..] = refusals();
    let all = [conflict, invalid].map(|what| {
        let long = |point: &Point| {
            (
                point.clone(),
                Fault::new(point.clone(), what.clone(), Duration::from_secs(3600)),
            )
        };
        targets.iter().map(long).collect::<Vec<_>>()
    });
    sweep(all.concat(), "refused", async |(point, fault)| {
        given_up(&point, fault).await
    });
}

#[test]
fn without_an_answer_to_any_write() {
    let down = faults(writes(Side::Before), &What::Down, Duration::from_secs(15));
    let cut = faults(writes(Side::After), &What::Answers(Answer::Cut), Duration::ZERO);
    sweep([down, cut].concat(), "unanswered", async |fault| failed(fault, 3).await);
}

#[test]
fn with_a_slow_answer_to_any_write() {
    let slow = Duration::from_secs(30);
    let late = faults(writes(Side::Before), &What::Answers(Answer::Late(slow)), Duration::ZERO);
    // To the daemon this is a lost answer that it waits for.
    let mut targets = writes(Side::After);
    targets.retain(of_target);
    let later = faults(targets, &What::Answers(Answer::Delay(slow)), Duration::ZERO);
    // Until what is late has come.
    sweep([late, later].concat(), "slow", async |fault| failed(fault, 35).await);
}

/// One of each kind: what cannot be read is waited for.
#[test]
fn without_an_answer_to_reads() {
    let mut reads = points(Side::Before);
    reads.retain(|point| point.nth == 1 && ["get ", "list "].iter().any(|verb| point.request.starts_with(verb)));
    let [.., busy, _] = refusals();
    let all = [busy, What::Answers(Answer::Delay(Duration::from_secs(30)))];
    let all = all.map(|what| faults(reads.clone(), &what, Duration::from_secs(3)));
    sweep(all.concat(), "unanswered", async |fault| failed(fault, 3).await);
}

// ---- one run --------------------------------------------------------------------------------------------------------

async fn killed(point: Point) {
    let stage = Stage::embedded("sweep").await;
    suspected(&stage).await;
    stage.kill_on(&point);
    is_killed_and_recovers(&stage).await;
}

async fn killed_really(place: usize, point: Point) {
    let stage = Stage::real(&format!("sweep_{place}")).await;
    proven(&stage).await;
    stage.kill_on(&point);
    release(&stage).await;
    eprintln!("{}: killed {point}", stage.namespace);
    is_killed_and_recovers(&stage).await;
    stage.end().await;
}

async fn is_killed_and_recovers(stage: &Stage) {
    stage
        .until("the daemon is killed", 60, async || stage.killed().then_some(()))
        .await;
    stage.wait(1).await;
    stage.daemon().await;
    is_recovered(stage).await;
    // Nothing more comes.
    stage.wait(3).await;
    is_recovered(stage).await;
}

/// The same with an API server that fails, and a daemon that lives on.
async fn failed(fault: Fault, after: u64) {
    let stage = Stage::embedded("sweep").await;
    suspected(&stage).await;
    stage.fault(fault);
    is_recovered(&stage).await;
    assert!(stage.has_failed(), "the API server did fail");
    stage.wait(after).await;
    is_recovered(&stage).await;
}

/// A target's write is refused for good: people get the server's words, and nothing more is written.
async fn given_up(point: &Point, fault: Fault) {
    let stage = Stage::embedded("sweep").await;
    suspected(&stage).await;
    stage.fault(fault);
    let given_up = stage.incident_in("Escalated", 60).await;
    stage.wait(10).await;
    let mut incidents = stage.incidents().await;
    assert_eq!(incidents.len(), 1, "one case, one incident");
    let incident = incidents.remove(0);
    let reason = &given_up.status.as_ref().unwrap().reason;
    if point.request.ends_with("(dry run)") {
        let words = "the API server would refuse it, nothing was written: ";
        assert!(reason.contains(words) && reason.ends_with("not now"), "{reason}");
        assert_eq!(written(&stage), [""; 0]);
        assert_eq!(steps_of(&incident).count(), 0);
    } else {
        assert!(
            reason.ends_with("the API server refused it 3 times: not now"),
            "{reason}"
        );
        let refused = WRITTEN
            .iter()
            .position(|target| point.request.ends_with(target))
            .unwrap();
        assert_eq!(written(&stage), WRITTEN[..refused], "what came before it");
        in_order(&incident, u32::try_from(refused).unwrap() + 1);
        let words: Vec<_> = receipts(&incident)
            .map(|entry| entry.receipt.as_deref().unwrap())
            .collect();
        let (last, before) = words.split_last().unwrap();
        assert_eq!(*last, "failed");
        assert!(before.iter().all(|word| *word == "done"), "{words:?}");
    }
    let status = incident.status.as_ref().unwrap();
    if point.request == "patch deployments/worker" {
        // What hurt is put back by then.
        assert_eq!(state_of(&incident), "Recovered");
        assert!(
            status.reason.contains("but scale Deployment/worker failed"),
            "{}",
            status.reason
        );
    } else {
        assert_eq!(state_of(&incident), "Escalated");
    }
    assert_eq!(stage.asked.requests(), [""; 0], "no later step");
}

/// A bad release of a template and its settings is under suspicion.
async fn suspected(stage: &Stage) {
    proven(stage).await;
    release(stage).await;
    stage
        .until("the release is under suspicion", 40, async || {
            (stage.shown("orders").await["state"] == "Suspect").then_some(())
        })
        .await;
}

/// A guard with a proven state.
async fn proven(stage: &Stage) {
    stage.run_jobs();
    let backup = template("three backups", 0, 0);
    stage.config("runbook", json!({"backup.yaml": backup})).await;
    stage.config("settings", json!({"GREETING": "hello"})).await;
    let env = json!([{"name": "WORKER_MODE", "value": "legacy"}]);
    let mut orders = deployment(&stage.namespace, "orders", env.clone());
    orders["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    stage.create("apps/v1", "Deployment", orders).await;
    stage.deploy("worker", env).await;
    stage.rolled_out("orders").await;
    stage.guard("orders", guard(stage)).await;
    stage.daemon().await;
    stage.proven("orders").await;
}

async fn release(stage: &Stage) {
    let settings = json!({"data": {"GREETING": "hullo"}});
    stage.edit("v1", "ConfigMap", "settings", settings).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
}

/// Its plan has a step of each kind.
fn guard(stage: &Stage) -> Value {
    let asked = &stage.asked.url;
    let errors = json!({"name": "errors", "condition": "error_rate > 5%", "action": "automatic_rollback", "for": "2s"});
    let steps = json!([
        {"restore": {}},
        {"scale": {"target": "Deployment/worker", "replicas": 0}},
        {"waitReady": {}},
        {"http": {"get": format!("{asked}/health")}},
        {"http": {"method": "POST", "url": format!("{asked}/restored")}, "onFailure": "continue"},
    ]);
    let steps = steps.as_array().unwrap();
    let part =
        |name: &str, places: std::ops::Range<usize>| json!({"name": name, "within": "60s", "steps": steps[places]});
    let job = json!({"from": "ConfigMap/runbook", "key": "backup.yaml"});
    let check = |timeout: &str| json!([{"name": "backup is present", "job": job, "timeout": timeout}]);
    let rollback = if stage.namespace == STAGES {
        json!({"before": check("50s"), "stages": [part("put-back", 0..3), part("tell", 3..5)]})
    } else {
        json!({"before": check("5m"), "steps": steps})
    };
    json!({
        "targets": [{"kind": "Deployment", "name": "orders"}, {"kind": "Deployment", "name": "worker"}],
        "rollback": rollback,
        "triggers": [errors],
        "metrics": {"window": "3s"},
        "knownGoodAfter": "3s",
        "verify": {"hold": "2s"},
    })
}

// ---- what must be so at the end -------------------------------------------------------------------------------------

/// The proven state runs, everything was written once, and the journal says so.
async fn is_recovered(stage: &Stage) {
    let mut incidents = stage
        .until("it is over", 120, async || {
            stage.wait(1).await;
            let all = stage.incidents().await;
            all.iter()
                .any(|incident| state_of(incident) == "Recovered")
                .then_some(all)
        })
        .await;
    assert_eq!(incidents.len(), 1, "one case, one incident");
    let incident = incidents.remove(0);
    stage.rolled_out("orders").await;
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
    assert_eq!(stage.config_data("settings").await, json!({"GREETING": "hello"}));
    assert_eq!(stage.deployment("worker").await.data["spec"]["replicas"], 0);
    let mut written = written(stage);
    written.sort();
    assert_eq!(written, WRITTEN, "each once");
    in_order(&incident, STEPS);
    for entry in receipts(&incident).filter(|entry| entry.seq != POST) {
        assert_eq!(entry.receipt.as_deref(), Some("done"), "{entry:?}");
    }
    checked(stage, &incident);
    asked(stage, &incident);
    stage
        .until("the guard has let the incident go", 30, async || {
            let status = stage.guard_now("orders").await.status?;
            status.incident.is_none().then_some(())
        })
        .await;
    assert!(stage.is_bad("orders", &incident.spec.bad.hash).await);
}

/// One intent and then one receipt of each step.
fn in_order(incident: &Incident, steps: u32) {
    let journal: Vec<_> = steps_of(incident)
        .map(|entry| (entry.seq, entry.intent.is_some(), entry.receipt.is_some()))
        .collect();
    let expected: Vec<_> = (1..=steps)
        .flat_map(|seq| [(seq, true, false), (seq, false, true)])
        .collect();
    assert_eq!(journal, expected, "one intent and one receipt of each step");
}

/// The Job of the check was made once, and the journal says so before any step.
fn checked(stage: &Stage, incident: &Incident) {
    let made = stage.writes().into_iter().filter(|write| write.resource == "jobs");
    assert_eq!(made.count(), 1, "one Job");
    let entries = incident.status.iter().flat_map(|status| &status.journal);
    let words: Vec<_> = entries
        .filter(|entry| entry.intent.is_some() || entry.receipt.is_some())
        .take_while(|entry| entry.is_check())
        .map(|entry| entry.intent.as_deref().or(entry.receipt.as_deref()).unwrap())
        .collect();
    assert_eq!(words, ["check", "done"], "{:?}", incident.status);
}

/// The request may be asked again, for each try to write its receipt; the other request was sent once, or people are told that nobody knows.
fn asked(stage: &Stage, incident: &Incident) {
    let asked = stage.asked.requests();
    let count = |words: &str| asked.iter().filter(|request| *request == words).count();
    assert!((1..=10).contains(&count("GET /health")), "{asked:?}");
    let receipt = receipts(incident).find(|entry| entry.seq == POST).unwrap();
    let reason = &incident.status.as_ref().unwrap().reason;
    match receipt.receipt.as_deref() {
        Some("done") => assert_eq!(count("POST /restored"), 1, "{asked:?}"),
        Some("failed") => {
            assert!(count("POST /restored") <= 1, "{asked:?}");
            let but = "but http failed: it is not known whether it was sent, and it is not sent twice";
            assert!(reason.contains(but), "{reason}");
        }
        Some(_) | None => panic!("{receipt:?}"),
    }
}

fn steps_of(incident: &Incident) -> impl Iterator<Item = &JournalEntry> {
    let entries = incident.status.iter().flat_map(|status| &status.journal);
    entries.filter(|entry| entry.is_step())
}

fn receipts(incident: &Incident) -> impl Iterator<Item = &JournalEntry> {
    steps_of(incident).filter(|entry| entry.receipt.is_some())
}

// ---- points ---------------------------------------------------------------------------------------------------------

/// Every request of an undisturbed run, from the suspicion to the end of the incident.
fn points(side: Side) -> Vec<Point> {
    points_of("sweep", side)
}

fn points_of(story: &'static str, side: Side) -> Vec<Point> {
    let line = alone(async move || {
        let stage = Stage::embedded(story).await;
        suspected(&stage).await;
        stage.record();
        is_recovered(&stage).await;
        stage.recorded()
    });
    let mut line = line.unwrap();
    let end = line
        .iter()
        .position(|request| request.contains("status Recovered"))
        .unwrap();
    let after = line[end..]
        .iter()
        .position(|request| request == "patch guards/orders status");
    line.truncate(end + after.unwrap() + 1);
    for kind in must_be_there() {
        assert!(line.contains(&kind), "not among the points: {kind}\n{line:#?}");
    }
    let nth = |at: usize| line[..=at].iter().filter(|request| **request == line[at]).count();
    // What is asked again while nothing is written leaves the world as it was.
    let asked_again = |at: usize| {
        let since = line[..at].iter().rposition(|request| changes(request)).unwrap_or(0);
        line[since..at].contains(&line[at])
    };
    let points = (0..line.len()).filter(|at| !asked_again(*at)).map(|at| Point {
        request: line[at].clone(),
        nth: nth(at),
        side,
    });
    points.collect()
}

/// Some of the points, evenly spread, on either side: of writes that come once in a rollback, on any servers.
fn sample() -> Vec<Point> {
    let all = points(Side::Before);
    let once = |point: &&Point| all.iter().filter(|other| other.request == point.request).count() == 1;
    let writes = |point: &&Point| changes(&point.request) && !point.request.starts_with("POST ");
    // Also a change that comes is dry-run.
    let acts = |point: &&Point| !point.request.ends_with("(dry run)");
    let unique: Vec<_> = all.iter().filter(once).filter(writes).filter(acts).collect();
    let sampled = SAMPLE.min(unique.len());
    let spread = (0..sampled).map(|n| unique[n * unique.len() / sampled].clone());
    let sides = [Side::After, Side::Before].into_iter().cycle();
    let sample: Vec<_> = spread.zip(sides).map(|(point, side)| Point { side, ..point }).collect();
    for part in ["intent", "receipt", "patch deployments/orders", "create incidents"] {
        assert!(
            sample.iter().any(|point| point.request.contains(part)),
            "no {part} in {sample:#?}"
        );
    }
    sample
}

/// Every request to the API server that may change something.
fn writes(side: Side) -> Vec<Point> {
    let mut points = points(side);
    points.retain(|point| changes(&point.request) && !point.request.starts_with("POST "));
    points
}

/// A write of what is guarded, or its dry run.
fn of_target(point: &Point) -> bool {
    WRITTEN
        .iter()
        .any(|target| point.request.starts_with(&format!("patch {target}")))
}

/// The check's Job, or its dry run.
fn of_check(point: &Point) -> bool {
    point.request.starts_with("create jobs")
}

fn faults(points: Vec<Point>, what: &What, lasts: Duration) -> Vec<Fault> {
    let fault = |at| Fault::new(at, what.clone(), lasts);
    points.into_iter().map(fault).collect()
}

/// 409, 422, 429, 500.
fn refusals() -> [What; 4] {
    let refusal = |code, reason, details| {
        What::Answers(Answer::Fail(Failure {
            details,
            ..Failure::new(code, reason, "not now")
        }))
    };
    [
        refusal(409, "Conflict", json!({})),
        refusal(422, "Invalid", json!({})),
        refusal(429, "TooManyRequests", json!({"retryAfterSeconds": 3})),
        refusal(500, "InternalError", json!({})),
    ]
}

/// Without these nothing would be swept.
fn must_be_there() -> Vec<String> {
    // What a target's write came to is written with the next intent.
    let apart = u32::try_from(WRITTEN.len()).unwrap();
    let intents = (1..=STEPS).map(|seq| format!("{seq} intent"));
    let receipts = (apart + 1..=STEPS).map(|seq| format!("{seq} receipt"));
    let mut all: Vec<_> = intents
        .chain(receipts)
        .map(|entry| format!("patch incidents status RollingBack {entry}"))
        .collect();
    all.extend(
        WRITTEN
            .iter()
            .flat_map(|target| [format!("patch {target}"), format!("patch {target} (dry run)")]),
    );
    let checked = ["0 intent", "0 receipt"].map(|entry| format!("patch incidents status RollingBack {entry}"));
    all.extend(checked);
    all.extend(["create incidents", "create jobs", "GET /health", "POST /restored"].map(str::to_owned));
    all
}

/// Plays one run for each point, each in a world of its own, and tells all that went wrong.
fn sweep<P: std::fmt::Debug + Send + 'static>(
    points: Vec<P>,
    what: &str,
    play: impl AsyncFn(P) + Copy + Send + 'static,
) {
    let all = points.len();
    let began = std::time::Instant::now();
    let wrong: Vec<String> = points
        .into_iter()
        .filter_map(|point| {
            let name = format!("{point:?}");
            alone(async move || play(point).await)
                .is_err()
                .then(|| format!("{what} {name}"))
        })
        .collect();
    eprintln!("{all} points in {:?}", began.elapsed());
    assert!(
        wrong.is_empty(),
        "{} of {all} went wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// On a paused clock of its own, so that a panic ends this run alone.
fn alone<T: Send + 'static>(play: impl AsyncFnOnce() -> T + Send + 'static) -> thread::Result<T> {
    let run = move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(play())
    };
    thread::spawn(run).join()
}
