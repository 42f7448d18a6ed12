//! IO free. What one guard must know of the others: who breaches together with it, and how those stand for whose proof it
//! waits. Everything comes from statuses and incidents, so that a restart changes nothing.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::guarded::Guarded;
use crate::{
    decide::{
        Around, between,
        together::{Breach, Part, Proof, Rules, Together, proof_of, together},
    },
    judge::{Status, Verdict},
    model::{
        guard::Action,
        incident::{Incident, IncidentSpec, IncidentState, IncidentStatus},
    },
    observe::cache::{Cache, ObjectKey},
};

/// What is to be known beyond each guard; guards for which there is nothing are left out.
pub fn around(
    guards: &BTreeMap<ObjectKey, Guarded>,
    incidents: &Cache<Incident>,
    rules: Rules,
    now: Timestamp,
) -> BTreeMap<ObjectKey, Around> {
    let mut around: BTreeMap<ObjectKey, Around> = BTreeMap::new();
    for (key, guarded) in guards.iter().filter(|(_, guarded)| !guarded.not_this_change.is_empty()) {
        around
            .entry(key.clone())
            .or_default()
            .not_this_change
            .clone_from(&guarded.not_this_change);
    }
    let waiting: Vec<(&ObjectKey, &Guarded)> = guards.iter().filter(|(_, one)| one.waits()).collect();
    let asks = |one: &Guarded| one.undecided() || one.speaks();
    if waiting.is_empty() && !guards.values().any(asks) {
        return around;
    }
    let recent = recent(guards, incidents, rules, now);
    let breaches: Vec<Breach> = guards
        .iter()
        .filter_map(|(key, guarded)| guarded.breach(key))
        .chain(recent.iter().filter_map(|(key, incident)| past(key, incident)))
        .collect();
    let mut told: Vec<Arc<Together>> = Vec::new();
    for (key, together) in together(rules, &breaches) {
        let opens = guards.get(&key).is_some_and(Guarded::opens);
        let speaks = opens && !together.told && !told.iter().any(|one| Arc::ptr_eq(one, &together));
        if speaks {
            told.push(together.clone());
        }
        let part = Part {
            role: together.role(&key),
            speaks,
            together,
        };
        around.entry(key).or_default().common = Some(part);
    }
    for (key, guarded) in waiting {
        around.entry(key.clone()).or_default().proof = Some(guarded.proof(guards, &recent));
    }
    around
}

/// The newest incident of each guard that has none open, if it ended a moment ago, or the watch does not show its end yet.
fn recent(
    guards: &BTreeMap<ObjectKey, Guarded>,
    incidents: &Cache<Incident>,
    rules: Rules,
    now: Timestamp,
) -> BTreeMap<ObjectKey, Arc<Incident>> {
    let mut newest: BTreeMap<ObjectKey, Arc<Incident>> = BTreeMap::new();
    for ((namespace, _), incident) in incidents.all() {
        let key = (namespace, incident.spec.guard.clone());
        let closed = incident.status.as_ref().and_then(|status| status.closed_at);
        let recent = closed.is_none_or(|at| between(at, now) <= rules.within);
        if !recent || guards.get(&key).is_none_or(|guarded| guarded.case.is_some()) {
            continue;
        }
        let known = newest.entry(key).or_insert_with(|| incident.clone());
        if known.spec.opened_at < incident.spec.opened_at {
            *known = incident;
        }
    }
    newest
}

fn past(key: &ObjectKey, incident: &Incident) -> Option<Breach> {
    let status = incident.status.as_ref()?;
    of_case(key, &incident.spec, status, status.acting_since.is_some())
}

/// What only an eye is kept on is no breach.
fn of_case(key: &ObjectKey, spec: &IncidentSpec, status: &IncidentStatus, is_change: bool) -> Option<Breach> {
    let cause = status.common_cause.as_ref();
    (status.action != Some(Action::Monitor)).then(|| Breach {
        guard: key.clone(),
        since: spec.first_bad_at,
        changed: spec.bad.since.filter(|_| is_change),
        told: cause.is_some_and(|cause| cause.speaks),
    })
}

impl Guarded {
    fn verdict(&self) -> Option<&Verdict> {
        let fresh = self.judged.as_ref().map(|(verdict, _)| verdict);
        fresh.or(self.shown.verdict.as_ref())
    }

    /// Something fires that is not decided yet: no incident is open, or one that a worse trigger may still join.
    pub(super) fn undecided(&self) -> bool {
        let open = self.case.as_ref().map(|case| case.status.action);
        let lesser = open.is_none_or(|action| action < Some(Action::AutomaticRollback));
        lesser && self.verdict().and_then(Verdict::action) > Some(Action::Monitor)
    }

    /// An incident will be opened for it.
    fn opens(&self) -> bool {
        let current = self.record.current.as_ref();
        let kept = current.is_some_and(|current| self.record.kept.iter().any(|kept| kept.hash == current.hash));
        self.case.is_none() && !kept && self.undecided()
    }

    fn waits(&self) -> bool {
        let cause = self.case.as_ref().and_then(|case| case.status.common_cause.as_ref());
        cause.is_some_and(|cause| cause.waiting)
    }

    fn speaks(&self) -> bool {
        let cause = self.case.as_ref().and_then(|case| case.status.common_cause.as_ref());
        cause.is_some_and(|cause| cause.speaks)
    }

    /// Since when it hurts, by its open incident, or by what fires now or is only waiting for its `for`.
    fn breach(&self, key: &ObjectKey) -> Option<Breach> {
        let current = self.record.current.as_ref();
        if let Some(case) = &self.case
            && case.status.state.is_some_and(IncidentState::is_open)
        {
            let here = current.is_some_and(|current| current.hash == case.spec.bad.hash);
            let is_change = (here && self.came_anew()) || case.status.acting_since.is_some();
            return of_case(key, &case.spec, &case.status, is_change);
        }
        let verdict = self.verdict()?;
        let fires = verdict.firing.iter().filter(|finding| finding.action > Action::Monitor);
        let surely = verdict.triggers.iter().filter(|trigger| trigger.surely);
        let pending = surely.filter_map(|trigger| match trigger.status {
            Status::Suspect { since, .. } => Some(since),
            Status::Quiet | Status::NotArmed(_) | Status::Unknown(_) | Status::Firing { .. } => None,
        });
        let since = fires
            .filter_map(|finding| finding.evidence.since)
            .chain(pending)
            .min()?;
        Some(Breach {
            guard: key.clone(),
            since,
            changed: current.filter(|_| self.came_anew()).map(|current| current.since),
            told: false,
        })
    }

    /// Its state is a change, not the first that was ever seen of it: there is something to go back to.
    fn came_anew(&self) -> bool {
        self.record.restore_to.is_some() && self.record.current.as_ref().is_some_and(|current| current.change)
    }

    /// Of all for whose proof its incident waits.
    fn proof(&self, guards: &BTreeMap<ObjectKey, Self>, recent: &BTreeMap<ObjectKey, Arc<Incident>>) -> Proof {
        let cause = self.case.as_ref().and_then(|case| case.status.common_cause.as_ref());
        let names = cause.map(|cause| cause.acts_on.as_slice()).unwrap_or_default();
        Proof::of_all(names.iter().map(|name| {
            let key = name
                .split_once('/')
                .map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
            let other = key.as_ref().and_then(|key| guards.get(key));
            if other.is_some_and(Self::opens) {
                return Proof::Pending;
            }
            let open = other.and_then(|other| other.case.as_ref());
            let ended = key.as_ref().and_then(|key| recent.get(key)?.status.as_ref());
            proof_of(open.map(|case| &case.status).or(ended))
        }))
    }
}
