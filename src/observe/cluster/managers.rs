//! IO. What GitOps tools do to the objects that they look after: read from their own objects now and then.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::{
    Api as KubeApi,
    api::{ApiResource, DynamicObject},
};
use tokio::time::{Instant, timeout};

use super::Cluster;
use crate::{
    act::{Api, ApiError},
    model::guard::{TargetKind, TargetRef},
    observe::managers::{Managed, Manager, Wish},
};

/// What a tool wishes is read so often.
const EVERY: Duration = Duration::from_secs(10 * 60);
/// What could not be read is tried again sooner.
const SOONER: Duration = Duration::from_secs(60);
/// So many are read in a turn; the others wait, and are taken for the worst where nothing is known of them yet.
const IN_A_TURN: u32 = 32;
/// A turn waits no longer for one.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the tools' wishes.
#[derive(Default)]
pub struct Wishes {
    read: BTreeMap<Manager, Read>,
    /// How many may still be read in this turn.
    left: u32,
}

struct Read {
    at: Instant,
    /// What it does, put into words once.
    does: Arc<Managed>,
    /// Its own object was there to read, or there is none.
    whole: bool,
}

impl Read {
    fn is_recent(&self) -> bool {
        self.at.elapsed() < if self.whole { EVERY } else { SOONER }
    }
}

impl Cluster {
    /// A turn begins: so many wishes may be read in it.
    pub fn ask_managers(&mut self) {
        self.wishes.left = IN_A_TURN;
    }

    /// What the tools that look after these objects will do, each once.
    pub async fn managed<'a>(
        &mut self,
        api: &Api,
        namespace: &str,
        targets: impl Iterator<Item = &'a TargetRef>,
    ) -> Vec<Arc<Managed>> {
        let mut by: Vec<Manager> = targets.filter_map(|target| self.manager(namespace, target)).collect();
        by.sort();
        by.dedup();
        let mut all = Vec::new();
        for manager in by {
            all.push(self.wishes.does(api, manager).await);
        }
        all
    }

    fn manager(&self, namespace: &str, target: &TargetRef) -> Option<Manager> {
        match target.kind {
            TargetKind::ConfigMap => self.configs.get(namespace, &target.name)?.manager.clone(),
            TargetKind::Secret => {
                let secret = self.secrets.version(namespace, &target.name).ok().flatten();
                secret?.manager.clone()
            }
            TargetKind::Deployment | TargetKind::StatefulSet | TargetKind::DaemonSet => {
                self.workload(namespace, target)?.manager.clone()
            }
        }
    }
}

impl Wishes {
    /// What a tool does, put into words anew now and then. Without an answer what was known stays.
    async fn does(&mut self, api: &Api, manager: Manager) -> Arc<Managed> {
        let read = self.read.get(&manager);
        if let Some(read) = read.filter(|read| read.is_recent()) {
            return read.does.clone();
        }
        let known = read.map_or_else(|| Arc::new(manager.does(None)), |read| read.does.clone());
        let (does, whole) = match manager.wish() {
            None => (known, true),
            Some(_) if self.left == 0 => return known,
            Some(wish) => self.ask(api, &manager, &wish, known).await,
        };
        let read = Read {
            at: Instant::now(),
            does: does.clone(),
            whole,
        };
        self.read.insert(manager, read);
        does
    }

    async fn ask(&mut self, api: &Api, manager: &Manager, wish: &Wish, known: Arc<Managed>) -> (Arc<Managed>, bool) {
        self.left -= 1;
        let late = |_| Err(ApiError::Unsure("it took too long".to_owned()));
        match timeout(PATIENCE, wish.read(api)).await.unwrap_or_else(late) {
            Ok(object) => (Arc::new(manager.does(Some(&object.data))), true),
            Err(ApiError::Unsure(_)) => {
                // Nobody answers: not this turn.
                self.left = 0;
                (known, false)
            }
            Err(_) => (Arc::new(manager.does(None)), false),
        }
    }
}

impl Wish {
    async fn read(&self, api: &Api) -> Result<DynamicObject, ApiError> {
        let resource = ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version: format!("{}/{}", self.group, self.version),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        };
        let objects: KubeApi<DynamicObject> = KubeApi::namespaced_with(api.client.clone(), &self.namespace, &resource);
        api.ask(None, objects.get(&self.name)).await
    }
}
