//! Pure. The steps of a rollback resolved to exact contents: nothing is left to choose when the plan runs.
//!
//! A plan is recorded as hashes. When it runs, every content is derived again from the snapshot and from what is
//! there, and must give the recorded hash.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use serde_json::{Map, Value, json};

/// What a person does.
pub mod ask;
/// Keys of ConfigMaps.
mod config;
/// What people see of a change.
mod diff;
/// Changes of repositories.
pub mod git;
/// Requests.
pub mod http;
/// Jobs.
pub mod job;
/// Numbers of pods.
pub mod scale;

use super::fields;
use crate::{
    model::{
        content::{Content, Contents, RESTORED_AT, short_hash},
        guard::{SetEnv, Step, TargetKind, TargetRef},
        incident::PlannedStep,
    },
    observe::objects::config_uses,
};

/// The `from` of an object that is not there.
pub const ABSENT: &str = "absent";
/// What a plan is made from.
pub struct Sources<'a> {
    pub steps: &'a [Step],
    /// What the targets hold now, and their uids.
    pub current: &'a Contents,
    pub uids: &'a std::collections::BTreeMap<TargetRef, String>,
    /// How many replicas the steps' workloads are asked to have now.
    pub replicas: &'a scale::Replicas,
    /// The templates of the steps' Jobs.
    pub templates: &'a job::Templates,
    /// What the commits of the steps' repositories are known by.
    pub git: &'a git::Known,
    /// The proven state to go back to.
    pub snapshot: Option<&'a Contents>,
    /// Marks pods that restart for a restored ConfigMap or Secret.
    pub restored_at: &'a str,
}

/// Resolves the steps. An empty plan means that there is nothing to put back.
pub fn resolve(sources: &Sources) -> Result<Vec<PlannedStep>, String> {
    let mut goal = sources.current.clone();
    let mut replicas = sources.replicas.clone();
    let mut plan: Vec<PlannedStep> = Vec::new();
    for (index, step) in sources.steps.iter().enumerate() {
        let begin = plan.len();
        if step.restore.is_some() {
            let snapshot = sources.snapshot.ok_or("there is no proven state to go back to")?;
            plan.extend(restore(sources, snapshot, &mut goal)?);
        } else if let Some(set) = &step.set_env {
            plan.extend(set_env(sources, set, &mut goal)?);
        } else if let Some(set) = &step.set_config {
            let mark = format!("{} {index}", sources.restored_at);
            plan.extend(config::set_config(sources, set, &mark, &mut goal)?);
        } else if let Some(wanted) = &step.scale {
            let scaled = scale::scale(sources, wanted, &mut replicas)?;
            let target = scaled.target.as_deref().and_then(|target| target.parse().ok());
            plan.push(PlannedStep {
                content: target.and_then(|target| goal.get(&target)).map(Content::hash),
                ..scaled
            });
        } else if let Some(asked) = &step.http {
            plan.push(http::http(asked));
        } else if let Some(asked) = &step.ask {
            plan.push(ask::ask(asked));
        } else if let Some(wanted) = &step.job {
            plan.push(job::job(wanted, sources.templates)?);
        } else if let Some(change) = &step.git {
            plan.push(git::git(change, index, sources.git, sources.current, sources.snapshot));
        } else if step.wait_ready.is_some() {
            plan.push(PlannedStep {
                step: "waitReady".into(),
                ..PlannedStep::default()
            });
        }
        for planned in plan.iter_mut().skip(begin) {
            planned.index = u32::try_from(index).ok();
        }
    }
    let writes = |step: &PlannedStep| step.target.is_some() && (step.from != step.to || step.restart.is_some());
    if plan.iter().any(writes) {
        Ok(plan)
    } else {
        Ok(Vec::new())
    }
}

/// The recorded plan's identity: what is done to which object, and what it must become. How many replicas there were
/// until then does not matter.
pub fn hash(plan: &[PlannedStep]) -> String {
    let from = |step: &PlannedStep| step.from.clone().filter(|_| step.step != scale::SCALE);
    let line = |step: &PlannedStep| {
        let done = json!([step.step, step.target, step.uid, from(step), step.to, step.restart]);
        let stage = step.stage.iter().map(|stage| format!(" {stage:?}"));
        format!("{done}{}", stage.collect::<String>())
    };
    short_hash(&plan.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// What a planned step makes of its target. `current` is what is there now, just read.
pub fn goal(
    planned: &PlannedStep,
    steps: &[Step],
    target: &TargetRef,
    current: Option<&Content>,
    snapshot: Option<&Contents>,
) -> Result<Content, String> {
    let base = match planned.step.as_str() {
        "restore" => snapshot
            .and_then(|all| all.get(target))
            .cloned()
            .ok_or("the snapshot does not hold this target")?,
        "restart" => current.cloned().ok_or("the object is gone")?,
        "setEnv" => {
            let current = current.ok_or("the object is gone")?;
            let mut content = current.clone();
            let of_target = |set: &&SetEnv| set.target.parse::<TargetRef>().as_ref() == Ok(target);
            for set in steps.iter().filter_map(|step| step.set_env.as_ref()).filter(of_target) {
                let candidate = with_env(current, set)?;
                if Some(candidate.hash()) == planned.to {
                    content = candidate;
                }
            }
            content
        }
        "setConfig" => {
            let set = step_of(planned, steps).and_then(|step| step.set_config.as_ref());
            let set = set.ok_or("the guard has this step no more")?;
            config::with_data(current.ok_or("the object is gone")?, set)
        }
        other => return Err(format!("unknown step `{other}`")),
    };
    if Some(base.hash()) != planned.to {
        return Err(format!(
            "{target} would become {}, the plan says {}",
            base.hash(),
            planned.to.clone().unwrap_or_default()
        ));
    }
    Ok(planned
        .restart
        .as_ref()
        .map_or(base.clone(), |at| with_restart(&base, at)))
}

/// The guard's step that a planned one comes from.
pub fn step_of<'a>(planned: &PlannedStep, steps: &'a [Step]) -> Option<&'a Step> {
    let named = |step: &&Step| {
        let kind = match planned.step.as_str() {
            "restart" => "restore",
            kind => kind,
        };
        step.kinds().contains(&kind)
    };
    match planned.index {
        Some(index) => steps.get(usize::try_from(index).ok()?),
        None => steps.iter().find(named),
    }
}

/// Whether a target already is what the step makes of it.
pub fn reached(planned: &PlannedStep, current: &Content) -> bool {
    let mark = current
        .0
        .pointer("/metadata/annotations")
        .and_then(|notes| notes.get(RESTORED_AT))
        .and_then(Value::as_str);
    let restarted = planned.restart.as_deref().is_none_or(|at| mark == Some(at));
    Some(current.hash()) == planned.to && restarted
}

fn restore(sources: &Sources, snapshot: &Contents, goal: &mut Contents) -> Result<Vec<PlannedStep>, String> {
    let mut plan = Vec::new();
    let mut settings = Vec::new();
    // ConfigMaps and Secrets come before workloads in the order of targets.
    for (target, wanted) in snapshot {
        let current = goal.get(target).cloned();
        let differs = current.as_ref().map(Content::hash) != Some(wanted.hash());
        match target.kind {
            TargetKind::ConfigMap | TargetKind::Secret => {
                if differs {
                    settings.push(target);
                    plan.push(planned("restore", sources, target, current.as_ref(), wanted, None));
                }
            }
            TargetKind::Deployment | TargetKind::StatefulSet | TargetKind::DaemonSet => {
                let current = current.ok_or_else(|| format!("{target} was deleted: bring it back first"))?;
                let uses = config_uses(wanted.0.get("spec").unwrap_or(&Value::Null));
                let reads = uses.iter().any(|used| settings.contains(&&used.target));
                let restart = reads.then(|| sources.restored_at.to_owned());
                if differs {
                    plan.push(planned("restore", sources, target, Some(&current), wanted, restart));
                } else if restart.is_some() {
                    plan.push(planned("restart", sources, target, Some(&current), wanted, restart));
                }
            }
        }
        goal.insert(target.clone(), wanted.clone());
    }
    Ok(plan)
}

fn set_env(sources: &Sources, set: &SetEnv, goal: &mut Contents) -> Result<Option<PlannedStep>, String> {
    let target: TargetRef = set.target.parse()?;
    let current = goal
        .get(&target)
        .cloned()
        .ok_or_else(|| format!("{target} is no target of this guard, or is gone"))?;
    let wanted = with_env(&current, set)?;
    if wanted.hash() == current.hash() {
        return Ok(None);
    }
    let step = planned("setEnv", sources, &target, Some(&current), &wanted, None);
    goal.insert(target, wanted);
    Ok(Some(step))
}

fn planned(
    step: &str,
    sources: &Sources,
    target: &TargetRef,
    from: Option<&Content>,
    to: &Content,
    restart: Option<String>,
) -> PlannedStep {
    PlannedStep {
        step: step.to_owned(),
        index: None,
        stage: None,
        target: Some(target.to_string()),
        uid: sources.uids.get(target).cloned(),
        from: Some(from.map_or_else(|| ABSENT.to_owned(), Content::hash)),
        to: Some(to.hash()),
        diff: Some(match target.kind {
            TargetKind::Secret => diff::of_keys(from, to),
            TargetKind::ConfigMap | TargetKind::Deployment | TargetKind::StatefulSet | TargetKind::DaemonSet => {
                diff::of_lines(from, to)
            }
        }),
        content: None,
        commits: None,
        restart,
        changed: fields::changed(target, from, to),
    }
}

/// The template with the variables set and removed in one container.
fn with_env(template: &Content, set: &SetEnv) -> Result<Content, String> {
    let mut value = template.0.clone();
    let containers = value
        .pointer_mut("/spec/containers")
        .and_then(Value::as_array_mut)
        .ok_or("the template has no containers")?;
    let named = |c: &&mut Value| {
        set.container
            .as_deref()
            .is_none_or(|name| c.get("name").and_then(Value::as_str) == Some(name))
    };
    let container = containers
        .iter_mut()
        .find(named)
        .and_then(Value::as_object_mut)
        .ok_or_else(|| {
            format!(
                "there is no container `{}`",
                set.container.as_deref().unwrap_or("(first)")
            )
        })?;
    let mut env: Vec<Value> = container
        .get("env")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let name_of = |entry: &Value| entry.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    env.retain(|entry| !set.remove.contains(&name_of(entry)));
    for (name, wanted) in &set.env {
        let entry = json!({"name": name, "value": wanted});
        match env.iter_mut().find(|existing| name_of(existing) == *name) {
            Some(existing) => *existing = entry,
            None => env.push(entry),
        }
    }
    if env.is_empty() {
        container.remove("env")
    } else {
        container.insert("env".into(), Value::Array(env))
    };
    Ok(Content(value))
}

fn with_restart(template: &Content, at: &str) -> Content {
    let mut value = template.0.clone();
    if let Some(object) = value.as_object_mut() {
        let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if !metadata.get("annotations").is_some_and(Value::is_object) {
            metadata["annotations"] = Value::Object(Map::new());
        }
        metadata["annotations"][RESTORED_AT] = Value::String(at.to_owned());
    }
    Content(value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::guard::Empty;

    fn deployment(mode: &str, config: bool) -> Content {
        let from = if config {
            json!([{"configMapRef": {"name": "settings"}}])
        } else {
            json!([])
        };
        Content(
            json!({"spec": {"containers": [{"name": "orders", "env": [{"name": "WORKER_MODE", "value": mode}], "envFrom": from}]}}),
        )
    }

    fn contents(mode: &str, share: &str) -> Contents {
        BTreeMap::from([
            ("Deployment/orders".parse().unwrap(), deployment(mode, true)),
            (
                "ConfigMap/settings".parse().unwrap(),
                Content(json!({"data": {"ERROR_SHARE": share}})),
            ),
        ])
    }

    fn planned(steps: &[Step], current: &Contents, snapshot: Option<&Contents>) -> Vec<PlannedStep> {
        resolve(&Sources {
            templates: &BTreeMap::new(),
            git: &git::Known::default(),
            steps,
            current,
            uids: &BTreeMap::new(),
            replicas: &BTreeMap::new(),
            snapshot,
            restored_at: "now",
        })
        .unwrap()
    }

    fn restore_then_wait() -> Vec<Step> {
        let restore = Step {
            restore: Some(Empty {}),
            ..Step::default()
        };
        let wait = Step {
            wait_ready: Some(Empty {}),
            ..Step::default()
        };
        vec![restore, wait]
    }

    fn words(plan: &[PlannedStep]) -> Vec<String> {
        plan.iter()
            .map(|step| format!("{} {}", step.step, step.target.as_deref().unwrap_or("-")))
            .collect()
    }

    #[test]
    fn settings_come_back_before_workloads_and_their_readers_restart() {
        let plan = planned(
            &restore_then_wait(),
            &contents("legacy", "0.5"),
            Some(&contents("legacy", "0")),
        );
        assert_eq!(
            words(&plan),
            ["restore ConfigMap/settings", "restart Deployment/orders", "waitReady -"]
        );
        assert_eq!(plan[1].restart.as_deref(), Some("now"));
    }

    #[test]
    fn readers_of_a_restored_secret_restart() {
        let state = |password: &str| {
            let reads = json!([{"secretRef": {"name": "db"}}]);
            let orders = json!({"spec": {"containers": [{"name": "orders", "envFrom": reads}]}});
            Contents::from([
                (
                    "Secret/db".parse().unwrap(),
                    Content(json!({"data": {"PASSWORD": password}})),
                ),
                ("Deployment/orders".parse().unwrap(), Content(orders)),
            ])
        };
        let plan = planned(&restore_then_wait(), &state("Yg=="), Some(&state("YQ==")));
        assert_eq!(
            words(&plan),
            ["restore Secret/db", "restart Deployment/orders", "waitReady -"]
        );
        assert_eq!(plan[0].diff.as_deref(), Some("~ PASSWORD\n"));
    }

    #[test]
    fn the_hash_of_a_plan_covers_the_stage_of_each_step() {
        let now = contents("celery", "0");
        let mut plan = planned(&restore_then_wait(), &now, Some(&contents("legacy", "0")));
        let whole = hash(&plan);
        plan[0].stage = Some("revert".into());
        let staged = hash(&plan);
        plan[0].stage = Some("flag-off".into());
        assert!(whole != staged && staged != hash(&plan));
    }

    #[test]
    fn nothing_to_put_back_is_an_empty_plan() {
        let state = contents("legacy", "0");
        assert!(planned(&restore_then_wait(), &state, Some(&state)).is_empty());
    }

    #[test]
    fn set_env_needs_no_proven_state_and_derives_to_the_recorded_hash() {
        let set = SetEnv {
            target: "Deployment/orders".into(),
            env: BTreeMap::from([("WORKER_MODE".to_owned(), "legacy".to_owned())]),
            ..SetEnv::default()
        };
        let steps = [Step {
            set_env: Some(set),
            ..Step::default()
        }];
        let current = contents("celery", "0");
        let plan = planned(&steps, &current, None);
        assert_eq!(words(&plan), ["setEnv Deployment/orders"]);
        let target: TargetRef = "Deployment/orders".parse().unwrap();
        let made = goal(&plan[0], &steps, &target, current.get(&target), None).unwrap();
        assert_eq!(made, deployment("legacy", true));
        assert!(reached(&plan[0], &made));
        assert!(!reached(&plan[0], &current[&target]));
    }

    #[test]
    fn variables_of_two_workloads_are_set_each_in_its_own_container() {
        let set = |target: &str, container: &str| Step {
            set_env: Some(SetEnv {
                target: target.into(),
                container: Some(container.into()),
                env: BTreeMap::from([("WORKER_MODE".to_owned(), "legacy".to_owned())]),
                ..SetEnv::default()
            }),
            ..Step::default()
        };
        let steps = [set("Deployment/orders", "orders"), set("Deployment/worker", "worker")];
        let mut worker = deployment("celery", false);
        worker.0["spec"]["containers"][0]["name"] = json!("worker");
        let mut current = contents("celery", "0");
        current.insert("Deployment/worker".parse().unwrap(), worker);
        for step in planned(&steps, &current, None) {
            let target: TargetRef = step.target.clone().unwrap().parse().unwrap();
            let made = goal(&step, &steps, &target, current.get(&target), None).unwrap();
            assert!(reached(&step, &made), "{target}");
        }
    }

    #[test]
    fn a_forged_plan_does_not_derive() {
        let (bad, good) = (contents("celery", "0"), contents("legacy", "0"));
        let mut plan = planned(&restore_then_wait(), &bad, Some(&good));
        plan[0].to = Some("0123456789ab".into());
        let target: TargetRef = "Deployment/orders".parse().unwrap();
        assert!(goal(&plan[0], &restore_then_wait(), &target, bad.get(&target), Some(&good)).is_err());
    }

    #[test]
    fn a_deleted_workload_goes_to_people() {
        let only_config: Contents = contents("celery", "0.5")
            .into_iter()
            .filter(|(t, _)| t.kind == TargetKind::ConfigMap)
            .collect();
        let good = contents("legacy", "0");
        let sources = Sources {
            steps: &restore_then_wait(),
            current: &only_config,
            uids: &BTreeMap::new(),
            replicas: &BTreeMap::new(),
            templates: &BTreeMap::new(),
            git: &git::Known::default(),
            snapshot: Some(&good),
            restored_at: "now",
        };
        assert!(resolve(&sources).unwrap_err().contains("Deployment/orders was deleted"));
    }
}
