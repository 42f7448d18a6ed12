//! IO free. Guards that come, change and go, and what is known of one when it is met.

use std::collections::BTreeMap;

use kube::ResourceExt;

use super::{Daemon, case::OpenCase, guarded::Guarded};
use crate::{
    decide::Record,
    model::{
        guard::{Guard, SIDECAR},
        incident::Incident,
    },
    observe::cache::{Cache, ObjectKey},
};

impl Daemon {
    /// Takes new and edited guards in, and forgets those that are gone.
    pub(super) fn meet_guards(&mut self) {
        let watched: BTreeMap<ObjectKey, _> = self
            .cluster
            .guards
            .all()
            .into_iter()
            .filter(|(key, guard)| self.is_mine(key) && self.belongs(guard))
            .collect();
        self.guards.retain(|key, guarded| {
            let stays = watched.contains_key(key);
            if !stays {
                self.api.versions.forget(&guarded.guard().uid().unwrap_or_default());
            }
            stays
        });
        for (key, guard) in watched {
            match self.guards.get_mut(&key) {
                Some(guarded) if guarded.is(&guard) => {
                    guarded.edited(guard, &self.presets, &self.schemes, &self.settings.steps);
                }
                Some(_) | None => {
                    self.warn_of_two(&guard);
                    let incidents = &self.cluster.incidents;
                    let met = Guarded::meet(guard, &self.presets, &self.schemes, incidents, &self.settings.steps);
                    self.guards.insert(key, met);
                }
            }
        }
    }

    /// Whether this copy would watch a guard of that name: a sidecar has one, an operator all.
    pub(super) fn is_mine(&self, key: &ObjectKey) -> bool {
        let only = self.settings.guard.as_ref();
        only.is_none_or(|only| only.namespace == key.0 && only.name == key.1)
    }

    /// A sidecar cannot see whether an operator watches its guard as well.
    fn warn_of_two(&self, guard: &Guard) {
        if self.settings.guard.is_some() && !guard.is_a_sidecars() {
            let (namespace, name) = (guard.namespace().unwrap_or_default(), guard.name_any());
            tracing::warn!(
                "guard {namespace}/{name} is not labelled {SIDECAR}=true: an operator that watches this namespace acts on it, too \
                 (kubectl label -n {namespace} guard/{name} {SIDECAR}=true)"
            );
        }
    }

    /// An operator leaves those alone that are a sidecar's.
    fn belongs(&self, guard: &Guard) -> bool {
        self.settings.guard.is_some() || !guard.is_a_sidecars()
    }
}

/// What was written last: the guard's record and its open incident.
pub(super) fn remembered(guard: &Guard, incidents: &Cache<Incident>) -> (Record, Option<OpenCase>) {
    let mut record = Record::from(guard.status.clone().unwrap_or_default());
    let namespace = guard.namespace().unwrap_or_default();
    let found = record
        .incident
        .as_ref()
        .and_then(|at| OpenCase::find(&namespace, at, incidents));
    let since = record.current.as_ref().map(|current| current.since);
    let case = found.map(|mut case| {
        // Killed before the guard's record said what runs since then: it is seen once more.
        case.status.rolled_out_at = case.status.rolled_out_at.filter(|at| since >= Some(*at));
        case
    });
    if case.is_none() {
        record.incident = None;
    }
    (record, case)
}
