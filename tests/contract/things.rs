//! Custom resources: validation, defaults, and a status apart from the spec.

use serde_json::{Value, json};

use crate::both::{APPLY, Both, JSON, JSON_PATCH, MERGE, METADATA, STRATEGIC};

/// A definition with a status subresource, defaults and validation.
fn definition() -> Value {
    let spec = json!({
        "size": {"type": "integer", "minimum": 1},
        "mode": {"type": "string", "enum": ["ask", "enforce"], "default": "ask"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "maybe": {"type": "string", "nullable": true},
        "names": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "word": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"},
        "some": {"type": "array", "minItems": 1, "items": {
            "type": "object", "required": ["x"], "properties": {"x": {"type": "number", "maximum": 5}},
        }},
    });
    let schema = json!({"type": "object", "required": ["spec"], "properties": {
        "spec": {"type": "object", "required": ["size"], "properties": spec},
        "status": {"type": "object", "properties": {"state": {"type": "string"}}},
    }});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.contract.modosu.dev"},
        "spec": {
            "group": "contract.modosu.dev", "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_resources_keep_spec_and_status_apart_alike() {
    let (mut both, _world) = Both::start("contract-things").await;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for server in &both.servers {
        server.call("POST", definitions, JSON, &definition()).await;
    }
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let things = "/apis/contract.modosu.dev/v1alpha1/namespaces/contract-things/things";
    let one = &format!("{things}/one?fieldManager=ann");
    let status = &format!("{things}/one/status?fieldManager=ann");
    let thing = |spec: Value| {
        json!({
            "apiVersion": "contract.modosu.dev/v1alpha1", "kind": "Thing", "metadata": {"name": "one"}, "spec": spec,
            "status": {"state": "from outside"}, "unknown": 1,
        })
    };
    let post = &format!("{things}?fieldManager=ann");
    both.call("POST", post, JSON, thing(json!({}))).await;
    both.call("POST", post, JSON, thing(json!({"size": "big"}))).await;
    both.call("POST", post, JSON, thing(json!({"size": 0}))).await;
    both.call("POST", post, JSON, thing(json!({"size": 1, "mode": "wrong"})))
        .await;
    both.call("POST", post, JSON, thing(json!({"size": 1, "names": ["a", "b", "c"]})))
        .await;
    both.call("POST", &format!("{post}&dryRun=All"), JSON, thing(json!({"size": 1})))
        .await;
    let full = json!({"size": 1, "unknown": true, "free": {"x": [1, null]}, "maybe": null, "mode": null, "labels": {"a": "b"}});
    both.keep(&[("old", "/metadata/resourceVersion")], "POST", post, JSON, thing(full))
        .await;

    both.call(
        "PATCH",
        one,
        MERGE,
        json!({"spec": {"size": 2}, "status": {"state": "ignored"}}),
    )
    .await;
    both.call("PATCH", one, MERGE, json!({"metadata": {"annotations": {"a": "b"}}}))
        .await;
    both.call(
        "PATCH",
        status,
        MERGE,
        json!({"spec": {"size": 9}, "status": {"state": "Steady"}, "metadata": {"labels": {"x": "y"}}}),
    )
    .await;
    both.call("PATCH", status, MERGE, json!({"status": {"state": "Steady"}}))
        .await;
    both.call("PATCH", status, MERGE, json!({"status": {"state": 5}})).await;
    both.call(
        "PATCH",
        status,
        MERGE,
        json!({"metadata": {"resourceVersion": "{old}"}, "status": {"state": "late"}}),
    )
    .await;
    let patch = json!([{"op": "test", "path": "/status/state", "value": "Steady"}, {"op": "replace", "path": "/status/state", "value": "Suspect"}]);
    both.call("PATCH", status, JSON_PATCH, patch.clone()).await;
    both.call("PATCH", status, JSON_PATCH, patch).await;
    both.call("PATCH", one, STRATEGIC, json!({"spec": {"size": 3}})).await;
    both.call("PUT", one, JSON, thing(json!({"size": 4}))).await;
    let stale = |mut thing: Value, version: &str| {
        thing["metadata"]["resourceVersion"] = version.into();
        thing
    };
    both.call("PUT", one, JSON, stale(thing(json!({"size": 4})), "{old}"))
        .await;
    both.keep(&[("now", "/metadata/resourceVersion")], "GET", one, JSON, Value::Null)
        .await;
    both.call("PUT", one, JSON, stale(thing(json!({"size": 4})), "{now}"))
        .await;
    both.keep(&[("now", "/metadata/resourceVersion")], "GET", one, JSON, Value::Null)
        .await;
    both.call("PUT", status, JSON, stale(thing(json!({"size": 7})), "{now}"))
        .await;
    let apply = json!({"apiVersion": "contract.modosu.dev/v1alpha1", "kind": "Thing", "metadata": {"name": "one"}, "status": {"state": "applied"}});
    both.call(
        "PATCH",
        &format!("{things}/one/status?fieldManager=modosu&force=true"),
        APPLY,
        apply,
    )
    .await;
    both.call("GET", one, METADATA, Value::Null).await;
    both.call("GET", &format!("{things}/none"), JSON, Value::Null).await;
    both.call("GET", &format!("{things}/one/scale"), JSON, Value::Null)
        .await;
    both.call("DELETE", &format!("{things}/one"), JSON, Value::Null).await;
    both.finish();
}
