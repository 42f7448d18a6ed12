//! One node that takes every pod: starts, restarts and ends their containers as a kubelet does,
//! and says so in their status. The first container is the guarded service; others just run. A pod that is meant to end, as that of a
//! Job, is left to whoever made it.

pub(crate) mod env;
mod life;
mod status;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::Value;

use self::life::{Life, Pod};
use crate::{
    api::{route::Route, writing::Cluster},
    app::{
        Behaviour, Settings,
        traffic::{Line, Names},
    },
    clock::later,
    json::{list, text},
    rng::hashed,
    store::{Key, Store},
    world::WorldOptions,
};

/// The node and its pods.
pub(crate) struct Node {
    pods: BTreeMap<String, Pod>,
    behaviours: BTreeMap<(String, String), Behaviour>,
    names: Names,
    position: u64,
    topology: u64,
    next_ip: u32,
    pod_start: Duration,
    pod_stop: Duration,
    /// What pods have said, by namespace and name.
    logs: BTreeMap<(String, String), String>,
}

/// What Prometheus' discovery sees of a pod that has an address.
pub(crate) struct Discovered {
    pub(crate) uid: String,
    pub(crate) labels: Vec<(String, String)>,
}

/// What a scrape of a pod meets.
pub(crate) enum Scrape {
    Refused,
    Page { delay: Duration },
}

impl Node {
    pub(crate) fn new(options: &WorldOptions) -> Node {
        Node {
            pods: BTreeMap::new(),
            behaviours: BTreeMap::new(),
            names: Names::new(),
            position: 0,
            topology: 0,
            next_ip: 0,
            pod_start: options.pod_start,
            pod_stop: options.pod_stop,
            logs: BTreeMap::new(),
        }
    }

    /// What a pod has said from now on.
    pub(crate) fn says(&mut self, namespace: &str, pod: &str, text: &str) {
        self.logs
            .insert((namespace.to_owned(), pod.to_owned()), text.to_owned());
    }

    /// The end of what a pod has said, as it is asked for.
    pub(crate) fn log(&self, route: &Route) -> String {
        let whole = self.logs.get(&(route.namespace.clone(), route.name.clone()));
        let lines: Vec<&str> = whole.map_or("", String::as_str).split_inclusive('\n').collect();
        let wanted = route.parameter("tailLines").parse().unwrap_or(lines.len());
        lines[lines.len().saturating_sub(wanted)..].concat()
    }

    /// When the next thing is due.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.pods.values().filter_map(Pod::due_at).min()
    }

    /// Changes when pods that have an address may have come or gone.
    pub(crate) fn topology(&self) -> u64 {
        self.topology
    }

    /// Learns of new, marked and vanished pods.
    pub(crate) fn receive(&mut self, cluster: &mut Cluster) {
        let touched = touched(&cluster.store, self.position);
        self.position = cluster.store.version();
        for key in touched {
            self.meet(cluster, &key);
        }
        let (store, before) = (&cluster.store, self.pods.len());
        self.pods.retain(|uid, pod| {
            store
                .get(&pod.key)
                .is_some_and(|object| text(object, "/metadata/uid") == uid)
        });
        self.topology += u64::from(self.pods.len() != before);
    }

    /// Does everything that is due.
    pub(crate) fn act(&mut self, cluster: &mut Cluster) {
        let now = cluster.clock.now();
        let due = |pod: &Pod| pod.due_at().is_some_and(|at| at <= now);
        for pod in self.pods.values_mut().filter(|pod| due(pod)) {
            let behaviour = self.behaviours.get(&pod.service);
            pod.step(cluster, behaviour, now);
            self.topology += 1;
        }
    }

    /// Sets or lifts the override of a service's behaviour.
    pub(crate) fn misbehave(
        &mut self,
        cluster: &mut Cluster,
        namespace: &str,
        job: &str,
        behaviour: Option<Behaviour>,
    ) {
        let service = (namespace.to_owned(), job.to_owned());
        match behaviour {
            Some(behaviour) => self.behaviours.insert(service.clone(), behaviour),
            None => self.behaviours.remove(&service),
        };
        let now = cluster.clock.now();
        let behaviour = self.behaviours.get(&service);
        for pod in self.pods.values_mut().filter(|pod| pod.service == service) {
            pod.behave(cluster, behaviour, now);
        }
    }

    /// The pods that have an address.
    pub(crate) fn discovered(&self) -> impl Iterator<Item = Discovered> {
        let addressed = self.pods.iter().filter(|(_, pod)| pod.was_started());
        addressed.map(|(uid, pod)| Discovered {
            uid: uid.clone(),
            labels: pod.labels(),
        })
    }

    /// What a scrape of this pod that begins now meets.
    pub(crate) fn scraped(&self, uid: &str) -> Scrape {
        match self.pods.get(uid).and_then(|pod| pod.traffic.as_ref()) {
            Some(traffic) => Scrape::Page {
                delay: traffic.settings().metrics_delay,
            },
            None => Scrape::Refused,
        }
    }

    /// The pod's metrics page; `None` where its container does not run.
    pub(crate) fn page(&mut self, uid: &str, now: Timestamp) -> Option<Vec<Line>> {
        let traffic = self.pods.get_mut(uid)?.traffic.as_mut()?;
        Some(traffic.page(now, &self.names))
    }

    fn meet(&mut self, cluster: &mut Cluster, key: &Key) {
        let Some(object) = cluster.store.get(key).cloned() else {
            return;
        };
        if ["Never", "OnFailure"].contains(&text(&object, "/spec/restartPolicy")) {
            return;
        }
        let uid = text(&object, "/metadata/uid");
        let now = cluster.clock.now();
        if let Some(pod) = self.pods.get_mut(uid) {
            if !text(&object, "/metadata/deletionTimestamp").is_empty() {
                pod.end(now, later(now, self.pod_stop));
            }
            return;
        }
        self.next_ip += 1;
        let [_, a, b, c] = self.next_ip.to_be_bytes();
        let service = (key.namespace.clone(), service_of(&object));
        let pod = Pod {
            key: key.clone(),
            service,
            ip: format!("10.{a}.{b}.{c}"),
            hash: text(&object, "/metadata/labels/pod-template-hash").into(),
            port: port_of(&object),
            seed: hashed(uid),
            life: Life::Waiting {
                reason: "ContainerCreating",
                until: later(now, self.pod_start),
            },
            restarts: 0,
            failures: 0,
            ended: None,
            own: Settings::of(&BTreeMap::new()),
            traffic: None,
        };
        cluster.change(key, "", |object| {
            crate::json::child(object, "spec").insert("nodeName".into(), "node-1".into());
        });
        pod.report(cluster, now);
        self.pods.insert(uid.to_owned(), pod);
    }
}

/// The pods that changed after this version.
fn touched(store: &Store, position: u64) -> Vec<Key> {
    let Some(changes) = store.since(position) else {
        return store.all("", "pods", None).map(|(key, _)| key.clone()).collect();
    };
    let pods = changes.filter(|change| change.key.plural == "pods");
    pods.map(|change| change.key.clone()).collect()
}

/// The value of the `job` label: the name that the pod says it has, else its owner's.
fn service_of(pod: &Value) -> String {
    let labels = ["/metadata/labels/app.kubernetes.io~1name", "/metadata/labels/app"];
    let name = labels.map(|at| text(pod, at)).into_iter().find(|name| !name.is_empty());
    let owner = list(pod, "/metadata/ownerReferences").first();
    let owner = || owner.map_or_else(|| text(pod, "/metadata/name"), |owner| text(owner, "/name"));
    name.unwrap_or_else(owner).into()
}

fn port_of(pod: &Value) -> i64 {
    crate::json::number(pod, "/spec/containers/0/ports/0/containerPort").unwrap_or(8080)
}
