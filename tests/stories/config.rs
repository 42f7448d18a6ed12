//! ConfigMaps that hurt: their data comes back, and the pods that read it really start with it.

use kube::api::{DeleteParams, DynamicObject};
use modosu::model::incident::Incident;
use serde_json::{Value, json};

use crate::{
    stage::{
        Stage, deployment,
        line::{Point, Side},
        written_at,
    },
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

story!(a_config_map_with_a_hashed_name_that_is_gone_comes_again);
async fn a_config_map_with_a_hashed_name_that_is_gone_comes_again(stage: &Stage) {
    let config = |name: &str, share: &str| json!({"metadata": {"name": name}, "immutable": true, "data": {"ERROR_SHARE": share}});
    let reads = |name: &str| json!([{"configMapRef": {"name": name}}]);
    stage.create("v1", "ConfigMap", config("settings-abc", "0")).await;
    let mut orders = deployment(&stage.namespace, "orders", json!([]));
    orders["spec"]["template"]["spec"]["containers"][0]["envFrom"] = reads("settings-abc");
    stage.create("apps/v1", "Deployment", orders).await;
    stage.rolled_out("orders").await;
    // Followed, not named.
    stage.guard("orders", json!({"metrics": {"window": "3s"}})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let proven = current(stage).await;

    stage.create("v1", "ConfigMap", config("settings-def", "0.4")).await;
    let hashed = |template: &mut Value| template["spec"]["containers"][0]["envFrom"] = reads("settings-def");
    stage.release("orders", json!([]), hashed).await;
    let configs = stage.api("v1", "ConfigMap");
    configs.delete("settings-abc", &Default::default()).await.unwrap();
    let incident = stage.incident_in("Recovered", 90).await;

    let again = configs.get("settings-abc").await.unwrap();
    assert_eq!(again.data, json!({"immutable": true, "data": {"ERROR_SHARE": "0"}}));
    let template = stage.deployment("orders").await.data["spec"]["template"].take();
    assert_eq!(template["spec"]["containers"][0]["envFrom"], reads("settings-abc"));
    assert_eq!(written(stage), ["configmaps/settings-abc", "deployments/orders"]);
    assert_eq!(current(stage).await.0, proven.0, "the proven state runs again");
    let left = incident.status.unwrap().not_restored;
    assert_eq!(
        left,
        ["ConfigMap/settings-def is no part of the proven state and stays as it is"]
    );
    assert_eq!(stage.config_data("settings-def").await, json!({"ERROR_SHARE": "0.4"}));
}

story!(a_config_map_that_others_use_is_named_and_left_alone);
async fn a_config_map_that_others_use_is_named_and_left_alone(stage: &Stage) {
    let env = json!([{"name": "WORKER_MODE", "value": "legacy"}]);
    for (config, share) in [("common", "0"), ("taken", "0")] {
        stage.config(config, json!({"CELERY_ERROR_SHARE": share})).await;
    }
    let reads = |name: &str, configs: [&str; 2]| {
        let mut object = deployment(&stage.namespace, name, env.clone());
        let from = configs.map(|config| json!({"configMapRef": {"name": config}}));
        object["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!(from);
        object
    };
    stage
        .create("apps/v1", "Deployment", reads("orders", ["taken", "common"]))
        .await;
    stage
        .create("apps/v1", "Deployment", reads("billing", ["common", "common"]))
        .await;
    stage.rolled_out("orders").await;
    stage.guard("orders", json!({"metrics": {"window": "3s"}})).await;
    stage.daemon().await;
    stage.proven("orders").await;

    // From now on billing uses the other one, too, and the release does not.
    let template = reads("billing", ["taken", "common"])["spec"]["template"].take();
    stage
        .edit(
            "apps/v1",
            "Deployment",
            "billing",
            json!({"spec": {"template": template}}),
        )
        .await;
    stage.rolled_out("billing").await;
    let shared = json!({"CELERY_ERROR_SHARE": "0.4"});
    for config in ["common", "taken"] {
        stage.edit("v1", "ConfigMap", config, json!({"data": shared})).await;
    }
    let bad = json!([{"name": "WORKER_MODE", "value": "celery"}]);
    let reads = |template: &mut Value| {
        template["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "common"}}]);
    };
    stage.release("orders", bad, reads).await;
    let incident = stage.incident_in("Recovered", 90).await;

    let mut left = incident.status.unwrap().not_restored;
    left.sort();
    assert_eq!(
        left,
        ["common", "taken"].map(|name| format!("ConfigMap/{name}, shared with billing, left alone"))
    );
    assert_eq!(written(stage), ["deployments/orders"]);
    assert_eq!(stage.config_data("common").await, shared);
}

story!(who_else_reads_settings_makes_no_release);
async fn who_else_reads_settings_makes_no_release(stage: &Stage) {
    deploy_with_settings(stage, "legacy", &json!({"ERROR_SHARE": "0"})).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let proven = current(stage).await;
    let same = async || {
        let now = stage.current("orders").await;
        now.is_some_and(|now| (now.hash, now.since) == proven && now.proven) && stage.incidents().await.is_empty()
    };

    let mut billing = deployment(&stage.namespace, "billing", json!([]));
    billing["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    stage.create("apps/v1", "Deployment", billing).await;
    stage.rolled_out("billing").await;
    stage.always("somebody who comes is no release", 5, same).await;
    let deployments = stage.api("apps/v1", "Deployment");
    deployments
        .delete("billing", &DeleteParams::background())
        .await
        .unwrap();
    stage.always("nor is somebody who goes", 5, same).await;

    // What they hold is.
    let other = json!({"data": {"ERROR_SHARE": "0.001"}});
    stage.edit("v1", "ConfigMap", "settings", other).await;
    stage.changed("orders", &proven.0).await;
}

story!(a_fix_that_reads_another_hashed_config_map_is_told_of_right);
async fn a_fix_that_reads_another_hashed_config_map_is_told_of_right(stage: &Stage) {
    let config = |name: &str, share: &str| json!({"metadata": {"name": name}, "immutable": true, "data": {"ERROR_SHARE": share}});
    let reads = |name: &str| json!([{"configMapRef": {"name": name}}]);
    stage.create("v1", "ConfigMap", config("settings-abc", "0")).await;
    let mut orders = deployment(&stage.namespace, "orders", json!([]));
    orders["spec"]["template"]["spec"]["containers"][0]["envFrom"] = reads("settings-abc");
    stage.create("apps/v1", "Deployment", orders).await;
    stage.rolled_out("orders").await;
    stage.guard("orders", json!({"metrics": {"window": "3s"}})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let proven = current(stage).await.0;

    stage.kill_on(&Point {
        request: "patch incidents status RollingBack 2 intent".to_owned(),
        nth: 1,
        side: Side::After,
    });
    stage.create("v1", "ConfigMap", config("settings-def", "0.4")).await;
    let bad = |template: &mut Value| template["spec"]["containers"][0]["envFrom"] = reads("settings-def");
    stage.release("orders", json!([]), bad).await;
    let configs = stage.api("v1", "ConfigMap");
    configs.delete("settings-abc", &DeleteParams::default()).await.unwrap();
    let killed = async || stage.killed().then_some(());
    stage.until("the daemon is killed", 90, killed).await;

    stage.create("v1", "ConfigMap", config("settings-ghi", "0")).await;
    let fix = |template: &mut Value| template["spec"]["containers"][0]["envFrom"] = reads("settings-ghi");
    stage.release("orders", json!([]), fix).await;
    stage.daemon().await;
    let over = stage.incident_in("Superseded", 60).await;
    let stands = over.status.unwrap().stands;
    let told: Vec<_> = stands
        .iter()
        .map(|one| format!("{} {}", one.target, one.words))
        .collect();
    assert_eq!(
        told,
        [
            format!("ConfigMap/settings-abc back at {proven}, and the newer rollout does not read it; to remove it"),
            format!("Deployment/orders carries the newer rollout; to put it back to {proven} too"),
        ]
    );
    assert!(
        stands[0].command.ends_with("delete configmap/settings-abc"),
        "{stands:?}"
    );
}

/// The orders service, which reads the ConfigMap `settings` when it starts.
pub async fn deploy_with_settings(stage: &Stage, mode: &str, settings: &Value) {
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
pub fn written(stage: &Stage) -> Vec<String> {
    let writes = stage.writes();
    let targets = writes
        .iter()
        .filter(|write| ["deployments", "configmaps"].contains(&write.resource.as_str()));
    targets
        .map(|write| format!("{}/{}", write.resource, write.name))
        .collect()
}
