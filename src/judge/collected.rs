//! Pure. What healthy time looked like: the numbers that a later state will be compared with.
//!
//! Shares are summed, one spike left out ([`spike`]); quantiles, gauges and rates are the median over steps of at least a minute, so that one spike
//! moves nothing. At most sixty steps are kept, however long the baseline's window. What shares were counted from is summed
//! by the hour over up to a day ([`Hours`]), for how sure a later share is; bursts that passed by themselves are part of that.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    time::Duration,
};

/// Counts over a day.
mod hours;
/// A share without one earlier spike.
mod spike;

pub use hours::Hours;

use super::{history::Cell, policy::Policy, share::Count, view::Place, words};
use crate::model::guard::BaselineCounts;

/// Less healthy time than this is no baseline (or the whole window, where that is shorter).
const LEAST: Duration = Duration::from_secs(300);
/// Fewer requests than this are no baseline, where requests are counted.
const REQUESTS: f64 = 100.0;
const STEPS: u32 = 60;
/// What lasts longer is no burst.
const PASSES: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
struct Step {
    length: Duration,
    cells: Vec<Cell>,
    /// The sum of a signal's values and how many they were.
    values: Vec<(f64, f64)>,
}

/// Healthy time, collected.
#[derive(Clone, Debug)]
pub struct Collected {
    window: Duration,
    steps: VecDeque<Step>,
    /// Of all steps together.
    length: Duration,
    hours: Hours,
    /// Readings beyond a limit, of which it is not known yet what comes of them.
    aside: Aside,
}

#[derive(Clone, Debug, Default)]
struct Aside {
    readings: Vec<(Duration, Vec<Cell>)>,
    length: Duration,
    /// Something came of them.
    spoilt: bool,
}

impl Collected {
    /// Nothing yet; of numbers at most `window` is kept, of the counts of these columns a day.
    pub fn new(window: Duration, shares: Vec<usize>) -> Self {
        Self {
            window,
            steps: VecDeque::new(),
            length: Duration::ZERO,
            hours: Hours::new(shares),
            aside: Aside::default(),
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.steps.clear();
        self.length = Duration::ZERO;
        self.hours.clear();
        self.aside = Aside::default();
    }

    /// One reading beyond a limit. Counted by the hour, if it passes: what bursts a service has is part of how it is when healthy.
    pub fn set_aside(&mut self, length: Duration, cells: impl Iterator<Item = Cell>) {
        self.aside.length += length;
        if self.aside.length > PASSES {
            self.spoil();
        }
        if !self.aside.spoilt {
            self.aside.readings.push((length, cells.collect()));
        }
    }

    /// It did not pass.
    pub fn spoil(&mut self) {
        self.aside.readings.clear();
        self.aside.spoilt = true;
    }

    /// One healthy reading of that length.
    pub fn add(
        &mut self,
        length: Duration,
        cells: impl Iterator<Item = Cell> + Clone,
        values: impl Iterator<Item = Option<f64>>,
    ) {
        for (length, cells) in std::mem::take(&mut self.aside).readings {
            self.hours.add(length, cells.into_iter());
        }
        self.hours.add(length, cells.clone());
        self.length += length;
        let step_length = MINUTE.max(self.window / STEPS);
        let values = values.map(|value| value.map_or((0.0, 0.0), |v| (v, 1.0)));
        match self.steps.back_mut() {
            Some(step) if step.length + length <= step_length => {
                step.length += length;
                for (sum, cell) in step.cells.iter_mut().zip(cells) {
                    sum.count = sum.count.plus(cell.count);
                    sum.seconds += cell.seconds;
                }
                for (sum, value) in step.values.iter_mut().zip(values) {
                    *sum = (sum.0 + value.0, sum.1 + value.1);
                }
                return;
            }
            Some(_) | None => self.steps.push_back(Step {
                length,
                cells: cells.collect(),
                values: values.collect(),
            }),
        }
        while self.steps.len() > 1
            && let Some(oldest) = self.steps.front()
            && self.length.saturating_sub(oldest.length) >= self.window
        {
            self.length -= oldest.length;
            self.steps.pop_front();
        }
    }

    /// Every signal's number, by name, once enough was collected. A signal that was known less than half of the time has none.
    pub fn numbers(&self, policy: &Policy, places: &[Place], requests: Option<usize>) -> Option<BTreeMap<String, f64>> {
        let counted = requests.map(|column| self.sum(column).all);
        if self.length < LEAST.min(self.window) || counted.is_some_and(|all| all < REQUESTS) {
            return None;
        }
        let named = policy.signals.iter().zip(places).enumerate();
        Some(
            named
                .filter_map(|(signal, (named, place))| {
                    let number = match place {
                        Place::Share { column, others, .. } => {
                            let sum = spike::without_spike(&self.steps_of(*column));
                            if *others { sum.others().share() } else { sum.share() }
                        }
                        Place::Rate { column } => {
                            self.median(|step| step.cells.get(*column).map(|cell| (cell.count.all, cell.seconds)))
                        }
                        Place::Value => self.median(|step| step.values.get(signal).copied()),
                    };
                    number.map(|number| (named.name.clone(), number))
                })
                .collect(),
        )
    }

    /// What every ratio was counted from, by name, as far as it is known (a complement has its ratio's).
    pub fn counts(&self, policy: &Policy, places: &[Place]) -> BTreeMap<String, BaselineCounts> {
        let named = policy.signals.iter().zip(places).enumerate();
        let counted = named.filter_map(|(signal, (named, place))| match place {
            Place::Share { column, of, .. } if *of == signal => Some((named.name.clone(), self.counted(*column)?)),
            Place::Share { .. } | Place::Rate { .. } | Place::Value => None,
        });
        counted.collect()
    }

    /// What one column's share was counted from.
    pub fn counted(&self, column: usize) -> Option<BaselineCounts> {
        self.hours.counts(column)
    }

    /// What is missing for a baseline, and how long it will take.
    pub fn waits(&self, requests: Option<usize>) -> String {
        let (length, least) = (self.length, LEAST.min(self.window));
        let answered = requests.map_or(REQUESTS, |column| self.sum(column).all);
        if length >= least && answered >= REQUESTS {
            return "none was taken before the change; this state's own is taken when it is steady".to_owned();
        }
        let mut told = format!("{} of {} of healthy time", words::length(length), words::length(least));
        let mut left = least.saturating_sub(length);
        if requests.is_some() {
            let _ = write!(
                told,
                " and {} of {REQUESTS} requests",
                words::whole(answered.min(REQUESTS))
            );
            let missing = (REQUESTS - answered).max(0.0);
            if missing > 0.0 && answered < 1.0 {
                return told + " so far";
            }
            left = left.max(length.mul_f64(missing / answered.max(1.0)));
        }
        told + &format!(" so far, about {} more", words::length(left))
    }

    fn steps_of(&self, column: usize) -> Vec<Count> {
        let cells = self.steps.iter().filter_map(|step| step.cells.get(column));
        cells.map(|cell| cell.count).collect()
    }

    fn sum(&self, column: usize) -> Count {
        let cells = self.steps.iter().filter_map(|step| step.cells.get(column));
        cells.fold(Count::default(), |sum, cell| sum.plus(cell.count))
    }

    fn median(&self, part: impl Fn(&Step) -> Option<(f64, f64)>) -> Option<f64> {
        let mut means: Vec<f64> = self
            .steps
            .iter()
            .filter_map(part)
            .filter(|(_, n)| *n > 0.0)
            .map(|(sum, n)| sum / n)
            .collect();
        if means.len() * 2 < self.steps.len() {
            return None;
        }
        means.sort_by(f64::total_cmp);
        let half = means.len() / 2;
        let upper = means.get(half).copied()?;
        let lower = if means.len().is_multiple_of(2) {
            means.get(half.saturating_sub(1)).copied()?
        } else {
            upper
        };
        Some(f64::midpoint(lower, upper))
    }
}
