//! Releases that never stand on their feet: some are put back at once, none is ever taken for proven.

use std::time::Duration;

use kube::api::{DynamicObject, ListParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    stage::{Bad, Stage, deployment},
    story,
    triggers::PLAN_A,
};

story!(a_crash_loop, alone);
async fn a_crash_loop(stage: &Stage) {
    // The old pods go on serving, and every signal looks healthy.
    crash_loop(stage, json!({}), json!({"type": "RollingUpdate"})).await;
}

story!(a_crash_loop_under_plan_a, alone);
async fn a_crash_loop_under_plan_a(stage: &Stage) {
    let plan_a: Value = serde_saphyr::from_str(PLAN_A).unwrap();
    // Nobody is left who serves: no request is made, no counter moves.
    crash_loop(stage, plan_a, json!({"type": "Recreate"})).await;
}

async fn crash_loop(stage: &Stage, spec: Value, strategy: Value) {
    let mut orders = deployment(&stage.namespace, "orders", json!([{"name": "VERSION", "value": "a"}]));
    orders["spec"]["strategy"] = strategy;
    stage.create("apps/v1", "Deployment", orders).await;
    stage.rolled_out("orders").await;
    stage.guard("orders", spec).await;
    stage.daemon().await;
    stage.proven("orders").await;

    let never_ready = json!([
        {"name": "VERSION", "value": "b"},
        {"name": "RPS", "value": "0"},
        {"name": "NEVER_READY", "value": "1"},
        {"name": "CRASH_AFTER_MS", "value": "300"},
    ]);
    stage.release("orders", never_ready, |_| {}).await;
    stage
        .until("its first crash", 40, async || {
            stage.pods("orders").await.iter().any(|pod| ends(pod) > 0).then_some(())
        })
        .await;
    let first_crash = Instant::now();
    stage
        .until("the template is back", 60, async || {
            (stage.env("orders", "VERSION").await == "a").then_some(())
        })
        .await;
    stage.rolled_out("orders").await;
    assert!(
        first_crash.elapsed() <= Duration::from_secs(60),
        "back within 60 s of its first crash, not {:?}",
        first_crash.elapsed()
    );
    let incident = stage.incident_in("Recovered", 60).await;
    let names: Vec<&str> = incident.spec.triggers.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, ["crash_looping"], "a hard fact, and nothing else");
    let sentence = &incident.spec.triggers[0].sentence;
    assert!(
        sentence.contains("ended 3 times") && sentence.contains("exit code 1"),
        "{sentence}"
    );
    assert_eq!(stage.template_patches("orders"), 1, "put back exactly once");
}

story!(crashes_of_old_pods_do_not_count);
async fn crashes_of_old_pods_do_not_count(stage: &Stage) {
    stage.deploy("orders", json!([{"name": "VERSION", "value": "a"}])).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let a = stage.current("orders").await.unwrap().hash;

    // The new pods are called otherwise, so that what is told to the old ones does not reach them.
    let next = json!([{"name": "VERSION", "value": "b"}, {"name": "NEVER_READY", "value": "1"}]);
    stage
        .release("orders", next, |template| {
            template["metadata"]["labels"]["app.kubernetes.io/name"] = json!("next");
        })
        .await;
    stage.changed("orders", &a).await;
    let crash = Bad {
        crash: Some(true),
        ..Bad::default()
    };
    stage.misbehave("orders", crash);
    stage
        .until("the old pod ended three times", 60, async || {
            stage
                .pods("orders")
                .await
                .iter()
                .any(|pod| ends(pod) >= 3)
                .then_some(())
        })
        .await;
    stage
        .always("the release is not blamed for it", 10, async || {
            stage.incidents().await.is_empty() && stage.target_writes() == 0
        })
        .await;
    assert_eq!(stage.env("orders", "VERSION").await, "b");
    let new = stage.pods("orders").await;
    assert!(
        new.iter().any(|pod| ends(pod) == 0),
        "the new pod is there, and did not crash"
    );
}

story!(an_image_that_cannot_be_pulled);
async fn an_image_that_cannot_be_pulled(stage: &Stage) {
    stage.deploy("orders", json!([{"name": "VERSION", "value": "a"}])).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let a = stage.current("orders").await.unwrap().hash;

    let env = json!([{"name": "VERSION", "value": "b"}]);
    stage
        .release("orders", env, |template| {
            template["spec"]["containers"][0]["image"] = json!("orders-does-not-exist:2.0.0");
        })
        .await;
    let b = stage.changed("orders", &a).await;
    is_never_proven(stage, &a, &b).await;
}

story!(a_paused_release);
async fn a_paused_release(stage: &Stage) {
    stage.deploy("orders", json!([{"name": "VERSION", "value": "a"}])).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let a = stage.current("orders").await.unwrap().hash;

    let pause = |paused: bool| json!({"spec": {"paused": paused}});
    stage.edit("apps/v1", "Deployment", "orders", pause(true)).await;
    stage.set_env("orders", "VERSION", "b").await;
    let b = stage.changed("orders", &a).await;
    is_never_proven(stage, &a, &b).await;

    stage.edit("apps/v1", "Deployment", "orders", pause(false)).await;
    stage.proven("orders").await;
    assert_eq!(
        stage.current("orders").await.unwrap().hash,
        b,
        "once it really runs, it can be proven"
    );
}

story!(a_paused_deployment_is_for_people);
async fn a_paused_deployment_is_for_people(stage: &Stage) {
    stage.deploy("orders", json!([{"name": "VERSION", "value": "a"}])).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let a = stage.current("orders").await.unwrap().hash;
    stage.set_env("orders", "VERSION", "b").await;
    stage.changed("orders", &a).await;
    stage.rolled_out("orders").await;
    let paused = json!({"spec": {"paused": true}});
    stage.edit("apps/v1", "Deployment", "orders", paused).await;

    let hurts = Bad {
        error_share: Some(0.5),
        ..Bad::default()
    };
    stage.misbehave("orders", hurts);
    // The template goes back, and people hear at once, not after a step's five minutes, that no pod follows.
    let stopped = stage.incident_in("Escalated", 60).await;
    let reason = stopped.status.unwrap().reason;
    assert!(
        reason.contains("waitReady: Deployment/orders: it is paused"),
        "{reason}"
    );
    assert_eq!(stage.env("orders", "VERSION").await, "a");
    stage.behave("orders");
    let resumed = json!({"spec": {"paused": false}});
    stage.edit("apps/v1", "Deployment", "orders", resumed).await;
    stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.template_patches("orders"), 1);
}

/// The old pods stay healthy for several `knownGoodAfter`: that says nothing about the release.
async fn is_never_proven(stage: &Stage, a: &str, b: &str) {
    stage
        .until("the old pods are healthy", 30, async || {
            stage.is_healthy("orders").await.then_some(())
        })
        .await;
    stage
        .always("it is not proven", 30, async || {
            let status = stage.guard_now("orders").await.status.unwrap_or_default();
            let current = status
                .current
                .is_some_and(|current| current.hash == b && !current.proven);
            let back = status.restore_to.is_some_and(|to| to.hash == a);
            current && back && kept(stage).await == [a]
        })
        .await;
    let reason = stage.reason("orders").await;
    assert!(stage.is_healthy("orders").await, "it was healthy to the end: {reason}");
    assert!(stage.incidents().await.is_empty());
    assert_eq!(stage.target_writes(), 0);
}

/// The hashes of the states that modosu keeps.
async fn kept(stage: &Stage) -> Vec<String> {
    let revisions = stage.api("apps/v1", "ControllerRevision");
    let all = revisions.list(&ListParams::default()).await.unwrap().items;
    let notes = all.into_iter().filter_map(|kept| kept.metadata.annotations);
    notes
        .filter_map(|notes| notes.get("modosu.dev/hash").cloned())
        .collect()
}

/// How often the pod's container has ended: restarted, or lying dead.
fn ends(pod: &DynamicObject) -> i64 {
    let status = &pod.data["status"]["containerStatuses"][0];
    let restarts = status["restartCount"].as_i64().unwrap_or(0);
    let (now, before) = (&status["state"], &status["lastState"]);
    let waits = now["waiting"].is_object() && before["terminated"].is_object();
    restarts + i64::from(now["terminated"].is_object() || waits)
}
