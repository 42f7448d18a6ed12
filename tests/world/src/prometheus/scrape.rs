//! The scrape loops. They are computed when somebody looks: a scrape's outcome depends only on
//! the pods, which never change without the scrapes before that having been made.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    exposition,
    series::{Labels, Millis, Storage},
    target::{Running, Source, Target},
};
use crate::{
    app::traffic::Line,
    node::{Node, Scrape},
    number::ratio,
    rng::hashed,
};

/// The longest that a scrape may take.
const TIMEOUT: Millis = 10_000;
/// What an answer takes that is given at once.
const QUICK: f64 = 0.002;

/// All targets and their rhythm.
pub(crate) struct Scrapes {
    interval: Millis,
    seed: u64,
    targets: BTreeMap<String, Target>,
    due: Millis,
    /// The node's topology at the last discovery.
    known: Option<u64>,
}

impl Scrapes {
    pub(crate) fn new(interval: Millis, seed: u64) -> Self {
        Scrapes {
            interval,
            seed,
            targets: BTreeMap::new(),
            due: Millis::MAX,
            known: None,
        }
    }

    /// Makes the scrapes until `now`.
    pub(crate) fn advance(&mut self, storage: &mut Storage, node: &mut Node, now: Millis) {
        if self.due > now {
            return;
        }
        let interval = self.interval;
        for target in self.targets.values_mut() {
            target.advance(storage, node, now, interval);
        }
        self.targets
            .retain(|_, target| target.left.is_none_or(|(_, told)| told > now));
        self.plan();
    }

    /// When a page of somebody's own has to be read: it may change at any time.
    pub(crate) fn next_at(&self) -> Option<Millis> {
        let fixed = self
            .targets
            .values()
            .filter(|target| matches!(target.source, Source::Fixed(_)));
        fixed.map(Target::due).min()
    }

    /// A target that stays until the end.
    pub(crate) fn add(&mut self, labels: Labels, source: Source, now: Millis) {
        let key = format!("static {labels:?}");
        let next = self.first_after(now, &labels);
        self.targets.insert(key, Target::new(source, labels, next));
        self.due = self.due.min(next);
    }

    /// Forgets scrapes under way, as an ending Prometheus does.
    pub(crate) fn interrupt(&mut self) {
        self.targets.values_mut().for_each(|target| target.running = None);
    }

    /// Begins again at `now`: targets that left meanwhile are not known any more.
    pub(crate) fn resume(&mut self, now: Millis) {
        self.targets.retain(|_, target| target.left.is_none());
        let (interval, seed) = (self.interval, self.seed);
        for target in self.targets.values_mut() {
            target.next = first_after(now, interval, seed, &target.labels);
        }
        self.known = None;
        self.plan();
    }

    /// Learns which pods there are.
    pub(crate) fn discover(&mut self, node: &Node, now: Millis) {
        if self.known.replace(node.topology()) == Some(node.topology()) {
            return;
        }
        let mut present = std::collections::BTreeSet::new();
        for pod in node.discovered() {
            if !self.targets.contains_key(&pod.uid) {
                let pairs = pod.labels.iter();
                let labels: Labels = pairs
                    .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
                    .collect();
                let next = self.first_after(now, &labels);
                let target = Target::new(Source::Pod(pod.uid.clone()), labels, next);
                self.targets.insert(pod.uid.clone(), target);
            }
            present.insert(pod.uid);
        }
        let interval = self.interval;
        for (key, target) in &mut self.targets {
            let is_pod = matches!(target.source, Source::Pod(_));
            if is_pod && target.left.is_none() && !present.contains(key) {
                // Prometheus waits a little over two intervals, then ends the series as of the
                // scrape that would have been next.
                target.left = Some((target.next, target.next + interval + interval / 10));
                target.running = None;
            }
        }
        self.plan();
    }

    fn plan(&mut self) {
        self.due = self.targets.values().map(Target::due).min().unwrap_or(Millis::MAX);
    }

    fn first_after(&self, now: Millis, labels: &Labels) -> Millis {
        first_after(now, self.interval, self.seed, labels)
    }
}

/// Each target is scraped at its own phase of the interval.
fn first_after(now: Millis, interval: Millis, seed: u64, labels: &Labels) -> Millis {
    let phase = hashed(&format!("{seed} {labels:?}")) % interval.unsigned_abs();
    let phase = Millis::try_from(phase).unwrap_or(0);
    let at = now - now.rem_euclid(interval) + phase;
    if at > now { at } else { at + interval }
}

impl Target {
    fn due(&self) -> Millis {
        match (&self.left, &self.running) {
            (Some((_, told)), _) => *told,
            (None, Some(running)) => running.ends,
            (None, None) => self.next,
        }
    }

    fn advance(&mut self, storage: &mut Storage, node: &mut Node, now: Millis, interval: Millis) {
        while self.due() <= now {
            if let Some((ended, _)) = self.left {
                self.store(storage, ended, &[]);
                self.report(storage, ended, None);
                return;
            }
            match self.running.take() {
                Some(running) => self.finish(storage, node, running, interval),
                None => self.begin(node, interval),
            }
        }
    }

    fn begin(&mut self, node: &Node, interval: Millis) {
        let started = self.next;
        let (refused, delay) = match &self.source {
            Source::Fixed(_) => (false, 0),
            Source::Pod(uid) => match node.scraped(uid) {
                Scrape::Refused => (true, 0),
                Scrape::Page { delay } => (false, Millis::try_from(delay.as_millis()).unwrap_or(TIMEOUT)),
            },
        };
        let ends = started + delay.min(TIMEOUT.min(interval));
        self.running = Some(Running { started, ends, refused });
    }

    /// The page is read when the scrape ends and stamped with its start.
    fn finish(&mut self, storage: &mut Storage, node: &mut Node, running: Running, interval: Millis) {
        let took = running.ends - running.started;
        let late = took >= TIMEOUT.min(interval);
        let page = if running.refused || late {
            None
        } else {
            self.page(node, running.ends)
        };
        self.store(storage, running.started, page.as_deref().unwrap_or_default());
        let up = if page.is_some() { 1.0 } else { 0.0 };
        self.report(storage, running.started, Some([up, QUICK + ratio(took) / 1000.0]));
        // Ticks that passed meanwhile are lost.
        let missed = took / interval;
        self.next = running.started + interval * (missed + 1);
    }

    fn page(&self, node: &mut Node, at: Millis) -> Option<Vec<Line>> {
        let at = Timestamp::from_millisecond(at).ok()?;
        match &self.source {
            Source::Pod(uid) => node.page(uid, at),
            Source::Fixed(page) => exposition::lines(&page(at)?),
        }
    }
}
