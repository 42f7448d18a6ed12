//! The Node object, its Ready condition, and the lease that keeps the node lifecycle controller content.

use std::time::Duration;

use anyhow::ensure;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::NODE_NAME;

/// `logs`: where it says what its containers print.
pub(crate) async fn register(client: &Client, logs: u16) -> anyhow::Result<()> {
    let nodes = Api::<Node>::all(client.clone());
    let by_node = PatchParams::apply("node").force();
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": NODE_NAME,
            "labels": {"kubernetes.io/hostname": NODE_NAME, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"},
        },
    });
    nodes.patch(NODE_NAME, &by_node, &Patch::Apply(node)).await?;
    nodes
        .patch_status(NODE_NAME, &PatchParams::default(), &Patch::Strategic(status(logs)))
        .await?;
    Ok(())
}

fn status(logs: u16) -> Value {
    let now = Timestamp::now();
    let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "message": reason, "lastHeartbeatTime": now, "lastTransitionTime": now});
    let capacity = json!({"cpu": "512", "memory": "2048Gi", "ephemeral-storage": "2048Gi", "pods": "5000"});
    json!({"status": {
        "capacity": capacity,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": logs}},
        "allocatable": capacity,
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": NODE_NAME}],
        "conditions": [
            condition("Ready", "True", "KubeletReady"),
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID"),
        ],
    }})
}

pub(crate) async fn renew_lease(client: Client) {
    let leases = Api::<Lease>::namespaced(client, "kube-node-lease");
    let by_node = PatchParams::apply("node").force();
    loop {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": NODE_NAME},
            "spec": {"holderIdentity": NODE_NAME, "leaseDurationSeconds": 40, "renewTime": micros(Timestamp::now())},
        });
        let renewed = leases.patch(NODE_NAME, &by_node, &Patch::Apply(lease)).await;
        // Right after the start the namespace is not there yet.
        let wait = if renewed.is_ok() {
            Duration::from_secs(5)
        } else {
            Duration::from_millis(250)
        };
        sleep(wait).await;
    }
}

fn micros(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// Back when the scheduler may use the node: new nodes are born with a taint that the node lifecycle controller takes away.
pub(crate) async fn wait_schedulable(client: &Client) -> anyhow::Result<()> {
    let nodes = Api::<Node>::all(client.clone());
    let asked = Instant::now();
    loop {
        let spec = nodes.get(NODE_NAME).await?.spec.unwrap_or_default();
        if spec.taints.unwrap_or_default().is_empty() {
            return Ok(());
        }
        ensure!(
            asked.elapsed() < Duration::from_secs(60),
            "the node stays tainted: see kube-controller-manager's log"
        );
        sleep(Duration::from_millis(50)).await;
    }
}
