//! IO. A decision carried out, in the order in which it must be written: evidence before intent, intent before action.

use jiff::Timestamp;
use kube::ResourceExt;

use super::{Shared, before, begin::begin, guarded::Guarded};
use crate::{
    act::{ApiError, record, run, snapshot},
    decide::{Act, Happened, Step, deadlines, stages},
    judge::policy::Policy,
    model::{guard::GuardStatus, incident::IncidentState},
    observe::{
        cluster::Proven,
        seen::{Seen, Writable},
    },
};

const KEEP: &str = "keep the proven state";
const NOT_AS_RECORDED: &str = "the plan made now is not the one that was recorded; it is recorded now: look at it, and decide `rollback` to \
                               carry it out, with a reason of its own where that was decided before";

/// The plan, behind its checks.
async fn carried_on(
    runner: &run::Run<'_>,
    journal: &mut run::Journal<'_>,
    seen: &Seen,
    now: Timestamp,
) -> Result<run::Progress, ApiError> {
    match begin(runner, journal.status, seen, now).await? {
        Some(end) => Ok(end),
        None => runner.advance(journal).await,
    }
}

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
        let read_only = shared.settings.read_only;
        for act in step.actions {
            match act {
                Act::Open(draft) if read_only => self.only_tell(shared, &draft),
                // What is proven is known only where it is kept.
                Act::Prove { .. } | Act::Touch { .. } if read_only => {}
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
        // What a new incident begins with is written with the first intent, right behind the guard's reference to it.
        let begins = self.begins() && (runs || again);
        if !begins && !self.write_case(shared).await {
            return false;
        }
        if runs && ((begins && self.is_named()) || self.write_record(shared).await) {
            again |= self.run(shared, policy, seen, now).await;
        }
        again
    }

    /// The open incident's plan is about to begin for the first time.
    fn begins(&self) -> bool {
        self.case.as_ref().is_some_and(|case| case.found.is_some())
    }

    /// The guard's record names the open incident.
    fn is_named(&self) -> bool {
        let named = self.written.incident.as_ref();
        self.case.as_ref().is_none_or(|case| named == Some(&case.at))
    }

    async fn prove(&mut self, shared: &Shared<'_>, seen: &Seen, proven: &[Proven], now: Timestamp) {
        let taken = snapshot::take(shared.api, &self.guard, seen, now).await;
        let refused = match &taken {
            Err(ApiError::Refused(why)) => Some(Happened::NotKept { why: why.clone() }),
            Ok(()) | Err(_) => None,
        };
        self.shown.waits_for = refused.as_ref().map(ToString::to_string);
        if let Some(refused) = refused.filter(|_| !self.failing.contains(KEEP)) {
            self.tell(shared, &refused);
        }
        if self.note(taken, KEEP).is_none() {
            return;
        }
        let namespace = self.guard.namespace().unwrap_or_default();
        let needed = [
            Some(seen.hash.as_str()),
            self.record.restore_to.as_ref().map(|to| to.hash.as_str()),
        ];
        let needed: Vec<&str> = needed.into_iter().flatten().collect();
        let collected = snapshot::collect(shared.api, &namespace, &seen.hash, proven, &needed).await;
        self.note(collected, "collect old states");
    }

    /// Carries the plan on.
    async fn run(&mut self, shared: &Shared<'_>, policy: &Policy, seen: &Seen, now: Timestamp) -> bool {
        let namespace = self.guard.namespace().unwrap_or_default();
        let writable = Writable::of(&namespace, &self.guard.spec, shared.cluster);
        let Some(case) = &mut self.case else { return false };
        let plan = case.status.plan_hash.as_ref();
        let found = case.found.take().filter(|found| found.answer(plan).is_some());
        let (to, only) = (case.status.goal(&case.spec).cloned(), case.status.only.clone());
        let runner = run::Run {
            api: shared.api,
            clock: shared.clock,
            namespace: &namespace,
            policy,
            at: &case.at,
            spec: &case.spec,
            to: to.as_ref(),
            only: &only,
            guard: &self.guard,
            writable: &writable,
            windows: &shared.settings.freeze,
            found: found.unwrap_or_default(),
        };
        let mut journal = run::Journal {
            status: &mut case.status,
            written: &mut case.written,
        };
        let asked = journal.asked().is_some();
        let progress = match before::says(shared, &runner, &mut journal).await {
            Ok(before::Says::GoOn) => carried_on(&runner, &mut journal, seen, shared.clock.now()).await,
            Ok(before::Says::Stop) => return self.write_case(shared).await,
            Ok(before::Says::Wait(why)) => Ok(run::Progress::Waiting(why)),
            Ok(before::Says::Frozen(why)) => Ok(run::Progress::Frozen(why)),
            Err(why) => Err(why),
        };
        let because = match progress {
            // Nothing more is written; the watch will show what came, and that is entered as a state of its own.
            Ok(run::Progress::Waiting(why) | run::Progress::Superseded(why)) => {
                self.shown.waits_for = Some(why);
                // Who is asked now is shown at once.
                let shows = !asked && case.status.asked().is_some();
                return self.write_both(shared).await && shows;
            }
            Ok(run::Progress::Done) => return self.is_put_back(shared, policy, now).await,
            Ok(run::Progress::Failed(why)) => return self.goes_on(shared, policy, Some(why)).await,
            Ok(run::Progress::Idle) => return self.goes_on(shared, policy, None).await,
            Ok(run::Progress::Impossible(why) | run::Progress::Frozen(why)) => why,
            Err(why @ ApiError::Refused(_)) => why.to_string(),
            Ok(run::Progress::NotAsRecorded) => NOT_AS_RECORDED.into(),
            Err(why) => {
                self.note::<()>(Err(why), "carry its plan on");
                return false;
            }
        };
        self.escalate(shared, policy, because).await
    }

    /// All of the plan is done; what is still to be written of it lets others go first.
    async fn is_put_back(&mut self, shared: &Shared<'_>, policy: &Policy, now: Timestamp) -> bool {
        let Some(case) = &mut self.case else { return false };
        case.status.state = Some(IncidentState::Verifying);
        let done = match case.status.failed_steps() {
            failed if failed.is_empty() => "everything is put back".to_owned(),
            failed => format!("the plan went on, but {}", failed.join("; ")),
        };
        case.status.reason = format!("{done}, waiting for the roll-out and for proof");
        if let Some(lane) = &mut self.lane {
            lane.step_back().await;
        }
        self.stand(shared, policy, now);
        self.write_both(shared).await
    }

    /// The next stage of the plan follows one that failed, or had nothing to do; behind the last one people do.
    async fn goes_on(&mut self, shared: &Shared<'_>, policy: &Policy, failed: Option<String>) -> bool {
        let Some(case) = &mut self.case else { return false };
        let (status, now) = (&mut case.status, shared.clock.now());
        let followed = match failed {
            Some(why) => stages::failed(status, &policy.scheme, now, why),
            None => stages::skip(status, &policy.scheme, now),
        };
        match followed {
            Ok(news) => {
                for one in &news {
                    self.tell(shared, one);
                }
                self.write_both(shared).await
            }
            Err(because) => self.escalate(shared, policy, because).await,
        }
    }

    async fn escalate(&mut self, shared: &Shared<'_>, policy: &Policy, because: String) -> bool {
        let Some(case) = &mut self.case else { return false };
        let because = stages::with_story(&case.status, because);
        let happened = Happened::Escalated { because };
        case.status.state = Some(IncidentState::Escalated);
        case.status.reason = happened.to_string();
        deadlines::ask(&mut case.status, &policy.scheme, shared.clock.now());
        self.tell(shared, &happened);
        self.write_both(shared).await
    }

    /// What a plan came to. That the state is bad stands in the guard's record before the incident says more than that its plan
    /// runs: while it does, a new daemon marks it.
    async fn write_both(&mut self, shared: &Shared<'_>) -> bool {
        self.write_record(shared).await && self.write_case(shared).await
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
                self.let_go(shared);
                return true;
            }
            if self.note(written, "write its incident").is_none() {
                return false;
            }
        }
        if self.record.incident.is_none() {
            self.finished(shared);
            if let Some(case) = self.case.take() {
                shared.api.versions.forget(&case.at.uid);
            }
        }
        true
    }

    /// The open incident was deleted: nothing more can be recorded of it.
    pub(super) fn let_go(&mut self, shared: &Shared<'_>) {
        if let Some(case) = self.case.take() {
            shared.api.versions.forget(&case.at.uid);
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
