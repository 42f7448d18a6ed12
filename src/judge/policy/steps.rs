//! Pure. What can be wrong with the steps of a rollback.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use super::Mistake;
use crate::model::guard::{Step, TargetKind, TargetRef};

pub fn steps(steps: &[Step], mistakes: &mut Vec<Mistake>) {
    if steps.is_empty() {
        mistakes.push(Mistake::new(
            "spec.rollback.steps",
            "a rollback needs at least one step, such as `restore: {}`",
        ));
    }
    for (place, step) in steps.iter().enumerate() {
        let path = format!("spec.rollback.steps[{place}]");
        if step.kinds().len() != 1 {
            mistakes.push(Mistake::new(
                &path,
                "a step is exactly one of restore, setEnv, setConfig, scale, waitReady",
            ));
        }
        if let Some(set) = &step.set_env {
            let path = format!("{path}.setEnv");
            target(&path, &set.target, "Deployment/name", TargetKind::is_workload, mistakes);
            values(&path, ("variables", "env"), &set.env, &set.remove, mistakes);
        }
        if let Some(set) = &step.set_config {
            let path = format!("{path}.setConfig");
            let is_config = |kind| kind == TargetKind::ConfigMap;
            target(&path, &set.target, "ConfigMap/name", is_config, mistakes);
            values(&path, ("keys", "data"), &set.data, &set.remove, mistakes);
        }
        if let Some(scale) = &step.scale {
            let scales = |kind| matches!(kind, TargetKind::Deployment | TargetKind::StatefulSet);
            target(
                &format!("{path}.scale"),
                &scale.target,
                "Deployment/name",
                scales,
                mistakes,
            );
        }
    }
}

fn target(path: &str, written: &str, form: &str, fits: impl Fn(TargetKind) -> bool, mistakes: &mut Vec<Mistake>) {
    let named = written.parse::<TargetRef>().ok();
    if named.is_none_or(|target| !fits(target.kind) || target.name.contains('/')) {
        mistakes.push(Mistake::new(
            format!("{path}.target"),
            format!("`{written}` is not of the form `{form}`"),
        ));
    }
}

/// What is set and what is removed; `words`: what they are called, and where those that are set stand.
fn values(
    path: &str,
    words: (&str, &str),
    set: &BTreeMap<String, String>,
    remove: &[String],
    mistakes: &mut Vec<Mistake>,
) {
    let (what, field) = words;
    if set.is_empty() && remove.is_empty() {
        mistakes.push(Mistake::new(
            path,
            format!("sets nothing and removes nothing; name {what} in `{field}` or `remove`"),
        ));
    }
    for name in remove.iter().filter(|name| set.contains_key(*name)) {
        mistakes.push(Mistake::new(
            format!("{path}.remove"),
            format!("`{name}` is both set and removed; leave one out"),
        ));
    }
}
