//! Pure. What a person decided, followed once; and when people expect it to be fixed.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use super::{
    Act, Case, Happened, Input, Step, before, deadlines,
    progress::{act, cannot_roll_back, end},
};
use crate::model::{
    freeze::Freeze,
    guard::KeptState,
    incident::{Decision, Fix, IncidentState, IncidentStatus, Verb},
};

/// How long a freeze lasts that does not say until when.
pub const FREEZE: Duration = Duration::from_secs(2 * 3600);

/// Follows what a person decided; each decision once. Gives whether there was one to follow.
pub fn follow_decision(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) -> bool {
    let Some((verb, decision)) = news(case, status) else {
        return false;
    };
    note(decision, status, step);
    match verb {
        Verb::Keep => {
            keep(&case.spec.bad.hash, input, case, step);
            end(status, IncidentState::Kept, input, Happened::Kept, step);
        }
        Verb::Rollback | Verb::Resume => match cannot_write(input, case) {
            Some(because) => step.happened.push(Happened::CannotFollow { because }),
            None => {
                let thaws = status.freeze.take().is_some();
                match verb {
                    Verb::Resume if is_halfway(status) => go_on(input, status, step),
                    // Nobody said that anything is to be put back.
                    Verb::Resume if thaws => {}
                    Verb::Resume => step.happened.push(Happened::CannotFollow {
                        because: "there is no plan that stopped halfway".to_owned(),
                    }),
                    Verb::Rollback | Verb::Keep | Verb::Freeze | Verb::Abandon => {
                        before::overrule(status, decision, input.now);
                        act(input, case, status, step);
                    }
                }
            }
        },
        Verb::Freeze | Verb::Abandon => stop(verb, decision, input, case, status, step),
    }
    true
}

/// Follows a decision to stop while a plan runs or its proof is awaited. Gives whether that ends this turn.
pub fn stopped(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) -> bool {
    let Some((verb, decision)) = news(case, status) else {
        return false;
    };
    if verb == Verb::Resume && status.freeze.take().is_some() {
        note(decision, status, step);
        return false;
    }
    if !matches!(verb, Verb::Freeze | Verb::Abandon) {
        return false;
    }
    note(decision, status, step);
    stop(verb, decision, input, case, status, step);
    true
}

/// A decision that was not followed yet.
fn news<'a>(case: Case<'a>, status: &IncidentStatus) -> Option<(Verb, &'a Decision)> {
    let decision = case.spec.decision.as_ref()?;
    let followed = status.decided.as_ref().is_some_and(|old| old.decides_like(decision));
    Some((decision.verb.filter(|_| !followed)?, decision))
}

/// From now on this state is only reported.
fn keep(hash: &str, input: &Input, case: Case, step: &mut Step) {
    step.record.kept.retain(|kept| kept.hash != hash);
    step.record.kept.push(KeptState {
        hash: hash.to_owned(),
        at: input.now,
        incident: case.name.to_owned(),
    });
}

fn note(decision: &Decision, status: &mut IncidentStatus, step: &mut Step) {
    status.decided = Some(decision.clone());
    step.happened.push(Happened::Decided(decision.clone()));
}

fn stop(verb: Verb, decision: &Decision, input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    if verb == Verb::Abandon {
        // Also what a plan left halfway is only reported: nobody wants it judged as a release.
        keep(&case.spec.bad.hash, input, case, step);
        let proven = input.proven.iter().any(|state| state.hash == input.seen.hash);
        if !proven {
            keep(&input.seen.hash, input, case, step);
        }
        end(status, IncidentState::Abandoned, input, Happened::Abandoned, step);
        return;
    }
    // The next turn sees it, before anything more is written.
    status.freeze = Some(Freeze {
        of: format!("Incident/{}", case.name),
        until: input.now.checked_add(FREEZE).ok(),
        illegible: None,
        by: decision.by.clone(),
        reason: decision.reason.clone(),
    });
}

/// Why nothing can be put back now, if it cannot.
fn cannot_write(input: &Input, case: Case) -> Option<String> {
    // What an incident froze, its own decision thaws.
    let own = format!("Incident/{}", case.name);
    let freeze = input.freeze.filter(|freeze| freeze.of != own);
    freeze
        .map(ToString::to_string)
        .or_else(|| cannot_roll_back(input, case))
}

/// A plan was begun and stopped before its end, and not by a failure of its last step.
pub fn is_halfway(status: &IncidentStatus) -> bool {
    let own = || {
        status
            .journal
            .iter()
            .filter(|entry| entry.seq > status.plan_from && entry.is_step())
    };
    let begun = own().any(|entry| entry.intent.is_some());
    let last = own().filter_map(|entry| entry.receipt.as_deref()).next_back();
    let open = (0..status.plan.len()).any(|place| status.receipt_of(place).is_none());
    begun && open && !matches!(last, Some("failed" | "changed"))
}

/// The recorded plan goes on behind its last receipt. The time that it stood still was people's.
fn go_on(input: &Input, status: &mut IncidentStatus, step: &mut Step) {
    status.state = Some(IncidentState::RollingBack);
    status.acting_since = Some(input.now);
    status.rolled_out_at = None;
    status.reason = "the plan goes on".to_owned();
    step.actions.push(Act::Run);
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
