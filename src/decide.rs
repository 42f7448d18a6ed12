//! Pure. The guard's state machine: record, verdict and cluster in; next record, next incident and actions out.
//!
//! Nothing here asks the time, the network or the cluster; nothing can fail. What must be written is returned, in the
//! order in which it must be written: the record of the guard, then the incident, then the plan may run.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// When a baseline is taken, and what of.
pub mod baseline;
/// What must hold before anything is written.
pub mod before;
/// What the judge remembers, as a decision asks for it.
pub mod clocks;
/// The clocks of a grade, and who is asked next.
pub mod deadlines;
/// What a person decided.
pub mod decided;
/// Entering a state: change, going back, what is marked bad, what baseline holds.
pub mod enter;
/// While nothing may be written, and when that ends.
pub mod frozen;
/// What happened, rendered late.
pub mod happened;
/// What was put back may not return at once.
pub mod lock;
/// Opening an incident, and whether modosu may act by itself.
pub mod open;
/// Resolving the steps of a rollback to exact contents.
pub mod plan;
/// An open incident's next state.
pub mod progress;
/// Whether tonight's rollback would be accepted.
pub mod ready;
/// What it means that it helped.
pub mod recovered;
/// What is shown of a guard: its state and conditions.
pub mod standing;
#[cfg(test)]
mod tests;
/// Guards that breach together.
pub mod together;
/// An incident that waits for the proof of others.
pub mod waiting;

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    judge::{Verdict, policy::Policy},
    model::{
        freeze::Freeze,
        guard::{BaselineCounts, GuardStatus, Mode, RestoreTo},
        incident::{Harm, IncidentSpec, IncidentState, IncidentStatus},
    },
    observe::{cluster::Proven, seen::Seen},
    verify::{self, RollOut},
};

pub use crate::judge::history::between;
pub use happened::{Happened, WhyNot};
pub use together::Around;

/// Everything that a decision may depend on.
pub struct Input<'a> {
    /// `namespace/name`, for the commands that people are told.
    pub guard: &'a str,
    pub now: Timestamp,
    pub policy: &'a Policy,
    /// The daemon's own mode: caps the guard's.
    pub cap: Mode,
    pub record: &'a Record,
    pub seen: &'a Seen,
    pub verdict: &'a Verdict,
    pub clocks: &'a Clocks,
    /// All proven states of this guard.
    pub proven: &'a [Proven],
    /// The open incident.
    pub case: Option<Case<'a>>,
    /// What is known beyond this guard.
    pub around: &'a Around,
    /// Somebody said that nothing is to be written.
    pub freeze: Option<&'a Freeze>,
    /// The hash of a state that a person allows to return.
    pub allow: Option<&'a str>,
    /// The daemon put back so much by itself that this one is for people: why.
    pub over_budget: Option<&'a str>,
}

/// What the judge remembers of the time since the windows began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clocks {
    pub healthy: Duration,
    /// What the same time long ago, or stored benchmarks, give as a baseline: asked once, when it was wanted.
    pub given: BTreeMap<String, f64>,
    /// Requests answered since; `None` where nothing counts requests.
    pub requests: Option<u64>,
    /// No trigger held and no hard fact, for so long.
    pub quiet: Duration,
    /// By trigger or hard fact, of those that the state inherited: false for so long.
    pub quiet_by: BTreeMap<String, Duration>,
    /// What the healthy time gives as a baseline.
    pub baseline: Option<BTreeMap<String, f64>>,
    /// What its ratios were counted from.
    pub counts: BTreeMap<String, BaselineCounts>,
    /// The first condition that must hold before anything is written, and does not.
    pub unmet: Option<String>,
    /// All of the guard's `verify.conditions` hold.
    pub verified: bool,
    /// What failed since the first bad reading.
    pub harm: Option<Harm>,
    /// Nothing was known for so long.
    pub blind: Duration,
}

/// The open incident: what it was opened with, and how it stands.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    pub name: &'a str,
    pub spec: &'a IncidentSpec,
    pub status: &'a IncidentStatus,
}

/// A guard's record. It is copied where it is changed: nearly every decision of nearly every guard leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record(Arc<GuardStatus>);

impl From<GuardStatus> for Record {
    fn from(status: GuardStatus) -> Self {
        Self(Arc::new(status))
    }
}

impl Deref for Record {
    type Target = GuardStatus;

    fn deref(&self) -> &GuardStatus {
        &self.0
    }
}

impl DerefMut for Record {
    fn deref_mut(&mut self) -> &mut GuardStatus {
        Arc::make_mut(&mut self.0)
    }
}

/// What follows: to be written in this order.
#[must_use]
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub record: Record,
    /// The open incident's next status.
    pub case: Option<IncidentStatus>,
    pub actions: Vec<Act>,
    pub happened: Vec<Happened>,
}

impl Step {
    /// Whether modosu begins a rollback by itself with this; `before`: how the open incident stood.
    pub fn begins(&self, before: Option<&IncidentStatus>) -> bool {
        let rolls = |state| state == Some(IncidentState::RollingBack);
        let opens = self
            .actions
            .iter()
            .any(|act| matches!(act, Act::Open(draft) if rolls(Some(draft.state))));
        let by_people = self.happened.iter().any(|one| matches!(one, Happened::Decided(_)));
        let goes_on = before.is_some_and(|before| rolls(before.state));
        let acts = self.case.as_ref().is_some_and(|case| rolls(case.state));
        opens || (acts && !goes_on && !by_people)
    }

    /// Nothing happened and nothing is to be done.
    pub fn is_quiet(&self) -> bool {
        self.actions.is_empty() && self.happened.is_empty()
    }
}

/// What the act stage is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Judge from here on: windows begin now.
    Begin {
        since: Timestamp,
    },
    /// Keep a snapshot of what runs now.
    Prove {
        hash: String,
    },
    /// A proven state runs again: the newest to run is where a rollback goes.
    Touch {
        name: String,
    },
    Open(Box<open::Draft>),
    /// Carry the open incident's plan on.
    Run,
}

/// One decision for one guard.
pub fn decide(input: &Input) -> Step {
    // Never what was there when the last decision was made.
    let mut record = input.record.clone();
    let allowed = lock::allow(input, &mut record);
    goes_back_to(&mut record, input.proven);
    let input = &Input {
        record: &record,
        ..*input
    };
    let locked = lock::verdict(input);
    let input = &Input {
        verdict: locked.as_ref().unwrap_or(input.verdict),
        ..*input
    };
    let mut step = Step {
        record: record.clone(),
        case: input.case.map(|case| case.status.clone()),
        actions: Vec::new(),
        happened: allowed.into_iter().collect(),
    };
    if frozen::follow(input, &mut step) {
        return finish(input, step);
    }
    if input.case.is_some_and(|case| case.status.closed_at.is_some()) {
        // Its end is not written yet: nothing follows before it is.
        step.record.incident = None;
        return finish(input, step);
    }
    if plan_runs(input) {
        progress::progress(input, &mut step);
        return finish(input, step);
    }
    let entered = enter::enter(input, &mut step);
    if entered {
        return finish(input, step);
    }
    enter::settle(input, &mut step);
    if input.case.is_some() {
        progress::progress(input, &mut step);
    } else {
        open::open(input, &mut step);
    }
    finish(input, step)
}

/// Once a plan may have written, the states in between are modosu's own doing, not a change. So they are after it stopped
/// halfway, until somebody else puts something there.
fn plan_runs(input: &Input) -> bool {
    let Some(case) = input.case else { return false };
    let acts = match case.status.state {
        Some(IncidentState::RollingBack | IncidentState::Verifying | IncidentState::Escalated) => true,
        Some(_) | None => false,
    };
    acts && case.status.rolled_out_at.is_none()
        && verify::may_have_written(case.status)
        && verify::roll_out(case.status, &case.spec.bad.hash, input.seen, input.now) != RollOut::Foreign
}

fn finish(input: &Input, mut step: Step) -> Step {
    goes_back_to(&mut step.record, input.proven);
    let (asked, cap) = (input.policy.mode, input.cap);
    let known = step.record.effective_mode.as_ref();
    if known.is_none_or(|known| known.mode != asked.min(cap) || known.because.is_some() != (asked > cap)) {
        step.record.effective_mode = Some(mode(asked, cap));
    }
    step
}

/// Notes where a rollback goes, where that is news.
fn goes_back_to(record: &mut Record, proven: &[Proven]) {
    let same = match (newest(record, proven), &record.restore_to) {
        (Some(state), Some(known)) => {
            state.hash == known.hash
                && state.proven_at == known.proven_at
                && state.name == known.name
                && state.images == known.images
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if !same {
        record.restore_to = restore_to(record, proven);
    }
}

fn newest<'a>(record: &GuardStatus, proven: &'a [Proven]) -> Option<&'a Proven> {
    let current = record.current.as_ref().map(|current| current.hash.as_str());
    let bad = |hash: &str| record.bad.iter().any(|bad| bad.hash == hash);
    proven
        .iter()
        .filter(|state| Some(state.hash.as_str()) != current && !bad(&state.hash))
        .max_by_key(|state| (state.last_running, state.proven_at))
}

/// The newest proven state that is not the current one and not marked bad.
pub fn restore_to(record: &GuardStatus, proven: &[Proven]) -> Option<RestoreTo> {
    let newest = newest(record, proven)?;
    Some(RestoreTo {
        name: newest.name.clone(),
        hash: newest.hash.clone(),
        proven_at: newest.proven_at,
        images: newest.images.clone(),
    })
}

/// The guard's mode under the daemon's cap.
fn mode(asked: Mode, cap: Mode) -> crate::model::guard::EffectiveMode {
    let because = (asked > cap).then(|| "the daemon's own mode caps it".to_owned());
    crate::model::guard::EffectiveMode {
        mode: asked.min(cap),
        because,
    }
}
