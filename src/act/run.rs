//! IO. The plan, step by step: intent written before each action, receipt after it.
//!
//! An intent without a receipt is looked at first: done already → receipt; not done → done now; changed by others →
//! stop. So a daemon that was killed anywhere carries on without doing anything twice.

use std::time::Duration;

use jiff::Timestamp;

/// Requests.
mod http;
/// Numbers of pods.
pub(super) mod scale;

use super::{
    Api, ApiError,
    frozen::{Places, frozen},
    record, snapshot, target,
};
use crate::{
    clock::Clock,
    config::FreezeWindow,
    decide::{
        between,
        plan::{self, http::HTTP, scale::SCALE},
    },
    judge::policy::Policy,
    model::{
        content::{Content, Contents},
        freeze::Freeze,
        guard::{IncidentRef, OnFailure, Step, TargetRef},
        incident::{IncidentSpec, IncidentStatus, JournalEntry, PlannedStep},
    },
    observe::seen::{Seen, Writable},
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
    /// The objects that the guard names.
    pub targets: &'a [TargetRef],
    pub writable: &'a Writable,
    /// When the settings freeze everything.
    pub windows: &'a [FreezeWindow],
}

/// A plan made from what is there now.
pub enum Resolved {
    /// Its steps, and the present parts that the proven state does not hold.
    Plan(Vec<PlannedStep>, Vec<TargetRef>),
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
    /// Makes the plan from what is there now, if that is what was judged. Pods that restart are marked with `restored_at`.
    pub async fn resolve(&self, seen: &Seen, restored_at: Timestamp) -> Result<Resolved, ApiError> {
        let mut snapshot = self.snapshot().await?;
        if let Some(contents) = &mut snapshot {
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
        let plan = plan::resolve(&plan::Sources {
            steps: &self.policy.steps,
            current: &current,
            uids: &uids,
            replicas: &scale::replicas(self.api, self.namespace, &self.policy.steps).await?,
            snapshot: snapshot.as_ref(),
            restored_at: &restored_at.to_string(),
        });
        let held = |target: &&TargetRef| snapshot.as_ref().is_none_or(|all| all.contains_key(*target));
        let left: Vec<TargetRef> = seen.parts.keys().filter(|target| !held(target)).cloned().collect();
        Ok(plan.map_or_else(Resolved::Impossible, |steps| Resolved::Plan(steps, left)))
    }

    /// Carries the plan on as far as it goes now. `status` is written before and after each action.
    pub async fn advance(&self, status: &mut IncidentStatus) -> Result<Progress, ApiError> {
        let snapshot = self.snapshot().await?;
        for (place, planned) in status.plan.clone().iter().enumerate() {
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
            if let Some(foreign) = foreign(planned, target, read.as_ref()) {
                return Ok(StepEnd::Superseded(foreign));
            }
            let goal = match plan::goal(planned, &self.policy.steps, target, content, snapshot) {
                Ok(goal) => goal,
                Err(why) => return Ok(StepEnd::Failed(why)),
            };
            self.intent(seq, planned, read.as_ref(), status).await?;
            if let Some(end) = self.stopped().await {
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
            match written {
                Ok(version) => {
                    self.receipt(seq, planned, "done", None, Some(version), status).await?;
                    return Ok(StepEnd::Done);
                }
                Err(ApiError::Invalid(why) | ApiError::Exists(why) | ApiError::NotFound(why)) => refusal = why,
                Err(ApiError::Refused(why)) => return Ok(StepEnd::Failed(why)),
                Err(ApiError::Unsure(why)) => return Ok(StepEnd::Waiting(why)),
            }
        }
        Ok(StepEnd::Failed(format!(
            "the API server refused it {ATTEMPTS} times: {refusal}"
        )))
    }

    /// Right before a write: whether somebody stopped modosu, or that cannot be known.
    async fn stopped(&self) -> Option<StepEnd> {
        match self.frozen().await {
            Ok(None) => None,
            Ok(Some(freeze)) => Some(StepEnd::Frozen(freeze.to_string())),
            Err(ApiError::Unsure(why)) => Some(StepEnd::Waiting(why)),
            Err(why) => Some(StepEnd::Failed(format!("cannot see whether it is frozen: {why}"))),
        }
    }

    async fn wait_ready(
        &self,
        seq: u32,
        planned: &PlannedStep,
        status: &mut IncidentStatus,
    ) -> Result<StepEnd, ApiError> {
        self.intent(seq, planned, None, status).await?;
        let named = status
            .plan
            .iter()
            .filter_map(|step| step.target.as_deref()?.parse::<TargetRef>().ok());
        let mut workloads: Vec<_> = named.filter(|target| target.kind.is_workload()).collect();
        workloads.dedup();
        for target in &workloads {
            if let Err(why) = target::rolled_out(self.api, self.namespace, target).await? {
                let began = status
                    .journal
                    .iter()
                    .find(|entry| entry.seq == seq)
                    .map_or(self.clock.now(), |entry| entry.at);
                let late = between(began, self.clock.now()) > self.timeout(planned);
                return Ok(if late {
                    StepEnd::Failed(why)
                } else {
                    StepEnd::Waiting(why)
                });
            }
        }
        self.receipt(seq, planned, "done", None, None, status).await?;
        Ok(StepEnd::Done)
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
        let mut entry = entry(seq, self.clock.now(), planned, version);
        entry.intent = Some(planned.step.clone());
        self.append(entry, status).await
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
    pub async fn frozen(&self) -> Result<Option<Freeze>, ApiError> {
        let workloads = self.targets.iter().filter(|target| target.kind.is_workload());
        let places = Places {
            namespace: self.namespace,
            guard: &self.spec.guard,
            workloads: workloads.cloned().collect(),
            windows: self.windows,
        };
        frozen(self.api, self.clock, &places).await
    }

    /// What is written beside a template, for people.
    pub(super) fn cause(&self, planned: &PlannedStep) -> String {
        let (step, bad, incident) = (&planned.step, &self.spec.bad.hash, &self.at.name);
        format!("modosu: {step} after {bad}, incident {incident}")
    }

    pub(super) async fn snapshot(&self) -> Result<Option<Contents>, ApiError> {
        let restores = self.policy.steps.iter().any(|step| step.restore.is_some());
        match self.spec.restore_to.as_ref().filter(|_| restores) {
            Some(to) => {
                let name = to.name.clone().unwrap_or_default();
                snapshot::load(self.api, self.namespace, &name, &to.hash)
                    .await
                    .map(Some)
            }
            None => Ok(None),
        }
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

/// What stands there, if it is neither what was judged nor what the step makes of it.
pub(super) fn foreign(planned: &PlannedStep, target: &TargetRef, read: Option<&target::Read>) -> Option<String> {
    let uid = read.and_then(|read| read.object.metadata.uid.clone());
    let now = read.map_or_else(|| plan::ABSENT.to_owned(), |read| read.content.hash());
    let judged = planned.from.as_deref() == Some(now.as_str()) || planned.to.as_deref() == Some(now.as_str());
    let same_object = uid.is_none() || planned.uid.is_none() || uid == planned.uid;
    (!judged || !same_object).then(|| format!("{target} carries {now}, which was not judged"))
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
