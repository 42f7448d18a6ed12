//! IO. Who stopped modosu, and where: as the watches show it; where only some namespaces are guarded, they are read now and then.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api, Client, ResourceExt, core::PartialObjectMeta, runtime::watcher};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Cluster, PAGE, spawn, stream};
use crate::model::freeze::{EVERYTHING, Freeze};

/// Namespaces that cannot be watched are read so often.
const NAMESPACES_EVERY: Duration = Duration::from_secs(15);

impl Cluster {
    pub(super) fn watch_freezes(&self, client: &Client, stop: &CancellationToken) {
        if self.scopes.contains(&None) {
            let all: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
            let all = stream(all, watcher::Config::default().page_size(PAGE));
            let read = |namespace| frozen_namespace(&namespace);
            let follow = self
                .namespaces
                .clone()
                .follow(("Namespaces", None), all, read, self.changes.clone());
            spawn(stop, follow);
        }
        let own: Api<ConfigMap> = Api::namespaced(client.clone(), client.default_namespace());
        let one = watcher::Config::default().fields(&format!("metadata.name={EVERYTHING}"));
        let read = |config: ConfigMap| Freeze::of_everything(config.data.as_ref());
        let scope = ("the freeze of everything", None);
        let follow = self
            .everything
            .clone()
            .follow(scope, stream(own, one), read, self.changes.clone());
        spawn(stop, follow);
    }

    /// Reads the namespaces that are not watched, where that was long ago.
    pub async fn read_namespaces(&mut self, client: &Client) -> kube::Result<()> {
        let recent = self.namespaces_read.is_some_and(|at| at.elapsed() < NAMESPACES_EVERY);
        let named: Vec<String> = self.scopes.iter().flatten().cloned().collect();
        if recent || named.is_empty() {
            return Ok(());
        }
        let all: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
        self.namespaces_read = Some(Instant::now());
        let mut done = Ok(());
        for name in named {
            match all.get_opt(&name).await {
                Ok(namespace) => {
                    let freeze = namespace.and_then(|one| frozen_namespace(&one));
                    self.namespaces.put((String::new(), name), freeze);
                }
                // What is known of it stays; right before a write it is read again.
                Err(why) => done = Err(why),
            }
        }
        done
    }

    /// The freezes of a namespace and of everything, whether they still hold or not.
    pub fn freezes(&self, namespace: &str) -> Vec<Freeze> {
        let of_namespace = self.namespaces.get("", namespace);
        let everything = self.everything.all().into_iter().map(|(_, freeze)| freeze);
        of_namespace
            .into_iter()
            .chain(everything)
            .map(|freeze| (*freeze).clone())
            .collect()
    }
}

fn frozen_namespace(namespace: &PartialObjectMeta<Namespace>) -> Option<Freeze> {
    let of = format!("Namespace/{}", namespace.name_any());
    Freeze::of_annotations(&of, namespace.metadata.annotations.as_ref())
}
