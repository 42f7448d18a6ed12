//! Pure. How many pods a workload is asked to have. The number is no part of a state: autoscalers and people move it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use super::Sources;
use crate::model::{
    guard::{Scale, TargetRef},
    incident::PlannedStep,
};

/// The step's name.
pub const SCALE: &str = "scale";

/// How many replicas workloads are asked to have.
pub type Replicas = BTreeMap<TargetRef, i64>;

/// Recorded also where the number is there already, so that the plan stays the same while others scale.
pub fn scale(sources: &Sources, wanted: &Scale, replicas: &mut Replicas) -> Result<PlannedStep, String> {
    let target: TargetRef = wanted.target.parse()?;
    let uid = sources.uids.get(&target).cloned();
    let goal = i64::from(wanted.replicas);
    let now = replicas
        .insert(target.clone(), goal)
        .filter(|_| sources.current.contains_key(&target))
        .ok_or_else(|| format!("{target} is no target of this guard, or is gone"))?;
    Ok(PlannedStep {
        step: SCALE.to_owned(),
        target: Some(target.to_string()),
        uid,
        from: Some(words(now)),
        to: Some(words(goal)),
        ..PlannedStep::default()
    })
}

/// `1 replica`, `3 replicas`: never taken for a hash.
pub fn words(replicas: i64) -> String {
    let end = if replicas == 1 { "" } else { "s" };
    format!("{replicas} replica{end}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::{hash, resolve},
        *,
    };
    use crate::model::{
        content::{Content, Contents},
        guard::{Empty, Step},
    };

    fn plan(target: &str, replicas: i64) -> Result<Vec<PlannedStep>, String> {
        let steps = [
            Step {
                scale: Some(Scale {
                    target: target.to_owned(),
                    replicas: 0,
                }),
                ..Step::default()
            },
            Step {
                wait_ready: Some(Empty {}),
                ..Step::default()
            },
        ];
        let worker: TargetRef = "Deployment/worker".parse().unwrap();
        let current = Contents::from([(worker.clone(), Content(json!({})))]);
        resolve(&Sources {
            steps: &steps,
            current: &current,
            uids: &BTreeMap::from([(worker.clone(), "uid".to_owned())]),
            replicas: &Replicas::from([(worker, replicas), ("Deployment/foreign".parse().unwrap(), 1)]),
            templates: &BTreeMap::new(),
            git: &crate::decide::plan::git::Known::default(),
            snapshot: None,
            restored_at: "now",
        })
    }

    #[test]
    fn a_plan_records_from_how_many_to_how_many() {
        let plan = plan("Deployment/worker", 3).unwrap();
        let scale = &plan[0];
        assert_eq!(
            (scale.from.as_deref(), scale.to.as_deref()),
            (Some("3 replicas"), Some("0 replicas"))
        );
        assert_eq!(
            (scale.uid.as_deref(), scale.index, plan[1].index),
            (Some("uid"), Some(0), Some(1))
        );
    }

    #[test]
    fn who_scales_meanwhile_does_not_make_it_another_plan() {
        let of = |replicas| hash(&plan("Deployment/worker", replicas).unwrap());
        assert_eq!(of(3), of(5));
    }

    #[test]
    fn where_all_is_scaled_there_is_nothing_to_do() {
        assert!(plan("Deployment/worker", 0).unwrap().is_empty());
    }

    #[test]
    fn only_targets_of_the_guard_are_scaled() {
        let why = plan("Deployment/foreign", 3).unwrap_err();
        assert!(why.contains("Deployment/foreign is no target of this guard"), "{why}");
    }
}
