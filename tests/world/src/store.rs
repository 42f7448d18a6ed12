//! Where the objects are: every object by key, a rising version, and a log of changes that
//! watches read from. In memory; what etcd and the watch cache are to the real server.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use serde_json::Value;
use tokio::sync::watch;

use crate::json::{list, metadata, text};

/// Changes kept for watches; older positions are answered with 410 Expired.
const LOG_LENGTH: usize = 4096;

/// Where an object is. The version of the API is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) group: String,
    pub(crate) plural: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(group: &str, plural: &str, namespace: &str, name: &str) -> Self {
        let [group, plural, namespace, name] = [group, plural, namespace, name].map(str::to_owned);
        Key {
            group,
            plural,
            namespace,
            name,
        }
    }
}

/// One write as the log keeps it: `old` is absent for a creation, `gone` says it was deleted.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) key: Key,
    pub(crate) old: Option<Arc<Value>>,
    pub(crate) object: Arc<Value>,
    pub(crate) gone: bool,
}

/// All objects of the cluster.
pub(crate) struct Store {
    version: u64,
    forgotten: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    children: BTreeMap<String, BTreeSet<Key>>,
    log: VecDeque<Change>,
    news: watch::Sender<u64>,
}

impl Store {
    pub(crate) fn empty() -> Self {
        Store {
            version: 1,
            forgotten: 1,
            objects: BTreeMap::new(),
            children: BTreeMap::new(),
            log: VecDeque::new(),
            news: watch::Sender::new(1),
        }
    }

    /// The version of the newest write.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Tells when something was written.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// The objects of one resource, of one namespace or all, in key order.
    pub(crate) fn all<'a>(
        &'a self,
        group: &'a str,
        plural: &'a str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let first = Key::new(group, plural, namespace.unwrap_or_default(), "");
        self.objects.range(first..).take_while(move |(key, _)| {
            key.group == group && key.plural == plural && namespace.is_none_or(|namespace| key.namespace == namespace)
        })
    }

    /// The objects that name this uid as an owner.
    pub(crate) fn children(&self, uid: &str) -> Vec<Key> {
        self.children.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Writes `object`, stamped with the next version.
    pub(crate) fn put(&mut self, key: &Key, mut object: Value) -> Arc<Value> {
        self.version += 1;
        metadata(&mut object).insert("resourceVersion".into(), self.version.to_string().into());
        let object = Arc::new(object);
        let old = self.objects.insert(key.clone(), object.clone());
        self.unlink(key, old.as_deref());
        for owner in list(&object, "/metadata/ownerReferences") {
            let owner = text(owner, "/uid").to_owned();
            self.children.entry(owner).or_default().insert(key.clone());
        }
        self.log(key, old, object.clone(), false);
        object
    }

    /// Removes the object; the deletion has a version of its own.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let old = self.objects.remove(key)?;
        self.unlink(key, Some(&old));
        self.version += 1;
        let mut last = Value::clone(&old);
        metadata(&mut last).insert("resourceVersion".into(), self.version.to_string().into());
        let last = Arc::new(last);
        self.log(key, Some(old), last.clone(), true);
        Some(last)
    }

    /// The changes after `version`, oldest first; `None` when some of them are forgotten.
    pub(crate) fn since(&self, version: u64) -> Option<impl Iterator<Item = &Change>> {
        let first = self.log.partition_point(|change| change.version <= version);
        (version >= self.forgotten).then(|| self.log.range(first..))
    }

    /// Forgets all changes so far, as a compaction does.
    pub(crate) fn compact(&mut self) {
        self.log.clear();
        self.forgotten = self.version;
    }

    fn log(&mut self, key: &Key, old: Option<Arc<Value>>, object: Arc<Value>, gone: bool) {
        self.log.push_back(Change {
            version: self.version,
            key: key.clone(),
            old,
            object,
            gone,
        });
        if self.log.len() > LOG_LENGTH
            && let Some(oldest) = self.log.pop_front()
        {
            self.forgotten = oldest.version;
        }
        self.news.send_replace(self.version);
    }

    fn unlink(&mut self, key: &Key, old: Option<&Value>) {
        for owner in old.map_or(&[][..], |old| list(old, "/metadata/ownerReferences")) {
            let owner = text(owner, "/uid");
            if let Some(keys) = self.children.get_mut(owner) {
                keys.remove(key);
                if keys.is_empty() {
                    self.children.remove(owner);
                }
            }
        }
    }
}
