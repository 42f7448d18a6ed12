//! The servers, and the daemon as a process.

use std::{path::PathBuf, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use modosu_cluster::{Cluster, Process, Program, eventually, free_port};
use serde_json::{Value, json};

pub const NAMESPACE: &str = "speed";
/// So many objects are written at once.
const AT_ONCE: usize = 16;

/// The defaults, but for the rails that keep a daemon from putting back so many.
const SETTINGS: &str = "
poll: 1s
namespaces: [speed]
budget: {rollbacksPerHour: 100000, concurrent: 10000}
";

pub struct Place {
    pub cluster: Cluster,
    pub client: Client,
    settings: PathBuf,
}

pub struct Daemon {
    pub process: Process,
    pub address: String,
}

impl Place {
    /// `settings` come after the common ones.
    pub async fn open(settings: &str) -> anyhow::Result<Self> {
        let cluster = Cluster::start().await?;
        let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/crds");
        cluster.kubectl(&["apply", "--server-side", "-k", crds]).await?;
        let crds = ["crd/guards.modosu.dev", "crd/incidents.modosu.dev"];
        cluster
            .kubectl(&[&["wait", "--for=condition=Established"][..], &crds[..]].concat())
            .await?;
        cluster.namespace(NAMESPACE).await?;
        let file = cluster.folder("speed")?.join("modosu.yaml");
        std::fs::write(&file, format!("{SETTINGS}{settings}"))?;
        Ok(Self {
            client: cluster.client("admin").await?,
            cluster,
            settings: file,
        })
    }

    pub async fn daemon(&self, prometheus: &str) -> anyhow::Result<Daemon> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let program = Program::new("modosu", env!("CARGO_BIN_EXE_modosu"))
            .args(["run", "--config"])
            .args([&self.settings])
            .env("KUBECONFIG", self.cluster.kubeconfig("modosu")?)
            .env("MODOSU__PROMETHEUS__URL", prometheus)
            .env("MODOSU__LEADER_ELECTION__IDENTITY", "speed")
            .env("MODOSU__HTTP__LISTEN", &address);
        let process = self.cluster.run(program).await?;
        Ok(Daemon { process, address })
    }

    pub fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), NAMESPACE, &resource)
    }

    pub async fn create(&self, objects: Vec<Value>) -> anyhow::Result<()> {
        let create = |object: Value| async move {
            let (version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
            let api = self.api(version.unwrap_or_default(), kind.unwrap_or_default());
            let object = serde_json::from_value(object)?;
            api.create(&PostParams::default(), &object).await?;
            anyhow::Ok(())
        };
        let all = stream::iter(objects).map(create).buffer_unordered(AT_ONCE);
        all.try_collect().await
    }

    /// A release of all these Deployments: one more variable.
    pub async fn release(&self, names: &[String], version: &str) -> anyhow::Result<()> {
        let patch = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "orders", "env": [{"name": "VERSION", "value": version}]}]}}}});
        let (api, patch) = (&self.api("apps/v1", "Deployment"), &patch);
        let edit = |name: &String| {
            let name = name.clone();
            async move {
                api.patch(&name, &PatchParams::default(), &Patch::Strategic(patch))
                    .await
                    .map(drop)
            }
        };
        let all = stream::iter(names).map(edit).buffer_unordered(AT_ONCE);
        Ok(all.try_collect().await?)
    }

    /// All Deployments are rolled out.
    pub async fn rolled_out(&self) -> anyhow::Result<()> {
        let api = self.api("apps/v1", "Deployment");
        let look = async || {
            let all = api.list(&kube::api::ListParams::default()).await?.items;
            anyhow::Ok(all.iter().all(is_rolled_out).then_some(()))
        };
        eventually("everything is rolled out", Duration::from_secs(300), look).await
    }
}

impl Daemon {
    /// Every guard's entry in `/status.json` is so.
    pub async fn shows(&self, what: &str, count: usize, so: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        let url = format!("http://{}/status.json", self.address);
        let look = async || {
            let status: Value = reqwest::get(&url).await?.error_for_status()?.json().await?;
            let guards = status["guards"].as_array().cloned().unwrap_or_default();
            anyhow::Ok((guards.iter().filter(|guard| so(guard)).count() == count).then_some(()))
        };
        eventually(what, Duration::from_secs(300), look).await
    }
}

fn is_rolled_out(deployment: &DynamicObject) -> bool {
    let (data, generation) = (&deployment.data, deployment.metadata.generation);
    let count = |name: &str| data["status"][name].as_i64().unwrap_or(0);
    count("observedGeneration") >= generation.unwrap_or(0)
        && ["updatedReplicas", "replicas", "availableReplicas"]
            .iter()
            .all(|name| count(name) == 1)
}

/// A guard with times that fit a bench; everything else is the default.
pub fn guard(name: &str, spec: Value) -> Value {
    let mut whole = json!({
        "targets": [{"kind": "Deployment", "name": name}],
        "metrics": {"preset": "prometheus-http"},
        "baseline": {"window": "5s"},
        "knownGoodAfter": "8s",
        "verify": {"hold": "5s"},
    });
    json_patch::merge(&mut whole, &spec);
    json!({
        "apiVersion": "modosu.dev/v1alpha1",
        "kind": "Guard",
        "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": whole,
    })
}
