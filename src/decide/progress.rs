//! Pure. An open incident's next state: one total match over where it stands.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use jiff::Timestamp;

use super::{Act, Case, Happened, Input, Step, between, enter, enter::close, happened::named, open::automatic};
use crate::{
    model::{
        guard::{Action, KeptState},
        incident::{IncidentState, IncidentStatus, Timings, Verb},
    },
    verify::{self, RollOut},
};

/// Healthy again for so long while people are awaited: passed.
const PASSES_AFTER: Duration = Duration::from_secs(30 * 60);

/// Moves the open incident on.
pub fn progress(input: &Input, step: &mut Step) {
    let (Some(case), Some(mut status)) = (input.case, step.case.take()) else {
        return;
    };
    match status.state {
        None => {}
        Some(IncidentState::AwaitingDecision) => awaiting(input, case, &mut status, step),
        Some(IncidentState::Escalated) => escalated(input, case, &mut status, step),
        Some(IncidentState::Observed) => observed(input, &mut status, step),
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
    step.case = Some(status);
}

fn awaiting(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    if follow_decision(input, case, status, step) {
        return;
    }
    if automatic(input).is_ok() && status.action != Some(Action::AutomaticRollback) {
        raise(input, status, step);
        act(input, case, status, step);
    } else if input.clocks.quiet >= PASSES_AFTER {
        end(status, IncidentState::Passed, input, Happened::Passed, step);
    } else {
        raise(input, status, step);
    }
}

fn observed(input: &Input, status: &mut IncidentStatus, step: &mut Step) {
    if input.clocks.quiet >= input.policy.hold {
        end(status, IncidentState::Observed, input, Happened::ObservedEnds, step);
    }
}

fn escalated(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    if follow_decision(input, case, status, step) {
        return;
    }
    let here = input
        .record
        .current
        .as_ref()
        .is_some_and(|current| current.hash == input.seen.hash);
    let wrote = verify::wrote(status);
    if wrote && !here && verify::roll_out(status, &case.spec.bad.hash, input.seen, input.now) == RollOut::Complete {
        // What was written before modosu stopped is rolled out after all: judge that from here on.
        enter::arrive_by_plan(input, step);
    } else if verify::proven(input.clocks, input.policy) {
        recover(input, case, status, step);
    }
}

/// Follows what a person decided; each decision once. Gives whether there was one to follow.
fn follow_decision(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) -> bool {
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

fn cannot_roll_back(input: &Input, case: Case) -> Option<String> {
    let restores = input.policy.steps.iter().any(|step| step.restore.is_some());
    let Some(to) = &case.spec.restore_to else {
        return restores.then(|| "there is no proven state to go back to".to_owned());
    };
    let bad = input.record.bad.iter().any(|bad| bad.hash == to.hash);
    bad.then(|| format!("{} is marked bad meanwhile", to.hash))
}

/// A worse finding joined: grade and action only ever rise.
fn raise(input: &Input, status: &mut IncidentStatus, step: &mut Step) {
    let rank = |grade: &str| crate::model::grade::find(input.policy.scheme, grade).map(|grade| grade.rank);
    let Some(worst) = input.verdict.firing.iter().max_by_key(|finding| finding.rank) else {
        return;
    };
    status.action = status.action.max(Some(worst.action));
    if Some(worst.rank) > rank(&status.grade) {
        status.grade.clone_from(&worst.grade);
        let grade = worst.grade.clone();
        step.happened.push(Happened::Raised {
            grade,
            sentence: worst.evidence.sentence.clone(),
        });
    }
}

/// The plan may run from the next write on. The state that hurts is marked bad first.
fn act(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    mark_rolled_back(input, case, step);
    status.state = Some(IncidentState::RollingBack);
    status.acting_since = Some(input.now);
    if let Some(last) = status.journal.iter().map(|entry| entry.seq).max() {
        // Not the first attempt: the plan is made anew from what is there now.
        status.plan_from = last;
        status.plan_hash = None;
        status.rolled_out_at = None;
    }
    let happened = Happened::Acting { to: goal(case) };
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
    for bad in step.record.bad.iter_mut().filter(|bad| bad.hash == *hash) {
        bad.rolled_back = true;
        bad.at = input.now;
    }
}

fn goal(case: Case) -> String {
    case.spec
        .restore_to
        .as_ref()
        .map_or_else(|| "what the plan says".to_owned(), |to| named(&to.hash, &to.images))
}

/// The plan's deadline: `within` from the first bad reading, without the time spent waiting for people.
fn deadline(input: &Input, case: Case, status: &IncidentStatus) -> Timestamp {
    let acting = status.acting_since.unwrap_or(case.spec.opened_at);
    let waited = between(case.spec.opened_at, acting);
    case.spec.first_bad_at + input.policy.within + waited
}

fn rolling_back(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    if !step
        .record
        .bad
        .iter()
        .any(|bad| bad.hash == case.spec.bad.hash && bad.rolled_back)
    {
        mark_rolled_back(input, case, step);
    }
    if input.now > deadline(input, case, status) {
        escalate(status, input, tried(status), step);
    } else {
        step.actions.push(Act::Run);
    }
}

fn verifying(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    let late = input.now > deadline(input, case, status);
    if status.rolled_out_at.is_none() {
        settle_down(input, case, status, step, late);
    } else if verify::proven(input.clocks, input.policy) {
        recover(input, case, status, step);
    } else if late {
        escalate(status, input, format!("{}; {}", tried(status), present(input)), step);
    }
}

/// Between the last write and the roll-out's end.
fn settle_down(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step, late: bool) {
    match verify::roll_out(status, &case.spec.bad.hash, input.seen, input.now) {
        RollOut::Complete => {
            status.rolled_out_at = Some(input.now);
            status.reason = Happened::RolledOut.to_string();
            enter::arrive_by_plan(input, step);
            step.happened.push(Happened::RolledOut);
        }
        RollOut::Foreign => {
            enter::pass_on(&mut step.record, case.spec, input.policy);
            let by = named(&input.seen.hash, &input.seen.images);
            end(
                status,
                IncidentState::Superseded,
                input,
                Happened::Superseded { by },
                step,
            );
        }
        RollOut::Undone => escalate(
            status,
            input,
            "somebody put the bad state back over ours".to_owned(),
            step,
        ),
        RollOut::Underway(why) if late => {
            escalate(
                status,
                input,
                format!("{}; not rolled out in time: {why}", tried(status)),
                step,
            );
        }
        RollOut::Underway(_) => {}
    }
}

fn recover(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    let after = whole_seconds(between(case.spec.first_bad_at, input.now));
    status.recovered_at = Some(input.now);
    status.timings = Some(timings(input, case, status));
    end(
        status,
        IncidentState::Recovered,
        input,
        Happened::Recovered { after },
        step,
    );
}

fn timings(input: &Input, case: Case, status: &IncidentStatus) -> Timings {
    let words =
        |from: Timestamp, to: Timestamp| Some(humantime::format_duration(whole_seconds(between(from, to))).to_string());
    let spec = case.spec;
    Timings {
        detected: words(spec.first_bad_at, spec.opened_at),
        waited_for_people: status.acting_since.and_then(|acting| words(spec.opened_at, acting)),
        restored: status
            .acting_since
            .zip(status.rolled_out_at)
            .and_then(|(acting, out)| words(acting, out)),
        proven: status.rolled_out_at.and_then(|out| words(out, input.now)),
    }
}

/// People take over: modosu does nothing more for this incident by itself.
pub fn escalate(status: &mut IncidentStatus, input: &Input, because: String, step: &mut Step) {
    let happened = Happened::Escalated { because };
    status.state = Some(IncidentState::Escalated);
    status.reason = happened.to_string();
    if let Some(case) = input.case {
        status.timings = Some(timings(input, case, status));
    }
    step.happened.push(happened);
}

fn end(status: &mut IncidentStatus, state: IncidentState, input: &Input, happened: Happened, step: &mut Step) {
    close(status, state, input, &happened);
    step.record.incident = None;
    step.happened.push(happened);
}

/// What was tried, step by step.
fn tried(status: &IncidentStatus) -> String {
    let receipts = status.journal.iter().filter_map(|entry| {
        let receipt = entry.receipt.as_deref()?;
        Some(format!("{} {receipt}", entry.target.as_deref().unwrap_or("waitReady")))
    });
    let done: Vec<String> = receipts.collect();
    if done.is_empty() {
        "nothing was written".into()
    } else {
        format!("tried: {}", done.join(", "))
    }
}

/// The present numbers.
fn present(input: &Input) -> String {
    let held = input
        .verdict
        .triggers
        .iter()
        .filter(|trigger| !trigger.sentence.is_empty());
    let sentences: Vec<&str> = held.map(|trigger| trigger.sentence.as_str()).collect();
    let facts = input
        .verdict
        .firing
        .iter()
        .map(|finding| finding.evidence.sentence.as_str());
    let mut all: Vec<&str> = facts.chain(sentences).collect();
    all.dedup();
    format!("not recovered in time, seen now: {}", all.join("; "))
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}
