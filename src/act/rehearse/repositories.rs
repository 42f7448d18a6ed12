//! IO. Whether the repositories that steps change could be changed tonight: the program is there, the settings allow it, the
//! branches exist, and the server would let modosu push.

use super::Rehearsal;
use crate::{
    act::git::program::Trouble,
    decide::{plan::git::built_from, ready::Answer},
    model::{
        content::Contents,
        guard::{
            GitChange, OnFailure,
            git::{MERGE_OF_CHANGE, RANGE_OF_CHANGE},
        },
    },
};

impl Rehearsal {
    /// An error is what is wrong. What may fail without stopping the plan does not stop it here either.
    pub(super) async fn repositories(&self, current: &Contents) -> Result<(), Answer> {
        let steps = self.policy.steps.iter();
        for (change, on_failure) in steps.filter_map(|step| Some((step.git.as_ref()?, step.on_failure))) {
            let answer = self.repository(change, current).await;
            if on_failure == OnFailure::Escalate {
                answer?;
            }
        }
        Ok(())
    }

    async fn repository(&self, change: &GitChange, current: &Contents) -> Result<(), Answer> {
        if let Some(MERGE_OF_CHANGE | RANGE_OF_CHANGE) = change.revert.as_deref() {
            let built = built_from(current).map_err(|why| Answer::impossible("NoWayToPlan", &format!("git: {why}")));
            built?;
        }
        let heard = self.api.git.rehearse(&self.namespace, change).await;
        heard.map_err(|why| match why {
            Trouble::Missing(words) => Answer::impossible("GitMissing", &words),
            Trouble::Refused(words) => Answer::impossible("Refused", &format!("git: {words}")),
            Trouble::Unsure(words) => Answer::Unanswered(format!("git: {words}")),
        })
    }
}
