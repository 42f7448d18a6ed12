//! Pure. The counts of one guard's past readings: a bounded ring, fine where windows are, in minutes before that.
//!
//! A step is one reading with new data (readings without it are counted into the next one). Steps older than the window
//! are kept only as long as some window may have to grow over them, at most an hour, merged into minutes: a busy guard
//! keeps none of them, a quiet one sixty.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

use super::share::Count;

/// No window reaches farther back: an hour, in milliseconds.
const LONGEST: i64 = 3_600_000;
/// Steps kept one by one.
const FINE: usize = 64;
/// Steps that are always kept one by one, however short the window.
const FEWEST: usize = 4;
/// Older steps are merged into this.
const MERGED: i64 = 60_000;

/// What one step counted of one column.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    pub count: Count,
    /// How long was counted; zero where nothing is known.
    pub seconds: f64,
}

/// In milliseconds since 1970: a window is walked several times a turn, and whole numbers subtract fast.
#[derive(Clone, Copy, Debug)]
struct Step {
    begin: i64,
    end: i64,
}

/// The ring.
#[derive(Clone, Debug)]
pub struct History {
    columns: usize,
    window: i64,
    /// Windows grow until they hold so many.
    needed: f64,
    steps: VecDeque<Step>,
    /// `columns` of them per step.
    cells: VecDeque<Cell>,
    /// How many of the oldest steps are merged ones.
    merged: usize,
    /// Counted by readings without new data, and since when.
    pending: Vec<Cell>,
    pending_since: Option<i64>,
    newest: Option<Timestamp>,
}

/// The length from one time to a later one; zero if it is not later.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

impl Cell {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.count = self.count.plus(other.count);
        self.seconds += other.seconds;
    }
}

impl History {
    /// An empty ring for that many columns; windows grow until they hold `needed`.
    pub fn new(columns: usize, window: Duration, needed: f64) -> Self {
        Self {
            columns,
            window: i64::try_from(window.as_millis())
                .unwrap_or(i64::MAX / 4)
                .min(i64::MAX / 4),
            needed,
            steps: VecDeque::new(),
            cells: VecDeque::new(),
            merged: 0,
            pending: vec![Cell::default(); columns],
            pending_since: None,
            newest: None,
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.steps.clear();
        self.cells.clear();
        self.merged = 0;
        self.newest = None;
        self.forget_pending();
    }

    fn forget_pending(&mut self) {
        self.pending.fill(Cell::default());
        self.pending_since = None;
    }

    /// One reading's counts in `(begin, end]`; without new data they wait for the next reading that has some.
    pub fn push(&mut self, begin: Timestamp, end: Timestamp, fresh: bool, cells: impl Iterator<Item = Cell>) {
        for (pending, cell) in self.pending.iter_mut().zip(cells) {
            pending.add(cell);
        }
        let begin = *self.pending_since.get_or_insert(begin.as_millisecond());
        if !fresh {
            return;
        }
        self.newest = Some(end);
        let end = end.as_millisecond();
        self.steps.push_back(Step { begin, end });
        self.cells.extend(self.pending.iter().copied());
        self.forget_pending();
        self.age(end);
    }

    fn age(&mut self, now: i64) {
        while self.steps.len() - self.merged > FEWEST
            && let Some(oldest) = self.steps.get(self.merged).copied()
            && (now - oldest.end >= self.window || self.steps.len() - self.merged > FINE)
        {
            self.merge(oldest);
        }
        while self.merged > 0 && (self.too_old(now) || self.enough_without_oldest()) {
            self.steps.pop_front();
            self.cells.drain(..self.columns.min(self.cells.len()));
            self.merged -= 1;
        }
    }

    /// The oldest fine step becomes a merged one, or part of the newest merged one while that is short.
    fn merge(&mut self, oldest: Step) {
        let into = self.merged.checked_sub(1);
        match into.and_then(|place| self.steps.get_mut(place)) {
            Some(minute) if oldest.end - minute.begin <= MERGED => {
                minute.end = oldest.end;
                self.steps.remove(self.merged);
                let (to, from) = ((self.merged - 1) * self.columns, self.merged * self.columns);
                for column in 0..self.columns {
                    let cell = self.cells.remove(from).unwrap_or_default();
                    if let Some(sum) = self.cells.get_mut(to + column) {
                        sum.add(cell);
                    }
                }
            }
            Some(_) | None => self.merged += 1,
        }
    }

    fn too_old(&self, now: i64) -> bool {
        self.steps
            .front()
            .is_some_and(|oldest| now - oldest.begin > LONGEST && now - oldest.end >= self.window)
    }

    /// Whether the window and every grown window stays the same without the oldest step.
    fn enough_without_oldest(&self) -> bool {
        let covered = self
            .steps
            .get(1)
            .zip(self.steps.back())
            .is_some_and(|(second, last)| last.end - second.begin >= self.window);
        covered
            && (0..self.columns).all(|column| {
                let held: f64 = self
                    .column(column)
                    .take(self.steps.len() - 1)
                    .map(|(_, cell)| cell.count.all)
                    .sum();
                held >= self.needed
            })
    }

    /// One column's steps, newest first.
    fn column(&self, column: usize) -> impl Iterator<Item = (Step, Cell)> {
        let places = (0..self.steps.len()).rev();
        places.filter_map(move |place| {
            let cell = self.cells.get(place * self.columns + column)?;
            Some((*self.steps.get(place)?, *cell))
        })
    }

    /// The end of the newest step.
    pub fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// How long the newest step is.
    pub fn newest_length(&self) -> Duration {
        self.steps.back().map_or(Duration::ZERO, |step| {
            Duration::from_millis(u64::try_from(step.end - step.begin).unwrap_or(0))
        })
    }

    /// Whether it was counted for longer since then than any window reaches back.
    pub fn longer_than_any_window(&self, since: Timestamp) -> bool {
        let newest = self.steps.back();
        newest.is_some_and(|newest| newest.end - since.as_millisecond() > LONGEST.max(self.window))
    }

    /// The newest step's cells.
    pub fn last_cells(&self) -> impl Iterator<Item = Cell> + Clone {
        self.cells
            .iter()
            .skip(self.cells.len().saturating_sub(self.columns))
            .copied()
    }

    /// The newest step's cell.
    pub fn last(&self, column: usize) -> Cell {
        self.column(column).next().map(|(_, cell)| cell).unwrap_or_default()
    }

    /// The sums over the newest 1, 2, 4, 8 … steps that lie within the window, each given to `see`, and at last over the
    /// window itself, which is the answer: it grows until it holds `needed`, at most over an hour.
    pub fn window(&self, column: usize, needed: f64, mut see: impl FnMut(Cell)) -> Cell {
        let Some(newest) = self.steps.back().map(|step| step.end) else {
            return Cell::default();
        };
        let mut sum = Cell::default();
        let mut next = 1;
        for (place, (step, cell)) in self.column(column).enumerate() {
            let covered = newest - step.end;
            // A step that lies more than half outside the window belongs to the time before it.
            let half = (step.end - step.begin) / 2;
            if covered + half >= self.window && place > 0 && sum.count.all >= needed {
                break;
            }
            if place > 0 && newest - step.begin > LONGEST.max(self.window + half) {
                break;
            }
            if place == next {
                see(sum);
                next *= 2;
            }
            sum.add(cell);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn cell(some: f64, all: f64, seconds: f64) -> Cell {
        Cell {
            count: Count { some, all },
            seconds,
        }
    }

    fn ring(needed: f64, every: i64, readings: &[(f64, f64)]) -> History {
        let mut history = History::new(1, Duration::from_secs(60), needed);
        for (place, (some, all)) in (1_i64..).zip(readings) {
            history.push(
                at((place - 1) * every),
                at(place * every),
                true,
                std::iter::once(cell(*some, *all, 15.0)),
            );
        }
        history
    }

    fn window(history: &History, needed: f64) -> (Vec<(f64, f64)>, (f64, f64)) {
        let mut seen = Vec::new();
        let whole = history.window(0, needed, |c| seen.push((c.count.some, c.count.all)));
        (seen, (whole.count.some, whole.count.all))
    }

    #[test]
    fn the_window_is_the_newest_minute() {
        let history = ring(
            20.0,
            15,
            &[(9.0, 90.0), (1.0, 10.0), (2.0, 20.0), (3.0, 30.0), (4.0, 40.0)],
        );
        assert_eq!(window(&history, 20.0), (vec![(4.0, 40.0), (7.0, 70.0)], (10.0, 100.0)));
    }

    #[test]
    fn it_grows_until_it_holds_enough_but_never_over_more_than_an_hour() {
        let mut quiet = vec![(0.0, 1.0); 400];
        quiet.push((1.0, 1.0));
        let history = ring(20.0, 15, &quiet);
        let (_, (some, all)) = window(&history, 20.0);
        assert!((20.0..25.0).contains(&all) && some > 0.0, "{some} {all}");
        let history = ring(1000.0, 15, &quiet);
        let (_, (_, all)) = window(&history, 1000.0);
        assert!((233.0..=240.0).contains(&all), "an hour of them: {all}");
        assert!(history.steps.len() <= 66, "{}", history.steps.len());
    }

    #[test]
    fn a_busy_guard_keeps_little_more_than_its_window() {
        let history = ring(20.0, 15, &vec![(0.0, 700.0); 1000]);
        assert!(history.steps.len() <= 6, "{}", history.steps.len());
    }

    #[test]
    fn merging_loses_no_count() {
        let readings: Vec<_> = (0..150_u32).map(|n| (f64::from(n % 3), f64::from(n))).collect();
        let history = ring(1e9, 7, &readings);
        let (_, (_, all)) = window(&history, 1e9);
        let read: f64 = readings.iter().map(|r| r.1).sum();
        assert!((all - read).abs() < 1e-9, "{all} of {read}");
    }

    #[test]
    fn without_new_data_counts_wait_for_the_next_reading() {
        let mut history = ring(0.0, 15, &[]);
        history.push(at(0), at(5), false, std::iter::once(cell(1.0, 2.0, 5.0)));
        assert_eq!(history.newest(), None);
        history.push(at(5), at(10), true, std::iter::once(cell(1.0, 2.0, 5.0)));
        assert_eq!(
            (history.last(0), history.newest()),
            (cell(2.0, 4.0, 10.0), Some(at(10)))
        );
    }
}
