//! Pure. What joins an incident while it is open, wherever it stands: its evidence is kept, grade and action only rise. Nothing
//! begins because of that here: a plan that runs goes on, one that ended stays so.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Case, Happened, Input, Step, deadlines, stages};
use crate::model::incident::{IncidentState, IncidentStatus};

/// Takes in what fires now.
pub fn raise(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    if !status.state.is_some_and(IncidentState::is_open) {
        return;
    }
    let firing = &input.verdict.firing;
    for finding in firing {
        let name = &finding.evidence.name;
        let mut known = case.spec.triggers.iter().chain(&status.triggers);
        if known.all(|evidence| evidence.name != *name) {
            status.triggers.push(finding.evidence.clone());
        }
    }
    status.action = status.action.max(input.verdict.action());
    let worst = firing.iter().max_by_key(|finding| finding.rank);
    let Some(worst) = worst.filter(|worst| worst.rank > input.policy.scheme.rank(&status.grade)) else {
        return;
    };
    status.grade.clone_from(&worst.grade);
    // Whom a step or a stage of the plan asks is asked until it is done.
    let is_asked = status.asked().is_some() || stages::waits(status);
    let of_step = status.decider.clone().filter(|_| is_asked);
    deadlines::tighten(status, &input.policy.scheme, input.now);
    status.decider = of_step.or(status.decider.take());
    let (grade, sentence) = (worst.grade.clone(), worst.evidence.sentence.clone());
    let happened = Happened::Raised { grade, sentence };
    deadlines::note(status, input.now, happened.to_string());
    step.happened.push(happened);
}
