//! ConfigMaps that hurt: their data comes back, and the pods that read it really start with it.

use kube::api::DynamicObject;
use modosu::model::incident::Incident;
use serde_json::{Value, json};

use crate::{
    stage::{Stage, deployment, written_at},
    story,
};

story!(bad_config_alone);
async fn bad_config_alone(stage: &Stage) {
    let good = json!({"ERROR_SHARE": "0", "GREETING": "hello"});
    deploy_with_settings(stage, "legacy", &good).await;
    // A short window, so that what the old pods answered on their way out is soon out of sight.
    stage.guard("orders", json!({"metrics": {"window": "3s"}})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let proven = current(stage).await;

    stage.restart("orders").await;
    stage.rolled_out("orders").await;
    assert_eq!(current(stage).await, proven, "a restart alone is no other state");

    stage
        .edit("v1", "ConfigMap", "settings", json!({"data": {"ERROR_SHARE": "0.4"}}))
        .await;
    let bad = stage
        .until("the edit is seen as a change", 20, async || {
            Some(current(stage).await).filter(|now| *now != proven)
        })
        .await;
    stage.wait(2).await;
    assert!(
        stage.incidents().await.is_empty(),
        "pods read their settings at the start: nothing hurts yet"
    );
    stage.restart("orders").await;
    let incident = stage.incident_in("Recovered", 90).await;

    assert_eq!(incident.spec.bad.hash, bad.0, "it is the ConfigMap's change that hurts");
    assert_eq!(
        incident.spec.bad.since.map(|since| since.as_millisecond()),
        Some(bad.1.as_millisecond()),
        "the restart did not make it a newer one"
    );
    assert_eq!(stage.config_data("settings").await, good, "the data is back");
    restarted_with_settings(stage, &incident).await;
    assert_eq!(written(stage), ["configmaps/settings", "deployments/orders"]);
    assert_eq!(current(stage).await.0, proven.0, "the proven state runs again");
    assert_eq!(stage.incidents().await.len(), 1);
}

story!(template_and_config_together);
async fn template_and_config_together(stage: &Stage) {
    // Neither half hurts alone: legacy does not look at the share, and celery with this one is healthy.
    let good = json!({"CELERY_ERROR_SHARE": "0", "GREETING": "hello"});
    deploy_with_settings(stage, "legacy", &good).await;
    // A short window, so that what the old pods answered on their way out is soon out of sight.
    stage.guard("orders", json!({"metrics": {"window": "3s"}})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let proven = current(stage).await;

    let release = json!({"data": {"CELERY_ERROR_SHARE": "0.4"}});
    stage.edit("v1", "ConfigMap", "settings", release).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("Recovered", 90).await;

    assert_eq!(stage.config_data("settings").await, good, "the data is back");
    assert_eq!(
        stage.env("orders", "WORKER_MODE").await,
        "legacy",
        "the template is back"
    );
    restarted_with_settings(stage, &incident).await;
    assert_eq!(written(stage), ["configmaps/settings", "deployments/orders"]);
    assert_eq!(current(stage).await.0, proven.0, "the proven state runs again");
}

/// The orders service, which reads the ConfigMap `settings` when it starts.
async fn deploy_with_settings(stage: &Stage, mode: &str, settings: &Value) {
    stage.config("settings", settings.clone()).await;
    let env = json!([{"name": "WORKER_MODE", "value": mode}]);
    let mut orders = deployment(&stage.namespace, "orders", env);
    orders["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    stage.create("apps/v1", "Deployment", orders).await;
    stage.rolled_out("orders").await;
}

/// Hash of the guard's current state, and since when it runs.
async fn current(stage: &Stage) -> (String, jiff::Timestamp) {
    let status = stage.guard_now("orders").await.status.unwrap();
    let current = status.current.unwrap();
    (current.hash, current.since)
}

/// Every pod started after the data was back, and none fails requests.
async fn restarted_with_settings(stage: &Stage, incident: &Incident) {
    let restored = written_at(incident, "ConfigMap/settings");
    let restarted = written_at(incident, "Deployment/orders");
    assert!(restored <= restarted, "settings first, then the pods that read them");
    let pods = stage.pods("orders").await;
    assert!(!pods.is_empty(), "pods run");
    for pod in &pods {
        let made = created(pod);
        assert!(
            made.as_second() >= restored.as_second(),
            "the pod of {made} is younger than the data of {restored}"
        );
    }
    stage
        .until(
            "the pods carry the good value: no request fails any more",
            15,
            async || stage.signal("orders", "error_rate").await.filter(|share| *share == 0.0),
        )
        .await;
}

fn created(pod: &DynamicObject) -> jiff::Timestamp {
    pod.metadata.creation_timestamp.clone().unwrap().0
}

/// modosu's writes to what it guards, in their order.
fn written(stage: &Stage) -> Vec<String> {
    let writes = stage.writes();
    let targets = writes
        .iter()
        .filter(|write| ["deployments", "configmaps"].contains(&write.resource.as_str()));
    targets
        .map(|write| format!("{}/{}", write.resource, write.name))
        .collect()
}
