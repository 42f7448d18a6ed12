//! Pure. `worse(signal)`, asked of the signal's evidence meter.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Latest, Leaf, Place, View};
use crate::judge::{
    condition::{Comparison, Missing, Truth},
    meter::{Meter, Read},
    metered::{Metered, NoMeter},
    share::Count,
};

/// What an evidence meter says.
#[derive(Clone, Copy, Debug)]
pub struct Odds {
    /// The logarithm of so many to one.
    pub log: f64,
    pub read: Read,
    /// Of a latency: what is slower is bad.
    pub slower_than: Option<f64>,
    /// The highest share that is not called worse.
    pub tolerated: f64,
}

impl Odds {
    /// So many to one, at most 1e12.
    pub fn to_one(self) -> f64 {
        self.log.exp().min(1e12)
    }
}

impl View<'_> {
    /// Why `worse` of that signal cannot be asked; nothing where the change is no longer watched.
    pub fn no_meter(&self, signal: usize) -> Option<NoMeter> {
        let metered = self.metered(signal).filter(|_| self.watched)?;
        metered.meter().err()
    }

    fn metered(&self, signal: usize) -> Option<&Metered> {
        self.meters.iter().find(|metered| metered.signal == signal)
    }

    /// `worse(signal)`: surely so or not so, unless nothing is known at present. When the change is no longer watched, it is
    /// what it was: only an open question stays open.
    pub(super) fn weighed(&self, comparison: &Comparison) -> Leaf {
        let signal = comparison.subject().unwrap_or(usize::MAX);
        let metered = self.metered(signal);
        let meter = metered.and_then(|metered| metered.meter().ok());
        let slower_than = metered.and_then(|metered| metered.slower_than);
        let tripped = meter.filter(|meter| meter.tripped());
        let missing = if tripped.is_none() && !self.watched {
            None
        } else if meter.is_none() {
            Some(Missing::Baseline(signal))
        } else {
            let read = meter.is_some_and(|meter| meter.read().readings > 0);
            Some(Missing::Counts(signal)).filter(|_| !read || !self.counts(signal, slower_than))
        };
        let truth = if missing.is_some() {
            Truth::Unknown
        } else {
            Truth::of(tripped.is_some() == comparison.relation.upward())
        };
        let count = meter.map(Meter::read).map(|read| Count {
            some: read.bad,
            all: read.all,
        });
        Leaf {
            plain: truth,
            sure: truth,
            tested: true,
            passing: false,
            quantile: None,
            missing,
            // A latency's own number is another one than the share that was weighed.
            value: count.and_then(Count::share).filter(|_| slower_than.is_none()),
            limit: meter.map(Meter::tolerated).filter(|_| slower_than.is_none()),
            count,
            odds: tripped.map(|meter| Odds {
                log: meter.log_odds(),
                read: meter.read(),
                slower_than,
                tolerated: meter.tolerated(),
            }),
        }
    }

    /// Whether the newest reading counted the signal.
    fn counts(&self, signal: usize, slower_than: Option<f64>) -> bool {
        match (self.places.get(signal), slower_than) {
            (Some(Place::Share { of, .. }), _) => matches!(self.latest.get(*of), Some(Latest::Counted)),
            (Some(Place::Value), Some(bound)) => {
                let mut slow = self.slow.iter().filter(|slow| slow.signal == signal);
                slow.any(|slow| slow.newest(bound).is_some())
            }
            (Some(Place::Rate { .. } | Place::Value) | None, _) => false,
        }
    }
}
