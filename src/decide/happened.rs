//! Pure. What happened to a guard, rendered late: into log lines, Events and the reasons on pages.

use std::{fmt, time::Duration};

use jiff::Timestamp;

use super::deadlines::Late;
use crate::model::{
    freeze::Freeze,
    guard::{Action, Mode},
    incident::{Decision, IncidentState, Verb},
    units::Length,
};

/// One thing that happened, worth one log line and one Event.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// The guard's first look at its targets.
    FirstSeen {
        hash: String,
        images: Vec<String>,
    },
    /// A state that was not proven came.
    Changed {
        from: String,
        to: String,
        images: Vec<String>,
    },
    /// An already proven state came back: no change, no probation.
    WentBack {
        from: String,
        to: String,
        images: Vec<String>,
    },
    /// The state that was left must never be restored.
    MarkedBad {
        hash: String,
    },
    Proven {
        hash: String,
    },
    BaselineTaken {
        of: String,
    },
    /// From elsewhere than healthy time.
    BaselineGiven {
        by: String,
    },
    Opened {
        state: IncidentState,
        action: Action,
        sentence: String,
        why: Option<WhyNot>,
    },
    /// What was only observed so far needs people.
    PeopleDecide {
        why: WhyNot,
    },
    /// A worse trigger joined while people were awaited.
    Raised {
        grade: String,
        sentence: String,
    },
    /// A clock ran out while nobody acted: the next role is asked.
    ClockMissed(Late),
    Decided(Decision),
    /// Somebody stopped modosu from writing.
    Frozen(Freeze),
    /// People end it as it is.
    Abandoned,
    /// What was put back may not return.
    Locked {
        hash: String,
        until: Timestamp,
        lifted_by: String,
    },
    /// A person lifted the lock.
    Allowed {
        hash: String,
    },
    /// It may write again; what was seen meanwhile does not count.
    Thawed,
    /// The plan begins to run.
    Acting {
        to: String,
    },
    /// Everything is rolled out: from here on readings count as proof.
    RolledOut,
    Recovered {
        after: Duration,
        /// Steps that failed while the plan went on.
        failed: Vec<String>,
    },
    RecoveredByHand,
    Superseded {
        by: String,
    },
    Kept,
    Passed,
    Escalated {
        because: String,
    },
    ObservedEnds,
    /// Several guards breach together: told once, for all of them.
    Together {
        count: usize,
        guards: String,
        acts_on: String,
    },
    /// Healthy again since others, whose change was to blame, were put back.
    RecoveredWith {
        guards: String,
    },
    /// People say when it will be fixed; nothing is decided by that.
    FixExpected {
        by: Option<String>,
        eta: Length,
    },
    /// A decision that cannot be followed.
    CannotFollow {
        because: String,
    },
    /// The API server would refuse a rollback, or there is none to ask it for.
    NotReady {
        reason: String,
        why: String,
    },
    /// That is over.
    ReadyAgain {
        how: String,
    },
}

/// Why modosu does not act by itself on what it sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// The trigger's action is for people.
    ForPeople,
    Mode(Mode),
    /// Somebody stopped modosu from writing.
    Frozen(Freeze),
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
    /// What runs is what the plan would put there.
    NothingToPutBack,
    /// The plan cannot be made.
    NoPlan(String),
    /// What must hold before anything is written does not.
    CheckFailed(String),
    /// A restored template would not replace the pods that hurt.
    PodsNotReplaced(String),
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

impl Happened {
    /// The Event's reason, CamelCase.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::FirstSeen { .. } => "FirstSeen",
            Self::Changed { .. } => "ChangeSeen",
            Self::WentBack { .. } => "WentBack",
            Self::MarkedBad { .. } => "MarkedBad",
            Self::Proven { .. } => "Proven",
            Self::BaselineTaken { .. } | Self::BaselineGiven { .. } => "BaselineTaken",
            Self::Opened { .. } => "IncidentOpened",
            Self::PeopleDecide { .. } => "PeopleDecide",
            Self::Raised { .. } => "IncidentRaised",
            Self::ClockMissed(_) => "ClockMissed",
            Self::Decided(_) => "Decided",
            Self::Frozen(_) => "Frozen",
            Self::Thawed => "Thawed",
            Self::Locked { .. } => "Locked",
            Self::Allowed { .. } => "Allowed",
            Self::Abandoned => "Abandoned",
            Self::Acting { .. } => "RollingBack",
            Self::RolledOut => "RolledOut",
            Self::Recovered { .. } => "Recovered",
            Self::RecoveredByHand => "RecoveredByHand",
            Self::Superseded { .. } => "Superseded",
            Self::Kept => "Kept",
            Self::Passed => "Passed",
            Self::Escalated { .. } => "Escalated",
            Self::ObservedEnds => "ObservedEnds",
            Self::Together { .. } => "CommonCause",
            Self::RecoveredWith { .. } => "RecoveredWith",
            Self::FixExpected { .. } => "FixExpected",
            Self::CannotFollow { .. } => "CannotFollow",
            Self::NotReady { .. } => "RollbackNotReady",
            Self::ReadyAgain { .. } => "RollbackReady",
        }
    }

    /// Whether the Event is a Warning.
    pub const fn warns(&self) -> bool {
        match self {
            Self::MarkedBad { .. }
            | Self::Opened { .. }
            | Self::PeopleDecide { .. }
            | Self::Raised { .. }
            | Self::ClockMissed(_)
            | Self::Acting { .. }
            | Self::Escalated { .. }
            | Self::Together { .. }
            | Self::Frozen(_)
            | Self::NotReady { .. }
            | Self::CannotFollow { .. } => true,
            Self::Recovered { failed, .. } => !failed.is_empty(),
            Self::FirstSeen { .. }
            | Self::Changed { .. }
            | Self::WentBack { .. }
            | Self::Proven { .. }
            | Self::BaselineTaken { .. }
            | Self::BaselineGiven { .. }
            | Self::Decided(_)
            | Self::Thawed
            | Self::Locked { .. }
            | Self::Allowed { .. }
            | Self::Abandoned
            | Self::RolledOut
            | Self::RecoveredByHand
            | Self::Superseded { .. }
            | Self::Kept
            | Self::Passed
            | Self::RecoveredWith { .. }
            | Self::FixExpected { .. }
            | Self::ReadyAgain { .. }
            | Self::ObservedEnds => false,
        }
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstSeen { hash, images } => write!(f, "guarding {}, not proven yet", named(hash, images)),
            Self::Changed { from, to, images } => write!(f, "a change came: {} in place of {from}", named(to, images)),
            Self::WentBack { from, to, images } => {
                write!(f, "back on the proven state {}, away from {from}", named(to, images))
            }
            Self::MarkedBad { hash } => write!(f, "{hash} is marked bad and will never be restored"),
            Self::Proven { hash } => write!(f, "{hash} is proven: a rollback may go back to it"),
            Self::BaselineTaken { of: by } | Self::BaselineGiven { by } => write!(f, "took the baseline from {by}"),
            Self::Opened {
                action, sentence, why, ..
            } => f.write_str(&opened(*action, sentence, why.as_ref())),
            Self::PeopleDecide { why } => write!(f, "people decide: {why}"),
            Self::Raised { grade, sentence } => write!(f, "now {grade}: {sentence}"),
            Self::ClockMissed(late) => write!(f, "{late}"),
            Self::Decided(decision) => {
                let by = decision.by.as_deref().unwrap_or("somebody");
                write!(f, "{by} decided: {}", decision.verb.map_or("nothing", Verb::name))
            }
            Self::Frozen(freeze) => write!(f, "{freeze}: nothing is written"),
            Self::Abandoned => f.write_str("people abandon it: everything stays as it is"),
            Self::Locked { hash, until, lifted_by } => write!(
                f,
                "{hash} may not return until {}; {lifted_by}",
                until.strftime("%Y-%m-%d %H:%M UTC")
            ),
            Self::Allowed { hash } => write!(f, "{hash} may return: it is judged like any change"),
            Self::Thawed => f.write_str("frozen no more; what was seen meanwhile does not count"),
            Self::Acting { to } => write!(f, "putting back {to}"),
            Self::RolledOut => f.write_str("rolled out; from now on readings count as proof"),
            Self::Recovered { after, failed } => {
                let after = humantime::format_duration(*after);
                let but = if failed.is_empty() { "" } else { ", but " };
                write!(
                    f,
                    "recovered {after} after the first bad reading{but}{}",
                    failed.join("; ")
                )
            }
            Self::RecoveredByHand => f.write_str("somebody went back to the proven state by hand"),
            Self::Superseded { by } => write!(f, "a newer state came ({by}); nothing more is written"),
            Self::Kept => f.write_str("people keep this state; it is only reported from now on"),
            Self::Passed => f.write_str("healthy again for 30 min while people were awaited"),
            Self::Escalated { because } => {
                write!(f, "modosu has stopped; nothing more happens until you act: {because}")
            }
            Self::ObservedEnds => f.write_str("what was observed has passed"),
            Self::Together { count, guards, acts_on } => together(f, *count, guards, acts_on),
            Self::RecoveredWith { guards } => write!(f, "healthy again since {guards} was put back, untouched itself"),
            Self::FixExpected { by, eta } => {
                write!(
                    f,
                    "{} expects it to be fixed in {eta}",
                    by.as_deref().unwrap_or("somebody")
                )
            }
            Self::CannotFollow { because } => write!(f, "the decision cannot be followed: {because}"),
            Self::NotReady { reason, why } => write!(f, "a rollback would fail now ({reason}): {why}"),
            Self::ReadyAgain { how } => write!(f, "a rollback would work again: {how}"),
        }
    }
}

fn together(f: &mut fmt::Formatter<'_>, count: usize, guards: &str, acts_on: &str) -> fmt::Result {
    write!(f, "{count} guards breach together ({guards})")?;
    if acts_on.is_empty() {
        f.write_str(" and no one group of changes came before: people decide")
    } else {
        write!(
            f,
            "; {acts_on} changed just before: that is acted on, the others wait for its proof"
        )
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForPeople => f.write_str("the trigger's action is alert_and_manual_review"),
            Self::Mode(Mode::Observe) => f.write_str("the mode is observe"),
            Self::Mode(Mode::Ask | Mode::Enforce) => f.write_str("the mode is ask"),
            Self::Frozen(freeze) => write!(f, "{freeze}"),
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
            Self::NothingProven => f.write_str("there is no proven state to go back to"),
            Self::NothingToPutBack => {
                f.write_str("there is nothing to put back: what runs is what the plan would put there")
            }
            Self::NoPlan(why) => write!(f, "no plan can be made: {why}"),
            Self::CheckFailed(why) => write!(
                f,
                "nothing was written, a check before it failed: {why}; to roll back all the same decide `rollback`, \
                 with a reason of its own where that was decided before"
            ),
            Self::PodsNotReplaced(why) => write!(f, "a restored template would not replace the pods that hurt: {why}"),
            Self::OldPodsToo(sentence) => f.write_str(sentence),
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

fn opened(action: Action, sentence: &str, why: Option<&WhyNot>) -> String {
    match (action, why) {
        (Action::Monitor, _) => format!("keeps an eye on: {sentence}"),
        (_, None) => sentence.to_owned(),
        (_, Some(why @ WhyNot::WaitsFor { .. })) => format!("{sentence}; {why}"),
        (_, Some(why)) => format!("{sentence}; people decide: {why}"),
    }
}

/// `6f9c… (orders:1.4.2)`: images beside every hash.
pub fn named(hash: &str, images: &[String]) -> String {
    if images.is_empty() {
        hash.to_owned()
    } else {
        format!("{hash} ({})", images.join(", "))
    }
}
