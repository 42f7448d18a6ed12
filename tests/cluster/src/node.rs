//! A node whose pods are real processes of this machine. It does what the kubelet does as far as a watcher of the API can tell:
//! registers itself, takes the pods bound to it, gives them their environment, probes them, restarts them with the kubelet's back-off and
//! reports all that in their status.
//!
//! Different from a kubelet: containers are processes without isolation; a free port comes in `PORT` and a probe of any port goes there;
//! until a container was ready once it is probed four times a second; only httpGet and tcpSocket readiness probes; no init containers, no
//! liveness probes, no hooks, no volumes; a pod with a service account of its own gets `KUBECONFIG` and not files at their usual place. What it cannot do it says in the container's waiting state.

mod account;
mod back_off;
mod container;
mod environment;
mod pod;
mod probe;
mod registration;
mod status;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::access::Access;
use crate::background::Task;
use crate::scratch::Scratch;
use crate::targets::Targets;

pub const NODE_NAME: &str = "node-1";

/// What every pod of the node shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) access: Access,
    pub(crate) scratch: Arc<Scratch>,
    pub(crate) targets: Arc<Targets>,
    /// Programs by image name without registry and tag, for containers without a command.
    pub(crate) images: Mutex<BTreeMap<String, PathBuf>>,
    /// Where a pod's first container listens, by namespace/name.
    pub(crate) addresses: Mutex<BTreeMap<String, String>>,
    pub(crate) probes: reqwest::Client,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) shared: Arc<Shared>,
    _tasks: [Task; 2],
}

impl Node {
    /// Call it on the cluster's runtime: the client belongs to the runtime it was made on.
    pub(crate) async fn start(
        client: Client,
        access: &Access,
        scratch: &Arc<Scratch>,
        targets: Arc<Targets>,
    ) -> anyhow::Result<Self> {
        let (images, addresses) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared {
            access: access.clone(),
            scratch: scratch.clone(),
            targets,
            images,
            addresses,
            probes: probe::client()?,
        });
        registration::register(&client).await?;
        let tasks = [
            Task::spawn(registration::renew_lease(client.clone())),
            Task::spawn(take_pods(client.clone(), shared.clone())),
        ];
        registration::wait_schedulable(&client).await?;
        Ok(Self { shared, _tasks: tasks })
    }
}

/// The running pods; dropping it ends the tasks but not the processes, which the pods' owners hold.
struct Pods {
    client: Client,
    shared: Arc<Shared>,
    latest: BTreeMap<String, watch::Sender<pod::Wanted>>,
    tasks: JoinSet<()>,
}

async fn take_pods(client: Client, shared: Arc<Shared>) {
    let bound_here = watcher::Config::default().fields(&format!("spec.nodeName={NODE_NAME}"));
    let mut events = watcher(Api::<Pod>::all(client.clone()), bound_here).boxed();
    let mut pods = Pods {
        client,
        shared,
        latest: BTreeMap::new(),
        tasks: JoinSet::new(),
    };
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        while pods.tasks.try_join_next().is_some() {}
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(pod)) => {
                listed.push(pod.uid().unwrap_or_default());
                pods.apply(pod);
            }
            Ok(Event::InitDone) => pods.forget_all_but(&listed),
            Ok(Event::Apply(pod)) => pods.apply(pod),
            Ok(Event::Delete(pod)) => pods.forget(&pod.uid().unwrap_or_default()),
            Err(error) => {
                tracing::debug!(%error, "the node lost its watch");
                sleep(Duration::from_millis(300)).await;
            }
        }
    }
}

impl Pods {
    fn apply(&mut self, pod: Pod) {
        let uid = pod.uid().unwrap_or_default();
        if let Some(latest) = self.latest.get(&uid) {
            latest.send_replace(pod::Wanted::Present(Box::new(pod)));
            return;
        }
        let (sender, receiver) = watch::channel(pod::Wanted::Present(Box::new(pod.clone())));
        self.latest.insert(uid, sender);
        self.tasks
            .spawn(pod::run(self.client.clone(), self.shared.clone(), pod, receiver));
    }

    fn forget(&mut self, uid: &str) {
        if let Some(latest) = self.latest.remove(uid) {
            latest.send_replace(pod::Wanted::Gone);
        }
    }

    fn forget_all_but(&mut self, listed: &[String]) {
        let gone: Vec<_> = self
            .latest
            .keys()
            .filter(|uid| !listed.contains(uid))
            .cloned()
            .collect();
        for uid in gone {
            self.forget(&uid);
        }
    }
}

impl Shared {
    pub(crate) fn program_of(&self, image: &str) -> Option<PathBuf> {
        let name = image.rsplit('/').next().unwrap_or(image);
        let name = name.split([':', '@']).next().unwrap_or(name);
        self.images
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }
}
