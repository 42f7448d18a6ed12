//! The garbage collector: objects whose owners are all gone, and what is in a deleted namespace.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    api::{kind::Kind, writing::Cluster},
    json::{list, text},
    store::Key,
};

/// Deletes what the `gone` owned, and those of `new` whose owners do not exist.
pub(crate) fn reconcile(cluster: &mut Cluster, gone: &BTreeSet<String>, new: &BTreeSet<Key>) {
    let orphans = gone.iter().flat_map(|uid| cluster.store.children(uid));
    let suspects: BTreeSet<Key> = orphans.chain(new.iter().cloned()).collect();
    for key in suspects {
        let Some(object) = cluster.store.get(&key) else {
            continue;
        };
        let owners = list(object, "/metadata/ownerReferences");
        let lives = owners.iter().any(|owner| {
            let (group, _) = text(owner, "/apiVersion").split_once('/').unwrap_or_default();
            let same = |(_, found): (&Key, &std::sync::Arc<serde_json::Value>)| {
                text(found, "/metadata/uid") == text(owner, "/uid")
            };
            owner_plurals(cluster, group, text(owner, "/kind")).iter().any(|kind| {
                let spaces = [key.namespace.as_str(), ""];
                spaces.iter().any(|space| {
                    let owner_key = Key::new(&kind.group, &kind.plural, space, text(owner, "/name"));
                    cluster
                        .store
                        .get(&owner_key)
                        .is_some_and(|found| same((&owner_key, found)))
                })
            })
        });
        if !owners.is_empty() && !lives {
            delete(cluster, &key);
        }
    }
}

fn owner_plurals(cluster: &Cluster, group: &str, name: &str) -> Vec<Kind> {
    let mut kinds = Kind::served(&cluster.store);
    kinds.retain(|kind| kind.group == group && kind.kind == name);
    kinds
}

/// Empties a namespace that was marked for deletion, then removes it.
pub(crate) fn namespace(cluster: &mut Cluster, key: &Key) {
    let Some(object) = cluster.store.get(key) else { return };
    if text(object, "/metadata/deletionTimestamp").is_empty() {
        return;
    }
    for kind in Kind::served(&cluster.store).iter().filter(|kind| kind.namespaced) {
        let (group, plural) = (kind.stored_group(), &kind.plural);
        let all = cluster.store.all(group, plural, Some(&key.name));
        for key in all.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            delete(cluster, &key);
        }
    }
    cluster.store.remove(key);
}

fn delete(cluster: &mut Cluster, key: &Key) {
    let kinds = Kind::served(&cluster.store);
    let kind = kinds
        .iter()
        .find(|kind| kind.stored_group() == key.group && kind.plural == key.plural);
    if let Some(kind) = kind {
        // The object was there a moment ago, under the same lock.
        let _ = cluster.delete(kind, key, &json!({}), false);
    }
}
