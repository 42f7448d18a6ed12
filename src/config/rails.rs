//! Pure. Guard rails of the whole daemon: how much it may put back by itself, and when it writes nothing at all.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{freeze::Freeze, units::Length};

/// How many rollbacks the daemon begins by itself; beyond it people decide, most severe first.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BudgetSettings {
    /// Within the last hour.
    pub rollbacks_per_hour: u32,
    /// At the same time.
    pub concurrent: u32,
}

/// How many closed incidents stay. Open ones always do, and so do those that ended within the last day.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IncidentSettings {
    /// For so long after their end.
    pub keep: Length,
    /// Of each guard, the newest.
    pub per_guard: u32,
}

impl Default for IncidentSettings {
    fn default() -> Self {
        Self {
            keep: Length::hours(90 * 24),
            per_guard: 50,
        }
    }
}

/// Which steps beyond restoring this daemon may run.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StepSettings {
    /// Jobs, as steps.
    pub job: bool,
    /// Commits that are made and pushed, as steps.
    pub git: bool,
    /// Requests, as steps and as checks before the first write.
    pub http: bool,
}

impl Default for StepSettings {
    fn default() -> Self {
        Self {
            job: false,
            git: false,
            http: true,
        }
    }
}

/// A time in which nothing is written.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FreezeWindow {
    pub from: Timestamp,
    pub until: Timestamp,
    #[serde(default)]
    pub reason: Option<String>,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self {
            rollbacks_per_hour: 10,
            concurrent: 5,
        }
    }
}

impl FreezeWindow {
    /// The freeze that it is, once it has begun.
    pub fn freeze(&self, now: Timestamp) -> Option<Freeze> {
        (self.from <= now).then(|| Freeze {
            of: "settings".to_owned(),
            until: Some(self.until),
            illegible: None,
            by: None,
            reason: self.reason.clone(),
        })
    }
}
