//! Rollouts on the embedded world: what the controllers and the node make of a Deployment.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::api::{Api, Patch, PatchParams};
use modosu_world::{World, WorldOptions};
use serde_json::{Value, json};

fn world() -> World {
    World::start(WorldOptions {
        scrape_interval: Duration::from_secs(1),
        ..WorldOptions::default()
    })
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn orders(world: &World) -> Value {
    world
        .object("apps", "deployments", "shop", "orders")
        .expect("the deployment exists")
}

fn condition(object: &Value, name: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array().expect("conditions");
    conditions
        .iter()
        .find(|one| one["type"] == name)
        .cloned()
        .unwrap_or_default()
}

async fn patch(world: &World, patch: Value) {
    let api: Api<Deployment> = Api::namespaced(world.client("ann"), "shop");
    let patch = Patch::Strategic(patch);
    api.patch("orders", &PatchParams::apply("ann"), &patch)
        .await
        .expect("patched");
}

fn with_env(name: &str, value: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [
        {"name": "orders", "env": [{"name": name, "value": value}]},
    ]}}}})
}

#[tokio::test(start_paused = true)]
async fn a_new_deployment_becomes_available() {
    let world = world();
    world
        .create_deployment("shop", "orders", &[], &json!({"spec": {"replicas": 3}}))
        .expect("created");
    seconds(10).await;
    let found = orders(&world);
    assert_eq!(found["metadata"]["generation"], 1);
    assert_eq!(
        found["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "1"
    );
    let status = &found["status"];
    for name in ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
        assert_eq!(status[name], 3, "{name} of {status}");
    }
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(condition(&found, "Progressing")["reason"], "NewReplicaSetAvailable");
    assert_eq!(condition(&found, "Available")["status"], "True");
    let pods = world.objects("", "pods", "shop");
    assert!(pods.iter().all(|pod| pod["status"]["phase"] == "Running"));
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_never_goes_below_what_it_may_and_reuses_old_sets() {
    let world = world();
    world
        .create_deployment("shop", "orders", &[], &json!({"spec": {"replicas": 3}}))
        .expect("created");
    seconds(10).await;
    patch(&world, with_env("WORKER_MODE", "celery")).await;
    let mut least = i64::MAX;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        least = least.min(orders(&world)["status"]["availableReplicas"].as_i64().unwrap_or(0));
    }
    assert_eq!(least, 3, "25 % of three pods rounds down to none");
    let found = orders(&world);
    assert_eq!(
        found["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "2"
    );
    assert_eq!(found["status"]["updatedReplicas"], 3);
    assert_eq!(found["status"]["replicas"], 3);
    assert_eq!(world.objects("apps", "replicasets", "shop").len(), 2);

    let back = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "orders", "env": [{"name": "WORKER_MODE", "$patch": "delete"}]},
    ]}}}});
    patch(&world, back).await;
    seconds(20).await;
    assert_eq!(
        world.objects("apps", "replicasets", "shop").len(),
        2,
        "the old set is used again"
    );
    let found = orders(&world);
    assert_eq!(
        found["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "3"
    );
    assert_eq!(found["status"]["updatedReplicas"], 3);
}

#[tokio::test(start_paused = true)]
async fn recreate_ends_the_old_pods_before_the_new_ones_start() {
    let world = world();
    let recreate = json!({"spec": {"replicas": 2, "strategy": {"type": "Recreate", "rollingUpdate": null}}});
    world
        .create_deployment("shop", "orders", &[], &recreate)
        .expect("created");
    seconds(10).await;
    patch(&world, with_env("WORKER_MODE", "celery")).await;
    for _ in 0..100 {
        let hashes: std::collections::BTreeSet<String> = world
            .objects("", "pods", "shop")
            .iter()
            .map(|pod| pod["metadata"]["labels"]["pod-template-hash"].to_string())
            .collect();
        assert!(hashes.len() <= 1, "old and new pods at the same time: {hashes:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let status = &orders(&world)["status"];
    assert_eq!(status["updatedReplicas"], 2, "{status}");
    assert_eq!(status["availableReplicas"], 2, "{status}");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_pulled_exceeds_the_deadline_and_keeps_the_old_pods() {
    let world = world();
    let extra = json!({"spec": {"progressDeadlineSeconds": 60}});
    world.create_deployment("shop", "orders", &[], &extra).expect("created");
    seconds(10).await;
    patch(
        &world,
        json!({"spec": {"template": {"spec": {"containers": [
            {"name": "orders", "image": "orders:does-not-exist"},
        ]}}}}),
    )
    .await;
    seconds(30).await;
    assert_eq!(condition(&orders(&world), "Progressing")["reason"], "ReplicaSetUpdated");
    seconds(40).await;
    let found = orders(&world);
    assert_eq!(condition(&found, "Progressing")["reason"], "ProgressDeadlineExceeded");
    assert_eq!(condition(&found, "Progressing")["status"], "False");
    assert_eq!(found["status"]["availableReplicas"], 1);
    let waiting = world.objects("", "pods", "shop").into_iter().find_map(|pod| {
        let reason = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"];
        reason.as_str().map(str::to_owned)
    });
    assert!(
        matches!(waiting.as_deref(), Some("ErrImagePull" | "ImagePullBackOff")),
        "{waiting:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_restarts_at_once_and_then_backs_off() {
    let world = world();
    world
        .create_deployment("shop", "orders", &[("CRASH_AFTER_MS", "500")], &json!({}))
        .expect("ok");
    let restarts = |world: &World| {
        let pod = world.objects("", "pods", "shop").remove(0);
        let status = pod["status"]["containerStatuses"][0].clone();
        (status["restartCount"].as_i64().unwrap_or(-1), status)
    };
    // Started at 2 s, ended at 2.5 s and 3 s; then 10 s, 20 s, 40 s …
    tokio::time::sleep(Duration::from_millis(2800)).await;
    assert_eq!(restarts(&world).0, 1);
    seconds(5).await;
    let (count, status) = restarts(&world);
    assert_eq!(count, 1);
    assert_eq!(status["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 1);
    seconds(7).await;
    assert_eq!(restarts(&world).0, 2);
    seconds(20).await;
    assert_eq!(restarts(&world).0, 3);
    seconds(3600).await;
    let (count, _) = restarts(&world);
    assert!((14..=17).contains(&count), "{count} restarts: every 300 s at most");
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_does_not_roll_out() {
    let world = world();
    world
        .create_deployment("shop", "orders", &[], &json!({}))
        .expect("created");
    seconds(10).await;
    patch(&world, json!({"spec": {"paused": true}})).await;
    patch(&world, with_env("A", "b")).await;
    seconds(10).await;
    assert_eq!(world.objects("apps", "replicasets", "shop").len(), 1);
    let found = orders(&world);
    assert_eq!(found["status"]["observedGeneration"], found["metadata"]["generation"]);
    assert_eq!(found["status"].get("updatedReplicas"), None);
    patch(&world, json!({"spec": {"paused": false}})).await;
    seconds(10).await;
    assert_eq!(orders(&world)["status"]["updatedReplicas"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_config_map_is_read_when_a_container_starts_and_its_owner_is_recorded() {
    let world = world();
    world.create_namespace("shop");
    let maps: Api<ConfigMap> = Api::namespaced(world.client("ann"), "shop");
    let map = json!({"metadata": {"name": "settings"}, "data": {"NEVER_READY": "1", "RPS": "5"}});
    let map: ConfigMap = serde_json::from_value(map).expect("a config map");
    let by_ann = kube::api::PostParams {
        field_manager: Some("ann".into()),
        ..Default::default()
    };
    maps.create(&by_ann, &map).await.expect("created");
    let extra = json!({"spec": {"template": {"spec": {"containers": [{
        "name": "orders", "image": "orders:1", "readinessProbe": {"httpGet": {"port": 8080}}, "envFrom": [{"configMapRef": {"name": "settings"}}],
    }]}}}});
    world.create_deployment("shop", "orders", &[], &extra).expect("created");
    seconds(10).await;
    assert_eq!(orders(&world)["status"].get("readyReplicas"), None);
    let ready = json!({"data": {"NEVER_READY": "0"}});
    maps.patch("settings", &PatchParams::apply("bob"), &Patch::Merge(ready))
        .await
        .expect("ok");
    seconds(10).await;
    assert_eq!(
        orders(&world)["status"].get("readyReplicas"),
        None,
        "only a start reads it"
    );
    patch(
        &world,
        json!({"spec": {"template": {"metadata": {"annotations": {"x": "1"}}}}}),
    )
    .await;
    seconds(10).await;
    assert_eq!(orders(&world)["status"]["readyReplicas"], 1);
    let stored = world.object("", "configmaps", "shop", "settings").expect("stored");
    let owners = stored["metadata"]["managedFields"].as_array().expect("owners");
    let bob = owners
        .iter()
        .find(|entry| entry["manager"] == "bob")
        .expect("bob wrote");
    assert_eq!(bob["fieldsV1"], json!({"f:data": {"f:NEVER_READY": {}}}));
    assert_eq!(bob["operation"], "Update");
    let ann = owners
        .iter()
        .find(|entry| entry["manager"] == "ann")
        .expect("ann wrote");
    assert_eq!(ann["fieldsV1"], json!({"f:data": {".": {}, "f:RPS": {}}}));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_deployment_takes_its_pods_along() {
    let world = world();
    world
        .create_deployment("shop", "orders", &[], &json!({}))
        .expect("created");
    seconds(10).await;
    let api: Api<Deployment> = Api::namespaced(world.client("ann"), "shop");
    api.delete("orders", &Default::default()).await.expect("deleted");
    seconds(5).await;
    assert!(world.objects("apps", "replicasets", "shop").is_empty());
    assert!(world.objects("", "pods", "shop").is_empty());
}
