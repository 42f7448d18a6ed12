//! Many services go bad in the same turn, all of them by one related change.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use futures::TryStreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::{
    Api, ResourceExt,
    api::PostParams,
    runtime::{WatchStreamExt, watcher},
};
use modosu_cluster::{AuditedWrite, Filter, Process, Program, orders};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    between,
    exporter::Exporter,
    place::{Daemon, NAMESPACE, Place, guard},
    quantile,
};

const NODES: usize = 10;
/// One in so many is of the gravest grade; the others are put back too.
const GRAVEST: usize = 10;
/// The daemon is killed when so many are back.
const KILLED_AT: usize = 100;

pub async fn storm(count: usize) -> anyhow::Result<()> {
    let scene = Scene::set(count).await?;
    let reads = Reads::begin(&scene.place);
    let bad_at = scene.goes_bad();
    scene.all_back().await?;
    let slowest = reads.end().await?;
    let writes = scene.writes()?;
    scene.each_once(&writes)?;

    let back: Vec<_> = writes.iter().filter(|write| write.resource == "deployments").collect();
    let took = |write: &&AuditedWrite| between(bad_at, write.at);
    let times: Vec<_> = back.iter().map(took).collect();
    let first = writes
        .iter()
        .find(|write| write.resource == "incidents")
        .context("an incident")?;
    let (last, whole) = (quantile(&times, 1.0), between(first.at, back[back.len() - 1].at));
    let wanted = if count <= 300 { "6 s" } else { "10 s" };
    println!(
        "{count} services go bad in the same turn, {} writes by modosu meanwhile:",
        writes.len()
    );
    println!(
        "  goes bad → restoring write: median {:.2} s, last {:.2} s (wanted: {wanted})",
        quantile(&times, 0.5).as_secs_f64(),
        last.as_secs_f64()
    );
    println!("  first evidence → last restoring write: {:.2} s", whole.as_secs_f64());
    let gravest = back
        .iter()
        .filter(|write| scene.is_gravest(&write.name))
        .map(took)
        .max();
    println!(
        "  the gravest are back after {:.2} s",
        gravest.unwrap_or_default().as_secs_f64()
    );
    println!(
        "  slowest read of the API server meanwhile: {:.2} s (wanted: 1 s)",
        slowest.as_secs_f64()
    );
    Ok(())
}

pub async fn crash(count: usize) -> anyhow::Result<()> {
    let mut scene = Scene::set(count).await?;
    scene.goes_bad();
    scene.back(KILLED_AT.min(count / 3)).await?;
    scene.daemon.process.kill().await;
    let again = Timestamp::now();
    scene.daemon = scene.place.daemon(scene.place.cluster.prometheus().url()).await?;
    scene.all_back().await?;
    let writes = scene.writes()?;
    scene.each_once(&writes)?;
    let back = writes.iter().filter(|write| write.resource == "deployments");
    let last = back.map(|write| write.at).max().context("a write")?;
    println!("{count} services go bad, `kill -9` of the daemon in the middle, started again at once:");
    println!(
        "  restart → last restoring write: {:.2} s (wanted: 5 s); each was patched exactly once",
        between(again, last).as_secs_f64()
    );
    Ok(())
}

struct Scene {
    place: Place,
    daemon: Daemon,
    exporter: Exporter,
    names: Vec<String>,
    _kwok: Process,
}

impl Scene {
    /// All are proven, then all released anew, and watched by a daemon.
    async fn set(count: usize) -> anyhow::Result<Self> {
        let began = Instant::now();
        let place = Place::open("").await?;
        let kwok = kwok(&place).await?;
        let names: Vec<_> = (0..count).map(|n| format!("service-{n}")).collect();
        let (exporter, address) = Exporter::serve(names.clone()).await?;
        place.cluster.prometheus().add_target(&[], &address)?;
        place
            .create(names.iter().map(|name| deployment(name)).collect())
            .await?;
        place.rolled_out().await?;
        place
            .create((0..count).map(|n| guarded(n, &names[n])).collect())
            .await?;
        let daemon = place.daemon(place.cluster.prometheus().url()).await?;
        daemon
            .shows("all are proven", count, |guard| guard["current"]["proven"] == true)
            .await?;
        place.release(&names, "b").await?;
        place.rolled_out().await?;
        daemon
            .shows("all are on probation", count, |guard| guard["state"] == "Probation")
            .await?;
        sleep(Duration::from_secs(10)).await;
        eprintln!(
            "{count} guards stand ready after {:.0} s",
            began.elapsed().as_secs_f64()
        );
        Ok(Self {
            place,
            daemon,
            exporter,
            names,
            _kwok: kwok,
        })
    }

    fn goes_bad(&self) -> Timestamp {
        self.exporter.goes_bad();
        Timestamp::now()
    }

    fn is_gravest(&self, name: &str) -> bool {
        let place = self.names.iter().position(|other| other == name);
        place.is_some_and(|n| n % GRAVEST == 0)
    }

    /// So many templates are back. By a watch: to list them all, again and again, would be a load of its own.
    async fn back(&self, count: usize) -> anyhow::Result<()> {
        let events = watcher(self.place.api("apps/v1", "Deployment"), watcher::Config::default());
        let back = events.applied_objects().try_filter_map(async |deployment| {
            let is_back = version(&deployment.data) == "a";
            Ok(is_back.then(|| deployment.name_any()))
        });
        let mut back = std::pin::pin!(back);
        let mut names = BTreeSet::new();
        let all = async {
            while names.len() < count {
                names.insert(back.try_next().await?.context("the watch ended")?);
            }
            anyhow::Ok(())
        };
        let back = timeout(Duration::from_secs(120), all).await;
        back.context("the templates are not back within 120 s")?
    }

    async fn all_back(&self) -> anyhow::Result<()> {
        self.back(self.names.len()).await
    }

    /// What modosu wrote since the release: evidence, intents, templates.
    fn writes(&self) -> anyhow::Result<Vec<AuditedWrite>> {
        let mut all = self.place.cluster.writes(Filter {
            user: Some("modosu"),
            namespace: Some(NAMESPACE),
            ..Filter::default()
        })?;
        all.retain(|write| !write.dry_run && (200..300).contains(&write.code));
        let begins = all.iter().position(|write| write.resource == "incidents");
        Ok(all.split_off(begins.context("no incident was opened")?))
    }

    fn each_once(&self, writes: &[AuditedWrite]) -> anyhow::Result<()> {
        let mut patched = BTreeMap::new();
        for write in writes.iter().filter(|write| write.resource == "deployments") {
            *patched.entry(write.name.as_str()).or_insert(0) += 1;
        }
        let wrong: Vec<_> = self
            .names
            .iter()
            .filter(|name| patched.get(name.as_str()) != Some(&1))
            .collect();
        ensure!(wrong.is_empty(), "not patched exactly once: {wrong:?}");
        Ok(())
    }
}

/// A read twenty times a second while the storm lasts.
struct Reads {
    /// Milliseconds.
    slowest: Arc<AtomicU64>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Reads {
    fn begin(place: &Place) -> Self {
        let slowest = Arc::new(AtomicU64::new(0));
        let (seen, namespaces) = (slowest.clone(), Api::<Namespace>::all(place.client.clone()));
        let task = tokio::spawn(async move {
            loop {
                let began = Instant::now();
                namespaces.get(NAMESPACE).await?;
                let took = began.elapsed();
                seen.fetch_max(u64::try_from(took.as_millis())?, Ordering::Relaxed);
                sleep(Duration::from_millis(50)).await;
            }
        });
        Self { slowest, task }
    }

    async fn end(self) -> anyhow::Result<Duration> {
        if self.task.is_finished() {
            self.task.await??;
        } else {
            self.task.abort();
        }
        Ok(Duration::from_millis(self.slowest.load(Ordering::Relaxed)))
    }
}

/// KWOK, and nodes that it plays.
async fn kwok(place: &Place) -> anyhow::Result<Process> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/build");
    let built = Command::new(script)
        .arg("kwok")
        .stderr(std::process::Stdio::inherit())
        .output()?;
    ensure!(
        built.status.success(),
        "KWOK could not be built; what it lacks stands above"
    );
    let folder = std::path::PathBuf::from(String::from_utf8(built.stdout)?.trim_end());
    let program = Program::new("kwok", folder.join("kwok"))
        .args(["--kubeconfig"])
        .args([place.cluster.kubeconfig("admin")?])
        .args([
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
            "--node-lease-duration-seconds=40",
        ])
        .args(["--config"])
        .args([folder.join("stages.yaml")]);
    let process = place.cluster.run(program).await?;
    let nodes = Api::<Node>::all(place.client.clone());
    for n in 0..NODES {
        let node = serde_json::from_value(json!({
            "metadata": {
                "name": format!("pretend-{n}"),
                "labels": {"pretends": "yes"},
                "annotations": {"kwok.x-k8s.io/node": "fake"},
            },
        }))?;
        nodes.create(&PostParams::default(), &node).await?;
    }
    Ok(process)
}

fn deployment(name: &str) -> Value {
    let mut deployment = orders::deployment(NAMESPACE, name, 1, &json!([{"name": "VERSION", "value": "a"}]));
    deployment["spec"]["template"]["spec"]["nodeSelector"] = json!({"pretends": "yes"});
    deployment
}

fn guarded(n: usize, name: &str) -> Value {
    let grade = if n.is_multiple_of(GRAVEST) { "Critical" } else { "High" };
    guard(
        name,
        json!({
            "metrics": {"preset": "prometheus-http", "match": {"namespace": NAMESPACE, "service": name}},
            "triggers": [{"name": "error rate rose", "condition": "error_rate > 5%",
                "action": "automatic_rollback", "grade": grade, "for": "0s"}],
        }),
    )
}

fn version(deployment: &Value) -> &str {
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array();
    let found = env.into_iter().flatten().find(|entry| entry["name"] == "VERSION");
    found.and_then(|entry| entry["value"].as_str()).unwrap_or_default()
}
