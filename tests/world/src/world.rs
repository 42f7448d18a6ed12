//! The world itself: one state behind one lock, and one task that lets time do its work on it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{sync::Notify, time::Instant};
use tower::service_fn;

use crate::{
    api::{self, kind::Kind, reading::Pages, route::Verb, writing::Cluster},
    app::Behaviour,
    audit::{Answer, Audit, Call, Reply, Write},
    clock::Clock,
    control::Control,
    node::Node,
    prometheus::{Prometheus, Server},
    rng::Rng,
    store::Store,
};

/// How a world begins.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// What the world's clock says at the start.
    pub epoch: Timestamp,
    /// How often Prometheus asks each pod.
    pub scrape_interval: Duration,
    /// Everything drawn by lot follows from it.
    pub seed: u64,
    /// From a pod's creation to its start.
    pub pod_start: Duration,
    /// From a pod's deletion to its end.
    pub pod_stop: Duration,
    /// From a write to the controllers' reaction.
    pub controller_delay: Duration,
}

impl Default for WorldOptions {
    fn default() -> Self {
        WorldOptions {
            epoch: Timestamp::from_second(1_767_600_000).unwrap_or(Timestamp::UNIX_EPOCH),
            scrape_interval: Duration::from_secs(15),
            seed: 1,
            pod_start: Duration::from_secs(2),
            pod_stop: Duration::from_secs(1),
            controller_delay: Duration::from_millis(20),
        }
    }
}

/// Everything there is.
pub(crate) struct State {
    pub(crate) cluster: Cluster,
    pub(crate) pages: Pages,
    pub(crate) audit: Audit,
    pub(crate) control: Control,
    pub(crate) node: Node,
    pub(crate) prometheus: Server,
}

/// The shared part of all handles.
pub(crate) struct Inner {
    state: Mutex<State>,
    wake: Arc<Notify>,
}

impl Inner {
    /// Looks at or changes the state; nothing else happens meanwhile.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Something was written: the controllers shall look.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }
}

impl State {
    /// Lets everything happen that is due.
    fn settle(&mut self) {
        self.scrape();
        loop {
            self.node.receive(&mut self.cluster);
            self.node.act(&mut self.cluster);
            if !self.control.reconcile(&mut self.cluster) {
                break;
            }
        }
        self.prometheus.discover(self.cluster.clock.now(), &self.node);
    }

    /// Lets Prometheus make the scrapes that are due: always before a pod changes.
    pub(crate) fn scrape(&mut self) {
        self.prometheus.advance(self.cluster.clock.now(), &mut self.node);
    }

    fn next_at(&self) -> Option<Timestamp> {
        let times = [self.node.next_at(), self.control.next_at(), self.prometheus.next_at()];
        times.into_iter().flatten().min()
    }
}

/// A handle on the world; clones are handles on the same world.
#[derive(Clone)]
pub struct World {
    pub(crate) inner: Arc<Inner>,
    clock: Clock,
}

impl World {
    /// Starts a world with the usual namespaces and nothing else. Needs a Tokio runtime.
    pub fn start(options: WorldOptions) -> World {
        let clock = Clock::starting_at(options.epoch);
        let cluster = Cluster {
            store: Store::empty(),
            clock,
            rng: Rng::seeded(options.seed),
        };
        let state = State {
            cluster,
            pages: Pages::default(),
            audit: Audit::default(),
            control: Control::default(),
            node: Node::new(&options),
            prometheus: Server::new(&options),
        };
        let wake = Arc::new(Notify::new());
        let inner = Arc::new(Inner {
            state: Mutex::new(state),
            wake: wake.clone(),
        });
        tokio::spawn(passing_time(
            Arc::downgrade(&inner),
            wake,
            clock,
            options.controller_delay,
        ));
        let world = World { inner, clock };
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            world.create_namespace(name);
        }
        world
    }

    /// The world's time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The world's clock, for what must tell the same time.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// A client of the API server. What it writes is listed under `user`.
    pub fn client(&self, user: &str) -> kube::Client {
        let (inner, user): (_, Arc<str>) = (self.inner.clone(), user.into());
        let service = service_fn(move |request| api::serve(inner.clone(), user.clone(), request));
        kube::Client::new(service, "default")
    }

    /// The Prometheus server.
    pub fn prometheus(&self) -> Prometheus {
        Prometheus::of(self.inner.clone())
    }

    /// Lets the controllers stop, or go on with everything that changed meanwhile.
    pub fn controllers(&self, run: bool) {
        self.inner.with(|state| state.control.stopped = !run);
        self.inner.wake();
    }

    /// Stops Prometheus: queries fail and nothing is scraped. Its data stays.
    pub fn prometheus_stop(&self) {
        self.inner.with(|state| {
            state.scrape();
            state.prometheus.stop();
        });
    }

    /// Starts Prometheus again.
    pub fn prometheus_start(&self) {
        let now = self.now();
        self.inner.with(|state| {
            state.prometheus.start(now);
            state.prometheus.discover(now, &state.node);
        });
    }

    /// A target that is no pod, with a page of your own in the text format; `None` is a
    /// connection refused. `labels` should hold a `job` and an `instance`.
    pub fn add_target(&self, labels: &[(&str, &str)], page: impl Fn(Timestamp) -> Option<String> + Send + 'static) {
        let now = self.now();
        self.inner
            .with(|state| state.prometheus.add_static(now, labels, Box::new(page)));
        self.inner.wake();
    }

    /// Makes all pods of a service behave like this, whatever their settings say, until `behave`.
    pub fn misbehave(&self, namespace: &str, job: &str, behaviour: Behaviour) {
        self.inner.with(|state| {
            state.scrape();
            state
                .node
                .misbehave(&mut state.cluster, namespace, job, Some(behaviour));
        });
        self.inner.wake();
    }

    /// What a pod that is not run here has said so far: the answer to those who ask for its log.
    pub fn says(&self, namespace: &str, pod: &str, text: &str) {
        self.inner.with(|state| state.node.says(namespace, pod, text));
    }

    /// Makes the pods of a service follow their settings again.
    pub fn behave(&self, namespace: &str, job: &str) {
        self.inner.with(|state| {
            state.scrape();
            state.node.misbehave(&mut state.cluster, namespace, job, None);
        });
        self.inner.wake();
    }

    /// Every write that clients asked for, refused ones too, in order. The newest 20,000, and of
    /// leases 1,000.
    pub fn writes(&self) -> Vec<Write> {
        self.inner.with(|state| state.audit.writes())
    }

    /// How many requests there were, by verb and resource.
    pub fn requests(&self) -> BTreeMap<(Verb, String), u64> {
        self.inner.with(|state| state.audit.counts())
    }

    /// Lets `hook` see every request, before and after it is carried out, and spoil it. The first
    /// hook with an answer other than `GoOn` wins. A hook must not use the world.
    pub fn on_request(&self, hook: impl Fn(&Call) -> Answer + Send + Sync + 'static) {
        self.inner.with(|state| state.audit.hook(Arc::new(hook)));
    }

    /// Lets `hook` see the text of every query, and spoil its answer. It replaces the one before. A hook must not use the world.
    pub fn on_query(&self, hook: impl Fn(&str) -> Reply + Send + Sync + 'static) {
        self.inner.with(|state| state.prometheus.hook(Some(Arc::new(hook))));
    }

    /// Removes all hooks.
    pub fn no_hooks(&self) {
        self.inner.with(|state| {
            state.audit.unhook();
            state.prometheus.hook(None);
        });
    }

    /// Forgets old versions, as a compaction does: open watches go on, resumed ones and lists
    /// under way get 410.
    pub fn compact(&self) {
        self.inner.with(|state| {
            state.cluster.store.compact();
            state.pages.forget();
        });
    }

    /// The stored object, without asking the API: `world.object("apps", "deployments", …)`.
    pub fn object(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = crate::store::Key::new(group, plural, namespace, name);
        self.inner
            .with(|state| state.cluster.store.get(&key).map(|object| Value::clone(object)))
    }

    /// The stored objects of one namespace, without asking the API.
    pub fn objects(&self, group: &str, plural: &str, namespace: &str) -> Vec<Value> {
        self.inner.with(|state| {
            let all = state.cluster.store.all(group, plural, Some(namespace));
            all.map(|(_, object)| Value::clone(object)).collect()
        })
    }

    /// Waits until `holds` says so, looking every 100 ms; false when `patience` is over.
    pub async fn until(&self, patience: Duration, holds: impl Fn(&World) -> bool) -> bool {
        let end = Instant::now() + patience;
        while !holds(self) {
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        true
    }

    /// Creates a namespace; one that exists is left alone.
    pub fn create_namespace(&self, name: &str) {
        let Some(kind) = Kind::built_in("", "namespaces") else {
            return;
        };
        self.inner.with(|state| {
            let writer = state.cluster.writer(&kind, "kube-apiserver", "");
            let object = json!({"metadata": {"name": name}});
            // The only thing that can be wrong is that it exists.
            let _ = state.cluster.create(&kind, "", object, &writer, false);
        });
    }
}

async fn passing_time(world: Weak<Inner>, wake: Arc<Notify>, clock: Clock, controller_delay: Duration) {
    loop {
        let Some(inner) = world.upgrade() else { return };
        let next = inner.with(|state| {
            state.settle();
            state.next_at()
        });
        drop(inner);
        let next = match next {
            Some(at) => clock.instant(at).max(Instant::now() + Duration::from_millis(1)),
            None => Instant::now() + Duration::from_secs(3600),
        };
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = wake.notified() => tokio::time::sleep(controller_delay).await,
        }
    }
}
