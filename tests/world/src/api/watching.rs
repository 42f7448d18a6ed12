//! Watches: the changes after a version as a stream of lines, with bookmarks, and `410 Expired`
//! where the log does not reach back far enough.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use crate::{
    api::{failure::Failure, kind::Kind, reading, route::Route, select::Selection, shape},
    store::{Change, Store},
    world::Inner,
};

const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
const LONGEST: u64 = 1800;

/// One watch that a client holds.
pub(crate) struct Watch {
    kind: Kind,
    route: Route,
    selection: Selection,
    position: u64,
    news: watch::Receiver<u64>,
    bookmark_at: Instant,
    ends_at: Instant,
    pending: VecDeque<Value>,
    failed: bool,
}

impl Watch {
    pub(crate) fn open(store: &Store, kind: Kind, route: &Route) -> Result<Watch, Failure> {
        let selection = Selection::of(route)?;
        let from = route.parameter("resourceVersion");
        let from: u64 = match from {
            "" => 0,
            text => text
                .parse()
                .map_err(|_| Failure::bad_request(format!("Invalid value: {text:?}: not a resource version")))?,
        };
        let now = Instant::now();
        let seconds = route.parameter("timeoutSeconds").parse().unwrap_or(LONGEST);
        let mut watch = Watch {
            selection,
            position: from,
            news: store.news(),
            bookmark_at: now + BOOKMARK_EVERY,
            ends_at: now + Duration::from_secs(seconds),
            pending: VecDeque::new(),
            failed: false,
            kind,
            route: route.clone(),
        };
        let initial = route.flag("sendInitialEvents");
        if initial || from == 0 {
            watch.begin(store, initial);
        }
        Ok(watch)
    }

    /// The lines of the watch, until its time is over or it failed.
    pub(crate) fn lines(self, world: Arc<Inner>) -> impl Stream<Item = Bytes> + Send {
        futures::stream::unfold((self, world), |(mut watch, world)| async move {
            let line = watch.next(&world).await?;
            Some((line, (watch, world)))
        })
    }

    async fn next(&mut self, world: &Inner) -> Option<Bytes> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(Bytes::from(format!("{event}\n")));
            }
            let now = Instant::now();
            if self.failed || now >= self.ends_at {
                return None;
            }
            self.news.mark_unchanged();
            world.with(|state| self.read(&state.cluster.store));
            if !self.pending.is_empty() {
                continue;
            }
            if now >= self.bookmark_at {
                self.bookmark_at = now + BOOKMARK_EVERY;
                if self.route.flag("allowWatchBookmarks") {
                    self.pending.push_back(self.bookmark(json!({})));
                    continue;
                }
            }
            tokio::select! {
                changed = self.news.changed() => changed.ok()?,
                () = tokio::time::sleep_until(self.bookmark_at.min(self.ends_at)) => {}
            }
        }
    }

    /// All present objects as additions, and the bookmark that ends them where it was asked for.
    fn begin(&mut self, store: &Store, bookmark: bool) {
        let present = reading::selected(store, &self.kind, &self.route, &self.selection);
        self.pending = present.map(|object| self.event("ADDED", object)).collect();
        self.position = store.version();
        if bookmark {
            let end = json!({"k8s.io/initial-events-end": "true"});
            self.pending.push_back(self.bookmark(end));
        }
    }

    fn read(&mut self, store: &Store) {
        let Some(changes) = store.since(self.position) else {
            let message = format!("too old resource version: {} ({})", self.position, store.version());
            let status = Failure::expired(message).status();
            self.pending.push_back(json!({"type": "ERROR", "object": status}));
            self.failed = true;
            return;
        };
        let events: Vec<Value> = changes.filter_map(|change| self.seen(change)).collect();
        self.pending.extend(events);
        self.position = self.position.max(store.version());
    }

    /// What this watch sees of a change: selection may make a modification an arrival or a loss.
    fn seen(&self, change: &Change) -> Option<Value> {
        let key = &change.key;
        let concerns = key.group == self.kind.stored_group()
            && key.plural == self.kind.plural
            && (self.route.namespace.is_empty() || key.namespace == self.route.namespace);
        if !concerns {
            return None;
        }
        let before = change.old.as_ref().is_some_and(|old| self.selection.takes(old));
        let after = !change.gone && self.selection.takes(&change.object);
        match (before, after) {
            (false, false) => None,
            (false, true) => Some(self.event("ADDED", &change.object)),
            (true, true) => Some(self.event("MODIFIED", &change.object)),
            (true, false) => {
                let mut last = change.old.as_deref().cloned().unwrap_or_default();
                crate::json::metadata(&mut last).insert("resourceVersion".into(), change.version.to_string().into());
                Some(self.event("DELETED", &last))
            }
        }
    }

    fn event(&self, event: &str, object: &Value) -> Value {
        let object = shape::outgoing(&self.kind, object, self.route.metadata_only);
        json!({"type": event, "object": object})
    }

    fn bookmark(&self, annotations: Value) -> Value {
        let (kind, api_version) = match self.route.metadata_only {
            true => ("PartialObjectMetadata".to_owned(), "meta.k8s.io/v1".to_owned()),
            false => (self.kind.kind.clone(), self.kind.api_version()),
        };
        let mut metadata = json!({"resourceVersion": self.position.to_string()});
        if annotations
            .as_object()
            .is_some_and(|annotations| !annotations.is_empty())
        {
            metadata["annotations"] = annotations;
        }
        json!({"type": "BOOKMARK", "object": {
            "kind": kind, "apiVersion": api_version, "metadata": metadata,
        }})
    }
}
