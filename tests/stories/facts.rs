//! Hard facts: what trips them, and what only looks like it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU8, Ordering},
};

use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::{
    stage::{Bad, Stage, state_of},
    story,
};

/// Steps of five seconds in the place of minutes.
const WINDOW: &str = "5s";

story!(a_release_that_exceeds_its_progress_deadline);
async fn a_release_that_exceeds_its_progress_deadline(stage: &Stage) {
    stage.deploy("orders", json!([{"name": "VERSION", "value": "a"}])).await;
    stage
        .edit(
            "apps/v1",
            "Deployment",
            "orders",
            json!({"spec": {"progressDeadlineSeconds": 10}}),
        )
        .await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;

    let env = json!([{"name": "VERSION", "value": "b"}]);
    stage
        .release("orders", env, |template| {
            template["spec"]["containers"][0]["image"] = json!("orders-does-not-exist:2.0.0");
        })
        .await;
    let incident = stage.incident_in("Recovered", 90).await;
    assert_eq!(names(&incident.spec), ["progress_deadline_exceeded"]);
    assert_eq!(stage.env("orders", "VERSION").await, "a", "put back");
    assert_eq!(stage.template_patches("orders"), 1);
}

story!(a_container_that_waits_for_what_it_needs);
async fn a_container_that_waits_for_what_it_needs(stage: &Stage) {
    stage.deploy("orders", json!([{"name": "VERSION", "value": "a"}])).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let a = stage.current("orders").await.unwrap().hash;

    // What the new pod needs is not there yet: it ends, twice.
    let env = json!([{"name": "VERSION", "value": "b"}, {"name": "CRASHES", "value": "2"}]);
    stage.release("orders", env, |_| ()).await;
    stage.changed("orders", &a).await;
    stage
        .until("it serves at last", 90, async || {
            let pods = stage.pods("orders").await;
            pods.iter().any(|pod| ends(pod) == 2 && is_ready(pod)).then_some(())
        })
        .await;
    stage
        .always("it is left alone", 10, async || {
            stage.incidents().await.is_empty() && stage.target_writes() == 0
        })
        .await;
}

story!(traffic_that_is_gone_only_alerts);
async fn traffic_that_is_gone_only_alerts(stage: &Stage) {
    busy(stage, "orders").await;
    let a = stage.current("orders").await.unwrap().hash;
    // A release of its own, which could be put back.
    stage.set_env("orders", "VERSION", "b").await;
    stage.changed("orders", &a).await;
    stage.proven("orders").await;
    stage.misbehave("orders", rate(0.0));

    let incident = stage.incident_in("AwaitingDecision", 60).await;
    assert_eq!(names(&incident.spec), ["traffic_gone"]);
    let sentence = &incident.spec.triggers[0].sentence;
    assert!(
        sentence.contains(" requests in ")
            && sentence.contains("a second came before")
            && sentence.contains("its targets are up"),
        "{sentence}"
    );
    stage
        .always("people decide", 5, async || stage.target_writes() == 0)
        .await;
    assert_eq!(state_of(&stage.incidents().await[0]), "AwaitingDecision");
}

/// The workload's requests are counted by a proxy, which is no target of the workload's name.
#[tokio::test(start_paused = true)]
async fn traffic_that_is_gone_is_seen_where_a_proxy_counts_it_and_can_be_asked() {
    for (serves, opens) in [(true, true), (false, false)] {
        let stage = Stage::embedded(&format!("traffic_of_a_proxy_{serves}")).await;
        let proxied = proxies(&stage);
        stage.deploy("orders", json!([{"name": "VERSION", "value": "a"}])).await;
        let metrics = json!({"preset": "istio", "window": WINDOW});
        stage.guard("orders", json!({"metrics": metrics, "triggers": []})).await;
        stage.daemon().await;
        stage.proven("orders").await;
        stage.wait(30).await;
        proxied.store(if serves { GONE } else { FAILS }, Ordering::Relaxed);
        if opens {
            let incident = stage.incident_in("AwaitingDecision", 60).await;
            assert_eq!(names(&incident.spec), ["traffic_gone"]);
            assert_eq!(stage.target_writes(), 0);
        } else {
            stage.wait(40).await;
            left_alone(&stage).await;
        }
    }
}

/// What two proxies of the workload do: both count, the busy one gets no requests any more, or it is down.
const COUNTS: u8 = 0;
const GONE: u8 = 1;
const FAILS: u8 = 2;

/// A busy proxy and a quiet one.
fn proxies(stage: &Stage) -> Arc<AtomicU8> {
    let what = Arc::new(AtomicU8::new(COUNTS));
    for (instance, each) in [("10.9.0.1:15020", 50.0), ("10.9.0.2:15020", 0.5)] {
        let labels = [("job", "istio-proxy"), ("instance", instance)];
        let (what, namespace) = (what.clone(), stage.namespace.clone());
        let counted = Mutex::new((stage.world().now(), 0.0));
        stage.world().add_target(&labels, move |now| {
            let what = if each > 1.0 {
                what.load(Ordering::Relaxed)
            } else {
                COUNTS
            };
            let mut counted = counted.lock().unwrap();
            if what == COUNTS {
                counted.1 += now.duration_since(counted.0).as_secs_f64() * each;
            }
            counted.0 = now;
            let row = format!(
                "istio_requests_total{{reporter=\"destination\",response_code=\"200\",destination_workload=\"orders\",\
                 destination_workload_namespace=\"{namespace}\"}} {}\n",
                counted.1.floor()
            );
            (what != FAILS).then(|| format!("# TYPE istio_requests_total counter\n{row}"))
        });
    }
    what
}

story!(a_quiet_night);
async fn a_quiet_night(stage: &Stage) {
    busy(stage, "orders").await;
    // Half of it every three windows: much faster than any evening.
    for requests in [25.0, 12.0, 6.0, 3.0, 1.5, 0.8] {
        stage.misbehave("orders", rate(requests));
        stage.wait(15).await;
    }
    left_alone(stage).await;
    let shown = stage.shown("orders").await;
    let signals = shown["signals"].as_array().unwrap();
    let requests = signals.iter().find(|signal| signal["name"] == "request_rate").unwrap();
    let (now, before) = (
        requests["value"].as_f64().unwrap(),
        requests["baseline"].as_f64().unwrap(),
    );
    assert!(now < before / 10.0, "{now}/s of {before}/s");
}

story!(a_switch_from_blue_to_green);
async fn a_switch_from_blue_to_green(stage: &Stage) {
    stage.deploy("green", json!([{"name": "RPS", "value": "0.5"}])).await;
    busy(stage, "orders").await;
    stage.misbehave("green", rate(50.0));
    stage.misbehave("orders", rate(0.0));
    stage.wait(20).await;
    left_alone(stage).await;
    let now = stage.signal("orders", "request_rate").await;
    assert!(now.is_some_and(|now| now < 5.0), "blue has no traffic: {now:?}");
}

story!(a_renamed_metric);
async fn a_renamed_metric(stage: &Stage) {
    busy(stage, "orders").await;
    let a = stage.current("orders").await.unwrap().hash;
    stage.set_env("orders", "METRIC", "http_server_requests").await;
    stage.changed("orders", &a).await;
    stage.rolled_out("orders").await;
    stage
        .until("its numbers are unknown", 60, async || {
            stage.signal("orders", "request_rate").await.is_none().then_some(())
        })
        .await;
    left_alone(stage).await;
}

/// Proven, with a baseline, and watched long enough to know what is usual.
async fn busy(stage: &Stage, name: &str) {
    stage.deploy(name, json!([{"name": "VERSION", "value": "a"}])).await;
    stage.guard(name, json!({"metrics": {"window": WINDOW}})).await;
    stage.daemon().await;
    stage.proven(name).await;
    stage.wait(30).await;
}

async fn left_alone(stage: &Stage) {
    stage
        .always("nothing is opened", 20, async || {
            stage.incidents().await.is_empty() && stage.target_writes() == 0
        })
        .await;
}

fn rate(rps: f64) -> Bad {
    Bad {
        rps: Some(rps),
        ..Bad::default()
    }
}

fn names(spec: &modosu::model::incident::IncidentSpec) -> Vec<&str> {
    spec.triggers.iter().map(|found| found.name.as_str()).collect()
}

/// How often the pod's container has ended: restarted, or lying dead.
fn ends(pod: &DynamicObject) -> i64 {
    let status = &pod.data["status"]["containerStatuses"][0];
    let restarts = status["restartCount"].as_i64().unwrap_or(0);
    let (now, before) = (&status["state"], &status["lastState"]);
    let waits = now["waiting"].is_object() && before["terminated"].is_object();
    restarts + i64::from(now["terminated"].is_object() || waits)
}

fn is_ready(pod: &DynamicObject) -> bool {
    let none: Vec<Value> = Vec::new();
    let conditions = pod.data["status"]["conditions"].as_array().unwrap_or(&none);
    conditions
        .iter()
        .any(|one| one["type"] == "Ready" && one["status"] == "True")
}
