//! Pure. Why modosu does not act by itself on what it sees.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{fmt, time::Duration};

use crate::model::{freeze::Freeze, guard::Mode};

/// Why modosu does not act by itself on what it sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// The trigger's action is for people.
    ForPeople,
    Mode(Mode),
    /// Another tool would put its own state back.
    Healed(String),
    /// Somebody stopped modosu from writing.
    Frozen(Freeze),
    /// What was put back hurts again.
    Relapse {
        of: String,
    },
    /// Nothing changed within `watchFor`.
    NotTheChange,
    /// The change is older than `automaticFor`.
    TooOld {
        age: Duration,
    },
    /// It already held when the change came.
    HeldBefore,
    /// The last rollback is younger than `cooldown`.
    CoolingDown,
    /// The daemon put back so much by itself already.
    OverBudget(String),
    /// There is no proven state to go back to.
    NothingProven,
    /// A template says that its state cannot simply be left: why.
    NoWayBack(String),
    /// What runs is what the plan would put there.
    NothingToPutBack,
    /// A person begins the plan's first stage.
    StageAsked {
        stage: String,
        role: String,
    },
    /// The plan cannot be made.
    NoPlan(String),
    /// What must hold before anything is written does not.
    CheckFailed(String),
    /// A restored template would not replace the pods that hurt.
    PodsNotReplaced(String),
    /// Secrets would get content back that was proven long ago.
    OldSecret(String),
    /// Old and new pods are equally bad, or could not be compared.
    OldPodsToo(String),
    /// It breaches together with others, and those whose change explains it are acted on first.
    WaitsFor {
        guards: String,
    },
    /// It breaches together with others, and no one group of changes explains it.
    Together {
        count: usize,
        guards: String,
        changed: usize,
    },
    /// Those for whose proof it waited did not recover.
    DidNotHelp {
        guards: String,
    },
}

impl WhyNot {
    /// Who begins it instead, where the plan says so.
    pub fn begins(&self) -> Option<&str> {
        if let Self::StageAsked { role, .. } = self {
            Some(role)
        } else {
            None
        }
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForPeople => f.write_str("the trigger's action is alert_and_manual_review"),
            Self::Mode(Mode::Observe) => f.write_str("the mode is observe"),
            Self::Mode(Mode::Ask | Mode::Enforce) => f.write_str("the mode is ask"),
            Self::Healed(words) => write!(f, "the mode is ask: {words}"),
            Self::Frozen(freeze) => write!(f, "{freeze}"),
            Self::Relapse { of } => write!(f, "it is a relapse, less than an hour after {of} recovered"),
            Self::NotTheChange => f.write_str("it is not the change: nothing was changed within watchFor"),
            Self::TooOld { age } => {
                write!(
                    f,
                    "the change is {} old, older than automaticFor",
                    humantime::format_duration(*age)
                )
            }
            Self::HeldBefore => f.write_str("it was already so when the change came"),
            Self::CoolingDown => f.write_str("the last rollback is younger than cooldown"),
            Self::OverBudget(why) => f.write_str(why),
            Self::NoWayBack(why) => write!(f, "there is no way back that modosu may take by itself: {why}"),
            Self::NothingProven => f.write_str("there is no proven state to go back to"),
            Self::NothingToPutBack => {
                f.write_str("there is nothing to put back: what runs is what the plan would put there")
            }
            Self::StageAsked { stage, role } => write!(f, "{role} begins the plan's first stage, {stage}"),
            Self::NoPlan(why) => write!(f, "no plan can be made: {why}"),
            Self::CheckFailed(why) => write!(
                f,
                "nothing was written, a check before it failed: {why}; to roll back all the same decide `rollback`, \
                 with a reason of its own where that was decided before"
            ),
            Self::PodsNotReplaced(why) => write!(f, "a restored template would not replace the pods that hurt: {why}"),
            Self::OldPodsToo(sentence) | Self::OldSecret(sentence) => f.write_str(sentence),
            Self::WaitsFor { guards } => write!(f, "it waits for the proof of {guards}, whose change came just before"),
            Self::Together { count, guards, changed } => {
                let why = match changed {
                    0 => "none of them changed in the 30 min before",
                    _ => "their changes in the 30 min before are not one group",
                };
                write!(f, "{count} guards breach together ({guards}), and {why}")
            }
            Self::DidNotHelp { guards } => write!(f, "it waited for {guards}, and that did not end it"),
        }
    }
}
