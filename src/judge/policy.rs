//! Pure. A guard's wishes, compiled once: signals in a fixed order, conditions parsed, defaults resolved.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc, time::Duration};

use super::condition::Condition;
use crate::model::{
    grade::{Scheme, Schemes},
    guard::{Action, GuardSpec, HttpCheck, Mode, RunJob, Stage, Step, Unit, Worse},
    preset::Preset,
    units::Certainty,
};

mod before;
mod compile;
/// Changes of repositories.
pub mod git;
mod reference;
mod selector;
mod signals;
mod stages;
mod steps;
#[cfg(test)]
mod tests;

pub use before::forbidden_checks;
pub use selector::matched_selector;
pub use steps::{NO_JOBS, forbidden};

/// A valid guard, ready for turns. Everything in it was checked; nothing in it changes between turns.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The mode that the guard asks for (the daemon's own setting caps it).
    pub mode: Mode,
    /// Label = value: which rows of an answer are this guard's.
    pub matching: BTreeMap<String, String>,
    /// In the order of a reading's `signals`.
    pub signals: Vec<Signal>,
    pub triggers: Vec<Rule>,
    /// Of these signals and triggers, for the verdicts.
    pub names: Arc<Names>,
    /// What follows from hard facts; `None`: off.
    pub hard_facts: Option<Action>,
    pub scheme: Arc<Scheme>,
    pub window: Duration,
    pub baseline_window: Duration,
    pub reference: Reference,
    /// How `worse(…)` weighs; `None`: not at all.
    pub evidence: Option<Evidence>,
    pub watch_for: Duration,
    pub automatic_for: Duration,
    pub known_good_after: Duration,
    pub cooldown: Duration,
    /// What was put back may not return for so long.
    pub retry_lock: Duration,
    /// The fields whose return alone is put back by itself.
    pub lock_fields: Vec<String>,
    pub within: Duration,
    /// What must hold before anything is written.
    pub before: Vec<Before>,
    /// Whether the daemon's settings allow Jobs: a check that is one fails otherwise.
    pub jobs: bool,
    /// In order; those of stages one stage after the other.
    pub steps: Vec<Step>,
    /// Each with the places of its steps; empty where the plan has none.
    pub stages: Vec<(Stage, Range<usize>)>,
    pub verify: Vec<Condition>,
    pub hold: Duration,
}

/// What signals and triggers are called, in their order. A verdict is made every turn of every guard: all of one guard's share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub signals: Vec<String>,
    pub triggers: Vec<String>,
}

/// What stands beside, or in the place of, the healthy time that a signal is compared with.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Reference {
    #[default]
    Healthy,
    /// The same time so long ago.
    Offset(Duration),
    /// These numbers, by signal.
    Fixed(BTreeMap<String, f64>),
    /// The answers to these queries, by signal.
    Query(BTreeMap<String, String>),
}

/// How `worse(…)` weighs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// The chance that a change is ever called worse that is not.
    pub alpha: f64,
    /// No smaller share is called worse.
    pub floor: f64,
}

/// A named number and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    pub name: String,
    pub unit: Unit,
    pub worse: Worse,
    pub source: Source,
}

/// In a gauge's query: the matchers of the guard's labels.
pub const MATCH: &str = "$match";
/// In a gauge's query: the names of the guard's labels.
pub const BY: &str = "$by";

/// Where a signal's number comes from. Selectors are PromQL selectors without the guard's own labels.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The share of `bad` among `total`.
    Bad { bad: String, total: String },
    /// The share of `good` among `total`; a reading's counts are still bad (total less good) and total.
    Good { good: String, total: String },
    /// One minus the signal at that place, a ratio.
    Complement { of: usize },
    /// The quantile of a histogram (its name without `_bucket`), times `scale`.
    Quantile { histogram: String, q: f64, scale: f64 },
    /// Any PromQL that gives one number; with [`MATCH`] in it one for all guards together.
    Gauge { query: String },
    /// How many alerts with these labels fire.
    Alerts { labels: BTreeMap<String, String> },
    /// A counter's growth per second.
    Rate { counter: String },
}

/// What must hold before anything is written.
#[derive(Clone, Debug)]
pub struct Before {
    /// As people call it.
    pub name: String,
    pub check: BeforeCheck,
}

/// How that is found out.
#[derive(Clone, Debug)]
pub enum BeforeCheck {
    Condition(Condition),
    Http(HttpCheck),
    Job { job: RunJob, timeout: Duration },
}

/// One trigger, compiled.
#[derive(Clone, Debug)]
pub struct Rule {
    pub name: String,
    /// As the owner wrote it.
    pub text: String,
    pub condition: Condition,
    pub action: Action,
    pub grade: String,
    pub hold: Duration,
    pub min_requests: u32,
    pub certainty: Certainty,
}

/// What is wrong with a guard, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Such as `spec.triggers[1].condition`.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// The line with a caret below the place; empty where the whole value is wrong.
    pub picture: String,
}

impl Policy {
    /// Whether its plan goes back to a proven state.
    pub fn restores(&self) -> bool {
        self.steps.iter().any(|step| step.restore.is_some())
    }

    /// The conditions that must hold before anything is written.
    pub fn before_conditions(&self) -> impl Iterator<Item = &Condition> {
        self.before.iter().filter_map(|before| match &before.check {
            BeforeCheck::Condition(condition) => Some(condition),
            BeforeCheck::Http(_) | BeforeCheck::Job { .. } => None,
        })
    }

    /// The Jobs of its steps.
    pub fn step_jobs(&self) -> Vec<&RunJob> {
        self.steps.iter().filter_map(|step| step.job.as_ref()).collect()
    }

    /// The Jobs among the checks before the first write, each with what people call it and its time.
    pub fn before_jobs(&self) -> impl Iterator<Item = (&str, &RunJob, Duration)> {
        self.before.iter().filter_map(|before| match &before.check {
            BeforeCheck::Job { job, timeout } => Some((before.name.as_str(), job, *timeout)),
            BeforeCheck::Condition(_) | BeforeCheck::Http(_) => None,
        })
    }

    /// A guard's wishes, checked and with defaults resolved, graded by one of the shipped schemes; or every mistake in
    /// them. For those who have no settings of a daemon.
    pub fn compile(
        namespace: &str,
        spec: &GuardSpec,
        presets: &BTreeMap<String, Preset>,
    ) -> Result<Self, Vec<Mistake>> {
        Self::compile_with(namespace, spec, presets, &Scheme::shipped())
    }

    /// The same with the schemes that there are.
    pub fn compile_with(
        namespace: &str,
        spec: &GuardSpec,
        presets: &BTreeMap<String, Preset>,
        schemes: &Schemes,
    ) -> Result<Self, Vec<Mistake>> {
        compile::compile(namespace, spec, presets, schemes)
    }

    /// The signals that conditions call `worse`, in order.
    pub fn metered(&self) -> Vec<usize> {
        let rules = self.triggers.iter().map(|rule| &rule.condition);
        let mut named: Vec<usize> = rules
            .chain(&self.verify)
            .chain(self.before_conditions())
            .flat_map(Condition::metered)
            .collect();
        named.sort_unstable();
        named.dedup();
        named
    }

    /// Those of them whose requests are counted by a histogram's buckets.
    pub fn timed(&self) -> impl Iterator<Item = usize> {
        let quantile = |signal: &usize| {
            let source = self.signals.get(*signal).map(|signal| &signal.source);
            matches!(source, Some(Source::Quantile { .. }))
        };
        self.metered().into_iter().filter(quantile)
    }

    /// The place of the signal of that name.
    pub fn signal(&self, name: &str) -> Option<usize> {
        self.signals.iter().position(|signal| signal.name == name)
    }
}

impl Reference {
    /// Whether that signal's baseline comes from here, and not from healthy time.
    pub fn gives(&self, signal: &str) -> bool {
        match self {
            Self::Healthy => false,
            Self::Offset(_) => true,
            Self::Fixed(numbers) => numbers.contains_key(signal),
            Self::Query(queries) => queries.contains_key(signal),
        }
    }
}

impl Signal {
    /// Whether its number is a share of counted events.
    pub const fn counted(&self) -> bool {
        matches!(
            self.source,
            Source::Bad { .. } | Source::Good { .. } | Source::Complement { .. }
        )
    }
}

impl Mistake {
    /// A mistake in the whole value at that path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
            picture: String::new(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)?;
        if self.picture.is_empty() {
            Ok(())
        } else {
            write!(f, "\n{}", self.picture)
        }
    }
}
