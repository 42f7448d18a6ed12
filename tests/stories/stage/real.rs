//! Real servers: the shared test cluster or one of the story's own, the daemon as a process behind a tap on its line to
//! the API server.

use std::{
    ops::Deref,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client, api::PostParams};
use modosu_cluster::{
    Behaviour, Cluster, Filter, Point, Process, Program, Seen, Tap, eventually, free_port,
    push::{Labels, Worth},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{
    Bad, Kill, RELATED, Written,
    line::{self, Request, Side},
};

/// The cluster that all stories share, or one that the story may break.
enum Servers {
    Shared(&'static Cluster),
    Own(Box<Cluster>),
}

impl Deref for Servers {
    type Target = Cluster;
    fn deref(&self) -> &Cluster {
        match self {
            Self::Shared(cluster) => cluster,
            Self::Own(cluster) => cluster,
        }
    }
}

pub struct Real {
    cluster: Servers,
    pub client: Client,
    /// Who the daemon is.
    user: &'static str,
    tap: Tap,
    /// The line of the copy that is called second.
    second_tap: Tap,
    prometheus: Tap,
    daemon: Mutex<Option<Started>>,
    /// Another copy.
    other: Mutex<Option<Started>>,
    /// A browser.
    http: reqwest::Client,
}

/// One start of the daemon.
#[derive(Clone)]
struct Started {
    process: Process,
    port: u16,
    is_second: bool,
}

impl Real {
    pub async fn start(namespace: &str) -> anyhow::Result<Self> {
        Self::on(Servers::Shared(Cluster::shared().await?), namespace, "modosu").await
    }

    /// As a user who may do only what the story lets it do.
    pub async fn start_limited(namespace: &str) -> anyhow::Result<Self> {
        Self::on(Servers::Shared(Cluster::shared().await?), namespace, "limited").await
    }

    /// On a cluster of its own.
    pub async fn start_alone(namespace: &str) -> anyhow::Result<Self> {
        Self::on(Servers::Own(Box::new(Cluster::start().await?)), namespace, "modosu").await
    }

    async fn on(cluster: Servers, namespace: &str, user: &'static str) -> anyhow::Result<Self> {
        match &cluster {
            Servers::Shared(cluster) => {
                static KNOWN: OnceCell<()> = OnceCell::const_new();
                KNOWN.get_or_try_init(|| learn_our_kinds(cluster)).await?;
            }
            Servers::Own(cluster) => learn_our_kinds(cluster).await?,
        }
        cluster.namespace(namespace).await?;
        Ok(Self {
            client: cluster.client("admin").await?,
            tap: cluster.tap(namespace, user)?,
            second_tap: cluster.tap(&format!("{namespace}-second"), user)?,
            user,
            prometheus: cluster.prometheus_tap()?,
            cluster,
            daemon: Mutex::new(None),
            other: Mutex::new(None),
            http: reqwest::Client::builder().no_proxy().build()?,
        })
    }

    pub async fn daemon(&self, namespace: &str, rollbacks: u32) {
        self.copy(namespace, super::FIRST, rollbacks).await;
    }

    /// One copy, by name.
    pub async fn copy(&self, namespace: &str, identity: &str, rollbacks: u32) {
        let port = free_port().unwrap();
        let log = format!("{identity}-{namespace}");
        let is_second = identity == super::SECOND;
        let tap = self.line(is_second);
        let program = Program::new(log, env!("CARGO_BIN_EXE_modosu"))
            .args(["run", "--config", super::settings().to_str().unwrap()])
            .env("KUBECONFIG", tap.kubeconfig())
            .env("MODOSU__PROMETHEUS__URL", self.prometheus.url())
            .env("MODOSU__NAMESPACES", namespace)
            .env("MODOSU__LEADER_ELECTION__NAMESPACE", namespace)
            .env("MODOSU__LEADER_ELECTION__IDENTITY", identity)
            .env("MODOSU__BUDGET__ROLLBACKS_PER_HOUR", rollbacks.to_string())
            .env("MODOSU__COMMON_CAUSE__RELATED", format!("{}s", RELATED.as_secs()))
            .env("MODOSU__HTTP__LISTEN", format!("127.0.0.1:{port}"));
        let process = self.cluster.run(program).await.unwrap();
        *self.daemon.lock().unwrap() = Some(Started {
            process,
            port,
            is_second,
        });
    }

    const fn line(&self, is_second: bool) -> &Tap {
        if is_second { &self.second_tap } else { &self.tap }
    }

    fn started(&self) -> Option<Started> {
        self.daemon.lock().unwrap().clone()
    }

    pub fn swap(&self) {
        let (mut daemon, mut other) = (self.daemon.lock().unwrap(), self.other.lock().unwrap());
        std::mem::swap(&mut *daemon, &mut *other);
    }

    pub fn signal(&self, name: &str) {
        self.started().unwrap().process.signal(name);
    }

    pub fn writes_of_the_other(&self) -> Vec<String> {
        let is_second = self.other.lock().unwrap().as_ref().unwrap().is_second;
        let all = self.line(is_second).requests().into_iter();
        all.filter(|seen| seen.method != "GET" && seen.resource != "leases")
            .map(|seen| format!("{} {}/{}", seen.method, seen.resource, seen.name))
            .collect()
    }

    pub async fn command(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_modosu"));
        let done = command
            .args(arguments)
            .env("KUBECONFIG", self.tap.kubeconfig())
            .output()
            .await
            .unwrap();
        if done.status.success() {
            Ok(String::from_utf8(done.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&done.stderr).into_owned())
        }
    }

    pub fn kill_at(&self, point: Kill) {
        let daemon = self.started().unwrap();
        let line = self.line(daemon.is_second);
        line.kill(&daemon.process, Point::After, move |seen| match point {
            Kill::Opened => seen.writes("incidents") && seen.method == "POST",
            Kill::Intended => {
                seen.is_write() && seen.resource == "incidents" && seen.body.to_string().contains("\"intent\"")
            }
            Kill::Patched => {
                let body = seen.body.to_string();
                seen.writes("deployments") && (body.contains("/spec/template") || body.contains("/spec/replicas"))
            }
        });
    }

    /// The same of any request, counted from now on.
    pub fn kill_on(&self, point: line::Point) {
        let daemon = self.started().unwrap();
        let side = match point.side {
            Side::Before => Point::Before,
            Side::After => Point::After,
        };
        let so_far = AtomicUsize::new(0);
        let line = self.line(daemon.is_second);
        line.kill(&daemon.process, side, move |seen| {
            !seen.is_watch() && words(seen) == point.request && so_far.fetch_add(1, Ordering::Relaxed) + 1 == point.nth
        });
    }

    pub fn killed(&self) -> bool {
        self.started().is_some_and(|daemon| daemon.process.exited().is_some())
    }

    pub async fn terminate(&self) -> (Option<i32>, std::time::Duration) {
        let process = self.started().unwrap().process;
        let began = std::time::Instant::now();
        let status = process.terminate(std::time::Duration::from_secs(10)).await;
        (status.code(), began.elapsed())
    }

    pub async fn kill(&self) {
        self.started().unwrap().process.kill().await;
    }

    /// On the shared cluster only this daemon's line to it is cut; one of the story's own is really killed.
    pub async fn prometheus(&self, up: bool) {
        match &self.cluster {
            Servers::Shared(_) => self.prometheus.outage(!up),
            Servers::Own(cluster) if up => cluster.prometheus().part().start().await.unwrap(),
            Servers::Own(cluster) => cluster.prometheus().part().kill().await,
        }
    }

    /// Prometheus has these series, too, as of earlier moments.
    pub async fn remembered(&self, series: &[(Labels, Worth)]) {
        self.cluster.prometheus().push(series).await.unwrap();
    }

    pub async fn status(&self) -> Option<Value> {
        let port = self.started()?.port;
        let base = format!("http://127.0.0.1:{port}");
        let ready = self.http.get(format!("{base}/readyz")).send().await.ok()?;
        if !ready.status().is_success() {
            return None;
        }
        self.http
            .get(format!("{base}/status.json"))
            .send()
            .await
            .ok()?
            .json()
            .await
            .ok()
    }

    pub fn misbehave(&self, namespace: &str, name: &str, bad: Bad) {
        let behaviour = Behaviour {
            error_share: bad.error_share,
            latency_ms: bad.latency_ms,
            crash: bad.crash,
            ready: bad.ready,
            rps: bad.rps,
        };
        self.cluster.misbehave(namespace, name, behaviour).unwrap();
    }

    pub fn behave(&self, namespace: &str, name: &str) {
        self.cluster.behave(namespace, name).unwrap();
    }

    pub fn writes(&self, namespace: &str) -> Vec<Written> {
        let filter = Filter {
            user: Some(self.user),
            namespace: Some(namespace),
            ..Filter::default()
        };
        let all = self.cluster.writes(filter).unwrap().into_iter();
        all.map(|write| Written {
            verb: write.verb,
            resource: write.resource,
            subresource: write.subresource,
            name: write.name,
            code: write.code,
            dry_run: write.dry_run,
            body: write.request_body,
        })
        .collect()
    }

    /// A ValidatingAdmissionPolicy for this namespace, once it is in force.
    pub async fn forbid(&self, policy: &str, variable: &str, value: &str) {
        let has = format!("e.name == '{variable}' && has(e.value) && e.value == '{value}'");
        let expression =
            format!("!object.spec.template.spec.containers.exists(c, has(c.env) && c.env.exists(e, {has}))");
        let rule = json!({"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]});
        let here = json!({"matchLabels": {"kubernetes.io/metadata.name": policy}});
        let objects = [
            json!({"kind": "ValidatingAdmissionPolicy", "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [rule]},
                "validations": [{"expression": expression, "message": format!("{variable}={value} is retired")}],
            }}),
            json!({"kind": "ValidatingAdmissionPolicyBinding", "spec": {
                "policyName": policy, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": here},
            }}),
        ];
        for mut object in objects {
            object["apiVersion"] = json!("admissionregistration.k8s.io/v1");
            object["metadata"] = json!({"name": policy});
            self.cluster.apply(&object).await.unwrap();
        }
        self.until_refused(policy, variable, value, true).await;
    }

    pub async fn allow(&self, policy: &str, variable: &str, value: &str) {
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            self.cluster.kubectl(&["delete", kind, policy]).await.unwrap();
        }
        self.until_refused(policy, variable, value, false).await;
    }

    /// The API server learns of policies by a watch of its own.
    async fn until_refused(&self, namespace: &str, variable: &str, value: &str, refused: bool) {
        let mut tried = super::deployment(namespace, "tried", json!([{"name": variable, "value": value}]));
        tried["apiVersion"] = json!("apps/v1");
        tried["kind"] = json!("Deployment");
        let tried: Deployment = serde_json::from_value(tried).unwrap();
        let deployments = Api::<Deployment>::namespaced(self.client.clone(), namespace);
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let look = async || anyhow::Ok((deployments.create(&dry, &tried).await.is_err() == refused).then_some(()));
        let within = std::time::Duration::from_secs(60);
        eventually("the policy is in force or gone", within, look)
            .await
            .unwrap();
    }

    /// What `limited` may do, in all namespaces: this, and what is shipped for its lease.
    pub async fn rights(&self, namespace: &str, rules: &Value) {
        let shipped = include_str!("../../../deploy/base/role.yaml").split("\n---\n");
        let lease = shipped.filter(|part| part.contains("\nkind: Role\n"));
        let lease = lease.map(|role| serde_saphyr::from_str::<Value>(role).unwrap()["rules"].clone());
        let rules: Vec<Value> = lease
            .chain([rules.clone()])
            .flat_map(|rules| rules.as_array().cloned().unwrap())
            .collect();
        let api = "rbac.authorization.k8s.io";
        let name = json!({"name": namespace});
        let role = json!({"apiVersion": format!("{api}/v1"), "kind": "ClusterRole", "metadata": name, "rules": rules});
        let binding = json!({"apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding", "metadata": name,
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": namespace},
            "subjects": [{"apiGroup": api, "kind": "User", "name": self.user}]});
        self.cluster.apply(&role).await.unwrap();
        self.cluster.apply(&binding).await.unwrap();
    }

    pub fn ships_modosu(&self) -> String {
        self.cluster.image("modosu", env!("CARGO_BIN_EXE_modosu"));
        self.cluster.prometheus().url().to_owned()
    }

    pub fn template_writers(&self, namespace: &str, deployment: &str) -> Vec<String> {
        let patches = self.cluster.template_patches(namespace, deployment).unwrap();
        patches.into_iter().map(|write| write.user).collect()
    }

    pub async fn page(&self, path: &str) -> String {
        let port = self.started().unwrap().port;
        let url = format!("http://127.0.0.1:{port}{path}");
        let answer = self.http.get(url).send().await.unwrap();
        answer.text().await.unwrap()
    }

    pub fn log(&self) -> String {
        self.started().map(|daemon| daemon.process.log()).unwrap_or_default()
    }

    /// The daemon and all that the story made: what is over must not burden the others.
    pub async fn end(&self, namespace: &str) {
        for copy in [&self.daemon, &self.other] {
            let copy = copy.lock().unwrap().take();
            if let Some(copy) = copy {
                copy.process.kill().await;
            }
        }
        if let Servers::Shared(cluster) = &self.cluster {
            cluster.forget(namespace).await.unwrap();
        }
    }
}

/// Guards and incidents, as they are installed.
async fn learn_our_kinds(cluster: &Cluster) -> anyhow::Result<()> {
    let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/crds");
    cluster.kubectl(&["apply", "--server-side", "-k", crds]).await?;
    let kinds = ["crd/guards.modosu.dev", "crd/incidents.modosu.dev"];
    cluster
        .kubectl(&["wait", "--for=condition=Established", kinds[0], kinds[1]])
        .await
        .map(drop)
}

fn words(seen: &Seen) -> String {
    let verb = match (seen.method.as_str(), seen.name.is_empty()) {
        ("GET", true) => "list".to_owned(),
        ("POST", _) => "create".to_owned(),
        (method, _) => method.to_lowercase(),
    };
    let request = Request {
        verb: &verb,
        resource: &seen.resource,
        subresource: &seen.subresource,
        name: &seen.name,
        dry_run: seen.query.contains("dryRun"),
        body: &seen.body,
    };
    request.words()
}
