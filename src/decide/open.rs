//! Pure. Opening an incident: which findings, which grade, and whether modosu may act by itself.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use jiff::Timestamp;

use super::{
    Act, Happened, Input, Step, WhyNot, between, deadlines, enter::on_probation, lock::RETRY_LOCK, plan, together::Part,
};
use crate::{
    judge::Finding,
    model::{
        grade::Scheme,
        guard::{Action, Mode},
        incident::{CommonCause, IncidentSpec, IncidentState, IncidentStatus, PlannedStep, StateRef},
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
    /// The automatic triggers among what fires.
    pub automatic: Vec<String>,
    pub common_cause: Option<CommonCause>,
}

impl Draft {
    /// The status with which it is opened: its clocks begin, unless it is only observed.
    pub fn status(&self, plan: Vec<PlannedStep>, scheme: &Scheme, now: Timestamp) -> IncidentStatus {
        let awaits = self.state == IncidentState::AwaitingDecision;
        let why = self.why.as_ref();
        let mut status = IncidentStatus {
            state: Some(self.state),
            reason: why.map_or_else(|| "putting back".to_owned(), ToString::to_string),
            grade: self.spec.grade.clone(),
            action: Some(self.spec.action),
            asked_for: self.automatic.iter().filter(|_| awaits).cloned().collect(),
            plan_hash: (!plan.is_empty()).then(|| plan::hash(&plan)),
            plan,
            acting_since: (self.state == IncidentState::RollingBack).then_some(now),
            common_cause: self.common_cause.clone(),
            ..IncidentStatus::default()
        };
        if self.state == IncidentState::Observed {
            status.decider = scheme.find(&status.grade).map(|grade| grade.decider.clone());
        } else {
            deadlines::begin(&mut status, scheme, now);
        }
        status
    }
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
    let common_cause = input.around.common.as_ref().map(Part::record).map(|cause| CommonCause {
        waiting: cause.waiting && state == IncidentState::AwaitingDecision,
        ..cause
    });
    Draft {
        spec,
        state,
        why,
        automatic: automatic_names(input),
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
    match automatic(input, &[]) {
        Ok(()) => (IncidentState::RollingBack, None),
        Err(why) => (IncidentState::AwaitingDecision, Some(why)),
    }
}

/// The automatic triggers and hard facts that fire now.
pub fn automatic_names(input: &Input) -> Vec<String> {
    let firing = input.verdict.firing.iter();
    let automatic = firing.filter(|finding| finding.action == Action::AutomaticRollback);
    automatic.map(|finding| finding.name.clone()).collect()
}

/// Whether modosu may put back by itself what fires now, people being asked already for `asked_for`; else why not.
pub fn automatic(input: &Input, asked_for: &[String]) -> Result<(), WhyNot> {
    if let Some(why) = input.around.common.as_ref().and_then(Part::why_not) {
        return Err(why);
    }
    alone(input, asked_for)
}

/// The same, whatever other guards do.
pub fn alone(input: &Input, asked_for: &[String]) -> Result<(), WhyNot> {
    let mut why = WhyNot::ForPeople;
    for finding in input
        .verdict
        .firing
        .iter()
        .filter(|finding| finding.action == Action::AutomaticRollback && !asked_for.contains(&finding.name))
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
    if let Some(freeze) = input.freeze {
        Err(WhyNot::Frozen(freeze.clone()))
    } else if mode != Mode::Enforce {
        Err(WhyNot::Mode(mode))
    } else if !on_probation(current, policy, input.now) {
        Err(WhyNot::NotTheChange)
    } else if age >= policy.automatic_for {
        Err(WhyNot::TooOld {
            age: std::time::Duration::from_secs(age.as_secs()),
        })
    } else if current.held_before.contains(&finding.evidence.name) {
        Err(WhyNot::HeldBefore)
    } else if finding.name != RETRY_LOCK && rolled_back.is_some_and(|at| between(at, input.now) < policy.cooldown) {
        Err(WhyNot::CoolingDown)
    } else if restores && input.record.restore_to.is_none() {
        Err(WhyNot::NothingProven)
    } else if let Some(why) = input.over_budget {
        Err(WhyNot::OverBudget(why.to_owned()))
    } else if let Some(sentence) = input.around.not_this_change.get(&finding.name) {
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
