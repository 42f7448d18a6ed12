//! IO. One query for many guards, and what to do when one guard's series spoil it for all.
//!
//! A batch that is refused while it runs, or answered with warnings, is asked again in halves until the culprit is
//! alone. Culprits are remembered and asked alone for five minutes, so that a turn after that costs no more than
//! before. Where nothing at all succeeds the fault is the server's: then nobody is a culprit, and for a minute
//! nothing is split.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

use super::{
    answer::{Answer, Failure},
    prometheus::Prometheus,
    query::{Form, Moment, Names, Values},
};

/// How long a culprit is asked alone.
const APART: Duration = Duration::from_secs(5 * 60);
/// How long nothing is split after splitting did not help.
const WHOLE: Duration = Duration::from_secs(60);
/// So many failures without a single success: it is not one series. Halving 16,000 guards needs 15.
const HOPELESS: u32 = 20;
/// The most queries that splitting may cost one batch in one turn; the rest waits for the next.
const SPLITS: u32 = 64;
/// The most culprits of one batch that are asked in one turn, those longest not asked first.
const CULPRITS: usize = 16;
/// Go's form parser takes 10 MiB; a query that is larger, escaped as it is sent, is asked in halves.
const TEXT_LIMIT: usize = 9 << 20;

/// One query for all guards that differ only in their labels' values.
#[derive(Clone, Debug)]
pub struct Batch {
    pub form: Form,
    pub names: Names,
    pub rows: BTreeSet<Values>,
}

/// The number of every row that has one. A row that is missing has none. Of buckets, every `le` is a row: its value is the last, and so is that of
/// [`MARK`] (where the whole query failed, it is left out).
pub type Numbers = BTreeMap<Values, Result<f64, Failure>>;

/// What is known about batches of one kind from earlier turns.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    culprits: BTreeMap<Values, Culprit>,
    whole_until: Option<Moment>,
}

#[derive(Clone, Debug)]
struct Culprit {
    until: Moment,
    asked: Moment,
    failure: Failure,
}

/// A batch, asked.
pub struct Asked {
    pub numbers: Numbers,
    pub memory: Memory,
    pub queries: u32,
}

impl Memory {
    /// Whether there is anything to remember.
    pub fn is_empty(&self) -> bool {
        self.culprits.is_empty() && self.whole_until.is_none()
    }

    /// Both together: batches of one kind that differ only in the time they count share what is known.
    pub fn join(&mut self, other: Self) {
        self.whole_until = self.whole_until.max(other.whole_until);
        for (values, culprit) in other.culprits {
            let known = self.culprits.entry(values).or_insert_with(|| culprit.clone());
            if known.asked < culprit.asked {
                *known = culprit;
            }
        }
    }
}

impl Batch {
    /// Asks for all rows, evaluated at `at`, with what is known from earlier; whatever has no answer at `deadline` has none.
    pub async fn ask(&self, prometheus: &Prometheus, mut memory: Memory, at: Moment, deadline: Instant) -> Asked {
        memory.culprits.retain(|_, culprit| culprit.until > at);
        memory.whole_until = memory.whole_until.filter(|until| *until > at);
        let mut asking = Asking {
            batch: self,
            prometheus,
            at,
            deadline,
            numbers: Numbers::new(),
            queries: 0,
            successes: 0,
        };
        asking.culprits_alone(&mut memory).await;
        let sound: Vec<&Values> = self
            .rows
            .iter()
            .filter(|row| !memory.culprits.contains_key(*row))
            .collect();
        asking.split(sound, &mut memory).await;
        Asked {
            numbers: asking.numbers,
            queries: asking.queries,
            memory,
        }
    }
}

struct Asking<'a> {
    batch: &'a Batch,
    prometheus: &'a Prometheus,
    at: Moment,
    deadline: Instant,
    numbers: Numbers,
    queries: u32,
    successes: u32,
}

impl<'a> Asking<'a> {
    async fn culprits_alone(&mut self, memory: &mut Memory) {
        let mut turns: Vec<_> = memory
            .culprits
            .iter_mut()
            .filter(|(values, _)| self.batch.rows.contains(*values))
            .collect();
        turns.sort_by_key(|(_, culprit)| culprit.asked);
        for (place, (values, culprit)) in turns.into_iter().enumerate() {
            if place >= CULPRITS {
                self.numbers.insert(values.clone(), Err(culprit.failure.clone()));
                continue;
            }
            culprit.asked = self.at;
            if let Err(failure) = self
                .once(&[values], &self.batch.form.text(&self.batch.names, [values]))
                .await
            {
                culprit.failure = failure.clone();
                self.numbers.insert(values.clone(), Err(failure));
            }
        }
    }

    async fn split(&mut self, sound: Vec<&'a Values>, memory: &mut Memory) {
        let mut found = Vec::new();
        let mut failures = 0;
        let mut parts = vec![sound];
        self.successes = 0;
        while let Some(part) = parts.pop().filter(|part| !part.is_empty()) {
            let text = self.batch.form.text(&self.batch.names, part.iter().copied());
            if part.len() > 1 && text.len() > TEXT_LIMIT / 3 && escaped(&text) > TEXT_LIMIT {
                halve(&part, &mut parts);
                continue;
            }
            let Err(failure) = self.once(&part, &text).await else {
                continue;
            };
            failures += 1;
            let hopeless = self.successes == 0 && failures >= HOPELESS;
            if hopeless {
                found.clear();
                memory.whole_until = Some(self.at.after(WHOLE));
            }
            let may_split = memory.whole_until.is_none() && failures < SPLITS && failure.may_be_one_series();
            if may_split && part.len() > 1 {
                halve(&part, &mut parts);
                continue;
            }
            if may_split {
                found.extend(part.first().map(|row| ((*row).clone(), failure.clone())));
            }
            self.fail(&part, &failure);
            if hopeless {
                parts.drain(..).for_each(|part| self.fail(&part, &failure));
            }
        }
        let until = self.at.after(APART);
        let remembered = |(values, failure)| {
            (
                values,
                Culprit {
                    until,
                    asked: self.at,
                    failure,
                },
            )
        };
        memory.culprits.extend(found.into_iter().map(remembered));
    }

    fn fail(&mut self, part: &[&Values], failure: &Failure) {
        self.numbers
            .extend(part.iter().map(|row| ((*row).clone(), Err(failure.clone()))));
    }

    /// One query; its rows' numbers are noted where it succeeds.
    async fn once(&mut self, part: &[&Values], text: &str) -> Result<(), Failure> {
        if Instant::now() >= self.deadline {
            return Err(self.too_late());
        }
        self.queries += 1;
        let answer = match timeout_at(self.deadline, self.prometheus.query(text, Some(self.at))).await {
            Ok(answer) => answer?,
            Err(_) => return Err(self.too_late()),
        };
        if let Form::Own { .. } = self.batch.form {
            let number = answer.number()?;
            self.numbers.extend(
                part.iter()
                    .zip(number)
                    .map(|(row, number)| ((*row).clone(), Ok(number))),
            );
        } else {
            self.note(answer, part);
        }
        self.successes += 1;
        Ok(())
    }

    fn note(&mut self, answer: Answer, part: &[&Values]) {
        let asked: BTreeSet<&Values> = part.iter().copied().collect();
        for mut row in answer.rows {
            let mut value = |name: &str| row.labels.remove(name).unwrap_or_default();
            let more = self.batch.form.more().map(&mut value).filter(|value| !value.is_empty());
            let mut values: Values = self.batch.names.iter().map(|name| value(name)).collect();
            if asked.contains(&values) {
                values.extend(more);
                let number = row
                    .value
                    .ok_or_else(|| Failure::Partial("the row is a native histogram".into()));
                self.numbers.insert(values, number);
            }
        }
    }

    fn too_late(&self) -> Failure {
        let limit = humantime::format_duration(self.prometheus.timeout());
        Failure::NoAnswer(format!("the turn's queries took longer than {limit} together"))
    }
}

/// How long a form's value is when it is sent.
fn escaped(text: &str) -> usize {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'-' | b'.' | b'_' | b' ');
    text.bytes().map(|byte| if plain(byte) { 1 } else { 3 }).sum()
}

fn halve<'a>(part: &[&'a Values], parts: &mut Vec<Vec<&'a Values>>) {
    let (left, right) = part.split_at(part.len() / 2);
    parts.push(right.to_vec());
    parts.push(left.to_vec());
}
