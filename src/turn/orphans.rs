//! IO. Open incidents whose guard was deleted, also where another one of its name is there: closed, so that nobody waits for them.

use std::time::Duration;

use kube::ResourceExt;
use tokio::time::Instant;

use super::Daemon;
use crate::{
    act::record,
    model::{
        guard::IncidentRef,
        incident::{Incident, IncidentState, IncidentStatus},
    },
    observe::cache::ObjectKey,
};

/// How often they are looked for.
const EVERY: Duration = Duration::from_secs(15);

impl Daemon {
    /// Closes them as abandoned. Their evidence stays.
    pub(super) async fn close_orphans(&mut self) {
        if self.orphans_closed.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.orphans_closed = Some(Instant::now());
        for ((namespace, name), incident) in self.cluster.incidents.all() {
            let key = (namespace.clone(), incident.spec.guard.clone());
            let open = incident
                .status
                .as_ref()
                .filter(|status| status.state.is_some_and(IncidentState::is_open));
            let Some(open) = open.filter(|_| self.is_mine(&key) && self.lost_its_guard(&key, &incident)) else {
                continue;
            };
            let status = IncidentStatus {
                state: Some(IncidentState::Abandoned),
                reason: "its guard was deleted; nothing more is written".to_owned(),
                closed_at: Some(self.clock.now()),
                ..open.clone()
            };
            let uid = incident.uid().unwrap_or_default();
            let at = IncidentRef { name, uid };
            let closed = record::incident_status(&self.api, &namespace, &at, &status).await;
            self.api.versions.forget(&at.uid);
            match closed {
                Ok(()) => tracing::info!(incident = at.name, "incident {}: {}", at.name, status.reason),
                Err(why) => tracing::debug!(incident = at.name, "cannot close it yet: {why}"),
            }
        }
    }

    /// The guard of that name is gone, or it is younger than the incident and knows nothing of it.
    fn lost_its_guard(&self, key: &ObjectKey, incident: &Incident) -> bool {
        let Some(guard) = self.cluster.guards.get(&key.0, &key.1) else {
            return true;
        };
        let uid = incident.metadata.uid.as_ref();
        let held = self.guards.get(key).and_then(|guarded| guarded.case.as_ref());
        let named = guard.status.as_ref().and_then(|status| status.incident.as_ref());
        let is_its_own =
            held.is_some_and(|case| Some(&case.at.uid) == uid) || named.is_some_and(|at| Some(&at.uid) == uid);
        let born = guard.creation_timestamp().map(|time| time.0);
        !is_its_own && born.is_some_and(|born| incident.spec.opened_at < born)
    }
}
