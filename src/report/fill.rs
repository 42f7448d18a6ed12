//! Pure. Guards and incidents as the cluster holds them, turned into what is shown.
//!
//! The turn adds what no object holds: live signals, what each trigger says, what the guard waits for.

use std::cmp::Reverse;

use kube::ResourceExt;

use super::view::{BaselineView, ConditionView, CurrentView, FreezeView, GuardView, IncidentLine, RestoreToView};
use crate::model::{
    guard::{Current, Guard, GuardStatus, Mode, RestoreTo, State},
    incident::{Incident, IncidentState},
};

/// So many closed incidents are listed beside the open ones.
const NEWEST: usize = 50;

impl GuardView {
    /// What guard and status say; signals, triggers and `waits_for` are still empty, `since` is the change's.
    pub fn of(guard: &Guard, status: &GuardStatus) -> Self {
        let effective = status.effective_mode.as_ref();
        Self {
            namespace: guard.namespace().unwrap_or_default(),
            name: guard.name_any(),
            mode: effective.map_or_else(|| guard.spec.mode.unwrap_or(Mode::Enforce), |e| e.mode),
            mode_because: effective.and_then(|e| e.because.clone()),
            state: status.state.unwrap_or(State::NotReady),
            reason: status
                .state
                .map_or_else(|| "modosu has not looked at it yet".to_owned(), |_| String::new()),
            since: status.current.as_ref().map(|c| c.since),
            waits_for: None,
            signals: Vec::new(),
            baseline: BaselineView::of(guard, status),
            triggers: Vec::new(),
            conditions: status
                .conditions
                .iter()
                .map(|c| ConditionView {
                    kind: c.type_.clone(),
                    status: c.status.clone(),
                    reason: c.reason.clone(),
                    message: c.message.clone(),
                })
                .collect(),
            current: status.current.as_ref().map(CurrentView::from),
            restore_to: status.restore_to.as_ref().map(RestoreToView::from),
            other_tools: status.other_tools.clone(),
            freeze: status.freeze.clone().map(FreezeView::from),
            shared_config: Vec::new(),
            incident: status.incident.as_ref().map(|i| i.name.clone()),
            harm: None,
            impact_per_minute: guard.spec.impact_per_minute.clone(),
            roll_out: status.roll_out.clone(),
            links: guard.spec.links.clone(),
        }
    }
}

impl From<&Current> for CurrentView {
    fn from(current: &Current) -> Self {
        Self {
            hash: current.hash.clone(),
            since: current.since,
            proven: current.proven,
            images: current.images.clone(),
        }
    }
}

impl From<&RestoreTo> for RestoreToView {
    fn from(to: &RestoreTo) -> Self {
        Self {
            name: to.name.clone(),
            hash: to.hash.clone(),
            proven_at: to.proven_at,
            images: to.images.clone(),
            blocked: to.blocked.clone(),
        }
    }
}

impl IncidentLine {
    /// The incident's line; its grade is the one it rose to.
    pub fn of(incident: &Incident) -> Self {
        let status = incident.status.as_ref();
        let risen = status.map(|s| s.grade.as_str()).filter(|grade| !grade.is_empty());
        let open = status.filter(|_| state_of(incident).is_open());
        Self {
            namespace: incident.namespace().unwrap_or_default(),
            name: incident.name_any(),
            guard: incident.spec.guard.clone(),
            state: state_of(incident),
            grade: risen.unwrap_or(&incident.spec.grade).to_owned(),
            opened_at: incident.spec.opened_at,
            decider: open.and_then(|s| s.decider.clone()),
            decide_by: open.and_then(|s| s.decide_by),
            done_by: open.and_then(|s| s.done_by),
            summary: incident.spec.summary.clone(),
        }
    }

    /// Open incidents first, then the newest of the others; both newest first.
    pub fn newest<'a>(incidents: impl Iterator<Item = &'a Incident>) -> Vec<Self> {
        let mut lines: Vec<Self> = incidents.map(Self::of).collect();
        lines.sort_by_key(|line| (!line.state.is_open(), Reverse(line.opened_at), line.name.clone()));
        let open = lines.iter().filter(|line| line.state.is_open()).count();
        lines.truncate(open.saturating_add(NEWEST));
        lines
    }
}

/// An incident without a status was just opened: its action says where it goes.
pub(super) fn state_of(incident: &Incident) -> IncidentState {
    use crate::model::guard::Action;
    incident
        .status
        .as_ref()
        .and_then(|s| s.state)
        .unwrap_or(match incident.spec.action {
            Action::AutomaticRollback => IncidentState::RollingBack,
            Action::AlertAndManualReview => IncidentState::AwaitingDecision,
            Action::Monitor => IncidentState::Observed,
        })
}
