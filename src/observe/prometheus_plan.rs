//! Pure. From a guard's signals to the queries that they need, and from the numbers back to measurements.

use std::{collections::BTreeMap, time::Duration};

pub use super::prometheus_selectors::{counted, heartbeat};
use super::{
    answer::Failure,
    counter::of_native,
    prometheus_batch::Numbers,
    prometheus_numbers::{counts, finite, present, uncount, unknown_until_counted},
    prometheus_rules::Rules,
    prometheus_selectors::{firing, gauge},
    query::{Births, Form, LEAST, MARK, Moment, Names, Values, suffixed},
};
use crate::{
    judge::policy::{Policy, Source},
    model::reading::{Because, Bucket, Measured},
};

/// A sample may be this much older than two intervals.
pub(super) const SLACK: Duration = Duration::from_secs(1);

/// The answers of a turn, by query.
pub type Answers = BTreeMap<(Form, Names), Numbers>;

/// What one guard needs to know in one turn.
#[derive(Clone, Debug)]
pub struct Plan {
    pub names: Names,
    pub values: Values,
    /// The query for the newest sample's time; `None` where all signals are the owner's own queries.
    pub newest: Option<Form>,
    /// That query is for a counter: without a row there is nothing new. A gauge may be made of other series as well.
    pub counts: bool,
    /// How old the newest sample may be.
    pub oldest: Duration,
    signals: Vec<Ask>,
    /// Of each latency that is weighed, where a change is watched; and what makes its unit of the bounds.
    buckets: Vec<(usize, Form, f64)>,
}

#[derive(Clone, Debug)]
enum Ask {
    Counts {
        part: Form,
        total: Form,
        is_good: bool,
    },
    Events(Form),
    Value {
        form: Form,
        over: Duration,
        scale: f64,
    },
    /// How many alerts fire, and what it means that none does.
    Alerts {
        form: Form,
        quiet: Result<f64, Because>,
    },
    LikeThat(usize),
    /// A count without an earlier reading to count from.
    FirstReading,
}

impl Ask {
    fn queries(&self) -> [Option<&Form>; 2] {
        match self {
            Self::Counts { part, total, .. } => [Some(part), Some(total)],
            Self::Events(form) | Self::Value { form, .. } | Self::Alerts { form, .. } => [Some(form), None],
            Self::LikeThat(_) | Self::FirstReading => [None, None],
        }
    }
}

/// What a guard's part of the answers says.
#[derive(Clone, Debug)]
pub struct Found {
    pub signals: Vec<Measured>,
    /// The newest sample's time.
    pub newest: Option<Moment>,
    /// Up to when all series were told: the newest sample's time of the one that is furthest behind.
    pub told: Option<Moment>,
    /// Something about counts got no answer: the next reading must count this time as well.
    pub again: bool,
}

/// What is the same for all guards of a turn, or was learned about one.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The time since the guard's last reading; `None`: there was none.
    pub over: Option<Duration>,
    /// How long a job must have been known for its new targets to count.
    pub settled: Duration,
    /// The guard's scrape interval.
    pub interval: Duration,
    /// The guard's labels are its targets' own.
    pub on_targets: bool,
    /// The guard's counters are the counts of native histograms alone.
    pub native: bool,
    /// Others may have answered before: asked as well is where the counts begin.
    pub live: bool,
    pub rules: &'a Rules,
}

impl Terms<'_> {
    /// Two intervals. In the past there may have been others than there are now: what came within the time that is counted is
    /// not old there.
    fn oldest(&self) -> Duration {
        let known = self.interval.saturating_mul(2) + SLACK;
        let counted = self.over.filter(|_| !self.live).unwrap_or_default();
        known.max(counted)
    }

    /// A counter as it is asked for.
    fn counter(&self, selector: String) -> String {
        if self.native { of_native(&selector) } else { selector }
    }

    /// How long a job must be known, and how a new series is told, of a counter with that total.
    fn births(&self, total: &str) -> (Duration, Births) {
        let settled = if self.on_targets { self.settled } else { Duration::ZERO };
        (settled, Births::of(self.on_targets, &self.counter(total.to_owned())))
    }
}

impl Plan {
    /// Which queries `policy` needs.
    pub fn of(policy: &Policy, terms: Terms<'_>) -> Self {
        let counter = counted(policy);
        let asked = |selector: String| terms.counter(selector);
        let growth = |selector: &str, total: &str| {
            let (settled, births) = terms.births(total);
            terms.over.map(|over| Form::Growth {
                selector: asked(selector.into()),
                over,
                settled,
                births,
                begun: counter
                    .clone()
                    .filter(|counter| terms.live && counter == total)
                    .map(asked),
            })
        };
        let ask = |source: &Source| match source {
            Source::Bad { bad: part, total } | Source::Good { good: part, total } => {
                let is_good = matches!(source, Source::Good { .. });
                growth(part, total)
                    .zip(growth(total, total))
                    .map_or(Ask::FirstReading, |(part, total)| Ask::Counts { part, total, is_good })
            }
            Source::Rate { counter } => growth(counter, counter).map_or(Ask::FirstReading, Ask::Events),
            Source::Complement { of } => Ask::LikeThat(*of),
            Source::Quantile { histogram, q, scale } => {
                let over = whole_seconds(policy.window.max(terms.interval.saturating_mul(4)));
                Ask::Value {
                    form: Form::Quantile {
                        histogram: histogram.clone(),
                        q: q.to_string(),
                        over,
                    },
                    over,
                    scale: *scale,
                }
            }
            Source::Gauge { query } => Ask::Value {
                form: gauge(query),
                over: Duration::ZERO,
                scale: 1.0,
            },
            Source::Alerts { labels } => Ask::Alerts {
                form: firing(labels),
                quiet: terms.rules.quiet(labels.get("alertname").map_or("", String::as_str)),
            },
        };
        let (names, values) = policy.matching.clone().into_iter().unzip();
        let newest = heartbeat(policy).map(|selector| Form::Newest {
            selector: asked(selector),
            least: terms.live && counter.is_some(),
        });
        Self {
            names,
            values,
            newest,
            counts: counter.is_some(),
            oldest: terms.oldest(),
            signals: policy.signals.iter().map(|signal| ask(&signal.source)).collect(),
            buckets: Vec::new(),
        }
    }

    /// The same with the buckets' counts of the latencies that conditions call `worse`.
    #[must_use]
    pub fn with_buckets(mut self, policy: &Policy, terms: Terms<'_>) -> Self {
        let form = |signal: usize| match (policy.signals.get(signal).map(|signal| &signal.source), terms.over) {
            (Some(Source::Quantile { histogram, scale, .. }), Some(over)) => {
                let (settled, births) = terms.births(&suffixed(histogram, "_count"));
                let form = Form::Buckets {
                    histogram: histogram.clone(),
                    over,
                    settled,
                    births,
                };
                Some((signal, form, *scale))
            }
            (Some(_) | None, _) => None,
        };
        self.buckets = policy.timed().filter_map(form).collect();
        self
    }

    /// The queries.
    pub fn queries(&self) -> impl Iterator<Item = &Form> {
        self.newest
            .iter()
            .chain(self.signals.iter().flat_map(Ask::queries).flatten())
            .chain(self.buckets.iter().map(|(_, form, _)| form))
    }

    /// This guard's share of the answers. `seen`: up to when all that was counted before had been told, less what one server
    /// may be behind another.
    pub fn read(&self, answers: &Answers, seen: Option<Moment>) -> Found {
        let mut found = self.read_from(|form| {
            let (names, values) = self.row(form);
            let numbers = answers.get(&(form.clone(), names))?;
            Some(numbers.get(&values).cloned())
        });
        if !found.again {
            self.add_buckets(&mut found.signals, |form| {
                let (names, values) = self.row(form);
                let numbers = answers.get(&(form.clone(), names))?;
                Some(buckets_of(numbers, &values, |number| number.as_ref().ok().copied()))
            });
        }
        if self.begun(answers).is_some_and(|begun| Some(begun) < seen) {
            uncount(&mut found.signals, &Because::CountedBefore);
        }
        found.told = self
            .newest
            .as_ref()
            .and_then(|form| self.moment(answers, form, LEAST.1));
        found
    }

    /// From which samples the counts begin, on the server that knew least.
    fn begun(&self, answers: &Answers) -> Option<Moment> {
        let growths = self.queries().filter(|form| matches!(form, Form::Growth { .. }));
        growths.filter_map(|form| self.moment(answers, form, MARK.1)).min()
    }

    /// What the row of that mark tells.
    fn moment(&self, answers: &Answers, form: &Form, mark: &str) -> Option<Moment> {
        let (names, mut values) = self.row(form);
        values.push(mark.to_owned());
        let seconds = answers.get(&(form.clone(), names))?.get(&values)?.as_ref().ok()?;
        Moment::from_seconds(*seconds)
    }

    /// The same, from answers that are kept in some other way: a query that was not asked has none, one without a row has
    /// an empty one.
    pub fn read_from(&self, answer: impl Fn(&Form) -> Option<Option<Result<f64, Failure>>>) -> Found {
        let mut again = false;
        let mut number = |form: &Form, counts: bool| {
            let found = finite(answer(form));
            again |= counts && matches!(found, Err(Because::NoAnswer(_)));
            found
        };
        let newest = self.newest.as_ref().map(|form| number(form, true));
        let mut signals = Vec::with_capacity(self.signals.len());
        for ask in &self.signals {
            signals.push(match ask {
                Ask::Counts { part, total, is_good } => counts(number(part, true), number(total, true), *is_good),
                Ask::Events(form) => number(form, true)
                    .and_then(present)
                    .map_or_else(Measured::Unknown, Measured::Events),
                Ask::Value { form, over, scale } => {
                    number(form, false)
                        .and_then(present)
                        .map_or_else(Measured::Unknown, |value| Measured::Value {
                            value: value * scale,
                            over: *over,
                        })
                }
                Ask::Alerts { form, quiet } => number(form, false)
                    .and_then(|firing| firing.map_or_else(|| quiet.clone(), Ok))
                    .map_or_else(Measured::Unknown, |value| Measured::Value {
                        value,
                        over: Duration::ZERO,
                    }),
                Ask::LikeThat(_) | Ask::FirstReading => Measured::Unknown(Because::WarmingUp),
            });
        }
        let copies = self.signals.iter().map(|ask| match ask {
            Ask::LikeThat(of) => signals.get(*of).cloned(),
            Ask::Counts { .. } | Ask::Events(_) | Ask::Value { .. } | Ask::Alerts { .. } | Ask::FirstReading => None,
        });
        let copies: Vec<_> = copies.collect();
        for (signal, copy) in signals.iter_mut().zip(copies) {
            if let Some(copy) = copy {
                *signal = copy;
            }
        }
        let newest = match newest {
            Some(Err(because)) => {
                signals.fill(Measured::Unknown(because));
                None
            }
            Some(Ok(seconds)) => seconds.and_then(Moment::from_seconds),
            None => None,
        };
        if again {
            unknown_until_counted(&mut signals);
        }
        Found {
            signals,
            newest,
            told: None,
            again,
        }
    }

    /// Buckets that got no answer are left out: the quantile is known without them. `rows`: of a query that was answered, every
    /// `le` with its count.
    pub fn add_buckets<'a>(
        &self,
        signals: &mut [Measured],
        rows: impl Fn(&Form) -> Option<Vec<(&'a str, Option<f64>)>>,
    ) {
        for (signal, form, scale) in &self.buckets {
            let Some(rows) = rows(form) else { continue };
            let bucket = |(le, count): (&str, Option<f64>)| {
                let le: f64 = le.parse().ok()?;
                Some(Bucket {
                    le: le * scale,
                    count: count?,
                })
            };
            let all: Option<Vec<Bucket>> = rows.into_iter().map(bucket).collect();
            let Some(mut buckets) = all else { continue };
            buckets.sort_by(|one, other| one.le.total_cmp(&other.le));
            if let Some(measured) = signals.get_mut(*signal)
                && let Measured::Value { value, over } = *measured
            {
                *measured = Measured::Timed { value, over, buckets };
            }
        }
    }

    /// Under which names and values a query's answer has this guard's number.
    pub fn row(&self, form: &Form) -> (Names, Values) {
        match form {
            Form::Own { .. } => (Names::new(), Values::new()),
            Form::ScrapeDuration
            | Form::ScrapeDurationOf { .. }
            | Form::Shared { .. }
            | Form::Samples { .. }
            | Form::Newest { .. }
            | Form::Growth { .. }
            | Form::Buckets { .. }
            | Form::Up
            | Form::UpOf { .. }
            | Form::Quantile { .. } => (self.names.clone(), self.values.clone()),
        }
    }
}

/// The rows that one guard's values begin, by what comes after them.
pub fn buckets_of<'a, N>(
    numbers: &'a BTreeMap<Values, N>,
    values: &Values,
    count: impl Fn(&'a N) -> Option<f64>,
) -> Vec<(&'a str, Option<f64>)> {
    let own = numbers
        .range(values.clone()..)
        .take_while(|(row, _)| row.starts_with(values));
    // Where the whole query failed, its one row has no `le`.
    let le = |(row, number): (&'a Values, &'a N)| (row.get(values.len()).map_or("", String::as_str), count(number));
    own.map(le).collect()
}

fn whole_seconds(length: Duration) -> Duration {
    Duration::from_secs(length.as_secs() + u64::from(length.subsec_nanos() > 0))
}
