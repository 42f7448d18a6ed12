//! IO. One turn of reading: every guard's numbers from as few queries as there are distinct ones, on one moment.
//!
//! Readings are taken a little behind Prometheus' own now (a scrape is stamped when it starts and stored when it
//! ends), and each counts the time since that guard's last one: windows touch and never overlap. A guard whose
//! counts got no answer keeps its place and counts that time with its next reading.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout_at};

use super::{
    answer::Failure,
    prometheus::Prometheus,
    prometheus_batch::{Asked, Batch, Memory},
    prometheus_health::Breaker,
    prometheus_hints::{self, Hints},
    prometheus_learned::Learned,
    prometheus_plan::{Answers, Found, Plan, SLACK, Terms},
    prometheus_rules::Rules,
    query::{Form, Moment, Names, Values},
};
use crate::{
    judge::policy::{Policy, Source},
    model::reading::{Because, Measured, Reading},
};

pub use super::prometheus_health::{Health, State};

/// Queries that run at the same time.
pub(super) const AT_ONCE: usize = 4;
/// Readings are taken at multiples of this.
pub(super) const GRID: Duration = Duration::from_millis(100);
/// After a longer pause a guard begins anew.
const LONGEST: Duration = Duration::from_secs(3600);
/// Clocks that differ less are taken as one.
const SAME_CLOCK: SignedDuration = SignedDuration::from_secs(1);

/// Reads Prometheus for all guards, turn by turn. `K` names a guard.
#[derive(Debug)]
pub struct Poller<K> {
    pub(crate) prometheus: Prometheus,
    breaker: Breaker,
    /// How far Prometheus' clock is ahead of the daemon's.
    pub(super) ahead: SignedDuration,
    /// Whose buckets are asked for as well.
    closely: BTreeSet<K>,
    /// Up to when each guard's counts were read.
    pub(super) marks: BTreeMap<K, Moment>,
    /// Up to when all series of each guard were told.
    told: BTreeMap<K, Option<Moment>>,
    pub(super) learned: Learned<K>,
    pub(super) rules: Rules,
    hints: Hints<K>,
    memories: BTreeMap<(Form, Names), Memory>,
    pub(crate) queries: u32,
}

/// What one turn learned.
#[derive(Clone, Debug)]
pub struct Polled<K> {
    /// Every guard's reading. A guard is missing where not even a tenth of a second passed since its last one.
    pub readings: BTreeMap<K, Reading>,
    pub health: Health,
    /// How many queries were sent since the turn before.
    pub queries: u32,
}

impl<K: Ord + Clone> Poller<K> {
    pub fn new(prometheus: Prometheus) -> Self {
        Self {
            prometheus,
            breaker: Breaker::default(),
            ahead: SignedDuration::ZERO,
            marks: BTreeMap::new(),
            told: BTreeMap::new(),
            learned: Learned::default(),
            closely: BTreeSet::new(),
            rules: Rules::default(),
            hints: Hints::default(),
            memories: BTreeMap::new(),
            queries: 0,
        }
    }

    /// Which guards are under a change whose latencies are weighed: from now on their histograms' buckets are counted, too.
    pub fn look_closely(&mut self, guards: BTreeSet<K>) {
        self.closely = guards;
    }

    /// Reads all guards once; `now` is on the daemon's clock. Takes no longer than the time-out.
    pub async fn turn(&mut self, guards: &BTreeMap<K, Arc<Policy>>, now: Timestamp) -> Polled<K> {
        let deadline = Instant::now() + self.prometheus.timeout();
        self.marks.retain(|guard, _| guards.contains_key(guard));
        self.told.retain(|guard, _| guards.contains_key(guard));
        self.learned.retain(|guard| guards.contains_key(guard));
        let readings = match self.clock(now).await {
            Ok(clock) => self.read(guards, clock, now, deadline).await,
            Err(words) => guards
                .iter()
                .map(|(guard, policy)| (guard.clone(), silence(policy, now, &words)))
                .collect(),
        };
        Polled {
            readings,
            health: self.breaker.health(),
            queries: mem::take(&mut self.queries),
        }
    }

    /// Prometheus' now. The daemon's clock is only compared with it.
    pub(super) async fn clock(&mut self, now: Timestamp) -> Result<Moment, String> {
        if let Some(words) = self.breaker.open(now) {
            return Err(words);
        }
        self.queries += 1;
        let seconds = self
            .prometheus
            .query("time()", None)
            .await
            .and_then(|answer| answer.number());
        let clock = seconds.map(|seconds| seconds.and_then(Moment::from_seconds));
        match clock {
            Ok(Some(clock)) => {
                let theirs = clock.on_clock(SignedDuration::ZERO).unwrap_or(now);
                let ahead = theirs.duration_since(now);
                if (ahead - self.ahead).abs() > SAME_CLOCK {
                    self.ahead = ahead;
                }
                Ok(clock)
            }
            Ok(None) => Err(self.down(now, "it does not know the time".into())),
            Err(failure) => Err(self.down(now, failure.to_string())),
        }
    }

    fn down(&mut self, now: Timestamp, words: String) -> String {
        self.breaker.failed(now, words.clone());
        words
    }

    async fn read(
        &mut self,
        guards: &BTreeMap<K, Arc<Policy>>,
        clock: Moment,
        now: Timestamp,
        deadline: Instant,
    ) -> BTreeMap<K, Reading> {
        self.learn(guards, clock, deadline).await;
        let plans: BTreeMap<&K, (Plan, Moment, Duration)> = guards
            .iter()
            .map(|(guard, policy)| (guard, policy, self.moment(policy, clock)))
            .filter(|(guard, _, at)| self.marks.get(guard).is_none_or(|mark| *mark < *at))
            .map(|(guard, policy, at)| (guard, self.plan(guard, policy, at)))
            .collect();
        let questions = |(plan, at, _): &(Plan, Moment, Duration)| {
            let question = |form: &Form| (form.clone(), plan.row(form), *at);
            plan.queries().map(question).collect::<Vec<_>>()
        };
        let answers = self.ask(plans.values().flat_map(questions).collect(), deadline).await;
        let failure = answers
            .values()
            .flat_map(BTreeMap::values)
            .find_map(|number| number.as_ref().err());
        self.breaker.answered(now, failure.map(Failure::to_string));
        let mut readings = BTreeMap::new();
        for (guard, (plan, at, span)) in plans {
            let found = plan.read(&answers, self.seen_by_all(guard));
            let again = found.again;
            let told = found.told;
            readings.insert(guard.clone(), self.reading(guard, &plan, at, span, found, now));
            if !again {
                let known = self.told.entry(guard.clone()).or_default();
                *known = told.max(*known);
                self.marks.insert(guard.clone(), at);
            }
        }
        self.hint(guards, &mut readings, clock, deadline).await;
        readings
    }

    /// Guards without any row are told which rows there are.
    async fn hint(
        &mut self,
        guards: &BTreeMap<K, Arc<Policy>>,
        readings: &mut BTreeMap<K, Reading>,
        at: Moment,
        deadline: Instant,
    ) {
        let nothing = |signal: &Measured| *signal == Measured::Unknown(Because::NoData);
        let lost = readings
            .iter()
            .filter(|(_, reading)| !reading.signals.is_empty() && reading.signals.iter().all(nothing));
        let lost: BTreeSet<K> = lost.map(|(guard, _)| guard.clone()).collect();
        if let Some(guard) = self.hints.next(&lost, at)
            && let Some(policy) = guards.get(&guard)
            && let Some(question) = prometheus_hints::question(policy)
        {
            self.queries += 1;
            let answer = timeout_at(deadline, self.prometheus.query(&question, Some(at))).await;
            let words = answer.ok().and_then(Result::ok);
            let words = words.and_then(|answer| prometheus_hints::words(policy, &answer));
            self.hints.learn(guard, at, words);
        }
        for guard in lost {
            if let Some((reading, words)) = readings.get_mut(&guard).zip(self.hints.words(&guard)) {
                reading
                    .signals
                    .fill(Measured::Unknown(Because::NoRows(words.to_owned())));
            }
        }
    }

    /// Up to when every server that answers has samples of what that guard's readings told: two intervals before.
    fn seen_by_all(&self, guard: &K) -> Option<Moment> {
        let told = self.told.get(guard).copied().flatten()?;
        // What is from after the last reading came from a clock that was put back since.
        let seen = self.marks.get(guard).is_some_and(|mark| told <= *mark);
        seen.then(|| told.before(self.learned.shortest_interval(guard).saturating_mul(2) + SLACK))
    }

    /// Up to when that guard's readings are whole.
    pub(super) fn moment(&self, policy: &Policy, clock: Moment) -> Moment {
        clock.on_grid(GRID).before(self.learned.lag(policy.matching.keys()))
    }

    fn plan(&self, guard: &K, policy: &Policy, at: Moment) -> (Plan, Moment, Duration) {
        let over = self
            .marks
            .get(guard)
            .map(|mark| at.since(*mark))
            .filter(|over| *over <= LONGEST);
        let terms = Terms {
            over,
            settled: self.learned.settled(),
            interval: self.learned.interval(guard),
            on_targets: self.learned.on_targets(policy),
            native: self.learned.native(guard),
            live: true,
            rules: &self.rules,
        };
        let plan = Plan::of(policy, terms);
        let plan = if self.closely.contains(guard) {
            plan.with_buckets(policy, terms)
        } else {
            plan
        };
        (plan, at, over.unwrap_or_default())
    }

    pub(super) fn reading(
        &self,
        guard: &K,
        plan: &Plan,
        at: Moment,
        span: Duration,
        mut found: Found,
        now: Timestamp,
    ) -> Reading {
        let interval = self.learned.interval(guard);
        let age = found.newest.map(|newest| at.since(newest)).unwrap_or_default();
        if age > plan.oldest {
            found.signals.fill(Measured::Unknown(Because::Stale { age, interval }));
        }
        let newest = found.newest.or((!plan.counts).then_some(at));
        let ours = |moment: Moment| moment.on_clock(self.ahead);
        Reading {
            at: ours(at).unwrap_or(now),
            span,
            newest: newest.and_then(ours),
            signals: found.signals,
        }
    }

    pub(super) async fn learn(&mut self, guards: &BTreeMap<K, Arc<Policy>>, clock: Moment, deadline: Instant) {
        let due = self.learned.due(guards.keys(), clock);
        let rows = |policy: &Policy| -> (Names, Values) { policy.matching.clone().into_iter().unzip() };
        let asked = guards
            .values()
            .flat_map(|policy| {
                self.learned
                    .queries(due, policy)
                    .map(|form| (form, rows(policy), clock))
            })
            .collect();
        let answers = self.ask(asked, deadline).await;
        self.learned.lay_out(&answers);
        let lengths = || answers.iter().filter(|((form, _), _)| form.is_scrape_duration());
        let answered =
            lengths().next().is_some() && lengths().flat_map(|(_, numbers)| numbers.values()).all(Result::is_ok);
        self.learned.begin(due, clock, answered);
        for (guard, policy) in guards {
            self.learned.learn(guard, policy, &answers);
        }
        let alerts = |policy: &Arc<Policy>| policy.signals.iter().any(|s| matches!(s.source, Source::Alerts { .. }));
        if self.rules.due(clock) && guards.values().any(alerts) {
            self.queries += 1;
            let listed = timeout_at(deadline, self.prometheus.rules()).await;
            let late = |_| Err(Failure::NoAnswer("the list of rules came too late".into()));
            self.rules.learn(clock, listed.unwrap_or_else(late));
        }
    }

    /// Sends every distinct query once, several at a time. Rows with the same names are of the same moment.
    pub(super) async fn ask(&mut self, asked: Vec<(Form, (Names, Values), Moment)>, deadline: Instant) -> Answers {
        let mut batches: BTreeMap<(Form, Names), (Moment, BTreeSet<Values>)> = BTreeMap::new();
        for (form, (names, values), at) in asked {
            let batch = batches.entry((form, names)).or_insert_with(|| (at, BTreeSet::new()));
            batch.1.insert(values);
        }
        let prometheus = &self.prometheus;
        let memories = &self.memories;
        let running = batches.into_iter().map(|((form, names), (at, rows))| async move {
            let memory = memories.get(&(form.kind(), names.clone())).cloned().unwrap_or_default();
            let batch = Batch { form, names, rows };
            let asked = batch.ask(prometheus, memory, at, deadline).await;
            (batch, asked)
        });
        let running: Vec<_> = running.map(FutureExt::boxed).collect();
        let done: Vec<(Batch, Asked)> = stream::iter(running).buffered(AT_ONCE).collect().await;
        let mut answers = Answers::new();
        let mut known: BTreeMap<(Form, Names), Memory> = BTreeMap::new();
        for (batch, asked) in done {
            self.queries += asked.queries;
            let kind = (batch.form.kind(), batch.names.clone());
            known.entry(kind).or_default().join(asked.memory);
            answers.insert((batch.form, batch.names), asked.numbers);
        }
        self.memories.extend(known);
        self.memories.retain(|_, memory| !memory.is_empty());
        answers
    }
}

/// What a guard reads while Prometheus does not answer.
fn silence(policy: &Policy, now: Timestamp, words: &str) -> Reading {
    let unknown = Measured::Unknown(Because::NoAnswer(words.to_owned()));
    Reading {
        at: now,
        span: Duration::ZERO,
        newest: None,
        signals: vec![unknown; policy.signals.len()],
    }
}

#[cfg(test)]
#[path = "prometheus_turns.rs"]
mod tests;
