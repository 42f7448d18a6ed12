//! IO. The plan, step by step: intent written before each action, receipt after it.
//!
//! An intent without a receipt is looked at first: done already → receipt; not done → done now; changed by others →
//! stop. So a daemon that was killed anywhere carries on without doing anything twice.

use std::time::Duration;

use jiff::Timestamp;
/// What a person does.
mod ask;
/// Jobs that are checks.
mod check;
/// What was found out a moment ago.
pub mod found;
/// Changes of repositories.
mod git;
/// Pods that hold a roll-out up.
mod held;
/// Requests.
mod http;
/// Jobs.
pub(super) mod job;
/// Intents and receipts.
mod journal;
/// What must hold right before a write.
mod last;
/// Only some of the targets.
mod part;
/// Roll-outs.
mod ready;
/// Numbers of pods.
pub(super) mod scale;
/// Writes of targets.
mod write;

pub use check::Checking;
pub use found::{Found, Reads};
pub use journal::Journal;
use journal::{entry, has_intent};
pub(super) use last::{Earlier, earlier, foreign};

use super::{Api, ApiError, target};
use crate::{
    clock::Clock,
    config::FreezeWindow,
    decide::plan::{self, git::GIT, http::HTTP, job::JOB, scale::SCALE},
    judge::policy::Policy,
    model::{
        content::{Content, Contents},
        guard::{Guard, IncidentRef, OnFailure, Step, TargetRef},
        incident::{ASK, IncidentSpec, PlannedStep, StateRef},
    },
    observe::seen::{Seen, Writable, left_alone},
};

/// A real refusal shows in so many attempts, each on what was just read.
pub(super) const ATTEMPTS: u32 = 3;

/// What is needed to run a plan.
pub struct Run<'a> {
    pub api: &'a Api,
    pub clock: &'a Clock,
    pub namespace: &'a str,
    pub policy: &'a Policy,
    pub at: &'a IncidentRef,
    pub spec: &'a IncidentSpec,
    /// The state that is restored.
    pub to: Option<&'a StateRef>,
    /// A person wants only these targets back; empty: all.
    pub only: &'a [String],
    pub guard: &'a Guard,
    pub writable: &'a Writable,
    /// When the settings freeze everything.
    pub windows: &'a [FreezeWindow],
    /// What is known already.
    pub found: Found,
}

/// A plan made from what is there now.
pub enum Resolved {
    /// Its steps, and what stays as it is, in words.
    Plan(Vec<PlannedStep>, Vec<String>),
    /// There is none, and why.
    Impossible(String),
    /// What is there is not what was judged: the watch will show it.
    Changed,
}

/// How far the plan got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Every step has its receipt.
    Done,
    /// Waiting for a roll-out, or for a clear answer: carried on next turn.
    Waiting(String),
    /// Somebody changed what was judged: nothing more is written.
    Superseded(String),
    Failed(String),
    /// Somebody stopped modosu: nothing more is written.
    Frozen(String),
    /// There is no plan any more, or nothing for it to do.
    Impossible(String),
    /// There is nothing to do for the present stage of the plan.
    Idle,
    /// The plan made now is not the recorded one.
    NotAsRecorded,
}

enum StepEnd {
    Done,
    Waiting(String),
    Superseded(String),
    Frozen(String),
    Failed(String),
}

impl Run<'_> {
    /// Makes the plan from what is there now, if that is what was judged. Pods that restart are marked with `at`. `before`: what
    /// a plan of this incident recorded already.
    pub async fn resolve(&self, seen: &Seen, at: Timestamp, before: &[PlannedStep]) -> Result<Resolved, ApiError> {
        let git = self.commits(before)?;
        let (api, namespace, steps) = (self.api, self.namespace, &self.policy.steps);
        let jobs = self.policy.step_jobs();
        let (mut snapshot, mut reads, replicas, templates) = tokio::try_join!(
            self.snapshot(),
            target::read_all(api, namespace, seen.parts.keys()),
            scale::replicas(api, namespace, steps),
            job::templates(api, namespace, &jobs),
        )?;
        let mut shared = Vec::new();
        if let Some(contents) = &mut snapshot {
            shared.extend(contents.keys().filter_map(|target| {
                let by = self.writable.shared_with(target)?;
                Some(left_alone(&target.name, by))
            }));
            contents.retain(|target, _| self.writable.holds(target));
        }
        let others = snapshot.iter().flat_map(Contents::keys);
        let others = others.filter(|target| !seen.parts.contains_key(target));
        reads.extend(target::read_all(api, namespace, others).await?);
        self.found.keep(reads.clone());
        let (current, uids) = target::contents(reads);
        let as_judged =
            |(target, hash): (&TargetRef, &String)| current.get(target).map(Content::hash).as_ref() == Some(hash);
        if !seen.parts.iter().all(as_judged) {
            return Ok(Resolved::Changed);
        }
        let narrowed = snapshot.as_mut().map(|snapshot| self.narrow(snapshot, &current));
        let mixed = narrowed.unwrap_or_default();
        let plan = plan::resolve(&plan::Sources {
            steps: &self.wanted_steps(),
            current: &current,
            uids: &uids,
            replicas: &replicas,
            templates: &templates,
            git: &git,
            snapshot: snapshot.as_ref(),
            restored_at: &at.to_string(),
        });
        let held = |target: &&TargetRef| snapshot.as_ref().is_none_or(|all| all.contains_key(*target));
        let added = seen.parts.keys().filter(|target| !held(target));
        let added = added.map(|part| self.stays(part));
        let shared = shared.into_iter().filter(|words| !seen.shared.contains(words));
        let left = added.chain(mixed).chain(shared).chain(seen.shared.iter().cloned());
        Ok(self.resolved(seen, plan, left.collect()))
    }

    /// Carries the plan on as far as it goes now. `status` is written before each action, and its end with what follows: what of
    /// it is not written when this returns is written next.
    pub async fn advance(&self, status: &mut Journal<'_>) -> Result<Progress, ApiError> {
        let snapshot = self.snapshot().await?;
        let present: Vec<usize> = status.present_places().collect();
        for (place, planned) in status.plan.clone().iter().enumerate() {
            if !present.contains(&place) {
                continue;
            }
            let seq = status.seq_of(place);
            if let Some(entry) = status.receipt_of(place) {
                let why = entry.note.clone().unwrap_or_default();
                match entry.receipt.as_deref() {
                    Some("changed") => return Ok(Progress::Superseded(why)),
                    Some("failed") if self.on_failure(planned) == OnFailure::Escalate => {
                        return Ok(failed(planned, &why));
                    }
                    Some(_) | None => continue,
                }
            }
            let end = match planned.target.as_deref().map(str::parse::<TargetRef>) {
                None if planned.step == ASK => self.ask(seq, planned, status).await?,
                None if planned.step == JOB => self.job(seq, planned, status).await?,
                None if planned.step == GIT => self.git(seq, planned, status).await?,
                None if planned.step == HTTP => self.http(seq, planned, status).await?,
                None => self.wait_ready(seq, planned, status).await?,
                Some(Ok(target)) if planned.step == SCALE => self.scale(seq, planned, &target, status).await?,
                Some(Ok(target)) => self.write(seq, planned, &target, snapshot.as_ref(), status).await?,
                Some(Err(why)) => StepEnd::Failed(why),
            };
            match end {
                StepEnd::Done => {}
                StepEnd::Waiting(why) => return Ok(Progress::Waiting(why)),
                StepEnd::Frozen(why) => return Ok(Progress::Frozen(why)),
                StepEnd::Superseded(by) => {
                    self.receipt(seq, planned, "changed", Some(by.clone()), None, status)
                        .await?;
                    return Ok(Progress::Superseded(by));
                }
                StepEnd::Failed(why) => {
                    self.receipt(seq, planned, "failed", Some(why.clone()), None, status)
                        .await?;
                    if self.on_failure(planned) == OnFailure::Escalate {
                        return Ok(failed(planned, &why));
                    }
                }
            }
        }
        Ok(Progress::Done)
    }

    /// What is written beside a template, for people.
    pub(super) fn cause(&self, planned: &PlannedStep) -> String {
        let (step, bad, incident) = (&planned.step, &self.spec.bad.hash, &self.at.name);
        format!("modosu: {step} after {bad}, incident {incident}")
    }

    pub(super) async fn snapshot(&self) -> Result<Option<Contents>, ApiError> {
        let Some(to) = self.to.filter(|_| self.policy.restores()) else {
            return Ok(None);
        };
        Ok(Some(self.found.kept.get_or_try_init(|| self.load(to)).await?.clone()))
    }

    fn timeout(&self, planned: &PlannedStep) -> Duration {
        self.step_of(planned)
            .map_or(Duration::from_secs(300), |step| step.timeout().0)
    }

    pub(super) fn on_failure(&self, planned: &PlannedStep) -> OnFailure {
        self.step_of(planned)
            .map_or(OnFailure::Escalate, |step| step.on_failure)
    }

    fn step_of(&self, planned: &PlannedStep) -> Option<&Step> {
        plan::step_of(planned, &self.policy.steps)
    }
}

fn failed(planned: &PlannedStep, why: &str) -> Progress {
    Progress::Failed(format!("{planned}: {why}"))
}
