//! IO. A decision carried out, in the order in which it must be written: evidence before intent, intent before action.

use jiff::Timestamp;
use kube::ResourceExt;

use super::{
    Shared,
    guarded::{Guarded, OpenCase},
};
use crate::{
    act::{ApiError, record, run, snapshot},
    decide::{Act, Happened, Step, WhyNot, enter, open, plan},
    judge::policy::Policy,
    model::{
        guard::IncidentRef,
        incident::{IncidentState, IncidentStatus},
    },
    observe::{cluster::Proven, seen::Seen},
};

impl Guarded {
    /// Carries one decision out. Gives whether another one should follow at once.
    pub(super) async fn carry_out(
        &mut self,
        shared: &Shared<'_>,
        policy: &Policy,
        seen: &Seen,
        proven: &[Proven],
        step: Step,
        now: Timestamp,
    ) -> bool {
        self.record = step.record;
        if let (Some(case), Some(status)) = (self.case.as_mut(), step.case) {
            case.status = status;
        }
        for happened in &step.happened {
            self.tell(shared, happened);
        }
        let mut runs = false;
        let mut again = false;
        for act in step.actions {
            match act {
                Act::Begin { since } => {
                    if let Ok(rules) = &mut self.rules {
                        rules.memory.begin(since);
                        rules.begun = true;
                    }
                }
                Act::Prove { .. } => self.prove(shared, seen, proven, now).await,
                Act::Touch { name } => {
                    let namespace = self.guard.namespace().unwrap_or_default();
                    self.note(
                        snapshot::touch(shared.api, &namespace, &name, now).await,
                        "mark the state as running",
                    );
                }
                Act::Open(draft) => again |= self.open(shared, policy, seen, *draft, now).await,
                Act::Run => runs = true,
            }
        }
        if !self.write_case(shared).await {
            return false;
        }
        if runs && self.write_record(shared).await {
            again |= self.run(shared, policy, seen, now).await;
        }
        again
    }

    async fn prove(&mut self, shared: &Shared<'_>, seen: &Seen, proven: &[Proven], now: Timestamp) {
        let taken = snapshot::take(shared.api, &self.guard, seen, now).await;
        if self.note(taken, "keep the proven state").is_none() {
            return;
        }
        let namespace = self.guard.namespace().unwrap_or_default();
        let needed = [
            Some(seen.hash.as_str()),
            self.record.restore_to.as_ref().map(|to| to.hash.as_str()),
        ];
        let needed: Vec<&str> = needed.into_iter().flatten().collect();
        self.note(
            snapshot::collect(shared.api, &namespace, proven, &needed).await,
            "collect old states",
        );
    }

    /// Makes the plan, writes the evidence, then the guard's reference to it, then its status.
    async fn open(
        &mut self,
        shared: &Shared<'_>,
        policy: &Policy,
        seen: &Seen,
        mut draft: open::Draft,
        now: Timestamp,
    ) -> bool {
        draft.spec.guard = self.guard.name_any();
        let nobody = IncidentRef {
            name: String::new(),
            uid: String::new(),
        };
        let namespace = self.guard.namespace().unwrap_or_default();
        let runner = run::Run {
            api: shared.api,
            clock: shared.clock,
            namespace: &namespace,
            policy,
            at: &nobody,
            spec: &draft.spec,
        };
        let planned = match runner.resolve(seen.parts.keys()).await {
            Ok(planned) => planned,
            Err(ApiError::Refused(why)) => Err(why),
            Err(why) => {
                tracing::warn!(guard = self.name(), "{}: cannot make a plan yet: {why}", self.name());
                return false;
            }
        };
        let (steps, obstacle) = match planned {
            Ok(steps) if steps.is_empty() => (steps, Some(WhyNot::NothingToPutBack)),
            Ok(steps) => (steps, None),
            Err(why) => (Vec::new(), Some(WhyNot::NoPlan(why))),
        };
        if let Some(obstacle) = obstacle.filter(|_| draft.state == IncidentState::RollingBack) {
            draft.state = IncidentState::AwaitingDecision;
            draft.why = Some(obstacle);
        }
        let opened = record::open(shared.api, &self.guard, &draft.spec).await;
        let Some(at) = self.note(opened, "open an incident") else {
            return false;
        };
        let happened = open::opened(&draft);
        let status = IncidentStatus {
            state: Some(draft.state),
            reason: draft
                .why
                .as_ref()
                .map_or_else(|| "putting back".to_owned(), ToString::to_string),
            grade: draft.spec.grade.clone(),
            action: Some(draft.spec.action),
            respond_by: draft.respond_by,
            decider: draft.decider.clone(),
            plan_hash: (!steps.is_empty()).then(|| plan::hash(&steps)),
            plan: steps,
            acting_since: (draft.state == IncidentState::RollingBack).then_some(now),
            ..IncidentStatus::default()
        };
        self.record.incident = Some(at.clone());
        self.case = Some(OpenCase {
            at,
            spec: draft.spec,
            status,
            written: IncidentStatus::default(),
        });
        self.tell(shared, &happened);
        self.write_record(shared).await
    }

    /// Carries the plan on.
    async fn run(&mut self, shared: &Shared<'_>, policy: &Policy, seen: &Seen, now: Timestamp) -> bool {
        let name = self.name();
        let namespace = self.guard.namespace().unwrap_or_default();
        let Some(case) = &mut self.case else { return false };
        let runner = run::Run {
            api: shared.api,
            clock: shared.clock,
            namespace: &namespace,
            policy,
            at: &case.at,
            spec: &case.spec,
        };
        let progress = match begin(&runner, &mut case.status, seen).await {
            Ok(None) => runner.advance(&mut case.status).await,
            Ok(Some(end)) => Ok(end),
            Err(why) => Err(why),
        };
        // What the journal holds was written on the way.
        case.written.journal.clone_from(&case.status.journal);
        let happened = match progress {
            Ok(run::Progress::Waiting(why)) => {
                self.shown.waits_for = Some(why);
                return false;
            }
            Err(why @ ApiError::Refused(_)) => Happened::Escalated {
                because: why.to_string(),
            },
            Err(why) => {
                tracing::warn!(guard = name, incident = case.at.name, "{name}: the plan waits: {why}");
                return false;
            }
            Ok(run::Progress::Done) => {
                case.status.state = Some(IncidentState::Verifying);
                case.status.reason = "everything is put back, waiting for the roll-out and for proof".into();
                return self.write_case(shared).await;
            }
            Ok(run::Progress::Superseded(by)) => Happened::Superseded { by },
            Ok(run::Progress::Failed(why)) => Happened::Escalated { because: why },
            Ok(run::Progress::NotAsRecorded) => Happened::Escalated {
                because: "the plan made now is not the one that was recorded".into(),
            },
        };
        let state = if matches!(happened, Happened::Superseded { .. }) {
            self.record.incident = None;
            enter::pass_on(&mut self.record, &case.spec, policy);
            case.status.closed_at = Some(now);
            IncidentState::Superseded
        } else {
            IncidentState::Escalated
        };
        case.status.state = Some(state);
        case.status.reason = happened.to_string();
        self.tell(shared, &happened);
        self.write_case(shared).await
    }

    /// Writes the open incident's status where it changed; a closed one is let go. Gives whether it is written.
    async fn write_case(&mut self, shared: &Shared<'_>) -> bool {
        let Some(case) = &mut self.case else { return true };
        // A new incident's reference stands in the guard's record before anything else of it.
        if self.written.incident.as_ref() != Some(&case.at) && self.record.incident.is_some() {
            return false;
        }
        if case.status != case.written {
            let namespace = self.guard.namespace().unwrap_or_default();
            let written = record::incident_status(shared.api, &namespace, &case.at, &case.status).await;
            match written {
                Ok(()) => case.written = case.status.clone(),
                Err(ApiError::NotFound(_) | ApiError::Invalid(_)) => {
                    tracing::warn!(
                        incident = case.at.name,
                        "incident {} was deleted: it is let go",
                        case.at.name
                    );
                    self.record.incident = None;
                }
                Err(why) => {
                    tracing::warn!(incident = case.at.name, "cannot write incident {}: {why}", case.at.name);
                    return false;
                }
            }
        }
        if self.record.incident.is_none() {
            self.finished(shared);
            self.case = None;
        }
        true
    }

    /// Writes the guard's record where it changed. Gives whether it is written.
    pub(super) async fn write_record(&mut self, shared: &Shared<'_>) -> bool {
        if self.record == self.written {
            return true;
        }
        let written = record::guard_status(shared.api, &self.guard, &self.record).await;
        if self.note(written, "write its status").is_none() {
            return false;
        }
        self.written = self.record.clone();
        true
    }

    /// One line where a write failed; it is tried again next turn.
    fn note<T>(&self, written: Result<T, ApiError>, what: &str) -> Option<T> {
        let name = self.name();
        written
            .inspect_err(|why| tracing::warn!(guard = name, "{name}: cannot {what} yet: {why}"))
            .ok()
    }
}

/// Before its first action a plan is made again, and must be the recorded one. `Some`: it ends here.
async fn begin(
    runner: &run::Run<'_>,
    status: &mut IncidentStatus,
    seen: &Seen,
) -> Result<Option<run::Progress>, ApiError> {
    if status.journal.iter().any(|entry| entry.seq > status.plan_from) {
        return Ok(None);
    }
    let steps = match runner.resolve(seen.parts.keys()).await? {
        Ok(steps) => steps,
        Err(why) => return Ok(Some(run::Progress::Failed(why))),
    };
    if steps.is_empty() {
        return Ok(Some(run::Progress::Failed(WhyNot::NothingToPutBack.to_string())));
    }
    let hash = plan::hash(&steps);
    if status.plan_hash.as_ref().is_some_and(|recorded| *recorded != hash) {
        return Ok(Some(run::Progress::NotAsRecorded));
    }
    status.plan = steps;
    status.plan_hash = Some(hash);
    Ok(None)
}
