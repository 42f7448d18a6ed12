//! Several things at once, and one after the other.

use serde_json::{Value, json};

use crate::{
    stage::{Stage, deployment},
    story,
};

fn version(version: &str, share: &str) -> Value {
    json!([{"name": "VERSION", "value": version}, {"name": "ERROR_SHARE", "value": share}])
}

/// A service in version a, proven.
async fn proven(stage: &Stage, spec: Value) -> String {
    stage.deploy("orders", version("a", "0")).await;
    stage.guard("orders", spec).await;
    stage.daemon().await;
    stage.proven("orders").await;
    stage.current("orders").await.unwrap().hash
}

story!(three_objects_go_back_together);
async fn three_objects_go_back_together(stage: &Stage) {
    stage.config("settings", json!({"GREETING": "hello"})).await;
    for name in ["orders", "worker"] {
        let mut object = deployment(&stage.namespace, name, version("a", "0"));
        object["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
            json!([{"configMapRef": {"name": "settings"}}]);
        stage.create("apps/v1", "Deployment", object).await;
        stage.rolled_out(name).await;
    }
    let targets = json!([{"kind": "Deployment", "name": "orders"}, {"kind": "Deployment", "name": "worker"}]);
    stage
        .guard("orders", json!({"targets": targets, "metrics": {"window": "3s"}}))
        .await;
    stage.daemon().await;
    stage.proven("orders").await;
    let a = stage.current("orders").await.unwrap().hash;

    // Only orders fails; it goes back as a whole all the same.
    stage
        .edit(
            "v1",
            "ConfigMap",
            "settings",
            json!({"data": {"GREETING": "good evening"}}),
        )
        .await;
    stage.set_env("worker", "VERSION", "b").await;
    stage.set_env("orders", "ERROR_SHARE", "0.5").await;
    let incident = stage.incident_in("Recovered", 120).await;
    assert_eq!(stage.config_data("settings").await, json!({"GREETING": "hello"}));
    assert_eq!(stage.env("worker", "VERSION").await, "a");
    assert_eq!(stage.env("orders", "ERROR_SHARE").await, "0");
    assert_eq!(stage.target_writes(), 3, "each once");
    let plan = incident.status.unwrap().plan;
    let written: Vec<_> = plan.iter().filter_map(|step| step.target.as_deref()).collect();
    assert_eq!(
        written,
        ["ConfigMap/settings", "Deployment/orders", "Deployment/worker"],
        "settings first"
    );
    assert_eq!(
        stage.current("orders").await.unwrap().hash,
        a,
        "the proven state runs again"
    );
}

story!(an_autoscaled_deployment_keeps_its_seven_pods);
async fn an_autoscaled_deployment_keeps_its_seven_pods(stage: &Stage) {
    proven(stage, json!({})).await;
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders"});
    let autoscaler = json!({"metadata": {"name": "orders"},
        "spec": {"scaleTargetRef": reference, "minReplicas": 7, "maxReplicas": 7}});
    stage
        .create("autoscaling/v2", "HorizontalPodAutoscaler", autoscaler)
        .await;
    // As the autoscaler does; of the embedded world there is none.
    stage
        .edit("apps/v1", "Deployment", "orders", json!({"spec": {"replicas": 7}}))
        .await;
    stage.rolled_out("orders").await;

    stage.set_env("orders", "ERROR_SHARE", "0.5").await;
    stage.incident_in("Recovered", 120).await;
    assert_eq!(stage.env("orders", "ERROR_SHARE").await, "0");
    assert_eq!(stage.deployment("orders").await.data["spec"]["replicas"], 7);
    assert_eq!(stage.pods("orders").await.len(), 7);
}

story!(two_incidents_in_a_row);
async fn two_incidents_in_a_row(stage: &Stage) {
    let a = proven(stage, json!({"cooldown": "0s", "metrics": {"window": "3s"}})).await;
    for (number, bad) in [(1, "b"), (2, "c")] {
        stage.release("orders", version(bad, "0.5"), |_| {}).await;
        let over = async || {
            let all = stage.incidents().await;
            let recovered = all.iter().filter(|one| crate::stage::state_of(one) == "Recovered");
            (recovered.count() == number).then_some(())
        };
        stage.until("it is put back", 120, over).await;
        assert_eq!(stage.env("orders", "VERSION").await, "a");
        assert_eq!(stage.template_patches("orders"), number, "once each");
    }
    assert_eq!(stage.current("orders").await.unwrap().hash, a);
    let status = stage.guard_now("orders").await.status.unwrap();
    assert_eq!(status.bad.len(), 2, "both are remembered");
}

story!(beyond_the_budget_people_decide_and_are_not_counted);
async fn beyond_the_budget_people_decide_and_are_not_counted(stage: &Stage) {
    stage.deploy("orders", version("a", "0")).await;
    let spec = json!({"cooldown": "0s", "metrics": {"window": "3s"}});
    stage.guard("orders", spec).await;
    stage.daemon_with_budget(1).await;
    stage.proven("orders").await;
    stage.release("orders", version("b", "0.5"), |_| {}).await;
    stage.incident_in("Recovered", 120).await;

    // Each with a fault of its own: nothing that was put back returns.
    for (bad, share) in [("c", "0.6"), ("d", "0.7")] {
        stage.release("orders", version(bad, share), |_| {}).await;
        let incident = stage.incident_in("AwaitingDecision", 120).await;
        let reason = incident.status.unwrap().reason;
        let spent = "1 rollbacks began within the hour, budget.rollbacksPerHour is 1";
        assert!(
            reason.contains(spent),
            "what a person decided is not taken off: {reason}"
        );
        assert_eq!(stage.env("orders", "VERSION").await, bad, "nothing is written");
        stage.decide(&incident.metadata.name.unwrap(), "rollback").await;
        let awaited = async || {
            let all = stage.incidents().await;
            let open = all.iter().filter(|one| crate::stage::state_of(one) != "Recovered");
            (open.count() == 0).then_some(())
        };
        stage.until("it is put back", 120, awaited).await;
        assert_eq!(stage.env("orders", "VERSION").await, "a");
    }
}
