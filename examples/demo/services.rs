//! The guarded services as a team would write them, and their guards.

use modosu::model::guard::Guard;
use serde_json::{Value, json};

use crate::{scene::Scene, terminal::Mood};

pub const NAMESPACE: &str = "shop";
/// Breaks when `WORKER_MODE=celery`.
pub const ORDERS: &str = "orders";
/// Becomes slow with `LATENCY_MS`.
pub const CHECKOUT: &str = "checkout";
/// Reads its settings from the ConfigMap [`PRICES`].
pub const PRICING: &str = "pricing";
pub const PRICES: &str = "pricing-settings";

/// Three services and their guards, each of which has a story of its own.
pub async fn create(scene: &Scene) -> anyhow::Result<()> {
    let settings = json!({"metadata": {"name": PRICES}, "data": {"ERROR_SHARE": "0"}});
    scene.create("v1", "ConfigMap", settings).await?;
    let plain = |name: &str, value: &str| json!({"env": [{"name": name, "value": value}]});
    let containers = [
        (ORDERS, plain("WORKER_MODE", "legacy")),
        (CHECKOUT, plain("LATENCY_MS", "20")),
        (PRICING, json!({"envFrom": [{"configMapRef": {"name": PRICES}}]})),
    ];
    for (name, container) in containers {
        scene
            .create("apps/v1", "Deployment", deployment(name, &container))
            .await?;
        let guard = json!({"metadata": {"name": name}, "spec": guard(name)});
        scene.create("modosu.dev/v1alpha1", "Guard", guard).await?;
    }
    scene.terminal.line(
        "you",
        Mood::Deed,
        "start three services, orders, checkout and pricing, and put a guard beside each",
    );
    Ok(())
}

fn deployment(name: &str, container: &Value) -> Value {
    let mut object = modosu_world::deployment(NAMESPACE, name, &[]);
    object["spec"]["replicas"] = json!(2);
    let spec = &mut object["spec"]["template"]["spec"];
    spec["automountServiceAccountToken"] = json!(false);
    json_patch::merge(&mut spec["containers"][0], container);
    object
}

/// The defaults, but for times: a demo cannot wait ten minutes for what a cluster can.
fn guard(name: &str) -> Value {
    json!({
        "targets": [{"kind": "Deployment", "name": name}],
        "metrics": {"preset": "prometheus-http", "window": "5s"},
        "baseline": {"window": "10s"},
        "knownGoodAfter": "8s",
        "cooldown": "0s",
        "verify": {"hold": "5s"},
        "impactPerMinute": "about 6000 requests",
    })
}

/// Whether a guard's current state is proven.
pub fn is_proven(guard: &Guard) -> bool {
    let current = guard.status.as_ref().and_then(|status| status.current.as_ref());
    current.is_some_and(|current| current.proven)
}
