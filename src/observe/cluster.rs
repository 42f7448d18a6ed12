//! IO. The cluster as watches show it: guards, incidents, workloads, pods, ConfigMaps, snapshots.
//!
//! ConfigMaps and snapshots are watched as metadata, and so are the Secrets that guards name; content is read when its
//! version changes and kept as a hash.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet},
    core::v1::{ConfigMap, Pod as ApiPod},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, ObjectMeta},
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    cache::{Cache, Changes, Scope},
    managers::Manager,
    objects::{Pod, Revision, Workload},
};
use crate::model::{
    freeze::Freeze,
    guard::{Guard, TargetKind, TargetRef},
    incident::Incident,
};

const PAGE: u32 = 500;
const WORKLOADS: [TargetKind; 3] = [TargetKind::Deployment, TargetKind::StatefulSet, TargetKind::DaemonSet];

/// Whether the watches lag.
mod again;
/// Who stopped modosu, and where.
mod freezes;
/// What GitOps tools do to what they look after.
mod managers;
/// Proven states, as their snapshots' metadata tells.
mod proven;
/// The Secrets that guards name.
mod secrets;

pub use proven::{GUARD_LABEL, HASH, IMAGES, LAST_RUNNING, PROVEN_AT, Proven, SETTINGS, settings};
pub use secrets::NotWatched;

/// What watches show.
pub struct Cluster {
    pub guards: Arc<Cache<Guard>>,
    pub incidents: Arc<Cache<Incident>>,
    workloads: [(TargetKind, Arc<Cache<Workload>>); 3],
    pub revisions: Arc<Cache<Revision>>,
    pub pods: Arc<Cache<Pod>>,
    pub configs: Arc<Cache<ConfigVersion>>,
    pub snapshots: Arc<Cache<Proven>>,
    /// Frozen namespaces. Watched where all are; else read now and then, which needs no rights beyond those namespaces.
    namespaces: Arc<Cache<Freeze>>,
    namespaces_read: Option<Instant>,
    /// The one ConfigMap that freezes everything.
    everything: Arc<Cache<Freeze>>,
    pub changes: Arc<Changes>,
    scopes: Vec<Scope>,
    secrets: secrets::Secrets,
    read: BTreeMap<(String, TargetRef), ReadConfig>,
    wishes: managers::Wishes,
}

/// Which version of a ConfigMap or a Secret there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigVersion {
    pub uid: String,
    pub version: String,
    pub manager: Option<Manager>,
}

/// The content of a ConfigMap or a Secret as a hash, and when its data last changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadConfig {
    pub uid: String,
    pub version: String,
    pub hash: String,
    pub changed: Option<Timestamp>,
}

impl Cluster {
    /// Starts all watches; they run until `stop`.
    pub fn watch(client: &Client, namespaces: &[String], stop: &CancellationToken) -> Self {
        let scopes: Vec<Scope> = if namespaces.is_empty() {
            vec![None]
        } else {
            namespaces.iter().cloned().map(Some).collect()
        };
        let cluster = Self {
            guards: Cache::new(),
            incidents: Cache::new(),
            workloads: WORKLOADS.map(|kind| (kind, Cache::new())),
            revisions: Cache::new(),
            pods: Cache::new(),
            configs: Cache::new(),
            snapshots: Cache::new(),
            namespaces: Cache::new(),
            namespaces_read: None,
            everything: Cache::new(),
            changes: Arc::default(),
            scopes,
            secrets: secrets::Secrets::default(),
            read: BTreeMap::new(),
            wishes: managers::Wishes::default(),
        };
        for scope in &cluster.scopes {
            cluster.watch_scope(client, scope, stop);
        }
        cluster.watch_freezes(client, stop);
        cluster
    }

    fn watch_scope(&self, client: &Client, scope: &Scope, stop: &CancellationToken) {
        let all = || watcher::Config::default().page_size(PAGE);
        let changes = || self.changes.clone();
        for (kind, cache) in &self.workloads {
            let kind = *kind;
            let (name, api) = workloads(kind, client, scope);
            let read = move |object: DynamicObject| Some(Workload::read(kind, &object));
            let follow = cache
                .clone()
                .follow((name, scope.clone()), stream(api, all()), read, changes());
            spawn(stop, follow);
        }
        let pods = stream(dynamic::<ApiPod>(client, scope), all());
        spawn(
            stop,
            self.pods
                .clone()
                .follow(("Pods", scope.clone()), pods, |o| Pod::read(&o), changes()),
        );
        let guards = stream(typed::<Guard>(client, scope), all());
        spawn(
            stop,
            self.guards
                .clone()
                .follow(("Guards", scope.clone()), guards, trim, changes()),
        );
        let incidents = stream(typed::<Incident>(client, scope), all());
        spawn(
            stop,
            self.incidents
                .clone()
                .follow(("Incidents", scope.clone()), incidents, trim, changes()),
        );
        let revisions = stream(typed::<PartialObjectMeta<ReplicaSet>>(client, scope), all());
        spawn(
            stop,
            self.revisions.clone().follow(
                ("ReplicaSets", scope.clone()),
                revisions,
                |o| Revision::read(&o.metadata),
                changes(),
            ),
        );
        let configs = stream(typed::<PartialObjectMeta<ConfigMap>>(client, scope), all());
        spawn(
            stop,
            self.configs.clone().follow(
                ("ConfigMaps", scope.clone()),
                configs,
                |o| ConfigVersion::read(&o.metadata),
                changes(),
            ),
        );
        let snapshots = stream(
            typed::<PartialObjectMeta<ControllerRevision>>(client, scope),
            all().labels(GUARD_LABEL),
        );
        spawn(
            stop,
            self.snapshots.clone().follow(
                ("ControllerRevisions", scope.clone()),
                snapshots,
                |o| Proven::read(&o),
                changes(),
            ),
        );
    }

    /// The workload that a target names.
    pub fn workload(&self, namespace: &str, target: &TargetRef) -> Option<Arc<Workload>> {
        let of_kind = self.workloads.iter().find(|(kind, _)| *kind == target.kind);
        of_kind.and_then(|(_, cache)| cache.get(namespace, &target.name))
    }

    /// All workloads of a namespace.
    pub fn workloads(&self, namespace: &str) -> Vec<(String, Arc<Workload>)> {
        let caches = self.workloads.iter();
        caches.flat_map(|(_, cache)| cache.of_namespace(namespace)).collect()
    }

    /// Whether every first list is complete; nothing is decided before.
    pub fn listed(&self) -> bool {
        let n = self.scopes.len();
        self.guards.listed(n)
            && self.incidents.listed(n)
            && self.workloads.iter().all(|(_, cache)| cache.listed(n))
            && self.revisions.listed(n)
            && self.pods.listed(n)
            && self.configs.listed(n)
            && self.snapshots.listed(n)
            && (self.namespaces_read.is_some() || self.namespaces.listed(1))
            && self.everything.listed(1)
    }

    /// Whether a proven state of that guard holds a ConfigMap or a Secret.
    pub fn is_proven(&self, namespace: &str, guard: &str, target: &TargetRef) -> bool {
        let holds = |state: &Proven| state.guard == guard && state.settings.contains_key(target);
        !self.snapshots.matching(namespace, holds).is_empty()
    }

    /// What the watch shows of a ConfigMap or a Secret that a guard names; `Ok(None)`: there is none. An error says why that
    /// is not known.
    pub fn version(&self, namespace: &str, target: &TargetRef) -> Result<Option<Arc<ConfigVersion>>, NotWatched> {
        match target.kind {
            TargetKind::Secret => self.secrets.version(namespace, &target.name),
            TargetKind::ConfigMap | TargetKind::Deployment | TargetKind::StatefulSet | TargetKind::DaemonSet => {
                Ok(self.configs.get(namespace, &target.name))
            }
        }
    }

    /// What was read of that version.
    pub fn known(&self, namespace: &str, target: &TargetRef, version: &ConfigVersion) -> Option<&ReadConfig> {
        let read = self.read.get(&(namespace.to_owned(), target.clone()))?;
        (read.uid == version.uid && read.version == version.version).then_some(read)
    }

    /// Notes what was read, under the watch's version, so that a newer one that was read early is not read again for ever.
    pub fn note(
        &mut self,
        key: (String, TargetRef),
        version: &ConfigVersion,
        object: &DynamicObject,
        hash: String,
        now: Timestamp,
    ) -> ReadConfig {
        let uid = object.uid().unwrap_or_default();
        let before = self.read.get(&key).filter(|before| before.uid == uid);
        let changed = match before {
            // A new label is no new content.
            Some(before) if before.hash == hash => before.changed,
            Some(_) => data_changed(object).or(Some(now)),
            None => data_changed(object).or(object.metadata.creation_timestamp.as_ref().map(|time| time.0)),
        };
        let read = ReadConfig {
            uid,
            version: version.version.clone(),
            hash,
            changed,
        };
        self.read.insert(key, read.clone());
        read
    }

    /// Forgets what is gone.
    pub fn forget(&mut self, namespace: &str, target: &TargetRef) {
        self.read.remove(&(namespace.to_owned(), target.clone()));
    }
}

impl ConfigVersion {
    fn read(metadata: &ObjectMeta) -> Option<Self> {
        Some(Self {
            uid: metadata.uid.clone()?,
            version: metadata.resource_version.clone()?,
            manager: Manager::of(metadata),
        })
    }
}

fn workloads(kind: TargetKind, client: &Client, scope: &Scope) -> (&'static str, Api<DynamicObject>) {
    match kind {
        TargetKind::StatefulSet => ("StatefulSets", dynamic::<StatefulSet>(client, scope)),
        TargetKind::DaemonSet => ("DaemonSets", dynamic::<DaemonSet>(client, scope)),
        TargetKind::Deployment | TargetKind::ConfigMap | TargetKind::Secret => {
            ("Deployments", dynamic::<Deployment>(client, scope))
        }
    }
}

/// When the fields `data` or `binaryData` were last written, as the API server's field managers tell, if they do:
/// where nobody owns a field, they stay silent.
fn data_changed(object: &DynamicObject) -> Option<Timestamp> {
    let writes_data =
        |fields: &serde_json::Value| fields.get("f:data").is_some() || fields.get("f:binaryData").is_some();
    let entries = object.metadata.managed_fields.iter().flatten();
    let times = entries
        .filter(|e| e.fields_v1.as_ref().is_some_and(|f| writes_data(&f.0)))
        .filter_map(|e| e.time.as_ref());
    times.map(|time| time.0).max()
}

/// Managed fields and the last applied configuration are of no use to a guard, and large.
#[expect(clippy::unnecessary_wraps, reason = "the form that a cache asks for")]
fn trim<K: ResourceExt>(mut object: K) -> Option<K> {
    object.managed_fields_mut().clear();
    object
        .annotations_mut()
        .remove("kubectl.kubernetes.io/last-applied-configuration");
    Some(object)
}

fn spawn(stop: &CancellationToken, watch: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    tokio::spawn(async move { stop.run_until_cancelled(watch).await });
}

fn stream<K>(
    api: Api<K>,
    config: watcher::Config,
) -> impl futures::Stream<Item = watcher::Result<watcher::Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    watcher(api, config).default_backoff()
}

fn typed<K>(client: &Client, scope: &Scope) -> Api<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    match scope {
        None => Api::all(client.clone()),
        Some(namespace) => Api::namespaced(client.clone(), namespace),
    }
}

/// Objects with all their fields, also those newer than our types.
pub fn dynamic<K: Resource<DynamicType = ()>>(client: &Client, scope: &Scope) -> Api<DynamicObject> {
    let kind = ApiResource::erase::<K>(&());
    match scope {
        None => Api::all_with(client.clone(), &kind),
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
    }
}
