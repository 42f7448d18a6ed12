//! Pure. The numbers of one guard at this moment: windows, newest values, baseline; and each comparison made with them.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// What evidence meters say.
mod weighed;

pub use weighed::Odds;

use std::{cell::LazyCell, time::Duration};

use jiff::Timestamp;

use super::{
    condition::{Comparison, Dimension, Missing, Number, Relation, Single, Truth},
    history::{Cell, History},
    memory::Memory,
    metered::Metered,
    policy::{Policy, Signal, Source},
    share::Count,
    slow::Slow,
    usual::Usual,
    words,
};
use crate::model::{guard::Baseline, reading::Because};

/// How a signal's number is found.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A share of a history's column: of the counted ones, or of the others.
    Share { column: usize, of: usize, others: bool },
    /// A column's events per second.
    Rate { column: usize },
    /// The newest value.
    Value,
}

/// What the newest reading said of one signal.
#[derive(Clone, Debug, PartialEq)]
pub enum Latest {
    Counted,
    Value { value: f64, begin: Timestamp },
    Unknown(Because),
}

/// The numbers of one guard at this moment.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub policy: &'a Policy,
    pub history: &'a History,
    pub places: &'a [Place],
    pub latest: &'a [Latest],
    pub baselines: &'a [Option<f64>],
    pub memory: &'a Memory,
    pub baseline: Option<&'a Baseline>,
    pub meters: &'a [Metered],
    pub slow: &'a [Slow],
    /// What is seen may still be put down to the change.
    pub watched: bool,
    pub since: Timestamp,
}

/// One comparison, made.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Over the whole window.
    pub plain: Truth,
    /// As `plain`; where exact bounds are asked for and possible: whether it surely holds over some of the last readings.
    pub sure: Truth,
    /// Exact bounds were asked for and possible.
    pub tested: bool,
    /// It would surely hold, but the newest reading by itself is within the limit: what it was may be over.
    pub passing: bool,
    pub quantile: Option<f64>,
    pub missing: Option<Missing>,
    pub value: Option<f64>,
    pub limit: Option<f64>,
    /// What the value was counted from.
    pub count: Option<Count>,
    /// What the evidence meter says, where it has tripped.
    pub odds: Option<Odds>,
}

impl Leaf {
    /// Whether it holds, plainly or surely.
    pub fn holds(&self) -> bool {
        self.plain == Truth::True || self.sure == Truth::True
    }
}

/// The place of each signal and how many columns the history needs.
pub fn places(signals: &[Signal]) -> (Vec<Place>, usize) {
    let mut columns = 0;
    let mut next = || {
        columns += 1;
        columns - 1
    };
    let mut places: Vec<Place> = Vec::new();
    for (of, signal) in signals.iter().enumerate() {
        places.push(match signal.source {
            Source::Bad { .. } => Place::Share {
                column: next(),
                of,
                others: false,
            },
            Source::Good { .. } => Place::Share {
                column: next(),
                of,
                others: true,
            },
            Source::Rate { .. } => Place::Rate { column: next() },
            Source::Complement { .. } | Source::Quantile { .. } | Source::Gauge { .. } | Source::Alerts { .. } => {
                Place::Value
            }
        });
    }
    for (place, signal) in signals.iter().enumerate() {
        if let Source::Complement { of } = signal.source
            && let Some(Place::Share { column, of, others }) = places.get(of).copied()
            && let Some(complement) = places.get_mut(place)
        {
            *complement = Place::Share {
                column,
                of,
                others: !others,
            };
        }
    }
    (places, columns)
}

impl View<'_> {
    /// The signal's name.
    pub fn name(&self, signal: usize) -> &str {
        self.policy.signals.get(signal).map_or("", |s| s.name.as_str())
    }

    /// What the signal counts.
    pub fn unit(&self, signal: usize) -> Dimension {
        self.policy
            .signals
            .get(signal)
            .map_or(Dimension::Plain, |s| Dimension::Of(s.unit))
    }

    /// What the signal is compared with.
    pub fn baseline(&self, signal: usize) -> Option<f64> {
        self.baselines.get(signal).copied().flatten()
    }

    /// The signal's number, where it is known; shares of at least `needed`.
    pub fn number(&self, signal: usize, needed: u32) -> Option<f64> {
        match self.places.get(signal)? {
            Place::Share { .. } => self.count(signal, needed, |_| ())?.count.share(),
            Place::Rate { column } => match self.latest.get(signal)? {
                Latest::Counted => {
                    let cell = self.history.window(*column, 0.0, |_| ());
                    (cell.seconds > 0.0).then(|| cell.count.all / cell.seconds)
                }
                Latest::Value { .. } | Latest::Unknown(_) => None,
            },
            Place::Value => match self.latest.get(signal)? {
                Latest::Value { value, begin } if *begin >= self.since => Some(*value),
                Latest::Value { .. } | Latest::Counted | Latest::Unknown(_) => None,
            },
        }
    }

    /// A share's counts over the window, at least `needed`; `see` gets those of the newest 1, 2, 4 … readings with as many.
    pub fn count(&self, signal: usize, needed: u32, mut see: impl FnMut(Cell)) -> Option<Cell> {
        let Some(Place::Share { column, of, others }) = self.places.get(signal) else {
            return None;
        };
        if !matches!(self.latest.get(*of)?, Latest::Counted) {
            return None;
        }
        let needed = f64::from(needed.max(1));
        let cell = self.history.window(*column, needed, |cell| {
            if cell.count.all >= needed {
                see(turned(cell, *others));
            }
        });
        (cell.count.all >= needed).then(|| turned(cell, *others))
    }

    /// Of a share that is known although nobody asked for anything lately: what it is of.
    pub fn of_earlier(&self, signal: usize) -> Option<String> {
        let Some(Place::Share { column, .. }) = self.places.get(signal) else {
            return None;
        };
        let none = |cell: Cell| cell.count.all <= 0.0;
        if !none(self.history.last(*column)) || !none(self.history.window(*column, 0.0, |_| ())) {
            return None;
        }
        let earlier = words::whole(self.history.window(*column, 1.0, |_| ()).count.all);
        let window = words::length(self.policy.window);
        Some(format!(
            "no requests in the last {window}; this is of the {earlier} before"
        ))
    }

    /// What the newest reading by itself counted of a share.
    pub fn newest(&self, signal: usize) -> Cell {
        match self.places.get(signal) {
            Some(Place::Share { column, others, .. }) => turned(self.history.last(*column), *others),
            Some(Place::Rate { .. } | Place::Value) | None => Cell::default(),
        }
    }

    /// How a share is anyway: as it was counted before the change, and since, once what is seen is not put down to it any more.
    pub fn usual(&self, signal: usize) -> Option<Usual> {
        let place = *self.places.get(signal)?;
        let before = Usual::of(self.policy, self.baseline?, signal, place)?;
        let since = if self.watched { None } else { self.memory.counted(place) };
        Some(since.map_or(before, |counts| before.and(counts)))
    }

    /// Why the number is missing.
    pub fn because(&self, missing: Missing, needed: u32) -> Because {
        let signal = match missing {
            Missing::Baseline(_) => return Because::NoBaseline,
            Missing::Zero(_) => return Because::ZeroBaseline,
            Missing::NotFinite => return Because::NotANumber,
            Missing::Counts(signal) if matches!(self.places.get(signal), Some(Place::Value)) => {
                return match self.latest.get(signal) {
                    Some(Latest::Unknown(because)) => because.clone(),
                    Some(_) | None => Because::NoBuckets,
                };
            }
            Missing::Signal(signal) | Missing::Counts(signal) => signal,
        };
        let (told, column) = match self.places.get(signal) {
            Some(Place::Share { column, of, .. }) => (*of, Some(*column)),
            Some(Place::Rate { .. } | Place::Value) | None => (signal, None),
        };
        match (self.latest.get(told), column) {
            (Some(Latest::Unknown(because)), _) => because.clone(),
            (Some(Latest::Counted), Some(column)) => {
                let needed = needed.max(1);
                let held = self.history.window(column, f64::from(needed), |_| ()).count.all;
                Because::TooFewRequests {
                    requests: words::whole(held),
                    needed,
                    last_hour: self.history.longer_than_any_window(self.since),
                }
            }
            (Some(Latest::Value { .. } | Latest::Counted), _) => Because::BeforeChange,
            (None, _) => Because::WarmingUp,
        }
    }

    /// One comparison; with an `error`, shares that are compared with a fixed limit are tested with it.
    pub fn leaf(&self, comparison: &Comparison, needed: u32, error: Option<f64>) -> Leaf {
        let leaf = match (comparison.worse, comparison.single) {
            (true, _) => self.weighed(comparison),
            (false, Some(single)) if single.counted => self.tested(comparison, single, needed, error),
            (false, _) => self.plain(comparison, needed),
        };
        Leaf {
            quantile: comparison.quantile,
            ..leaf
        }
    }

    fn plain(&self, comparison: &Comparison, needed: u32) -> Leaf {
        let number =
            |number: &Number| number.value(&|signal| self.number(signal, needed), &|signal| self.baseline(signal));
        let (left, right) = (number(&comparison.left), number(&comparison.right));
        let truth = match (left, right) {
            (Ok(left), Ok(right)) => Truth::of(comparison.relation.holds(left, right)),
            (Err(_), _) | (_, Err(_)) => Truth::Unknown,
        };
        let mirrored = comparison.single.is_some() && !matches!(comparison.left, Number::Signal(_));
        let (value, limit) = if mirrored { (right, left) } else { (left, right) };
        Leaf {
            plain: truth,
            sure: truth,
            tested: false,
            passing: false,
            quantile: None,
            missing: value.err().or(limit.err()),
            value: value.ok(),
            limit: limit.ok(),
            count: None,
            odds: None,
        }
    }

    fn tested(&self, comparison: &Comparison, single: Single, needed: u32, error: Option<f64>) -> Leaf {
        let limit = comparison.limit().value(&|_| None, &|signal| self.baseline(signal));
        let mut surest: Option<Count> = None;
        let spread = LazyCell::new(|| self.usual(single.signal).map_or(1.0, |usual| usual.dispersion));
        let sure = |count: Count| match (limit, error) {
            (Ok(limit), Some(error)) if count.share().is_some_and(|share| single.relation.holds(share, limit)) => {
                count.spread_by(*spread).surely(single.relation, limit, error)
            }
            (Ok(_) | Err(_), _) => false,
        };
        let whole = self.count(single.signal, needed, |cell| {
            if surest.is_none() && sure(cell.count) {
                surest = Some(cell.count);
            }
        });
        let whole = whole.map(|cell| cell.count);
        let plain = verdict(whole, single.relation, limit);
        let surest = whole
            .filter(|count| sure(*count))
            .or(surest)
            .filter(|_| whole.is_some());
        let newest = self.newest(single.signal).count.share().filter(|_| surest.is_some());
        let passing = matches!((newest, limit), (Some(share), Ok(limit)) if !single.relation.holds(share, limit));
        let surely = if plain == Truth::Unknown {
            plain
        } else {
            Truth::of(surest.is_some() && !passing)
        };
        let count = surest.or(whole);
        Leaf {
            plain,
            sure: if error.is_some() { surely } else { plain },
            tested: error.is_some(),
            passing,
            quantile: None,
            missing: if whole.is_none() {
                Some(Missing::Signal(single.signal))
            } else {
                limit.err()
            },
            value: count.and_then(Count::share),
            limit: limit.ok(),
            count,
            odds: None,
        }
    }
}

fn turned(cell: Cell, others: bool) -> Cell {
    let count = if others { cell.count.others() } else { cell.count };
    Cell { count, ..cell }
}

fn verdict(count: Option<Count>, relation: Relation, limit: Result<f64, Missing>) -> Truth {
    match (count.and_then(Count::share), limit) {
        (Some(share), Ok(limit)) => Truth::of(relation.holds(share, limit)),
        (None, _) | (_, Err(_)) => Truth::Unknown,
    }
}

/// The time that a value reaches back to.
pub fn begin(at: Timestamp, over: Duration) -> Timestamp {
    at.checked_sub(over).unwrap_or(Timestamp::MIN)
}
