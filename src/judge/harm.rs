//! Pure. Requests that failed since the first bad reading, as far as they were counted.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use jiff::Timestamp;

use super::{
    memory::{Fresh, Memory},
    share::Count,
    view::begin,
    words,
};
use crate::model::{incident::Harm, units::Length};

/// Adds up from the first bad reading on, until the guard is calm.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// The first reading's beginning, the last one's end, and how much of that was counted.
    counted: Option<(Timestamp, Timestamp, Duration)>,
    count: Count,
}

impl Tally {
    /// One reading with new data. A good one counts too, once it began: it is not over.
    pub fn add(&mut self, at: Timestamp, length: Duration, count: Count, bad: bool) {
        if self.counted.is_none() && !bad {
            return;
        }
        let (since, _, counted) = self.counted.unwrap_or((begin(at, length), at, Duration::ZERO));
        self.counted = Some((since, at, counted + length));
        self.count = self.count.plus(count);
    }

    /// Whole requests; nothing where nothing was counted.
    pub fn harm(&self) -> Option<Harm> {
        let (since, until, counted) = self.counted?;
        Some(Harm {
            since,
            until,
            counted: Length(Duration::from_secs(counted.as_secs())),
            failed: words::whole(self.count.some),
            requests: words::whole(self.count.all),
        })
    }
}

impl Memory {
    /// What failed since the first bad reading; nothing where nothing counts requests, or nothing was bad.
    pub fn harm(&self) -> Option<Harm> {
        self.tally.harm()
    }

    /// It is over, or nothing came of it: what failed is no longer counted.
    pub fn calm(&mut self) {
        self.tally = Tally::default();
    }

    pub(super) fn tally(&mut self, fresh: Fresh, bad: bool) {
        if let Some((column, length)) = self.share.zip(fresh.counted) {
            self.tally.add(fresh.at, length, self.history.last(column).count, bad);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_counted_from_the_first_bad_reading_on() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let (mut tally, length) = (Tally::default(), Duration::from_secs(15));
        let count = |some, all| Count { some, all };
        tally.add(at(15), length, count(0.0, 75.0), false);
        assert_eq!(tally.harm(), None, "nothing failed yet: not known is not zero");
        tally.add(at(30), length, count(20.0, 75.0), true);
        // A reading is missing here.
        tally.add(at(60), length, count(10.0, 75.0), false);
        let harm = tally.harm().unwrap();
        assert_eq!(
            (harm.since, harm.until, harm.counted),
            (at(15), at(60), Length::seconds(30))
        );
        assert_eq!((harm.failed, harm.requests), (30, 150));
    }
}
