//! Pure. Opening an incident: which findings, which grade, and whether modosu may act by itself.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Act, Happened, Input, Step, WhyNot, between, deadlines,
    enter::on_probation,
    lock::{RETRY_LOCK, return_of},
    plan,
    recovered::relapse_of,
    stages,
    together::Part,
};
use crate::{
    judge::{Finding, policy::Policy},
    model::{
        guard::{Action, Mode, TargetKind, TargetRef},
        incident::{CommonCause, IncidentSpec, IncidentState, IncidentStatus, PlannedStep, StateRef},
    },
};

/// After so long only people put a Secret's content back.
const SECRETS_LAST: Duration = Duration::from_secs(24 * 3600);

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
    pub relapse_of: Option<String>,
    pub return_of: Option<String>,
}

impl Draft {
    /// The status with which it is opened: its clocks begin, unless the mode is to record and nothing else.
    pub fn status(&self, plan: Vec<PlannedStep>, policy: &Policy, now: Timestamp) -> IncidentStatus {
        let scheme = &policy.scheme;
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
            stages: stages::opened(policy, self.state, now),
            acting_since: (self.state == IncidentState::RollingBack).then_some(now),
            automatic_since: (self.state == IncidentState::RollingBack).then_some(now),
            common_cause: self.common_cause.clone(),
            relapse_of: self.relapse_of.clone(),
            return_of: self.return_of.clone(),
            only: self
                .spec
                .decision
                .as_ref()
                .map_or_else(Vec::new, |wish| wish.only.clone()),
            ..IncidentStatus::default()
        };
        let begins = why.and_then(WhyNot::begins).map(str::to_owned);
        if self.why == Some(WhyNot::Mode(Mode::Observe)) {
            status.decider = scheme.find(&status.grade).map(|grade| grade.decider.clone());
        } else {
            deadlines::begin(&mut status, scheme, now);
            status.decider = begins.or(status.decider);
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
        relapse_of: relapse_of(input).map(str::to_owned),
        return_of: return_of(input),
    }
}

/// Observed where nothing may follow, RollingBack where modosu may act, else AwaitingDecision with the reason.
fn standing(input: &Input, action: Action) -> (IncidentState, Option<WhyNot>) {
    if input.mode() == Mode::Observe {
        return (IncidentState::Observed, Some(WhyNot::Mode(Mode::Observe)));
    }
    if action == Action::Monitor {
        return (IncidentState::Observed, Some(WhyNot::ForPeople));
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
    let current = input.record.current.as_ref().ok_or(WhyNot::NotTheChange)?;
    let age = between(current.since, input.now);
    let rolled_back = input
        .record
        .bad
        .iter()
        .filter(|bad| bad.rolled_back)
        .map(|bad| bad.at)
        .max();
    let restores = policy.restores();
    let blocked = input.record.restore_to.as_ref().and_then(|to| to.blocked.clone());
    if let Some(freeze) = input.freeze {
        Err(WhyNot::Frozen(freeze.clone()))
    } else if input.mode() != Mode::Enforce {
        let healed = input.healed().map(|words| WhyNot::Healed(words.to_owned()));
        Err(healed.unwrap_or(WhyNot::Mode(input.mode())))
    } else if let Some(of) = relapse_of(input) {
        Err(WhyNot::Relapse { of: of.to_owned() })
    } else if !on_probation(current, policy, input.now) {
        Err(WhyNot::NotTheChange)
    } else if age >= policy.automatic_for {
        Err(WhyNot::TooOld {
            age: Duration::from_secs(age.as_secs()),
        })
    } else if current.held_before.contains(&finding.evidence.name) {
        Err(WhyNot::HeldBefore)
    } else if finding.name != RETRY_LOCK && rolled_back.is_some_and(|at| between(at, input.now) < policy.cooldown) {
        Err(WhyNot::CoolingDown)
    } else if restores && input.record.restore_to.is_none() {
        Err(WhyNot::NothingProven)
    } else if let Some(why) = blocked.filter(|_| restores) {
        Err(WhyNot::NoWayBack(why))
    } else if let Some(why) = old_secret(input).filter(|_| restores) {
        Err(why)
    } else if let Some(why) = input.seen.keeps_pods.clone() {
        Err(WhyNot::PodsNotReplaced(why))
    } else if let Some((stage, role)) = stages::first_asks(policy) {
        Err(WhyNot::StageAsked { stage, role })
    } else if let Some(why) = input.over_budget {
        Err(WhyNot::OverBudget(why.to_owned()))
    } else if let Some(sentence) = input.around.not_this_change.get(&finding.name) {
        Err(WhyNot::OldPodsToo(sentence.clone()))
    } else {
        Ok(())
    }
}

/// Credentials rotate: what a Secret held long ago may let nobody in today, or nobody who should know it.
fn old_secret(input: &Input) -> Option<WhyNot> {
    let to = input.record.restore_to.as_ref()?;
    let state = input.proven.iter().find(|state| state.hash == to.hash)?;
    let age = between(state.proven_at, input.now);
    let (parts, gone) = (&input.seen.parts, &input.seen.gone);
    let differs =
        |target: &TargetRef, hash: &String| parts.get(target).map_or(gone.contains(target), |now| now != hash);
    let secrets = state
        .settings
        .iter()
        .filter(|(target, _)| target.kind == TargetKind::Secret);
    let changed = secrets.filter(|(target, hash)| differs(target, hash));
    let changed: Vec<String> = changed.map(|(target, _)| target.to_string()).collect();
    (!changed.is_empty() && age > SECRETS_LAST).then(|| {
        let (secrets, ago) = (changed.join(", "), Duration::from_secs(age.as_secs()));
        let ago = humantime::format_duration(ago);
        WhyNot::OldSecret(format!(
            "what would be put back into {secrets} was proven {ago} ago; credentials rotate, so beyond 24h people decide"
        ))
    })
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
