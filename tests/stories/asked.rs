//! People ask for a rollback by hand: while nothing is wrong, to an older state, or of one part alone.

use kube::api::{DynamicObject, ListParams};
use modosu::model::incident::Verb;
use serde_json::{Value, json};

use crate::{
    config::deploy_with_settings,
    stage::{Stage, state_of},
    story,
};

const GUARD: &str = "modosu.dev/v1alpha1";

story!(a_person_puts_back_while_nothing_is_wrong);
async fn a_person_puts_back_while_nothing_is_wrong(stage: &Stage) {
    two_proven(stage).await;
    let notes =
        json!({"modosu.dev/rollback": "restoreTo", "modosu.dev/reason": "customers complain", "modosu.dev/by": "sam"});
    stage
        .edit(GUARD, "Guard", "orders", json!({"metadata": {"annotations": notes}}))
        .await;

    let recovered = stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.env("orders", "VERSION").await, "1");
    assert_eq!(stage.template_patches("orders"), 1);
    assert!(
        recovered.spec.summary.contains("sam puts it back to"),
        "{}",
        recovered.spec.summary
    );
    let decided = recovered.status.unwrap().decided.unwrap();
    assert_eq!(
        (decided.verb, decided.reason.as_deref()),
        (Some(Verb::Rollback), Some("customers complain"))
    );
    let left = stage.guard_now("orders").await.metadata.annotations.unwrap_or_default();
    let own = left.keys().filter(|key| key.starts_with("modosu.dev/"));
    assert_eq!(own.count(), 0, "all of it is taken down: {left:?}");

    // Said again it cannot be followed, and changes nothing.
    let again = json!({"modosu.dev/rollback": recovered.spec.bad.hash});
    stage
        .edit(GUARD, "Guard", "orders", json!({"metadata": {"annotations": again}}))
        .await;
    let gone = async || {
        let notes = stage.guard_now("orders").await.metadata.annotations.unwrap_or_default();
        (!notes.contains_key("modosu.dev/rollback")).then_some(())
    };
    stage.until("it is refused and taken down", 20, gone).await;
    assert_eq!(
        (stage.incidents().await.len(), stage.template_patches("orders")),
        (1, 1)
    );
}

story!(a_person_puts_only_the_settings_back);
async fn a_person_puts_only_the_settings_back(stage: &Stage) {
    let good = json!({"ERROR_SHARE": "0", "GREETING": "hello"});
    deploy_with_settings(stage, "legacy", &good).await;
    stage
        .guard("orders", json!({"mode": "ask", "metrics": {"window": "3s"}}))
        .await;
    stage.daemon().await;
    stage.proven("orders").await;
    stage
        .edit("v1", "ConfigMap", "settings", json!({"data": {"ERROR_SHARE": "0.4"}}))
        .await;
    stage.set_env("orders", "VERSION", "2").await;
    let name = stage.incident_in("AwaitingDecision", 60).await.metadata.name.unwrap();
    let page = stage.page(&format!("/incidents/{}/{name}", stage.namespace)).await;
    assert!(
        page.contains("put only ConfigMap/settings back; Deployment/orders stays as it is"),
        "{page}"
    );

    let decision = json!({"verb": "rollback", "by": "sam", "only": ["ConfigMap/settings"]});
    stage
        .edit(GUARD, "Incident", &name, json!({"spec": {"decision": decision}}))
        .await;
    let recovered = stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.config_data("settings").await, good, "the settings are back");
    assert_eq!(stage.env("orders", "VERSION").await, "2", "the release stays");
    let status = recovered.status.unwrap();
    assert_eq!(status.only, ["ConfigMap/settings"]);
    let mixed = "Deployment/orders stays as it is: only ConfigMap/settings is put back";
    assert_eq!(status.not_restored, [mixed]);
    assert_eq!(stage.incidents().await.len(), 1);
}

story!(a_person_goes_back_to_an_older_state);
async fn a_person_goes_back_to_an_older_state(stage: &Stage) {
    let oldest = two_proven(stage).await;
    stage
        .edit(GUARD, "Guard", "orders", json!({"spec": {"mode": "ask"}}))
        .await;
    stage.release("orders", version("3", "0.5"), |_| ()).await;
    let name = stage.incident_in("AwaitingDecision", 60).await.metadata.name.unwrap();
    let decision = json!({"verb": "rollback", "by": "sam", "to": "0000"});
    stage
        .edit(GUARD, "Incident", &name, json!({"spec": {"decision": decision}}))
        .await;
    stage.wait(3).await;
    let waiting = stage.incidents().await.remove(0);
    assert_eq!(state_of(&waiting), "AwaitingDecision", "there is no such state");
    assert_eq!(stage.target_writes(), 0);

    let decision = json!({"verb": "rollback", "by": "sam", "to": oldest});
    stage
        .edit(GUARD, "Incident", &name, json!({"spec": {"decision": decision}}))
        .await;
    let recovered = stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.env("orders", "VERSION").await, "1");
    let goal = recovered.status.unwrap().goal.unwrap();
    assert_eq!(goal.hash, oldest);
}

story!(a_person_goes_back_to_an_unproven_revision);
async fn a_person_goes_back_to_an_unproven_revision(stage: &Stage) {
    two_proven(stage).await;
    // One that ran for a moment, and another one after it, which hurts.
    let second = stage.current("orders").await.unwrap().hash;
    stage.release("orders", version("3", "0"), |_| ()).await;
    let third = stage.changed("orders", &second).await;
    stage.rolled_out("orders").await;
    stage
        .edit(GUARD, "Guard", "orders", json!({"spec": {"mode": "ask"}}))
        .await;
    stage.release("orders", version("4", "0.5"), |_| ()).await;
    stage.changed("orders", &third).await;
    let name = stage.incident_in("AwaitingDecision", 60).await.metadata.name.unwrap();
    let sets = stage
        .api("apps/v1", "ReplicaSet")
        .list(&ListParams::default())
        .await
        .unwrap();
    let is_third =
        |set: &&DynamicObject| set.data["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == "3";
    let set = sets.iter().find(is_third).unwrap();
    let hash = set.metadata.labels.as_ref().unwrap()["pod-template-hash"].clone();

    // Without the one Deployment nothing follows.
    let decide = async |only: Value| {
        let decision = json!({"verb": "rollback", "by": "sam", "to": hash, "only": only});
        stage
            .edit(GUARD, "Incident", &name, json!({"spec": {"decision": decision}}))
            .await;
    };
    decide(json!([])).await;
    stage
        .always("nothing is written", 3, async || stage.target_writes() == 0)
        .await;
    decide(json!(["Deployment/orders"])).await;
    let recovered = stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.env("orders", "VERSION").await, "3");
    assert_eq!(stage.template_patches("orders"), 1);
    let status = recovered.status.unwrap();
    assert_eq!(status.goal.unwrap().hash, hash);
    let warned = status.journal.iter().filter_map(|entry| entry.note.as_deref());
    assert_eq!(warned.filter(|note| note.contains("never proven")).count(), 1);
    let now = stage.current("orders").await.unwrap();
    assert_eq!(
        (now.hash, now.change),
        (third, false),
        "as it was before, by a person's choice"
    );
}

/// `modosu rollback` and `keep`, as a person calls them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_decide_with_commands() {
    let stage = Stage::real("people_decide_with_commands").await;
    two_proven(&stage).await;
    let guard = format!("{}/orders", stage.namespace);
    let said = stage
        .command(&["rollback", &guard, "--reason", "customers complain"])
        .await;
    assert!(said.starts_with("asked for: put orders BACK to "), "{said}");
    let recovered = stage.incident_in("Recovered", 90).await;
    assert_eq!(stage.env("orders", "VERSION").await, "1");
    assert_eq!(
        recovered.spec.decision.unwrap().reason.as_deref(),
        Some("customers complain")
    );

    stage.release("orders", version("3", "0.5"), |_| ()).await;
    let name = stage.incident_in("AwaitingDecision", 60).await.metadata.name.unwrap();
    let said = stage
        .command(&["keep", &format!("{}/{name}", stage.namespace), "--reason", "a test"])
        .await;
    assert!(said.contains("KEEP "), "{said}");
    stage.incident_in("Kept", 20).await;

    // What was chosen before is no part of the next decision.
    stage.release("orders", version("4", "0.5"), |_| ()).await;
    let name = stage.incident_in("AwaitingDecision", 60).await.metadata.name.unwrap();
    let incident = format!("{}/{name}", stage.namespace);
    stage
        .command(&[
            "rollback",
            &incident,
            "--only",
            "ConfigMap/none",
            "--to",
            "0000",
            "--reason",
            "a slip",
        ])
        .await;
    stage.command(&["rollback", &incident, "--reason", "all of it"]).await;
    let whole = async || {
        let incidents = stage.incidents().await;
        incidents
            .into_iter()
            .find(|one| one.metadata.name.as_deref() == Some(&name) && state_of(one) == "Recovered")
    };
    let decision = stage.until("all of it is back", 90, whole).await.spec.decision.unwrap();
    assert_eq!((decision.only.len(), decision.to), (0, None));
    stage.end().await;
}

fn version(version: &str, errors: &str) -> Value {
    json!([{"name": "VERSION", "value": version}, {"name": "ERROR_SHARE", "value": errors}])
}

/// Two states were proven, the second one runs; gives the first one's hash.
async fn two_proven(stage: &Stage) -> String {
    stage.deploy("orders", version("1", "0")).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let first = stage.current("orders").await.unwrap().hash;
    stage.release("orders", version("2", "0"), |_| ()).await;
    stage.changed("orders", &first).await;
    stage.proven("orders").await;
    first
}

story!(where_nothing_is_to_be_put_back_nothing_is_marked_bad);
async fn where_nothing_is_to_be_put_back_nothing_is_marked_bad(stage: &Stage) {
    let good = json!({"GREETING": "hello"});
    deploy_with_settings(stage, "legacy", &good).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let first = stage.current("orders").await.unwrap().hash;
    stage.set_env("orders", "VERSION", "2").await;
    stage.changed("orders", &first).await;
    stage.proven("orders").await;
    let second = stage.current("orders").await.unwrap().hash;

    let notes = json!({"modosu.dev/rollback": first[..4], "modosu.dev/only": "ConfigMap/settings"});
    stage
        .edit(GUARD, "Guard", "orders", json!({"metadata": {"annotations": notes}}))
        .await;
    let gone = async || {
        let notes = stage.guard_now("orders").await.metadata.annotations.unwrap_or_default();
        (!notes.contains_key("modosu.dev/only")).then_some(())
    };
    stage.until("it is refused and taken down", 20, gone).await;
    assert!(stage.incidents().await.is_empty());
    assert!(!stage.is_bad("orders", &second).await);
}
