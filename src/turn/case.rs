//! IO. The open incident of a guard, and what of it is written.

use crate::{
    act::run::Found,
    decide::Case,
    model::{
        guard::IncidentRef,
        incident::{Incident, IncidentSpec, IncidentState, IncidentStatus},
    },
    observe::cache::Cache,
};

/// The open incident, and what of its status is written.
pub struct OpenCase {
    pub at: IncidentRef,
    pub spec: IncidentSpec,
    pub status: IncidentStatus,
    pub written: IncidentStatus,
    /// The watch showed it: where it does no more, it was deleted.
    pub watched: bool,
    /// What was found out when it was opened, until its plan runs.
    pub found: Option<Found>,
}

impl OpenCase {
    /// The incident that the record names, by its UID; any other of that name is not modosu's own.
    pub(super) fn find(namespace: &str, at: &IncidentRef, incidents: &Cache<Incident>) -> Option<Self> {
        let incident = incidents.get(namespace, &at.name)?;
        if incident.metadata.uid.as_deref() != Some(at.uid.as_str()) {
            return None;
        }
        let written = incident.status.clone().unwrap_or_default();
        let mut status = written.clone();
        if status.state.is_none() {
            // Created, and then stopped before its status was written: judged again from here.
            status.state = Some(IncidentState::AwaitingDecision);
            status.grade.clone_from(&incident.spec.grade);
            status.reason.clone_from(&incident.spec.summary);
        }
        Some(Self {
            at: at.clone(),
            spec: incident.spec.clone(),
            status,
            written,
            watched: true,
            found: None,
        })
    }

    pub(super) fn case(&self) -> Case<'_> {
        Case {
            name: &self.at.name,
            spec: &self.spec,
            status: &self.status,
        }
    }
}
