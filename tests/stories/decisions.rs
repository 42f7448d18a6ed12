//! What only hurts goes to people, and modosu follows what they decide.

use modosu::model::incident::{Incident, Verb};
use serde_json::{Value, json};

use crate::{
    stage::{Stage, state_of},
    story,
};

story!(twice_as_slow_people_roll_back);
async fn twice_as_slow_people_roll_back(stage: &Stage) {
    // The preset's own 95th percentile; it is known once a whole window lies behind the change.
    slow_release(stage, json!({"metrics": {"window": "5s"}})).await;
    let waiting = stage.incident_in("AwaitingDecision", 90).await;
    let evidence = &waiting.spec.triggers[0];
    let (value, baseline) = (evidence.value.unwrap(), evidence.baseline.unwrap());
    assert!(
        (1.9..2.2).contains(&(value / baseline)),
        "twice as slow: {value} s against {baseline} s"
    );
    assert_eq!(waiting.spec.grade, "High");
    nothing_happens(stage, 3).await;
    assert_eq!(stage.shown("orders").await["state"], "AwaitingDecision");

    let name = waiting.metadata.name.clone().unwrap();
    stage.decide(&name, "rollback").await;
    let recovered = stage.incident_in("Recovered", 90).await;

    assert_eq!(
        recovered.metadata.name.as_deref(),
        Some(name.as_str()),
        "the same incident"
    );
    let status = recovered.status.unwrap();
    let decided = status.decided.unwrap();
    assert_eq!(
        (decided.verb, decided.by.as_deref()),
        (Some(Verb::Rollback), Some("sam"))
    );
    assert!(
        status.acting_since > Some(waiting.spec.opened_at),
        "it waited for people"
    );
    assert_eq!(stage.env("orders", "LATENCY_MS").await, "20", "the template is back");
    assert_eq!(stage.template_patches("orders"), 1, "one template patch by modosu");
}

story!(twice_as_slow_people_keep_it);
async fn twice_as_slow_people_keep_it(stage: &Stage) {
    slow_release(stage, own_response_time(&stage.namespace)).await;
    let waiting = stage.incident_in("AwaitingDecision", 60).await;
    stage.decide(&waiting.metadata.name.clone().unwrap(), "keep").await;
    stage.incident_in("Kept", 20).await;

    // Longer than the trigger takes to fire; the state is as slow as before.
    nothing_happens(stage, 14).await;
    assert_eq!(of(stage, &waiting).await.len(), 1, "never again for this state");
    let shown = stage.shown("orders").await;
    assert_eq!(
        shown["triggers"][1]["status"], "firing",
        "it is still reported: {}",
        shown["triggers"]
    );

    stage.set_env("orders", "LATENCY_MS", "45").await;
    let other = stage.incident_in("AwaitingDecision", 60).await;
    assert_ne!(
        other.spec.bad.hash, waiting.spec.bad.hash,
        "another slow state is asked about"
    );
    nothing_happens(stage, 1).await;
    assert_eq!(stage.env("orders", "LATENCY_MS").await, "45");
}

/// A release that answers in twice the time.
pub async fn slow_release(stage: &Stage, spec: Value) {
    stage
        .deploy("orders", json!([{"name": "LATENCY_MS", "value": "20"}]))
        .await;
    stage.guard("orders", spec).await;
    stage.daemon().await;
    stage.proven("orders").await;
    stage
        .until("the response time is known", 120, async || {
            stage.signal("orders", "response_time").await
        })
        .await;
    // As long as the baseline's window.
    stage.wait(6).await;
    stage.set_env("orders", "LATENCY_MS", "40").await;
}

/// The 95th percentile over five seconds.
fn own_response_time(namespace: &str) -> Value {
    let buckets = format!("http_request_duration_seconds_bucket{{namespace=\"{namespace}\", job=\"orders\"}}");
    let query = format!("histogram_quantile(0.95, sum by (le) (rate({buckets}[5s])))");
    json!({"metrics": {"signals": {"response_time": {"gauge": query, "unit": "seconds"}}}})
}

/// For so long nothing that is guarded is written.
async fn nothing_happens(stage: &Stage, seconds: u64) {
    stage.wait(seconds).await;
    assert_eq!(stage.target_writes(), 0, "nothing is patched without a decision for it");
}

/// The incidents of the same bad state.
async fn of(stage: &Stage, like: &Incident) -> Vec<String> {
    let all = stage.incidents().await;
    let same = all.iter().filter(|one| one.spec.bad.hash == like.spec.bad.hash);
    same.map(state_of).collect()
}

story!(a_deleted_guard_closes_its_incident);
async fn a_deleted_guard_closes_its_incident(stage: &Stage) {
    stage.deploy("orders", json!([{"name": "VERSION", "value": "a"}])).await;
    stage.guard("orders", json!({"mode": "ask"})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let failing = json!([{"name": "VERSION", "value": "b"}, {"name": "ERROR_SHARE", "value": "0.5"}]);
    stage.release("orders", failing, |_| {}).await;
    let incident = stage.incident_in("AwaitingDecision", 60).await;

    let guards = stage.api("modosu.dev/v1alpha1", "Guard");
    guards
        .delete("orders", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    let closed = stage.incident_in("Abandoned", 60).await;
    assert_eq!(closed.spec, incident.spec, "its evidence stays");
    assert_eq!(stage.target_writes(), 0);
}
