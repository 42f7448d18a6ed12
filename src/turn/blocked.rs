//! IO. The open incident of a guard whose targets cannot be seen.

use jiff::Timestamp;

use super::{
    Shared,
    case::OpenCase,
    guarded::{Blind, Guarded, Look},
};
use crate::{
    decide::{blocked, deadlines, progress},
    model::{guard::TargetRef, incident::IncidentState},
    observe::seen::NotSeen,
};

impl Guarded {
    /// Follows what people decide, ends it where a target was deleted, and lets no plan that cannot go on wait for ever.
    pub(super) async fn without_a_look(&mut self, shared: &Shared<'_>, look: &Look, why: &str, now: Timestamp) {
        self.refresh_decision(shared);
        if self.case.as_ref().is_some_and(|case| case.status.closed_at.is_none()) {
            self.follow(shared, look, why, now);
        }
        if self.case.as_ref().is_some_and(|case| case.status.closed_at.is_none()) {
            self.watch_deadline(shared, why, now);
        }
        self.write_case(shared).await;
    }

    fn follow(&mut self, shared: &Shared<'_>, look: &Look, why: &str, now: Timestamp) {
        let Some(case) = &mut self.case else { return };
        let mut status = case.status.clone();
        let mut happened = blocked::follow(case.case(), &mut status, &mut self.record, why, now);
        if let (Err(Blind::NotSeen(NotSeen::Missing(target))), None) = (look, status.closed_at)
            && (self.was_there.contains(target) || is_planned(case, target))
        {
            happened.push(blocked::target_deleted(
                case.case(),
                &mut status,
                &mut self.record,
                target,
                now,
            ));
        }
        case.status = status;
        for one in &happened {
            self.tell(shared, one);
        }
    }

    fn watch_deadline(&mut self, shared: &Shared<'_>, why: &str, now: Timestamp) {
        let within = self.guard().spec.rollback.within.0;
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
    }
}

/// It was there when the plan was made. A guard that was edited may name what never was.
fn is_planned(case: &OpenCase, target: &TargetRef) -> bool {
    let target = target.to_string();
    let status = &case.status;
    status.beside.contains_key(&target)
        || status
            .plan
            .iter()
            .any(|step| step.uid.is_some() && step.target.as_ref() == Some(&target))
}
