//! IO. A change of a repository as a step: the commit is made beside the turns, a turn lets it be pushed, a turn writes down what
//! came of it. After a restart the branch itself tells whether it is done.

use super::{ApiError, Journal, Run, StepEnd, entry};
use crate::{
    act::git::{Commit, End, Key, Seen, work::Job},
    decide::plan::git::{Known, is_as_planned, short, words},
    model::{guard::GitChange, incident::PlannedStep},
};

/// So often the branch may have moved, or an answer been missing.
const ATTEMPTS: u32 = 5;

impl Run<'_> {
    /// What the commits of its steps are known by. An error: they are being read.
    pub(super) fn commits(&self, before: &[PlannedStep]) -> Result<Known, ApiError> {
        let recorded = Known::of_plan(before, &self.policy.steps);
        let steps = self.policy.steps.iter().enumerate();
        let new = steps.filter(|(place, _)| !recorded.contains_key(place));
        let changes = new.filter_map(|(_, step)| step.git.as_ref());
        match self.api.git.tips(self.namespace, changes) {
            Some(tips) => Ok(Known { tips, recorded }),
            None => Err(ApiError::Unsure(
                "the branches that a step takes paths from are being read".to_owned(),
            )),
        }
    }

    /// Intent, commit, a line that says what is pushed, push, receipt. Freezes are looked for before the intent and before the push.
    pub(super) async fn git(
        &self,
        seq: u32,
        planned: &PlannedStep,
        status: &mut Journal<'_>,
    ) -> Result<StepEnd, ApiError> {
        let asked = self.step_of(planned).and_then(|step| step.git.as_ref());
        let Some(asked) = asked.filter(|asked| is_as_planned(asked, planned)) else {
            return Ok(StepEnd::Failed("the guard asks for another change meanwhile".into()));
        };
        let Some(commits) = &planned.commits else {
            let why = planned.diff.clone().unwrap_or_default();
            return Ok(StepEnd::Failed(why));
        };
        let key: Key = (self.at.uid.clone(), seq);
        let words = words(asked, commits);
        let is_late = self.is_late(seq, planned, status);
        match self.api.git.see(&key) {
            Seen::Nothing => self.begin(&key, planned, (asked, commits), status).await,
            // Whether it arrives is known soon.
            Seen::Pushes(commit) => Ok(StepEnd::Waiting(format!("{words}: pushes {}", short(&commit.commit)))),
            Seen::Makes | Seen::Ready(_) if is_late => {
                self.api.git.forget(&key);
                Ok(StepEnd::Failed(format!("{words}: nothing was pushed in time")))
            }
            Seen::Makes => Ok(StepEnd::Waiting(format!("{words}: makes the commit"))),
            Seen::Ready(commit) => self.let_push(&key, planned, (asked, &commit), status).await,
            Seen::Ended(End::Again(why), attempts) => {
                if is_late || attempts >= ATTEMPTS {
                    self.api.git.forget(&key);
                    let why = format!("{words}: tried {attempts} times; {why}; look at {} first", asked.branch);
                    return Ok(StepEnd::Failed(why));
                }
                self.begin(&key, planned, (asked, commits), status).await
            }
            Seen::Ended(End::Failed(why), _) => {
                self.api.git.forget(&key);
                Ok(StepEnd::Failed(why))
            }
            Seen::Ended(End::Pushed(commit), _) => {
                let note = format!("{words}: pushed as {commit}");
                self.receipt(seq, planned, "done", Some(note), None, status).await?;
                self.api.git.forget(&key);
                Ok(StepEnd::Done)
            }
            Seen::Ended(End::Nothing, _) => {
                let note = format!("{words}: {} is so already, nothing was pushed", asked.branch);
                self.receipt(seq, planned, "already", Some(note), None, status).await?;
                self.api.git.forget(&key);
                Ok(StepEnd::Done)
            }
        }
    }

    async fn begin(
        &self,
        key: &Key,
        planned: &PlannedStep,
        (asked, commits): (&GitChange, &str),
        status: &mut Journal<'_>,
    ) -> Result<StepEnd, ApiError> {
        if let Some(end) = self.stopped(planned, status).await {
            return Ok(end);
        }
        self.intent(key.1, planned, None, status).await?;
        let (guard, bad) = (&self.spec.guard, &self.spec.bad.hash);
        let incident = format!("{}/{}", self.namespace, self.at.name);
        let job = Job {
            namespace: self.namespace.to_owned(),
            change: asked.clone(),
            commits: commits.to_owned(),
            // The name alone may be that of an incident in another cluster.
            mark: format!("{incident}/{}#{}", self.at.uid, key.1),
            reason: format!(
                "modosu puts {}/{guard} back after {bad}, incident {incident}.",
                self.namespace
            ),
        };
        self.api.git.begin(key.clone(), job, self.timeout(planned));
        Ok(StepEnd::Waiting(format!("{}: makes the commit", words(asked, commits))))
    }

    async fn let_push(
        &self,
        key: &Key,
        planned: &PlannedStep,
        (asked, ready): (&GitChange, &Commit),
        status: &mut Journal<'_>,
    ) -> Result<StepEnd, ApiError> {
        let Commit { commit, parent } = ready;
        let mut line = entry(key.1, self.clock.now(), planned, None);
        line.note = Some(format!("pushes {commit} onto {parent}"));
        if !status
            .journal
            .iter()
            .any(|entry| entry.seq == key.1 && entry.note == line.note)
        {
            self.append(line, status).await?;
        }
        if let Some(end) = self.stopped(planned, status).await {
            return Ok(end);
        }
        self.api.git.push(key);
        Ok(StepEnd::Waiting(format!(
            "pushes {} to {}",
            short(commit),
            asked.branch
        )))
    }
}
