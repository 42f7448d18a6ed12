//! Deployments as the API server sees them: completed, patched, counted.

use serde_json::{Value, json};

use crate::both::{Answer, Both, JSON, JSON_PATCH, MERGE, STRATEGIC};

/// A Deployment that no controller touches: paused, without replicas.
fn deployment(env: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders", "labels": {"app": "orders"}},
        "spec": {"replicas": 0, "paused": true, "selector": {"matchLabels": {"app": "orders"}}, "template": {
            "metadata": {"labels": {"app": "orders"}},
            "spec": {"containers": [{
                "name": "orders", "image": "orders", "env": env, "ports": [{"name": "http", "containerPort": 8080}],
                "envFrom": [{"configMapRef": {"name": "settings"}}],
                "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}},
                "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}],
            }, {"name": "side", "image": "side:1.2"}], "volumes": [{"name": "config", "configMap": {"name": "settings"}}]},
        }},
    })
}

/// Without what controllers write meanwhile.
fn undisturbed(mut answer: Answer) -> Answer {
    if let Some(fields) = answer.body.as_object_mut().filter(|fields| fields.contains_key("spec")) {
        fields.remove("status");
        if let Some(Value::Array(entries)) = fields["metadata"].get_mut("managedFields") {
            entries.retain(|entry| entry["manager"] != "kube-controller-manager");
        }
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_are_completed_patched_and_counted_alike() {
    let (mut both, _world) = Both::start("contract-deployments").await;
    both.settle = undisturbed;
    let all = "/apis/apps/v1/namespaces/contract-deployments/deployments?fieldManager=ann";
    let one = "/apis/apps/v1/namespaces/contract-deployments/deployments/orders?fieldManager=ann";
    let env = json!([
        {"name": "WORKER_MODE", "value": "legacy"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "key"}}},
    ]);
    both.keep(&[("uid", "/metadata/uid")], "POST", all, JSON, deployment(&env))
        .await;
    both.keep(&[("template", "/spec/template")], "GET", one, JSON, Value::Null)
        .await;

    // The generation follows spec and annotations, not labels and status.
    both.call("PATCH", one, MERGE, json!({"metadata": {"labels": {"a": "b"}}}))
        .await;
    both.call("PATCH", one, MERGE, json!({"metadata": {"annotations": {"a": "b"}}}))
        .await;
    both.call("PATCH", one, MERGE, json!({"spec": {"minReadySeconds": 5}}))
        .await;
    both.call("PATCH", one, MERGE, json!({"spec": {"minReadySeconds": 5}}))
        .await;
    both.call("PATCH", one, MERGE, json!({"status": {"replicas": 7}})).await;
    both.call(
        "PATCH",
        &one.replace("orders?", "orders/status?"),
        MERGE,
        json!({"spec": {"minReadySeconds": 9}}),
    )
    .await;

    // As `kubectl set env` and `kubectl rollout restart` write.
    let containers = |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let set_env = containers(
        json!([{"name": "orders", "env": [{"name": "WORKER_MODE", "value": "celery"}, {"name": "NEW", "value": "1"}]}]),
    );
    both.call("PATCH", one, STRATEGIC, set_env).await;
    let unset = containers(json!([{"name": "orders", "env": [{"name": "NEW", "$patch": "delete"}]}]));
    both.call("PATCH", one, STRATEGIC, unset).await;
    both.call(
        "PATCH",
        one,
        STRATEGIC,
        containers(json!([{"name": "side", "$patch": "delete"}])),
    )
    .await;
    both.call(
        "PATCH",
        one,
        STRATEGIC,
        containers(json!([{"name": "orders", "image": "orders:2"}])),
    )
    .await;
    let restart =
        json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}});
    both.call("PATCH", one, STRATEGIC, restart).await;

    // As modosu writes: the whole template, only if it is what was judged.
    let judged = json!([
        {"op": "test", "path": "/metadata/uid", "value": "{uid}"},
        {"op": "test", "path": "/spec/template/spec/containers/0/image", "value": "orders:2"},
        {"op": "replace", "path": "/spec/template", "value": deployment(&env)["spec"]["template"]},
        {"op": "add", "path": "/metadata/annotations/kubernetes.io~1change-cause", "value": "put back"},
    ]);
    let dry = &format!("{one}&dryRun=All");
    both.call("PATCH", dry, JSON_PATCH, judged.clone()).await;
    both.call("GET", one, JSON, Value::Null).await;
    both.call("PATCH", one, JSON_PATCH, judged.clone()).await;
    both.call("PATCH", one, JSON_PATCH, judged).await;
    both.call("GET", one, JSON, Value::Null).await;

    // Refusals, and the same where it would only be tried.
    let empty = json!({"spec": {"template": {"spec": {"containers": []}}}});
    both.call("PATCH", dry, MERGE, empty).await;
    let stale = json!([{"op": "test", "path": "/metadata/uid", "value": "another"}]);
    both.call("PATCH", dry, JSON_PATCH, stale).await;
    let gone = dry.replace("orders?", "nobody?");
    both.call("PATCH", &gone, JSON_PATCH, json!([])).await;
    both.call(
        "PATCH",
        one,
        MERGE,
        json!({"spec": {"selector": {"matchLabels": {"app": "other"}}}}),
    )
    .await;
    both.call(
        "PATCH",
        one,
        MERGE,
        json!({"spec": {"template": {"metadata": {"labels": {"app": "other"}}}}}),
    )
    .await;
    both.call(
        "PATCH",
        one,
        MERGE,
        json!({"spec": {"template": {"spec": {"containers": []}}}}),
    )
    .await;
    both.call(
        "PATCH",
        one,
        JSON_PATCH,
        json!([{"op": "test", "path": "/spec/replicas", "value": 3}]),
    )
    .await;
    both.call("DELETE", &one.replace("?fieldManager=ann", ""), JSON, Value::Null)
        .await;
    both.finish();
}
