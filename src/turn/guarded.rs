//! IO. One guard between turns: its policy, what the judge remembers, its record, its open incident.
//!
//! The record and the open incident's status are held here and written when they change. What the watch shows of
//! them is read once, when the guard is met: there is one writer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use kube::ResourceExt;
use tracing::{Instrument, Span};

use super::{
    Shared,
    case::OpenCase,
    rails::within_budget,
    rehearsals::Rehearsed,
    rules::{Rules, compile},
};
use crate::{
    config::StepSettings,
    decide::{Around, Input, Record, deadlines, progress, standing},
    judge::{Verdict, policy::Policy},
    model::{
        grade::Schemes,
        guard::{Guard, State},
        incident::{Incident, IncidentState},
        preset::Preset,
    },
    observe::{
        cache::Cache,
        cluster::Proven,
        seen::{NotSeen, Seen},
    },
};

/// A decision that led to a write is followed by another one, so often in a turn.
const PASSES: u32 = 4;

/// What can be seen of a guard's targets in this turn.
pub type Look = Result<Seen, Blind>;

/// Why a guard's targets cannot be seen.
#[derive(Clone, Debug)]
pub enum Blind {
    NotSeen(NotSeen),
    /// The API server did not answer.
    Unreadable(String),
}

impl From<NotSeen> for Blind {
    fn from(why: NotSeen) -> Self {
        Self::NotSeen(why)
    }
}

/// One guard between turns.
pub struct Guarded {
    pub(super) guard: Arc<Guard>,
    pub(super) rules: Result<Rules, String>,
    pub(super) record: Record,
    pub(super) written: Record,
    pub(super) case: Option<OpenCase>,
    pub(super) shown: Shown,
    /// What cannot be done at present: said once.
    pub(super) failing: BTreeSet<&'static str>,
    pub(super) blind_since: Option<Timestamp>,
    /// The annotation that was followed and is taken down.
    pub(super) followed: Option<String>,
    /// A baseline that was asked for elsewhere, until it is taken.
    pub(super) given: BTreeMap<String, f64>,
    /// This turn's verdict and when it was made, until it is decided on.
    pub(super) judged: Option<(Verdict, Timestamp)>,
    /// By trigger: why it is not to be put down to the change, as old and new pods compared at the last poll.
    pub(super) not_this_change: BTreeMap<String, String>,
    /// By trigger: since when it is not known how old and new pods compare.
    pub(super) uncompared: BTreeMap<String, Timestamp>,
    /// Whether a rollback would be accepted.
    pub(super) rehearsed: Rehearsed,
}

/// What pages show beyond the record.
#[derive(Default)]
pub(super) struct Shown {
    pub state: Option<State>,
    pub verdict: Option<Verdict>,
    pub waits_for: Option<String>,
    pub shared: Vec<String>,
}

impl Guarded {
    /// Takes in a guard that was not there before: its record and open incident are what the cluster holds.
    pub fn meet(
        guard: Arc<Guard>,
        presets: &BTreeMap<String, Preset>,
        schemes: &Schemes,
        incidents: &Cache<Incident>,
        steps: &StepSettings,
    ) -> Self {
        let record = Record::from(guard.status.clone().unwrap_or_default());
        let namespace = guard.namespace().unwrap_or_default();
        let case = record
            .incident
            .as_ref()
            .and_then(|at| OpenCase::find(&namespace, at, incidents));
        let mut met = Self {
            rehearsed: Rehearsed::remembered(&record.conditions),
            rules: compile(&guard, presets, schemes, steps),
            written: record.clone(),
            record,
            case,
            shown: Shown::default(),
            failing: BTreeSet::new(),
            blind_since: None,
            followed: None,
            given: BTreeMap::new(),
            judged: None,
            not_this_change: BTreeMap::new(),
            uncompared: BTreeMap::new(),
            guard,
        };
        if met.case.is_none() {
            met.record.incident = None;
        }
        met
    }

    /// Whether it is the same object.
    pub fn is(&self, guard: &Guard) -> bool {
        self.guard.metadata.uid == guard.metadata.uid
    }

    /// Takes an edit in: a new generation means new rules and a new memory.
    pub fn edited(
        &mut self,
        guard: Arc<Guard>,
        presets: &BTreeMap<String, Preset>,
        schemes: &Schemes,
        steps: &StepSettings,
    ) {
        if self.guard.metadata.generation != guard.metadata.generation {
            let before = self.policy();
            self.rules = compile(&guard, presets, schemes, steps);
            self.compares_anew(before.as_deref());
        }
        self.guard = guard;
    }

    /// Where the owner changed what is compared with, what was taken for the old wish is taken anew.
    fn compares_anew(&mut self, before: Option<&Policy>) {
        let now = self.policy();
        if let (Some(before), Some(now), Some(baseline)) = (before, now, &mut self.record.baseline)
            && before.reference != now.reference
        {
            let (old, new) = (&before.reference, &now.reference);
            baseline.values.retain(|name, _| !old.gives(name) && !new.gives(name));
        }
    }

    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The policy of a valid guard.
    pub fn policy(&self) -> Option<Arc<Policy>> {
        self.rules.as_ref().ok().map(|rules| rules.policy.clone())
    }

    /// The guard's part of a turn.
    pub(super) async fn turn(&mut self, shared: &Shared<'_>, look: &Look, around: &Around, now: Timestamp) {
        let generation = self.guard.metadata.generation;
        let blocked = match (&self.rules, look) {
            (Err(mistakes), _) => Some(("InvalidGuard", mistakes.clone())),
            (Ok(_), Err(Blind::NotSeen(NotSeen::Missing(target)))) => {
                Some(("TargetMissing", format!("{target} does not exist in this namespace")))
            }
            (Ok(_), Err(Blind::NotSeen(NotSeen::Owned { target, by }))) => Some((
                "OtherController",
                format!("{target} belongs to {by}: guard that instead"),
            )),
            (Ok(_), Err(Blind::NotSeen(NotSeen::Shared { target, by }))) => Some((
                "TargetShared",
                format!("{target} is a target of guard {by} too, which is older: one object has one guard"),
            )),
            (Ok(_), Err(Blind::Unreadable(why))) => {
                tracing::debug!(guard = self.name(), "cannot read its ConfigMaps: {why}");
                return;
            }
            (Ok(_), Ok(_)) => None,
        };
        if let Some((reason, message)) = blocked {
            self.shown = Shown {
                state: Some(State::NotReady),
                waits_for: Some(message.clone()),
                ..Shown::default()
            };
            self.record.state = Some(State::NotReady);
            self.record.observed_generation = generation;
            self.watch_deadline(shared, &message, now).await;
            let rollback = self.no_rollback(shared, reason, &message);
            let news = standing::not_ready(reason, message, rollback);
            self.record.conditions = standing::conditions(&self.written.conditions, generation, now, news);
            self.write_record(shared).await;
            return;
        }
        if let Ok(seen) = look {
            self.refresh_decision(shared);
            self.decide(shared, seen, around, now).await;
        }
    }

    /// A plan that cannot go on does not wait for ever.
    async fn watch_deadline(&mut self, shared: &Shared<'_>, why: &str, now: Timestamp) {
        let within = self.guard.spec.rollback.within.0;
        let overdue = |case: &OpenCase| progress::overdue(case.case(), within, now, why);
        if let Some(happened) = self.case.as_ref().and_then(overdue) {
            self.tell(shared, &happened);
            let policy = self.policy();
            if let Some(case) = &mut self.case {
                case.status.state = Some(IncidentState::Escalated);
                case.status.reason = happened.to_string();
                if let Some(policy) = policy {
                    deadlines::ask(&mut case.status, &policy.scheme, now);
                }
            }
        }
        // Also where nothing can be judged people are awaited. Who is next is not known while the guard is wrong.
        let missed = self
            .policy()
            .zip(self.case.as_mut())
            .and_then(|(policy, case)| deadlines::run_out(&mut case.status, &policy.scheme, now));
        if let Some(happened) = missed {
            self.tell(shared, &happened);
        }
        self.write_case(shared).await;
    }

    /// Decides on this turn's verdict and carries out, until nothing more follows.
    async fn decide(&mut self, shared: &Shared<'_>, seen: &Seen, around: &Around, now: Timestamp) {
        self.shown.shared.clone_from(&seen.shared);
        for _ in 0..PASSES {
            if self.judged.is_none() {
                self.look(seen, None, now.max(shared.clock.now()));
            }
            let Some((verdict, now)) = self.judged.take() else {
                return;
            };
            let clocks = self.clocks(seen, now);
            let proven = self.proven(shared);
            let Ok(rules) = &self.rules else { return };
            let policy = rules.policy.clone();
            let freeze = self.freeze(shared, now);
            let (guard, allow) = (self.name(), self.allowed());
            let input = Input {
                guard: &guard,
                allow: allow.as_deref(),
                now,
                policy: &policy,
                cap: shared.settings.mode,
                record: &self.record,
                seen,
                verdict: &verdict,
                clocks: &clocks,
                proven: &proven,
                case: self.case.as_ref().map(OpenCase::case),
                around,
                freeze: freeze.as_ref(),
                over_budget: None,
            };
            let step = within_budget(&input, &shared.budget);
            self.shown.verdict = Some(verdict);
            let span = if step.is_quiet() {
                Span::none()
            } else {
                tracing::info_span!("turn", guard = self.name())
            };
            let carried = self.carry_out(shared, &policy, seen, &proven, step, now);
            let again = carried.instrument(span).await;
            self.stand(shared, &policy, clocks.blind, now);
            if self.write_record(shared).await {
                self.take_down(shared).await;
            }
            if !again {
                return;
            }
        }
    }

    fn proven(&self, shared: &Shared<'_>) -> Vec<Proven> {
        let namespace = self.guard.namespace().unwrap_or_default();
        let name = self.guard.name_any();
        let own = shared
            .cluster
            .snapshots
            .matching(&namespace, |state| state.guard == name);
        own.into_iter().map(|(_, state)| (*state).clone()).collect()
    }

    /// State and conditions after a decision.
    fn stand(&mut self, shared: &Shared<'_>, policy: &Policy, blind: Duration, now: Timestamp) {
        let rollback = self.rollback_ready(shared, policy);
        let Some(verdict) = &self.shown.verdict else { return };
        let case = self.case.as_ref().map(|case| &case.status);
        let state = standing::state(&self.record, case, verdict, policy, now);
        self.shown.state = Some(state);
        self.record.state = Some(standing::written(state, &self.record, policy, now));
        let generation = self.guard.metadata.generation;
        self.record.observed_generation = generation;
        let news = standing::watching(verdict, blind, case, rollback);
        self.record.conditions = standing::conditions(&self.written.conditions, generation, now, news);
    }

    /// What people decided is the one thing that is read from the open incident after it was opened.
    fn refresh_decision(&mut self, shared: &Shared<'_>) {
        let namespace = self.guard.namespace().unwrap_or_default();
        let Some(case) = &mut self.case else { return };
        let incident = shared.cluster.incidents.get(&namespace, &case.at.name);
        match incident.filter(|incident| incident.metadata.uid.as_deref() == Some(case.at.uid.as_str())) {
            Some(incident) => {
                case.watched = true;
                case.spec.decision.clone_from(&incident.spec.decision);
            }
            None if case.watched => self.let_go(),
            None => {}
        }
    }

    pub(super) fn name(&self) -> String {
        format!(
            "{}/{}",
            self.guard.namespace().unwrap_or_default(),
            self.guard.name_any()
        )
    }
}
