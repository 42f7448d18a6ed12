//! The embedded API server: refusals, patches, watches, pages, and hooks.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    runtime::watcher,
};
use modosu_world::{Answer, Failure, Stage, Verb, World, WorldOptions};
use serde_json::{Value, json};

fn world() -> World {
    World::start(WorldOptions::default())
}

fn maps(world: &World) -> Api<ConfigMap> {
    Api::namespaced(world.client("ann"), "default")
}

fn map(name: &str, value: &str) -> ConfigMap {
    let object = json!({"metadata": {"name": name}, "data": {"key": value}});
    serde_json::from_value(object).expect("a config map")
}

fn refusal<T: std::fmt::Debug>(result: kube::Result<T>) -> (u16, String) {
    let Err(kube::Error::Api(status)) = &result else {
        unreachable!("expected a refusal, got {result:?}")
    };
    (status.code, status.reason.clone())
}

#[tokio::test(start_paused = true)]
async fn refusals_have_the_codes_and_reasons_of_the_real_server() {
    let world = world();
    let api = maps(&world);
    assert_eq!(refusal(api.get("none").await), (404, "NotFound".into()));
    let made = api
        .create(&PostParams::default(), &map("one", "1"))
        .await
        .expect("created");
    let twice = api.create(&PostParams::default(), &map("one", "1")).await;
    assert_eq!(refusal(twice), (409, "AlreadyExists".into()));
    let mut stale = made.clone();
    api.patch(
        "one",
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"key": "2"}})),
    )
    .await
    .expect("patched");
    stale.data = Some([("key".to_owned(), "3".to_owned())].into());
    let late = api.replace("one", &PostParams::default(), &stale).await;
    assert_eq!(refusal(late), (409, "Conflict".into()));
    let test: json_patch::Patch = serde_json::from_value(json!([
        {"op": "test", "path": "/data/key", "value": "1"},
        {"op": "replace", "path": "/data/key", "value": "9"},
    ]))
    .expect("a patch");
    let failed = api
        .patch("one", &PatchParams::default(), &Patch::Json::<()>(test))
        .await;
    assert_eq!(refusal(failed), (422, "Invalid".into()));
    let elsewhere: Api<ConfigMap> = Api::namespaced(world.client("ann"), "nowhere");
    let lost = elsewhere.create(&PostParams::default(), &map("one", "1")).await;
    assert_eq!(refusal(lost), (404, "NotFound".into()));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_stores_nothing_and_a_write_without_effect_is_none() {
    let world = world();
    let api = maps(&world);
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    api.create(&dry, &map("one", "1")).await.expect("would be created");
    assert_eq!(refusal(api.get("one").await).0, 404);
    let made = api
        .create(&PostParams::default(), &map("one", "1"))
        .await
        .expect("created");
    let same = Patch::Merge(json!({"data": {"key": "1"}}));
    let kept = api.patch("one", &PatchParams::default(), &same).await.expect("patched");
    assert_eq!(made.metadata.resource_version, kept.metadata.resource_version);
    let writes = world.writes();
    assert_eq!(
        writes.iter().map(|write| write.dry_run).collect::<Vec<_>>(),
        [true, false, false]
    );
    assert_eq!(writes[2].body, json!({"data": {"key": "1"}}));
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_from_a_list_and_ends_with_410_when_too_old() {
    let world = world();
    let api = maps(&world);
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &map(name, "1"))
            .await
            .expect("created");
    }
    let first = api.list(&ListParams::default().limit(2)).await.expect("a page");
    let token = first.metadata.continue_.clone().expect("more to come");
    api.delete("c", &Default::default()).await.expect("deleted");
    let rest = api
        .list(&ListParams::default().limit(2).continue_token(&token))
        .await
        .expect("rest");
    assert_eq!(rest.items.len(), 1, "the list is of one moment");
    assert_eq!(rest.items[0].metadata.name.as_deref(), Some("c"));
    let from = first.metadata.resource_version.clone().expect("a version");
    let mut events = api
        .watch(&WatchParams::default().timeout(60), &from)
        .await
        .expect("a watch")
        .boxed();
    let gone = events.try_next().await.expect("an event");
    assert!(matches!(gone, Some(WatchEvent::Deleted(map)) if map.metadata.name.as_deref() == Some("c")));
    world.compact();
    let mut late = api
        .watch(&WatchParams::default().timeout(60), "2")
        .await
        .expect("a watch")
        .boxed();
    let error = late.try_next().await.expect("an event");
    assert!(matches!(error, Some(WatchEvent::Error(status)) if status.code == 410));
}

#[tokio::test(start_paused = true)]
async fn the_usual_watcher_follows_for_days_and_survives_a_compaction() {
    let world = world();
    let api = maps(&world);
    let (seen, mut news) = tokio::sync::mpsc::unbounded_channel();
    for streaming in [false, true] {
        let (api, seen) = (api.clone(), seen.clone());
        let config = watcher::Config::default();
        let config = if streaming { config.streaming_lists() } else { config };
        tokio::spawn(async move {
            let mut events = watcher(api, config).boxed();
            while let Some(event) = events.next().await {
                if let Ok(watcher::Event::Apply(map) | watcher::Event::InitApply(map)) = event {
                    let value = map.data.and_then(|data| data.get("key").cloned());
                    let _ = seen.send((streaming, value.unwrap_or_default()));
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for day in 0..3 {
        let value = day.to_string();
        if day == 0 {
            api.create(&PostParams::default(), &map("one", &value))
                .await
                .expect("created");
        } else {
            let patch = Patch::Merge(json!({"data": {"key": value}}));
            api.patch("one", &PatchParams::default(), &patch)
                .await
                .expect("patched");
        }
        for _ in 0..2 {
            let next = tokio::time::timeout(Duration::from_secs(60), news.recv()).await;
            assert_eq!(next.expect("in time").expect("seen").1, value, "day {day}");
        }
        world.compact();
        tokio::time::sleep(Duration::from_secs(86_400)).await;
        while news.try_recv().is_ok() {}
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_can_be_asked_for_alone() {
    let world = world();
    let api = maps(&world);
    api.create(&PostParams::default(), &map("one", "1"))
        .await
        .expect("created");
    let one = api.get_metadata("one").await.expect("metadata");
    assert_eq!(one.metadata.name.as_deref(), Some("one"));
    let all = api.list_metadata(&ListParams::default()).await.expect("metadata");
    assert_eq!(all.items.len(), 1);
    let from = all.metadata.resource_version.expect("a version");
    let mut events = api
        .watch_metadata(&WatchParams::default(), &from)
        .await
        .expect("watch")
        .boxed();
    let patch = Patch::Merge(json!({"data": {"key": "2"}}));
    api.patch("one", &PatchParams::default(), &patch)
        .await
        .expect("patched");
    assert!(matches!(events.try_next().await, Ok(Some(WatchEvent::Modified(_)))));
}

#[tokio::test(start_paused = true)]
async fn hooks_spoil_any_call() {
    let world = world();
    let api = maps(&world);
    api.create(&PostParams::default(), &map("one", "1"))
        .await
        .expect("created");
    let write = |value: &str| Patch::Merge(json!({"data": {"key": value}}));
    let stored = |world: &World| -> Value {
        world.object("", "configmaps", "default", "one").expect("stored")["data"]["key"].clone()
    };
    world.on_request(|call| match (call.verb, call.stage, &call.body["data"]["key"]) {
        (Verb::Patch, Stage::Before, value) if *value == "refused" => {
            Answer::Fail(Failure::new(503, "ServiceUnavailable", "not now"))
        }
        (Verb::Patch, Stage::Before, value) if *value == "cut" => Answer::Cut,
        (Verb::Patch, Stage::Before, value) if *value == "lost" => Answer::LoseAnswer,
        (Verb::Patch, Stage::Before, value) if *value == "slow" => Answer::Delay(Duration::from_secs(5)),
        (Verb::Patch, Stage::After(_), value) if *value == "hangs" => Answer::Hang,
        _ => Answer::GoOn,
    });
    let parameters = PatchParams::default();
    assert_eq!(refusal(api.patch("one", &parameters, &write("refused")).await).0, 503);
    assert!(api.patch("one", &parameters, &write("cut")).await.is_err());
    assert_eq!(stored(&world), "1");
    assert!(api.patch("one", &parameters, &write("lost")).await.is_err());
    assert_eq!(stored(&world), "lost", "carried out, and nobody knows");
    let before = world.now();
    api.patch("one", &parameters, &write("slow")).await.expect("late");
    assert!(world.now().duration_since(before).as_secs() >= 5);
    let patch = write("hangs");
    let hanging = api.patch("one", &parameters, &patch);
    assert!(tokio::time::timeout(Duration::from_secs(60), hanging).await.is_err());
    assert_eq!(stored(&world), "hangs");
    world.no_hooks();
    let codes: Vec<u16> = world.writes().iter().map(|write| write.code).collect();
    assert_eq!(codes, [201, 503, 200, 200, 200], "what was cut before never happened");
}
