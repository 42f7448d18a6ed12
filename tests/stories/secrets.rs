//! Secrets that hurt: named as targets they come back like ConfigMaps, and what they hold is told nowhere.

use jiff::{Timestamp, ToSpan};
use kube::api::{DeleteParams, ListParams};
use modosu::model::incident::Incident;
use modosu_world::Verb;
use serde_json::{Value, json};

use crate::{
    stage::{Stage, deployment},
    story,
};

/// `CELERY_ERROR_SHARE` 0 and 0.4.
const HEALTHY: &str = "MA==";
const HURTS: &str = "MC40";
/// Passwords, before and after the release, as a Secret holds them and as they are.
const OLD: [&str; 2] = ["Y29ycmVjdC1ob3JzZQ==", "correct-horse"];
const NEW: [&str; 2] = ["YmF0dGVyeS1zdGFwbGU=", "battery-staple"];

story!(a_bad_secret_goes_back_and_is_told_nowhere);
async fn a_bad_secret_goes_back_and_is_told_nowhere(stage: &Stage) {
    let good = json!({"CELERY_ERROR_SHARE": HEALTHY, "PASSWORD": OLD[0], "RETIRED": OLD[0]});
    proven(stage, json!({"data": good})).await;
    let state = stage.current("orders").await.unwrap().hash;
    kept_apart(stage, &state).await;

    let release = json!({"data": {"CELERY_ERROR_SHARE": HURTS, "PASSWORD": NEW[0], "ADDED": NEW[0], "RETIRED": null}});
    stage.edit("v1", "Secret", "db", release).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("Recovered", 90).await;

    assert_eq!(secret(stage).await["data"], good, "the content is back");
    assert_eq!(stage.env("orders", "WORKER_MODE").await, "legacy");
    assert_eq!(written(stage), ["patch secrets/db", "patch deployments/orders"]);
    assert_eq!(stage.current("orders").await.unwrap().hash, state, "the proven state");
    assert_eq!(
        diff_of(&incident, "Secret/db"),
        "- ADDED\n~ CELERY_ERROR_SHARE\n~ PASSWORD\n+ RETIRED\n"
    );
    told_nowhere(stage, &incident).await;
}

story!(a_secret_that_was_deleted_comes_again);
async fn a_secret_that_was_deleted_comes_again(stage: &Stage) {
    let good = json!({"CELERY_ERROR_SHARE": HEALTHY, "username": OLD[0]});
    let whole = json!({"type": "kubernetes.io/basic-auth", "immutable": true, "data": good});
    proven(stage, whole).await;

    stage
        .api("v1", "Secret")
        .delete("db", &DeleteParams::default())
        .await
        .unwrap();
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("Recovered", 90).await;

    let again = secret(stage).await;
    assert_eq!(again["data"], good);
    assert_eq!(again["type"], "kubernetes.io/basic-auth");
    assert_eq!(again["immutable"], true);
    assert!(again.get("salt").is_none(), "only what was there");
    assert_eq!(written(stage), ["create secrets/db", "patch deployments/orders"]);
    told_nowhere(stage, &incident).await;
}

story!(a_secret_proven_long_ago_is_put_back_by_people_alone);
async fn a_secret_proven_long_ago_is_put_back_by_people_alone(stage: &Stage) {
    let good = json!({"CELERY_ERROR_SHARE": HEALTHY, "PASSWORD": OLD[0]});
    proven(stage, json!({"data": good})).await;
    let long_ago = Timestamp::now() - 25.hours();
    let revisions = stage.api("apps/v1", "ControllerRevision");
    let snapshots = revisions.list(&ListParams::default().labels("modosu.dev/guard")).await;
    for snapshot in snapshots.unwrap().items {
        let name = snapshot.metadata.name.unwrap();
        let proven_at = &snapshot.metadata.annotations.unwrap()["modosu.dev/proven-at"];
        let proven_at = proven_at.parse::<Timestamp>().unwrap().min(long_ago) - 25.hours();
        let notes = json!({"metadata": {"annotations": {"modosu.dev/proven-at": proven_at.to_string()}}});
        stage.edit("apps/v1", "ControllerRevision", &name, notes).await;
    }

    let release = json!({"data": {"CELERY_ERROR_SHARE": HURTS, "PASSWORD": NEW[0]}});
    stage.edit("v1", "Secret", "db", release).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("AwaitingDecision", 60).await;
    let reason = incident.status.unwrap().reason;
    assert!(
        reason.contains("Secret/db") && reason.contains("credentials rotate"),
        "{reason}"
    );
    stage
        .always("nothing is written", 5, async || written(stage).is_empty())
        .await;

    stage.decide(&incident.metadata.name.unwrap(), "rollback").await;
    stage.incident_in("Recovered", 90).await;
    assert_eq!(secret(stage).await["data"], good);
}

/// Many proofs: time for the embedded world alone.
#[tokio::test(start_paused = true)]
async fn secrets_of_old_states_go_with_their_snapshots() {
    let stage = Stage::embedded("secrets_of_old_states_go").await;
    proven(&stage, json!({"data": {"PASSWORD": OLD[0]}})).await;
    for release in 1..8 {
        let before = stage.current("orders").await.unwrap().hash;
        let data = json!({"data": {"RELEASE": "MTIz".repeat(release)}});
        stage.edit("v1", "Secret", "db", data).await;
        stage.changed("orders", &before).await;
        stage.restart("orders").await;
        stage.proven("orders").await;
    }
    let names = async |api: &str, kind: &str| {
        let all = stage
            .api(api, kind)
            .list(&ListParams::default().labels("modosu.dev/guard"))
            .await;
        let mut names: Vec<_> = all
            .unwrap()
            .items
            .into_iter()
            .filter_map(|one| one.metadata.name)
            .collect();
        names.sort();
        names
    };
    let kept = names("v1", "Secret").await;
    assert_eq!(kept.len(), 5, "{kept:?}");
    assert_eq!(kept, names("apps/v1", "ControllerRevision").await);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_too_large_to_be_kept_is_named() {
    let stage = Stage::embedded("a_secret_that_is_too_large").await;
    deploy(
        &stage,
        json!({"data": {"PASSWORD": OLD[0], "LARGE": "MTIz".repeat(300_000)}}),
    )
    .await;
    stage.daemon().await;
    let told = stage
        .until("it is said", 60, async || {
            let shown = stage.shown("orders").await;
            shown["waitsFor"].as_str().map(str::to_owned)
        })
        .await;
    assert!(
        told.contains("Secret/db takes 12") && told.contains("1048576 is the most"),
        "{told}"
    );
    let kept = ListParams::default().labels("modosu.dev/guard");
    assert!(stage.api("v1", "Secret").list(&kept).await.unwrap().items.is_empty());
    let event = stage
        .until("the Event", 20, async || crate::steps::event(&stage, "NotKept").await)
        .await;
    assert_eq!(event.data["note"], told);
}

#[tokio::test(start_paused = true)]
async fn another_salt_is_another_state_and_what_was_proven_still_goes_back() {
    let stage = Stage::embedded("another_salt_is_another_state").await;
    let good = json!({"CELERY_ERROR_SHARE": HEALTHY, "PASSWORD": OLD[0]});
    proven(&stage, json!({"data": good})).await;
    let before = stage.current("orders").await.unwrap().hash;
    stage
        .api("v1", "Secret")
        .delete("modosu-salt", &DeleteParams::default())
        .await
        .unwrap();
    stage.changed("orders", &before).await;
    let release = json!({"data": {"CELERY_ERROR_SHARE": HURTS, "PASSWORD": NEW[0]}});
    stage.edit("v1", "Secret", "db", release).await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    stage.incident_in("Recovered", 90).await;
    assert_eq!(secret(&stage).await["data"], good);
}

#[tokio::test(start_paused = true)]
async fn where_no_guard_names_a_secret_nobody_asks_for_secrets() {
    let stage = Stage::embedded("where_no_guard_names_a_secret").await;
    deploy(&stage, json!({"data": {"PASSWORD": OLD[0]}})).await;
    let targets = json!([{"kind": "Deployment", "name": "orders"}]);
    stage
        .edit(
            "modosu.dev/v1alpha1",
            "Guard",
            "orders",
            json!({"spec": {"targets": targets}}),
        )
        .await;
    stage.daemon().await;
    stage.proven("orders").await;
    let asked = stage.world().requests();
    let asked: Vec<_> = asked.keys().filter(|(_, resource)| resource == "secrets").collect();
    assert_eq!(asked, [&(Verb::Create, "secrets".to_owned())], "the story's own");
}

/// Who may do what is asked of real servers alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_rights_to_secrets_only_who_names_one_is_stopped() {
    let stage = Stage::real_limited("without_rights_to_secrets").await;
    let base = rules(include_str!("../../deploy/base/role.yaml"));
    stage.rights(&json!(base)).await;
    stage.deploy("other", json!([])).await;
    stage.guard("other", json!({})).await;
    deploy(
        &stage,
        json!({"data": {"CELERY_ERROR_SHARE": HEALTHY, "PASSWORD": OLD[0]}}),
    )
    .await;
    stage.daemon().await;
    stage.proven("other").await;
    let conditions = stage.guard_now("orders").await.status.unwrap().conditions;
    for kind in ["Ready", "RollbackReady"] {
        let said = conditions.iter().find(|one| one.type_ == kind).unwrap();
        assert_eq!((said.status.as_str(), said.reason.as_str()), ("False", "Forbidden"));
        for part in [
            "Secret/db",
            "cannot list resource \"secrets\"",
            "deploy/components/secrets",
        ] {
            assert!(said.message.contains(part), "{part} is missing in: {}", said.message);
        }
    }

    // What is shipped is enough, for all of it, and to list by these names would be.
    let mut component = rules(include_str!("../../deploy/components/secrets/role.yaml"));
    let lists = |verb: &Value| verb == "list" || verb == "watch";
    let verbs = component[0]["verbs"].as_array_mut().unwrap();
    let by_name = verbs.extract_if(.., |verb| lists(verb)).collect::<Vec<_>>();
    component.push(
        json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["db", "modosu-salt"], "verbs": by_name}),
    );
    stage.rights(&json!([base, component].concat())).await;
    stage.proven("orders").await;
    stage
        .edit("v1", "Secret", "db", json!({"data": {"CELERY_ERROR_SHARE": HURTS}}))
        .await;
    stage.set_env("orders", "WORKER_MODE", "celery").await;
    let incident = stage.incident_in("Recovered", 90).await;
    assert_eq!(secret(&stage).await["data"]["CELERY_ERROR_SHARE"], HEALTHY);
    told_nowhere(&stage, &incident).await;
    stage.end().await;
}

/// A file of roles: the rules of its ClusterRole.
fn rules(file: &str) -> Vec<Value> {
    let mut parts = file.split("\n---\n");
    let role = parts.find(|part| part.contains("kind: ClusterRole\n")).unwrap();
    let role: Value = serde_saphyr::from_str(role).unwrap();
    role["rules"].as_array().unwrap().clone()
}

async fn proven(stage: &Stage, secret: Value) {
    deploy(stage, secret).await;
    stage.daemon().await;
    stage.proven("orders").await;
}

/// The orders service, which reads the Secret `db` when it starts; both are guarded. Without the share `celery` fails requests,
/// `legacy` does not look at it.
async fn deploy(stage: &Stage, mut secret: Value) {
    secret["metadata"] = json!({"name": "db"});
    stage.create("v1", "Secret", secret).await;
    let env = json!([{"name": "WORKER_MODE", "value": "legacy"}]);
    let mut orders = deployment(&stage.namespace, "orders", env);
    let container = &mut orders["spec"]["template"]["spec"]["containers"][0];
    container["envFrom"] = json!([{"secretRef": {"name": "db", "optional": true}}]);
    stage.create("apps/v1", "Deployment", orders).await;
    stage.rolled_out("orders").await;
    let targets = json!([{"kind": "Deployment", "name": "orders"}, {"kind": "Secret", "name": "db"}]);
    // A short window, so that what the old pods answered on their way out is soon out of sight.
    let spec = json!({"targets": targets, "metrics": {"window": "3s"}});
    stage.guard("orders", spec).await;
}

async fn secret(stage: &Stage) -> Value {
    stage.api("v1", "Secret").get("db").await.unwrap().data
}

/// The content of a proven state is kept in a Secret named as its snapshot, and goes with the guard.
async fn kept_apart(stage: &Stage, state: &str) {
    let name = format!("orders-{state}");
    let kept = stage.api("v1", "Secret").get(&name).await.unwrap();
    let owner = &kept.metadata.owner_references.unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("Guard", "orders"));
    let snapshot = stage.api("apps/v1", "ControllerRevision").get(&name).await.unwrap();
    let parts = snapshot.data["data"]["parts"].as_array().unwrap();
    let part = parts.iter().find(|part| part["kind"] == "Secret").unwrap();
    assert_eq!(
        *part,
        json!({"kind": "Secret", "name": "db", "keys": ["CELERY_ERROR_SHARE", "PASSWORD", "RETIRED"]})
    );
}

/// modosu's writes to what it guards, in their order.
fn written(stage: &Stage) -> Vec<String> {
    let writes = stage.writes();
    let targets = writes
        .iter()
        .filter(|write| ["db", "orders"].contains(&write.name.as_str()));
    let targets = targets.filter(|write| ["deployments", "secrets"].contains(&write.resource.as_str()));
    targets
        .map(|write| format!("{} {}/{}", write.verb, write.resource, write.name))
        .collect()
}

fn diff_of(incident: &Incident, target: &str) -> String {
    let plan = &incident.status.as_ref().unwrap().plan;
    let step = plan.iter().find(|step| step.target.as_deref() == Some(target));
    step.unwrap().diff.clone().unwrap()
}

/// Nothing of what the Secret held or holds, as it is or as Base64, stands where people look who may not read Secrets.
async fn told_nowhere(stage: &Stage, incident: &Incident) {
    let name = incident.metadata.name.as_deref().unwrap();
    let (guard, incident) = (
        format!("/guards/{}/orders", stage.namespace),
        format!("/incidents/{}/{name}", stage.namespace),
    );
    let mut told = vec![("the log".to_owned(), stage.log())];
    for path in ["/status", "/status.json", "/metrics", &guard, &incident] {
        told.push((path.to_owned(), stage.page(path).await));
    }
    for path in [&guard, &incident] {
        let path = format!("{path}.json");
        told.push((path.clone(), stage.page(&path).await));
    }
    for (api, kind) in [
        ("modosu.dev/v1alpha1", "Guard"),
        ("modosu.dev/v1alpha1", "Incident"),
        ("apps/v1", "ControllerRevision"),
        ("apps/v1", "Deployment"),
        ("events.k8s.io/v1", "Event"),
    ] {
        let all = stage.api(api, kind).list(&ListParams::default()).await.unwrap();
        assert!(!all.items.is_empty(), "there is a {kind}");
        told.push((kind.to_owned(), serde_json::to_string(&all.items).unwrap()));
    }
    for (place, text) in told {
        for value in [OLD, NEW].concat() {
            assert!(!text.contains(value), "{place} tells {value}:\n{text}");
        }
    }
}
