//! IO. A Job of a step or of a check: made once under a name of its own, then awaited.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api as KubeApi, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, LogParams},
};

use super::{ATTEMPTS, ApiError, Journal, Run, StepEnd, entry};
use crate::{
    act::{Api, post_params},
    decide::{
        between,
        plan::job::{For, Templates, template},
    },
    model::{
        content::short_hash,
        guard::RunJob,
        incident::{IncidentStatus, JournalEntry, PlannedStep},
    },
    report::mask::mask_text,
};

/// What of a log goes to the journal.
const LINES: i64 = 10;
const BYTES: usize = 1024;
/// So much of it is read: lines may be long.
const AT_MOST: i64 = 65_536;

/// The templates of Jobs, as they stand there now.
pub async fn templates(api: &Api, namespace: &str, jobs: &[&RunJob]) -> Result<Templates, ApiError> {
    let mut templates = Templates::new();
    let configs: KubeApi<ConfigMap> = KubeApi::namespaced(api.client.clone(), namespace);
    for RunJob { from, key } in jobs {
        let name = from.strip_prefix("ConfigMap/").unwrap_or(from);
        let config = api.ask(None, configs.get_opt(name)).await?;
        let text = config.and_then(|config| config.data?.remove(key));
        templates.extend(text.map(|text| ((from.clone(), key.clone()), text)));
    }
    Ok(templates)
}

/// A Job that is wanted once: by a step of the plan, or by a check before it.
pub(super) struct Wanted<'a> {
    pub made_for: For<'a>,
    /// How it stands in the journal.
    pub seq: u32,
    pub planned: &'a PlannedStep,
    /// What its intent says beside that.
    pub note: Option<String>,
    /// Where its template stands; nothing where the guard has no such step any more.
    pub template: Option<&'a RunJob>,
}

impl Wanted<'_> {
    fn intent<'j>(&self, status: &'j IncidentStatus) -> Option<&'j JournalEntry> {
        let mut intents = status.journal.iter().filter(|entry| entry.intent.is_some());
        intents.find(|entry| entry.seq == self.seq && entry.target == self.planned.target)
    }

    /// Whether its time is over. As long as the plan stood still it did not run.
    fn is_late(&self, status: &IncidentStatus, now: Timestamp) -> bool {
        let began = self.intent(status).map(|entry| entry.at).max(status.acting_since);
        between(began.unwrap_or(now), now) > self.made_for.timeout
    }
}

impl Run<'_> {
    /// A Job of a step.
    pub(super) async fn job(
        &self,
        seq: u32,
        planned: &PlannedStep,
        status: &mut Journal<'_>,
    ) -> Result<StepEnd, ApiError> {
        let wanted = Wanted {
            made_for: self.made_for(seq.to_string(), self.timeout(planned)),
            seq,
            planned,
            note: None,
            template: self.step_of(planned).and_then(|step| step.job.as_ref()),
        };
        self.once(&wanted, status).await
    }

    pub(super) fn made_for(&self, what: String, timeout: Duration) -> For<'_> {
        For {
            incident: &self.at.name,
            uid: &self.at.uid,
            guard: &self.spec.guard,
            what,
            timeout,
        }
    }

    /// Look, intent, create, a line that says so, receipt when it has ended. One that is gone again is not made once more.
    pub(super) async fn once(&self, wanted: &Wanted<'_>, status: &mut Journal<'_>) -> Result<StepEnd, ApiError> {
        let name = wanted.made_for.name();
        let jobs: KubeApi<Job> = KubeApi::namespaced(self.api.client.clone(), self.namespace);
        let Some(job) = self.api.ask(None, jobs.get_opt(&name)).await? else {
            if is_made(status, &name) {
                return Ok(StepEnd::Failed(format!("Job/{name} was deleted before it ended")));
            }
            return self.make(wanted, status).await;
        };
        if !job.owner_references().iter().any(|owner| owner.uid == self.at.uid) {
            return Ok(StepEnd::Failed(format!(
                "Job/{name} is there already and not of this incident"
            )));
        }
        self.intend(wanted, status).await?;
        if !is_made(status, &name) {
            self.note_made(wanted, &name, status).await?;
        }
        match ended(&job) {
            None if wanted.is_late(status, self.clock.now()) => {
                let said = self.said(&name).await;
                Ok(StepEnd::Failed(format!("Job/{name} did not end in time{said}")))
            }
            None => Ok(StepEnd::Waiting(format!("Job/{name} runs"))),
            Some(Ok(())) => {
                let note = format!("Job/{name} completed{}", self.said(&name).await);
                self.receipt(wanted.seq, wanted.planned, "done", Some(note), None, status)
                    .await?;
                Ok(StepEnd::Done)
            }
            Some(Err(why)) => {
                let said = self.said(&name).await;
                Ok(StepEnd::Failed(format!("Job/{name} failed ({why}){said}")))
            }
        }
    }

    /// Made only from the template that was recorded, where one was.
    async fn make(&self, wanted: &Wanted<'_>, status: &mut Journal<'_>) -> Result<StepEnd, ApiError> {
        let templates = templates(self.api, self.namespace, wanted.template.as_slice()).await?;
        let recorded = wanted.planned.to.as_ref();
        let template = match wanted.template.map(|job| template(job, &templates)) {
            Some(Ok(template)) if recorded.is_none_or(|hash| *hash == short_hash(template)) => template,
            Some(Ok(_)) | None => {
                return Ok(StepEnd::Failed(
                    "the template of the Job is another one meanwhile".into(),
                ));
            }
            Some(Err(why)) => return Ok(StepEnd::Failed(why)),
        };
        let object = wanted.made_for.object(template);
        let object: Result<DynamicObject, String> =
            object.and_then(|object| serde_json::from_value(object).map_err(|why| why.to_string()));
        let object = match object {
            Ok(object) => object,
            Err(why) => return Ok(StepEnd::Failed(why)),
        };
        self.intend(wanted, status).await?;
        let resource = ApiResource::erase::<Job>(&());
        let jobs: KubeApi<DynamicObject> = KubeApi::namespaced_with(self.api.client.clone(), self.namespace, &resource);
        let (name, mut refusal) = (wanted.made_for.name(), String::new());
        for _ in 0..ATTEMPTS {
            if let Some(end) = self.stopped(wanted.planned, status).await {
                return Ok(end);
            }
            match self.api.ask(Some("job"), jobs.create(&post_params(), &object)).await {
                Ok(_) => {
                    self.note_made(wanted, &name, status).await?;
                    return Ok(StepEnd::Waiting(format!("Job/{name} runs")));
                }
                // Whose it is shows when it is read.
                Err(ApiError::Unsure(why) | ApiError::Exists(why)) => return Ok(StepEnd::Waiting(why)),
                Err(ApiError::Invalid(why)) => refusal = why,
                Err(why) => return Ok(StepEnd::Failed(format!("Job/{name} cannot be made: {why}"))),
            }
        }
        Ok(StepEnd::refused(&refusal))
    }

    async fn intend(&self, wanted: &Wanted<'_>, status: &mut Journal<'_>) -> Result<(), ApiError> {
        if wanted.intent(status).is_some() {
            return Ok(());
        }
        let mut entry = entry(wanted.seq, self.clock.now(), wanted.planned, None);
        entry.intent = Some(wanted.planned.step.clone());
        entry.note.clone_from(&wanted.note);
        self.append(entry, status).await
    }

    /// A line that is neither intent nor receipt.
    async fn note_made(&self, wanted: &Wanted<'_>, name: &str, status: &mut Journal<'_>) -> Result<(), ApiError> {
        let mut entry = entry(wanted.seq, self.clock.now(), wanted.planned, None);
        entry.note = Some(format!("{MADE}{name}"));
        self.append(entry, status).await
    }

    /// How its newest pod ended, and the last that it said. What cannot be read is left out of it, and why.
    async fn said(&self, job: &str) -> String {
        let pods: KubeApi<Pod> = KubeApi::namespaced(self.api.client.clone(), self.namespace);
        let own = ListParams::default().labels(&format!("job-name={job}"));
        let all = match self.api.ask(None, pods.list(&own)).await {
            Ok(all) => all.items,
            Err(why) => return format!(", its pods cannot be read: {why}"),
        };
        let Some(pod) = all
            .into_iter()
            .max_by_key(|pod| pod.creation_timestamp().map(|at| at.0))
        else {
            return ", no pod of it is left".to_owned();
        };
        let exit = exit(&pod).map(|code| format!(", exit code {code}"));
        let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
        let lines = LogParams {
            container: container.map(|container| container.name.clone()),
            tail_lines: Some(LINES),
            limit_bytes: Some(AT_MOST),
            ..LogParams::default()
        };
        let log = match self.api.ask(None, pods.logs(&pod.name_any(), &lines)).await {
            Ok(log) => tail(&log),
            Err(why) => format!("its log cannot be read: {why}"),
        };
        format!("{}; {log}", exit.unwrap_or_default())
    }
}

const MADE: &str = "made Job/";

fn is_made(status: &IncidentStatus, name: &str) -> bool {
    let mut notes = status.journal.iter().filter(|entry| entry.receipt.is_none());
    notes.any(|entry| entry.note.as_deref().and_then(|note| note.strip_prefix(MADE)) == Some(name))
}

/// Whether it has ended, and if it failed, why.
fn ended(job: &Job) -> Option<Result<(), String>> {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut holding = conditions.filter(|condition| condition.status == "True");
    holding.find_map(|condition| match condition.type_.as_str() {
        "Complete" => Some(Ok(())),
        "Failed" => Some(Err(condition.reason.clone().unwrap_or_else(|| "no reason".to_owned()))),
        _ => None,
    })
}

fn exit(pod: &Pod) -> Option<i32> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let mut codes = statuses
        .iter()
        .filter_map(|one| Some(one.state.as_ref()?.terminated.as_ref()?.exit_code));
    let first = codes.next();
    codes.find(|code| *code != 0).or(first)
}

/// The end of what it said, without secrets.
fn tail(log: &str) -> String {
    let masked = mask_text(log.trim());
    let skip = masked.len().saturating_sub(BYTES);
    let begin = (skip..=masked.len()).find(|at| masked.is_char_boundary(*at));
    let end = begin.and_then(|begin| masked.get(begin..)).unwrap_or_default();
    if end.is_empty() {
        "it said nothing".to_owned()
    } else {
        format!("it said:\n{end}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_ends_by_its_conditions() {
        let job = |conditions| serde_json::from_value::<Job>(json!({"status": {"conditions": conditions}})).unwrap();
        assert_eq!(
            ended(&job(json!([{"type": "SuccessCriteriaMet", "status": "True"}]))),
            None
        );
        assert_eq!(
            ended(&job(json!([{"type": "Complete", "status": "True"}]))),
            Some(Ok(()))
        );
        let failed = json!([{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]);
        assert_eq!(ended(&job(failed)), Some(Err("DeadlineExceeded".to_owned())));
    }

    #[test]
    fn the_exit_code_that_tells_most_is_told() {
        let ended = |code: i32| {
            json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code}}})
        };
        let pod = json!({"status": {"containerStatuses": [ended(0), ended(3)]}});
        assert_eq!(exit(&serde_json::from_value(pod).unwrap()), Some(3));
    }

    #[test]
    fn the_end_of_a_log_is_short_and_without_secrets() {
        assert_eq!(tail("\n"), "it said nothing");
        let said = tail(&format!("{}\ntoken=hunter2\nno such index ü", "x".repeat(5000)));
        assert!(said.ends_with("no such index ü") && !said.contains("hunter2"), "{said}");
        assert!(said.len() <= BYTES + 10);
    }
}
