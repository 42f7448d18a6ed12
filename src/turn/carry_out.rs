//! IO. A decision carried out, in the order in which it must be written: evidence before intent, intent before action.

use jiff::Timestamp;
use kube::ResourceExt;

use super::{Shared, before, case::OpenCase, guarded::Guarded};
use crate::{
    act::{ApiError, record, run, snapshot},
    decide::{Act, Happened, Step, WhyNot, deadlines, open, plan, ready::Answer, together},
    judge::policy::Policy,
    model::{
        guard::{GuardStatus, IncidentRef},
        incident::{IncidentState, IncidentStatus},
    },
    observe::{
        cluster::Proven,
        seen::{Seen, Writable},
    },
};

const NOT_AS_JUDGED: &str = "what runs is not what was judged";

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
                    // Never before it came, also where the clock was put back meanwhile.
                    let at = self
                        .record
                        .current
                        .as_ref()
                        .map_or(now, |current| current.since.max(now));
                    let touched = snapshot::touch(shared.api, &namespace, &name, at).await;
                    self.note(touched, "mark the state as running");
                }
                Act::Open(draft) => again |= self.open(shared, policy, seen, *draft, now).await,
                Act::Run => runs = true,
            }
        }
        if !self.write_case(shared).await {
            return false;
        }
        if runs && self.write_record(shared).await {
            again |= self.run(shared, policy, seen).await;
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
        let collected = snapshot::collect(shared.api, &namespace, proven, &needed).await;
        self.note(collected, "collect old states");
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
        let writable = Writable::of(&namespace, &self.guard.spec, shared.cluster);
        let runner = run::Run {
            api: shared.api,
            clock: shared.clock,
            namespace: &namespace,
            policy,
            at: &nobody,
            spec: &draft.spec,
            targets: &self.guard.spec.targets,
            writable: &writable,
            windows: &shared.settings.freeze,
        };
        let planned = match runner.resolve(seen, draft.spec.opened_at).await {
            Err(ApiError::Refused(why)) => Ok(run::Resolved::Impossible(why)),
            planned => planned,
        };
        let (steps, left, obstacle) = match self.note(planned, "make a plan") {
            Some(run::Resolved::Plan(steps, left)) if steps.is_empty() => (steps, left, Some(WhyNot::NothingToPutBack)),
            Some(run::Resolved::Plan(steps, left)) => {
                (steps, left, seen.keeps_pods.clone().map(WhyNot::PodsNotReplaced))
            }
            Some(run::Resolved::Impossible(why)) => (Vec::new(), Vec::new(), Some(WhyNot::NoPlan(why))),
            Some(run::Resolved::Changed) | None => return false,
        };
        if let Some(obstacle) = obstacle.filter(|_| draft.state == IncidentState::RollingBack) {
            draft.state = IncidentState::AwaitingDecision;
            draft.why = Some(obstacle);
        }
        let opened = record::open(shared.api, &self.guard, draft.spec.clone()).await;
        let Some((at, spec)) = self.note(opened, "open an incident") else {
            return false;
        };
        let happened = open::opened(&draft);
        let left = left
            .iter()
            .map(|part| format!("{part} is no part of the proven state and stays as it is"));
        let status = IncidentStatus {
            not_restored: left.chain(seen.shared.iter().cloned()).collect(),
            ..draft.status(steps, &policy.scheme, now)
        };
        self.record.incident = Some(at.clone());
        self.case = Some(OpenCase {
            at,
            spec,
            status,
            written: IncidentStatus::default(),
            watched: false,
        });
        self.tell(shared, &happened);
        if let Some(told) = draft.common_cause.as_ref().and_then(together::told) {
            self.tell(shared, &told);
        }
        self.write_record(shared).await
    }

    /// Carries the plan on.
    async fn run(&mut self, shared: &Shared<'_>, policy: &Policy, seen: &Seen) -> bool {
        let namespace = self.guard.namespace().unwrap_or_default();
        let writable = Writable::of(&namespace, &self.guard.spec, shared.cluster);
        let Some(case) = &mut self.case else { return false };
        if !before::lets_go_on(shared, policy, &mut case.status).await {
            return self.write_case(shared).await;
        }
        let runner = run::Run {
            api: shared.api,
            clock: shared.clock,
            namespace: &namespace,
            policy,
            at: &case.at,
            spec: &case.spec,
            targets: &self.guard.spec.targets,
            writable: &writable,
            windows: &shared.settings.freeze,
        };
        let progress = match begin(&runner, &mut case.status, seen, shared.clock.now()).await {
            Ok(None) => runner.advance(&mut case.status).await,
            Ok(Some(end)) => Ok(end),
            Err(why) => Err(why),
        };
        // What the journal holds was written on the way.
        case.written.journal.clone_from(&case.status.journal);
        let because = match progress {
            // Nothing more is written; the watch will show what came, and that is entered as a state of its own.
            Ok(run::Progress::Waiting(why) | run::Progress::Superseded(why)) => {
                self.shown.waits_for = Some(why);
                return false;
            }
            Ok(run::Progress::Done) => {
                case.status.state = Some(IncidentState::Verifying);
                let done = match case.status.failed_steps() {
                    failed if failed.is_empty() => "everything is put back".to_owned(),
                    failed => format!("the plan went on, but {}", failed.join("; ")),
                };
                case.status.reason = format!("{done}, waiting for the roll-out and for proof");
                return self.write_case(shared).await;
            }
            Ok(run::Progress::Failed(why) | run::Progress::Frozen(why)) => why,
            Err(why @ ApiError::Refused(_)) => why.to_string(),
            Ok(run::Progress::NotAsRecorded) => "the plan made now is not the one that was recorded".into(),
            Err(why) => {
                self.note::<()>(Err(why), "carry its plan on");
                return false;
            }
        };
        let happened = Happened::Escalated { because };
        case.status.state = Some(IncidentState::Escalated);
        case.status.reason = happened.to_string();
        deadlines::ask(&mut case.status, &policy.scheme, shared.clock.now());
        self.tell(shared, &happened);
        self.write_case(shared).await
    }

    /// Writes the open incident's status where it changed; a closed one is let go. Gives whether it is written.
    pub(super) async fn write_case(&mut self, shared: &Shared<'_>) -> bool {
        let Some(case) = &mut self.case else { return true };
        // A new incident's reference stands in the guard's record before anything else of it.
        if self.written.incident.as_ref() != Some(&case.at) && self.record.incident.is_some() {
            return false;
        }
        if case.status != case.written {
            let namespace = self.guard.namespace().unwrap_or_default();
            let at = case.at.clone();
            let written = record::incident_status(shared.api, &namespace, &at, &case.status).await;
            if written.is_ok() {
                case.written = case.status.clone();
            } else if matches!(written, Err(ApiError::NotFound(_) | ApiError::Invalid(_)))
                && record::is_gone(shared.api, &namespace, &at).await.unwrap_or(false)
            {
                self.let_go();
                return true;
            }
            if self.note(written, "write its incident").is_none() {
                return false;
            }
        }
        if self.record.incident.is_none() {
            self.finished(shared);
            self.case = None;
        }
        true
    }

    /// The open incident was deleted: nothing more can be recorded of it.
    pub(super) fn let_go(&mut self) {
        if let Some(case) = self.case.take() {
            let name = &case.at.name;
            tracing::warn!(incident = name, "incident {name} was deleted: it is let go");
        }
        self.record.incident = None;
    }

    /// Writes the guard's record where it changed. Gives whether it is written. An incident stays in it until its end is
    /// written, so that a killed daemon finds it again.
    pub(super) async fn write_record(&mut self, shared: &Shared<'_>) -> bool {
        let mut next = self.record.clone();
        if let Some(case) = self
            .case
            .as_ref()
            .filter(|case| next.incident.as_ref() != Some(&case.at))
        {
            next.incident = Some(case.at.clone());
        }
        if next == self.written {
            return true;
        }
        let bare = |status: &GuardStatus| GuardStatus {
            conditions: Vec::new(),
            ..status.clone()
        };
        if bare(&next) == bare(&self.written) && !shared.quota.take(shared.clock.now()) {
            // Only conditions changed, as those of many others do right now: its turn comes.
            return true;
        }
        let written = record::guard_status(shared.api, &self.guard, &next).await;
        if self.note(written, "write its status").is_none() {
            return false;
        }
        self.written = next;
        true
    }

    /// One line when something begins to fail, and one when it works again; it is tried again next turn.
    pub(super) fn note<T>(&mut self, done: Result<T, ApiError>, what: &'static str) -> Option<T> {
        let name = self.name();
        match &done {
            Ok(_) if self.failing.remove(what) => tracing::info!(guard = name, "{name}: can {what} again"),
            Err(why) if self.failing.insert(what) => tracing::warn!(guard = name, "{name}: cannot {what} yet: {why}"),
            Ok(_) | Err(_) => {}
        }
        done.ok()
    }
}

/// Before its first action a plan is made again, must be the recorded one, and is dry-run as a whole. `Some`: it ends here.
async fn begin(
    runner: &run::Run<'_>,
    status: &mut IncidentStatus,
    seen: &Seen,
    now: Timestamp,
) -> Result<Option<run::Progress>, ApiError> {
    if status.journal.iter().any(|entry| entry.seq > status.plan_from) {
        return Ok(None);
    }
    // Pods that an earlier attempt restarted must restart once more.
    let again = status.acting_since.filter(|_| status.plan_from > 0);
    let steps = match runner.resolve(seen, again.unwrap_or(runner.spec.opened_at)).await? {
        run::Resolved::Plan(steps, _) => steps,
        run::Resolved::Impossible(why) => return Ok(Some(run::Progress::Failed(why))),
        run::Resolved::Changed => return Ok(Some(run::Progress::Waiting(NOT_AS_JUDGED.to_owned()))),
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
    Ok(match runner.rehearse(&status.plan).await? {
        Answer::Accepted | Answer::Unsupported(_) => None,
        Answer::Changed => Some(run::Progress::Waiting(NOT_AS_JUDGED.to_owned())),
        Answer::Unanswered(why) => Some(run::Progress::Waiting(why)),
        Answer::Refused { words, .. } => {
            deadlines::note(status, now, format!("dry run: {words}"));
            let why = format!("the API server would refuse it, nothing was written: {words}");
            Some(run::Progress::Failed(why))
        }
    })
}
