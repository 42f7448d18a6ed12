//! IO. Past readings: what a guard's turns would have read, from range queries of the same forms.
//!
//! Step s gives disjoint windows of s, each as exact as a live one, so that live readings can go on where the past ends.
//! Guards are batched like in a turn. A piece of the past that gets no whole answer is Unknown for its guards, with the
//! answer's own words, and nothing of it counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::{
    answer::{Failure, Run},
    poll::{AT_ONCE, GRID, Poller},
    prometheus::Prometheus,
    prometheus_plan::{Plan, Terms, buckets_of},
    query::{Form, Moment, Names, Values},
    steps::Steps,
};
use crate::{
    judge::policy::Policy,
    model::reading::{Because, Reading},
};

/// The most numbers that one query may ask for: an answer of some ten megabytes.
const NUMBERS: u64 = 200_000;
/// So many buckets a histogram is expected to have.
const BUCKETS: u64 = 16;
/// So many queries for one number each run at the same time.
const NUMBERS_AT_ONCE: usize = 8;
/// The most queries that looking for a culprit may cost one batch.
const SPLITS: u32 = 16;

/// A guard whose past is to be read.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub policy: Arc<Policy>,
    pub stretches: Vec<Stretch>,
    /// Also the buckets of latencies that are weighed.
    pub closely: bool,
}

/// A stretch of the past, on the daemon's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub from: Timestamp,
    /// `None`: up to now, and the guard's live readings go on from there.
    pub to: Option<Timestamp>,
    /// Whole seconds.
    pub step: Duration,
}

/// Guards that are asked together, and for which steps.
type Group<'a, K> = (Steps, Vec<(&'a K, &'a Wanted)>);
/// One guard's numbers at the moments where it has some.
type Numbers = Result<BTreeMap<Moment, f64>, Failure>;
type Series = BTreeMap<(Form, Names), BTreeMap<Values, Numbers>>;

impl<K: Ord + Clone> Poller<K> {
    /// Each guard's past readings, oldest first; `now` is on the daemon's clock. `None` where Prometheus does not answer at
    /// all: nothing is known then, not even that there is none, and it can be asked again. Takes no longer than so many
    /// time-outs.
    pub async fn past(
        &mut self,
        wanted: &BTreeMap<K, Wanted>,
        now: Timestamp,
        patience: u32,
    ) -> Option<BTreeMap<K, Vec<Reading>>> {
        let clock = self.clock(now).await.ok()?;
        let deadline = Instant::now() + self.prometheus.timeout().saturating_mul(patience);
        let guards = wanted
            .iter()
            .map(|(guard, wanted)| (guard.clone(), wanted.policy.clone()));
        self.learn(&guards.collect(), clock, deadline).await;
        let mut readings: BTreeMap<K, Vec<Reading>> = BTreeMap::new();
        for (steps, guards) in self.groups(wanted, clock) {
            for steps in steps.parts() {
                let each = if guards.iter().any(|(_, wanted)| wanted.closely) {
                    steps.count().saturating_mul(BUCKETS)
                } else {
                    steps.count()
                };
                let together = usize::try_from(NUMBERS / each).unwrap_or(1).max(1);
                for guards in guards.chunks(together) {
                    for (guard, reading) in self.piece(guards, steps, deadline, now).await {
                        readings.entry(guard.clone()).or_default().push(reading);
                    }
                }
            }
        }
        for (guard, readings) in &mut readings {
            let stretches = wanted.get(guard).map_or(&[][..], |wanted| &wanted.stretches);
            readings.retain(|reading| stretches.iter().any(|stretch| stretch.holds(reading)));
            readings.sort_by_key(|reading| reading.at);
        }
        Some(readings)
    }

    /// Who is asked for which steps: guards whose stretches end together are asked together, from the earliest on.
    fn groups<'a>(&mut self, wanted: &'a BTreeMap<K, Wanted>, clock: Moment) -> Vec<Group<'a, K>> {
        let mut groups: BTreeMap<(i64, u64), Group<'_, K>> = BTreeMap::new();
        for (guard, wanted) in wanted {
            // Something is left for the live reading that goes on from there.
            let end = self.moment(&wanted.policy, clock).before(GRID);
            for stretch in &wanted.stretches {
                let Some(from) = Moment::from_clock(stretch.from, self.ahead) else {
                    continue;
                };
                let to = stretch.to.and_then(|to| Moment::from_clock(to, self.ahead));
                let steps = Steps::within(from, to.unwrap_or(end).min(end), stretch.step);
                if stretch.to.is_none() {
                    self.marks
                        .insert(guard.clone(), steps.map_or(from.min(end), Steps::end));
                }
                let Some(steps) = steps else { continue };
                let group = groups
                    .entry((steps.last, steps.step))
                    .or_insert_with(|| (steps, Vec::new()));
                group.0.first = group.0.first.min(steps.first);
                group.1.push((guard, wanted));
            }
        }
        // What is nearest counts most, should the time not be enough for all of it.
        groups.into_values().rev().collect()
    }

    async fn piece<'a>(
        &mut self,
        guards: &[(&'a K, &Wanted)],
        steps: Steps,
        deadline: Instant,
        now: Timestamp,
    ) -> Vec<(&'a K, Reading)> {
        let step = Duration::from_secs(steps.step);
        let plan = |guard: &K, wanted: &Wanted| {
            let policy = &wanted.policy;
            let terms = Terms {
                over: Some(step),
                settled: self.learned.settled(),
                interval: self.learned.interval(guard),
                on_targets: self.learned.on_targets(policy),
                native: self.learned.native(guard),
                live: false,
                rules: &self.rules,
            };
            let plan = Plan::of(policy, terms);
            if wanted.closely {
                plan.with_buckets(policy, terms)
            } else {
                plan
            }
        };
        let plans: Vec<(&K, Plan)> = guards
            .iter()
            .map(|(guard, wanted)| (*guard, plan(guard, wanted)))
            .collect();
        let (series, queries) = ask(&self.prometheus, &plans, steps, deadline).await;
        self.queries += queries;
        let mut readings = Vec::new();
        for (guard, plan) in &plans {
            let of = |form: &Form| {
                let (names, values) = plan.row(form);
                Some(series.get(&(form.clone(), names))?.get(&values))
            };
            let numbers: BTreeMap<&Form, Option<&Numbers>> =
                plan.queries().filter_map(|form| Some((form, of(form)?))).collect();
            // Where nothing was answered, one reading says so as well as many.
            let silent = numbers.values().all(|numbers| matches!(numbers, Some(Err(_))));
            let moments = steps.moments().take(if silent { 1 } else { usize::MAX });
            for at in moments {
                let mut found = plan.read_from(|form| {
                    let numbers = numbers.get(form)?;
                    Some(match numbers {
                        None => None,
                        Some(Ok(numbers)) => numbers.get(&at).map(|number| Ok(*number)),
                        Some(Err(failure)) => Some(Err(failure.clone())),
                    })
                });
                plan.add_buckets(&mut found.signals, |form| {
                    let (names, values) = plan.row(form);
                    let numbers = series.get(&(form.clone(), names))?;
                    Some(buckets_of(numbers, &values, |numbers| {
                        numbers.as_ref().ok()?.get(&at).copied()
                    }))
                });
                readings.push((*guard, self.reading(guard, plan, at, step, found, now)));
            }
        }
        readings
    }
}

impl Stretch {
    /// Whether the reading's whole window lies in it.
    fn holds(&self, reading: &Reading) -> bool {
        let begin = reading.at.checked_sub(reading.span).unwrap_or(Timestamp::MIN);
        let step = reading.span == Duration::from_secs(self.step.as_secs().max(1));
        step && begin >= self.from && self.to.is_none_or(|to| reading.at <= to)
    }
}

/// Sends every distinct query once, several at a time.
async fn ask<K>(prometheus: &Prometheus, plans: &[(K, Plan)], steps: Steps, deadline: Instant) -> (Series, u32) {
    let mut batches: BTreeMap<(Form, Names), BTreeSet<Values>> = BTreeMap::new();
    for (_, plan) in plans {
        for form in plan.queries() {
            let (names, values) = plan.row(form);
            batches.entry((form.clone(), names)).or_default().insert(values);
        }
    }
    let asking = batches.into_iter().map(|((form, names), rows)| {
        let batch = Batch {
            prometheus,
            form,
            names,
            steps,
            deadline,
        };
        batch.ask(rows.into_iter().collect()).boxed()
    });
    let asking: Vec<_> = asking.collect();
    let mut series = Series::new();
    let mut queries = 0;
    let mut answered = stream::iter(asking).buffered(AT_ONCE);
    while let Some((batch, numbers, sent)) = answered.next().await {
        series.insert(batch, numbers);
        queries += sent;
    }
    (series, queries)
}

struct Batch<'a> {
    prometheus: &'a Prometheus,
    form: Form,
    names: Names,
    steps: Steps,
    deadline: Instant,
}

impl Batch<'_> {
    /// Asks for all rows at once, and in halves where some of them may spoil it for the others.
    async fn ask(self, rows: Vec<Values>) -> ((Form, Names), BTreeMap<Values, Numbers>, u32) {
        let mut numbers = BTreeMap::new();
        let mut queries = 0;
        let mut parts = vec![rows];
        while let Some(mut part) = parts.pop() {
            let text = self.form.text(&self.names, &part);
            queries += 1;
            let late = || Failure::NoAnswer("reading the past took too long".into());
            let answer = match timeout_at(self.deadline, self.prometheus.range(&text, self.steps)).await {
                Ok(answer) => answer,
                Err(_) => Err(late()),
            };
            match answer.and_then(|runs| self.numbers(runs)) {
                Ok(mut found) => {
                    let asked: BTreeSet<&[String]> = part.iter().map(Vec::as_slice).collect();
                    let own = |row: &Values| row.get(..self.names.len()).is_some_and(|own| asked.contains(own));
                    found.retain(|row, _| own(row));
                    numbers.extend(found);
                }
                Err(failure) if part.len() > 1 && queries < SPLITS && failure.may_be_one_series() => {
                    let right = part.split_off(part.len() / 2);
                    parts.extend([right, part]);
                }
                Err(failure) => numbers.extend(part.into_iter().map(|row| (row, Err(failure.clone())))),
            }
        }
        ((self.form, self.names), numbers, queries)
    }

    fn numbers(&self, runs: Vec<Run>) -> Result<BTreeMap<Values, Numbers>, Failure> {
        let mut found: BTreeMap<Values, BTreeMap<Moment, f64>> = BTreeMap::new();
        for mut run in runs {
            let value = |name: &str| run.labels.remove(name).unwrap_or_default();
            let names = self.names.iter().map(String::as_str).chain(self.form.more());
            let values: Values = names.map(value).collect();
            let numbers = found.entry(values).or_default();
            for (at, number) in run.values {
                let at = Moment::from_seconds(at);
                if at.is_some_and(|at| numbers.insert(at, number).is_some()) {
                    return Err(Failure::Refused {
                        words: "the query gives several rows at a time, one number is needed".into(),
                        while_running: false,
                    });
                }
            }
        }
        Ok(found
            .into_iter()
            .map(|(values, numbers)| (values, Ok(numbers)))
            .collect())
    }
}

/// The numbers that these queries give at present, in the order asked.
pub async fn numbers(prometheus: &Prometheus, queries: &[String]) -> Vec<Result<f64, Because>> {
    let asking = queries.iter().map(|query| number(prometheus, query).boxed());
    let asking: Vec<_> = asking.collect();
    stream::iter(asking).buffered(NUMBERS_AT_ONCE).collect().await
}

async fn number(prometheus: &Prometheus, query: &str) -> Result<f64, Because> {
    let number = prometheus.query(query, None).await?.number()?;
    let number = number.ok_or(Because::NoData)?;
    if number.is_finite() {
        Ok(number)
    } else {
        Err(Because::NotANumber)
    }
}
