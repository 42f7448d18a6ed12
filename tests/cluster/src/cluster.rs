//! The whole: control plane, node, Prometheus, and what a test does with them.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::sync::OnceCell;

use crate::access::{Access, token};
use crate::audit::{self, AuditedWrite, Filter};
use crate::behaviour::{self, Behaviour};
use crate::control_plane::ControlPlane;
use crate::eventually::eventually;
use crate::node::Node;
use crate::part::{Part, program};
use crate::process::{Process, Program};
use crate::prometheus::Prometheus;
use crate::scratch::Scratch;
use crate::tap::Tap;
use crate::targets::Targets;
use crate::{background, orders};

/// A running cluster. When it is dropped, or its process ends in any way, all of it ends.
#[derive(Debug)]
pub struct Cluster {
    node: Node,
    control_plane: ControlPlane,
    prometheus: Prometheus,
    access: Access,
    audit: audit::Log,
    scratch: Arc<Scratch>,
}

impl Drop for Cluster {
    /// Now, and not when the last of the aborted tasks has let go of the folder.
    fn drop(&mut self) {
        self.scratch.end();
    }
}

impl Cluster {
    /// A cluster of one's own: only for stories that break the API server.
    pub async fn start() -> anyhow::Result<Self> {
        background::run(Self::start_here()).await
    }

    /// The cluster of this test process, started by the first who asks. Each story takes a namespace of its own in it.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    async fn start_here() -> anyhow::Result<Self> {
        let scratch = Scratch::new()?;
        let targets = Arc::new(Targets::new(&scratch));
        let (prometheus, (control_plane, access)) = tokio::try_join!(
            Prometheus::start(&scratch, targets.clone()),
            ControlPlane::start(&scratch)
        )?;
        let node = Node::start(access.client("node").await?, &access, &scratch, targets)
            .await
            .context("the node")?;
        let cluster = Self {
            node,
            control_plane,
            prometheus,
            access,
            audit: audit::Log::default(),
            scratch,
        };
        cluster.image("orders", orders::program()?);
        Ok(cluster)
    }

    pub fn prometheus(&self) -> &Prometheus {
        &self.prometheus
    }

    pub fn etcd(&self) -> &Part {
        &self.control_plane.etcd
    }

    pub fn api_server(&self) -> &Part {
        &self.control_plane.api_server
    }

    pub fn controller_manager(&self) -> &Part {
        &self.control_plane.controller_manager
    }

    pub fn scheduler(&self) -> &Part {
        &self.control_plane.scheduler
    }

    /// `https://127.0.0.1:port`
    pub fn server(&self) -> &str {
        &self.access.server
    }

    /// Of one of [`crate::USERS`].
    pub fn kubeconfig(&self, user: &str) -> anyhow::Result<PathBuf> {
        self.access.kubeconfig(user)
    }

    /// A new client, bound to the caller's runtime; it sends nothing twice.
    pub async fn client(&self, user: &str) -> anyhow::Result<Client> {
        self.access.client(user).await
    }

    /// kubectl as `admin`; gives what it prints.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        self.kubectl_with_input(args, "").await
    }

    /// `kubectl apply`, client-side as people use it.
    pub async fn apply(&self, object: &Value) -> anyhow::Result<()> {
        self.kubectl_with_input(&["apply", "--filename=-"], &object.to_string())
            .await
            .map(drop)
    }

    async fn kubectl_with_input(&self, args: &[&str], input: &str) -> anyhow::Result<String> {
        let mut kubectl = tokio::process::Command::new(program("kubectl")?);
        kubectl
            .arg("--kubeconfig")
            .arg(self.kubeconfig("admin")?)
            .arg("--cache-dir")
            .arg(self.scratch.join("kubectl"));
        kubectl
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut kubectl = kubectl.spawn().context("kubectl")?;
        if let Some(mut stdin) = kubectl.stdin.take() {
            stdin.write_all(input.as_bytes()).await?;
        }
        let output = kubectl.wait_with_output().await?;
        let (printed, complaints) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(
            output.status.success(),
            "kubectl {}: {complaints}{printed}",
            args.join(" ")
        );
        Ok(printed.into_owned())
    }

    /// Makes a namespace in which pods can be made at once.
    pub async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        let client = self.client("admin").await?;
        let metadata = ObjectMeta {
            name: Some(name.into()),
            ..ObjectMeta::default()
        };
        let namespace = Namespace {
            metadata,
            ..Namespace::default()
        };
        Api::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("namespace {name}"))?;
        let accounts = Api::<ServiceAccount>::namespaced(client, name);
        let account = async || accounts.get_opt("default").await;
        eventually("the namespace's service account", Duration::from_secs(30), account)
            .await
            .map(drop)
    }

    /// Lets a story's namespace and all that is in it go; the controllers do the rest by and by.
    pub async fn forget(&self, namespace: &str) -> anyhow::Result<()> {
        let namespaces = Api::<Namespace>::all(self.client("admin").await?);
        namespaces.delete(namespace, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits as `kubectl rollout status` does.
    pub async fn rolled_out(&self, namespace: &str, deployment: &str, within: Duration) -> anyhow::Result<()> {
        let deployments = Api::<Deployment>::namespaced(self.client("admin").await?, namespace);
        let what = format!("{namespace}/{deployment} rolled out");
        let look = async || {
            deployments
                .get(deployment)
                .await
                .map(|found| is_rolled_out(&found).then_some(()))
        };
        eventually(&what, within, look).await
    }

    /// What the API server was asked to write, in the order of the answers.
    pub fn writes(&self, filter: Filter<'_>) -> anyhow::Result<Vec<AuditedWrite>> {
        self.audit.read(&self.scratch, &filter)
    }

    /// Accepted writes of any user to the pod template of a Deployment.
    pub fn template_patches(&self, namespace: &str, deployment: &str) -> anyhow::Result<Vec<AuditedWrite>> {
        let mut writes = self.writes(Filter {
            namespace: Some(namespace),
            resource: Some("deployments"),
            name: Some(deployment),
            subresource: Some(""),
            ..Filter::default()
        })?;
        let counts = |write: &AuditedWrite| !write.dry_run && (200..300).contains(&write.code);
        writes.retain(|write| {
            counts(write) && matches!(write.verb.as_str(), "patch" | "update") && write.touches_template()
        });
        Ok(writes)
    }

    /// Containers without `command` whose image has this name (no registry, no tag) run this program. `orders` is known.
    pub fn image(&self, name: &str, program: impl Into<PathBuf>) {
        let mut images = self.node.shared.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.insert(name.to_owned(), program.into());
    }

    /// Where the first container of a pod listens: `127.0.0.1:port`.
    pub fn pod_address(&self, namespace: &str, pod: &str) -> Option<String> {
        let addresses = self
            .node
            .shared
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        addresses.get(&format!("{namespace}/{pod}")).cloned()
    }

    /// All pods of that job, present and future, behave so until `behave`, whatever their settings. Seen within 100 ms.
    pub fn misbehave(&self, namespace: &str, job: &str, behaviour: Behaviour) -> anyhow::Result<()> {
        behaviour::set(&self.scratch, namespace, job, behaviour)
    }

    pub fn behave(&self, namespace: &str, job: &str) -> anyhow::Result<()> {
        behaviour::clear(&self.scratch, namespace, job)
    }

    /// Starts a program, such as the daemon, that ends with the cluster at the latest and whose log is shown when the story fails.
    pub async fn run(&self, program: Program) -> anyhow::Result<Process> {
        Process::start(&self.scratch, program).await
    }

    /// The ids of all processes that run for the cluster now, pods included.
    pub fn processes(&self) -> anyhow::Result<Vec<u32>> {
        let entries = std::fs::read_dir(self.scratch.join("run"))?;
        Ok(entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect())
    }

    /// A folder for the story's own files; goes with the cluster.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.scratch.join("stories").join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// A tap in front of the API server, acting as `user`. `name` names its kubeconfig: one per story.
    pub fn tap(&self, name: &str, user: &str) -> anyhow::Result<Tap> {
        let tap = Tap::open(&self.access.server, Some(token(user)), self.access.http()?)?;
        let kubeconfig = self.access.write_kubeconfig(&format!("tap-{name}"), tap.url(), false)?;
        Ok(tap.with_kubeconfig(kubeconfig))
    }

    /// A tap in front of Prometheus: `url()` for the daemon's settings.
    pub fn prometheus_tap(&self) -> anyhow::Result<Tap> {
        Tap::open(self.prometheus.url(), None, reqwest::Client::builder().no_proxy())
    }
}

fn is_rolled_out(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else { return false };
    let wanted = deployment.spec.replicas.unwrap_or(1);
    status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) == wanted
        && status.replicas.unwrap_or(0) == wanted
        && status.available_replicas.unwrap_or(0) == wanted
}
