//! Reading, writing and refusing plain objects.

use serde_json::{Value, json};

use crate::both::{APPLY, Both, JSON, JSON_PATCH, MERGE, METADATA};

fn map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value}})
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_refused_and_written_alike() {
    let (mut both, _world) = Both::start("contract-secrets").await;
    let all = "/api/v1/namespaces/contract-secrets/secrets";
    let (create, one) = (format!("{all}?fieldManager=ann"), format!("{all}/db"));
    let secret = |more: Value| {
        let mut object =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "data": {"key": "MQ=="}});
        json_patch::merge(&mut object, &more);
        object
    };
    both.call("GET", &one, JSON, Value::Null).await;
    both.call("POST", &format!("{create}&dryRun=All"), JSON, secret(json!({})))
        .await;
    both.call("POST", &create, JSON, secret(json!({}))).await;
    both.call("POST", &create, JSON, secret(json!({}))).await;
    both.call("GET", &one, METADATA, Value::Null).await;
    // As modosu writes: `test` first.
    let put = |old: &str, new: &str| {
        json!([
            {"op": "test", "path": "/data", "value": {"key": old}},
            {"op": "replace", "path": "/data", "value": {"key": new}},
        ])
    };
    let patched = format!("{one}?fieldManager=ann");
    both.call("PATCH", &patched, JSON_PATCH, put("MQ==", "Mg==")).await;
    both.call("PATCH", &patched, JSON_PATCH, put("MQ==", "Mw==")).await;
    both.call(
        "PATCH",
        &format!("{patched}&dryRun=All"),
        JSON_PATCH,
        put("Mg==", "Mw=="),
    )
    .await;
    both.call(
        "PATCH",
        &patched,
        JSON_PATCH,
        json!([{"op": "remove", "path": "/data"}]),
    )
    .await;
    both.call(
        "PATCH",
        &patched,
        MERGE,
        json!({"data": {"key": "MQ=="}, "immutable": true}),
    )
    .await;
    both.call("PATCH", &patched, JSON_PATCH, put("MQ==", "Mg==")).await;
    both.call("DELETE", &one, JSON, Value::Null).await;
    let again = json!({"type": "kubernetes.io/basic-auth", "immutable": true, "data": {"username": "MQ=="}});
    both.call("POST", &create, JSON, secret(again)).await;
    both.call("GET", &one, JSON, Value::Null).await;
    both.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_refused_and_written_alike() {
    let (mut both, _world) = Both::start("contract-objects").await;
    let maps = "/api/v1/namespaces/contract-objects/configmaps";
    let one = &format!("{maps}/one");
    let by = "fieldManager=ann";
    both.call("GET", one, JSON, Value::Null).await;
    both.call("POST", &format!("{maps}?{by}&dryRun=All"), JSON, map("one", "1"))
        .await;
    both.call("GET", one, JSON, Value::Null).await;
    both.keep(
        &[("old", "/metadata/resourceVersion"), ("uid", "/metadata/uid")],
        "POST",
        &format!("{maps}?{by}"),
        JSON,
        map("one", "1"),
    )
    .await;
    both.call("POST", &format!("{maps}?{by}"), JSON, map("one", "1")).await;
    both.call("POST", &format!("{maps}?{by}&dryRun=All"), JSON, map("one", "1"))
        .await;
    both.call("POST", &format!("{maps}?{by}"), JSON, json!({"metadata": {}}))
        .await;
    both.call(
        "POST",
        &format!("{maps}?{by}"),
        JSON,
        json!({"metadata": {"name": "x", "namespace": "default"}}),
    )
    .await;
    both.call("POST", "/api/v1/namespaces/nowhere/configmaps", JSON, map("one", "1"))
        .await;
    both.call("GET", "/api/v1/namespaces/contract-objects/nothings", JSON, Value::Null)
        .await;
    both.call("GET", "/apis/nobody.dev/v1/things", JSON, Value::Null).await;
    both.call("POST", one, JSON, map("one", "1")).await;
    both.call("GET", one, METADATA, Value::Null).await;

    // Merge patches: a change by somebody else, a change to the same, a removal.
    both.call(
        "PATCH",
        &format!("{one}?fieldManager=bob"),
        MERGE,
        json!({"data": {"key": "2", "more": "x"}}),
    )
    .await;
    both.keep(&[("now", "/metadata/resourceVersion")], "GET", one, JSON, Value::Null)
        .await;
    both.call(
        "PATCH",
        &format!("{one}?fieldManager=bob"),
        MERGE,
        json!({"data": {"key": "2"}}),
    )
    .await;
    for server in &both.servers {
        let again = server.call("GET", one, JSON, &Value::Null).await;
        assert_eq!(
            again.body["metadata"]["resourceVersion"], *server.known["now"],
            "{}",
            server.title
        );
    }
    both.call("PATCH", &format!("{one}?{by}"), MERGE, json!({"data": {"more": null}}))
        .await;

    // Optimistic locks of every kind.
    let stale = json!({"metadata": {"name": "one", "resourceVersion": "{old}"}, "data": {"key": "9"}});
    both.call("PUT", &format!("{one}?{by}"), JSON, stale.clone()).await;
    both.call("PATCH", &format!("{one}?{by}"), MERGE, stale).await;
    both.call(
        "PUT",
        &format!("{one}?{by}"),
        JSON,
        json!({"metadata": {"name": "two"}, "data": {}}),
    )
    .await;
    both.call("PUT", &format!("{maps}/none?{by}"), JSON, map("none", "1"))
        .await;
    both.call("PATCH", &format!("{maps}/none?{by}"), MERGE, map("none", "1"))
        .await;
    let other_uid = json!({"metadata": {"name": "one", "uid": "00000000-0000-4000-8000-000000000000"}});
    both.call("PUT", &format!("{one}?{by}"), JSON, other_uid).await;

    // JSON Patch, as modosu writes: `test` first.
    let patch = |operations: Value| (format!("{one}?{by}"), operations);
    let tests = [
        json!([{"op": "test", "path": "/data/key", "value": "2"}, {"op": "replace", "path": "/data/key", "value": "3"}]),
        json!([{"op": "test", "path": "/data/key", "value": "2"}, {"op": "replace", "path": "/data/key", "value": "4"}]),
        json!([{"op": "test", "path": "/metadata/uid", "value": "{uid}"}, {"op": "add", "path": "/data/new", "value": "5"}]),
        json!([{"op": "test", "path": "/metadata/uid", "value": "other"}, {"op": "remove", "path": "/data/new"}]),
        json!([{"op": "remove", "path": "/data/absent"}]),
        json!([{"op": "replace", "path": "/data/absent", "value": "1"}]),
        json!([{"op": "test", "path": "/binaryData", "value": null}]),
        json!([{"op": "test", "path": "/data/absent", "value": "1"}]),
        json!([{"op": "nonsense", "path": "/data"}]),
        json!({"op": "add"}),
        json!([{"op": "replace", "path": "/data", "value": {"only": "this"}}]),
        json!([{"op": "remove", "path": "/data"}]),
        json!([{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}]),
        json!([{"op": "add", "path": "/metadata/annotations/modosu.dev~1x", "value": "c"}]),
        json!([{"op": "replace", "path": "/metadata/name", "value": "two"}]),
    ];
    for operations in tests {
        let (path, operations) = patch(operations);
        both.call("PATCH", &path, JSON_PATCH, operations).await;
    }
    both.call(
        "PATCH",
        &format!("{one}?{by}&dryRun=All"),
        MERGE,
        json!({"data": {"dry": "run"}}),
    )
    .await;
    both.call("GET", one, JSON, Value::Null).await;
    both.call("PATCH", &format!("{one}?{by}"), "text/plain", json!({}))
        .await;

    // Server-side apply.
    let wanted =
        |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": data});
    let applied = format!("{maps}/applied?fieldManager");
    both.call(
        "PATCH",
        &format!("{applied}=ann"),
        APPLY,
        wanted(json!({"a": "1", "b": "1"})),
    )
    .await;
    both.call(
        "PATCH",
        &format!("{applied}=ann"),
        APPLY,
        wanted(json!({"a": "1", "b": "1"})),
    )
    .await;
    both.call("PATCH", &format!("{applied}=bob"), APPLY, wanted(json!({"a": "2"})))
        .await;
    both.call(
        "PATCH",
        &format!("{applied}=bob&force=true"),
        APPLY,
        wanted(json!({"a": "2"})),
    )
    .await;
    both.call("PATCH", &format!("{applied}=ann"), APPLY, wanted(json!({"c": "1"})))
        .await;
    both.call(
        "PATCH",
        &format!("{maps}/applied?fieldManager=eve"),
        MERGE,
        json!({"data": {"a": "3"}}),
    )
    .await;
    both.call("PATCH", &format!("{applied}=bob"), APPLY, wanted(json!({"a": "2"})))
        .await;

    // Deletion.
    let wrong = json!({"preconditions": {"uid": "00000000-0000-4000-8000-000000000000"}});
    both.call("DELETE", one, JSON, wrong).await;
    both.call(
        "DELETE",
        one,
        JSON,
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]}),
    )
    .await;
    both.call("DELETE", one, JSON, json!({"preconditions": {"uid": "{uid}"}}))
        .await;
    both.call("DELETE", one, JSON, Value::Null).await;
    let held = json!({"metadata": {"name": "held", "finalizers": ["modosu.dev/hold"]}});
    both.call("POST", &format!("{maps}?{by}"), JSON, held).await;
    both.call("DELETE", &format!("{maps}/held"), JSON, Value::Null).await;
    both.call(
        "PATCH",
        &format!("{maps}/held?{by}"),
        MERGE,
        json!({"metadata": {"finalizers": null}}),
    )
    .await;
    both.call("GET", &format!("{maps}/held"), JSON, Value::Null).await;
    both.finish();
}
