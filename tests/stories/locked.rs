//! The retry lock: what was put back may not return at once.

use modosu::model::guard::Action;
use serde_json::json;

use crate::{
    frozen::guarded,
    kills::before_the_first_intent,
    stage::{Stage, state_of},
    story,
};

/// How many incidents ended like that.
async fn ended(stage: &Stage, state: &str) -> usize {
    stage
        .incidents()
        .await
        .iter()
        .filter(|one| state_of(one) == state)
        .count()
}

story!(what_returns_is_put_back_once_more_then_people_decide);
async fn what_returns_is_put_back_once_more_then_people_decide(stage: &Stage) {
    guarded(stage, json!({})).await;
    let good = stage.current("orders").await.unwrap().hash;

    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let bad = stage.incident_in("Recovered", 120).await.spec.bad.hash;
    assert_eq!(stage.current("orders").await.unwrap().hash, good);

    // Somebody's pipeline tries again. It is put back before it hurts.
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage
        .until("it is put back once more", 120, async || {
            (ended(stage, "Recovered").await == 2).then_some(())
        })
        .await;
    let incidents = stage.incidents().await;
    let again = incidents
        .iter()
        .find(|one| one.spec.triggers[0].name == "retry_lock")
        .unwrap();
    assert_eq!(again.spec.action, Action::AutomaticRollback);
    assert!(again.spec.summary.contains("modosu allow"), "{}", again.spec.summary);
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
    assert_eq!(stage.template_patches("orders"), 2);

    // The third time people decide; one of them allows it.
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let asked = stage.incident_in("AwaitingDecision", 60).await;
    assert_eq!(asked.spec.bad.hash, bad);
    stage
        .always("it is left to people", 10, async || {
            stage.template_patches("orders") == 2
        })
        .await;
    let allow = json!({"metadata": {"annotations": {"modosu.dev/allow": bad}}});
    stage.edit("modosu.dev/v1alpha1", "Guard", "orders", allow).await;
    stage
        .until("it is allowed, and the annotation is down", 30, async || {
            let guard = stage.guard_now("orders").await;
            let down = !guard
                .metadata
                .annotations
                .unwrap_or_default()
                .contains_key("modosu.dev/allow");
            (down && !stage.is_bad("orders", &bad).await).then_some(())
        })
        .await;
}

/// A bad release with two settings, which goes back.
async fn two_settings_go_back(stage: &Stage, spec: serde_json::Value) -> modosu::model::incident::Incident {
    guarded(stage, spec).await;
    let bad = json!([{"name": "WORKER_MODE", "value": "celery"}, {"name": "LIMIT", "value": "9"}]);
    stage.release("orders", bad, |_| ()).await;
    stage.incident_in("Recovered", 120).await
}

/// The fix keeps one of them.
async fn one_returns(stage: &Stage) {
    let fix = json!([{"name": "WORKER_MODE", "value": "legacy"}, {"name": "LIMIT", "value": "9"}]);
    stage.release("orders", fix, |_| ()).await;
}

story!(what_returns_is_put_back_over_a_crash);
async fn what_returns_is_put_back_over_a_crash(stage: &Stage) {
    guarded(stage, json!({})).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage.incident_in("Recovered", 120).await;

    stage.kill_on(&before_the_first_intent());
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage
        .until("the daemon is killed", 60, async || stage.killed().then_some(()))
        .await;
    stage.daemon().await;
    stage
        .until("it is put back once more", 120, async || {
            (ended(stage, "Recovered").await == 2).then_some(())
        })
        .await;
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
    assert_eq!(stage.template_patches("orders"), 2);
}

story!(where_a_fix_keeps_the_rest_people_are_asked);
async fn where_a_fix_keeps_the_rest_people_are_asked(stage: &Stage) {
    let before = two_settings_go_back(stage, json!({})).await;
    let writes = stage.template_patches("orders");
    one_returns(stage).await;
    let asked = stage.incident_in("AwaitingDecision", 60).await;
    let summary = &asked.spec.summary;
    assert!(summary.contains("env LIMIT=9 of Deployment/orders"), "{summary}");
    assert!(!summary.contains("WORKER_MODE"), "{summary}");
    let command = format!(
        "`modosu allow {}/orders {} --reason …`",
        stage.namespace, before.spec.bad.hash
    );
    assert!(summary.contains(&command), "{summary}");
    let first = before.metadata.name.unwrap();
    assert_eq!(asked.status.unwrap().return_of.as_ref(), Some(&first));
    let name = asked.metadata.name.unwrap();
    let page = stage.page(&format!("/incidents/{}/{name}", stage.namespace)).await;
    let link = format!("/incidents/{}/{first}\"", stage.namespace);
    assert!(page.contains(&link), "{page}");
    stage
        .always("it is left to people", 10, async || {
            stage.template_patches("orders") == writes
        })
        .await;

    // A person lets it run: it is judged, and proven, like any change.
    stage.decide(&name, "keep").await;
    stage.incident_in("Kept", 30).await;
}

story!(a_named_setting_that_returns_alone_is_put_back);
async fn a_named_setting_that_returns_alone_is_put_back(stage: &Stage) {
    two_settings_go_back(stage, json!({"retryLock": {"fields": ["env LIMIT=9"]}})).await;
    one_returns(stage).await;
    stage
        .until("it is put back before it hurts", 120, async || {
            (ended(stage, "Recovered").await == 2).then_some(())
        })
        .await;
    assert_eq!(stage.env("orders", "LIMIT").await, "");
    assert_eq!(stage.template_patches("orders"), 2);
}
