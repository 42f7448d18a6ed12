//! Pure. What happened to a guard, rendered late: into log lines, Events and the reasons on pages.

use std::{fmt, time::Duration};

use jiff::Timestamp;

use super::{WhyNot, deadlines::Late, stages::StageNews};
use crate::model::{
    freeze::Freeze,
    guard::Action,
    incident::{Decision, IncidentState, Stands, Verb},
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
    /// What is proven cannot be kept: a rollback goes to an older state.
    NotKept {
        why: String,
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
    /// What would be an incident, did modosu write one.
    Found {
        sentence: String,
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
    /// A target was deleted while its incident was open; `halfway`: a plan had written something by then.
    TargetDeleted {
        target: String,
        halfway: bool,
    },
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
    /// The plan waits until a person did something.
    PersonAsked {
        words: String,
    },
    /// Of a plan in stages.
    Stage(StageNews),
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
        /// What stands where, where a plan was under way.
        stands: Vec<Stands>,
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
    /// A change came from which only a person may go back.
    NoWayBack {
        to: String,
        why: String,
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

impl Happened {
    /// The Event's reason, CamelCase.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::FirstSeen { .. } => "FirstSeen",
            Self::Changed { .. } => "ChangeSeen",
            Self::WentBack { .. } => "WentBack",
            Self::MarkedBad { .. } => "MarkedBad",
            Self::Proven { .. } => "Proven",
            Self::NotKept { .. } => "NotKept",
            Self::BaselineTaken { .. } | Self::BaselineGiven { .. } => "BaselineTaken",
            Self::Opened { .. } => "IncidentOpened",
            Self::Found { .. } => "BreachFound",
            Self::PeopleDecide { .. } => "PeopleDecide",
            Self::Raised { .. } => "IncidentRaised",
            Self::ClockMissed(_) => "ClockMissed",
            Self::Decided(_) => "Decided",
            Self::Frozen(_) => "Frozen",
            Self::Thawed => "Thawed",
            Self::Locked { .. } => "Locked",
            Self::Allowed { .. } => "Allowed",
            Self::Abandoned => "Abandoned",
            Self::TargetDeleted { .. } => "TargetDeleted",
            Self::PersonAsked { .. } => "PersonAsked",
            Self::Stage(news) => news.reason(),
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
            Self::NoWayBack { .. } => "NoWayBack",
            Self::NotReady { .. } => "RollbackNotReady",
            Self::ReadyAgain { .. } => "RollbackReady",
        }
    }

    /// Whether the Event is a Warning.
    pub const fn warns(&self) -> bool {
        match self {
            Self::MarkedBad { .. }
            | Self::NotKept { .. }
            | Self::Opened { .. }
            | Self::Found { .. }
            | Self::PeopleDecide { .. }
            | Self::Raised { .. }
            | Self::ClockMissed(_)
            | Self::PersonAsked { .. }
            | Self::Acting { .. }
            | Self::Escalated { .. }
            | Self::Together { .. }
            | Self::Frozen(_)
            | Self::NotReady { .. }
            | Self::NoWayBack { .. }
            | Self::TargetDeleted { .. }
            | Self::CannotFollow { .. } => true,
            Self::Recovered { failed, .. } => !failed.is_empty(),
            Self::Stage(news) => news.warns(),
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
            Self::NotKept { why } => write!(f, "what runs cannot be kept as proven: {why}"),
            Self::BaselineTaken { of: by } | Self::BaselineGiven { by } => write!(f, "took the baseline from {by}"),
            Self::Opened {
                action, sentence, why, ..
            } => f.write_str(&opened(*action, sentence, why.as_ref())),
            Self::Found { sentence } => write!(
                f,
                "{sentence}; modosu is read-only: it opens no incident and puts nothing back"
            ),
            Self::PeopleDecide { why } => write!(f, "people decide: {why}"),
            Self::Raised { grade, sentence } => write!(f, "now {grade}: {sentence}"),
            Self::ClockMissed(late) => write!(f, "{late}"),
            Self::Decided(decision) => {
                let by = decision.by.as_deref().unwrap_or("somebody");
                write!(f, "{by} decided: {}", decision.verb.map_or("nothing", Verb::name))
            }
            Self::Frozen(freeze) => write!(f, "{freeze}: nothing is written"),
            Self::Abandoned => f.write_str("people abandon it: everything stays as it is"),
            Self::TargetDeleted { target, halfway } => target_deleted(f, target, *halfway),
            Self::Locked { hash, until, lifted_by } => write!(
                f,
                "{hash} may not return until {}; {lifted_by}",
                until.strftime("%Y-%m-%d %H:%M UTC")
            ),
            Self::Allowed { hash } => write!(f, "{hash} may return: it is judged like any change"),
            Self::Thawed => f.write_str("frozen no more; what was seen meanwhile does not count"),
            Self::PersonAsked { words } => write!(f, "{words}; the plan goes on when somebody says done"),
            Self::Stage(news) => write!(f, "{news}"),
            Self::Acting { to } => write!(f, "putting back {to}"),
            Self::RolledOut => f.write_str("rolled out; from now on readings count as proof"),
            Self::Recovered { after, failed } => recovered(f, *after, failed),
            Self::RecoveredByHand => f.write_str("somebody went back to the proven state by hand"),
            Self::Superseded { by, stands } => superseded(f, by, stands),
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
            Self::NoWayBack { to, why } => {
                write!(f, "no automatic rollback to {to} from here on, people decide: {why}")
            }
            Self::NotReady { reason, why } => write!(f, "a rollback would fail now ({reason}): {why}"),
            Self::ReadyAgain { how } => write!(f, "a rollback would work again: {how}"),
        }
    }
}

fn target_deleted(f: &mut fmt::Formatter<'_>, target: &str, halfway: bool) -> fmt::Result {
    let stays = if halfway {
        "; what was put back by then stays"
    } else {
        ""
    };
    write!(
        f,
        "{target} was deleted: nothing is left to put back or to prove, nothing more is written{stays}"
    )
}

fn recovered(f: &mut fmt::Formatter<'_>, after: Duration, failed: &[String]) -> fmt::Result {
    let after = humantime::format_duration(after);
    let but = if failed.is_empty() { "" } else { ", but " };
    write!(
        f,
        "recovered {after} after the first bad reading{but}{}",
        failed.join("; ")
    )
}

fn superseded(f: &mut fmt::Formatter<'_>, by: &str, stands: &[Stands]) -> fmt::Result {
    write!(f, "a newer state came ({by}); nothing more is written")?;
    stands
        .iter()
        .try_for_each(|one| write!(f, "; {} {}: `{}`", one.target, one.words, one.command))
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
