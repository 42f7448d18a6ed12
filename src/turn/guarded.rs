//! IO. One guard between turns: its policy, what the judge remembers, its record, its open incident.
//!
//! The record and the open incident's status are held here and written when they change. What the watch shows of
//! them is read once, when the guard is met or this copy begins to lead: there is one writer.

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
    by_hand::Followed,
    case::OpenCase,
    found::Found,
    lanes::Lane,
    met::remembered,
    rails::within_budget,
    rehearsals::Rehearsed,
    rules::{Rules, compile},
};
use crate::{
    act::ApiError,
    config::StepSettings,
    decide::{Around, Input, Record, fields::Fields, standing},
    judge::{Verdict, policy::Policy},
    model::{
        grade::Schemes,
        guard::{Guard, State, TargetKind, TargetRef},
        incident::Incident,
        preset::Preset,
    },
    observe::{
        cache::Cache,
        cluster::{Cluster, NotWatched, Proven},
        membership::Known,
        progress::Progress,
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
    /// It lets modosu not read a target.
    Forbidden(String),
}

impl Blind {
    /// A read that failed.
    pub(super) fn of_read(target: &TargetRef, why: &ApiError) -> Self {
        match why {
            ApiError::Refused(words) => Self::forbidden(target, words),
            ApiError::Unsure(_) | ApiError::Invalid(_) | ApiError::NotFound(_) | ApiError::Exists(_) => {
                Self::Unreadable(why.to_string())
            }
        }
    }

    /// A watch that shows nothing yet, or fails.
    pub(super) fn of_watch(target: &TargetRef, why: &NotWatched) -> Self {
        match why {
            NotWatched::NotYet => Self::Unreadable(format!("{target} is not listed yet")),
            NotWatched::Fails(words) if words.contains("orbidden") || words.contains("403") => {
                Self::forbidden(target, words)
            }
            NotWatched::Fails(words) => Self::Unreadable(format!("{target} cannot be watched: {words}")),
        }
    }

    fn forbidden(target: &TargetRef, words: &str) -> Self {
        let how = match target.kind {
            TargetKind::Secret => " (deploy/components/secrets grants what Secrets need)",
            TargetKind::ConfigMap | TargetKind::Deployment | TargetKind::StatefulSet | TargetKind::DaemonSet => "",
        };
        Self::Forbidden(format!("{target} cannot be read{how}: {words}"))
    }
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
    /// Annotations that were followed and are taken down.
    pub(super) followed: Followed,
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
    /// How its roll-outs come on.
    pub(super) progress: Progress,
    /// What a state's objects hold, by its hash, where something of it may have been put back before.
    pub(super) fields: Option<(String, Fields)>,
    /// Its place in the turn.
    pub(super) lane: Option<Lane>,
    /// What was there while its incident was open.
    pub(super) was_there: BTreeSet<TargetRef>,
    /// What would be an open incident, did modosu write one.
    pub(super) found: Option<Found>,
}

/// What pages show beyond the record.
#[derive(Default)]
pub(super) struct Shown {
    pub state: Option<State>,
    pub verdict: Option<Verdict>,
    /// For how long nothing could be judged.
    pub blind: Duration,
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
        let (record, case) = remembered(&guard, incidents);
        Self {
            rehearsed: Rehearsed::remembered(&record.conditions),
            rules: compile(&guard, presets, schemes, steps),
            written: record.clone(),
            record,
            case,
            shown: Shown::default(),
            failing: BTreeSet::new(),
            blind_since: None,
            followed: Followed::default(),
            given: BTreeMap::new(),
            judged: None,
            not_this_change: BTreeMap::new(),
            uncompared: BTreeMap::new(),
            progress: Progress::default(),
            fields: None,
            lane: None,
            was_there: BTreeSet::new(),
            found: None,
            guard,
        }
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
            (Ok(_), Err(Blind::Forbidden(why))) => Some(("Forbidden", why.clone())),
            (Ok(_), Err(Blind::Unreadable(why))) => {
                tracing::debug!(guard = self.name(), "cannot read its ConfigMaps and Secrets: {why}");
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
            self.without_a_look(shared, look, &message, now).await;
            let rollback = self.no_rollback(shared, reason, &message);
            let news = standing::not_ready(reason, message, rollback);
            self.record.conditions = standing::conditions(&self.written.conditions, generation, now, news);
            self.write_record(shared).await;
            return;
        }
        if let Ok(seen) = look {
            self.refresh_decision(shared);
            self.decide(shared, seen, around, now).await;
            if self.case.is_some() {
                self.was_there = seen.parts.keys().cloned().collect();
            }
        }
    }

    /// Decides on this turn's verdict and carries out, until nothing more follows.
    async fn decide(&mut self, shared: &Shared<'_>, seen: &Seen, around: &Around, now: Timestamp) {
        self.shown.shared.clone_from(&seen.shared);
        if !seen
            .managed
            .iter()
            .map(|managed| &managed.words)
            .eq(&self.record.other_tools)
        {
            self.record.other_tools = seen.managed.iter().map(|managed| managed.words.clone()).collect();
        }
        self.read_fields(shared, seen, now).await;
        for _ in 0..PASSES {
            if self.judged.is_none() {
                self.look(seen, None, now.max(shared.clock.now()));
            }
            let Some((verdict, now)) = self.judged.take() else {
                return;
            };
            let clocks = self.clocks(seen, now);
            let proven = self.proven(shared.cluster);
            let Ok(rules) = &self.rules else { return };
            let policy = rules.policy.clone();
            let freeze = self.freeze(shared, now);
            let (guard, allow, wish) = (self.name(), self.allowed(), self.wish());
            let older = self.older(shared);
            let input = Input {
                guard: &guard,
                allow: allow.as_deref(),
                older: &older,
                fields: self.fields.as_ref().map(|(_, fields)| fields),
                wish: wish.as_ref(),
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
            if step.refuses_wish {
                self.refuse();
            }
            self.shown.verdict = Some(verdict);
            self.shown.blind = clocks.blind;
            let span = if step.is_quiet() {
                Span::none()
            } else {
                tracing::info_span!("turn", guard = self.name())
            };
            let carried = self.carry_out(shared, &policy, seen, &proven, step, now);
            let again = carried.instrument(span).await;
            self.stand(shared, &policy, now);
            if self.write_record(shared).await {
                self.take_down(shared).await;
            }
            if !again {
                return;
            }
        }
    }

    fn proven(&self, cluster: &Cluster) -> Vec<Proven> {
        let namespace = self.guard.namespace().unwrap_or_default();
        let name = self.guard.name_any();
        let own = cluster.snapshots.matching(&namespace, |state| state.guard == name);
        own.into_iter().map(|(_, state)| (*state).clone()).collect()
    }

    /// Takes what is seen for a state that is known, where only the users of its ConfigMaps are others.
    pub(super) fn recognise(&self, seen: &mut Seen, cluster: &Cluster) {
        let current = self.record.current.as_ref();
        if current.is_some_and(|current| current.hash == seen.hash) {
            return;
        }
        let proven = self.proven(cluster);
        if proven.iter().any(|state| state.hash == seen.hash) {
            return;
        }
        let known = current.into_iter().map(Known::current);
        seen.recognise(&self.guard.spec, known.chain(proven.iter().map(Known::proven)));
    }

    /// State and conditions after a decision.
    pub(super) fn stand(&mut self, shared: &Shared<'_>, policy: &Policy, now: Timestamp) {
        let rollback = self.rollback_ready(shared, policy);
        let Some(verdict) = &self.shown.verdict else { return };
        let case = self.case.as_ref().map(|case| &case.status);
        let state = standing::state(&self.record, case, verdict, policy, now);
        self.shown.state = Some(state);
        self.record.state = Some(standing::written(state, &self.record, policy, now));
        let generation = self.guard.metadata.generation;
        self.record.observed_generation = generation;
        if verdict.firing.is_empty() {
            self.found = None;
        }
        let found = self.found.as_ref().map(|found| found.sentence.as_str());
        let news = standing::watching(verdict, self.shown.blind, case, found, rollback);
        self.record.conditions = standing::conditions(&self.written.conditions, generation, now, news);
    }

    /// What people decided is the one thing that is read from the open incident after it was opened.
    pub(super) fn refresh_decision(&mut self, shared: &Shared<'_>) {
        let namespace = self.guard.namespace().unwrap_or_default();
        let Some(case) = &mut self.case else { return };
        let incident = shared.cluster.incidents.get(&namespace, &case.at.name);
        match incident.filter(|incident| incident.metadata.uid.as_deref() == Some(case.at.uid.as_str())) {
            Some(incident) => {
                case.watched = true;
                case.spec.decision.clone_from(&incident.spec.decision);
            }
            None if case.watched => self.let_go(shared),
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
