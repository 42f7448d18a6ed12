//! Pure. The evidence meters of one guard: what each may weigh against, and what it says.
//!
//! A meter belongs to a change: it begins where the windows begin, weighs each reading with new data once, and rests when
//! `watchFor` has passed, because what happens then is not put down to the change any more. One that has tripped goes on, so
//! that an incident does not end by the clock. Where the baseline is another one than before, it begins anew.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use jiff::Timestamp;

use super::{
    meter::{BaseRate, Meter},
    policy::{Policy, Signal},
    share::Count,
    slow::Slow,
    view::Place,
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
    pub counted: Counted,
    /// Without a meter: why.
    meter: Result<Meter, NoMeter>,
    /// When the baseline was taken that it weighs against.
    against: Option<Timestamp>,
    /// Slower than this is bad, of a latency.
    pub slower_than: Option<f64>,
}

/// Where a meter's counts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// A history's column.
    Column(usize),
    /// The signal's [`Slow`].
    Slow,
}

/// Why a signal has no meter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NoMeter {
    /// `evidence: {enabled: false}`.
    Off,
    /// The baseline has no counts of it.
    NotCounted,
    /// The histogram has no longer the bucket that was counted before.
    OtherBuckets,
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
    pub const fn new(signal: usize, of: usize, counted: Counted) -> Self {
        Self {
            signal,
            of,
            counted,
            meter: Err(NoMeter::NotCounted),
            against: None,
            slower_than: None,
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
        let counts = counts
            .copied()
            .filter(|counts| counts.slower_than.is_some() == (self.counted == Counted::Slow));
        self.slower_than = counts.and_then(|counts| counts.slower_than);
        self.meter = made(policy, counts);
    }

    /// One disjoint reading.
    pub fn weigh(&mut self, count: Count) {
        if let Ok(meter) = &mut self.meter {
            meter.add(count.some, count.all);
        }
    }

    /// One disjoint reading's buckets. Without a bucket of the bound that it was counted by before, there is nothing to weigh.
    pub fn weigh_slow(&mut self, slow: Option<&Slow>) {
        let Some((slow, bound)) = slow.zip(self.slower_than) else {
            return;
        };
        if slow.lacks(bound) {
            self.meter = Err(NoMeter::OtherBuckets);
        } else if let Some(count) = slow.newest(bound) {
            self.weigh(count);
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
    let meter = Meter::new(counts.into(), evidence.alpha, evidence.floor);
    meter.map(Meter::beginning_late).ok_or(NoMeter::Hopeless { share })
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
            Self::OtherBuckets => format!("{name} has other buckets than before the change"),
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

/// One of each signal that a condition calls `worse`.
pub fn meters(policy: &Policy, places: &[Place]) -> Vec<Metered> {
    let counted = policy
        .metered()
        .into_iter()
        .filter_map(|signal| match places.get(signal)? {
            Place::Share { column, of, .. } => Some(Metered::new(signal, *of, Counted::Column(*column))),
            Place::Value => Some(Metered::new(signal, signal, Counted::Slow)),
            Place::Rate { .. } => None,
        });
    counted.collect()
}
