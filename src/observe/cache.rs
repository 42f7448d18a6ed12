//! IO. One kind of object, watched into a map of trimmed values; the API server is never polled.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{Stream, StreamExt};
use kube::{ResourceExt, runtime::watcher};
use tokio::sync::Notify;

/// Namespace and name.
pub type ObjectKey = (String, String);

/// The namespaces in which something changed since they were last taken.
#[derive(Default)]
pub struct Changes {
    touched: Mutex<BTreeSet<String>>,
    bell: Notify,
}

/// A watched kind of object, trimmed to `T`.
pub struct Cache<T> {
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    objects: BTreeMap<ObjectKey, Arc<T>>,
    /// By scope, the list that replaces the scope's `objects` once it is complete.
    coming: BTreeMap<Scope, BTreeMap<ObjectKey, Arc<T>>>,
    listed: BTreeSet<Scope>,
    /// Why the watch does not work at present.
    failing: Option<String>,
}

/// The namespace that a watch covers; `None`: all.
pub type Scope = Option<String>;

impl Changes {
    /// Says that something changed in this namespace.
    pub fn touch(&self, namespace: &str) {
        lock(&self.touched).insert(namespace.to_owned());
        self.bell.notify_one();
    }

    /// Waits until something changed.
    pub async fn wait(&self) {
        self.bell.notified().await;
    }

    /// The namespaces touched since the last call.
    pub fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *lock(&self.touched))
    }
}

impl<T: PartialEq> Cache<T> {
    /// An empty cache, not yet listed.
    pub fn new() -> Arc<Self> {
        let inner = Inner {
            objects: BTreeMap::new(),
            coming: BTreeMap::new(),
            listed: BTreeSet::new(),
            failing: None,
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
        })
    }

    /// Whether the first list is complete in so many scopes.
    pub fn listed(&self, scopes: usize) -> bool {
        lock(&self.inner).listed.len() >= scopes
    }

    /// Why the watch does not work at present.
    pub fn failing(&self) -> Option<String> {
        lock(&self.inner).failing.clone()
    }

    /// The object of that name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        lock(&self.inner)
            .objects
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned()
    }

    /// All objects of a namespace.
    pub fn of_namespace(&self, namespace: &str) -> Vec<(String, Arc<T>)> {
        self.matching(namespace, |_| true)
    }

    /// The objects of a namespace that are wanted.
    pub fn matching(&self, namespace: &str, wanted: impl Fn(&T) -> bool) -> Vec<(String, Arc<T>)> {
        let inner = lock(&self.inner);
        let from = (namespace.to_owned(), String::new());
        let objects = inner.objects.range(from..).take_while(|((ns, _), _)| ns == namespace);
        objects
            .filter(|(_, object)| wanted(object))
            .map(|((_, name), object)| (name.clone(), object.clone()))
            .collect()
    }

    /// All objects.
    pub fn all(&self) -> Vec<(ObjectKey, Arc<T>)> {
        lock(&self.inner)
            .objects
            .iter()
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect()
    }

    /// What was read of one object; `None`: nothing that matters.
    pub fn put(&self, key: ObjectKey, object: Option<T>) {
        let objects = &mut lock(&self.inner).objects;
        match object {
            Some(object) => objects.insert(key, Arc::new(object)),
            None => objects.remove(&key),
        };
    }

    /// Follows a watch for ever; `trim` gives `None` for objects that do not matter.
    pub async fn follow<K: ResourceExt>(
        self: Arc<Self>,
        (kind, scope): (&'static str, Scope),
        stream: impl Stream<Item = watcher::Result<watcher::Event<K>>>,
        trim: impl Fn(K) -> Option<T>,
        changes: Arc<Changes>,
    ) {
        let mut stream = std::pin::pin!(stream);
        let mut lost = false;
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => {
                    // That a list begins tells nothing of how it ends.
                    if !matches!(event, watcher::Event::Init) && std::mem::take(&mut lost) {
                        lock(&self.inner).failing = None;
                        tracing::info!(kind, "watching {kind} again");
                    }
                    for namespace in self.apply(&scope, event, &trim) {
                        changes.touch(&namespace);
                    }
                }
                Err(why) => {
                    lock(&self.inner).failing = Some(why.to_string());
                    if !std::mem::replace(&mut lost, true) {
                        tracing::warn!(kind, "cannot watch {kind}, trying again: {why}");
                    }
                }
            }
        }
    }

    /// Takes one event in; gives the namespaces in which something really changed.
    fn apply<K: ResourceExt>(
        &self,
        scope: &Scope,
        event: watcher::Event<K>,
        trim: &impl Fn(K) -> Option<T>,
    ) -> Vec<String> {
        let inner = &mut *lock(&self.inner);
        match event {
            watcher::Event::Init => {
                inner.coming.remove(scope);
                Vec::new()
            }
            watcher::Event::InitApply(object) => {
                let key = key_of(&object);
                let coming = inner.coming.entry(scope.clone()).or_default();
                coming.extend(trim(object).map(|trimmed| (key, Arc::new(trimmed))));
                Vec::new()
            }
            watcher::Event::InitDone => {
                let before = inner.objects.keys().map(|(namespace, _)| namespace.clone());
                let mut touched: BTreeSet<_> = before.chain([String::new()]).collect();
                inner
                    .objects
                    .retain(|(namespace, _), _| scope.as_ref().is_some_and(|scope| scope != namespace));
                inner
                    .objects
                    .append(&mut inner.coming.remove(scope).unwrap_or_default());
                inner.listed.insert(scope.clone());
                touched.extend(inner.objects.keys().map(|(namespace, _)| namespace.clone()));
                touched.into_iter().collect()
            }
            watcher::Event::Apply(object) => {
                let key = key_of(&object);
                let after = trim(object).map(Arc::new);
                let before = inner.objects.get(&key);
                if before.map(AsRef::as_ref) == after.as_deref() {
                    return Vec::new();
                }
                match after {
                    Some(after) => inner.objects.insert(key.clone(), after),
                    None => inner.objects.remove(&key),
                };
                vec![key.0]
            }
            watcher::Event::Delete(object) => {
                let key = key_of(&object);
                inner.objects.remove(&key);
                vec![key.0]
            }
        }
    }
}

fn key_of<K: ResourceExt>(object: &K) -> ObjectKey {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// A poisoned lock guards a map that is still whole: every change to it is one insertion or removal.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
