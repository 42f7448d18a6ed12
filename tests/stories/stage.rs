//! Where a story plays: the same words for the embedded world and for real servers.

mod asked;
mod embedded;
pub mod line;
mod real;
pub mod repository;

use std::time::Duration;

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams},
};
use modosu::model::{
    guard::{Current, Guard},
    incident::Incident,
};
use modosu_cluster::push::{Labels, Worth};
use serde_json::{Value, json};

/// Poll and scrape interval of all stories.
pub const TICK: Duration = Duration::from_secs(1);
/// So many rollbacks within an hour, where a story does not say otherwise: the default.
const BUDGET: u32 = 10;
/// Who the daemon is, at every start: as a container that starts again in its pod it has its lease back at once.
const FIRST: &str = "modosu-0";
/// Another copy.
const SECOND: &str = "modosu-1";
/// What is guarded.
const TARGETS: [&str; 4] = ["deployments", "statefulsets", "daemonsets", "configmaps"];
/// Changes of several services that lie this near to each other are one group.
pub const RELATED: Duration = Duration::from_secs(5);

/// The daemon's settings in all stories beside the addresses: a way to grade whose clocks fit a story.
const SETTINGS: &str = "
poll: 1s
steps: {job: true, git: true}
git: {protocols: [http]}
schemes:
  quick:
    grades:
      - {name: red, decider: oncall, decideWithin: 0s, doneWithin: 15m, chain: [{role: tech-lead, after: 5m}]}
      - name: yellow
        decider: tech-lead
        decideWithin: 4s
        chain: [{role: project-manager, after: 2s}, {role: architect, onlyFrom: red}]
      - {name: green, decider: team, decideWithin: 7d}
";

/// The file that holds them.
fn settings() -> std::path::PathBuf {
    static WRITTEN: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    let write = || {
        let name = format!("stories-{}.yaml", std::process::id());
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, SETTINGS).unwrap();
        path
    };
    WRITTEN.get_or_init(write).clone()
}

/// A namespace in a world, with or without a daemon that watches it.
pub struct Stage {
    pub namespace: String,
    /// As an administrator.
    pub client: Client,
    /// Whom checks and steps ask.
    pub asked: asked::Asked,
    place: Place,
}

enum Place {
    Embedded(Box<embedded::Embedded>),
    Real(Box<real::Real>),
}

/// Where the daemon is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// The incident is created; nothing else knows of it.
    Opened,
    /// The intent is written; nothing was done.
    Intended,
    /// A template or a number of pods is patched; the daemon does not know.
    Patched,
}

/// A write that modosu made.
#[derive(Clone, Debug)]
pub struct Written {
    pub verb: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    pub code: u16,
    pub dry_run: bool,
    pub body: Value,
}

/// How a service is made bad from outside, whatever its settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bad {
    pub error_share: Option<f64>,
    pub latency_ms: Option<f64>,
    /// Its containers end, and end again after each start.
    pub crash: Option<bool>,
    /// What readiness probes are told.
    pub ready: Option<bool>,
    /// Requests per second of each pod.
    pub rps: Option<f64>,
}

impl Stage {
    pub async fn embedded(story: &str) -> Self {
        Self::with(story, |namespace| async move {
            embedded::Embedded::start(&namespace)
                .await
                .map(|embedded| Place::Embedded(Box::new(embedded)))
        })
        .await
    }

    pub async fn real(story: &str) -> Self {
        Self::with(story, |namespace| async move {
            real::Real::start(&namespace)
                .await
                .map(|real| Place::Real(Box::new(real)))
        })
        .await
    }

    /// On real servers of its own, which the story may break.
    pub async fn real_alone(story: &str) -> Self {
        Self::with(story, |namespace| async move {
            real::Real::start_alone(&namespace)
                .await
                .map(|real| Place::Real(Box::new(real)))
        })
        .await
    }

    /// On real servers, with a daemon that may do only what the story lets it do.
    pub async fn real_limited(story: &str) -> Self {
        Self::with(story, |namespace| async move {
            real::Real::start_limited(&namespace)
                .await
                .map(|real| Place::Real(Box::new(real)))
        })
        .await
    }

    async fn with<F: Future<Output = anyhow::Result<Place>>>(story: &str, start: impl FnOnce(String) -> F) -> Self {
        let namespace = story.replace('_', "-");
        let place = start(namespace.clone()).await.unwrap();
        let asked = match &place {
            Place::Embedded(embedded) => embedded.asked.clone(),
            Place::Real(_) => asked::Asked::listening().await,
        };
        let client = match &place {
            Place::Embedded(embedded) => embedded.world.client("admin"),
            Place::Real(real) => real.client.clone(),
        };
        Self {
            namespace,
            client,
            asked,
            place,
        }
    }

    /// Lets the story be told to its end, also where that is a surprise, and ends what real servers would keep running.
    pub async fn tell_all(&self, story: impl Future<Output = ()>) {
        let told = std::panic::AssertUnwindSafe(story).catch_unwind().await;
        self.end().await;
        if let Err(surprise) = told {
            std::panic::resume_unwind(surprise);
        }
    }

    /// Ends what real servers would keep running.
    pub async fn end(&self) {
        if let Place::Real(real) = &self.place {
            real.end(&self.namespace).await;
        }
    }

    /// The world of a story that is told on the embedded world alone.
    pub fn world(&self) -> &modosu_world::World {
        match &self.place {
            Place::Embedded(embedded) => &embedded.world,
            Place::Real(_) => panic!("this story needs the embedded world"),
        }
    }

    // ---- people and their tools -------------------------------------------------------------------------------

    /// Deploys the orders service with this environment (`[{"name": …, "value": …}]`) and waits for its roll-out.
    pub async fn deploy(&self, name: &str, env: Value) {
        self.create("apps/v1", "Deployment", deployment(&self.namespace, name, env))
            .await;
        self.rolled_out(name).await;
    }

    /// Creates any object in the story's namespace.
    pub async fn create(&self, api_version: &str, kind: &str, mut object: Value) {
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        object["metadata"]["namespace"] = json!(self.namespace);
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        self.api(api_version, kind)
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    /// A ConfigMap with this data.
    pub async fn config(&self, name: &str, data: Value) {
        self.create("v1", "ConfigMap", json!({"metadata": {"name": name}, "data": data}))
            .await;
    }

    /// A Guard; `spec` is merged over [`guard_spec`].
    pub async fn guard(&self, name: &str, spec: Value) {
        let mut whole = guard_spec(name);
        json_patch::merge(&mut whole, &spec);
        self.create(
            "modosu.dev/v1alpha1",
            "Guard",
            json!({"metadata": {"name": name}, "spec": whole}),
        )
        .await;
    }

    /// A merge patch by a person.
    pub async fn edit(&self, api_version: &str, kind: &str, name: &str, patch: Value) {
        let api = self.api(api_version, kind);
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    /// `kubectl set env deployment/NAME KEY=VALUE`.
    pub async fn set_env(&self, deployment: &str, key: &str, value: &str) {
        let container =
            self.deployment(deployment).await.data["spec"]["template"]["spec"]["containers"][0]["name"].clone();
        let patch = json!({"spec": {"template": {"spec": {"containers": [
            {"name": container, "env": [{"name": key, "value": value}]}]}}}});
        let api = self.api("apps/v1", "Deployment");
        api.patch(deployment, &PatchParams::default(), &Patch::Strategic(&patch))
            .await
            .unwrap();
    }

    /// A release: the whole pod template as [`deployment`] makes it with this environment, changed at will.
    pub async fn release(&self, name: &str, env: Value, change: impl FnOnce(&mut Value)) {
        let mut template = deployment(&self.namespace, name, env)["spec"]["template"].take();
        change(&mut template);
        self.edit("apps/v1", "Deployment", name, json!({"spec": {"template": template}}))
            .await;
    }

    /// `kubectl rollout restart deployment/NAME`.
    pub async fn restart(&self, deployment: &str) {
        let patch = json!({"spec": {"template": {"metadata": {"annotations": {
            "kubectl.kubernetes.io/restartedAt": jiff::Timestamp::now().to_string()}}}}});
        self.edit("apps/v1", "Deployment", deployment, patch).await;
    }

    /// `kubectl patch incident … spec.decision`.
    pub async fn decide(&self, incident: &str, verb: &str) {
        let patch = json!({"spec": {"decision": {"verb": verb, "by": "sam", "reason": "a story"}}});
        self.edit("modosu.dev/v1alpha1", "Incident", incident, patch).await;
    }

    /// `modosu …` as a person calls it: what it says. Real servers only.
    pub async fn command(&self, arguments: &[&str]) -> String {
        let said = self.tries(arguments).await;
        said.unwrap_or_else(|why| panic!("modosu {}: {why}", arguments.join(" ")))
    }

    /// The same; the error is what it says where it fails.
    pub async fn tries(&self, arguments: &[&str]) -> Result<String, String> {
        let Place::Real(real) = &self.place else {
            panic!("the embedded world has no address");
        };
        real.command(arguments).await
    }

    /// Makes the service bad from outside, whatever its settings.
    pub fn misbehave(&self, name: &str, bad: Bad) {
        match &self.place {
            Place::Embedded(embedded) => embedded.misbehave(&self.namespace, name, bad),
            Place::Real(real) => real.misbehave(&self.namespace, name, bad),
        }
    }

    /// Lets it follow its settings again.
    pub fn behave(&self, name: &str) {
        match &self.place {
            Place::Embedded(embedded) => embedded.world.behave(&self.namespace, name),
            Place::Real(real) => real.behave(&self.namespace, name),
        }
    }

    /// Prometheus remembers these series, too, as of earlier moments. Real servers only.
    pub async fn remembered(&self, series: &[(Labels, Worth)]) {
        match &self.place {
            Place::Embedded(_) => panic!("nothing is pushed to the embedded Prometheus"),
            Place::Real(real) => real.remembered(series).await,
        }
    }

    pub async fn prometheus(&self, up: bool) {
        match &self.place {
            Place::Embedded(embedded) if up => embedded.world.prometheus_start(),
            Place::Embedded(embedded) => embedded.world.prometheus_stop(),
            Place::Real(real) => real.prometheus(up).await,
        }
    }

    /// A policy of the cluster's owners from now on: no template of this namespace has this variable.
    pub async fn forbid(&self, variable: &str, value: &str) {
        match &self.place {
            Place::Embedded(embedded) => embedded.forbid(&self.namespace, variable, value),
            Place::Real(real) => real.forbid(&self.namespace, variable, value).await,
        }
    }

    /// Takes that policy away.
    pub async fn allow(&self, variable: &str, value: &str) {
        match &self.place {
            Place::Embedded(embedded) => embedded.allow(),
            Place::Real(real) => real.allow(&self.namespace, variable, value).await,
        }
    }

    /// What a daemon of [`Stage::real_limited`] may do.
    pub async fn rights(&self, rules: &Value) {
        match &self.place {
            Place::Embedded(_) => panic!("the embedded world asks nobody for rights"),
            Place::Real(real) => real.rights(&self.namespace, rules).await,
        }
    }

    // ---- the daemon -------------------------------------------------------------------------------------------

    /// Starts the daemon. It watches this namespace alone.
    pub async fn daemon(&self) {
        self.daemon_with_budget(BUDGET).await;
    }

    /// One that puts back so much by itself within an hour.
    pub async fn daemon_with_budget(&self, rollbacks: u32) {
        match &self.place {
            Place::Embedded(embedded) => embedded.daemon(&self.namespace, rollbacks, SignedDuration::ZERO),
            Place::Real(real) => real.daemon(&self.namespace, rollbacks).await,
        }
        self.shows_its_status().await;
    }

    /// Starts another copy beside the daemon; gives when it follows.
    pub async fn second_daemon(&self) {
        self.swap();
        match &self.place {
            Place::Embedded(embedded) => embedded.copy(&self.namespace, SECOND, BUDGET, SignedDuration::ZERO),
            Place::Real(real) => real.copy(&self.namespace, SECOND, BUDGET).await,
        }
        self.shows_its_status().await;
        self.swap();
    }

    /// The other copy is the daemon from now on: it is the one that is looked at, killed and stopped.
    pub fn swap(&self) {
        match &self.place {
            Place::Embedded(embedded) => embedded.swap(),
            Place::Real(real) => real.swap(),
        }
    }

    /// Any signal to the daemon: `TERM`; `STOP` and `CONT` for processes alone.
    pub fn sends(&self, name: &str) {
        match &self.place {
            Place::Embedded(embedded) => {
                assert_eq!(name, "TERM", "the embedded daemon is no process");
                embedded.is_told_to_stop();
            }
            Place::Real(real) => real.signal(name),
        }
    }

    /// What the other copy asked to have written anywhere, dry-runs too, but for the lease.
    pub fn writes_of_the_other(&self) -> Vec<String> {
        match &self.place {
            Place::Embedded(embedded) => embedded.writes_of_the_other(),
            Place::Real(real) => real.writes_of_the_other(),
        }
    }

    /// Whether the daemon says that it acts.
    pub async fn leads(&self) -> bool {
        self.status().await.is_some_and(|status| status["leader"] == true)
    }

    /// The same on a machine whose clock is wrong. Embedded world only.
    pub async fn daemon_ahead(&self, ahead: SignedDuration) {
        match &self.place {
            Place::Embedded(embedded) => embedded.daemon(&self.namespace, BUDGET, ahead),
            Place::Real(_) => panic!("real clocks are right"),
        }
        self.shows_its_status().await;
    }

    async fn shows_its_status(&self) {
        self.until("the daemon shows its status", 20, async || {
            self.status().await.is_some().then_some(())
        })
        .await;
    }

    /// `kill -9` when it comes to that point.
    pub fn kill_at(&self, point: Kill) {
        match &self.place {
            Place::Embedded(embedded) => embedded.kill_at(point),
            Place::Real(real) => real.kill_at(point),
        }
    }

    /// What the daemon asks is recorded from now on.
    pub fn record(&self) {
        match &self.place {
            Place::Embedded(embedded) => embedded.record(),
            Place::Real(_) => panic!("only the embedded world records"),
        }
    }

    /// What it asked since, in its order.
    pub fn recorded(&self) -> Vec<String> {
        match &self.place {
            Place::Embedded(embedded) => embedded.recorded(),
            Place::Real(_) => panic!("only the embedded world records"),
        }
    }

    /// The same, with every answer of the API server taking some time.
    pub fn record_rounds(&self) {
        match &self.place {
            Place::Embedded(embedded) => embedded.record_rounds(Duration::from_millis(10)),
            Place::Real(_) => panic!("only the embedded world records"),
        }
    }

    /// What it asked since, what it asked in the same moment together.
    pub fn rounds(&self) -> Vec<Vec<String>> {
        match &self.place {
            Place::Embedded(embedded) => embedded.rounds(),
            Place::Real(_) => panic!("only the embedded world records"),
        }
    }

    /// `kill -9` at a point of what it asks from now on.
    pub fn kill_on(&self, point: &line::Point) {
        match &self.place {
            Place::Embedded(_) => self.fault(line::Fault::new(point.clone(), line::What::Kill, Duration::ZERO)),
            Place::Real(real) => real.kill_on(point.clone()),
        }
    }

    /// Spoils what it asks from now on.
    pub fn fault(&self, fault: line::Fault) {
        match &self.place {
            Place::Embedded(embedded) => {
                embedded.record();
                embedded.fault(fault);
            }
            Place::Real(_) => panic!("only the embedded world has faults"),
        }
    }

    /// Whether that fault came.
    pub fn has_failed(&self) -> bool {
        match &self.place {
            Place::Embedded(embedded) => embedded.has_failed(),
            Place::Real(_) => panic!("only the embedded world has faults"),
        }
    }

    /// SIGTERM; gives the exit code and how long it took. For processes alone.
    pub async fn terminate(&self) -> (Option<i32>, Duration) {
        match &self.place {
            Place::Embedded(_) => panic!("the embedded daemon is no process"),
            Place::Real(real) => real.terminate().await,
        }
    }

    /// `kill -9` now.
    pub async fn kill(&self) {
        match &self.place {
            Place::Embedded(embedded) => embedded.kill(),
            Place::Real(real) => real.kill().await,
        }
    }

    /// Whether the daemon was killed.
    pub fn killed(&self) -> bool {
        match &self.place {
            Place::Embedded(embedded) => embedded.killed(),
            Place::Real(real) => real.killed(),
        }
    }

    /// What the daemon logged; of a process alone.
    pub fn log(&self) -> String {
        match &self.place {
            Place::Embedded(_) => String::new(),
            Place::Real(real) => real.log(),
        }
    }

    /// `/status.json`.
    pub async fn status(&self) -> Option<Value> {
        match &self.place {
            Place::Embedded(embedded) => embedded.status(),
            Place::Real(real) => real.status().await,
        }
    }

    /// A page as a browser gets it.
    pub async fn page(&self, path: &str) -> String {
        match &self.place {
            Place::Embedded(embedded) => embedded.page(path).await,
            Place::Real(real) => real.page(path).await,
        }
    }

    /// The guard's entry in `/status.json`.
    pub async fn shown(&self, guard: &str) -> Value {
        let status = self.status().await.unwrap_or_default();
        let guards = status["guards"].as_array().cloned().unwrap_or_default();
        guards
            .into_iter()
            .find(|shown| shown["name"] == guard && shown["namespace"] == self.namespace)
            .unwrap_or_default()
    }

    /// Why a guard stands where it does, as `/status.json` says.
    pub async fn reason(&self, guard: &str) -> String {
        self.shown(guard).await["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Whether that is: healthy, with the numbers that say so.
    pub async fn is_healthy(&self, guard: &str) -> bool {
        let reason = self.reason(guard).await;
        reason.starts_with("healthy: error_rate ") && reason.contains(" % (limit 5 %)")
    }

    /// What the guard's entry shows of one signal; `None` where its value is not known.
    pub async fn signal(&self, guard: &str, signal: &str) -> Option<f64> {
        let shown = self.shown(guard).await;
        let all = shown["signals"].as_array()?;
        all.iter().find(|one| one["name"] == signal)?["value"].as_f64()
    }

    // ---- what is there ----------------------------------------------------------------------------------------

    pub fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        if ["Namespace", "CustomResourceDefinition"].contains(&kind) {
            return Api::all_with(self.client.clone(), &resource);
        }
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    pub async fn deployment(&self, name: &str) -> DynamicObject {
        self.api("apps/v1", "Deployment").get(name).await.unwrap()
    }

    /// The value of a variable in the Deployment's first container.
    pub async fn env(&self, deployment: &str, key: &str) -> String {
        let object = self.deployment(deployment).await;
        let env = object.data["spec"]["template"]["spec"]["containers"][0]["env"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = env.iter().find(|entry| entry["name"] == key);
        found
            .and_then(|entry| entry["value"].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    /// The service's pods that are not on their way out, newest first.
    pub async fn pods(&self, app: &str) -> Vec<DynamicObject> {
        let mine = ListParams::default().labels(&format!("app={app}"));
        let mut pods = self.api("v1", "Pod").list(&mine).await.unwrap().items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods.sort_by_key(|pod| std::cmp::Reverse(pod.metadata.creation_timestamp.as_ref().map(|time| time.0)));
        pods
    }

    pub async fn config_data(&self, name: &str) -> Value {
        self.api("v1", "ConfigMap").get(name).await.unwrap().data["data"].clone()
    }

    pub async fn guard_now(&self, name: &str) -> Guard {
        Api::<Guard>::namespaced(self.client.clone(), &self.namespace)
            .get(name)
            .await
            .unwrap()
    }

    /// The state that the guard says is running.
    pub async fn current(&self, guard: &str) -> Option<Current> {
        self.guard_now(guard).await.status?.current
    }

    /// Whether the guard remembers that state as one that must never be restored.
    pub async fn is_bad(&self, guard: &str, hash: &str) -> bool {
        let status = self.guard_now(guard).await.status.unwrap_or_default();
        status.bad.iter().any(|bad| bad.hash == hash)
    }

    /// All incidents of the namespace, oldest first.
    pub async fn incidents(&self) -> Vec<Incident> {
        let api = Api::<Incident>::namespaced(self.client.clone(), &self.namespace);
        let mut all = api.list(&ListParams::default()).await.unwrap().items;
        all.sort_by_key(|incident| incident.spec.opened_at);
        all
    }

    /// Every write that modosu carried out (answered with 2xx), dry-runs left out.
    pub fn writes(&self) -> Vec<Written> {
        let mut all = match &self.place {
            Place::Embedded(embedded) => embedded.writes(),
            Place::Real(real) => real.writes(&self.namespace),
        };
        all.retain(|write| (200..300).contains(&write.code) && !write.dry_run && write.resource != "leases");
        all
    }

    /// Everything that modosu asked to have done to the guarded objects, refused or not, dry-runs too.
    pub fn asked(&self) -> Vec<Written> {
        let mut all = match &self.place {
            Place::Embedded(embedded) => embedded.writes(),
            Place::Real(real) => real.writes(&self.namespace),
        };
        all.retain(|write| TARGETS.contains(&write.resource.as_str()));
        all
    }

    /// How often modosu patched this Deployment's template.
    pub fn template_patches(&self, deployment: &str) -> usize {
        let writes = self.writes();
        let patches = writes
            .iter()
            .filter(|write| write.resource == "deployments" && write.name == deployment);
        patches
            .filter(|write| write.body.to_string().contains("/spec/template"))
            .count()
    }

    /// Writes to the guarded objects themselves.
    pub fn target_writes(&self) -> usize {
        self.writes()
            .iter()
            .filter(|write| TARGETS.contains(&write.resource.as_str()))
            .count()
    }

    // ---- modosu in the pods of a workload: real servers only ----------------------------------------------------

    /// Pods can run `modosu:…` from now on. Gives where their Prometheus is.
    pub fn ships_modosu(&self) -> String {
        self.real_place().ships_modosu()
    }

    /// Who changed the pod template of a Deployment, in that order.
    pub fn template_writers(&self, deployment: &str) -> Vec<String> {
        self.real_place().template_writers(&self.namespace, deployment)
    }

    fn real_place(&self) -> &real::Real {
        match &self.place {
            Place::Embedded(_) => panic!("the embedded world has no processes"),
            Place::Real(real) => real,
        }
    }

    // ---- waiting ----------------------------------------------------------------------------------------------

    /// Waits until `look` finds something; fails the story after so many seconds, telling what there is. Real servers
    /// get three times as long: how fast a machine is, is not what is told.
    pub async fn until<T>(&self, what: &str, seconds: u64, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let (seconds, every) = match &self.place {
            Place::Embedded(_) => (seconds, Duration::from_millis(100)),
            Place::Real(_) => (3 * seconds, Duration::from_millis(250)),
        };
        let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if tokio::time::Instant::now() > end {
                panic!("not within {seconds} s: {what}\n{}", self.tell().await);
            }
            tokio::time::sleep(every).await;
        }
    }

    /// Looks for so many seconds: it must be so all the time.
    pub async fn always(&self, what: &str, seconds: u64, mut look: impl AsyncFnMut() -> bool) {
        let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
        while tokio::time::Instant::now() < end {
            if !look().await {
                panic!("no longer so: {what}\n{}", self.tell().await);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    pub async fn wait(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// Rolled out as `kubectl rollout status` says.
    pub async fn rolled_out(&self, name: &str) {
        self.until(&format!("{name} is rolled out"), 60, async || {
            is_rolled_out(&self.deployment(name).await).then_some(())
        })
        .await;
    }

    /// The guard's current state is proven.
    pub async fn proven(&self, guard: &str) {
        self.until(&format!("{guard} is proven"), 120, async || {
            let status = self.guard_now(guard).await.status?;
            status.current.filter(|current| current.proven).map(|_| ())
        })
        .await;
    }

    /// The guard's current state is another one than `before`. Gives its hash.
    pub async fn changed(&self, guard: &str, before: &str) -> String {
        self.until(&format!("{guard} sees the change"), 30, async || {
            let hash = self.current(guard).await?.hash;
            (hash != before).then_some(hash)
        })
        .await
    }

    /// The one incident, once it is in that state.
    pub async fn incident_in(&self, state: &str, seconds: u64) -> Incident {
        self.until(&format!("an incident in {state}"), seconds, async || {
            let all = self.incidents().await;
            all.into_iter().find(|incident| state_of(incident) == state)
        })
        .await
    }

    /// What there is, for a story that failed.
    async fn tell(&self) -> String {
        let status = self
            .status()
            .await
            .map(|status| serde_json::to_string_pretty(&status).unwrap())
            .unwrap_or_default();
        let mut incidents = String::new();
        for incident in self.incidents().await {
            incidents.push_str(&serde_json::to_string_pretty(&incident.status).unwrap());
        }
        let log = self.log();
        let mut writes = String::new();
        for write in self.writes() {
            let Written {
                verb, resource, name, ..
            } = write;
            writes.push_str(&format!("{verb} {resource} {name} {}\n", write.subresource));
        }
        format!("/status.json: {status}\nincidents: {incidents}\nwrites:\n{writes}{log}")
    }
}

pub fn state_of(incident: &Incident) -> String {
    let state = incident.status.as_ref().and_then(|status| status.state);
    state.map(|state| format!("{state:?}")).unwrap_or_default()
}

/// As `kubectl rollout status` says; not by modosu's own words.
fn is_rolled_out(deployment: &DynamicObject) -> bool {
    let (data, generation) = (&deployment.data, deployment.metadata.generation);
    let count = |name: &str| data["status"][name].as_i64().unwrap_or(0);
    let wanted = data["spec"]["replicas"].as_i64().unwrap_or(1);
    count("observedGeneration") >= generation.unwrap_or(0)
        && ["updatedReplicas", "replicas", "availableReplicas"]
            .iter()
            .all(|name| count(name) == wanted)
}

/// When the incident's journal says that this target was written (`Deployment/orders`).
pub fn written_at(incident: &Incident, target: &str) -> Timestamp {
    let journal = incident.status.as_ref().map(|status| status.journal.as_slice());
    let mut entries = journal.unwrap_or_default().iter();
    let done =
        entries.find(|entry| entry.target.as_deref() == Some(target) && entry.receipt.as_deref() == Some("done"));
    done.unwrap_or_else(|| panic!("no receipt for {target}: {journal:?}"))
        .at
}

/// A guard with times that fit a story; everything else is the default.
pub fn guard_spec(name: &str) -> Value {
    json!({
        "targets": [{"kind": "Deployment", "name": name}],
        "metrics": {"preset": "prometheus-http"},
        "baseline": {"window": "5s"},
        "knownGoodAfter": "8s",
        "verify": {"hold": "5s"},
    })
}

/// The orders service as a Deployment.
pub fn deployment(namespace: &str, name: &str, env: Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "terminationGracePeriodSeconds": 2,
                    "automountServiceAccountToken": false,
                    "containers": [{
                        "name": name,
                        "image": "orders:1.0.0",
                        "env": env,
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1, "failureThreshold": 2},
                    }],
                },
            },
        },
    })
}
