//! Whether tonight's rollback would be accepted: asked while nothing is wrong, and once more right before the first write.

use std::time::Duration;

use kube::api::ListParams;
use modosu_world::{Answer, Failure, Stage as When};
use serde_json::{Value, json};

use crate::{
    stage::{Stage, deployment},
    story,
};

/// The guard's condition `RollbackReady`: status, reason and message.
async fn ready(stage: &Stage, guard: &str) -> [String; 3] {
    let status = stage.guard_now(guard).await.status.unwrap_or_default();
    let found = status.conditions.into_iter().find(|one| one.type_ == "RollbackReady");
    found.map_or_else(Default::default, |one| [one.status, one.reason, one.message])
}

/// Waits for that status and reason. Gives the message.
async fn becomes(stage: &Stage, status: &str, reason: &str) -> String {
    let what = format!("RollbackReady={status}({reason})");
    stage
        .until(&what, 100, async || {
            let [now, because, message] = ready(stage, "orders").await;
            (now == status && because == reason).then_some(message)
        })
        .await
}

/// Notes of the guard's Events of that reason.
async fn events(stage: &Stage, reason: &str) -> Vec<String> {
    let all = stage
        .api("events.k8s.io/v1", "Event")
        .list(&ListParams::default())
        .await;
    let of_guard = |event: &Value| event["reason"] == reason && event["regarding"]["kind"] == "Guard";
    let all = all.unwrap().items.into_iter().map(|event| event.data).filter(of_guard);
    all.map(|event| event["note"].as_str().unwrap_or_default().to_owned())
        .collect()
}

async fn proven(stage: &Stage, env: Value, spec: Value) {
    stage.deploy("orders", env).await;
    stage.guard("orders", spec).await;
    stage.daemon().await;
    stage.proven("orders").await;
}

story!(a_policy_that_refuses_the_way_back_is_known_beforehand);
async fn a_policy_that_refuses_the_way_back_is_known_beforehand(stage: &Stage) {
    proven(stage, json!([{"name": "VERSION", "value": "a"}]), json!({})).await;
    let message = becomes(stage, "True", "DryRunAccepted").await;
    assert!(message.contains("what runs now over itself"), "{message}");
    let a = stage.current("orders").await.unwrap().hash;

    stage.set_env("orders", "VERSION", "b").await;
    stage.changed("orders", &a).await;
    stage
        .until("the way back is tried", 30, async || {
            let [status, _, message] = ready(stage, "orders").await;
            (status == "True" && message.contains(&format!("putting back {a} (orders:1.0.0)"))).then_some(())
        })
        .await;
    stage.forbid("VERSION", "a").await;
    // The next release: from here the way back leads to `a` still, or to `b` once that is proven.
    let b = stage.current("orders").await.unwrap().hash;
    stage.set_env("orders", "VERSION", "c").await;
    stage.changed("orders", &b).await;
    let message = becomes(stage, "False", "Refused").await;
    let policy = format!("ValidatingAdmissionPolicy '{}'", stage.namespace);
    for part in ["Deployment/orders: ", &policy, "VERSION=a is retired"] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    stage
        .until("people are told", 20, async || {
            let told = events(stage, "RollbackNotReady").await;
            told.iter()
                .any(|note| note.contains("VERSION=a is retired"))
                .then_some(())
        })
        .await;
    for path in ["/status".to_owned(), format!("/guards/{}/orders", stage.namespace)] {
        stage
            .until(&format!("it stands on {path}"), 10, async || {
                stage.page(&path).await.contains("VERSION=a is retired").then_some(())
            })
            .await;
    }
    let shown = stage.shown("orders").await["conditions"].to_string();
    assert!(
        shown.contains("RollbackReady") && shown.contains("is retired"),
        "{shown}"
    );

    stage.allow("VERSION", "a").await;
    becomes(stage, "True", "DryRunAccepted").await;
    stage
        .until("people are told that it is over", 20, async || {
            (!events(stage, "RollbackReady").await.is_empty()).then_some(())
        })
        .await;
    assert_eq!(stage.target_writes(), 0, "nothing was written");
    assert_eq!(stage.env("orders", "VERSION").await, "c");
}

story!(what_a_later_policy_refuses_is_not_begun);
async fn what_a_later_policy_refuses_is_not_begun(stage: &Stage) {
    proven(stage, json!([{"name": "WORKER_MODE", "value": "legacy"}]), json!({})).await;
    let legacy = stage.current("orders").await.unwrap().hash;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage.changed("orders", &legacy).await;
    stage.forbid("WORKER_MODE", "legacy").await;

    let incident = stage.incident_in("Escalated", 60).await;
    let status = incident.status.unwrap();
    for part in [
        "nothing was written",
        "Deployment/orders: ",
        "WORKER_MODE=legacy is retired",
    ] {
        assert!(status.reason.contains(part), "{part} is missing in: {}", status.reason);
    }
    let journal: Vec<_> = status
        .journal
        .iter()
        .map(|entry| entry.note.as_deref().unwrap_or_default())
        .collect();
    assert!(
        status.journal.iter().all(|entry| !entry.is_step()),
        "no step was begun: {journal:?}"
    );
    let told = journal
        .iter()
        .any(|note| note.starts_with("dry run: ") && note.contains("is retired"));
    assert!(told, "the server's words are in the journal: {journal:?}");
    stage
        .always("nothing is written", 5, async || {
            stage.env("orders", "WORKER_MODE").await == "celery" && stage.asked().iter().all(|one| one.dry_run)
        })
        .await;

    stage.allow("WORKER_MODE", "legacy").await;
    stage.decide(&incident.metadata.name.unwrap(), "rollback").await;
    stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
}

story!(the_whole_plan_is_dry_run_before_its_first_write);
async fn the_whole_plan_is_dry_run_before_its_first_write(stage: &Stage) {
    let mut orders = deployment(
        &stage.namespace,
        "orders",
        json!([{"name": "WORKER_MODE", "value": "legacy"}]),
    );
    orders["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
        json!([{"configMapRef": {"name": "settings", "optional": true}}]);
    stage.config("settings", json!({"GREETING": "hello"})).await;
    stage.create("apps/v1", "Deployment", orders).await;
    stage.rolled_out("orders").await;
    // The second write of the Deployment builds on the first one.
    let steps = json!([
        {"restore": {}},
        {"setEnv": {"target": "Deployment/orders", "env": {"NOTE": "put back"}}},
        {"waitReady": {}},
    ]);
    stage.guard("orders", json!({"rollback": {"steps": steps}})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let settings = stage.api("v1", "ConfigMap");
    settings.delete("settings", &Default::default()).await.unwrap();
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage.incident_in("Recovered", 120).await;

    let asked = stage.asked();
    let first = asked.iter().position(|one| !one.dry_run).unwrap();
    let line = |one: &crate::stage::Written| format!("{} {} {}", one.verb, one.resource, one.code);
    let written: Vec<_> = asked[first..].iter().filter(|one| !one.dry_run).map(line).collect();
    assert_eq!(
        written,
        [
            "create configmaps 201",
            "patch deployments 200",
            "patch deployments 200"
        ]
    );
    let tried: Vec<_> = asked[first - 3..first].iter().map(line).collect();
    assert_eq!(tried, written, "the same writes in the same order, as a dry run");
    assert_eq!(asked[first - 3].body, asked[first].body);
    assert_eq!(asked[first - 2].body, asked[first + 1].body);
    // The later write's goal, with a test on what was there before the first.
    let of = |one: &crate::stage::Written, op: &str| {
        let all = one.body.as_array().unwrap();
        let found = all
            .iter()
            .find(|one| one["op"] == op && one["path"] == "/spec/template");
        found.unwrap()["value"].clone()
    };
    assert_eq!(of(&asked[first - 1], "test"), of(&asked[first - 2], "test"));
    assert_eq!(of(&asked[first - 1], "replace"), of(&asked[first + 2], "replace"));
}

story!(pods_that_would_not_be_replaced_are_known_beforehand);
async fn pods_that_would_not_be_replaced_are_known_beforehand(stage: &Stage) {
    let mut orders = deployment(&stage.namespace, "orders", json!([]));
    orders["spec"]["serviceName"] = json!("orders");
    orders["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    stage.create("apps/v1", "StatefulSet", orders).await;
    let targets = json!([{"kind": "StatefulSet", "name": "orders"}]);
    stage.guard("orders", json!({"targets": targets})).await;
    stage.daemon().await;
    let message = becomes(stage, "False", "PodsNotReplaced").await;
    assert!(
        message.contains("StatefulSet/orders") && message.contains("OnDelete"),
        "{message}"
    );
    let strategy = json!({"spec": {"updateStrategy": {"type": "RollingUpdate"}}});
    stage.edit("apps/v1", "StatefulSet", "orders", strategy).await;
    becomes(stage, "True", "DryRunAccepted").await;
}

/// Who may do what is asked of real servers alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_are_missing_are_known_beforehand() {
    let stage = Stage::real_limited("rights_that_are_missing_are_known_beforehand").await;
    let shipped = include_str!("../../deploy/base/role.yaml");
    let role = shipped
        .split("\n---\n")
        .find(|part| part.contains("kind: ClusterRole\n"))
        .unwrap();
    let role: Value = serde_saphyr::from_str(role).unwrap();
    let mut rules = role["rules"].clone();
    for rule in rules.as_array_mut().unwrap() {
        let verbs = rule["resources"]
            .to_string()
            .contains("deployments")
            .then(|| rule["verbs"].as_array_mut());
        if let Some(Some(verbs)) = verbs {
            verbs.retain(|verb| verb != "patch");
        }
    }
    stage.rights(&rules).await;
    proven(&stage, json!([{"name": "WORKER_MODE", "value": "legacy"}]), json!({})).await;
    let message = becomes(&stage, "False", "Forbidden").await;
    assert!(message.contains("cannot patch resource \"deployments\""), "{message}");

    // What is shipped is enough, for the dry run and for the night.
    stage.rights(&role["rules"]).await;
    becomes(&stage, "True", "DryRunAccepted").await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
    stage.end().await;
}

/// Minutes of thirty guards: time for the embedded world alone.
#[tokio::test(start_paused = true)]
async fn rehearsals_write_nothing_and_are_ten_a_minute_at_most() {
    let stage = Stage::embedded("rehearsals_write_nothing").await;
    let names: Vec<String> = (0..30).map(|number| format!("orders-{number}")).collect();
    for name in &names {
        let orders = deployment(&stage.namespace, name, json!([{"name": "VERSION", "value": "a"}]));
        stage.create("apps/v1", "Deployment", orders).await;
        stage.guard(name, json!({})).await;
    }
    for name in &names {
        stage.rolled_out(name).await;
    }
    stage.daemon().await;
    for name in &names {
        stage.proven(name).await;
    }
    let objects = || {
        let all = stage.world().objects("apps", "deployments", &stage.namespace);
        all.into_iter()
            .map(|object| object["metadata"].clone())
            .collect::<Vec<_>>()
    };
    let before = objects();
    stage.wait(6 * 60).await;
    assert_eq!(objects(), before, "no version moved");
    assert_eq!(stage.target_writes(), 0);

    let asked = stage.world().writes();
    let asked: Vec<_> = asked
        .iter()
        .filter(|one| one.user.starts_with("modosu") && one.resource == "deployments")
        .collect();
    assert!(asked.iter().all(|one| one.dry_run && one.code == 200));
    for name in &names {
        assert!(asked.iter().any(|one| one.name == *name), "{name} had its turn");
        assert_eq!(ready(&stage, name).await[0], "True", "{name}");
    }
    let most = asked.iter().map(|first| {
        let within = |one: &&&modosu_world::Write| {
            one.at >= first.at && one.at.duration_since(first.at).unsigned_abs() < Duration::from_secs(60)
        };
        asked.iter().filter(within).count()
    });
    let most = most.max().unwrap();
    assert!((5..=10).contains(&most), "{most} within a minute");
}

/// A webhook is no part of either stage's API server: its answer is told to modosu by hand.
#[tokio::test(start_paused = true)]
async fn a_webhook_that_cannot_be_asked_does_not_stop_a_rollback() {
    let stage = Stage::embedded("a_webhook_that_cannot_be_asked").await;
    proven(&stage, json!([{"name": "WORKER_MODE", "value": "legacy"}]), json!({})).await;
    answers(
        &stage,
        400,
        "BadRequest",
        "admission webhook \"w.example.org\" does not support dry run",
    );
    let message = becomes(&stage, "Unknown", "DryRunUnsupported").await;
    assert!(message.contains("w.example.org"), "{message}");
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.template_patches("orders"), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_clear_answer_to_the_dry_run_nothing_is_written_yet() {
    let stage = Stage::embedded("without_a_clear_answer").await;
    proven(&stage, json!([{"name": "WORKER_MODE", "value": "legacy"}]), json!({})).await;
    answers(&stage, 503, "ServiceUnavailable", "come back later");
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage.incident_in("RollingBack", 60).await;
    stage
        .always("it waits", 20, async || {
            stage.target_writes() == 0 && !stage.incidents().await.is_empty()
        })
        .await;
    stage.world().no_hooks();
    stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.template_patches("orders"), 1);
}

/// Every dry run of a Deployment is answered so.
fn answers(stage: &Stage, code: u16, reason: &'static str, words: &'static str) {
    stage.world().on_request(move |call| {
        if call.dry_run && call.resource == "deployments" && call.stage == When::Before {
            Answer::Fail(Failure::new(code, reason, words))
        } else {
            Answer::GoOn
        }
    });
}
