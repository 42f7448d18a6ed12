//! Pure. What the targets themselves show: how often they are scraped, and how long that takes.

use std::{collections::BTreeMap, time::Duration};

use super::{
    prometheus_plan::{Answers, heartbeat},
    query::{Form, Moment, Names, Values},
};
use crate::judge::policy::Policy;

/// How often it is asked for.
const AGAIN: Duration = Duration::from_secs(60);
/// A scrape is stamped when it starts and stored when it ends; this beyond the slowest one.
const MARGIN: Duration = Duration::from_millis(100);
/// No scrape that takes longer holds the others up.
const LONGEST_SCRAPE: Duration = Duration::from_secs(30);
/// Until it is known.
const USUAL_INTERVAL: Duration = Duration::from_secs(30);
/// The window of `Form::Samples`.
const SAMPLES_OVER: Duration = Duration::from_secs(120);
/// Measured intervals are rounded up to these, so that guards that are scraped alike share their queries.
const INTERVALS: [u64; 12] = [1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120];

/// What was learned, by guard.
#[derive(Debug)]
pub struct Learned<K> {
    intervals: BTreeMap<K, Option<Duration>>,
    lag: Duration,
    at: Option<Moment>,
}

impl<K> Default for Learned<K> {
    fn default() -> Self {
        Self {
            intervals: BTreeMap::new(),
            lag: MARGIN,
            at: None,
        }
    }
}

impl<K: Ord + Clone> Learned<K> {
    /// Whether it is time to ask: at first, every minute, and for a new guard.
    pub fn is_due<'a>(&self, mut guards: impl Iterator<Item = &'a K>, at: Moment) -> bool
    where
        K: 'a,
    {
        let old = self.at.is_none_or(|asked| at.since(asked) >= AGAIN || asked > at);
        old || guards.any(|guard| !self.intervals.contains_key(guard))
    }

    /// The queries that a guard's part comes from.
    pub fn queries(policy: &Policy) -> impl Iterator<Item = Form> {
        heartbeat(policy)
            .map(|selector| Form::Samples { selector })
            .into_iter()
            .chain([Form::ScrapeDuration])
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
        let samples = heartbeat(policy).and_then(|selector| number(Form::Samples { selector }));
        let interval = samples
            .filter(|samples| *samples >= 1.0)
            .map(|samples| rounded(SAMPLES_OVER.div_f64(samples)));
        let known = self.intervals.entry(guard.clone()).or_default();
        *known = interval.or(*known);
        let scrape = number(Form::ScrapeDuration).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        self.lag = self
            .lag
            .max(up_to_grid(scrape.unwrap_or_default().min(LONGEST_SCRAPE)) + MARGIN);
    }

    /// Begins a new round at `at`; `answered`: the scrapes' lengths are known anew.
    pub fn begin(&mut self, at: Moment, answered: bool) {
        self.at = Some(at);
        if answered {
            self.lag = MARGIN;
        }
    }

    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.intervals.retain(|guard, _| keep(guard));
    }

    /// How far readings stay behind Prometheus' now.
    pub fn lag(&self) -> Duration {
        self.lag
    }

    /// A guard's scrape interval.
    pub fn interval(&self, guard: &K) -> Duration {
        self.intervals.get(guard).copied().flatten().unwrap_or(USUAL_INTERVAL)
    }

    /// After how long every target of a job was met: two of the longest intervals.
    pub fn settled(&self) -> Duration {
        self.intervals
            .values()
            .flatten()
            .max()
            .copied()
            .unwrap_or(USUAL_INTERVAL)
            .saturating_mul(2)
    }
}

fn rounded(interval: Duration) -> Duration {
    // Scrapes jitter: seven or nine samples in two minutes are still one every 15 s.
    let nearly = interval.mul_f64(0.9);
    INTERVALS
        .iter()
        .map(|seconds| Duration::from_secs(*seconds))
        .find(|step| *step >= nearly)
        .unwrap_or(SAMPLES_OVER)
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
    fn intervals_are_rounded_to_what_people_set() {
        let every = |samples: f64| rounded(SAMPLES_OVER.div_f64(samples)).as_secs();
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
