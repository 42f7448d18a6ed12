//! IO. The Secrets that guards name, each watched by its name alone and as metadata. Where no guard names one, nothing asks
//! for Secrets, and no list of a whole namespace is ever asked for.

use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc};

use k8s_openapi::api::core::v1::Secret;
use kube::{Client, core::PartialObjectMeta, runtime::watcher};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Cluster, ConfigVersion, spawn, stream, typed};
use crate::{
    model::content::SALT_SECRET,
    observe::cache::{Cache, ObjectKey},
};

/// The watches, by namespace and name.
#[derive(Default)]
pub(super) struct Secrets(BTreeMap<ObjectKey, Watched>);

struct Watched {
    cache: Arc<Cache<ConfigVersion>>,
    /// Ends the watch with this.
    _until: DropGuard,
}

/// Why nothing is known of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotWatched {
    /// Its first list is under way.
    NotYet,
    /// The watch fails, as by its words.
    Fails(String),
}

impl Secrets {
    /// Another salt makes another version: the hash is taken anew.
    pub(super) fn version(&self, namespace: &str, name: &str) -> Result<Option<Arc<ConfigVersion>>, NotWatched> {
        let Some(secret) = self.watched(namespace, name)? else {
            return Ok(None);
        };
        let salt = self.watched(namespace, SALT_SECRET)?;
        let salt = salt.map_or_else(String::new, |salt| format!("{} {}", salt.uid, salt.version));
        Ok(Some(Arc::new(ConfigVersion {
            uid: secret.uid.clone(),
            version: format!("{}, salt {salt}", secret.version),
            manager: secret.manager.clone(),
        })))
    }

    fn watched(&self, namespace: &str, name: &str) -> Result<Option<Arc<ConfigVersion>>, NotWatched> {
        let watched = self.0.get(&(namespace.to_owned(), name.to_owned()));
        let cache = &watched.ok_or(NotWatched::NotYet)?.cache;
        if cache.listed(1) {
            return Ok(cache.get(namespace, name));
        }
        Err(cache.failing().map_or(NotWatched::NotYet, NotWatched::Fails))
    }
}

impl Cluster {
    /// Watches these Secrets, the salts of their namespaces, and no others.
    pub fn watch_secrets(&mut self, client: &Client, named: &BTreeSet<ObjectKey>) {
        let salts = named
            .iter()
            .map(|(namespace, _)| (namespace.clone(), SALT_SECRET.to_owned()));
        let wanted: BTreeSet<ObjectKey> = salts.chain(named.iter().cloned()).collect();
        self.secrets.0.retain(|key, _| wanted.contains(key));
        for key in wanted {
            if !self.secrets.0.contains_key(&key) {
                let watched = self.watch_secret(client, &key);
                self.secrets.0.insert(key, watched);
            }
        }
    }

    fn watch_secret(&self, client: &Client, (namespace, name): &ObjectKey) -> Watched {
        let stop = CancellationToken::new();
        let scope = Some(namespace.clone());
        let api = typed::<PartialObjectMeta<Secret>>(client, &scope);
        let one = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let cache = Cache::new();
        let follow = cache.clone().follow(
            ("Secrets that guards name", scope),
            stream(api, one),
            |secret: PartialObjectMeta<Secret>| ConfigVersion::read(&secret.metadata),
            self.changes.clone(),
        );
        spawn(&stop, follow);
        Watched {
            cache,
            _until: stop.drop_guard(),
        }
    }
}
