//! Pure. The parts of a plan: those that a person wants, and the stages that its steps belong to.

use super::Run;
use crate::model::{
    content::{Content, Contents},
    guard::{Step, TargetRef},
    incident::PlannedStep,
};

impl Run<'_> {
    fn wants(&self, target: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == target)
    }

    /// What is not wanted back stays what it is. Gives what that leaves mixed.
    pub(super) fn narrow(&self, snapshot: &mut Contents, current: &Contents) -> Vec<String> {
        let unwanted: Vec<TargetRef> = snapshot
            .keys()
            .filter(|target| !self.wants(&target.to_string()))
            .cloned()
            .collect();
        let mut mixed = Vec::new();
        for target in unwanted {
            let now = current.get(&target);
            if now.map(Content::hash) != snapshot.get(&target).map(Content::hash) {
                mixed.push(format!(
                    "{target} stays as it is: only {} is put back",
                    self.only.join(", ")
                ));
            }
            match now {
                Some(now) => snapshot.insert(target, now.clone()),
                None => snapshot.remove(&target),
            };
        }
        mixed
    }

    /// Each step is told which stage it belongs to.
    pub(super) fn in_stages(&self, mut plan: Vec<PlannedStep>) -> Vec<PlannedStep> {
        for step in &mut plan {
            let place = step.index.and_then(|index| usize::try_from(index).ok());
            step.stage = place.and_then(|place| self.policy.stage_of(place)).map(str::to_owned);
        }
        plan
    }

    /// The guard's steps; those of other parts do nothing.
    pub(super) fn wanted_steps(&self) -> Vec<Step> {
        let wanted = |step: &Step| step.target().is_none_or(|target| self.wants(target));
        let steps = self.policy.steps.iter();
        steps
            .map(|step| if wanted(step) { step.clone() } else { Step::default() })
            .collect()
    }
}
