//! What the controllers and the node make of a Deployment: revisions, numbers, conditions, crash loops.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::both::{Both, JSON, JSON_PATCH, STRATEGIC, Server, difference};

const NAMESPACE: &str = "contract-rollouts";
const SOON: Duration = Duration::from_secs(180);

fn deployment() -> Value {
    let mut object = modosu_cluster::orders::deployment(NAMESPACE, "orders", 2, &json!([]));
    object["spec"]["progressDeadlineSeconds"] = 5.into();
    object
}

/// What both must come to: no times, no names that are drawn.
async fn state(server: &Server) -> Value {
    let get = async |path: &str| server.call("GET", path, JSON, &Value::Null).await.body;
    let deployment = get(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/orders")).await;
    let mut sets = items(&get(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/replicasets")).await);
    sets.sort_by_key(|set| revision(set).parse::<u32>().unwrap_or_default());
    let mut pods: Vec<Value> = items(&get(&format!("/api/v1/namespaces/{NAMESPACE}/pods")).await)
        .iter()
        .filter(|pod| pod["metadata"].get("deletionTimestamp").is_none())
        .map(|pod| pod_state(pod, &sets))
        .collect();
    pods.sort_by_key(Value::to_string);
    let mut state = json!({
        "annotations": deployment["metadata"]["annotations"],
        "seen": deployment["metadata"]["generation"] == deployment["status"]["observedGeneration"],
        "status": deployment["status"],
        "sets": sets.iter().map(|set| json!({
            "annotations": set["metadata"]["annotations"],
            "replicas": set["spec"]["replicas"],
            "status": set["status"],
        })).collect::<Vec<_>>(),
        "pods": pods,
    });
    forget_times(&mut state);
    let text = sets.iter().fold(state.to_string(), |text, set| {
        text.replace(
            set["metadata"]["name"].as_str().unwrap(),
            &format!("set {}", revision(set)),
        )
    });
    serde_json::from_str(&text).unwrap()
}

fn pod_state(pod: &Value, sets: &[Value]) -> Value {
    let owner = &pod["metadata"]["ownerReferences"][0]["name"];
    let set = sets.iter().find(|set| set["metadata"]["name"] == *owner);
    let status = &pod["status"];
    let container = &status["containerStatuses"][0];
    let waiting = container["state"]["waiting"]["reason"].as_str().unwrap_or_default();
    json!({
        "revision": set.map(revision),
        "phase": status["phase"],
        "ready": status["conditions"].as_array().map(|all| all.iter().any(|one| {
            one["type"] == "Ready" && one["status"] == "True"
        })),
        "container ready": container["ready"],
        // These two take turns.
        "waiting": waiting.replace("ErrImagePull", "ImagePullBackOff"),
        "restarts": container["restartCount"],
        "last": container["lastState"]["terminated"]["reason"],
        "code": container["lastState"]["terminated"]["exitCode"],
    })
}

fn items(list: &Value) -> Vec<Value> {
    list["items"].as_array().cloned().unwrap_or_default()
}

fn revision(object: &Value) -> String {
    let annotation = &object["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
    annotation.as_str().unwrap_or_default().to_owned()
}

fn forget_times(value: &mut Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| {
            !matches!(
                name.as_str(),
                "lastUpdateTime" | "lastTransitionTime" | "observedGeneration"
            )
        });
        fields.values_mut().for_each(forget_times);
    }
    if let Some(elements) = value.as_array_mut() {
        elements.iter_mut().for_each(forget_times);
        if elements.iter().all(|one| one.get("type").is_some()) {
            elements.sort_by_key(|one| one["type"].to_string());
        }
    }
}

/// Waits until the real server is there, and the embedded one is where the real one is.
async fn alike(both: &Both, step: &str, there: impl Fn(&Value) -> bool) {
    let start = Instant::now();
    loop {
        let [real, embedded] = &both.servers;
        let (real, embedded) = tokio::join!(state(real), state(embedded));
        if there(&real) && real == embedded {
            return;
        }
        let late = start.elapsed() > SOON;
        assert!(!late, "{step}: {}\n{real:#}", difference(&real, &embedded, ""));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

fn progressing(state: &Value) -> &str {
    let conditions = state["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|one| one["type"] == "Progressing"));
    found.and_then(|one| one["reason"].as_str()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn rollouts_come_to_the_same_alike() {
    let (mut both, _world) = Both::start(NAMESPACE).await;
    let all = &format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments?fieldManager=ann");
    let one = &format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/orders?fieldManager=ann");
    both.settle = |mut answer| {
        answer.body = Value::Null;
        answer
    };
    both.call("POST", all, JSON, deployment()).await;
    let done =
        |state: &Value| progressing(state) == "NewReplicaSetAvailable" && state["status"]["availableReplicas"] == 2;
    alike(&both, "created", done).await;

    let container = |fields: Value| {
        let mut container = fields;
        container["name"] = "orders".into();
        json!({"spec": {"template": {"spec": {"containers": [container]}}}})
    };
    let env = |name: &str, value: &str| container(json!({"env": [{"name": name, "value": value}]}));
    both.call("PATCH", one, STRATEGIC, env("LATENCY_MS", "30")).await;
    alike(&both, "released", |state| {
        done(state) && state["sets"][1]["replicas"] == 2
    })
    .await;

    let template = deployment()["spec"]["template"].clone();
    let back = json!([
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "add", "path": "/metadata/annotations/kubernetes.io~1change-cause", "value": "put back"},
    ]);
    both.call("PATCH", one, JSON_PATCH, back).await;
    alike(&both, "put back", |state| {
        done(state) && state["sets"][1]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    })
    .await;

    both.call("PATCH", one, STRATEGIC, json!({"spec": {"paused": true}}))
        .await;
    both.call("PATCH", one, STRATEGIC, env("LATENCY_MS", "40")).await;
    alike(&both, "paused", |state| progressing(state) == "DeploymentPaused").await;
    both.call("PATCH", one, STRATEGIC, json!({"spec": {"paused": false}}))
        .await;
    alike(&both, "resumed", |state| {
        done(state) && state["sets"][2]["replicas"] == 2
    })
    .await;

    both.call(
        "PATCH",
        one,
        STRATEGIC,
        container(json!({"image": "orders:does-not-exist"})),
    )
    .await;
    let waiting = |state: &Value| state["pods"].to_string().contains("ImagePullBackOff");
    alike(&both, "not to be pulled", |state| {
        progressing(state) == "ProgressDeadlineExceeded" && waiting(state)
    })
    .await;

    let crash = container(json!({"image": "orders:1.0.0", "env": [{"name": "CRASH_AFTER_MS", "value": "0"}]}));
    both.call("PATCH", one, STRATEGIC, crash).await;
    let crashed = |state: &Value| state["pods"].to_string().contains("CrashLoopBackOff");
    alike(&both, "in a crash loop", |state| {
        progressing(state) == "ProgressDeadlineExceeded" && crashed(state)
    })
    .await;

    let back = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
    both.call("PATCH", one, JSON_PATCH, back).await;
    alike(&both, "put back again", |state| done(state) && !crashed(state)).await;
    both.call("PATCH", one, STRATEGIC, json!({"spec": {"replicas": 0}}))
        .await;
    alike(&both, "scaled to none", |state| {
        state["pods"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
    both.finish();
}
