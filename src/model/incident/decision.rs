//! Pure. What people decide on an incident.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::units::Length;

/// What a person decided, written by `modosu rollback|keep` or `kubectl edit`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Without it nothing is decided: only `fixEta` is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<Verb>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was decided: the same said again is another decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Only these targets go back, as `Deployment/orders`; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub only: Vec<String>,
    /// The hash of the proven state to go back to, or, where `only` names one Deployment, the `pod-template-hash` of one of its
    /// ReplicaSets, which nobody proved; absent: the incident's `restoreTo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// In so long it will be fixed, says who repairs it; from when modosu reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix_eta: Option<Length>,
}

impl Decision {
    /// Whether they decide the same: another `fixEta` is no other decision.
    pub fn decides_like(&self, other: &Self) -> bool {
        let Self {
            verb,
            by,
            reason,
            at,
            only,
            to,
            fix_eta: _,
        } = self;
        (verb, by, reason) == (&other.verb, &other.by, &other.reason)
            && (at, only, to) == (&other.at, &other.only, &other.to)
    }
}

/// When it will be fixed, as people said.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Fix {
    pub eta: Length,
    /// When modosu read it.
    pub told_at: Timestamp,
    /// `toldAt` and `eta` later.
    pub ready_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The verbs of a decision.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    Rollback,
    Keep,
    /// Nothing is written for two hours; a running plan stops before its next write.
    Freeze,
    /// A plan that was stopped halfway goes on.
    Resume,
    /// What the plan asked a person to do is done.
    Done,
    /// Everything stays as it is, and the incident ends.
    Abandon,
}

impl Verb {
    /// As it is told.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rollback => "Rollback",
            Self::Keep => "Keep",
            Self::Freeze => "Freeze",
            Self::Resume => "Resume",
            Self::Done => "Done",
            Self::Abandon => "Abandon",
        }
    }
}
