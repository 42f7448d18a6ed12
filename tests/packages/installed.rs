//! Installed on a real API server with RBAC, modosu running as the account that comes with it.

use std::{fs, time::Duration};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use modosu::model::{
    guard::{Guard, GuardStatus},
    incident::{Incident, IncidentState},
};
use modosu_cluster::{Cluster, Filter, Process, Program, eventually, free_port, orders};
use serde_json::{Value, json};

use crate::{chart, root, run, tool, values};

const SOON: Duration = Duration::from_secs(120);

/// A namespace with the orders service and a guard.
struct Shop<'a> {
    cluster: &'a Cluster,
    client: Client,
    namespace: &'a str,
}

impl<'a> Shop<'a> {
    async fn open(cluster: &'a Cluster, namespace: &'a str) -> Self {
        cluster.namespace(namespace).await.unwrap();
        let legacy = json!([{"name": "WORKER_MODE", "value": "legacy"}]);
        cluster
            .apply(&orders::deployment(namespace, "orders", 1, &legacy))
            .await
            .unwrap();
        cluster.rolled_out(namespace, "orders", SOON).await.unwrap();
        Self {
            cluster,
            client: cluster.client("admin").await.unwrap(),
            namespace,
        }
    }

    async fn guard(&self) {
        let guard = json!({
            "apiVersion": "modosu.dev/v1alpha1", "kind": "Guard",
            "metadata": {"name": "orders", "namespace": self.namespace},
            "spec": {
                "targets": [{"kind": "Deployment", "name": "orders"}],
                "metrics": {"preset": "prometheus-http"},
                "baseline": {"window": "5s"}, "knownGoodAfter": "8s", "verify": {"hold": "5s"},
            },
        });
        self.cluster.apply(&guard).await.unwrap();
    }

    fn incidents(&self) -> Api<Incident> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    async fn status(&self) -> GuardStatus {
        let guards: Api<Guard> = Api::namespaced(self.client.clone(), self.namespace);
        guards.get("orders").await.unwrap().status.unwrap_or_default()
    }

    async fn proven(&self) {
        let proven = async || anyhow::Ok(self.status().await.current.filter(|current| current.proven).map(drop));
        eventually("the first state is proven", SOON, proven).await.unwrap();
    }

    async fn bad_release(&self) {
        self.cluster
            .kubectl(&[
                "set",
                "env",
                "-n",
                self.namespace,
                "deployment/orders",
                "ERROR_SHARE=0.5",
            ])
            .await
            .unwrap();
    }

    async fn error_share(&self) -> Option<String> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), self.namespace);
        let template = deployments.get("orders").await.unwrap().spec.template;
        let env = template.spec.unwrap().containers[0].env.clone().unwrap_or_default();
        env.into_iter()
            .find(|one| one.name == "ERROR_SHARE")
            .and_then(|one| one.value)
    }

    /// The only incident, once it stands there.
    async fn incident_in(&self, state: IncidentState) -> Incident {
        let incidents = self.incidents();
        let look = async || {
            let mut all = incidents.list(&ListParams::default()).await?.items.into_iter();
            Ok::<_, kube::Error>(all.find(|one| one.status.as_ref().is_some_and(|status| status.state == Some(state))))
        };
        eventually(&format!("an incident is {state:?}"), SOON, look)
            .await
            .unwrap()
    }

    /// A release that fails is put back.
    async fn restores(&self) {
        self.guard().await;
        self.proven().await;
        self.bad_release().await;
        self.incident_in(IncidentState::Recovered).await;
        assert_eq!(self.error_share().await, None, "the template is back");
    }

    async fn revision(&self) -> Value {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), self.namespace);
        let found = deployments.get("orders").await.unwrap();
        json!([
            found.metadata.uid,
            found.metadata.generation,
            found.spec,
            found.status.unwrap().ready_replicas
        ])
    }
}

/// modosu with the installed settings, as the installed account.
async fn modosu(cluster: &Cluster, namespace: &str, account: &str) -> (Process, u16) {
    let client = cluster.client("admin").await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
    let maps = maps.list(&ListParams::default()).await.unwrap().items;
    let settings = maps
        .into_iter()
        .find(|map| map.name_any().starts_with(&format!("{account}-settings")));
    let folder = cluster.folder(&format!("{namespace}-{account}")).unwrap();
    let file = folder.join("modosu.yaml");
    fs::write(&file, &settings.unwrap().data.unwrap()["modosu.yaml"]).unwrap();

    let token = cluster
        .kubectl(&["create", "token", "-n", namespace, account])
        .await
        .unwrap();
    let admin = fs::read_to_string(cluster.kubeconfig("admin").unwrap()).unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&admin).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    kubeconfig["contexts"][0]["context"]["namespace"] = json!(namespace);
    let path = folder.join("kubeconfig");
    fs::write(&path, kubeconfig.to_string()).unwrap();

    let port = free_port().unwrap();
    let program = Program::new(format!("{namespace}-{account}"), env!("CARGO_BIN_EXE_modosu"))
        .args(["run", "--config", file.to_str().unwrap()])
        .env("KUBECONFIG", path)
        .env("MODOSU__PROMETHEUS__URL", cluster.prometheus().url())
        .env("MODOSU__POLL", "1s")
        .env("MODOSU__HTTP__LISTEN", format!("127.0.0.1:{port}"));
    let process = cluster.run(program).await.unwrap();
    let ready = format!("http://127.0.0.1:{port}/readyz");
    let ready = async || {
        reqwest::get(&ready)
            .await
            .map(|answer| answer.status().is_success().then_some(()))
    };
    let is_ready = eventually("modosu is ready", SOON, ready).await;
    assert!(is_ready.is_ok(), "modosu is not ready:\n{}", process.log());
    (process, port)
}

/// What the account was refused, as the API server noted and as modosu logged.
fn refused(cluster: &Cluster, process: &Process, account: &str) -> Vec<String> {
    let user = format!("system:serviceaccount:{account}");
    let filter = Filter {
        user: Some(&user),
        ..Filter::default()
    };
    let writes = cluster
        .writes(filter)
        .unwrap()
        .into_iter()
        .filter(|write| write.code == 403);
    let writes = writes.map(|write| format!("{} {}/{}", write.verb, write.resource, write.name));
    let log = process.log();
    let logged = log.lines().filter(|line| line.contains("orbidden"));
    writes.chain(logged.map(str::to_owned)).collect()
}

async fn apply(cluster: &Cluster, folder: &str) {
    let path = root().join(folder);
    cluster
        .kubectl(&["apply", "--server-side", "-k", path.to_str().unwrap()])
        .await
        .unwrap();
}

async fn learn_our_kinds(cluster: &Cluster) {
    apply(cluster, "deploy/crds").await;
    let [guards, incidents] = ["crd/guards.modosu.dev", "crd/incidents.modosu.dev"];
    cluster
        .kubectl(&["wait", "--for=condition=Established", guards, incidents])
        .await
        .unwrap();
}

/// A namespace with the security that overlays/operator asks for.
async fn has_pods(cluster: &Cluster, namespace: &str) {
    let pods = async || {
        let selector = "app.kubernetes.io/name=modosu";
        let pods = cluster
            .kubectl(&["get", "pods", "-n", namespace, "-l", selector, "-o", "name"])
            .await?;
        anyhow::Ok((pods.lines().count() == 2).then_some(()))
    };
    eventually("the pods of modosu are admitted", SOON, pods).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_restores_and_leaves_everything_when_it_goes() {
    // Of its own: its policy holds for all namespaces, and its kinds go with it.
    let cluster = Cluster::start().await.unwrap();
    apply(&cluster, "deploy/overlays/operator").await;
    has_pods(&cluster, "modosu").await;
    let shop = Shop::open(&cluster, "shop").await;
    let (process, _) = modosu(&cluster, "modosu", "modosu").await;
    shop.restores().await;
    assert_eq!(refused(&cluster, &process, "modosu:modosu"), Vec::<String>::new());

    nobody_signs_as_somebody_else(&shop).await;

    let before = shop.revision().await;
    process.kill().await;
    let overlay = root().join("deploy/overlays/operator");
    cluster
        .kubectl(&["delete", "-k", overlay.to_str().unwrap()])
        .await
        .unwrap();
    let kinds = cluster
        .kubectl(&["get", "crd,ns,clusterrole", "-o", "name"])
        .await
        .unwrap();
    assert!(!kinds.contains("modosu"), "nothing of it is left: {kinds}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(shop.revision().await, before, "the workload is as it was");
}

/// What people decide is signed by who they are.
async fn nobody_signs_as_somebody_else(shop: &Shop<'_>) {
    let incidents = shop.incidents();
    let name = incidents.list(&ListParams::default()).await.unwrap().items[0].name_any();
    let decide = async |by: &str| {
        let patch = json!({"spec": {"decision": {"verb": "keep", "by": by, "reason": "a story"}}});
        incidents
            .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
    };
    let refused = async || {
        let said = decide("sam").await.err().map(|why| why.to_string());
        anyhow::Ok(said)
    };
    let said = eventually("who signs as sam is refused", SOON, refused).await.unwrap();
    assert!(said.contains("spec.decision.by must be you, admin"), "{said}");
    decide("admin").await.unwrap();
    let labelled = json!({"metadata": {"labels": {"seen": "yes"}}});
    incidents
        .patch(&name, &PatchParams::default(), &Patch::Merge(&labelled))
        .await
        .unwrap();
    let taken_away = json!({"spec": {"decision": null}});
    let taken_away = incidents
        .patch(&name, &PatchParams::default(), &Patch::Merge(&taken_away))
        .await;
    assert!(taken_away.unwrap_err().to_string().contains("is not taken away"));

    let cluster = shop.cluster;
    // modosu opens incidents for people who asked on the guard, as a sidecar too; nobody else does in their names.
    let forged = json!({"apiVersion": "modosu.dev/v1alpha1", "kind": "Incident", "metadata": {"name": "forged", "namespace": shop.namespace},
        "spec": {"guard": "orders", "firstBadAt": "2026-01-01T00:00:00Z", "openedAt": "2026-01-01T00:00:00Z", "grade": "Low", "action": "monitor",
            "summary": "trust me", "triggers": [], "bad": {"hash": "111111111111", "images": []}, "decision": {"verb": "rollback", "by": "sam"}}});
    let file = shop.cluster.folder("forged").unwrap().join("incident.json");
    fs::write(&file, forged.to_string()).unwrap();
    let opens = async |account: &str| {
        let (shop, binding) = (shop.namespace, format!("--serviceaccount={}:{account}", shop.namespace));
        let grant = [
            "create",
            "rolebinding",
            account,
            "-n",
            shop,
            "--clusterrole=modosu",
            &binding,
        ];
        cluster.kubectl(&grant).await.unwrap();
        let user = format!("--as=system:serviceaccount:{shop}:{account}");
        cluster.kubectl(&["create", &user, "-f", file.to_str().unwrap()]).await
    };
    let said = opens("another").await.unwrap_err().to_string();
    assert!(said.contains("must be you"), "{said}");
    opens("modosu").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_single_namespaces_it_restores_without_rights_elsewhere() {
    let cluster = Cluster::start().await.unwrap();
    learn_our_kinds(&cluster).await;
    cluster.namespace("modosu").await.unwrap();
    let (shop, other) = (
        Shop::open(&cluster, "shop").await,
        Shop::open(&cluster, "billing").await,
    );
    apply(&cluster, "deploy/overlays/namespaced").await;
    let (process, _) = modosu(&cluster, "modosu", "modosu").await;
    other.guard().await;
    shop.restores().await;

    assert_eq!(refused(&cluster, &process, "modosu:modosu"), Vec::<String>::new());
    assert!(
        other.status().await.state.is_none(),
        "nobody looks at another namespace's guard"
    );
    let everywhere = cluster
        .kubectl(&["get", "clusterrole,clusterrolebinding", "-o", "name"])
        .await
        .unwrap();
    assert!(!everywhere.contains("modosu"), "{everywhere}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_looks_tells_what_hurts_and_is_refused_nothing() {
    let cluster = Cluster::start().await.unwrap();
    apply(&cluster, "deploy/overlays/read-only").await;
    let shop = Shop::open(&cluster, "shop").await;
    let (process, port) = modosu(&cluster, "modosu", "modosu").await;
    shop.guard().await;
    let healthy = async || anyhow::Ok(shop.status().await.baseline.map(drop));
    eventually("what is usual is known", SOON, healthy).await.unwrap();
    shop.bad_release().await;

    let degraded = async || {
        let mut conditions = shop.status().await.conditions.into_iter();
        anyhow::Ok(conditions.find(|one| one.type_ == "Degraded" && one.status == "True"))
    };
    let degraded = eventually("the guard says that it hurts", SOON, degraded)
        .await
        .unwrap();
    assert_eq!(degraded.reason, "BreachFound");
    assert!(degraded.message.contains("error_rate"), "{}", degraded.message);
    let itself = std::path::Path::new(env!("CARGO_BIN_EXE_modosu"));
    run(itself, &["health", "--listen", &format!("0.0.0.0:{port}")]).unwrap();
    let shown = reqwest::get(format!("http://127.0.0.1:{port}/status.json"))
        .await
        .unwrap();
    let shown: Value = serde_json::from_str(&shown.text().await.unwrap()).unwrap();
    assert_eq!(shown["guards"][0]["state"], "Suspect");
    let events = async || {
        let events = cluster
            .kubectl(&["get", "events.events.k8s.io", "-n", "shop", "-o", "wide"])
            .await?;
        anyhow::Ok(events.contains("BreachFound").then_some(()))
    };
    eventually("an Event tells it", SOON, events).await.unwrap();

    // Errors fire three triggers of its preset, on a slow machine one after the other: what joins is news, and nothing else.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let log = process.log();
    let told = log.matches("modosu is read-only: it opens no incident").count();
    assert!((1..=3).contains(&told), "told once, not in each turn: {told}");
    assert!(
        shop.incidents()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert_eq!(shop.error_share().await.as_deref(), Some("0.5"), "it is left as it is");
    assert_eq!(refused(&cluster, &process, "modosu:modosu"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chart_is_installed_restores_and_goes() {
    let cluster = Cluster::start().await.unwrap();
    let kubeconfig = cluster.kubeconfig("admin").unwrap();
    let helm = |arguments: &[&str]| {
        let at = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--namespace", "watch"];
        run(&tool("helm"), &[arguments, &at].concat()).unwrap_or_else(|why| panic!("{why}"))
    };
    let said = helm(&[
        "install",
        "acme",
        &chart(),
        "--create-namespace",
        "--values",
        &values("defaults"),
    ]);
    assert!(said.contains("service/acme-modosu 9191"), "{said}");
    has_pods(&cluster, "watch").await;
    let shop = Shop::open(&cluster, "shop").await;
    let (process, _) = modosu(&cluster, "watch", "acme-modosu").await;
    shop.restores().await;
    assert_eq!(refused(&cluster, &process, "watch:acme-modosu"), Vec::<String>::new());

    // Other rights, and back: nothing of the service changes.
    let before = shop.revision().await;
    cluster.kubectl(&["create", "namespace", "unwatched"]).await.unwrap();
    helm(&["upgrade", "acme", &chart(), "--set", "settings.namespaces={unwatched}"]);
    let roles = cluster.kubectl(&["get", "clusterrole", "-o", "name"]).await.unwrap();
    assert!(!roles.contains("modosu"), "{roles}");
    process.kill().await;
    helm(&["uninstall", "acme"]);
    let left = cluster
        .kubectl(&[
            "get",
            "crd,guards,incidents,controllerrevisions",
            "-n",
            "shop",
            "-o",
            "name",
        ])
        .await
        .unwrap();
    for kept in [
        "guards.modosu.dev",
        "incidents.modosu.dev",
        "guard.modosu.dev/orders",
        "incident.modosu.dev/orders-",
    ] {
        assert!(
            left.contains(kept),
            "Helm leaves kinds and what people have of them: {kept}, {left}"
        );
    }
    assert_eq!(shop.revision().await, before);
}
