//! What goes wrong, and what a person does about it. The rest is modosu's.

use std::time::Duration;

use anyhow::ensure;
use kube::ResourceExt;
use modosu::{
    decide::between,
    model::incident::{Incident, IncidentState},
};
use serde_json::{Value, json};

use crate::{
    scene::Scene,
    services::{CHECKOUT, NAMESPACE, ORDERS, PRICES, PRICING},
    terminal::Mood,
};

/// From the breach to the end of an incident, at most.
const BOUND: u64 = 60;
/// How long the demo waits for a person to decide before it plays one.
const THINKING: Duration = Duration::from_secs(15);

/// A release breaks the service: put back by itself.
pub async fn bad_release(scene: &Scene, round: u32) -> anyhow::Result<()> {
    scene.terminal.heading("A release breaks the service");
    scene.proven(ORDERS).await?;
    scene.numbers(ORDERS).await;

    let (image, began) = (format!("orders:1.{round}.0"), scene.now());
    scene.terminal.line(
        "you",
        Mood::Deed,
        &format!("release {image}, which sets WORKER_MODE=celery"),
    );
    scene.release(ORDERS, &image, Some(("WORKER_MODE", "celery"))).await?;
    let incident = scene.incident(ORDERS, began, IncidentState::Recovered, BOUND).await?;

    let deployment = scene.object("apps/v1", "Deployment", ORDERS).await?;
    let env = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
    ensure!(env[0]["value"] == "legacy", "WORKER_MODE is not back: {env}");
    scene.numbers(ORDERS).await;
    end(scene, &incident);
    Ok(())
}

/// A release makes the service slow: people are asked, and decide.
pub async fn slow_release(scene: &Scene, round: u32) -> anyhow::Result<()> {
    scene
        .terminal
        .heading("A release makes the service slow: people decide");
    scene.proven(CHECKOUT).await?;
    scene.numbers(CHECKOUT).await;

    let (image, began) = (format!("orders:2.{round}.0"), scene.now());
    scene.terminal.line(
        "you",
        Mood::Deed,
        &format!("release {image} of checkout, which answers three times as slowly"),
    );
    scene.release(CHECKOUT, &image, Some(("LATENCY_MS", "60"))).await?;
    let incident = scene
        .incident(CHECKOUT, began, IncidentState::AwaitingDecision, BOUND)
        .await?;
    let name = incident.name_any();
    let decision = json!({"spec": {"decision": {"verb": "rollback", "by": "the demo", "reason": "too slow"}}});
    scene.terminal.line(
        "modosu",
        Mood::Care,
        &format!(
            "{CHECKOUT}: waits for a person; all about it: {}/incidents/{NAMESPACE}/{name}",
            scene.pages
        ),
    );
    let soon = format!("plays that person in {} s, with what would be", THINKING.as_secs());
    scene.say(
        "demo",
        Mood::Quiet,
        &soon,
        &[&format!("patch incident {name} --type merge -p '{decision}'")],
    );
    scene.rest(THINKING).await;
    let now = scene.object("modosu.dev/v1alpha1", "Incident", &name).await?;
    if now["spec"]["decision"] == Value::Null {
        scene.terminal.line("you", Mood::Deed, "decide: rollback");
        scene.merge("modosu.dev/v1alpha1", "Incident", &name, &decision).await?;
    }
    let incident = scene.incident(CHECKOUT, began, IncidentState::Recovered, BOUND).await?;
    scene.numbers(CHECKOUT).await;
    end(scene, &incident);
    Ok(())
}

/// The Deployment is untouched, its settings hurt: they are put back, and the pods run with them.
pub async fn bad_settings(scene: &Scene, round: u32) -> anyhow::Result<()> {
    scene.terminal.heading("A ConfigMap hurts, the Deployment is untouched");
    scene.proven(PRICING).await?;
    scene.numbers(PRICING).await;

    let (share, began) = (format!("0.{}", 400 + round % 100), scene.now());
    let data = json!({"data": {"ERROR_SHARE": share}});
    let edit = "edit the ConfigMap, and restart the pods: they read it when they start";
    scene.you(
        edit,
        &[
            &format!("patch configmap {PRICES} --type merge -p '{data}'"),
            &format!("rollout restart deployment/{PRICING}"),
        ],
    );
    scene.merge("v1", "ConfigMap", PRICES, &data).await?;
    let restart = json!({"spec": {"template": {"metadata": {"annotations": {
        "kubectl.kubernetes.io/restartedAt": began.to_string()}}}}});
    scene.merge("apps/v1", "Deployment", PRICING, &restart).await?;
    let incident = scene.incident(PRICING, began, IncidentState::Recovered, BOUND).await?;

    let settings = scene.object("v1", "ConfigMap", PRICES).await?;
    ensure!(
        settings["data"]["ERROR_SHARE"] == "0",
        "the ConfigMap is not back: {}",
        settings["data"]
    );
    scene.numbers(PRICING).await;
    end(scene, &incident);
    Ok(())
}

/// What was done, how long it took, and where all of it is told.
fn end(scene: &Scene, incident: &Incident) {
    let status = incident.status.clone().unwrap_or_default();
    let mut told: Vec<String> = Vec::new();
    for entry in &status.journal {
        if let (Some("done"), Some(target)) = (entry.receipt.as_deref(), &entry.target) {
            told.push(format!("put back {target}"));
        }
    }
    let since = |from, to| format!("{:.0} s", between(from, to).as_secs_f64());
    let bad = incident.spec.first_bad_at;
    if let (Some(out), Some(proven)) = (status.rolled_out_at, status.recovered_at) {
        told.push(format!(
            "from the first bad reading: noticed for sure after {}, healthy pods after {}, proven after {}",
            since(bad, incident.spec.opened_at),
            since(bad, out),
            since(bad, proven)
        ));
    }
    let name = incident.name_any();
    told.push(format!("why and how: {}/incidents/{NAMESPACE}/{name}", scene.pages));
    scene.terminal.line("demo", Mood::Good, &told.join("\n"));
}
