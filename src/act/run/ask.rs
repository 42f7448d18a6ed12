//! IO. A step that a person does: it is journalled who is asked for what, and then waited.

use super::{ApiError, Journal, Run, StepEnd, entry, has_intent};
use crate::{
    decide::{
        asking,
        plan::ask::{hash, words},
    },
    model::{incident::PlannedStep, units::Length},
};

impl Run<'_> {
    /// Its receipt is what a person decides; without one the step fails when its time is over.
    pub(super) async fn ask(
        &self,
        seq: u32,
        planned: &PlannedStep,
        status: &mut Journal<'_>,
    ) -> Result<StepEnd, ApiError> {
        let asked = self.step_of(planned).and_then(|step| step.ask.as_ref());
        let Some(asked) = asked.filter(|asked| planned.to == Some(hash(asked))) else {
            asking::over(status, &self.policy.scheme);
            return Ok(StepEnd::Failed("the guard asks for something else meanwhile".into()));
        };
        let words = words(asked);
        if !has_intent(status, seq) {
            let mut entry = entry(seq, self.clock.now(), planned, None);
            entry.intent = Some(planned.step.clone());
            entry.note = Some(words.clone());
            self.append(entry, status).await?;
        }
        if self.is_late(seq, planned, status) {
            asking::over(status, &self.policy.scheme);
            let timeout = Length(self.timeout(planned));
            return Ok(StepEnd::Failed(format!("nobody said done within {timeout}: {words}")));
        }
        Ok(StepEnd::Waiting(words))
    }
}
