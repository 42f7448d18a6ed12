//! Pure. Requests slower than a histogram's buckets tell: counted by disjoint readings, and by the hour over healthy time.
//!
//! A latency is weighed as a share, too: of the requests slower than the smallest bucket that holds the baseline's quantile.
//! Which bucket that will be is known when the baseline is taken, so that until then all of them are counted.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use super::{collected::Hours, history::Cell, share::Count};
use crate::model::{
    guard::BaselineCounts,
    reading::{Bucket, Measured},
};

/// The buckets of one quantile's histogram.
#[derive(Clone, Debug, Default)]
pub struct Slow {
    /// The signal whose histogram it is.
    pub signal: usize,
    /// The upper bounds, ascending; the last is infinite.
    bounds: Vec<f64>,
    /// Requests up to each bound since the last reading with new data, and in it.
    pending: Vec<f64>,
    newest: Vec<f64>,
    /// The newest reading had buckets.
    known: bool,
    hours: Hours,
}

impl Slow {
    /// Nothing seen yet.
    pub fn new(signal: usize) -> Self {
        Self {
            signal,
            ..Self::default()
        }
    }

    /// The windows begin anew; what was collected stays.
    pub fn begin(&mut self) {
        self.pending.fill(0.0);
        self.newest.fill(0.0);
        self.known = false;
    }

    /// Forgets what was collected.
    pub fn clear(&mut self) {
        self.hours.clear();
    }

    /// One reading's buckets; without new data they wait for the next one.
    pub fn take(&mut self, measured: Option<&Measured>, newer: bool) {
        let buckets = match measured {
            Some(Measured::Timed { buckets, .. }) if sane(buckets) => buckets.as_slice(),
            Some(_) | None => &[],
        };
        self.known = !buckets.is_empty();
        if self.known
            && !buckets
                .iter()
                .map(|bucket| bucket.le.to_bits())
                .eq(self.bounds.iter().map(|b| b.to_bits()))
        {
            self.bounds = buckets.iter().map(|bucket| bucket.le).collect();
            self.pending = vec![0.0; self.bounds.len()];
            self.newest.clone_from(&self.pending);
            self.hours = Hours::new((0..self.bounds.len()).collect());
        }
        for (pending, bucket) in self.pending.iter_mut().zip(buckets) {
            *pending += bucket.count;
        }
        if newer {
            self.newest.clone_from(&self.pending);
            self.pending.fill(0.0);
        }
    }

    /// What the newest reading with new data counted, as slow ones of all; `None` where nothing is known of that bound.
    pub fn newest(&self, bound: f64) -> Option<Count> {
        let place = self
            .bounds
            .iter()
            .position(|known| (known - bound).abs() <= 1e-9 * bound)?;
        let all = *self.newest.last()?;
        let within = self.newest.get(place)?;
        self.known.then(|| Count {
            some: (all - within).max(0.0),
            all,
        })
    }

    /// Whether there are buckets, but none with that bound.
    pub fn lacks(&self, bound: f64) -> bool {
        self.known && self.newest(bound).is_none()
    }

    /// The newest reading was a healthy one.
    pub fn collect(&mut self, length: Duration) {
        if !self.known {
            return;
        }
        let all = self.newest.last().copied().unwrap_or(0.0);
        let cells = self.newest.iter().map(|within| Cell {
            count: Count {
                some: (all - within).max(0.0),
                all,
            },
            seconds: length.as_secs_f64(),
        });
        self.hours.add(length, cells);
    }

    /// What was slower than the smallest bound that is not below that quantile, in healthy time.
    pub fn counts(&self, quantile: f64) -> Option<BaselineCounts> {
        let enough = |bound: &f64| *bound >= quantile * (1.0 - 1e-9) && bound.is_finite();
        let place = self.bounds.iter().position(enough)?;
        let counts = self.hours.counts(place)?;
        Some(BaselineCounts {
            slower_than: self.bounds.get(place).copied(),
            ..counts
        })
    }
}

/// Ascending bounds up to infinity, counts that do not fall.
fn sane(buckets: &[Bucket]) -> bool {
    let pairs = buckets.iter().zip(buckets.iter().skip(1));
    let ascending = pairs
        .clone()
        .all(|(one, next)| one.le < next.le && one.count <= next.count);
    let counts = buckets
        .iter()
        .all(|bucket| bucket.count >= 0.0 && bucket.count.is_finite());
    let whole = buckets.last().is_some_and(|last| last.le.is_infinite());
    ascending && counts && whole && buckets.len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(fast: f64, slow: f64) -> Measured {
        let bucket = |le, count| Bucket { le, count };
        Measured::Timed {
            value: 0.2,
            over: Duration::from_secs(60),
            buckets: vec![
                bucket(0.1, fast),
                bucket(0.25, fast + 1.0),
                bucket(f64::INFINITY, fast + 1.0 + slow),
            ],
        }
    }

    #[test]
    fn disjoint_readings_are_counted_once_by_any_bound() {
        let mut slow = Slow::new(0);
        slow.take(Some(&timed(9.0, 2.0)), false);
        slow.take(Some(&timed(8.0, 1.0)), true);
        assert_eq!(slow.newest(0.25), Some(Count { some: 3.0, all: 22.0 }));
        assert_eq!(slow.newest(0.1), Some(Count { some: 5.0, all: 22.0 }));
        assert_eq!(
            (slow.newest(0.2), slow.lacks(0.2), slow.lacks(0.1)),
            (None, true, false)
        );
        slow.take(Some(&timed(10.0, 0.0)), true);
        assert_eq!(slow.newest(0.25), Some(Count { some: 0.0, all: 11.0 }));
        slow.take(None, true);
        assert_eq!(slow.newest(0.25), None, "nothing is known");
    }

    #[test]
    fn healthy_time_is_counted_by_the_smallest_bound_that_holds_the_quantile() {
        let mut slow = Slow::new(0);
        for _ in 0..240 {
            slow.take(Some(&timed(90.0, 4.0)), true);
            slow.collect(Duration::from_secs(15));
        }
        let counts = slow.counts(0.12).unwrap();
        assert_eq!((counts.slower_than, counts.seconds), (Some(0.25), 3600.0));
        assert!((counts.bad / counts.requests - 4.0 / 95.0).abs() < 1e-9 && (counts.per_step - 380.0).abs() < 1e-9);
        assert_eq!(slow.counts(0.1).and_then(|counts| counts.slower_than), Some(0.1));
        assert_eq!(slow.counts(0.3), None, "no bucket above it");
    }

    #[test]
    fn what_is_no_histogram_is_not_known() {
        let bucket = |le, count| Bucket { le, count };
        for wrong in [
            vec![],
            vec![bucket(f64::INFINITY, 3.0)],
            vec![bucket(0.1, 3.0), bucket(0.2, 4.0)],
            vec![bucket(0.1, 5.0), bucket(f64::INFINITY, 4.0)],
            vec![bucket(0.1, f64::NAN), bucket(f64::INFINITY, 4.0)],
        ] {
            assert!(!sane(&wrong), "{wrong:?}");
        }
    }
}
