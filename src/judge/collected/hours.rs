//! Pure. How often something was bad over a day of healthy time, and how unevenly: bounded sums by the hour.
//!
//! A column's counts are gathered in steps of at least a minute and 20 requests. Of each step only E, N and E²/N are kept, summed
//! by hours of healthy time, at most 24: that is all Pearson's χ² needs, Σ (e − n p)²/(n p q) = (Σ e²/n − E²/N)/(p q).

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{collections::VecDeque, time::Duration};

use crate::{
    judge::{history::Cell, share::Count},
    model::guard::BaselineCounts,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Fewer requests than this make no step.
const ENOUGH: f64 = 20.0;
const HOURS: usize = 24;

/// A day's counts of some columns.
#[derive(Clone, Debug, Default)]
pub struct Hours {
    /// The columns of a history that are shares.
    columns: Vec<usize>,
    /// The step that is being gathered, by column.
    open: Vec<Step>,
    hours: VecDeque<Hour>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Step {
    length: Duration,
    count: Count,
}

#[derive(Clone, Debug)]
struct Hour {
    length: Duration,
    sums: Vec<Sums>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    length: Duration,
    count: Count,
    /// Σ e²/n over the steps, and how many they are.
    squares: f64,
    steps: f64,
}

impl Hours {
    /// Nothing yet, of these columns.
    pub fn new(columns: Vec<usize>) -> Self {
        Self {
            open: vec![Step::default(); columns.len()],
            columns,
            hours: VecDeque::new(),
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.open.fill(Step::default());
        self.hours.clear();
    }

    /// One healthy reading of that length, with the cells of all of the history's columns.
    pub fn add(&mut self, length: Duration, cells: impl Iterator<Item = Cell> + Clone) {
        let columns = self.columns.len();
        if columns == 0 {
            return;
        }
        if self.hours.back().is_none_or(|hour| hour.length >= HOUR) {
            self.hours.push_back(Hour {
                length: Duration::ZERO,
                sums: vec![Sums::default(); columns],
            });
            if self.hours.len() > HOURS {
                self.hours.pop_front();
            }
        }
        let Some(hour) = self.hours.back_mut() else { return };
        hour.length += length;
        for ((column, open), sums) in self.columns.iter().zip(&mut self.open).zip(&mut hour.sums) {
            let known = cells.clone().nth(*column).filter(|cell| cell.seconds > 0.0);
            if let Some(cell) = known {
                open.length += length;
                open.count = open.count.plus(cell.count);
                if open.length >= MINUTE && open.count.all >= ENOUGH {
                    sums.close(std::mem::take(open));
                }
            }
        }
    }

    /// A column's counts; nothing before its first step is whole.
    pub fn counts(&self, column: usize) -> Option<BaselineCounts> {
        let place = self.columns.iter().position(|known| *known == column)?;
        let mut all = Sums::default();
        for sums in self.hours.iter().filter_map(|hour| hour.sums.get(place)) {
            all.length += sums.length;
            all.count = all.count.plus(sums.count);
            all.squares += sums.squares;
            all.steps += sums.steps;
        }
        (all.steps > 0.0).then(|| BaselineCounts {
            requests: all.count.all,
            bad: all.count.some,
            dispersion: all.dispersion(),
            per_step: all.count.all / all.steps,
            seconds: all.length.as_secs_f64(),
            slower_than: None,
            earlier: None,
        })
    }
}

impl Sums {
    fn close(&mut self, step: Step) {
        self.length += step.length;
        self.count = self.count.plus(step.count);
        self.squares += step.count.some * step.count.some / step.count.all;
        self.steps += 1.0;
    }

    /// χ² per degree of freedom, at least 1; rounded, being an estimate that people read.
    fn dispersion(&self) -> f64 {
        let Count { some, all } = self.count;
        let share = some / all;
        let chance = (self.squares - some * share) / (share * (1.0 - share)) / (self.steps - 1.0);
        if chance.is_finite() && chance > 1.0 {
            (chance * 1e4).round() / 1e4
        } else {
            1.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(some: f64, all: f64) -> Cell {
        Cell {
            count: Count { some, all },
            seconds: 15.0,
        }
    }

    fn day(readings: &[(f64, f64)], seconds: u64) -> BaselineCounts {
        let mut hours = Hours::new(vec![1]);
        for (some, all) in readings {
            let cells = [Cell::default(), cell(*some, *all)];
            hours.add(Duration::from_secs(seconds), cells.into_iter());
        }
        hours.counts(1).unwrap()
    }

    /// SciPy 1.17: `scipy.stats.chi2_contingency([[0, 3, 1, 14, 2], [60, 57, 79, 66, 38]], correction=False).statistic / 4`.
    #[test]
    fn unevenness_is_pearsons() {
        let counts = day(&[(0.0, 60.0), (3.0, 60.0), (1.0, 80.0), (14.0, 80.0), (2.0, 40.0)], 60);
        assert!((counts.dispersion - 6.24).abs() < 1e-4, "{counts:?}");
        assert_eq!(
            (counts.requests.round(), counts.bad.round(), counts.seconds.round()),
            (320.0, 20.0, 300.0)
        );
        assert!((counts.per_step - 64.0).abs() < 1e-9);
    }

    #[test]
    fn quiet_minutes_are_merged_until_a_step_holds_twenty() {
        let counts = day(&vec![(0.0, 3.0); 70], 60);
        assert!(
            (counts.per_step - 21.0).abs() < 1e-9 && (counts.requests - 210.0).abs() < 1e-9,
            "{counts:?}"
        );
        assert!((counts.dispersion - 1.0).abs() < 1e-9, "nothing bad is even");
    }

    #[test]
    fn a_day_is_kept_and_no_more() {
        let counts = day(&vec![(1.0, 100.0); 4 * 60 * 24 * 3], 15);
        assert!((23.0 * 3600.0..=24.0 * 3600.0).contains(&counts.seconds), "{counts:?}");
        assert!((counts.bad / counts.requests - 0.01).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_known_is_not_counted() {
        let mut hours = Hours::new(vec![0]);
        for _ in 0..8 {
            hours.add(Duration::from_secs(60), [Cell::default()].into_iter());
        }
        assert_eq!(hours.counts(0), None);
        assert_eq!(hours.counts(7), None);
    }
}
