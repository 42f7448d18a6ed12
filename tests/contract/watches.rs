//! Lists with selectors and pages, and watches that go on from them.

use serde_json::{Value, json};

use crate::both::{Answer, Both, JSON, MERGE, METADATA, METADATA_LIST};

/// The names in a list, and whether more is to come.
fn listed(answer: &Answer) -> (Vec<String>, bool) {
    let items = answer.body["items"].as_array().cloned().unwrap_or_default();
    let names = items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap_or_default().to_owned());
    (names.collect(), answer.body["metadata"].get("continue").is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_watches_go_on_from_each_other_alike() {
    let (mut both, world) = Both::start("contract-watches").await;
    let maps = "/api/v1/namespaces/contract-watches/secrets";
    let make = |name: &str, tier: &str| json!({"metadata": {"name": name, "labels": {"tier": tier}}, "type": "Opaque", "data": {"key": "MQ=="}});
    for (name, tier) in [("a", "front"), ("b", "back"), ("c", "front"), ("d", "none")] {
        both.call("POST", &format!("{maps}?fieldManager=ann"), JSON, make(name, tier))
            .await;
    }
    let everything = both.call("GET", maps, JSON, Value::Null).await;
    assert_eq!(listed(&everything).0, ["a", "b", "c", "d"]);
    for selector in [
        "labelSelector=tier%3Dfront",
        "labelSelector=tier%20in%20(front,back)",
        "labelSelector=tier!%3Dfront",
        "labelSelector=!tier",
        "labelSelector=tier",
        "labelSelector=tier%20notin%20(none)",
        "fieldSelector=metadata.name%3Db",
        "labelSelector=tier%3Dfront,tier!%3Dback&limit=1",
    ] {
        both.call("GET", &format!("{maps}?{selector}"), JSON, Value::Null).await;
    }
    both.call("GET", maps, METADATA_LIST, Value::Null).await;

    // Pages of one moment.
    let page = format!("{maps}?limit=2");
    both.keep(
        &[
            ("token", "/metadata/continue"),
            ("version", "/metadata/resourceVersion"),
        ],
        "GET",
        &page,
        JSON,
        Value::Null,
    )
    .await;
    both.call("DELETE", &format!("{maps}/d"), JSON, Value::Null).await;
    both.call("GET", &format!("{page}&continue={{token}}"), JSON, Value::Null)
        .await;
    both.call("GET", &format!("{maps}?continue=nonsense"), JSON, Value::Null)
        .await;

    // A watch from the list on, and one that selects.
    both.call(
        "PATCH",
        &format!("{maps}/a?fieldManager=ann"),
        MERGE,
        json!({"metadata": {"labels": {"tier": "back"}}}),
    )
    .await;
    both.call("POST", &format!("{maps}?fieldManager=ann"), JSON, make("e", "front"))
        .await;
    both.call(
        "PATCH",
        &format!("{maps}/b?fieldManager=ann"),
        MERGE,
        json!({"data": {"key": "Mg=="}}),
    )
    .await;
    both.call("DELETE", &format!("{maps}/c"), JSON, Value::Null).await;
    let watches = [
        ("", JSON, 5),
        ("&labelSelector=tier%3Dfront", JSON, 3),
        ("&labelSelector=tier%3Dback", JSON, 2),
        ("&fieldSelector=metadata.name%3Db", METADATA, 1),
    ];
    for (selector, accept, count) in watches {
        let path = format!("{maps}?watch=true&timeoutSeconds=5&resourceVersion={{version}}{selector}");
        both.watch(&path, accept, count).await;
    }
    both.watch(
        &format!("{maps}?watch=true&timeoutSeconds=5&resourceVersion=0"),
        JSON,
        3,
    )
    .await;
    let stream =
        "watch=true&timeoutSeconds=5&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    both.watch(&format!("{maps}?{stream}"), JSON, 4).await;

    // Too old: an event, not a refusal. The real server's memory is too good to be asked.
    world.compact();
    let late = both.servers[1]
        .events(
            &format!("{maps}?watch=true&timeoutSeconds=5&resourceVersion=2"),
            JSON,
            1,
        )
        .await;
    assert_eq!(
        (&late[0]["type"], &late[0]["object"]["code"]),
        (&json!("ERROR"), &json!(410))
    );
    let late = both.servers[1]
        .call("GET", &format!("{page}&continue={{token}}"), JSON, &Value::Null)
        .await;
    assert_eq!((late.code, &late.body["reason"]), (410, &json!("Expired")));
    both.finish();
}
