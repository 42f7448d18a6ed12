//! What the turn published last, shared with the HTTP server: cheap to clone, and no lock outlives a read.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::view::StatusView;
use crate::model::incident::Incident;

/// Namespace and name of an incident.
pub type IncidentKey = (String, String);

/// One moment as the turn left it.
#[derive(Debug)]
pub struct Shown {
    pub status: StatusView,
    pub incidents: BTreeMap<IncidentKey, Arc<Incident>>,
    published: Instant,
}

/// The shared state behind the HTTP server. The turn writes, handlers read.
#[derive(Clone, Debug)]
pub struct Board {
    shown: Arc<watch::Sender<Arc<Shown>>>,
    ready: Arc<AtomicBool>,
}

impl Board {
    /// A board that shows `first` until the first turn, and is not ready.
    pub fn new(first: StatusView) -> Self {
        let shown = Shown::new(first, BTreeMap::new());
        Self {
            shown: Arc::new(watch::Sender::new(Arc::new(shown))),
            ready: Arc::default(),
        }
    }

    /// Shows this from now on. Called every turn, also when nothing changed: pages say when it stops.
    pub fn publish(&self, status: StatusView, incidents: BTreeMap<IncidentKey, Arc<Incident>>) {
        self.shown.send_replace(Arc::new(Shown::new(status, incidents)));
    }

    /// Whether the caches are filled; what `/readyz` answers. Prometheus has no part in it.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// What `/readyz` answers.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// What is shown now.
    pub fn shown(&self) -> Arc<Shown> {
        self.shown.borrow().clone()
    }

    /// Wakes at every turn; for what follows live.
    pub fn follow(&self) -> watch::Receiver<Arc<Shown>> {
        self.shown.subscribe()
    }
}

impl Shown {
    fn new(status: StatusView, incidents: BTreeMap<IncidentKey, Arc<Incident>>) -> Self {
        Self {
            status,
            incidents,
            published: Instant::now(),
        }
    }

    /// How long ago the turn wrote it, on a clock that nobody sets.
    pub fn age(&self) -> Duration {
        self.published.elapsed()
    }

    /// The incident of that name.
    pub fn incident(&self, namespace: &str, name: &str) -> Option<&Arc<Incident>> {
        self.incidents.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The newest incident of the namespace, or of its guard of that name.
    pub fn newest_incident(&self, namespace: &str, guard: Option<&str>) -> Option<&str> {
        self.incidents
            .iter()
            .filter(|((ns, _), incident)| ns == namespace && guard.is_none_or(|g| incident.spec.guard == g))
            .max_by_key(|(_, incident)| incident.spec.opened_at)
            .map(|((_, name), _)| name.as_str())
    }
}
