//! Pure. Entering a state, and what healthy time makes of it: proven, with a baseline.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use super::{
    Act, Case, Happened, Input, Step,
    baseline::{of_healthy_time, take_baseline},
    between, goes_back_to,
    happened::named,
    lock, note_no_way_back,
    stands::stands,
};
use crate::{
    judge::{Status, policy::Policy},
    model::{
        guard::{Action, BadState, Current, GuardStatus, RolledOut, TargetRef},
        incident::{IncidentState, IncidentStatus},
        units::Length,
    },
};

/// Takes note of a state that was not there the turn before. Gives whether one came.
pub fn enter(input: &Input, step: &mut Step) -> bool {
    let hash = &input.seen.hash;
    let Some(left) = input.record.current.as_ref() else {
        step.happened.push(Happened::FirstSeen {
            hash: hash.clone(),
            images: input.seen.images.clone(),
        });
        arrive(input, step, Vec::new());
        return true;
    };
    if left.hash == *hash {
        return false;
    }
    leave(input, left, step);
    if left.proven
        && let Some(values) = &input.clocks.baseline
    {
        step.record.baseline = Some(of_healthy_time(input, left.hash.clone(), values));
    }
    if !known(input) {
        ask_again(input, step);
    }
    let held = held_now(input);
    let (from, images) = (named(&left.hash, &left.images), input.seen.images.clone());
    step.happened.push(if known(input) {
        Happened::WentBack {
            from,
            to: hash.clone(),
            images,
        }
    } else {
        Happened::Changed {
            from,
            to: hash.clone(),
            images,
        }
    });
    arrive(input, step, held);
    tell_no_way_back(input, step);
    if let Some(current) = step.record.current.as_mut() {
        current.rolling_since = input.seen.rolled_out.is_err().then_some(input.now);
    }
    true
}

/// Said when the change comes, not only when it hurts.
fn tell_no_way_back(input: &Input, step: &mut Step) {
    note_no_way_back(input, &mut step.record);
    goes_back_to(&mut step.record, input);
    let told = step.record.restore_to.as_ref().and_then(|to| {
        Some(Happened::NoWayBack {
            to: named(&to.hash, &to.images),
            why: to.blocked.clone()?,
        })
    });
    step.happened.extend(told.filter(|_| !known(input)));
}

/// Going to `input.seen` as the goal of modosu's own plan: never a change of its own. What else somebody changed on the
/// way is one.
pub fn arrive_by_plan(input: &Input, case: Case, step: &mut Step) {
    let steps = || {
        case.status
            .plan
            .iter()
            .filter(|step| case.status.is_of_last_begun(step))
    };
    let planned = |name: &str| steps().any(|planned| planned.step == name);
    let to = case.status.goal(case.spec).map(|to| to.hash.as_str());
    // What a person put back in part is their own choice, too, where nobody changed the rest.
    let parts = || input.seen.parts.iter();
    let beside = |target: &TargetRef| case.status.beside.get(&target.to_string());
    let as_before = || parts().all(|(target, now)| beside(target).is_none_or(|then| then == now));
    let in_part = !case.status.only.is_empty() && as_before();
    let sets = planned("setEnv") || planned("setConfig");
    let as_planned = !planned("restore") || sets || in_part || to == Some(input.seen.hash.as_str());
    arrive(input, step, held_now(input));
    if let Some(current) = step.record.current.as_mut().filter(|_| as_planned) {
        current.change = false;
        current.held_before.clear();
    }
}

fn known(input: &Input) -> bool {
    input.proven.iter().any(|state| state.hash == input.seen.hash)
}

fn arrive(input: &Input, step: &mut Step, held_before: Vec<String>) {
    let known = known(input);
    step.record.current = Some(Current {
        hash: input.seen.hash.clone(),
        since: input.now,
        proven: known,
        change: !known,
        images: input.seen.images.clone(),
        rolling_since: None,
        allowed: false,
        held_before: if known { Vec::new() } else { held_before },
        left_out: input.seen.left_out.keys().map(|target| target.name.clone()).collect(),
    });
    step.actions.push(Act::Begin { since: input.now });
}

/// What leaving a state means for it, and for the incident that was open.
fn leave(input: &Input, left: &Current, step: &mut Step) {
    let case = input.case.filter(|case| blamed(input, case, left));
    let younger = left.change && between(left.since, input.now) < input.policy.watch_for;
    if case.is_some() || (known(input) && younger) {
        mark_bad(
            &mut step.record,
            left.hash.clone(),
            input,
            step_case(input),
            &mut step.happened,
        );
    }
    if let (Some(case), Some(status)) = (input.case, step.case.as_mut()) {
        let to = case.status.goal(case.spec).map(|state| state.hash.as_str());
        let by_hand = to == Some(input.seen.hash.as_str());
        let (state, happened) = if by_hand {
            (IncidentState::RecoveredByHand, Happened::RecoveredByHand)
        } else {
            status.stands = stands(input, case);
            let (by, stands) = (named(&input.seen.hash, &input.seen.images), status.stands.clone());
            (IncidentState::Superseded, Happened::Superseded { by, stands })
        };
        close(status, state, input, &happened);
        if by_hand {
            status.recovered_at = Some(input.now);
        }
        step.record.incident = None;
        step.happened.push(happened);
    }
}

/// Whether the incident may be the fault of the state that is left. It is not where it was only observed, where nothing had
/// changed within `watchFor` when it was opened, where all of it held before the change, and where many guards breach
/// together and no change explains it, or another one does.
fn blamed(input: &Input, case: &Case, left: &Current) -> bool {
    let young = left.change && between(left.since, case.spec.opened_at) < input.policy.watch_for;
    let mut fired = case.spec.triggers.iter();
    let new = fired.any(|evidence| !left.held_before.contains(&evidence.name));
    let shared = case.status.common_cause.as_ref();
    let elsewhere = shared.is_some_and(|cause| cause.waiting || cause.acts_on.is_empty());
    let observed = case.status.action == Some(Action::Monitor);
    case.spec.bad.hash == left.hash && young && new && !elsewhere && !observed
}

fn step_case(input: &Input) -> Option<String> {
    input.case.map(|case| case.name.to_owned())
}

/// Ends an incident with its words.
pub fn close(status: &mut IncidentStatus, state: IncidentState, input: &Input, happened: &Happened) {
    status.state = Some(state);
    status.reason = happened.to_string();
    status.closed_at = Some(input.now);
}

/// Marks a state as never to be restored; once.
pub fn mark_bad(
    record: &mut GuardStatus,
    hash: String,
    input: &Input,
    incident: Option<String>,
    happened: &mut Vec<Happened>,
) {
    if record.bad.iter().any(|bad| bad.hash == hash) {
        return;
    }
    happened.push(Happened::MarkedBad { hash: hash.clone() });
    record.bad.push(BadState {
        hash,
        at: input.now,
        incident,
        rolled_back: false,
        until: None,
        returned: false,
        pushed: Vec::new(),
        changed: Vec::new(),
    });
    if record.bad.len() > KEPT_BAD {
        // A mark is needed as long as the state could be restored.
        let proven = |bad: &BadState| input.proven.iter().any(|state| state.hash == bad.hash);
        let oldest = record.bad.iter().position(|bad| !proven(bad)).unwrap_or(0);
        record.bad.remove(oldest);
    }
}

/// What takes longer waited for somebody.
const LONGEST_ROLL_OUT: Duration = Duration::from_secs(30 * 60);
/// So many bad states are remembered, so that a status stays small.
const KEPT_BAD: usize = 50;

/// What holds right now, or did when it was last known: a state that comes now is not to blame for it. What was over its limit
/// for a moment, perhaps by chance, is not held against the next state's trigger. Hard facts are of the objects themselves, so
/// that only those count which hold now.
fn held_now(input: &Input) -> Vec<String> {
    let held = input
        .verdict
        .named_triggers()
        .filter(|(_, trigger)| match trigger.status {
            Status::Suspect { held, .. } => !trigger.by_chance || held > input.policy.window,
            Status::Firing { .. } => true,
            Status::Unknown(_) => !trigger.held.is_zero(),
            Status::Quiet | Status::NotArmed(_) => false,
        });
    let mut names: Vec<String> = held.map(|(name, _)| name.clone()).collect();
    let facts = input.verdict.firing.iter().filter(|finding| finding.hard_fact);
    names.extend(facts.map(|finding| finding.name.clone()));
    let rules = |name: &str| input.policy.triggers.iter().any(|rule| rule.name == name);
    let in_case = input
        .case
        .into_iter()
        .flat_map(|case| &case.spec.triggers)
        .map(|evidence| evidence.name.clone());
    names.extend(in_case.filter(|name| rules(name)));
    // What the left state inherited and never shook off is inherited once more.
    names.extend(
        input
            .record
            .current
            .iter()
            .flat_map(|current| current.held_before.clone())
            .filter(|name| rules(name)),
    );
    names.sort();
    names.dedup();
    names
}

/// What healthy time makes of the current state: proof, baseline, forgiveness of inherited triggers.
pub fn settle(input: &Input, step: &mut Step) {
    let bad = step.record.bad.iter().any(|bad| bad.hash == input.seen.hash);
    forgive(input, step);
    note_roll_out(input, step);
    let Some(current) = &step.record.current else {
        return;
    };
    let snapshot = input.proven.iter().find(|state| state.hash == current.hash);
    let stale = snapshot.filter(|state| state.last_running < current.since);
    step.actions.extend(stale.map(|state| Act::Touch {
        name: state.name.clone(),
    }));
    if !current.proven && snapshot.is_some() {
        step.happened.push(Happened::Proven {
            hash: named(&current.hash, &current.images),
        });
        if let Some(current) = step.record.current.as_mut() {
            current.proven = true;
        }
        lock::clear(input, &mut step.record);
    } else if !current.proven && !bad && input.case.is_none() && healthy_enough(input) {
        step.actions.push(Act::Prove {
            hash: current.hash.clone(),
        });
    }
    take_baseline(input, step);
}

/// How long the roll-out took, once it is complete.
fn note_roll_out(input: &Input, step: &mut Step) {
    let since = step.record.current.as_ref().and_then(|current| current.rolling_since);
    let Some(began) = since.filter(|_| input.seen.rolled_out.is_ok()) else {
        return;
    };
    let record: &mut GuardStatus = &mut step.record;
    let Some(current) = record.current.as_mut() else { return };
    current.rolling_since = None;
    let took = between(began, input.now);
    // One that somebody paused says nothing of the next.
    if took <= LONGEST_ROLL_OUT {
        record.roll_out = Some(RolledOut {
            hash: current.hash.clone(),
            at: input.now,
            took: Length(Duration::from_secs(took.as_secs().max(1))),
        });
    }
}

/// What was false for long enough is no longer inherited.
fn forgive(input: &Input, step: &mut Step) {
    let quiet = |name: &String| {
        input
            .clocks
            .quiet_by
            .get(name)
            .is_some_and(|quiet| *quiet >= input.policy.hold)
    };
    let held = step.record.current.as_ref().map(|current| &current.held_before);
    if held.is_some_and(|held| held.iter().any(quiet))
        && let Some(current) = step.record.current.as_mut()
    {
        current.held_before.retain(|name| !quiet(name));
    }
}

fn healthy_enough(input: &Input) -> bool {
    let needed = input
        .policy
        .triggers
        .iter()
        .map(|rule| u64::from(rule.min_requests))
        .max()
        .unwrap_or(0);
    let answered = input.clocks.requests.is_none_or(|requests| requests >= needed);
    input.seen.rolled_out.is_ok() && answered && input.clocks.healthy >= input.policy.known_good_after
}

/// A change came: what is not healthy time's to give is asked again for it.
fn ask_again(input: &Input, step: &mut Step) {
    if let Some(baseline) = &mut step.record.baseline {
        baseline.values.retain(|name, _| !input.policy.reference.gives(name));
    }
}

/// Whether a breach may still be blamed on the change that brought this state.
pub fn on_probation(current: &Current, policy: &Policy, now: jiff::Timestamp) -> bool {
    current.change && between(current.since, now) < policy.watch_for
}
