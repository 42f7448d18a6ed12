//! Pure. What a person decided, followed once; and when people expect it to be fixed.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    Case, Happened, Input, Step, deadlines,
    progress::{act, cannot_roll_back, end},
};
use crate::model::{
    guard::KeptState,
    incident::{Fix, IncidentState, IncidentStatus, Verb},
};

/// Follows what a person decided; each decision once. Gives whether there was one to follow.
pub fn follow_decision(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) -> bool {
    let Some(decision) = &case.spec.decision else {
        return false;
    };
    let followed = status.decided.as_ref().is_some_and(|old| old.decides_like(decision));
    let Some(verb) = decision.verb.filter(|_| !followed) else {
        return false;
    };
    status.decided = Some(decision.clone());
    step.happened.push(Happened::Decided(decision.clone()));
    match verb {
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

/// Notes when people expect it to be fixed. That decides nothing and stops no clock.
pub fn note_fix(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    let Some(decision) = &case.spec.decision else { return };
    let known = status.fix.as_ref().map(|fix| fix.eta);
    let Some(eta) = decision.fix_eta.filter(|eta| known != Some(*eta)) else {
        return;
    };
    // A length that reaches past the end of time says nothing.
    let Ok(ready_at) = input.now.checked_add(eta.0) else {
        return;
    };
    let happened = Happened::FixExpected {
        by: decision.by.clone(),
        eta,
    };
    deadlines::note(status, input.now, happened.to_string());
    status.fix = Some(Fix {
        eta,
        told_at: input.now,
        ready_at,
        by: decision.by.clone(),
    });
    step.happened.push(happened);
}
