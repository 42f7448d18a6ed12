//! IO. An incident is opened: the plan is made, the evidence written, and the server asked about the plan meanwhile.

use futures::future::OptionFuture;
use jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::Instant;

use super::{Shared, begin::weighed, case::OpenCase, guarded::Guarded};
use crate::{
    act::{
        ApiError, record,
        run::{self, Found},
    },
    decide::{Happened, WhyNot, open, plan, together},
    judge::policy::Policy,
    model::{
        guard::IncidentRef,
        incident::{IncidentState, IncidentStatus},
    },
    observe::seen::{Seen, Writable},
};

impl Guarded {
    /// Makes the plan and writes the evidence, while the server is asked about the plan. The guard's reference to it and its status
    /// follow.
    pub(super) async fn open(
        &mut self,
        shared: &Shared<'_>,
        policy: &Policy,
        seen: &Seen,
        mut draft: open::Draft,
        now: Timestamp,
    ) -> bool {
        draft.spec.guard = self.guard.name_any();
        let guard = self.guard.clone();
        let namespace = guard.namespace().unwrap_or_default();
        let writable = Writable::of(&namespace, &guard.spec, shared.cluster);
        // What it is going to be called, most likely: the dry run is to be of the same writes.
        let named = IncidentRef {
            name: record::first_name(&draft.spec),
            ..IncidentRef::default()
        };
        let mut runner = run::Run {
            api: shared.api,
            clock: shared.clock,
            namespace: &namespace,
            policy,
            at: &named,
            spec: &draft.spec,
            to: draft.spec.restore_to.as_ref(),
            only: draft.spec.decision.as_ref().map_or(&[], |wish| &wish.only),
            guard: &guard,
            writable: &writable,
            windows: &shared.settings.freeze,
            found: Found::default(),
        };
        let planned = match runner.resolve(seen, draft.spec.opened_at, &[]).await {
            Err(ApiError::Refused(why)) => Ok(run::Resolved::Impossible(why)),
            planned => planned,
        };
        let Some((steps, left, obstacle)) = self.note(planned, "make a plan").and_then(weighed) else {
            return false;
        };
        if let (Some(WhyNot::NothingToPutBack | WhyNot::NoPlan(_)), true) = (&obstacle, draft.spec.decision.is_some()) {
            return self.cannot_follow(shared, obstacle.as_ref());
        }
        if let Some(obstacle) = obstacle.filter(|_| draft.state == IncidentState::RollingBack) {
            draft.state = IncidentState::AwaitingDecision;
            draft.why = Some(obstacle);
        }
        let mut status = IncidentStatus {
            not_restored: left,
            other_tools: self.record.other_tools.clone(),
            ..draft.status(steps, policy, now)
        };
        let (runs, began) = (draft.state == IncidentState::RollingBack, Instant::now());
        let opened = record::open(shared.api, &guard, draft.spec.clone());
        let tried = OptionFuture::from(runs.then(|| runner.rehearse(&status)));
        let (opened, tried) = tokio::join!(opened, tried);
        let Some((at, spec)) = self.note(opened, "open an incident") else {
            return false;
        };
        if let (Some(Ok(answer)), Some(plan), true) = (tried, status.plan_hash.clone(), at.name == named.name) {
            runner.found.tried(plan, answer, began);
        }
        if spec.opened_at != draft.spec.opened_at && !status.plan.is_empty() {
            // Taken up again: when its plan runs it is made with the incident's own time, and must be the recorded one.
            let planned = runner.resolve(seen, spec.opened_at, &status.plan).await;
            let Some(run::Resolved::Plan(steps, _)) = self.note(planned, "make a plan") else {
                return false;
            };
            status.plan_hash = Some(plan::hash(&steps));
            status.plan = steps;
        }
        let case = OpenCase {
            at,
            spec,
            status,
            written: IncidentStatus::default(),
            watched: false,
            found: runs.then_some(runner.found),
        };
        self.take_up(shared, policy, &draft, case, now).await
    }

    /// What a person asked for by hand leads to no plan.
    fn cannot_follow(&mut self, shared: &Shared<'_>, obstacle: Option<&WhyNot>) -> bool {
        let because = obstacle.map(ToString::to_string).unwrap_or_default();
        self.tell(shared, &Happened::CannotFollow { because });
        self.refuse();
        false
    }

    /// The guard names it from now on, and it is told.
    async fn take_up(
        &mut self,
        shared: &Shared<'_>,
        policy: &Policy,
        draft: &open::Draft,
        case: OpenCase,
        now: Timestamp,
    ) -> bool {
        self.record.incident = Some(case.at.clone());
        self.case = Some(case);
        self.tell(shared, &open::opened(draft));
        if let Some(told) = draft.common_cause.as_ref().and_then(together::told) {
            self.tell(shared, &told);
        }
        // With the state that it is in now: written once.
        self.stand(shared, policy, now);
        self.write_record(shared).await
    }
}
