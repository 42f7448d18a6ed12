//! Pure. An open incident's next state: one total match over where it stands.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Act, Case, Happened, Input, Step, WhyNot, asking, before, by_hand, deadlines, decided,
    decided::follow_decision,
    enter,
    enter::close,
    lock, open,
    open::automatic,
    raised,
    recovered::{recover, timings, unmark},
    stages::{self, deadline},
    tried::{present, tried},
    waiting::waits,
};
use crate::{
    model::{
        guard::{Action, Mode},
        incident::{Harm, IncidentState, IncidentStatus, StateRef},
    },
    observe::older::replica_set,
    verify::{self, RollOut},
};

/// Healthy again for so long while people are awaited: passed.
pub const PASSES_AFTER: Duration = Duration::from_secs(30 * 60);

/// Moves the open incident on.
pub fn progress(input: &Input, step: &mut Step) {
    let (Some(case), Some(mut status)) = (input.case, step.case.take()) else {
        return;
    };
    if by_hand::waits(input) {
        step.case = Some(status);
        return;
    }
    decided::note_fix(input, case, &mut status, step);
    raised::raise(input, case, &mut status, step);
    match status.state {
        None => {}
        Some(IncidentState::AwaitingDecision) => awaiting(input, case, &mut status, step),
        Some(IncidentState::Escalated) => escalated(input, case, &mut status, step),
        Some(IncidentState::Observed) => observed(input, case, &mut status, step),
        Some(IncidentState::RollingBack) => rolling_back(input, case, &mut status, step),
        Some(IncidentState::Verifying) => verifying(input, case, &mut status, step),
        Some(
            IncidentState::Recovered
            | IncidentState::RecoveredByHand
            | IncidentState::Kept
            | IncidentState::Passed
            | IncidentState::Superseded
            | IncidentState::Abandoned,
        ) => step.record.incident = None,
    }
    if status.closed_at.is_none() {
        let missed = deadlines::run_out(&mut status, &input.policy.scheme, input.now);
        step.happened.extend(missed);
    }
    if status != *case.status && case.status.rolled_out_at.is_none() {
        // What it is written with anyway. After the roll-out nothing more is counted against the state that hurt.
        // A daemon that started between two stages knows less than the one before.
        let known = status.harm;
        let more = |harm: &Harm| known.is_none_or(|known| harm.failed >= known.failed);
        status.harm = input.clocks.harm.filter(more).or(known);
    }
    step.case = Some(status);
}

fn awaiting(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    if status.asked_at.is_none() {
        // Taken up without a status: people are awaited since it was opened.
        deadlines::begin(status, &input.policy.scheme, case.spec.opened_at);
    }
    if follow_decision(input, case, status, step) || waits(input, case, status, step) {
        return;
    }
    if stages::waits(status) {
        stages::awaiting(input, case, status, step);
        return;
    }
    // What was false for `hold` and fires again is a new breach; until then people are asked for it.
    let hold = input.policy.hold;
    let forgiven = |name: &String| input.clocks.quiet_by.get(name).is_some_and(|quiet| *quiet >= hold);
    status.asked_for.retain(|name| !forgiven(name));
    let new = automatic(input, &status.asked_for).is_ok() && is_own_plan(input, case, status);
    if new && cannot_roll_back(input, status.goal(case.spec)).is_none() && !nothing_planned(case.status) {
        act(input, case, status, step);
    } else if input.clocks.quiet >= PASSES_AFTER {
        end(status, IncidentState::Passed, input, Happened::Passed, step);
    } else {
        status.asked_for.extend(open::automatic_names(input));
        status.asked_for.sort();
        status.asked_for.dedup();
    }
}

/// The plan is the one that modosu would make by itself, not what a person chose.
fn is_own_plan(input: &Input, case: Case, status: &IncidentStatus) -> bool {
    let chosen = status.goal(case.spec).map(|to| &to.hash);
    status.only.is_empty() && chosen == input.record.restore_to.as_ref().map(|to| &to.hash)
}

/// The recorded plan has nothing to put back. Where no status was written yet nothing is recorded.
fn nothing_planned(status: &IncidentStatus) -> bool {
    status.action.is_some() && status.plan.is_empty()
}

fn observed(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    if follow_decision(input, case, status, step) {
        return;
    }
    if input.clocks.quiet >= input.policy.hold {
        end(status, IncidentState::Observed, input, Happened::ObservedEnds, step);
        return;
    }
    if input.mode() == Mode::Observe {
        return;
    }
    if status.action == Some(Action::Monitor) {
        if status.asked_at.is_none() {
            // It was opened while the mode was to record alone.
            deadlines::begin(status, &input.policy.scheme, input.now);
        }
        return;
    }
    // More than an eye is needed now.
    let automatic = match (automatic(input, &[]), cannot_roll_back(input, status.goal(case.spec))) {
        (Ok(()), Some(because)) => Err(WhyNot::NoPlan(because)),
        (allowed, _) => allowed,
    };
    match automatic {
        Ok(()) => {
            deadlines::ask(status, &input.policy.scheme, input.now);
            act(input, case, status, step);
        }
        Err(why) => people_decide(input, status, why, step),
    }
}

/// From here on people decide, and why; the grade's whole time begins.
pub fn people_decide(input: &Input, status: &mut IncidentStatus, why: WhyNot, step: &mut Step) {
    let begins = why.begins().map(str::to_owned);
    let happened = Happened::PeopleDecide { why };
    status.state = Some(IncidentState::AwaitingDecision);
    status.reason = happened.to_string();
    status.asked_for = open::automatic_names(input);
    deadlines::ask(status, &input.policy.scheme, input.now);
    status.decider = begins.or(status.decider.take());
    step.happened.push(happened);
}

fn escalated(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    unmark(case, status, step);
    if follow_decision(input, case, status, step) {
        return;
    }
    let proven = !rolled_out_after_all(input, case, status, step) && verify::proven(input.clocks, input.policy);
    if proven && !stages::is_left(status) {
        recover(input, case, status, step);
    }
}

/// What was written before it was left to people may roll out after all: that is judged from here on. Gives whether it did just now.
pub fn rolled_out_after_all(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) -> bool {
    let current = input.record.current.as_ref();
    let here = current.is_some_and(|current| current.hash == input.seen.hash);
    let wrote = verify::may_have_written(status) && status.rolled_out_at.is_none();
    let done =
        wrote && !here && verify::roll_out(status, &case.spec.bad.hash, input.seen, input.now) == RollOut::Complete;
    if done {
        status.rolled_out_at = Some(input.now);
        lock::remember(&mut step.record.bad, case);
        enter::arrive_by_plan(input, case, step);
    }
    done
}

/// Why the plan cannot run now, if it cannot.
pub fn cannot_roll_back(input: &Input, goal: Option<&StateRef>) -> Option<String> {
    let restores = input.policy.restores();
    let Some(to) = goal else {
        return restores.then(|| "there is no proven state to go back to".to_owned());
    };
    if input.record.bad.iter().any(|bad| bad.hash == to.hash) {
        return restores.then(|| format!("{} is marked bad meanwhile", to.hash));
    }
    // Whether a ReplicaSet is still there is seen when it is read.
    let kept = replica_set(to).is_some() || input.proven.iter().any(|state| state.hash == to.hash);
    (restores && !kept).then(|| format!("the proven state {} is kept no more", to.hash))
}

/// The plan may run from the next write on. The state that hurts is marked bad first.
pub fn act(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    before::anew(status);
    if before::holds_back(input, status, step) {
        return;
    }
    mark_rolled_back(input, case, step);
    status.state = Some(IncidentState::RollingBack);
    status.acting_since = Some(input.now);
    if !step.is_by_people() {
        status.automatic_since = Some(input.now);
    }
    status.stages = stages::planned(input.policy);
    status.mitigated_at = None;
    stages::begin(status, input.now);
    let steps = status.journal.iter().filter(|entry| entry.is_step());
    if let Some(last) = steps.map(|entry| entry.seq).max() {
        // Not the first attempt: the plan is made anew from what is there now.
        status.plan_from = last;
        status.plan_hash = None;
        status.rolled_out_at = None;
    }
    let happened = Happened::Acting { to: goal(case, status) };
    status.reason = happened.to_string();
    step.happened.push(happened);
    step.actions.push(Act::Run);
}

/// Marks the incident's state as rolled back from, so that it is never restored.
pub fn mark_rolled_back(input: &Input, case: Case, step: &mut Step) {
    let hash = &case.spec.bad.hash;
    enter::mark_bad(
        &mut step.record,
        hash.clone(),
        input,
        Some(case.name.to_owned()),
        &mut step.happened,
    );
    lock::hold(&mut step.record.bad, case, input.policy, input.now);
}

fn goal(case: Case, status: &IncidentStatus) -> String {
    let to = status.goal(case.spec);
    let to = to.map_or_else(|| "what the plan says".to_owned(), by_hand::going_to);
    match status.only.as_slice() {
        [] => to,
        only => format!("{to}, only {}", only.join(", ")),
    }
}

/// A guard whose targets cannot be seen decides nothing; what it was doing is still not done at the deadline.
pub fn overdue(case: Case, within: Duration, now: Timestamp, why: &str) -> Option<Happened> {
    let acts = match case.status.state {
        Some(IncidentState::RollingBack | IncidentState::Verifying) => true,
        Some(_) | None => false,
    };
    (acts && now > deadline(within, case, case.status, now)).then(|| Happened::Escalated {
        because: format!("{}; {why}", tried(case.status)),
    })
}

fn rolling_back(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    if decided::stopped(input, case, status, step) {
        return;
    }
    if let Some(freeze) = input.freeze {
        escalate(status, input, format!("{freeze}; {}", tried(status)), step);
        return;
    }
    let unseen = || verify::stopped_by(status, input.now).map(str::to_owned);
    if let Some(because) = cannot_roll_back(input, status.goal(case.spec)).or_else(unseen) {
        escalate(status, input, because, step);
        return;
    }
    if !before::begun(status) && before::holds_back(input, status, step) {
        return;
    }
    if !step
        .record
        .bad
        .iter()
        .any(|bad| bad.hash == case.spec.bad.hash && bad.rolled_back && bad.at >= case.spec.opened_at)
    {
        mark_rolled_back(input, case, step);
    }
    if input.now > deadline(input.policy.within, case, status, input.now) {
        did_not_help(status, input, tried(status), step);
    } else {
        asking::asks(input, status, step);
        step.actions.push(Act::Run);
    }
}

fn verifying(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    if decided::stopped(input, case, status, step) {
        return;
    }
    let late = input.now > deadline(input.policy.within, case, status, input.now);
    if status.rolled_out_at.is_none() {
        settle_down(input, case, status, step, late);
    } else if verify::proven(input.clocks, input.policy) {
        stages::helped(input, case, status, step);
    } else if late {
        did_not_help(status, input, format!("{}; {}", tried(status), present(input)), step);
    }
}

/// Between the last write and the roll-out's end.
fn settle_down(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step, late: bool) {
    match verify::roll_out(status, &case.spec.bad.hash, input.seen, input.now) {
        RollOut::Complete => {
            status.rolled_out_at = Some(input.now);
            status.reason = Happened::RolledOut.to_string();
            // The cooldown begins where the rollback ends.
            mark_rolled_back(input, case, step);
            lock::remember(&mut step.record.bad, case);
            enter::arrive_by_plan(input, case, step);
            step.happened.push(Happened::RolledOut);
        }
        // Entered as a state of its own before it comes to this.
        RollOut::Foreign => {}
        RollOut::Undone => escalate(
            status,
            input,
            lock::although("somebody put the bad state back over ours", &status.pushed()),
            step,
        ),
        RollOut::Underway(why) if late => {
            did_not_help(
                status,
                input,
                format!("{}; not rolled out in time: {why}", tried(status)),
                step,
            );
        }
        RollOut::Underway(_) => {}
    }
}

/// What was tried did not help: the next stage follows, or people take over.
fn did_not_help(status: &mut IncidentStatus, input: &Input, because: String, step: &mut Step) {
    match stages::failed(status, &input.policy.scheme, input.now, because) {
        // What follows runs from the next turn on, which looks first whether it may.
        Ok(news) => step.happened.extend(news),
        Err(because) => escalate(status, input, because, step),
    }
}

/// People take over: modosu does nothing more for this incident by itself.
pub fn escalate(status: &mut IncidentStatus, input: &Input, because: String, step: &mut Step) {
    asking::over(status, &input.policy.scheme);
    let because = stages::with_story(status, because);
    let happened = Happened::Escalated { because };
    status.state = Some(IncidentState::Escalated);
    status.reason = happened.to_string();
    deadlines::ask(status, &input.policy.scheme, input.now);
    if let Some(case) = input.case {
        status.timings = Some(timings(input, case, status));
    }
    step.happened.push(happened);
}

/// Ends the incident and lets the guard go on without it.
pub fn end(status: &mut IncidentStatus, state: IncidentState, input: &Input, happened: Happened, step: &mut Step) {
    close(status, state, input, &happened);
    // Whatever ended it: where the locked state runs on, it breaks no lock any more.
    let locked = input.case.filter(|case| lock::is_of_lock(case.spec));
    if let (Some(case), Some(current)) = (locked, step.record.current.as_mut()) {
        current.allowed |= current.hash == case.spec.bad.hash;
    }
    step.record.incident = None;
    step.happened.push(happened);
}
