//! StatefulSets and DaemonSets are guarded as Deployments are, as far as their controllers let a template go back.

use jiff::SignedDuration;
use modosu::model::incident::Incident;
use serde_json::{Value, json};

use crate::{
    stage::{
        Bad, Stage, deployment,
        line::{Point, Side},
    },
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

story!(a_stateful_set_whose_pod_never_gets_ready_goes_back);
async fn a_stateful_set_whose_pod_never_gets_ready_goes_back(stage: &Stage) {
    proven(stage, "StatefulSet").await;
    release(stage, "StatefulSet", crashing()).await;
    let incident = stage.incident_in("Recovered", 120).await;
    assert_eq!(incident.spec.triggers[0].name, "crash_looping");
    // Its controller would wait for that pod for ever, also with the old template.
    the_pod_was_deleted_once(stage, incident);
    goes_back(stage, "StatefulSet", "statefulsets").await;
}

#[tokio::test(start_paused = true)]
async fn killed_around_the_deletion_of_a_pod() {
    for (side, name) in [(Side::Before, "before"), (Side::After, "after")] {
        let stage = Stage::embedded(&format!("killed_{name}_the_deletion_of_a_pod")).await;
        proven(&stage, "StatefulSet").await;
        let request = "delete pods/orders-1".to_owned();
        stage.kill_on(&Point { request, nth: 1, side });
        release(&stage, "StatefulSet", crashing()).await;
        stage
            .until("it is killed", 120, async || stage.killed().then_some(()))
            .await;
        stage.daemon().await;
        let incident = stage.incident_in("Recovered", 120).await;
        the_pod_was_deleted_once(&stage, incident);
        goes_back(&stage, "StatefulSet", "statefulsets").await;
    }
}

fn the_pod_was_deleted_once(stage: &Stage, incident: Incident) {
    let deletes = stage.writes().into_iter().filter(|write| write.resource == "pods");
    let deletes: Vec<_> = deletes.map(|write| (write.verb, write.name)).collect();
    assert_eq!(deletes, [("delete".to_owned(), "orders-1".to_owned())]);
    let journal = incident.status.unwrap().journal;
    let of_pod = journal
        .iter()
        .filter(|entry| entry.target.as_deref() == Some("Pod/orders-1"));
    let words = of_pod.map(|entry| entry.intent.as_deref().or(entry.receipt.as_deref()));
    assert_eq!(words.collect::<Vec<_>>(), [Some("deletePod"), Some("done")]);
}

/// Kubernetes has no deadline for its roll-outs; and the daemon's clock is not the API server's.
#[tokio::test(start_paused = true)]
async fn a_daemon_set_that_comes_no_farther_goes_back_whatever_the_clocks_say() {
    for minutes in [-10, 0, 10] {
        let stage = Stage::embedded(&format!("a_daemon_set_{minutes}")).await;
        prepared(&stage, "DaemonSet").await;
        stage.daemon_ahead(SignedDuration::from_mins(minutes)).await;
        stage.proven("orders").await;
        let env = json!([{"name": "VERSION", "value": "b"}, {"name": "NEVER_READY", "value": "1"}]);
        release(&stage, "DaemonSet", env).await;
        stage
            .always("it is given its ten minutes", 595, async || {
                stage.incidents().await.is_empty()
            })
            .await;
        let incident = stage.incident_in("Recovered", 60).await;
        assert_eq!(incident.spec.triggers[0].name, "progress_deadline_exceeded");
        goes_back(&stage, "DaemonSet", "daemonsets").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_dies_after_the_roll_out_is_not_the_release() {
    for kind in ["StatefulSet", "DaemonSet"] {
        let stage = Stage::embedded(&format!("a_pod_that_dies_of_a_{kind}").to_lowercase()).await;
        proven(&stage, kind).await;
        let a = stage.current("orders").await.unwrap().hash;
        release(&stage, kind, json!([{"name": "VERSION", "value": "b"}])).await;
        stage.changed("orders", &a).await;
        stage
            .until("it is rolled out", 60, async || {
                let current = stage.current("orders").await?;
                current.rolling_since.is_none().then_some(())
            })
            .await;
        let unready = Bad {
            ready: Some(false),
            ..Bad::default()
        };
        stage.misbehave("orders", unready);
        let untouched = async || stage.incidents().await.is_empty() && stage.target_writes() == 0;
        stage.always("its node is to blame", 800, untouched).await;
        // A daemon that starts meanwhile did not see the roll-out, and knows that it was complete.
        stage.kill().await;
        stage.daemon().await;
        stage.always("its node is to blame", 800, untouched).await;
    }
}

fn crashing() -> Value {
    json!([
        {"name": "VERSION", "value": "b"},
        {"name": "NEVER_READY", "value": "1"},
        {"name": "CRASH_AFTER_MS", "value": "300"},
    ])
}

async fn proven(stage: &Stage, kind: &str) {
    prepared(stage, kind).await;
    stage.daemon().await;
    stage.proven("orders").await;
}

async fn prepared(stage: &Stage, kind: &str) {
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
