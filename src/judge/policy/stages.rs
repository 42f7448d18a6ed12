//! Pure. What can be wrong with a rollback's steps as a whole, and with its stages.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    Mistake, Policy,
    steps::{steps, writes},
};
use crate::model::guard::Rollback;

/// More of them cannot be recorded.
const MOST: usize = 10;

pub fn stages(rollback: &Rollback, mistakes: &mut Vec<Mistake>) {
    let at = "spec.rollback.stages";
    if rollback.stages.is_empty() {
        let at = "spec.rollback.steps";
        let own = rollback.own_steps();
        steps(at, &own, mistakes);
        if !own.is_empty() && !own.iter().any(writes) {
            mistakes.push(Mistake::new(at, NONE_WRITES));
        }
        return;
    }
    if rollback.steps.is_some() {
        let wrong = "a rollback has either steps or stages: move these into the stage that they belong to";
        mistakes.push(Mistake::new("spec.rollback.steps", wrong));
    }
    if rollback.stages.len() > MOST {
        let wrong = format!("a rollback has at most {MOST} stages, not {}", rollback.stages.len());
        mistakes.push(Mistake::new(at, wrong));
    }
    if !rollback.placed_steps().iter().any(|(_, step)| writes(step)) {
        mistakes.push(Mistake::new(at, NONE_WRITES));
    }
    for (place, stage) in rollback.stages.iter().enumerate() {
        let path = format!("{at}[{place}]");
        let name = stage.name.trim();
        let mut earlier = rollback.stages.iter().take(place);
        if name.is_empty() {
            let wrong = "says nothing: what do people call this stage? such as `flag-off`";
            mistakes.push(Mistake::new(format!("{path}.name"), wrong));
        } else if earlier.any(|earlier| earlier.name == stage.name) {
            let wrong = format!("`{name}` is another stage already; give each a name of its own");
            mistakes.push(Mistake::new(format!("{path}.name"), wrong));
        }
        if stage.within.0.is_zero() {
            let wrong = "must be longer than nothing, such as `5m`";
            mistakes.push(Mistake::new(format!("{path}.within"), wrong));
        }
        if stage.ask.as_ref().is_some_and(|role| role.trim().is_empty()) {
            let wrong = "says nothing: who begins it? such as `tech-lead`; leave it out where it begins by itself";
            mistakes.push(Mistake::new(format!("{path}.ask"), wrong));
        }
        let path = format!("{path}.steps");
        if stage.steps.is_empty() {
            let wrong = "a stage needs at least one step, such as `restore: {}`";
            mistakes.push(Mistake::new(path, wrong));
        } else {
            steps(&path, &stage.steps, mistakes);
        }
    }
}

const NONE_WRITES: &str = "none of them changes anything: a plan has at least one of restore, setEnv, setConfig, scale";

impl Policy {
    /// The name of the stage that this of its steps belongs to.
    pub fn stage_of(&self, step: usize) -> Option<&str> {
        let mut stages = self.stages.iter();
        stages
            .find(|(_, places)| places.contains(&step))
            .map(|(stage, _)| stage.name.as_str())
    }
}
