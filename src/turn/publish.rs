//! IO. What the turn leaves behind: the board, the metrics, one log line and one Event for each thing that happened.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Resource, ResourceExt};

use super::{Daemon, Shared, guarded::Guarded};
use crate::{
    decide::{Happened, between},
    judge::{SignalShown, Status, TriggerVerdict, Word},
    model::{
        freeze::Freeze,
        guard::State,
        incident::{Incident, IncidentState},
    },
    observe::poll,
    report::{
        events::Kind,
        view::{
            FreezeView, GuardView, IncidentLine, PrometheusState, PrometheusView, SignalVerdict, SignalView,
            StatusView, TriggerView,
        },
    },
};

impl Daemon {
    /// Shows this turn.
    pub(super) fn publish(&self) {
        let incidents = self.incidents();
        let status = StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now: self.clock.now(),
            leader: self.leads(),
            holder: self.fence.holder(),
            mode: self.settings.mode,
            freeze: self.freeze(),
            prometheus: self.prometheus(),
            guards: self.guards.values().map(Guarded::view).collect(),
            incidents: IncidentLine::newest(incidents.values().map(AsRef::as_ref)),
        };
        self.metrics.shows(&status);
        self.board.publish(status, incidents);
    }

    /// The watched incidents, open ones as they are held here.
    fn incidents(&self) -> BTreeMap<(String, String), Arc<Incident>> {
        let watched = self.cluster.incidents.all().into_iter();
        let own = watched
            .filter(|((namespace, _), incident)| self.is_mine(&(namespace.clone(), incident.spec.guard.clone())));
        let mut all: BTreeMap<_, _> = own.collect();
        for ((namespace, _), guarded) in &self.guards {
            if let Some(case) = &guarded.case {
                let key = (namespace.clone(), case.at.name.clone());
                let mut incident = all.get(&key).map_or_else(
                    || Incident::new(&case.at.name, case.spec.clone()),
                    |known| (**known).clone(),
                );
                incident.metadata.namespace = Some(namespace.clone());
                incident.status = Some(case.status.clone());
                all.insert(key, Arc::new(incident));
            }
        }
        all
    }

    /// What freezes every guard.
    fn freeze(&self) -> Option<FreezeView> {
        let now = self.clock.now();
        let windows = self.settings.freeze.iter().filter_map(|window| window.freeze(now));
        let all = self.cluster.freezes("").into_iter().chain(windows);
        Freeze::longest(all, now).map(FreezeView::from)
    }

    fn prometheus(&self) -> PrometheusView {
        let url = self.settings.prometheus.url.clone();
        let Some(health) = &self.health else {
            return PrometheusView {
                url,
                ..PrometheusView::default()
            };
        };
        PrometheusView {
            url,
            state: match health.state {
                poll::State::Up => PrometheusState::Up,
                poll::State::Down => PrometheusState::Down,
                poll::State::Unknown => PrometheusState::Unknown,
            },
            since: health.since,
            last_success: health.last_success,
            error: health.error.clone(),
        }
    }
}

impl Guarded {
    fn view(&self) -> GuardView {
        let mut view = GuardView::of(&self.guard, &self.record);
        view.state = self.shown.state.unwrap_or(State::NotReady);
        view.shared_config.clone_from(&self.shown.shared);
        view.waits_for.clone_from(&self.shown.waits_for);
        if let Some(verdict) = &self.shown.verdict {
            view.reason = verdict.told();
            view.signals = verdict.named_signals().map(signal).collect();
            view.triggers = verdict.named_triggers().map(trigger).collect();
        }
        if let (Some(_), Ok(rules)) = (&self.case, &self.rules) {
            view.harm = rules.memory.harm();
        }
        if let Some(case) = &self.case {
            view.reason.clone_from(&case.status.reason);
        }
        view
    }

    /// One log line, one Event on the guard and on its workloads.
    pub(super) fn tell(&self, shared: &Shared<'_>, happened: &Happened) {
        let (namespace, name) = (self.guard.namespace().unwrap_or_default(), self.guard.name_any());
        let incident = self.case.as_ref().map(|case| case.at.name.as_str());
        tracing::info!(guard = %format!("{namespace}/{name}"), incident, reason = happened.reason(), "{namespace}/{name}: {happened}");
        let kind = if happened.warns() { Kind::Warning } else { Kind::Normal };
        let note = incident.map_or_else(
            || happened.to_string(),
            |incident| format!("{happened} [incident {incident}]"),
        );
        let mut about = vec![self.guard.object_ref(&())];
        for target in self
            .guard
            .spec
            .targets
            .iter()
            .filter(|target| target.kind.is_workload())
        {
            about.push(ObjectReference {
                api_version: Some("apps/v1".into()),
                kind: Some(format!("{:?}", target.kind)),
                name: Some(target.name.clone()),
                namespace: Some(namespace.clone()),
                uid: shared
                    .cluster
                    .workload(&namespace, target)
                    .map(|workload| workload.uid.clone()),
                ..ObjectReference::default()
            });
        }
        for object in about {
            shared
                .events
                .tell(&object, kind, happened.reason(), happened.reason(), &note);
        }
    }

    /// Counts an incident that ended.
    pub(super) fn finished(&self, shared: &Shared<'_>) {
        let Some(case) = &self.case else { return };
        let outcome = match case.status.state {
            Some(IncidentState::Recovered) => "recovered",
            Some(IncidentState::RecoveredByHand) => "recovered_by_hand",
            Some(IncidentState::Kept) => "kept",
            Some(IncidentState::Passed) => "passed",
            Some(IncidentState::Superseded) => "superseded",
            Some(IncidentState::Observed) => "observed",
            Some(
                IncidentState::Abandoned
                | IncidentState::AwaitingDecision
                | IncidentState::RollingBack
                | IncidentState::Verifying
                | IncidentState::Escalated,
            )
            | None => "abandoned",
        };
        shared.metrics.incident_ended(&case.status.grade, outcome);
        if case.status.acting_since.is_some() {
            shared.metrics.rollback_ended(outcome);
        }
        let took = |until: Option<jiff::Timestamp>| until.map(|at| between(case.spec.first_bad_at, at));
        shared
            .metrics
            .detected_after(took(Some(case.spec.opened_at)).unwrap_or(Duration::ZERO));
        if let Some(time) = took(case.status.recovered_at) {
            shared.metrics.recovered_after(time);
        }
    }
}

fn signal((name, shown): (&String, &SignalShown)) -> SignalView {
    SignalView {
        name: name.clone(),
        value: shown.value,
        unit: shown.unit,
        worse: shown.worse,
        baseline: shown.baseline,
        limit: shown.limit,
        verdict: match shown.verdict {
            Word::Healthy => SignalVerdict::Healthy,
            Word::Breached => SignalVerdict::Breached,
            Word::Unknown => SignalVerdict::Unknown,
        },
        because: (!shown.because.is_empty()).then(|| shown.because.clone()),
        at: shown.at,
    }
}

fn trigger((name, verdict): (&String, &TriggerVerdict)) -> TriggerView {
    let status = match verdict.status {
        Status::Quiet => "quiet",
        Status::NotArmed(_) => "not armed",
        Status::Unknown(_) => "unknown",
        Status::Suspect { .. } => "pending",
        Status::Firing { .. } => "firing",
    };
    let sentence = match &verdict.status {
        Status::NotArmed(unarmed) => &unarmed.why,
        Status::Quiet | Status::Unknown(_) | Status::Suspect { .. } | Status::Firing { .. } => &verdict.sentence,
    };
    TriggerView {
        name: name.clone(),
        status: status.to_owned(),
        sentence: sentence.clone(),
    }
}
