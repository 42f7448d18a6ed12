//! Pure. An incident that waits for the proof of others, whose change came just before they all breached.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    Case, Happened, Input, Step, WhyNot, between,
    open::alone,
    progress::{self, PASSES_AFTER, act, cannot_roll_back, end},
    together::{Part, Proof},
};
use crate::model::incident::{CommonCause, IncidentState, IncidentStatus};

/// Lets it wait. Gives whether it goes on waiting or is over: then nothing else is to be decided of it.
pub fn waits(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) -> bool {
    let Some(cause) = status.common_cause.as_mut() else {
        return false;
    };
    grow(cause, input);
    if !cause.waiting {
        return false;
    }
    let guards = cause.acts_on.join(", ");
    let proof = input.around.proof.unwrap_or(Proof::Pending);
    let late = between(case.spec.opened_at, input.now) > input.policy.within;
    if proof == Proof::Helped && input.clocks.quiet >= input.policy.hold {
        end(
            status,
            IncidentState::Passed,
            input,
            Happened::RecoveredWith { guards },
            step,
        );
    } else if input.clocks.quiet >= PASSES_AFTER {
        end(status, IncidentState::Passed, input, Happened::Passed, step);
    } else if proof == Proof::Failed || late {
        people(input, status, WhyNot::DidNotHelp { guards }, step);
    } else if proof == Proof::Helped && !input.verdict.firing.is_empty() {
        by_itself(input, case, status, step);
    }
    true
}

/// The others recovered and this one did not: what is wrong with it is its own.
fn by_itself(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    let allowed = match (alone(input, &[]), cannot_roll_back(input, status.goal(case.spec))) {
        (Ok(()), Some(because)) => Err(WhyNot::NoPlan(because)),
        (allowed, _) => allowed,
    };
    match allowed {
        Ok(()) => {
            stop_waiting(status);
            act(input, case, status, step);
        }
        Err(why) => people(input, status, why, step),
    }
}

fn people(input: &Input, status: &mut IncidentStatus, why: WhyNot, step: &mut Step) {
    stop_waiting(status);
    progress::people_decide(input, status, why, step);
}

fn stop_waiting(status: &mut IncidentStatus) {
    if let Some(cause) = status.common_cause.as_mut() {
        cause.waiting = false;
    }
}

/// The one that tells of it names those that joined later, too.
fn grow(cause: &mut CommonCause, input: &Input) {
    let Some(now) = input.around.common.as_ref().map(Part::record) else {
        return;
    };
    if cause.speaks && now.count > cause.count {
        (cause.guards, cause.count) = (now.guards, now.count);
    }
}
