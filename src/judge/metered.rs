//! Pure. The evidence meters of one guard: what each may weigh against, and what it says.
//!
//! A meter belongs to a change: it begins where the windows begin, weighs each reading with new data once, and rests when
//! `watchFor` has passed, because what happens then is not put down to the change any more. One that has tripped goes on, so
//! that an incident does not end by the clock. Where the baseline is another one than before, it begins anew.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use jiff::Timestamp;

use super::{
    history::Cell,
    meter::{BaseRate, Meter},
    policy::{Policy, Signal},
    words,
};
use crate::model::guard::{Baseline, BaselineCounts};

/// Counts of less healthy time than this are no past to weigh against.
const LEAST: Duration = Duration::from_secs(3600);

/// The meter of one signal.
#[derive(Clone, Debug)]
pub struct Metered {
    pub signal: usize,
    /// The ratio that it is counted as: itself, or what it is the complement of.
    of: usize,
    /// The history's column with its counts.
    pub column: usize,
    /// Without a meter: why.
    meter: Result<Meter, NoMeter>,
    /// When the baseline was taken that it weighs against.
    against: Option<Timestamp>,
}

/// Why a signal has no meter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NoMeter {
    /// `evidence: {enabled: false}`.
    Off,
    /// The baseline has no counts of it.
    NotCounted,
    /// Its counts cover only this much healthy time.
    TooShort(Duration),
    /// It is bad so often that nothing could be much worse.
    Hopeless { share: f64 },
}

impl From<BaselineCounts> for BaseRate {
    fn from(counts: BaselineCounts) -> Self {
        Self {
            requests: counts.requests,
            bad: counts.bad,
            dispersion: counts.dispersion,
            per_step: counts.per_step,
        }
    }
}

impl Metered {
    /// A meter without a past.
    pub const fn new(signal: usize, of: usize, column: usize) -> Self {
        Self {
            signal,
            of,
            column,
            meter: Err(NoMeter::NotCounted),
            against: None,
        }
    }

    /// The windows begin anew.
    pub fn begin(&mut self) {
        if let Ok(meter) = &mut self.meter {
            meter.begin();
        }
    }

    /// Weighs against that baseline from now on; begins anew where it is another one.
    pub fn follow(&mut self, policy: &Policy, baseline: Option<&Baseline>) {
        let taken = baseline.map(|baseline| baseline.taken_at);
        if self.against == taken && self.against.is_some() {
            return;
        }
        self.against = taken;
        let named = policy.signals.get(self.of);
        let counts = baseline.zip(named).and_then(|(b, signal)| b.counts.get(&signal.name));
        self.meter = made(policy, counts.copied());
    }

    /// One disjoint reading.
    pub fn weigh(&mut self, cell: Cell) {
        if let Ok(meter) = &mut self.meter {
            meter.add(cell.count.some, cell.count.all);
        }
    }

    /// The meter, or why there is none.
    pub const fn meter(&self) -> Result<&Meter, NoMeter> {
        match &self.meter {
            Ok(meter) => Ok(meter),
            Err(why) => Err(*why),
        }
    }

    /// Whether it says that the change made it worse.
    pub fn tripped(&self) -> bool {
        self.meter.as_ref().is_ok_and(Meter::tripped)
    }
}

fn made(policy: &Policy, counts: Option<BaselineCounts>) -> Result<Meter, NoMeter> {
    let evidence = policy.evidence.ok_or(NoMeter::Off)?;
    let counts = counts.ok_or(NoMeter::NotCounted)?;
    let covered = Duration::try_from_secs_f64(counts.seconds).unwrap_or_default();
    if covered < LEAST {
        return Err(NoMeter::TooShort(covered));
    }
    let share = counts.bad / counts.requests;
    Meter::new(counts.into(), evidence.alpha, evidence.floor).ok_or(NoMeter::Hopeless { share })
}

impl NoMeter {
    /// Whether what is usual leaves nothing to be worse than.
    pub const fn is_hopeless(self) -> bool {
        matches!(self, Self::Hopeless { .. })
    }

    /// As the page says it of that signal.
    pub fn sentence(self, signal: &Signal) -> String {
        let name = &signal.name;
        match self {
            Self::Off => "`evidence` is switched off for this guard".to_owned(),
            Self::NotCounted => format!("the baseline has no counts of {name}"),
            Self::TooShort(covered) => format!(
                "{name} was counted for {} of healthy time, an hour is needed",
                words::length(covered)
            ),
            Self::Hopeless { share } => format!(
                "{} of {name}'s requests were bad when healthy: nothing is much worse than that",
                words::number(share, super::condition::Dimension::Of(crate::model::guard::Unit::Ratio))
            ),
        }
    }
}
