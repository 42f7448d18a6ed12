//! Pure. The guard's state machine: record, verdict and cluster in; next record, next incident and actions out.
//!
//! Nothing here asks the time, the network or the cluster; nothing can fail. What must be written is returned, in the
//! order in which it must be written: the record of the guard, then the incident, then the plan may run.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// A plan that waits for a person.
pub mod asking;
/// When a baseline is taken, and what of.
pub mod baseline;
/// What must hold before anything is written.
pub mod before;
/// An open incident of a guard whose targets cannot be seen.
pub mod blocked;
/// What a person asks for while nothing is wrong.
pub mod by_hand;
/// What the judge remembers, as a decision asks for it.
pub mod clocks;
/// The clocks of a grade, and who is asked next.
pub mod deadlines;
/// What a person decided.
pub mod decided;
/// Entering a state: change, going back, what is marked bad, what baseline holds.
pub mod enter;
/// What a change altered.
pub mod fields;
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
/// What joins an incident while it is open.
mod raised;
/// Whether tonight's rollback would be accepted.
pub mod ready;
/// What it means that it helped.
pub mod recovered;
/// A plan in stages.
pub mod stages;
/// What is shown of a guard: its state and conditions.
pub mod standing;
/// What stands where when a newer rollout stopped a plan.
mod stands;
#[cfg(test)]
mod tests;
/// Guards that breach together.
pub mod together;
/// What was tried.
mod tried;
/// An incident that waits for the proof of others.
pub mod waiting;
/// Why people decide.
mod why_not;

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
        guard::{BaselineCounts, EffectiveMode, GuardStatus, Mode, NoWayBack, RestoreTo},
        incident::{Harm, IncidentSpec, IncidentState, IncidentStatus},
    },
    observe::{cluster::Proven, older::Older, seen::Seen},
    verify::{self, RollOut},
};

pub use crate::judge::history::between;
pub use happened::Happened;
pub use together::Around;
pub use why_not::WhyNot;

/// So many reasons why there is no way back are remembered.
const KEPT_REASONS: usize = 20;

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
    /// What the present state's objects hold, where something of it may have been put back before and it was read.
    pub fields: Option<&'a fields::Fields>,
    /// Where a person may go without proof, where one asks for it.
    pub older: &'a [Older],
    /// What a person wants to be put back, as they wrote it on the guard.
    pub wish: Option<&'a by_hand::Wish>,
    /// The daemon put back so much by itself that this one is for people: why.
    pub over_budget: Option<&'a str>,
}

impl Input<'_> {
    /// The mode in force: the guard's, capped by the daemon's, and by tools that would put their own state back.
    fn mode(&self) -> Mode {
        self.healed().map_or(self.capped(), |_| Mode::Ask)
    }

    /// Why that is not the one that the guard asks for.
    fn mode_because(&self) -> Option<&str> {
        let caps = self.policy.mode > self.cap;
        self.healed().or(caps.then_some("the daemon's own mode caps it"))
    }

    fn capped(&self) -> Mode {
        self.policy.mode.min(self.cap)
    }

    /// Which tool keeps modosu from acting by itself, where it would else.
    fn healed(&self) -> Option<&str> {
        self.seen.heals().filter(|_| self.capped() > Mode::Ask)
    }
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
    /// All of the guard's `verify.conditions` hold, for as long as they must.
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

impl Record {
    /// Whether neither was changed since one was copied from the other.
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

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
    /// What a person wrote on the guard cannot be followed, as `happened` says.
    pub refuses_wish: bool,
}

impl Step {
    /// Whether modosu begins a rollback by itself with this; `before`: how the open incident stood.
    pub fn begins(&self, before: Option<&IncidentStatus>) -> bool {
        let rolls = |state| state == Some(IncidentState::RollingBack);
        let opens = self
            .actions
            .iter()
            .any(|act| matches!(act, Act::Open(draft) if rolls(Some(draft.state))));
        let goes_on = before.is_some_and(|before| rolls(before.state));
        let acts = self.case.as_ref().is_some_and(|case| rolls(case.state));
        opens || (acts && !goes_on && !self.is_by_people())
    }

    /// Whether this follows what a person decided.
    pub fn is_by_people(&self) -> bool {
        self.happened.iter().any(|one| matches!(one, Happened::Decided(_)))
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
    note_no_way_back(input, &mut record);
    goes_back_to(&mut record, input);
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
        refuses_wish: false,
    };
    let opened = by_hand::follow(input, &mut step);
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
    } else if !opened {
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
        Some(_) | None => stages::waits(case.status),
    };
    acts && case.status.rolled_out_at.is_none()
        && verify::may_have_written(case.status)
        && verify::roll_out(case.status, &case.spec.bad.hash, input.seen, input.now) != RollOut::Foreign
}

fn finish(input: &Input, mut step: Step) -> Step {
    if !step.record.is(input.record) {
        goes_back_to(&mut step.record, input);
    }
    let (mode, because) = (input.mode(), input.mode_because());
    let known = step.record.effective_mode.as_ref();
    if known.is_none_or(|known| known.mode != mode || known.because.as_deref() != because) {
        let because = because.map(str::to_owned);
        step.record.effective_mode = Some(EffectiveMode { mode, because });
    }
    step
}

/// Notes where a rollback goes, where that is news.
fn goes_back_to(record: &mut Record, input: &Input) {
    let newest = newest(record, input.proven);
    let blocked = newest.and_then(|state| no_way_back(state, record)).map(str::to_owned);
    let same = match (newest, &record.restore_to) {
        (Some(state), Some(known)) => {
            state.hash == known.hash
                && state.proven_at == known.proven_at
                && state.name == known.name
                && state.images == known.images
                && known.blocked == blocked
                && !known.printed.is_empty()
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if !same {
        record.restore_to = newest.map(|state| restore_to(state, blocked));
    }
}

/// The newest proven state that is not the current one and not marked bad.
fn newest<'a>(record: &GuardStatus, proven: &'a [Proven]) -> Option<&'a Proven> {
    let current = record.current.as_ref().map(|current| current.hash.as_str());
    let bad = |hash: &str| record.bad.iter().any(|bad| bad.hash == hash);
    proven
        .iter()
        .filter(|state| Some(state.hash.as_str()) != current && !bad(&state.hash))
        .max_by_key(|state| (state.last_running, state.proven_at))
}

/// Notes what the present state says of why there is no way back from it.
fn note_no_way_back(input: &Input, record: &mut Record) {
    let here = record
        .current
        .as_ref()
        .filter(|current| current.hash == input.seen.hash);
    let Some(since) = here.map(|current| current.since) else {
        return;
    };
    for why in &input.seen.no_way_back {
        if record
            .no_way_back
            .iter()
            .any(|known| known.why == *why && known.at >= since)
        {
            continue;
        }
        record.no_way_back.retain(|known| known.why != *why);
        record.no_way_back.push(NoWayBack {
            why: why.clone(),
            at: since,
        });
        if record.no_way_back.len() > KEPT_REASONS {
            record.no_way_back.remove(0);
        }
    }
}

/// What a state said that ran since that one did: why there is no way back to it. What that one says itself is no news to it.
fn no_way_back<'a>(to: &Proven, record: &'a GuardStatus) -> Option<&'a str> {
    let since = record.no_way_back.iter().filter(|known| known.at > to.last_running);
    let mut said = since.map(|known| known.why.as_str());
    said.find(|why| !to.no_way_back.iter().any(|own| own == why))
}

fn restore_to(state: &Proven, blocked: Option<String>) -> RestoreTo {
    let known_by = state.images.first().unwrap_or(&state.hash);
    RestoreTo {
        name: state.name.clone(),
        hash: state.hash.clone(),
        proven_at: state.proven_at,
        images: state.images.clone(),
        printed: blocked
            .as_ref()
            .map_or_else(|| known_by.clone(), |why| format!("{known_by} (blocked: {why})")),
        blocked,
    }
}
