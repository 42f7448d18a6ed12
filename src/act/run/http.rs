//! IO. A request as a step: sent in a task of its own between intent and receipt. What changes something elsewhere is never
//! sent twice.

use super::{ApiError, Journal, Run, StepEnd, has_intent};
use crate::{
    act::{asks::Asked, http::named},
    decide::plan::http::hash,
    model::incident::PlannedStep,
};

impl Run<'_> {
    /// Intent, request; in a later turn its receipt. Freezes are looked for before the intent, so that what is frozen can go on later, and after it.
    pub(super) async fn http(
        &self,
        seq: u32,
        planned: &PlannedStep,
        status: &mut Journal<'_>,
    ) -> Result<StepEnd, ApiError> {
        let asked = self.step_of(planned).and_then(|step| step.http.as_ref());
        let Some(asked) = asked.filter(|asked| planned.to == Some(hash(asked))) else {
            return Ok(StepEnd::Failed("the guard asks something else meanwhile".into()));
        };
        let key = (self.at.uid.clone(), seq.to_string());
        match self.api.asks.of(&key) {
            Asked::Never => {}
            Asked::UnderWay => return Ok(StepEnd::Waiting(format!("the answer to {} is awaited", named(asked)))),
            Asked::Answered(Ok(words)) => {
                self.receipt(seq, planned, "done", Some(words), None, status).await?;
                return Ok(StepEnd::Done);
            }
            Asked::Answered(Err(why)) => return Ok(StepEnd::Failed(why)),
        }
        if has_intent(status, seq) && !asked.repeats() {
            return Ok(StepEnd::Failed(
                "it is not known whether it was sent, and it is not sent twice".into(),
            ));
        }
        if let Some(end) = self.stopped(planned, status).await {
            return Ok(end);
        }
        self.intent(seq, planned, None, status).await?;
        // Writing the intent may have taken long.
        match self.stopped(planned, status).await {
            Some(end @ StepEnd::Frozen(_)) => {
                let why = Some("not sent: it was frozen meanwhile".to_owned());
                self.receipt(seq, planned, "failed", why, None, status).await?;
                return Ok(end);
            }
            Some(end @ StepEnd::Superseded(_)) => return Ok(end),
            Some(StepEnd::Done | StepEnd::Waiting(_) | StepEnd::Failed(_)) | None => {}
        }
        let within = self.timeout(planned);
        self.api.asks.send(key, self.namespace, asked, within);
        Ok(StepEnd::Waiting(format!("the answer to {} is awaited", named(asked))))
    }
}
