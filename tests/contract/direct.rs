//! What the controllers of StatefulSets and DaemonSets make of a template: pods by name, revision labels, numbers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::both::{Both, JSON, STRATEGIC, Server, difference};

const NAMESPACE: &str = "contract-direct";
const SOON: Duration = Duration::from_secs(180);
const GENERATION: &str = "deprecated.daemonset.template.generation";

fn object(kind: &str) -> Value {
    let mut object = modosu_cluster::orders::deployment(NAMESPACE, "orders", 2, &json!([]));
    object["kind"] = kind.into();
    let spec = object["spec"].as_object_mut().unwrap();
    spec.remove("progressDeadlineSeconds");
    if kind == "DaemonSet" {
        spec.remove("replicas");
    } else {
        spec.insert("serviceName".into(), "orders".into());
    }
    object
}

/// The numbers, and each pod with whether it is of the newest revision; no names that are drawn.
async fn state(server: &Server, plural: &str) -> Value {
    let get = async |path: &str| server.call("GET", path, JSON, &Value::Null).await.body;
    let set = get(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/{plural}/orders")).await;
    let pods = get(&format!("/api/v1/namespaces/{NAMESPACE}/pods")).await;
    let generation = set["metadata"]["annotations"][GENERATION].clone();
    let newest = |pod: &Value| {
        let label = |name: &str| pod["metadata"]["labels"][name].clone();
        match plural {
            "daemonsets" => label("pod-template-generation") == generation,
            _ => label("controller-revision-hash") == set["status"]["updateRevision"],
        }
    };
    let shown = |pod: &Value| {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let ready = pod["status"]["conditions"].as_array().is_some_and(|all| {
            let mut ready = all.iter().filter(|one| one["type"] == "Ready");
            ready.any(|one| one["status"] == "True")
        });
        json!({
            "name": if plural == "daemonsets" { "orders" } else { name },
            "newest": newest(pod), "ready": ready,
            "owner": pod["metadata"]["ownerReferences"][0]["kind"],
        })
    };
    let mut status = set["status"].clone();
    let rolled = status["currentRevision"] == status["updateRevision"];
    if let Some(fields) = status.as_object_mut() {
        for name in [
            "currentRevision",
            "updateRevision",
            "observedGeneration",
            "collisionCount",
        ] {
            fields.remove(name);
        }
    }
    let mut pods: Vec<Value> = pods["items"].as_array().unwrap().iter().map(shown).collect();
    pods.sort_by_key(Value::to_string);
    json!({
        "status": status, "pods": pods, "rolled": rolled, "generation": generation,
        "seen": set["metadata"]["generation"] == set["status"]["observedGeneration"],
    })
}

async fn alike(both: &Both, plural: &str, step: &str, there: impl Fn(&Value) -> bool) {
    let start = Instant::now();
    loop {
        let [real, embedded] = &both.servers;
        let (real, embedded) = tokio::join!(state(real, plural), state(embedded, plural));
        if there(&real) && real == embedded {
            return;
        }
        let late = start.elapsed() > SOON;
        assert!(!late, "{plural} {step}: {}\n{real:#}", difference(&real, &embedded, ""));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stateful_sets_and_daemon_sets_come_to_the_same_alike() {
    let (mut both, _world) = Both::start(NAMESPACE).await;
    both.settle = |mut answer| {
        answer.body = Value::Null;
        answer
    };
    for (kind, plural, pods) in [("StatefulSet", "statefulsets", 2), ("DaemonSet", "daemonsets", 1)] {
        let all = &format!("/apis/apps/v1/namespaces/{NAMESPACE}/{plural}?fieldManager=ann");
        let one = &format!("/apis/apps/v1/namespaces/{NAMESPACE}/{plural}/orders?fieldManager=ann");
        let ready = |state: &Value| {
            let all = state["pods"].as_array().unwrap();
            all.len() == pods
                && state["seen"] == true
                && all.iter().all(|pod| pod["newest"] == true && pod["ready"] == true)
        };
        both.call("POST", all, JSON, object(kind)).await;
        alike(&both, plural, "created", ready).await;

        let env = |name: &str| {
            let container = json!({"name": "orders", "env": [{"name": name, "value": "1"}]});
            json!({"spec": {"template": {"spec": {"containers": [container]}}}})
        };
        both.call("PATCH", one, STRATEGIC, env("FLAVOUR")).await;
        alike(&both, plural, "released", |state| {
            ready(state) && state["rolled"] == true
        })
        .await;

        both.call("PATCH", one, STRATEGIC, env("NEVER_READY")).await;
        alike(&both, plural, "stuck", |state| {
            let all = state["pods"].as_array().unwrap();
            all.len() == pods && all.iter().any(|pod| pod["newest"] == true && pod["ready"] == false)
        })
        .await;
        both.call("DELETE", one, JSON, Value::Null).await;
        alike_gone(&both).await;
    }
    both.finish();
}

async fn alike_gone(both: &Both) {
    let start = Instant::now();
    loop {
        let mut left = 0;
        for server in &both.servers {
            let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
            let pods = server.call("GET", &path, JSON, &Value::Null).await.body;
            left += pods["items"].as_array().unwrap().len();
        }
        if left == 0 {
            return;
        }
        assert!(start.elapsed() < SOON, "{left} pods are still there");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
