//! Pure. What a person decided, followed once.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    Case, Happened, Input, Step,
    progress::{act, cannot_roll_back, end},
};
use crate::model::{
    guard::KeptState,
    incident::{IncidentState, IncidentStatus, Verb},
};

/// Follows what a person decided; each decision once. Gives whether there was one to follow.
pub fn follow_decision(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) -> bool {
    let Some(decision) = case
        .spec
        .decision
        .as_ref()
        .filter(|decision| status.decided.as_ref() != Some(*decision))
    else {
        return false;
    };
    status.decided = Some(decision.clone());
    step.happened.push(Happened::Decided(decision.clone()));
    match decision.verb {
        Verb::Keep => {
            let hash = case.spec.bad.hash.clone();
            step.record.kept.retain(|kept| kept.hash != hash);
            step.record.kept.push(KeptState {
                hash,
                at: input.now,
                incident: case.name.to_owned(),
            });
            end(status, IncidentState::Kept, input, Happened::Kept, step);
        }
        Verb::Rollback => match cannot_roll_back(input, case) {
            Some(because) => step.happened.push(Happened::CannotFollow { because }),
            None => act(input, case, status, step),
        },
    }
    true
}
