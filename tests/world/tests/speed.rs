//! Virtual time is cheap and memory flat: a day of twenty services with an hourly release is a matter of seconds.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use modosu_world::{World, WorldOptions};
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn a_day_of_twenty_services_leaves_no_more_behind_than_an_hour() {
    let world = World::start(WorldOptions::default());
    let api: Api<Deployment> = Api::namespaced(world.client("ann"), "shop");
    for number in 0..20 {
        let name = format!("service-{number}");
        world
            .create_deployment("shop", &name, &[("RANDOM", "1")], &json!({}))
            .expect("created");
    }
    let mut after_hours = Vec::new();
    for hour in 0..24 {
        let release = json!({"spec": {"template": {"metadata": {"annotations": {"release": (hour % 5).to_string()}}}}});
        let name = format!("service-{}", hour % 20);
        api.patch(&name, &PatchParams::default(), &Patch::Merge(release))
            .await
            .expect("patched");
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let up = world
            .prometheus()
            .query("count(up == 1)", None)
            .await
            .expect("Prometheus runs");
        assert_eq!(up["data"]["result"][0]["value"][1], "20", "hour {hour}");
        after_hours.push(world.prometheus().series_count());
    }
    let (early, late) = (after_hours[3], after_hours[23]);
    assert!(late <= early + 40, "{after_hours:?} series");
}
