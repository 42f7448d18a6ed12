//! Pure. A rollback in stages: each with its own clock, steps and proof, and where it says so its own person.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Rollback, Step, defaults::restore_then_wait};
use crate::model::units::Length;

/// One stage of a rollback.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stage {
    /// What people call it, such as `flag-off`; no two stages are called the same.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// From its beginning to its proof; after it the next stage begins, or it is for people. Time spent waiting for people is not counted.
    pub within: Length,
    /// The role that begins it, such as `tech-lead`; absent: it begins by itself, behind the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub ask: Option<String>,
    /// In order, as in `rollback.steps`.
    #[schemars(length(min = 1, max = 20))]
    pub steps: Vec<Step>,
}

impl Rollback {
    /// All its steps in the order in which they run, those of stages one stage after the other, each with its place in the guard.
    pub fn placed_steps(&self) -> Vec<(String, Step)> {
        let placed = |path: &str, steps: &[Step]| -> Vec<(String, Step)> {
            let each = steps.iter().enumerate();
            each.map(|(place, step)| (format!("{path}[{place}]"), step.clone()))
                .collect()
        };
        if self.stages.is_empty() {
            return placed("spec.rollback.steps", &self.own_steps());
        }
        let stages = self.stages.iter().enumerate();
        let all = stages.map(|(place, stage)| placed(&format!("spec.rollback.stages[{place}].steps"), &stage.steps));
        all.flatten().collect()
    }

    /// Of a rollback without stages.
    pub fn own_steps(&self) -> Vec<Step> {
        self.steps.clone().unwrap_or_else(restore_then_wait)
    }

    /// The stages, each with the places of its steps among all of them.
    pub fn placed_stages(&self) -> Vec<(Stage, Range<usize>)> {
        let mut end = 0;
        let stages = self.stages.iter().map(|stage| {
            let begin = end;
            end += stage.steps.len();
            (stage.clone(), begin..end)
        });
        stages.collect()
    }
}
