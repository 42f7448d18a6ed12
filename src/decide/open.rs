//! Pure. Opening an incident: which findings, which grade, and whether modosu may act by itself.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use jiff::Timestamp;

use super::{Act, Happened, Input, Step, WhyNot, between, enter::on_probation, together::Part};
use crate::{
    judge::Finding,
    model::{
        grade,
        guard::{Action, Mode},
        incident::{CommonCause, IncidentSpec, IncidentState, StateRef},
    },
};

/// An incident to be opened. Whether its plan runs at once also depends on the plan: it may be empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub spec: IncidentSpec,
    /// RollingBack, AwaitingDecision or Observed.
    pub state: IncidentState,
    /// Why people decide.
    pub why: Option<WhyNot>,
    pub respond_by: Option<Timestamp>,
    pub decider: Option<String>,
    pub common_cause: Option<CommonCause>,
}

/// Opens an incident for what fires, unless people keep this state.
pub fn open(input: &Input, step: &mut Step) {
    let kept = input.record.kept.iter().any(|kept| kept.hash == input.seen.hash);
    if input.verdict.firing.is_empty() || kept {
        return;
    }
    step.actions.push(Act::Open(Box::new(draft(input))));
}

fn draft(input: &Input) -> Draft {
    let firing = &input.verdict.firing;
    let action = firing
        .iter()
        .map(|finding| finding.action)
        .max()
        .unwrap_or(Action::Monitor);
    let (state, why) = standing(input, action);
    let worst = firing.iter().max_by_key(|finding| finding.rank);
    let grade = worst.map(|finding| finding.grade.clone()).unwrap_or_default();
    let rules = grade::find(input.policy.scheme, &grade);
    let first_bad_at = firing
        .iter()
        .filter_map(|finding| finding.evidence.since)
        .min()
        .unwrap_or(input.now);
    let current = input.record.current.as_ref();
    let spec = IncidentSpec {
        guard: String::new(),
        first_bad_at,
        opened_at: input.now,
        grade,
        action,
        summary: firing
            .iter()
            .map(|finding| finding.evidence.sentence.clone())
            .collect::<Vec<_>>()
            .join("; "),
        triggers: firing.iter().map(|finding| finding.evidence.clone()).collect(),
        bad: StateRef {
            name: None,
            hash: input.seen.hash.clone(),
            since: current.map(|current| current.since),
            images: input.seen.images.clone(),
        },
        restore_to: input.record.restore_to.as_ref().map(|to| StateRef {
            name: Some(to.name.clone()),
            hash: to.hash.clone(),
            since: Some(to.proven_at),
            images: to.images.clone(),
        }),
        decision: None,
    };
    let respond_by = rules
        .and_then(|grade| grade.respond_within())
        .map(|within| input.now + within);
    let common_cause = input.around.common.as_ref().map(Part::record).map(|cause| CommonCause {
        waiting: cause.waiting && state == IncidentState::AwaitingDecision,
        ..cause
    });
    Draft {
        spec,
        state,
        why,
        respond_by,
        decider: rules.map(|grade| grade.decider.to_owned()),
        common_cause,
    }
}

/// Observed where nothing may follow, RollingBack where modosu may act, else AwaitingDecision with the reason.
fn standing(input: &Input, action: Action) -> (IncidentState, Option<WhyNot>) {
    if action == Action::Monitor {
        return (IncidentState::Observed, Some(WhyNot::ForPeople));
    }
    if input.policy.mode.min(input.cap) == Mode::Observe {
        return (IncidentState::Observed, Some(WhyNot::Mode(Mode::Observe)));
    }
    match automatic(input) {
        Ok(()) => (IncidentState::RollingBack, None),
        Err(why) => (IncidentState::AwaitingDecision, Some(why)),
    }
}

/// Whether modosu may put back by itself what fires now; else the first reason why not.
pub fn automatic(input: &Input) -> Result<(), WhyNot> {
    if let Some(why) = input.around.common.as_ref().and_then(Part::why_not) {
        return Err(why);
    }
    alone(input)
}

/// The same, whatever other guards do.
pub fn alone(input: &Input) -> Result<(), WhyNot> {
    let mut why = WhyNot::ForPeople;
    for finding in input
        .verdict
        .firing
        .iter()
        .filter(|finding| finding.action == Action::AutomaticRollback)
    {
        match allowed(input, finding) {
            Ok(()) => return Ok(()),
            Err(reason) => why = reason,
        }
    }
    Err(why)
}

fn allowed(input: &Input, finding: &Finding) -> Result<(), WhyNot> {
    let policy = input.policy;
    let mode = policy.mode.min(input.cap);
    let current = input.record.current.as_ref().ok_or(WhyNot::NotTheChange)?;
    let age = between(current.since, input.now);
    let rolled_back = input
        .record
        .bad
        .iter()
        .filter(|bad| bad.rolled_back)
        .map(|bad| bad.at)
        .max();
    let restores = policy.steps.iter().any(|step| step.restore.is_some());
    if mode != Mode::Enforce {
        Err(WhyNot::Mode(mode))
    } else if !on_probation(current, policy, input.now) {
        Err(WhyNot::NotTheChange)
    } else if age >= policy.automatic_for {
        Err(WhyNot::TooOld {
            age: std::time::Duration::from_secs(age.as_secs()),
        })
    } else if current.held_before.contains(&finding.evidence.name) {
        Err(WhyNot::HeldBefore)
    } else if rolled_back.is_some_and(|at| between(at, input.now) < policy.cooldown) {
        Err(WhyNot::CoolingDown)
    } else if restores && input.record.restore_to.is_none() {
        Err(WhyNot::NothingProven)
    } else if let Some(sentence) = input.around.equally_bad.get(&finding.name) {
        Err(WhyNot::OldPodsToo(sentence.clone()))
    } else {
        Ok(())
    }
}

/// The words with which an incident is opened.
pub fn opened(draft: &Draft) -> Happened {
    Happened::Opened {
        state: draft.state,
        action: draft.spec.action,
        sentence: draft.spec.summary.clone(),
        why: draft.why.clone(),
    }
}
