//! Pure. A Job from a template as a step of a plan: recorded by the template's hash, made under a name of its own.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};

use crate::model::{content::short_hash, guard::RunJob, incident::PlannedStep};

/// The step's name.
pub const JOB: &str = "job";
/// Says which guard's step a Job is.
pub const GUARD: &str = "modosu.dev/guard";
/// Names of objects with pods are no longer.
const LONGEST: usize = 63;

/// What stands under a key of a ConfigMap; what is not there is missing.
pub type Templates = BTreeMap<(String, String), String>;

pub fn job(wanted: &RunJob, templates: &Templates) -> Result<PlannedStep, String> {
    let template = template(wanted, templates)?;
    read(template)?;
    Ok(PlannedStep {
        step: JOB.to_owned(),
        to: Some(short_hash(template)),
        ..PlannedStep::default()
    })
}

pub fn template<'a>(wanted: &RunJob, templates: &'a Templates) -> Result<&'a str, String> {
    let RunJob { from, key } = wanted;
    let found = templates.get(&(from.clone(), key.clone()));
    found
        .map(String::as_str)
        .ok_or_else(|| format!("{from} holds no `{key}`"))
}

fn read(template: &str) -> Result<Map<String, Value>, String> {
    let read: Value = serde_saphyr::from_str(template).map_err(|_| "the template of the Job is no YAML".to_owned())?;
    let says = |field, what| read.get(field).and_then(Value::as_str) == Some(what);
    let job = read
        .as_object()
        .filter(|_| says("apiVersion", "batch/v1") && says("kind", "Job"));
    job.cloned()
        .ok_or_else(|| "the template is no Job of batch/v1".to_owned())
}

/// What the Job of a check is called behind its incident: it is the same one however the checks are ordered.
pub fn of_check(wanted: &RunJob) -> String {
    format!("before-{}", short_hash(&format!("{} {}", wanted.from, wanted.key)))
}

/// What a Job is made for.
pub struct For<'a> {
    pub incident: &'a str,
    pub uid: &'a str,
    pub guard: &'a str,
    /// What of it: the number of a step, or the check that it is.
    pub what: String,
    pub timeout: Duration,
}

impl For<'_> {
    /// `<incident>-<what>`; of a long one the beginning and its hash.
    pub fn name(&self) -> String {
        let Self { incident, what, .. } = self;
        let whole = format!("{incident}-{what}");
        if whole.len() <= LONGEST {
            return whole;
        }
        let end = format!("-{}-{what}", short_hash(incident));
        let begin: String = incident.chars().take(LONGEST.saturating_sub(end.len())).collect();
        format!("{}{end}", begin.trim_end_matches(['-', '.']))
    }

    /// The Job as it is created: it goes with its incident and never before, and ends when the step's time is over.
    pub fn object(&self, template: &str) -> Result<Value, String> {
        let mut job = read(template)?;
        let given = |path: &str| job.get("metadata").and_then(|metadata| metadata.get(path)).cloned();
        let mut labels = given("labels").unwrap_or_else(|| json!({}));
        json_patch::merge(&mut labels, &json!({GUARD: self.guard}));
        let mut metadata = json!({
            "name": self.name(),
            "labels": labels,
            "ownerReferences": [{
                "apiVersion": "modosu.dev/v1alpha1", "kind": "Incident", "name": self.incident, "uid": self.uid,
            }],
        });
        if let Some(annotations) = given("annotations") {
            json_patch::merge(&mut metadata, &json!({"annotations": annotations}));
        }
        job.insert("metadata".to_owned(), metadata);
        job.remove("status");
        let spec = job.get_mut("spec").and_then(Value::as_object_mut);
        let spec = spec.ok_or("the template of the Job has no spec")?;
        spec.remove("ttlSecondsAfterFinished");
        let own = spec.get("activeDeadlineSeconds").and_then(Value::as_u64);
        let seconds = self.timeout.as_secs().max(1);
        let seconds = own.map_or(seconds, |own| own.min(seconds));
        spec.insert("activeDeadlineSeconds".to_owned(), json!(seconds));
        Ok(Value::Object(job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        judge::policy::Policy,
        model::{guard::Guard, preset::Preset},
    };

    const TEMPLATE: &str = "
apiVersion: batch/v1
kind: Job
metadata: {name: alias, namespace: other, labels: {team: search}}
spec:
  ttlSecondsAfterFinished: 10
  activeDeadlineSeconds: 600
  template: {spec: {restartPolicy: Never, containers: [{name: alias, image: tools}]}}
";

    fn wanted() -> RunJob {
        RunJob {
            from: "ConfigMap/runbook".into(),
            key: "job.yaml".into(),
        }
    }

    fn holding(template: &str) -> Templates {
        Templates::from([(("ConfigMap/runbook".into(), "job.yaml".into()), template.to_owned())])
    }

    fn made_for(incident: &str) -> For<'_> {
        For {
            incident,
            uid: "1",
            guard: "orders",
            what: "12".to_owned(),
            timeout: Duration::from_secs(300),
        }
    }

    #[test]
    fn a_plan_records_the_template_by_its_hash() {
        let plan = |template: &str| job(&wanted(), &holding(template));
        let first = plan(TEMPLATE).unwrap();
        assert_eq!(first.target, None);
        assert_ne!(first.to, plan(&TEMPLATE.replace("tools", "other")).unwrap().to);
        assert_eq!(plan("kind: Pod").unwrap_err(), "the template is no Job of batch/v1");
        let missing = job(&wanted(), &Templates::new()).unwrap_err();
        assert_eq!(missing, "ConfigMap/runbook holds no `job.yaml`");
    }

    #[test]
    fn a_job_is_named_owned_and_bounded_by_its_step() {
        let made = made_for("orders-8b21").object(TEMPLATE).unwrap();
        let owner = json!({"apiVersion": "modosu.dev/v1alpha1", "kind": "Incident", "name": "orders-8b21", "uid": "1"});
        let metadata = json!({"name": "orders-8b21-12", "ownerReferences": [owner],
            "labels": {"team": "search", "modosu.dev/guard": "orders"}});
        assert_eq!(made["metadata"], metadata);
        assert_eq!(made["spec"]["activeDeadlineSeconds"], 300);
        assert_eq!(made["spec"].get("ttlSecondsAfterFinished"), None, "it stays to be read");
    }

    #[test]
    fn the_shipped_example_waits_for_a_job_that_can_be_made() {
        let example = include_str!("../../../config/guards/backup-first.yaml");
        let (guard, config) = example.split_once("\n---\n").unwrap();
        let guard: Guard = serde_saphyr::from_str(guard).unwrap_or_else(|why| panic!("{why}"));
        let policy = Policy::compile("shop", &guard.spec, &Preset::shipped()).unwrap_or_else(|all| panic!("{all:?}"));
        let [(name, wanted, timeout)] = policy.before_jobs().collect::<Vec<_>>()[..] else {
            panic!("{:?}", policy.before);
        };
        assert_eq!((name, timeout.as_secs()), ("the last backup can be read", 120));
        let config: Value = serde_saphyr::from_str(config).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(
            wanted.from,
            format!("ConfigMap/{}", config["metadata"]["name"].as_str().unwrap())
        );
        let made = For {
            what: of_check(wanted),
            timeout,
            ..made_for("ledger-8b21")
        };
        let made = made.object(config["data"][&wanted.key].as_str().unwrap()).unwrap();
        assert!(
            made["metadata"]["name"]
                .as_str()
                .unwrap()
                .starts_with("ledger-8b21-before-")
        );
        assert_eq!(made["spec"]["activeDeadlineSeconds"], 120);
        assert_eq!(made["spec"]["template"]["spec"]["restartPolicy"], "Never");
    }

    #[test]
    fn long_names_stay_apart() {
        let long = "a".repeat(80);
        let (one, other) = (made_for(&long).name(), made_for(&format!("{long}-2")).name());
        assert!(one.len() <= 63 && other.len() <= 63 && one != other, "{one} {other}");
    }
}
