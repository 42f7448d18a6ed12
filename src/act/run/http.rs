//! IO. A request as a step. What changes something elsewhere is never sent twice.

use super::{ApiError, Run, StepEnd, has_intent};
use crate::{
    decide::plan::http::hash,
    model::incident::{IncidentStatus, PlannedStep},
};

impl Run<'_> {
    /// Intent, request, receipt. Freezes are looked for before the intent: a request in flight cannot be looked at.
    pub(super) async fn http(
        &self,
        seq: u32,
        planned: &PlannedStep,
        status: &mut IncidentStatus,
    ) -> Result<StepEnd, ApiError> {
        let asked = self.step_of(planned).and_then(|step| step.http.as_ref());
        let Some(asked) = asked.filter(|asked| planned.to == Some(hash(asked))) else {
            return Ok(StepEnd::Failed("the guard asks something else meanwhile".into()));
        };
        if has_intent(status, seq) && !asked.repeats() {
            return Ok(StepEnd::Failed(
                "it is not known whether it was sent, and it is not sent twice".into(),
            ));
        }
        if let Some(end) = self.stopped().await {
            return Ok(end);
        }
        self.intent(seq, planned, None, status).await?;
        // Writing the intent may have taken long.
        if let Some(end @ StepEnd::Frozen(_)) = self.stopped().await {
            let why = Some("not sent: it was frozen meanwhile".to_owned());
            self.receipt(seq, planned, "failed", why, None, status).await?;
            return Ok(end);
        }
        match self.api.http.ask(asked, self.timeout(planned)).await {
            Ok(words) => {
                self.receipt(seq, planned, "done", Some(words), None, status).await?;
                Ok(StepEnd::Done)
            }
            Err(why) => Ok(StepEnd::Failed(why)),
        }
    }
}
