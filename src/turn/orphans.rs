//! IO. Open incidents whose guard was deleted: closed, so that nobody waits for them.

use std::time::Duration;

use kube::ResourceExt;
use tokio::time::Instant;

use super::Daemon;
use crate::{
    act::record,
    model::{
        guard::IncidentRef,
        incident::{IncidentState, IncidentStatus},
    },
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
            let (Some(open), None, true) = (open, self.cluster.guards.get(&key.0, &key.1), self.is_mine(&key)) else {
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
            match record::incident_status(&self.api, &namespace, &at, &status).await {
                Ok(()) => tracing::info!(incident = at.name, "incident {}: {}", at.name, status.reason),
                Err(why) => tracing::debug!(incident = at.name, "cannot close it yet: {why}"),
            }
        }
    }
}
