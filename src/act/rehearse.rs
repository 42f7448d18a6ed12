//! IO. A plan that the server is only asked about (`dryRun=All`): right before its first real write, and while nothing is
//! wrong, so that a refusal is known before the night it hurts. Nothing is written.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Jobs of steps and of checks.
mod jobs;
/// Repositories that steps change.
mod repositories;

use jiff::Timestamp;

use super::{
    Api, ApiError,
    run::{
        ATTEMPTS, Earlier, Reads, Run, earlier, foreign, job,
        scale::{asked_for, autoscaler, replicas},
    },
    snapshot, target,
};
use crate::{
    decide::{
        happened::named,
        plan::{self, git::Known, scale::SCALE},
        ready::{Answer, Way, is_unsupported},
    },
    judge::policy::Policy,
    model::{
        content::{Content, Contents},
        guard::{OnFailure, RestoreTo, Step, TargetRef},
        incident::{IncidentStatus, PlannedStep},
    },
    observe::seen::Writable,
};

/// A rehearsal takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes that are only tried.
struct Trial<'a> {
    api: &'a Api,
    namespace: &'a str,
    steps: &'a [Step],
    snapshot: Option<&'a Contents>,
    /// What earlier stages of the plan left.
    earlier: Earlier,
    /// The targets as they were just read.
    reads: Reads,
}

impl Trial<'_> {
    /// Tries every write of a plan in order. What may fail without stopping the plan does not stop it here either.
    async fn all(&self, plan: &[PlannedStep], cause: impl Fn(&PlannedStep) -> String) -> Answer {
        let (mut tried, mut unsupported) = (Contents::new(), None);
        for planned in plan.iter().filter(|step| step.target.is_some()) {
            let goes_on =
                || plan::step_of(planned, self.steps).is_some_and(|step| step.on_failure == OnFailure::Continue);
            match self.ask(planned, &cause(planned), &mut tried).await {
                Answer::Accepted => {}
                Answer::Unsupported(why) => {
                    unsupported.get_or_insert(why);
                }
                Answer::Refused { .. } if goes_on() => {}
                end @ (Answer::Refused { .. } | Answer::Unanswered(_) | Answer::Changed) => return end,
            }
        }
        unsupported.map_or(Answer::Accepted, Answer::Unsupported)
    }

    /// Tries one write, on what stands there now. `tried`: what earlier writes of the plan would have put there.
    async fn ask(&self, planned: &PlannedStep, cause: &str, tried: &mut Contents) -> Answer {
        let object = planned.target.clone().unwrap_or_default();
        let Ok(target) = object.parse::<TargetRef>() else {
            return Answer::impossible("NoWayToPlan", &format!("{object} is no target"));
        };
        if planned.step == SCALE {
            return self.ask_to_scale(planned, &target).await;
        }
        let mut refusal = String::new();
        for attempt in 0..ATTEMPTS {
            let known = self.reads.get(&target).filter(|_| attempt == 0);
            let read = match known {
                Some(read) => Some(read.clone()),
                None => match target::read(self.api, self.namespace, &target).await {
                    Ok(read) => read,
                    Err(why) => return final_answer(&object, why),
                },
            };
            let before = tried.get(&target);
            if before.is_none() && foreign(planned, &target, read.as_ref(), &self.earlier).is_some() {
                return Answer::Changed;
            }
            if read.is_none() && target.kind.is_workload() {
                return Answer::impossible("TargetMissing", &format!("{target} was deleted"));
            }
            let base = before.or(read.as_ref().map(|read| &read.content));
            let content = match plan::goal(planned, self.steps, &target, base, self.snapshot) {
                Ok(content) => content,
                Err(why) => return Answer::impossible("NoWayToPlan", &why),
            };
            let goal = target::Goal {
                content: &content,
                cause,
                dry_run: true,
            };
            match target::put(self.api, self.namespace, &target, read.as_ref(), goal).await {
                Ok(_) => {
                    tried.insert(target, content);
                    return Answer::Accepted;
                }
                Err(ApiError::Invalid(why) | ApiError::Exists(why) | ApiError::NotFound(why)) => refusal = why,
                Err(ApiError::Refused(why)) if is_unsupported(&why) => {
                    tried.insert(target, content);
                    return Answer::Unsupported(why);
                }
                Err(why) => return final_answer(&object, why),
            }
        }
        Answer::refused(&object, &refusal)
    }

    /// Tries another number of pods.
    async fn ask_to_scale(&self, planned: &PlannedStep, target: &TargetRef) -> Answer {
        let object = target.to_string();
        let step = plan::step_of(planned, self.steps);
        let number = step
            .and_then(|step| step.scale.as_ref())
            .map(|scale| i64::from(scale.replicas));
        let Some(replicas) = number else {
            return Answer::impossible("NoWayToPlan", &format!("{object} has no number of replicas to go to"));
        };
        let mut refusal = String::new();
        for _ in 0..ATTEMPTS {
            let read = match target::read(self.api, self.namespace, target).await {
                Ok(Some(read)) => read,
                Ok(None) => return Answer::impossible("TargetMissing", &format!("{target} was deleted")),
                Err(why) => return final_answer(&object, why),
            };
            if asked_for(&read) == replicas {
                return Answer::Accepted;
            }
            match autoscaler(self.api, self.namespace, target).await {
                Ok(None) => {}
                Ok(Some(name)) => {
                    let why = format!("{object}: HorizontalPodAutoscaler/{name} owns the number of its pods");
                    return Answer::impossible("AutoscalerOwnsNumber", &why);
                }
                Err(why) => return final_answer(&object, why),
            }
            match target::scale(self.api, self.namespace, target, &read, replicas, true).await {
                Ok(_) => return Answer::Accepted,
                // Somebody may have scaled it at this very moment.
                Err(ApiError::Invalid(why)) => refusal = why,
                Err(ApiError::Refused(why)) if is_unsupported(&why) => return Answer::Unsupported(why),
                Err(why) => return final_answer(&object, why),
            }
        }
        Answer::refused(&object, &refusal)
    }
}

fn final_answer(object: &str, why: ApiError) -> Answer {
    match why {
        ApiError::Unsure(why) => Answer::Unanswered(format!("{object}: {why}")),
        ApiError::Refused(why) | ApiError::Invalid(why) | ApiError::NotFound(why) | ApiError::Exists(why) => {
            Answer::refused(object, &why)
        }
    }
}

impl Run<'_> {
    /// Asks the server about every write of what is to be carried out now, of which nothing is written yet.
    pub async fn rehearse(&self, status: &IncidentStatus) -> Result<Answer, ApiError> {
        let snapshot = self.snapshot().await?;
        let trial = Trial {
            api: self.api,
            namespace: self.namespace,
            steps: &self.policy.steps,
            snapshot: snapshot.as_ref(),
            earlier: earlier(status),
            reads: self.found.all(),
        };
        let steps = status.plan.iter().filter(|step| status.is_present(step));
        let plan: Vec<PlannedStep> = steps.cloned().collect();
        Ok(trial.all(&plan, |planned| self.cause(planned)).await)
    }
}

/// Tonight's rollback of one guard, tried while nothing is wrong.
pub struct Rehearsal {
    pub api: Api,
    pub namespace: String,
    /// Its name.
    pub guard: String,
    pub policy: Arc<Policy>,
    /// The content hash of each target, as judged.
    pub parts: BTreeMap<TargetRef, String>,
    pub writable: Writable,
    /// What runs now is proven, or something else is.
    pub proven: bool,
    /// Where a rollback goes; nothing where no change is in place.
    pub back_to: Option<RestoreTo>,
    pub now: Timestamp,
}

impl Rehearsal {
    /// What was tried, and what the server said.
    pub async fn run(self) -> (Way, Answer) {
        let way = self.way();
        let answer = match tokio::time::timeout(PATIENCE, self.ask(&way)).await {
            Ok(Ok(answer) | Err(answer)) => answer,
            Err(_) => Answer::Unanswered(format!("nothing within {} s", PATIENCE.as_secs())),
        };
        (way, answer)
    }

    fn way(&self) -> Way {
        match &self.back_to {
            _ if !self.policy.restores() => Way::Steps,
            Some(to) => Way::Back(named(&to.hash, &to.images)),
            None if self.proven => Way::Present,
            None => Way::NothingProven,
        }
    }

    async fn ask(&self, way: &Way) -> Result<Answer, Answer> {
        let kept = match (&self.back_to, way) {
            (Some(to), Way::Back(_)) => Some(self.load(to).await?),
            (Some(_) | None, _) => None,
        };
        let mut wanted: Vec<&TargetRef> = self.parts.keys().chain(kept.iter().flat_map(Contents::keys)).collect();
        wanted.sort();
        wanted.dedup();
        let read = target::read_all(&self.api, &self.namespace, wanted).await;
        let reads = read.map_err(|why| final_answer("its targets", why))?;
        let (current, uids) = target::contents(reads.clone());
        let as_judged =
            |(part, hash): (&TargetRef, &String)| current.get(part).map(Content::hash).as_ref() == Some(hash);
        if !self.parts.iter().all(as_judged) {
            return Ok(Answer::Changed);
        }
        let replicas = replicas(&self.api, &self.namespace, &self.policy.steps).await;
        let replicas = replicas.map_err(|why| final_answer("its targets", why))?;
        let templates = job::templates(&self.api, &self.namespace, &self.policy.step_jobs()).await;
        let templates = templates.map_err(|why| final_answer("a template of a Job", why))?;
        let snapshot = kept.unwrap_or_else(|| self.mine(current.clone()));
        let plan = plan::resolve(&plan::Sources {
            steps: &self.policy.steps,
            current: &current,
            uids: &uids,
            replicas: &replicas,
            templates: &templates,
            git: &Known::default(),
            snapshot: Some(&snapshot),
            restored_at: &self.now.to_string(),
        });
        let mut plan = plan.map_err(|why| Answer::impossible("NoWayToPlan", &why))?;
        let mut goals = snapshot;
        if plan.is_empty() {
            goals = self.mine(current.clone());
            plan = self.over_itself(&goals);
        }
        let trial = Trial {
            api: &self.api,
            namespace: &self.namespace,
            steps: &self.policy.steps,
            snapshot: Some(&goals),
            earlier: Earlier::new(),
            reads,
        };
        let answer = trial.all(&plan, |_| "modosu: a dry run".to_owned()).await;
        Ok(match answer {
            Answer::Accepted | Answer::Unsupported(_) => self.beside(&current).await.err().unwrap_or(answer),
            Answer::Refused { .. } | Answer::Unanswered(_) | Answer::Changed => answer,
        })
    }

    /// What a plan asks for beside its writes.
    async fn beside(&self, current: &Contents) -> Result<(), Answer> {
        self.jobs().await?;
        self.repositories(current).await
    }

    /// Only what a plan of this guard may write.
    fn mine(&self, mut contents: Contents) -> Contents {
        contents.retain(|target, _| self.writable.holds(target));
        contents
    }

    async fn load(&self, to: &RestoreTo) -> Result<Contents, Answer> {
        match snapshot::load(&self.api, &self.namespace, &to.name, &to.hash).await {
            Ok(contents) => Ok(self.mine(contents)),
            Err(ApiError::Unsure(why)) => Err(Answer::Unanswered(why)),
            Err(ApiError::NotFound(why)) => Err(Answer::impossible("SnapshotMissing", &why)),
            Err(why) => Err(Answer::impossible("SnapshotUnusable", &why.to_string())),
        }
    }

    /// Where nothing is to be put back: what the plan could write, as it is.
    fn over_itself(&self, present: &Contents) -> Vec<PlannedStep> {
        let sets = self.policy.steps.iter().filter_map(|step| step.set_env.as_ref());
        let set: Vec<&str> = sets.map(|set| set.target.as_str()).collect();
        let written = |target: &TargetRef| self.policy.restores() || set.contains(&target.to_string().as_str());
        let step = |(target, content): (&TargetRef, &Content)| PlannedStep {
            step: "restore".to_owned(),
            target: Some(target.to_string()),
            from: Some(content.hash()),
            to: Some(content.hash()),
            ..PlannedStep::default()
        };
        present.iter().filter(|(target, _)| written(target)).map(step).collect()
    }
}
