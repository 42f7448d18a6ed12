//! IO. A step that waits until what was written is rolled out. It writes no target, and deletes what holds a roll-out up.

use super::{Journal, Run, StepEnd};
use crate::{
    act::{ApiError, target},
    decide::between,
    model::{
        guard::TargetRef,
        incident::{IncidentStatus, PlannedStep},
    },
    observe::objects::Workload,
};

impl Run<'_> {
    /// The roll-outs of what the plan writes, as they stand now; each is given the step's time.
    pub(super) async fn wait_ready(
        &self,
        seq: u32,
        planned: &PlannedStep,
        status: &mut Journal<'_>,
    ) -> Result<StepEnd, ApiError> {
        self.intent(seq, planned, None, status).await?;
        let begun = status.plan.iter().filter(|step| status.has_begun(step));
        let named = begun.filter_map(|step| step.target.as_deref()?.parse::<TargetRef>().ok());
        let mut workloads: Vec<_> = named.filter(|target| target.kind.is_workload()).collect();
        workloads.dedup();
        for target in &workloads {
            let Some(read) = target::read(self.api, self.namespace, target).await? else {
                return Ok(StepEnd::Failed(format!("{target} was deleted")));
            };
            let rollout = Workload::read(target.kind, &read.object).rollout;
            let freed = self.free(seq, planned, target, &read.object, status).await?;
            if let Some(end) = freed.filter(|end| !matches!(end, StepEnd::Waiting(_))) {
                return Ok(end);
            }
            if let Err(why) = rollout.complete() {
                let why = format!("{target}: {why}");
                // Nobody but who paused it lets it go on.
                return Ok(if rollout.paused || self.is_late(seq, planned, status) {
                    StepEnd::Failed(why)
                } else {
                    StepEnd::Waiting(why)
                });
            }
        }
        self.receipt(seq, planned, "done", None, None, status).await?;
        Ok(StepEnd::Done)
    }

    /// Whether the time of a step that waits is over. As long as the plan stood still it did not run.
    pub(super) fn is_late(&self, seq: u32, planned: &PlannedStep, status: &IncidentStatus) -> bool {
        let now = self.clock.now();
        let intent = status.journal.iter().find(|entry| entry.seq == seq);
        let began = intent.map(|entry| entry.at).max(status.acting_since);
        between(began.unwrap_or(now), now) > self.timeout(planned)
    }
}
