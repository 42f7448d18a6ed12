//! IO. One write of a target.

use tokio::time::Instant;

use super::{ATTEMPTS, Earlier, Journal, Run, StepEnd, earlier, foreign, has_intent};
use crate::{
    act::{ApiError, frozen::FRESH, target},
    decide::plan,
    model::{content::Contents, guard::TargetRef, incident::PlannedStep},
};

impl StepEnd {
    pub(super) fn refused(why: &str) -> Self {
        Self::Failed(format!("the API server refused it {ATTEMPTS} times: {why}"))
    }
}

impl Run<'_> {
    /// One write: look, intent, look at the same reading again through the patch's tests, receipt.
    pub(super) async fn write(
        &self,
        seq: u32,
        planned: &PlannedStep,
        target: &TargetRef,
        snapshot: Option<&Contents>,
        status: &mut Journal<'_>,
    ) -> Result<StepEnd, ApiError> {
        let mut refusal = String::new();
        for _ in 0..ATTEMPTS {
            let earlier = earlier(status);
            let read = self.look(planned, target, &earlier).await?;
            let content = read.as_ref().map(|read| &read.content);
            if content.is_some_and(|content| plan::reached(planned, content)) {
                let version = read.and_then(|read| read.object.metadata.resource_version);
                let word = if has_intent(status, seq) { "done" } else { "already" };
                self.wrote(seq, planned, word, version, status);
                return Ok(StepEnd::Done);
            }
            if let Some(foreign) = foreign(planned, target, read.as_ref(), &earlier) {
                return Ok(StepEnd::Superseded(foreign));
            }
            let goal = match plan::goal(planned, &self.policy.steps, target, content, snapshot) {
                Ok(goal) => goal,
                Err(why) => return Ok(StepEnd::Failed(why)),
            };
            if let Some(end) = self.prepare(seq, planned, read.as_ref(), status).await? {
                return Ok(end);
            }
            let cause = self.cause(planned);
            if read.is_none() && target.kind.is_workload() {
                return Ok(StepEnd::Failed(format!("{target} was deleted")));
            }
            let goal = target::Goal {
                content: &goal,
                cause: &cause,
                dry_run: false,
            };
            let written = target::put(self.api, self.namespace, target, read.as_ref(), goal).await;
            match self.written(seq, planned, written, status) {
                Ok(end) => return Ok(end),
                Err(why) => refusal = why,
            }
        }
        Ok(StepEnd::refused(&refusal))
    }

    /// The target as it was found a moment ago, if it is to be written then: the write tests that it is still so. Else as it is.
    async fn look(
        &self,
        planned: &PlannedStep,
        target: &TargetRef,
        earlier: &Earlier,
    ) -> Result<Option<target::Read>, ApiError> {
        let found = self.found.take(target).filter(|read| {
            !plan::reached(planned, &read.content) && foreign(planned, target, Some(read), earlier).is_none()
        });
        match found {
            Some(read) => Ok(Some(read)),
            None => target::read(self.api, self.namespace, target).await,
        }
    }

    /// What comes before each write, side by side: the intent is written, and it is looked whether somebody stopped it. Gives
    /// why nothing may be written now.
    pub(super) async fn prepare(
        &self,
        seq: u32,
        planned: &PlannedStep,
        read: Option<&target::Read>,
        status: &mut Journal<'_>,
    ) -> Result<Option<StepEnd>, ApiError> {
        let (before, began) = ((*status.status).clone(), Instant::now());
        let intent = self.intent(seq, planned, read, status);
        let (intent, stopped) = tokio::join!(intent, self.stopped(planned, &before));
        intent?;
        if stopped.is_none() && began.elapsed() > FRESH {
            return Ok(self.stopped(planned, status).await);
        }
        Ok(stopped)
    }

    /// What came of a write. An error: what was read is there no more, or the server finds the write invalid.
    pub(super) fn written(
        &self,
        seq: u32,
        planned: &PlannedStep,
        written: Result<String, ApiError>,
        status: &mut Journal<'_>,
    ) -> Result<StepEnd, String> {
        match written {
            Ok(version) => {
                self.wrote(seq, planned, "done", Some(version), status);
                Ok(StepEnd::Done)
            }
            Err(ApiError::Invalid(why) | ApiError::Exists(why) | ApiError::NotFound(why)) => Err(why),
            Err(ApiError::Refused(why)) => Ok(StepEnd::Failed(why)),
            Err(ApiError::Unsure(why)) => Ok(StepEnd::Waiting(why)),
        }
    }
}
