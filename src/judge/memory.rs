//! Pure. What the judge remembers of one guard between turns: counts, how long each trigger held, healthy time.
//!
//! Nothing holds over `since`: when it moves, everything starts anew but the collected baseline, which belongs to the state
//! and is dropped by [`Memory::begin`] alone.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{
    clock::{Clock, Hold},
    collected::Collected,
    harm::Tally,
    history::{Cell, History, between},
    metered::{Counted, Metered, meters},
    noted::{cell, note},
    policy::{Policy, Reference, Source},
    slow::Slow,
    traffic::Traffic,
    view::{Latest, Place, begin, places},
    words,
};
use crate::model::{
    guard::{Baseline, BaselineCounts},
    reading::{Because, Reading},
};

/// The hard facts by name.
pub const FACTS: [&str; 3] = ["crash_looping", "progress_deadline_exceeded", TRAFFIC_GONE];
pub const TRAFFIC_GONE: &str = "traffic_gone";

/// What the judge remembers of one guard. It is bounded, and small.
#[derive(Clone, Debug)]
pub struct Memory {
    pub(super) history: History,
    pub(super) places: Vec<Place>,
    pub(super) latest: Vec<Latest>,
    pub(super) holds: Vec<Hold>,
    /// One of each signal that a condition calls `worse`.
    pub(super) meters: Vec<Metered>,
    /// Since when each hard fact holds.
    pub(super) facts: [Option<Timestamp>; 3],
    /// Since when each hard fact does not hold; they need no readings.
    pub(super) no_facts: [Option<Timestamp>; 3],
    pub(super) traffic: Traffic,
    pub(super) healthy: Clock,
    pub(super) all_quiet: Clock,
    /// All of the guard's own conditions of recovery hold.
    pub(super) verified: Clock,
    /// By the signals' places; and of which baseline: when it was taken, and how many numbers are left of it.
    pub(super) baselines: Vec<Option<f64>>,
    compared_with: Option<(Timestamp, usize)>,
    requests: Option<usize>,
    answered: f64,
    newest: Option<Timestamp>,
    last: Option<Timestamp>,
    since: Option<Timestamp>,
    collected: Collected,
    /// Of each quantile that a condition calls `worse`.
    pub(super) slow: Vec<Slow>,
    /// The column of the first share, and what failed of it.
    pub(super) share: Option<usize>,
    pub(super) tally: Tally,
    /// What is remembered was read from the past; no live reading with new data came since.
    recalled: bool,
    lacks: String,
}

/// A reading with new data.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    pub at: Timestamp,
    /// Requests that it counted.
    pub requests: f64,
    /// How long its counts are, where they count.
    pub counted: Option<Duration>,
}

impl Memory {
    /// Nothing remembered yet. It goes with this very policy: a guard that was edited gets a new one.
    pub fn new(policy: &Policy) -> Self {
        let (places, columns) = places(&policy.signals);
        let needed = policy
            .triggers
            .iter()
            .map(|rule| rule.min_requests.max(1))
            .max()
            .unwrap_or(1);
        let column = |wanted: fn(&Source) -> bool| {
            let found = policy.signals.iter().position(|signal| wanted(&signal.source));
            found.and_then(|place| match places.get(place) {
                Some(Place::Share { column, .. } | Place::Rate { column }) => Some(*column),
                Some(Place::Value) | None => None,
            })
        };
        let requests = column(|source| matches!(source, Source::Bad { .. } | Source::Good { .. }))
            .or_else(|| column(|source| matches!(source, Source::Rate { .. })));
        let share = column(|source| matches!(source, Source::Bad { .. } | Source::Good { .. }));
        let shares = places.iter().enumerate().filter_map(|(signal, place)| match place {
            Place::Share { column, of, .. } if *of == signal => Some(*column),
            Place::Share { .. } | Place::Rate { .. } | Place::Value => None,
        });
        let shares = shares.collect();
        Self {
            history: History::new(columns, policy.window, f64::from(needed)),
            latest: vec![Latest::Unknown(Because::WarmingUp); places.len()],
            meters: meters(policy, &places),
            places,
            holds: policy
                .triggers
                .iter()
                .map(|rule| Hold {
                    name: rule.name.clone(),
                    ..Hold::default()
                })
                .collect(),
            facts: [None; 3],
            no_facts: [None; 3],
            traffic: Traffic::new(policy.window),
            healthy: Clock::default(),
            all_quiet: Clock::default(),
            verified: Clock::default(),
            baselines: Vec::new(),
            compared_with: None,
            requests,
            answered: 0.0,
            newest: None,
            last: None,
            since: None,
            collected: Collected::new(policy.baseline_window, shares),
            slow: policy.timed().map(Slow::new).collect(),
            share,
            tally: Tally::default(),
            recalled: false,
            lacks: String::new(),
        }
    }

    /// Another state came: windows begin here, nothing from before counts, and a new baseline is collected. To be called at
    /// every change of state; the judge's context carries the same `since` from then on, and may move it later, to where
    /// the state was rolled out, without losing what was collected.
    pub fn begin(&mut self, since: Timestamp) {
        self.restart(since);
        self.collected.clear();
        self.slow.iter_mut().for_each(Slow::clear);
    }

    /// It was filled from the past: until a live reading with new data comes, nothing fires and no clock is shown.
    pub(super) const fn recall(&mut self) {
        self.recalled = true;
    }

    /// Whether nothing live came since it was filled from the past.
    pub(super) const fn recalled(&self) -> bool {
        self.recalled
    }

    const fn told(&self, clock: Clock) -> Duration {
        if self.recalled { Duration::ZERO } else { clock.total() }
    }

    /// How long it was healthy and rolled out without a breach, in readings with new data. Unknown stops the clock.
    pub const fn healthy_for(&self) -> Duration {
        self.told(self.healthy)
    }

    /// Requests answered since `since`; nothing where no signal counts them.
    pub fn requests_since_change(&self) -> Option<u64> {
        self.requests.map(|_| words::whole(self.answered))
    }

    /// How long the trigger of that name has been false, in readings with new data; nothing where there is none.
    pub fn quiet_for(&self, trigger: &str) -> Option<Duration> {
        self.holds
            .iter()
            .find(|hold| hold.name == trigger)
            .map(|hold| self.told(hold.quiet))
    }

    /// How long each hard fact has not held.
    pub fn facts_quiet_for(&self, now: Timestamp) -> impl Iterator<Item = (&'static str, Duration)> {
        let since = FACTS.into_iter().zip(self.no_facts);
        since.filter_map(move |(name, since)| Some((name, between(since?, now))))
    }

    /// How long no trigger and no hard fact held, in readings with new data. Unknown stops the clock.
    pub const fn all_quiet_for(&self) -> Duration {
        self.told(self.all_quiet)
    }

    /// How long all of the guard's own conditions of recovery have held, in readings with new data. Unknown stops the clock.
    pub const fn verified_for(&self) -> Duration {
        self.told(self.verified)
    }

    /// Every signal's number in the healthy time collected so far: at least five minutes and 100 requests, or nothing.
    pub fn baseline(&self, policy: &Policy) -> Option<BTreeMap<String, f64>> {
        self.collected.numbers(policy, &self.places, self.requests)
    }

    /// What every ratio was counted from in the healthy time so far, at most a day of it; and, where latencies are weighed, how
    /// many requests were slower than the smallest bucket that holds the quantile.
    pub fn counts(&self, policy: &Policy) -> BTreeMap<String, BaselineCounts> {
        let mut counts = self.collected.counts(policy, &self.places);
        let numbers = self.baseline(policy).unwrap_or_default();
        for slow in &self.slow {
            let name = policy.signals.get(slow.signal).map(|signal| signal.name.clone());
            let counted = name.as_ref().and_then(|name| slow.counts(*numbers.get(name)?));
            counts.extend(name.zip(counted));
        }
        counts
    }

    /// What a share was counted from in this state's own healthy time, as the baseline would have it.
    pub(super) fn counted(&self, place: Place) -> Option<BaselineCounts> {
        let Place::Share { column, others, .. } = place else {
            return None;
        };
        let counts = self.collected.counted(column)?;
        let bad = if others {
            counts.requests - counts.bad
        } else {
            counts.bad
        };
        Some(BaselineCounts { bad, ..counts })
    }

    /// The baseline by the signals' places, and the meters against it.
    pub(super) fn compare_with(&mut self, policy: &Policy, baseline: Option<&Baseline>) {
        for metered in &mut self.meters {
            metered.follow(policy, baseline);
        }
        let which = baseline.map(|baseline| (baseline.taken_at, baseline.values.len()));
        if self.compared_with == which && which.is_some() {
            return;
        }
        self.compared_with = which;
        let fixed = |name: &String| match &policy.reference {
            Reference::Fixed(numbers) => numbers.get(name).copied(),
            Reference::Healthy | Reference::Offset(_) | Reference::Query(_) => None,
        };
        let taken = |name: &String| baseline?.values.get(name).copied().filter(|value| value.is_finite());
        let number = |name: &String| fixed(name).or_else(|| taken(name));
        self.baselines.clear();
        let signals = policy.signals.iter();
        self.baselines.extend(signals.map(|signal| number(&signal.name)));
    }

    /// The newest reading, for the meters; those of a change that is no longer watched rest, but for what they say already.
    pub(super) fn weigh(&mut self, watched: bool) {
        for metered in &mut self.meters {
            if !watched && !metered.tripped() {
                continue;
            }
            match metered.counted {
                Counted::Column(column) => metered.weigh(self.history.last(column).count),
                Counted::Slow => {
                    let slow = self.slow.iter().find(|slow| slow.signal == metered.signal);
                    metered.weigh_slow(slow);
                }
            }
        }
    }

    /// What the baseline waits for, where something else than healthy time gives it.
    pub fn baseline_waits_for(&mut self, what: String) {
        self.lacks = what;
    }

    /// How little healthy time was collected, against what a baseline takes.
    pub fn baseline_lacks(&self) -> String {
        self.collected.waits(self.requests)
    }

    /// Why there is no baseline yet, and how long it will take.
    pub(super) fn waits(&self) -> String {
        if self.lacks.is_empty() {
            self.collected.waits(self.requests)
        } else {
            self.lacks.clone()
        }
    }

    /// Whether requests are counted at all.
    pub(super) const fn counts_requests(&self) -> bool {
        self.requests.is_some()
    }

    /// Starts anew where `since` moved.
    pub(super) fn follow(&mut self, since: Timestamp) {
        if self.since != Some(since) {
            self.restart(since);
        }
    }

    fn restart(&mut self, since: Timestamp) {
        self.since = Some(since);
        self.compared_with = None;
        self.history.clear();
        self.latest.fill(Latest::Unknown(Because::WarmingUp));
        for hold in &mut self.holds {
            hold.release();
            hold.quiet.reset();
        }
        self.facts = [None; 3];
        self.no_facts = [None; 3];
        self.healthy.reset();
        self.all_quiet.reset();
        self.verified.reset();
        self.meters.iter_mut().for_each(Metered::begin);
        self.slow.iter_mut().for_each(Slow::begin);
        self.collected.spoil();
        self.answered = 0.0;
        self.tally = Tally::default();
    }

    /// Takes a reading in; what it is to the clocks, where it has new data.
    pub(super) fn take(&mut self, reading: &Reading, since: Timestamp) -> Option<Fresh> {
        let later = self.last.is_none_or(|last| reading.at > last);
        let newer = reading
            .newest
            .is_some_and(|newest| self.newest.is_none_or(|known| newest > known));
        self.newest = self.newest.max(reading.newest);
        if !later {
            return None;
        }
        self.last = Some(reading.at);
        self.recalled &= !newer;
        if reading.at < since {
            self.latest.fill(Latest::Unknown(Because::BeforeChange));
            return None;
        }
        for (latest, (place, measured)) in self.latest.iter_mut().zip(self.places.iter().zip(&reading.signals)) {
            note(latest, *place, measured, reading.at, newer);
        }
        let counts = begin(reading.at, reading.span) >= since;
        if counts {
            self.count(reading, newer);
            for slow in &mut self.slow {
                slow.take(reading.signals.get(slow.signal), newer);
            }
        }
        let counted = (counts && newer).then(|| self.history.newest_length());
        let requests = self
            .requests
            .filter(|_| counted.is_some())
            .map_or(0.0, |column| self.history.last(column).count.all);
        self.answered += requests;
        newer.then_some(Fresh {
            at: reading.at,
            requests,
            counted,
        })
    }

    fn count(&mut self, reading: &Reading, newer: bool) {
        let seconds = reading.span.as_secs_f64();
        let cells = self.places.iter().enumerate().filter_map(|(signal, place)| {
            let own = match place {
                Place::Share { of, .. } => *of == signal,
                Place::Rate { .. } => true,
                Place::Value => false,
            };
            own.then(|| {
                reading
                    .signals
                    .get(signal)
                    .map_or(Cell::default(), |measured| cell(measured, seconds))
            })
        });
        self.history
            .push(begin(reading.at, reading.span), reading.at, newer, cells);
    }

    /// A reading beyond a limit that nothing came of so far; if it passes, it is how the service is. `None`: something came
    /// of it.
    pub(super) fn set_aside(&mut self, fresh: Option<Fresh>) {
        match fresh.map(|fresh| fresh.counted) {
            Some(Some(length)) => self.collected.set_aside(length, self.history.last_cells()),
            Some(None) => {}
            None => self.collected.spoil(),
        }
    }

    /// A healthy reading, for the baseline.
    pub(super) fn collect(&mut self, fresh: Fresh, since: Timestamp) {
        let Some(length) = fresh.counted else { return };
        let values = self.latest.iter().map(|latest| match latest {
            Latest::Value { value, begin } if *begin >= since => Some(*value),
            Latest::Value { .. } | Latest::Counted | Latest::Unknown(_) => None,
        });
        self.collected.add(length, self.history.last_cells(), values);
        self.slow.iter_mut().for_each(|slow| slow.collect(length));
    }
}
