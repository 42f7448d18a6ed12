//! Pure. What the targets themselves show: how often they are scraped, and how long that takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    counter::{histogram_of, of_native},
    prometheus_plan::{Answers, counted, heartbeat},
    query::{Form, Moment, NATIVE, Names, Values},
};
use crate::judge::policy::Policy;

/// How often scrapes' lengths are asked for: a target that is slower than all before must hold the readings back soon.
const DURATIONS: Duration = Duration::from_secs(5);
/// How often intervals are asked for.
const AGAIN: Duration = Duration::from_secs(60);
/// How often, while a guard's series are young and their samples too few to tell.
const SOON: Duration = Duration::from_secs(10);
/// A scrape is stamped when it starts and stored when it ends. Readings stay behind by the slowest one, times this and
/// longer by the margin: what a scrape that is slower still brings is not counted, once.
const SLOWER: f64 = 1.25;
const MARGIN: Duration = Duration::from_millis(100);
/// No scrape that takes longer holds the others up.
const LONGEST_SCRAPE: Duration = Duration::from_secs(30);
/// A server that was down has few samples for a while: what it says of the interval is not believed so long, where that matters.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// Until it is known.
const USUAL_INTERVAL: Duration = Duration::from_secs(30);
/// Samples are counted over the long one, and over the short one, where a series that is young has enough of them.
const LONG: Duration = Duration::from_secs(120);
const SHORT: Duration = Duration::from_secs(20);
/// The fewest that tell something in the short one.
const ENOUGH: f64 = 3.0;
/// Measured intervals are rounded up to these, so that guards that are scraped alike share their queries.
const INTERVALS: [u64; 12] = [1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120];

/// What was learned, by guard.
#[derive(Debug)]
pub struct Learned<K> {
    known: BTreeMap<K, Known>,
    /// By the names of labels: guards that share their queries share their moment, and what is pushed once a minute holds up
    /// nobody else.
    lags: BTreeMap<Names, Duration>,
    /// Names of labels that targets do not have; series may.
    on_series: BTreeSet<Names>,
    /// When intervals and scrapes' lengths were asked for.
    at: Option<Moment>,
    lengths_at: Option<Moment>,
}

/// What is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    intervals: bool,
    lengths: bool,
}

impl<K> Learned<K> {
    /// The queries that a guard's part comes from.
    pub fn queries(&self, due: Due, policy: &Policy) -> impl Iterator<Item = Form> + use<K> {
        // Of gauges alone the long time is enough: nothing is counted, and there are many queries.
        let over: &[Duration] = if counted(policy).is_some() {
            &[LONG, SHORT]
        } else {
            &[LONG]
        };
        let samples = move |selector: String| {
            over.iter().map(move |over| Form::Samples {
                selector: selector.clone(),
                over: *over,
                native: *over == LONG && histogram_of(&selector).is_some(),
            })
        };
        let intervals = heartbeat(policy).filter(|_| due.intervals).map(samples);
        let on_targets = self.on_targets(policy);
        // Whether targets have the labels by now is asked in turns that have not much else to ask.
        let targets = (due.lengths && (on_targets || !due.intervals)).then_some(Form::ScrapeDuration);
        let series = counted(policy)
            .filter(|_| due.lengths && !on_targets)
            .map(|selector| Form::ScrapeDurationOf { selector });
        intervals.into_iter().flatten().chain(targets).chain(series)
    }

    /// Whether the guard's labels are its targets' own, so that `up` can be asked for them.
    pub fn on_targets(&self, policy: &Policy) -> bool {
        !self
            .on_series
            .contains(&policy.matching.keys().cloned().collect::<Names>())
    }

    /// Takes in whose labels they are: the targets', where any target has them, also one that is down.
    pub fn lay_out(&mut self, answers: &Answers) {
        let lengths = answers.iter().filter(|((form, _), _)| *form == Form::ScrapeDuration);
        for ((_, names), numbers) in lengths.filter(|(_, numbers)| numbers.values().all(Result::is_ok)) {
            if numbers.is_empty() {
                self.on_series.insert(names.clone());
            } else {
                self.on_series.remove(names);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    interval: Option<Duration>,
    /// The shortest that was learned in ten minutes, and when.
    shortest: Option<(Duration, Moment)>,
    /// Its counter is the count of native histograms alone.
    native: bool,
    /// Since when it is asked for.
    since: Option<Moment>,
}

impl Known {
    fn learn(&mut self, interval: Duration, at: Option<Moment>) {
        self.interval = Some(interval);
        let shorter = |(known, then): (Duration, Moment)| {
            interval <= known || at.is_some_and(|at| at < then || at.since(then) >= REMEMBERED)
        };
        if self.shortest.is_none_or(shorter) {
            self.shortest = at.map(|at| (interval, at));
        }
    }
}

impl<K> Default for Learned<K> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            lags: BTreeMap::new(),
            on_series: BTreeSet::new(),
            at: None,
            lengths_at: None,
        }
    }
}

impl<K: Ord + Clone> Learned<K> {
    /// Which are to be asked now. Intervals: at first, every minute, and sooner for a new guard.
    pub fn due<'a>(&self, mut guards: impl Iterator<Item = &'a K>, at: Moment) -> Due
    where
        K: 'a,
    {
        let passed = |asked: Option<Moment>, pause| asked.is_none_or(|asked| asked > at || at.since(asked) >= pause);
        let young = |known: &Known| known.since.is_some_and(|since| at.since(since) < LONG + SHORT);
        let pause = if self.known.values().any(young) { SOON } else { AGAIN };
        let new = guards.any(|guard| !self.known.contains_key(guard));
        let intervals = passed(self.at, pause) || new;
        let lengths = passed(self.lengths_at, DURATIONS);
        // A turn has enough to ask: one after the other, the one that waits longer first.
        let both = intervals && lengths && self.lengths_at.is_some();
        let intervals_first = new || self.at <= self.lengths_at;
        Due {
            intervals: intervals && (!both || intervals_first),
            lengths: lengths && (!both || !intervals_first),
        }
    }

    /// Takes the answers in. What got no answer stays as it was.
    pub fn learn(&mut self, guard: &K, policy: &Policy, answers: &Answers) {
        let (names, values): (Names, Values) = policy.matching.clone().into_iter().unzip();
        let number = |form: Form| {
            answers
                .get(&(form, names.clone()))?
                .get(&values)?
                .as_ref()
                .ok()
                .copied()
        };
        let form = |selector: String, over| Form::Samples {
            native: over == LONG && histogram_of(&selector).is_some(),
            selector,
            over,
        };
        let samples = |over| heartbeat(policy).and_then(|selector| number(form(selector, over)));
        let native = || {
            let numbers = answers.get(&(form(counted(policy)?, LONG), names.clone()))?;
            let mut row = values.clone();
            row.push(NATIVE.1.to_owned());
            numbers.get(&row)?.as_ref().ok().copied()
        };
        let (classic, native) = (samples(LONG), native());
        let long = classic.or(native).filter(|n| *n >= 1.0).map(|n| LONG.div_f64(n));
        let short = samples(SHORT).filter(|n| *n >= ENOUGH).map(|n| SHORT.div_f64(n));
        let known = self.known.entry(guard.clone()).or_default();
        if classic.or(native).is_some() {
            known.native = classic.is_none();
        }
        if let Some(interval) = [long, short].into_iter().flatten().min() {
            known.learn(rounded(interval), self.at);
        }
        known.since = known.since.or(self.at);
        let known_interval = known.interval;
        let series = || counted(policy).and_then(|selector| number(Form::ScrapeDurationOf { selector }));
        let scrape = number(Form::ScrapeDuration)
            .or_else(series)
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        // What is pushed comes when it comes, but hardly later than what is pushed next.
        let pushed = counted(policy).filter(|_| !self.on_targets(policy)).and(known_interval);
        let slowest = scrape
            .or(pushed)
            .unwrap_or_default()
            .mul_f64(SLOWER)
            .min(LONGEST_SCRAPE);
        let lag = self.lags.entry(names).or_default();
        *lag = (*lag).max(up_to_grid(slowest) + MARGIN);
    }

    /// Begins a new round at `at`; `answered`: the scrapes' lengths are known anew.
    pub fn begin(&mut self, due: Due, at: Moment, answered: bool) {
        if due.intervals {
            self.at = Some(at);
        }
        if answered {
            self.lags.clear();
            self.lengths_at = Some(at);
        }
    }

    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.known.retain(|guard, _| keep(guard));
    }

    /// How far readings of guards with these labels stay behind Prometheus' now.
    pub fn lag<'a>(&self, names: impl Iterator<Item = &'a String>) -> Duration {
        self.lags
            .get(&names.cloned().collect::<Names>())
            .copied()
            .unwrap_or(MARGIN)
    }

    /// A guard's scrape interval; a usual one where its own is not known yet.
    pub fn interval(&self, guard: &K) -> Duration {
        self.own_interval(guard).unwrap_or(USUAL_INTERVAL)
    }

    /// A guard's scrape interval, once it is known.
    pub fn own_interval(&self, guard: &K) -> Option<Duration> {
        self.known.get(guard).and_then(|known| known.interval)
    }

    /// Whether a guard's counter is the count of native histograms alone.
    pub fn native(&self, guard: &K) -> bool {
        self.known.get(guard).is_some_and(|known| known.native)
    }

    /// A guard's counter as it is asked for.
    pub fn counter(&self, guard: &K, selector: &str) -> String {
        if self.native(guard) {
            of_native(selector)
        } else {
            selector.to_owned()
        }
    }

    /// The shortest of what was learned of it lately: servers that answer for one another may know different holes.
    pub fn shortest_interval(&self, guard: &K) -> Duration {
        let shortest = self.known.get(guard).and_then(|known| known.shortest);
        shortest.map_or_else(|| self.interval(guard), |(interval, _)| interval)
    }

    /// After how long every target of a job was met: two of the longest intervals.
    pub fn settled(&self) -> Duration {
        let longest = self.known.values().filter_map(|known| known.interval).max();
        longest.unwrap_or(USUAL_INTERVAL).saturating_mul(2)
    }
}

fn rounded(interval: Duration) -> Duration {
    // Scrapes jitter: seven or nine samples in two minutes are still one every 15 s.
    let nearly = interval.mul_f64(0.9);
    INTERVALS
        .iter()
        .map(|seconds| Duration::from_secs(*seconds))
        .find(|step| *step >= nearly)
        .unwrap_or(LONG)
}

fn up_to_grid(length: Duration) -> Duration {
    Duration::from_millis(
        u64::try_from(length.as_micros().div_ceil(100_000))
            .unwrap_or(0)
            .saturating_mul(100),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_in_the_samples_makes_no_scrape_rarer_for_ten_minutes() {
        let at = |second| Some(Moment::from_whole_seconds(second));
        let seconds = Duration::from_secs;
        let mut known = Known::default();
        known.learn(seconds(15), at(0));
        known.learn(seconds(60), at(599));
        assert_eq!(
            (known.interval, known.shortest.unwrap().0),
            (Some(seconds(60)), seconds(15))
        );
        known.learn(seconds(60), at(600));
        assert_eq!(known.shortest.unwrap().0, seconds(60));
    }

    #[test]
    fn intervals_are_rounded_to_what_people_set() {
        let every = |samples: f64| rounded(LONG.div_f64(samples)).as_secs();
        assert_eq!(
            (
                every(120.0),
                every(119.0),
                every(24.0),
                every(8.0),
                every(7.0),
                every(1.0)
            ),
            (1, 1, 5, 15, 20, 120)
        );
        assert_eq!(up_to_grid(Duration::from_millis(1510)), Duration::from_millis(1600));
    }
}
