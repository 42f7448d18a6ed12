//! People act too: what they fix is never undone, and what they left is never brought back.

use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::{
    stage::{Bad, Kill, Stage, state_of},
    story,
};

const BAD: Bad = Bad {
    error_share: Some(0.3),
    latency_ms: None,
    crash: None,
    ready: None,
    rps: None,
};

story!(a_slow_hot_fix);
async fn a_slow_hot_fix(stage: &Stage) {
    let b = b_waits_for_people(stage).await;

    hot_fix(stage).await;
    let c = stage.changed("orders", &b).await;
    the_hot_fix_stands(stage, &b, &c).await;
}

story!(a_slow_hot_fix_over_restarts);
async fn a_slow_hot_fix_over_restarts(stage: &Stage) {
    let b = b_waits_for_people(stage).await;

    stage.kill().await;
    hot_fix(stage).await;
    stage.wait(2).await;
    stage.daemon().await;
    let c = stage.changed("orders", &b).await;
    stage.kill().await;
    stage.wait(2).await;
    stage.daemon().await;
    the_hot_fix_stands(stage, &b, &c).await;
}

story!(a_hot_fix_over_a_killed_rollback);
async fn a_hot_fix_over_a_killed_rollback(stage: &Stage) {
    stage.deploy("orders", version("a")).await;
    let mut spec = soon(stage);
    spec["cooldown"] = json!("0s");
    stage.guard("orders", spec).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let a = stage.current("orders").await.unwrap().hash;
    stage.set_env("orders", "VERSION", "b").await;
    let b = stage.changed("orders", &a).await;
    stage.kill_at(Kill::Intended);
    stage.misbehave("orders", BAD);
    stage
        .until("the daemon is killed", 60, async || stage.killed().then_some(()))
        .await;

    // A person comes before the next start.
    hot_fix(stage).await;
    stage.daemon().await;
    let c = stage.changed("orders", &b).await;
    the_hot_fix_stands(stage, &b, &c).await;
}

/// B is proven, and turns bad when it is too old for modosu to act by itself. Gives B's hash.
async fn b_waits_for_people(stage: &Stage) -> String {
    stage.deploy("orders", version("a")).await;
    stage.guard("orders", soon(stage)).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let a = stage.current("orders").await.unwrap().hash;
    stage.set_env("orders", "VERSION", "b").await;
    let b = stage.changed("orders", &a).await;
    stage.proven("orders").await;
    let since = stage.current("orders").await.unwrap().since;
    stage
        .until("B is older than automaticFor", 40, async || {
            let now: Timestamp = stage.status().await?["now"].as_str()?.parse().ok()?;
            (now > since + 21.seconds()).then_some(())
        })
        .await;

    stage.misbehave("orders", BAD);
    let incident = stage.incident_in("AwaitingDecision", 40).await;
    let reason = incident.status.unwrap_or_default().reason;
    assert!(reason.contains("older than automaticFor"), "{reason}");
    assert_eq!(incident.spec.bad.hash, b);
    b
}

/// A guard that acts soon, and for a short time. It reads all pods of the namespace, whatever they are called.
fn soon(stage: &Stage) -> Value {
    json!({
        "metrics": {"match": {"namespace": stage.namespace}},
        "triggers": [{"name": "errors", "condition": "error_rate > 5%", "action": "automatic_rollback", "for": "2s"}],
        "automaticFor": "20s",
    })
}

/// C. Its pods are called otherwise, so that B's alone fail; and they take their time to be Ready.
async fn hot_fix(stage: &Stage) {
    let slow = Bad {
        ready: Some(false),
        ..Bad::default()
    };
    stage.misbehave("fixed", slow);
    stage
        .release("orders", version("c"), |template| {
            template["metadata"]["labels"]["app.kubernetes.io/name"] = json!("fixed");
        })
        .await;
}

async fn the_hot_fix_stands(stage: &Stage, b: &str, c: &str) {
    let untouched = async || stage.target_writes() == 0 && stage.env("orders", "VERSION").await == "c";
    stage
        .until("what B is remembered as", 20, async || {
            let first = stage.incidents().await.into_iter().next()?;
            (state_of(&first) == "Superseded").then_some(())
        })
        .await;
    assert!(stage.is_bad("orders", b).await, "left while an incident was open on it");

    // B's pods still serve, and their errors are all that there is to read.
    stage
        .until("an incident on C that waits for people", 30, async || {
            let all = stage.incidents().await;
            let on_c = all.into_iter().find(|incident| incident.spec.bad.hash == c)?;
            let reason = on_c.status.as_ref().map(|status| status.reason.clone())?;
            assert!(
                reason.contains("it was already so when the change came"),
                "it says why it does not act: {reason}"
            );
            (state_of(&on_c) == "AwaitingDecision").then_some(())
        })
        .await;
    stage.always("the hot fix is never undone", 8, untouched).await;
    assert_eq!(
        stage.shown("orders").await["reason"]
            .as_str()
            .map(|r| r.contains("already so")),
        Some(true)
    );

    stage.behave("fixed");
    stage.rolled_out("orders").await;
    stage
        .always("the hot fix is never undone, nor B restored", 8, untouched)
        .await;
    let status = stage.guard_now("orders").await.status.unwrap_or_default();
    assert!(
        status.restore_to.is_some_and(|to| to.hash != b),
        "a rollback would go to A, never to B"
    );
    assert_eq!(status.current.map(|current| current.hash).as_deref(), Some(c));
}

story!(a_person_goes_back);
async fn a_person_goes_back(stage: &Stage) {
    stage.deploy("orders", version("a")).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let a = stage.current("orders").await.unwrap().hash;
    stage.set_env("orders", "VERSION", "b").await;
    let b = stage.changed("orders", &a).await;
    stage.proven("orders").await;

    stage.set_env("orders", "VERSION", "a").await;
    assert_eq!(stage.changed("orders", &b).await, a);
    is_back_without_probation(stage, &b).await;

    // A turns bad, for a reason of its own. B was proven too, and would be a place to go.
    stage.misbehave("orders", BAD);
    let incident = stage.incident_in("AwaitingDecision", 60).await;
    let reason = incident.status.clone().unwrap_or_default().reason;
    assert!(reason.contains("it is not the change"), "{reason}");
    let name = incident.metadata.name.unwrap_or_default();
    // Not even a person who asks for a rollback gets B: it was left.
    stage.decide(&name, "rollback").await;
    stage
        .always("B is not brought back", 10, async || {
            stage.target_writes() == 0 && stage.env("orders", "VERSION").await == "a"
        })
        .await;
}

story!(a_person_is_faster);
async fn a_person_is_faster(stage: &Stage) {
    stage.deploy("orders", version("a")).await;
    stage.guard("orders", json!({"mode": "ask"})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let a = stage.current("orders").await.unwrap().hash;
    let worse = json!([{"name": "VERSION", "value": "b"}, {"name": "ERROR_SHARE", "value": "0.3"}]);
    stage.release("orders", worse, |_| {}).await;
    let b = stage.changed("orders", &a).await;
    stage.incident_in("AwaitingDecision", 60).await;

    stage.release("orders", version("a"), |_| {}).await;
    assert_eq!(stage.changed("orders", &b).await, a);
    let incident = stage.incident_in("RecoveredByHand", 20).await;
    assert!(incident.status.is_some_and(|status| status.recovered_at.is_some()));
    is_back_without_probation(stage, &b).await;
    assert_eq!(stage.target_writes(), 0, "nothing is left to do");
}

/// On A again: that is no change, and B is never to be restored.
async fn is_back_without_probation(stage: &Stage, b: &str) {
    let current = stage.current("orders").await.unwrap();
    assert!(current.proven, "A was proven before");
    assert!(!current.change, "going back is no change");
    assert!(stage.is_bad("orders", b).await, "what a person left is marked bad");
    let status = stage.guard_now("orders").await.status.unwrap_or_default();
    assert_eq!(status.restore_to, None, "there is nothing but B to go to");
    stage
        .until("no probation", 20, async || {
            (stage.shown("orders").await["state"] == "Steady").then_some(())
        })
        .await;
}

fn version(version: &str) -> Value {
    json!([{"name": "VERSION", "value": version}])
}
