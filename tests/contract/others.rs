//! The other kinds that modosu writes: Events in both their forms, Leases, ControllerRevisions; and what their owners take along.

use std::time::Duration;

use serde_json::{Value, json};

use crate::both::{Both, JSON, MERGE, METADATA_LIST, STRATEGIC};

#[tokio::test(flavor = "multi_thread")]
async fn events_leases_and_revisions_are_kept_alike() {
    let (mut both, _world) = Both::start("contract-others").await;
    let by = "fieldManager=modosu";

    // Who owns the fields of an Event is not claimed: nobody asks.
    both.settle = |mut answer| {
        for place in ["/metadata", "/items/0/metadata"] {
            let metadata = answer.body.pointer_mut(place).and_then(Value::as_object_mut);
            metadata.map(|metadata| metadata.remove("managedFields"));
        }
        answer
    };
    let events = "/apis/events.k8s.io/v1/namespaces/contract-others/events";
    let old_events = "/api/v1/namespaces/contract-others/events";
    let event = json!({
        "metadata": {"name": "one"}, "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Warning", "reason": "RolledBack",
        "action": "Rollback", "reportingController": "modosu.dev/modosu", "reportingInstance": "modosu-0", "note": "put back",
        "regarding": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders", "namespace": "contract-others"},
    });
    both.call("POST", &format!("{events}?{by}"), JSON, event).await;
    both.call("GET", &format!("{old_events}/one"), JSON, Value::Null).await;
    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}});
    both.call("PATCH", &format!("{events}/one?{by}"), MERGE, series).await;
    let selected = "fieldSelector=involvedObject.name%3Dorders,involvedObject.kind%3DDeployment";
    both.call("GET", &format!("{old_events}?{selected}"), JSON, Value::Null)
        .await;
    both.call(
        "GET",
        &format!("{events}?fieldSelector=reason%3DRolledBack"),
        JSON,
        Value::Null,
    )
    .await;

    both.settle = |answer| answer;

    let leases = "/apis/coordination.k8s.io/v1/namespaces/contract-others/leases";
    let lease = |holder: &str, version: &str| {
        json!({
            "metadata": {"name": "modosu", "resourceVersion": version},
            "spec": {
                "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 1,
                "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:00.000000Z",
            },
        })
    };
    let created = [("old", "/metadata/resourceVersion")];
    both.keep(&created, "POST", &format!("{leases}?{by}"), JSON, lease("a", ""))
        .await;
    both.call("PUT", &format!("{leases}/modosu?{by}"), JSON, lease("b", "{old}"))
        .await;
    both.call("PUT", &format!("{leases}/modosu?{by}"), JSON, lease("a", "{old}"))
        .await;
    let renewed = json!({"spec": {"renewTime": "2026-01-01T00:00:05.000000Z"}});
    both.call("PATCH", &format!("{leases}/modosu?{by}"), MERGE, renewed)
        .await;
    let taken = json!({"metadata": {"resourceVersion": "{old}"}, "spec": {"holderIdentity": "c"}});
    both.call("PATCH", &format!("{leases}/modosu?{by}"), STRATEGIC, taken)
        .await;

    // What an owner leaves behind is collected.
    let maps = "/api/v1/namespaces/contract-others/configmaps";
    let owner = json!({"metadata": {"name": "owner"}});
    both.keep(
        &[("uid", "/metadata/uid")],
        "POST",
        &format!("{maps}?{by}"),
        JSON,
        owner,
    )
    .await;
    let revisions = "/apis/apps/v1/namespaces/contract-others/controllerrevisions";
    let revision = |name: &str, number: u32| {
        json!({
            "metadata": {"name": name, "labels": {"modosu.dev/guard": "orders"}, "ownerReferences": [{
                "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "{uid}", "controller": true,
            }]},
            "revision": number, "data": {"template": {"spec": {"containers": []}}, "anything": [1, null]},
        })
    };
    both.call("POST", &format!("{revisions}?{by}"), JSON, revision("orders-1", 1))
        .await;
    both.call("POST", &format!("{revisions}?{by}"), JSON, revision("orders-2", 2))
        .await;
    both.call(
        "GET",
        &format!("{revisions}?labelSelector=modosu.dev/guard%3Dorders"),
        JSON,
        Value::Null,
    )
    .await;
    both.call("GET", revisions, METADATA_LIST, Value::Null).await;
    let other_data = json!({"data": {"template": null}});
    both.call("PATCH", &format!("{revisions}/orders-1?{by}"), MERGE, other_data)
        .await;
    both.call(
        "PATCH",
        &format!("{revisions}/orders-1?{by}"),
        MERGE,
        json!({"revision": 3}),
    )
    .await;
    both.call("DELETE", &format!("{revisions}/orders-2"), JSON, Value::Null)
        .await;
    both.call(
        "DELETE",
        &format!("{maps}/owner"),
        JSON,
        json!({"propagationPolicy": "Background"}),
    )
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    both.call("GET", &format!("{revisions}/orders-1"), JSON, Value::Null)
        .await;

    for name in ["a", "b", "c"] {
        let tier = if name == "a" { "kept" } else { "gone" };
        let map = json!({"metadata": {"name": name, "labels": {"tier": tier}}});
        both.call("POST", &format!("{maps}?{by}"), JSON, map).await;
    }
    both.call(
        "DELETE",
        &format!("{maps}?labelSelector=tier%3Dgone"),
        JSON,
        Value::Null,
    )
    .await;
    both.call("GET", &format!("{maps}?labelSelector=tier"), JSON, Value::Null)
        .await;
    both.finish();
}
