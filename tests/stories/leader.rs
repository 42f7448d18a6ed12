//! Several copies: one acts, the others watch and take over, and nothing is done twice.

use std::time::{Duration, Instant};

use modosu_world::Answer;
use serde_json::json;

use crate::{
    stage::{
        Kill, Stage,
        line::{Fault, Point, Side, What},
    },
    story,
};

/// After a crash: 15 s for the lease, and what it takes to look and to act.
const TAKES_OVER: Duration = Duration::from_secs(20);
const AT_ONCE: Duration = Duration::from_secs(2);

story!(one_of_two_copies_acts);
async fn one_of_two_copies_acts(stage: &Stage) {
    two_copies(stage).await;
    stage
        .always("one leads", 20, async || {
            let first = stage.leads().await;
            stage.swap();
            let second = stage.leads().await;
            stage.swap();
            first && !second
        })
        .await;

    // It sees and judges as well, and says who acts.
    stage.swap();
    stage
        .until("the other copy judges, too", 10, async || {
            stage.is_healthy("orders").await.then_some(())
        })
        .await;
    assert_eq!(stage.status().await.unwrap()["holder"], "modosu-0");
    let page = stage.page("/status").await;
    assert!(page.contains("not the leader: modosu-0 acts"), "{page}");
    assert!(stage.page("/metrics").await.contains("modosu_leader 0"));
    stage.swap();
    assert!(stage.page("/metrics").await.contains("modosu_leader 1"));

    bad_release(stage).await;
    stage.incident_in("Recovered", 90).await;
    each_once(stage).await;
    stage.swap();
    stage
        .until("the other copy shows what the leader did", 10, async || {
            let status = stage.status().await?;
            (status["incidents"][0]["state"] == "Recovered").then_some(())
        })
        .await;
    stage.swap();
    let written = stage.writes_of_the_other();
    assert_eq!(written, [""; 0], "who follows writes nothing");
}

story!(a_leader_that_crashes_at_the_opening_is_followed);
async fn a_leader_that_crashes_at_the_opening_is_followed(stage: &Stage) {
    crashes(stage, Kill::Opened).await;
}

story!(a_leader_that_crashes_before_its_patch_is_followed);
async fn a_leader_that_crashes_before_its_patch_is_followed(stage: &Stage) {
    crashes(stage, Kill::Intended).await;
}

story!(a_leader_that_crashes_after_its_patch_is_followed);
async fn a_leader_that_crashes_after_its_patch_is_followed(stage: &Stage) {
    crashes(stage, Kill::Patched).await;
}

async fn crashes(stage: &Stage, point: Kill) {
    two_copies(stage).await;
    stage.kill_at(point);
    bad_release(stage).await;
    stage
        .until("the leader is killed", 60, async || stage.killed().then_some(()))
        .await;
    stage.swap();
    let began = tokio::time::Instant::now();
    stage
        .until("the other copy acts", 60, async || {
            let all = stage.incidents().await;
            let mut journal = all
                .iter()
                .filter_map(|one| one.status.as_ref())
                .flat_map(|status| &status.journal);
            journal.any(|entry| entry.receipt.is_some()).then_some(())
        })
        .await;
    assert!(began.elapsed() <= TAKES_OVER, "{:?}", began.elapsed());
    until_put_back(stage).await;
    stage.incident_in("Recovered", 60).await;
    each_once(stage).await;
    assert!(stage.leads().await);
}

/// Both are processes, and their clocks the wall's: on real servers alone.
mod a_leader_that_is_told_to_stop_is_followed_at_once {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn real() {
        let stage = crate::stage::Stage::real("a_leader_that_is_told_to_stop_is_followed").await;
        stage.tell_all(super::told_to_stop(&stage)).await;
    }
}

async fn told_to_stop(stage: &Stage) {
    two_copies(stage).await;
    let (code, took) = stage.terminate().await;
    assert_eq!(code, Some(0), "{}", stage.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(stage.log().contains("the lease is given back"), "{}", stage.log());
    stage.swap();
    let began = Instant::now();
    while !stage.leads().await {
        assert!(began.elapsed() < AT_ONCE, "{}", stage.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bad_release(stage).await;
    stage.incident_in("Recovered", 90).await;
    each_once(stage).await;
}

/// The answer to its patch does not come in time: what is under way is cut off, so that the lease can be given back.
#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_in_a_slow_turn_is_followed_at_once() {
    let stage = Stage::embedded("a_leader_that_stops_in_a_slow_turn").await;
    two_copies(&stage).await;
    let patch = Point {
        request: "patch deployments/orders".to_owned(),
        nth: 1,
        side: Side::After,
    };
    let slow = What::Answers(Answer::Delay(Duration::from_secs(30)));
    stage.fault(Fault::new(patch, slow, Duration::ZERO));
    bad_release(&stage).await;
    stage
        .until("it is patched", 60, async || stage.has_failed().then_some(()))
        .await;
    stage.sends("TERM");
    stage.swap();
    stage
        .until("the other copy leads", 3, async || stage.leads().await.then_some(()))
        .await;
    stage.incident_in("Recovered", 60).await;
    each_once(&stage).await;
}

/// The leader is paused for longer than its lease lasts, in the middle of a rollback. It wakes up and believes.
mod a_leader_that_was_paused_writes_nothing_more {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn real() {
        let stage = crate::stage::Stage::real("a_leader_that_was_paused").await;
        stage.tell_all(super::paused(&stage)).await;
    }
}

async fn paused(stage: &Stage) {
    two_copies(stage).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage
        .until("the release is under suspicion", 40, async || {
            (stage.shown("orders").await["state"] == "Suspect").then_some(())
        })
        .await;
    stage.sends("STOP");
    stage.swap();
    until_put_back(stage).await;
    let before = stage.writes_of_the_other();
    stage.swap();
    stage.sends("CONT");
    stage
        .until("it knows that another one leads", 10, async || {
            let status = stage.status().await?;
            (status["leader"] == false && status["holder"] == "modosu-1").then_some(())
        })
        .await;
    stage.incident_in("Recovered", 60).await;
    stage.wait(5).await;
    each_once(stage).await;
    stage.swap();
    assert_eq!(stage.writes_of_the_other(), before, "what it believed it did not write");
}

story!(a_container_that_starts_again_acts_at_once);
async fn a_container_that_starts_again_acts_at_once(stage: &Stage) {
    two_copies(stage).await;
    stage.kill().await;
    stage.daemon().await;
    stage
        .until("it has its own lease again", 2, async || {
            stage.leads().await.then_some(())
        })
        .await;
    stage.swap();
    assert!(!stage.leads().await);
    stage.swap();
}

// ---- what they share -------------------------------------------------------------------------------------------------

/// A guard with a proven state, a copy that leads, and one that follows.
async fn two_copies(stage: &Stage) {
    let legacy = json!([{"name": "WORKER_MODE", "value": "legacy"}]);
    stage.deploy("orders", legacy).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.second_daemon().await;
    stage.proven("orders").await;
    assert!(stage.leads().await);
}

async fn bad_release(stage: &Stage) {
    stage.set_env("orders", "WORKER_MODE", "celery").await;
}

async fn until_put_back(stage: &Stage) {
    stage
        .until("the template is back", 60, async || {
            (stage.env("orders", "WORKER_MODE").await == "legacy").then_some(())
        })
        .await;
}

/// One incident, one patch, and one intent and one receipt of each step.
async fn each_once(stage: &Stage) {
    assert_eq!(stage.template_patches("orders"), 1, "patched exactly once by both");
    assert_eq!(stage.target_writes(), 1);
    let mut all = stage.incidents().await;
    assert_eq!(all.len(), 1, "one case, one incident");
    let status = all.remove(0).status.unwrap();
    let journal: Vec<_> = status
        .journal
        .iter()
        .filter(|entry| entry.is_step())
        .map(|entry| (entry.seq, entry.intent.is_some(), entry.receipt.is_some()))
        .collect();
    let expected = [(1, true, false), (1, false, true), (2, true, false), (2, false, true)];
    assert_eq!(journal, expected, "{:?}", status.journal);
}
