//! IO. The plan, step by step: intent written before each action, receipt after it.
//!
//! An intent without a receipt is looked at first: done already → receipt; not done → done now; changed by others →
//! stop. So a daemon that was killed anywhere carries on without doing anything twice.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::OnceCell;

/// What a person does.
mod ask;
/// Changes of repositories.
mod git;
/// Pods that hold a roll-out up.
mod held;
/// Requests.
mod http;
/// Jobs.
pub(super) mod job;
/// What must hold right before a write.
mod last;
/// Only some of the targets.
mod part;
/// Roll-outs.
mod ready;
/// Numbers of pods.
pub(super) mod scale;

pub(super) use last::{Earlier, earlier, foreign};

use super::{
    Api, ApiError,
    frozen::{Places, frozen},
    record, target,
};
use crate::{
    clock::Clock,
    config::FreezeWindow,
    decide::plan::{self, git::GIT, http::HTTP, job::JOB, scale::SCALE},
    judge::policy::Policy,
    model::{
        content::{Content, Contents},
        freeze::Freeze,
        guard::{Guard, IncidentRef, OnFailure, Step, TargetRef},
        incident::{ASK, IncidentSpec, IncidentStatus, JournalEntry, PlannedStep, StateRef},
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
    /// What that state holds, once it was read: it is named by its content.
    pub kept: OnceCell<Contents>,
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

impl StepEnd {
    fn refused(why: &str) -> Self {
        Self::Failed(format!("the API server refused it {ATTEMPTS} times: {why}"))
    }
}

impl Run<'_> {
    /// Makes the plan from what is there now, if that is what was judged. Pods that restart are marked with `at`. `before`: what
    /// a plan of this incident recorded already.
    pub async fn resolve(&self, seen: &Seen, at: Timestamp, before: &[PlannedStep]) -> Result<Resolved, ApiError> {
        let git = self.commits(before)?;
        let mut snapshot = self.snapshot().await?;
        let mut shared = Vec::new();
        if let Some(contents) = &mut snapshot {
            shared.extend(contents.keys().filter_map(|target| {
                let by = self.writable.shared_with(target)?;
                Some(left_alone(&target.name, by))
            }));
            contents.retain(|target, _| self.writable.holds(target));
        }
        let mut wanted: Vec<TargetRef> = seen.parts.keys().cloned().collect();
        wanted.extend(snapshot.iter().flat_map(Contents::keys).cloned());
        wanted.sort();
        wanted.dedup();
        let (current, uids) = target::read_all(self.api, self.namespace, &wanted).await?;
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
            replicas: &scale::replicas(self.api, self.namespace, &self.policy.steps).await?,
            templates: &job::templates(self.api, self.namespace, &self.policy.steps).await?,
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

    /// Carries the plan on as far as it goes now. `status` is written before and after each action.
    pub async fn advance(&self, status: &mut IncidentStatus) -> Result<Progress, ApiError> {
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

    /// One write: look, intent, look at the same reading again through the patch's tests, receipt.
    async fn write(
        &self,
        seq: u32,
        planned: &PlannedStep,
        target: &TargetRef,
        snapshot: Option<&Contents>,
        status: &mut IncidentStatus,
    ) -> Result<StepEnd, ApiError> {
        let mut refusal = String::new();
        for _ in 0..ATTEMPTS {
            let read = target::read(self.api, self.namespace, target).await?;
            let content = read.as_ref().map(|read| &read.content);
            if content.is_some_and(|content| plan::reached(planned, content)) {
                let version = read.and_then(|read| read.object.metadata.resource_version);
                let word = if has_intent(status, seq) { "done" } else { "already" };
                self.receipt(seq, planned, word, None, version, status).await?;
                return Ok(StepEnd::Done);
            }
            if let Some(foreign) = foreign(planned, target, read.as_ref(), &earlier(status)) {
                return Ok(StepEnd::Superseded(foreign));
            }
            let goal = match plan::goal(planned, &self.policy.steps, target, content, snapshot) {
                Ok(goal) => goal,
                Err(why) => return Ok(StepEnd::Failed(why)),
            };
            self.intent(seq, planned, read.as_ref(), status).await?;
            if let Some(end) = self.stopped(planned, status).await {
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
            match self.written(seq, planned, written, status).await? {
                Ok(end) => return Ok(end),
                Err(why) => refusal = why,
            }
        }
        Ok(StepEnd::refused(&refusal))
    }

    /// What came of a write. The inner error: what was read is there no more, or the server finds the write invalid.
    async fn written(
        &self,
        seq: u32,
        planned: &PlannedStep,
        written: Result<String, ApiError>,
        status: &mut IncidentStatus,
    ) -> Result<Result<StepEnd, String>, ApiError> {
        match written {
            Ok(version) => {
                self.receipt(seq, planned, "done", None, Some(version), status).await?;
                Ok(Ok(StepEnd::Done))
            }
            Err(ApiError::Invalid(why) | ApiError::Exists(why) | ApiError::NotFound(why)) => Ok(Err(why)),
            Err(ApiError::Refused(why)) => Ok(Ok(StepEnd::Failed(why))),
            Err(ApiError::Unsure(why)) => Ok(Ok(StepEnd::Waiting(why))),
        }
    }

    async fn intent(
        &self,
        seq: u32,
        planned: &PlannedStep,
        read: Option<&target::Read>,
        status: &mut IncidentStatus,
    ) -> Result<(), ApiError> {
        if has_intent(status, seq) {
            return Ok(());
        }
        let version = read.and_then(|read| read.object.metadata.resource_version.clone());
        let intent = JournalEntry {
            intent: Some(planned.step.clone()),
            note: held::revision(planned, read),
            ..entry(seq, self.clock.now(), planned, version)
        };
        self.append(intent, status).await
    }

    async fn receipt(
        &self,
        seq: u32,
        planned: &PlannedStep,
        word: &str,
        note: Option<String>,
        version: Option<String>,
        status: &mut IncidentStatus,
    ) -> Result<(), ApiError> {
        let mut entry = entry(seq, self.clock.now(), planned, version);
        entry.receipt = Some(word.to_owned());
        entry.note = note;
        tracing::info!(
            incident = self.at.name,
            step = planned.step,
            target = planned.target,
            "{} {}: {word}",
            planned.step,
            planned.target.as_deref().unwrap_or("")
        );
        self.append(entry, status).await
    }

    /// An entry counts only when it is written.
    async fn append(&self, entry: JournalEntry, status: &mut IncidentStatus) -> Result<(), ApiError> {
        let mut next = status.clone();
        next.journal.push(entry);
        record::incident_status(self.api, self.namespace, self.at, &next).await?;
        *status = next;
        Ok(())
    }

    /// Whether somebody stopped modosu, as of right now.
    pub async fn frozen(&self, status: &IncidentStatus) -> Result<Option<Freeze>, ApiError> {
        let targets = self.guard.spec.targets.iter();
        let workloads = targets.filter(|target| target.kind.is_workload());
        let places = Places {
            namespace: self.namespace,
            guard: self.guard,
            workloads: workloads.cloned().collect(),
            windows: self.windows,
            incident: &self.at.name,
            followed: status.decided.as_ref(),
            own: status.freeze.as_ref(),
        };
        frozen(self.api, self.clock, &places).await
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
        Ok(Some(self.kept.get_or_try_init(|| self.load(to)).await?.clone()))
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

fn has_intent(status: &IncidentStatus, seq: u32) -> bool {
    status
        .journal
        .iter()
        .any(|entry| entry.seq == seq && entry.intent.is_some())
}

fn entry(seq: u32, at: Timestamp, planned: &PlannedStep, resource_version: Option<String>) -> JournalEntry {
    JournalEntry {
        seq,
        at,
        intent: None,
        receipt: None,
        target: planned.target.clone(),
        resource_version,
        note: None,
    }
}
