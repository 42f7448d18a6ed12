//! `worse(error_rate)`, and limits that lie below what is usual.

use kube::api::{Patch, PatchParams};
use modosu::model::guard::Action;
use serde_json::{Value, json};

use crate::{stage::Stage, story};

fn failing(share: &str) -> Value {
    json!([{"name": "WORKER_MODE", "value": "legacy"}, {"name": "ERROR_SHARE", "value": share}])
}

/// As if a day had been counted: 1 in 1,000 bad, or slower than a bucket's bound.
async fn a_day_was_counted(stage: &Stage) {
    let errors =
        json!({"requests": 4_320_000.0, "bad": 4320.0, "dispersion": 1.2, "perStep": 3000.0, "seconds": 86_400.0});
    let mut slow = errors.clone();
    slow["slowerThan"] = json!(0.025);
    let patch = json!({"status": {"baseline": {"counts": {"error_rate": errors, "response_time": slow}}}});
    let (guards, how) = (stage.api("modosu.dev/v1alpha1", "Guard"), PatchParams::default());
    guards.patch_status("orders", &how, &Patch::Merge(patch)).await.unwrap();
}

/// A proven state of which a day was counted.
async fn known_for_a_day(stage: &Stage, spec: Value) {
    stage.deploy("orders", failing("0")).await;
    stage.guard("orders", spec).await;
    stage.daemon().await;
    stage.proven("orders").await;
    stage
        .until("the baseline of all signals is taken", 120, async || {
            let baseline = stage.guard_now("orders").await.status?.baseline?;
            baseline.values.contains_key("response_time").then_some(())
        })
        .await;
    stage.kill().await;
    a_day_was_counted(stage).await;
    stage.daemon().await;
    stage.wait(8).await;
}

story!(slower_than_before);
async fn slower_than_before(stage: &Stage) {
    let triggers = json!([
        {"name": "far too slow", "condition": "response_time > 2s", "action": "automatic_rollback"},
        {"name": "slower than before", "condition": "worse(response_time)", "action": "alert_and_manual_review"},
    ]);
    known_for_a_day(stage, json!({"triggers": triggers})).await;

    stage.set_env("orders", "LATENCY_MS", "60").await;
    let incident = stage.incident_in("AwaitingDecision", 90).await;

    let [evidence] = incident.spec.triggers.as_slice() else {
        panic!("not one trigger: {:?}", incident.spec.triggers)
    };
    assert_eq!(evidence.name, "slower than before", "no limit is reached");
    assert!(evidence.odds.is_some_and(|odds| odds >= 1e4), "{evidence:?}");
    assert!(
        evidence
            .tolerated
            .is_some_and(|tolerated| (0.001..0.0015).contains(&tolerated)),
        "slow ones are 1 in 1,000 as a day showed: {evidence:?}"
    );
    assert!(
        evidence.sentence.contains(" : 1 that ") && evidence.sentence.contains("25 ms"),
        "{}",
        evidence.sentence
    );
    assert_eq!(stage.target_writes(), 0, "people decide");
}

story!(an_own_trigger_that_weighs);
async fn an_own_trigger_that_weighs(stage: &Stage) {
    let triggers = json!([{
        "name": "surely slower under load",
        "condition": "worse(response_time) and request_rate > 5/s",
        "action": "automatic_rollback",
        "for": "3s",
    }]);
    known_for_a_day(stage, json!({"triggers": triggers})).await;

    stage.set_env("orders", "LATENCY_MS", "60").await;
    let incident = stage.incident_in("Recovered", 120).await;

    assert_eq!(incident.spec.triggers[0].name, "surely slower under load");
    assert_eq!(stage.template_patches("orders"), 1);
    assert_eq!(stage.env("orders", "LATENCY_MS").await, "");
}

story!(a_few_more_errors_than_before);
async fn a_few_more_errors_than_before(stage: &Stage) {
    known_for_a_day(stage, json!({})).await;

    stage.set_env("orders", "ERROR_SHARE", "0.03").await;
    let incident = stage.incident_in("AwaitingDecision", 90).await;

    let [evidence] = incident.spec.triggers.as_slice() else {
        panic!("not one trigger: {:?}", incident.spec.triggers)
    };
    assert_eq!(evidence.name, "more errors than before", "no limit is reached");
    assert_eq!(incident.spec.action, Action::AlertAndManualReview);
    assert!(evidence.odds.is_some_and(|odds| odds >= 1e4), "{evidence:?}");
    assert!(evidence.readings.is_some_and(|readings| readings >= 3), "{evidence:?}");
    assert!(
        evidence
            .tolerated
            .is_some_and(|tolerated| (0.001..0.0015).contains(&tolerated)),
        "what was counted before the restart is what it is compared with: {evidence:?}"
    );
    assert!(
        evidence
            .query
            .as_ref()
            .is_some_and(|query| query.contains("rate(http_requests_total")),
        "{evidence:?}"
    );
    assert!(
        evidence.sentence.contains(" : 1 that errors exceed 0.1"),
        "{}",
        evidence.sentence
    );
    assert_eq!(stage.target_writes(), 0, "people decide");
}

story!(a_limit_below_what_is_usual);
async fn a_limit_below_what_is_usual(stage: &Stage) {
    let limit = |condition: &str| json!([{"name": "errors", "condition": condition, "action": "automatic_rollback", "for": "0s"}]);
    stage.deploy("orders", failing("0.2")).await;
    stage
        .guard("orders", json!({"triggers": limit("error_rate > 60%")}))
        .await;
    stage.daemon().await;
    stage.proven("orders").await;
    stage
        .until("the baseline is taken", 60, async || {
            stage.guard_now("orders").await.status?.baseline
        })
        .await;

    let lower = json!({"spec": {"triggers": limit("error_rate > 5%")}});
    stage.edit("modosu.dev/v1alpha1", "Guard", "orders", lower).await;
    let condition = stage
        .until("the guard says so", 30, async || {
            let conditions = stage.guard_now("orders").await.status?.conditions;
            conditions
                .into_iter()
                .find(|c| c.type_ == "TriggersUsable" && c.status == "False")
        })
        .await;
    assert_eq!(condition.reason, "LimitBelowBaseline");
    assert!(
        condition
            .message
            .starts_with("errors: its limit lies below the baseline: error_rate was ")
            && condition
                .message
                .ends_with("move the limit, or compare with the baseline, as in `error_rate > baseline * 2`"),
        "{}",
        condition.message
    );
    stage
        .until("the page says so too", 10, async || {
            let shown = stage.shown("orders").await;
            (shown["triggers"][0]["status"] == "not armed").then_some(())
        })
        .await;
    stage
        .always("it does not fire", 5, async || stage.incidents().await.is_empty())
        .await;
}
