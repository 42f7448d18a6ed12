//! Tools that put objects where they want them: where one would put the bad state back, a person decides; where one brings it back
//! later, that is said.

use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::{stage::Stage, story};

const APPLICATIONS: &str = "argoproj.io/v1alpha1";

story!(what_argo_cd_heals_a_person_decides);
async fn what_argo_cd_heals_a_person_decides(stage: &Stage) {
    argo_cd(stage, json!({"automated": {"selfHeal": true}})).await;
    tracked(stage).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    let mode = stage.guard_now("orders").await.status.unwrap().effective_mode.unwrap();
    let heals = format!(
        "Argo CD heals it within seconds (Application {}/orders)",
        stage.namespace
    );
    assert_eq!(mode.because.as_deref(), Some(heals.as_str()));
    assert_eq!(stage.shown("orders").await["mode"], "ask");

    stage.set_env("orders", "ERROR_SHARE", "0.5").await;
    let waiting = stage.incident_in("AwaitingDecision", 60).await;
    assert_eq!(stage.target_writes(), 0);
    let status = waiting.status.unwrap();
    assert!(status.reason.contains(&heals), "{}", status.reason);
    assert_eq!(status.other_tools, std::slice::from_ref(&heals));
    let (name, namespace) = (waiting.metadata.name.unwrap(), &stage.namespace);
    for path in [
        format!("guards/{namespace}/orders"),
        format!("incidents/{namespace}/{name}"),
    ] {
        let says = async || {
            let page = stage.page(&format!("/{path}")).await;
            page.contains("Argo CD heals it").then_some(())
        };
        stage.until(&path, 10, says).await;
    }
}

story!(what_argo_cd_brings_back_later_is_said);
async fn what_argo_cd_brings_back_later_is_said(stage: &Stage) {
    argo_cd(stage, json!({"automated": {"enabled": false, "selfHeal": true}})).await;
    tracked(stage).await;
    stage.guard("orders", json!({})).await;
    stage.daemon().await;
    stage.proven("orders").await;
    stage.set_env("orders", "ERROR_SHARE", "0.5").await;
    let recovered = stage.incident_in("Recovered", 90).await;
    let told = recovered.status.unwrap().other_tools;
    assert!(told[0].contains("the next sync of the Argo CD Application"), "{told:?}");
    assert_eq!(stage.shown("orders").await["mode"], "enforce");
}

/// An Application as Argo CD keeps it, with this policy. Its definition is served from now on.
async fn argo_cd(stage: &Stage, policy: Value) {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "applications.argoproj.io"},
        "spec": {
            "group": "argoproj.io",
            "scope": "Namespaced",
            "names": {"kind": "Application", "plural": "applications", "singular": "application"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    });
    let definition: DynamicObject = serde_json::from_value(definition).unwrap();
    let definitions = stage.api("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let params = PatchParams::apply("story").force();
    let name = "applications.argoproj.io";
    definitions
        .patch(name, &params, &Patch::Apply(&definition))
        .await
        .unwrap();
    let served = async || {
        stage
            .api(APPLICATIONS, "Application")
            .list(&Default::default())
            .await
            .ok()
    };
    stage.until("Applications are served", 30, served).await;
    let application = json!({"metadata": {"name": "orders"}, "spec": {"syncPolicy": policy}});
    stage.create(APPLICATIONS, "Application", application).await;
}

/// The orders service as Argo CD leaves it.
async fn tracked(stage: &Stage) {
    stage.deploy("orders", json!([])).await;
    let id = format!("{0}_orders:apps/Deployment:{0}/orders", stage.namespace);
    let note = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": id}}});
    stage.edit("apps/v1", "Deployment", "orders", note).await;
}
