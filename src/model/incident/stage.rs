//! Pure. The stages of a plan as they are recorded: which one runs follows from them alone.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{IncidentStatus, PlannedStep};
use crate::model::units::Length;

/// One stage of a plan, and how far it came.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStage {
    pub name: String,
    pub state: StageState,
    /// From its beginning to its proof, without the time spent waiting for people.
    pub within: Length,
    /// The role that begins it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<String>,
    /// Since when that role is asked to begin it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
    /// When it began, or went on after it was stopped: its clock runs from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Why it did not help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// How far a stage came.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageState {
    NotBegun,
    /// A person is asked to begin it.
    Asked,
    Running,
    Proven,
    /// A step failed, or it was not proven in time.
    Failed,
    /// There was nothing for it to do.
    Skipped,
}

impl StageState {
    /// Whether nothing more comes of it.
    pub const fn is_over(self) -> bool {
        match self {
            Self::NotBegun | Self::Asked | Self::Running => false,
            Self::Proven | Self::Failed | Self::Skipped => true,
        }
    }

    const fn has_begun(self) -> bool {
        match self {
            Self::NotBegun | Self::Asked | Self::Skipped => false,
            Self::Running | Self::Proven | Self::Failed => true,
        }
    }
}

impl IncidentStatus {
    /// The first stage that is not over.
    pub fn stage(&self) -> Option<&PlannedStage> {
        self.stages.iter().find(|stage| !stage.state.is_over())
    }

    /// The same, to be moved on.
    pub fn stage_mut(&mut self) -> Option<&mut PlannedStage> {
        self.stages.iter_mut().find(|stage| !stage.state.is_over())
    }

    fn stage_of(&self, step: &PlannedStep) -> Option<&PlannedStage> {
        let name = step.stage.as_ref()?;
        self.stages.iter().find(|stage| stage.name == *name)
    }

    /// Whether a step belongs to what is carried out now: of a plan without stages all do.
    pub fn is_present(&self, step: &PlannedStep) -> bool {
        let own = self.stage_of(step);
        own.is_none_or(|own| self.stage().is_some_and(|present| present.name == own.name))
    }

    /// Whether a step may have been carried out: its stage began.
    pub fn has_begun(&self, step: &PlannedStep) -> bool {
        self.stage_of(step).is_none_or(|stage| stage.state.has_begun())
    }

    /// Whether a step belongs to the last stage that began: of a plan without stages all do.
    pub fn is_of_last_begun(&self, step: &PlannedStep) -> bool {
        let last = self.stages.iter().rfind(|stage| stage.state.has_begun());
        self.stage_of(step)
            .is_none_or(|own| last.is_some_and(|last| last.name == own.name))
    }

    pub(super) fn is_of_failed_stage(&self, step: &PlannedStep) -> bool {
        self.stage_of(step)
            .is_some_and(|stage| stage.state == StageState::Failed)
    }

    /// The places in the plan of what is carried out now.
    pub fn present_places(&self) -> impl Iterator<Item = usize> {
        let steps = self.plan.iter().enumerate();
        steps.filter(|(_, step)| self.is_present(step)).map(|(place, _)| place)
    }

    /// The next step to be carried out.
    pub fn next_place(&self) -> Option<usize> {
        self.present_places().find(|place| self.receipt_of(*place).is_none())
    }

    /// Whether a step of what is carried out now is journalled.
    pub fn is_under_way(&self) -> bool {
        let mut steps = self.journal.iter().filter(|entry| entry.is_step());
        steps.any(|entry| self.present_places().any(|place| self.seq_of(place) == entry.seq))
    }
}
