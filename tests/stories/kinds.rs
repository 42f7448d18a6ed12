//! StatefulSets and DaemonSets are guarded as Deployments are, as far as their controllers let a template go back.

use serde_json::{Value, json};

use crate::{
    stage::{Stage, deployment, state_of},
    story,
};

story!(a_stateful_set_goes_back);
async fn a_stateful_set_goes_back(stage: &Stage) {
    proven(stage, "StatefulSet").await;
    let env = json!([{"name": "VERSION", "value": "b"}, {"name": "ERROR_SHARE", "value": "0.5"}]);
    release(stage, "StatefulSet", env).await;
    let incident = stage.incident_in("Recovered", 120).await;
    let fired: Vec<_> = incident.spec.triggers.iter().map(|found| found.name.as_str()).collect();
    assert!(fired.contains(&"error rate rose"), "{fired:?}");
    goes_back(stage, "StatefulSet", "statefulsets").await;
}

story!(a_daemon_set_that_crashes_goes_back);
async fn a_daemon_set_that_crashes_goes_back(stage: &Stage) {
    proven(stage, "DaemonSet").await;
    release(stage, "DaemonSet", crashing()).await;
    let incident = stage.incident_in("Recovered", 120).await;
    assert_eq!(incident.spec.triggers[0].name, "crash_looping");
    goes_back(stage, "DaemonSet", "daemonsets").await;
}

story!(a_stateful_set_whose_pod_never_gets_ready_is_for_people);
async fn a_stateful_set_whose_pod_never_gets_ready_is_for_people(stage: &Stage) {
    proven(stage, "StatefulSet").await;
    release(stage, "StatefulSet", crashing()).await;
    let incident = stage.incident_in("AwaitingDecision", 120).await;
    assert_eq!(incident.spec.triggers[0].name, "crash_looping");
    // Its controller would wait for that pod for ever, also with the old template: said instead of pretended.
    let reason = incident.status.unwrap().reason;
    assert!(
        reason.contains("in order") && reason.contains("kubectl delete pod orders-1"),
        "{reason}"
    );
    stage
        .always("nothing is written", 5, async || stage.target_writes() == 0)
        .await;
    assert_eq!(state_of(&stage.incidents().await[0]), "AwaitingDecision");
}

fn crashing() -> Value {
    json!([
        {"name": "VERSION", "value": "b"},
        {"name": "NEVER_READY", "value": "1"},
        {"name": "CRASH_AFTER_MS", "value": "300"},
    ])
}

async fn proven(stage: &Stage, kind: &str) {
    let mut object = deployment(&stage.namespace, "orders", json!([{"name": "VERSION", "value": "a"}]));
    if kind == "DaemonSet" {
        object["spec"].as_object_mut().unwrap().remove("replicas");
    } else {
        object["spec"]["replicas"] = json!(2);
        object["spec"]["serviceName"] = json!("orders");
    }
    stage.create("apps/v1", kind, object).await;
    let targets = json!([{"kind": kind, "name": "orders"}]);
    stage.guard("orders", json!({"targets": targets})).await;
    stage.daemon().await;
    stage.proven("orders").await;
}

async fn release(stage: &Stage, kind: &str, env: Value) {
    let template = deployment(&stage.namespace, "orders", env)["spec"]["template"].take();
    stage
        .edit("apps/v1", kind, "orders", json!({"spec": {"template": template}}))
        .await;
}

async fn goes_back(stage: &Stage, kind: &str, resource: &str) {
    let object = stage.api("apps/v1", kind).get("orders").await.unwrap();
    let version = |template: &Value| template["spec"]["containers"][0]["env"][0]["value"].clone();
    assert_eq!(version(&object.data["spec"]["template"]), "a", "the template");
    let pods = stage.pods("orders").await;
    assert!(
        !pods.is_empty() && pods.iter().all(|pod| version(&pod.data) == "a"),
        "every pod"
    );
    let writes = stage.writes();
    let patches: Vec<_> = writes.iter().filter(|write| write.resource == resource).collect();
    assert_eq!((patches.len(), stage.target_writes()), (1, 1), "one patch");
}
