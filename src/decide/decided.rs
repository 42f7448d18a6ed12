//! Pure. What a person decided, followed once; and when people expect it to be fixed.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Act, Case, Happened, Input, Step, asking, before, by_hand, deadlines,
    progress::{act, cannot_roll_back, end},
    recovered::unmark,
    stages,
};
use crate::{
    model::{
        freeze::Freeze,
        guard::KeptState,
        incident::{Decision, Fix, IncidentState, IncidentStatus, JournalEntry, StateRef, Verb},
    },
    observe::older::replica_set,
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
        Verb::Keep => keep(input, case, status, step),
        Verb::Rollback | Verb::Resume if let Some(because) = stands_in_the_way(input, case) => {
            step.happened.push(Happened::CannotFollow { because });
        }
        Verb::Rollback => roll_back(input, case, decision, status, step),
        Verb::Resume if let Some(because) = cannot_roll_back(input, status.goal(case.spec)) => {
            step.happened.push(Happened::CannotFollow { because });
        }
        Verb::Resume => resume(input, status, step),
        Verb::Done => nobody_asked(step),
        Verb::Freeze | Verb::Abandon => stop(verb, decision, input, case, status, step),
    }
    true
}

/// Follows a decision while a plan runs or its proof is awaited: to stop it, or that what it asked for is done. Gives whether that ends this turn.
pub fn stopped(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) -> bool {
    let Some((verb, decision)) = news(case, status) else {
        return false;
    };
    if verb == Verb::Resume && status.freeze.take().is_some() {
        note(decision, status, step);
        return false;
    }
    if verb == Verb::Done {
        note(decision, status, step);
        if !asking::answer(input, decision, status) {
            nobody_asked(step);
        }
        return false;
    }
    match verb {
        Verb::Freeze | Verb::Abandon => {
            note(decision, status, step);
            stop(verb, decision, input, case, status, step);
            true
        }
        Verb::Keep if status.state == Some(IncidentState::Verifying) => {
            note(decision, status, step);
            let because = format!(
                "{} was put back already: `modosu allow {} {}`, then release it again",
                case.spec.bad.hash, input.guard, case.spec.bad.hash
            );
            step.happened.push(Happened::CannotFollow { because });
            false
        }
        Verb::Keep => {
            note(decision, status, step);
            unmark(case, status, step);
            keep(input, case, status, step);
            true
        }
        // A stage that asks somebody later is not begun by what was decided before it asked.
        Verb::Rollback | Verb::Resume if !status.stages.is_empty() => {
            note(decision, status, step);
            let because = "the plan runs already".to_owned();
            step.happened.push(Happened::CannotFollow { because });
            false
        }
        Verb::Rollback | Verb::Resume | Verb::Done => false,
    }
}

fn nobody_asked(step: &mut Step) {
    let because = "no plan waits for somebody to do something".to_owned();
    step.happened.push(Happened::CannotFollow { because });
}

/// A decision that was not followed yet.
pub fn news<'a>(case: Case<'a>, status: &IncidentStatus) -> Option<(Verb, &'a Decision)> {
    let decision = case.spec.decision.as_ref()?;
    let followed = status.decided.as_ref().is_some_and(|old| old.decides_like(decision));
    Some((decision.verb.filter(|_| !followed)?, decision))
}

/// Puts back what a person chose: where to, and which of the targets; or begins the stage that asks for it.
fn roll_back(input: &Input, case: Case, decision: &Decision, status: &mut IncidentStatus, step: &mut Step) {
    if stages::waits(status) && decision.to.is_none() && decision.only.is_empty() {
        begin_stage(input, case, status, step);
        return;
    }
    let reachable = |goal: Option<StateRef>| {
        let to = goal.as_ref().or(case.spec.restore_to.as_ref());
        cannot_roll_back(input, to).map_or(Ok(goal.clone()), Err)
    };
    let goal = match by_hand::goal(input, decision).and_then(reachable) {
        Ok(goal) => goal,
        Err(because) => {
            step.happened.push(Happened::CannotFollow { because });
            return;
        }
    };
    status.freeze = None;
    before::overrule(status, decision, input.now);
    if goal != status.goal || decision.only != status.only {
        // It gets a plan of its own.
        status.plan.clear();
        status.stages.clear();
        status.plan_hash = None;
        status.goal = goal;
        status.only.clone_from(&decision.only);
    }
    if let Some(to) = status.goal(case.spec).filter(|to| replica_set(to).is_some()) {
        let warning = format!("{} goes back to {}", status.only.join(", "), by_hand::going_to(to));
        deadlines::note(status, input.now, warning);
    }
    act(input, case, status, step);
}

/// Of the plan as it was recorded: it goes where that goes.
fn begin_stage(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    match cannot_roll_back(input, status.goal(case.spec)) {
        Some(because) => step.happened.push(Happened::CannotFollow { because }),
        None => {
            status.freeze = None;
            stages::go(input, status, step);
        }
    }
}

/// What runs is left as it is, also where a plan put some of it back already.
fn keep(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    report_only(input, case, step);
    end(status, IncidentState::Kept, input, Happened::Kept, step);
}

/// From now on the state of the incident is only reported, and what a plan left halfway: nobody wants it judged as a release.
fn report_only(input: &Input, case: Case, step: &mut Step) {
    only_reported(&case.spec.bad.hash, input, case, step);
    let proven = input.proven.iter().any(|state| state.hash == input.seen.hash);
    if !proven {
        only_reported(&input.seen.hash, input, case, step);
    }
}

fn only_reported(hash: &str, input: &Input, case: Case, step: &mut Step) {
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
        report_only(input, case, step);
        end(status, IncidentState::Abandoned, input, Happened::Abandoned, step);
        return;
    }
    // The next turn sees it, before anything more is written.
    status.freeze = Some(freeze(case.name, decision, input.now));
}

/// What a person decided on that incident, as a freeze.
pub fn freeze(incident: &str, decision: &Decision, now: Timestamp) -> Freeze {
    Freeze {
        of: format!("Incident/{incident}"),
        until: now.checked_add(FREEZE).ok(),
        illegible: None,
        by: decision.by.clone(),
        reason: decision.reason.clone(),
    }
}

/// Why nothing may be written now, if so.
fn stands_in_the_way(input: &Input, case: Case) -> Option<String> {
    // What an incident froze, its own decision thaws.
    let own = format!("Incident/{}", case.name);
    let freeze = input.freeze.filter(|freeze| freeze.of != own);
    freeze.map(ToString::to_string).or_else(|| by_hand::observes(input))
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
    let present = |entry: &&JournalEntry| status.present_places().any(|place| status.seq_of(place) == entry.seq);
    let last = own()
        .filter(present)
        .filter_map(|entry| entry.receipt.as_deref())
        .next_back();
    let open = status.next_place().is_some();
    begun && open && !matches!(last, Some("failed" | "changed"))
}

/// A plan that stopped halfway goes on. Else only the incident's own freeze ends: nobody said that anything is to be put back.
fn resume(input: &Input, status: &mut IncidentStatus, step: &mut Step) {
    let thaws = status.freeze.take().is_some();
    if stages::waits(status) {
        if !thaws {
            stages::go(input, status, step);
        }
    } else if is_halfway(status) {
        go_on(input, status, step);
    } else if !thaws {
        let because = "there is no plan that stopped halfway".to_owned();
        step.happened.push(Happened::CannotFollow { because });
    }
}

/// The recorded plan goes on behind its last receipt. The time that it stood still was people's.
fn go_on(input: &Input, status: &mut IncidentStatus, step: &mut Step) {
    status.state = Some(IncidentState::RollingBack);
    status.acting_since = Some(input.now);
    stages::begin(status, input.now);
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
