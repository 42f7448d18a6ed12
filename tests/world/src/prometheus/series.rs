//! Stored samples: per series a queue of the last two hours, found by metric name. A sample is
//! here once its scrape has ended; until then no query can see it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Milliseconds since 1970, as Prometheus keeps time.
pub(crate) type Millis = i64;

/// How long samples are kept.
const KEPT: Millis = 2 * 3600 * 1000;
/// How far an instant selector looks back.
const LOOKBACK: Millis = 5 * 60 * 1000;

/// Sorted label pairs, without the metric's name.
pub(crate) type Labels = Arc<[(Arc<str>, Arc<str>)]>;

/// One series.
pub(crate) struct Series {
    pub(crate) name: Arc<str>,
    pub(crate) labels: Labels,
    /// A missing value marks the series as stale from then on.
    samples: VecDeque<(Millis, Option<f64>)>,
}

/// All series.
#[derive(Default)]
pub(crate) struct Storage {
    series: BTreeMap<u64, Series>,
    by_name: BTreeMap<Arc<str>, Vec<u64>>,
    next: u64,
}

impl Series {
    /// The newest value in the lookback window before `at`, with its time.
    pub(crate) fn at(&self, at: Millis) -> Option<(Millis, f64)> {
        let newest = self.samples.partition_point(|(time, _)| *time <= at).checked_sub(1)?;
        let (time, value) = self.samples.get(newest)?;
        let fresh = *time > at - LOOKBACK;
        value.filter(|_| fresh).map(|value| (*time, value))
    }

    /// The values in (from, to], oldest first.
    pub(crate) fn between(&self, from: Millis, to: Millis) -> impl DoubleEndedIterator<Item = (Millis, f64)> + Clone {
        let first = self.samples.partition_point(|(time, _)| *time <= from);
        let end = self.samples.partition_point(|(time, _)| *time <= to);
        self.samples
            .range(first..end.max(first))
            .filter_map(|(time, value)| value.map(|value| (*time, value)))
    }
}

impl Storage {
    /// The series with this name, in the order of their birth.
    pub(crate) fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Series> {
        let ids = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| self.series.get(id))
    }

    /// The number of stored series.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    pub(crate) fn every(&self) -> impl Iterator<Item = &Series> {
        self.series.values()
    }

    /// The id of this series, which is created where it is missing.
    pub(crate) fn id(&mut self, name: &str, labels: &Labels) -> u64 {
        let ids = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        let same = |id: &&u64| self.series.get(id).is_some_and(|series| series.labels == *labels);
        if let Some(id) = ids.iter().find(same) {
            return *id;
        }
        self.next += 1;
        let name: Arc<str> = name.into();
        self.by_name.entry(name.clone()).or_default().push(self.next);
        let series = Series {
            name,
            labels: labels.clone(),
            samples: VecDeque::new(),
        };
        self.series.insert(self.next, series);
        self.next
    }

    /// Appends a sample; older ones than the newest are ignored. False when the series is gone.
    pub(crate) fn append(&mut self, id: u64, time: Millis, value: Option<f64>) -> bool {
        let Some(series) = self.series.get_mut(&id) else {
            return false;
        };
        if series.samples.back().is_some_and(|(newest, _)| *newest >= time) {
            return true;
        }
        series.samples.push_back((time, value));
        while series.samples.front().is_some_and(|(oldest, _)| *oldest < time - KEPT) {
            series.samples.pop_front();
        }
        true
    }

    /// Drops the series that nothing was appended to for as long as samples are kept.
    pub(crate) fn forget(&mut self, now: Millis) {
        let series = &mut self.series;
        series.retain(|_, one| one.samples.back().is_some_and(|(time, _)| *time > now - KEPT));
        for ids in self.by_name.values_mut() {
            ids.retain(|id| series.contains_key(id));
        }
        self.by_name.retain(|_, ids| !ids.is_empty());
    }
}
