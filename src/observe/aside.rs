//! IO. What is asked beside a turn's readings, for the few guards that need it: counts by pod, and what goes on around a
//! guard whose traffic fell. All other guards wait meanwhile, so that every question ends at a deadline that the turn sets.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::{
    answer::Answer,
    poll::{AT_ONCE, Poller},
    prometheus_plan::Answers,
    query::{Births, Form, Grown, Moment, Names, Values, growth_by_pod},
    sides::{ByPod, PodCount, over},
};
use crate::judge::{policy::Policy, share::Count, traffic::Told};

/// A guard whose traffic fell.
#[derive(Clone, Debug)]
pub struct Fell<K> {
    pub guard: K,
    pub namespace: String,
    pub counter: String,
    pub policy: Arc<Policy>,
    /// For how long it is low.
    pub low: Duration,
    pub window: Duration,
}

/// One query: a selector, label names, how far back, how series are born, and the moment.
type Query = (String, Names, Duration, Births, Moment);
/// Its rows: a guard's values, then pod and instance.
type Rows = BTreeMap<(Values, String, String), f64>;

impl<K: Ord + Clone> Poller<K> {
    /// What each pod counted, in the order asked; nothing where the queries were not answered in time.
    pub async fn by_pod(&mut self, asked: &[ByPod<K>], deadline: Instant) -> Vec<Option<Vec<PodCount>>> {
        let mut queries: BTreeMap<Query, BTreeSet<Values>> = BTreeMap::new();
        for one in asked {
            for query in self.queries_of(one).into_iter().flatten() {
                queries
                    .entry(query)
                    .or_default()
                    .insert(one.policy.matching.values().cloned().collect());
            }
        }
        let answers = self.ask_by_pod(queries, deadline).await;
        let counted = |one: &ByPod<K>| {
            let [part, total] = self.queries_of(one)?;
            let values: Values = one.policy.matching.values().cloned().collect();
            Some(counts(one, &values, answers.get(&part)?, answers.get(&total)?))
        };
        asked.iter().map(counted).collect()
    }

    fn queries_of(&self, one: &ByPod<K>) -> Option<[Query; 2]> {
        let at = self.marks.get(&one.guard).copied()?;
        let names: Names = one.policy.matching.keys().cloned().collect();
        // Over too long a time the healthy time before would count for the old pods.
        let over = over(one.since, self.learned.own_interval(&one.guard)?);
        let asked = |selector: &String| self.learned.counter(&one.guard, selector);
        let births = self.births(&one.policy, &asked(&one.total));
        let query = |selector: &String| (asked(selector), names.clone(), over, births.clone(), at);
        Some([query(&one.part), query(&one.total)])
    }

    /// What the targets and the neighbours of these guards say, in the order asked; nothing where Prometheus does not answer
    /// in time. Guards of which the same is to be known share their queries.
    pub async fn around(&mut self, asked: &[Fell<K>], deadline: Instant) -> Vec<Option<Told>> {
        let rows: Vec<Option<Around>> = asked.iter().map(|one| self.around_of(one)).collect();
        let mut batches: BTreeMap<Moment, Vec<(Form, Row, Moment)>> = BTreeMap::new();
        for question in rows.iter().flatten().flat_map(Around::questions) {
            batches.entry(question.2).or_default().push(question);
        }
        let mut answers = BTreeMap::new();
        // The newest first: nothing is told without them.
        for (at, batch) in batches.into_iter().rev() {
            answers.insert(at, self.ask(batch, deadline).await);
        }
        rows.iter().map(|row| row.as_ref()?.told(&answers)).collect()
    }

    fn around_of(&self, one: &Fell<K>) -> Option<Around> {
        let at = self.marks.get(&one.guard).copied()?;
        let window = one.window.max(self.learned.interval(&one.guard).saturating_mul(2));
        // In whole windows, so that guards that fell together share their queries.
        let windows = one.low.as_millis().div_ceil(one.window.as_millis().max(1)) + 1;
        let since = one.window.saturating_mul(u32::try_from(windows).unwrap_or(u32::MAX));
        let on_targets = self.learned.on_targets(&one.policy);
        let counter = || self.learned.counter(&one.guard, &one.counter);
        let up = if on_targets {
            Form::Up
        } else {
            Form::UpOf {
                selector: counter(),
                over: since,
            }
        };
        // Its namespace's rows: by the labels that name it.
        let mut namespace = one.policy.matching.clone();
        namespace.retain(|_, value| *value == one.namespace);
        let growth = Form::Growth {
            selector: counter(),
            over: window,
            settled: self.learned.settled(),
            births: self.births(&one.policy, &counter()),
            begun: None,
        };
        Some(Around {
            at,
            before: at.before(since),
            up: (up, one.policy.matching.clone().into_iter().unzip()),
            growth: (!namespace.is_empty()).then(|| (growth, namespace.into_iter().unzip())),
            window,
            on_targets,
        })
    }

    fn births(&self, policy: &Policy, total: &str) -> Births {
        Births::of(self.learned.on_targets(policy), total)
    }

    async fn ask_by_pod(
        &mut self,
        queries: BTreeMap<Query, BTreeSet<Values>>,
        deadline: Instant,
    ) -> BTreeMap<Query, Rows> {
        let settled = self.learned.settled();
        let prometheus = &self.prometheus;
        self.queries += u32::try_from(queries.len()).unwrap_or(u32::MAX);
        let running = queries.into_iter().map(|(query, rows)| async move {
            let (selector, names, over, births, at) = &query;
            let grown = Grown {
                selector,
                over: *over,
                settled,
                births,
            };
            let text = growth_by_pod(names, &rows, &grown);
            let answer = timeout_at(deadline, prometheus.query(&text, Some(*at))).await.ok()?;
            let rows = rows_of(names, answer.ok()?);
            Some((query, rows))
        });
        let running: Vec<_> = running.map(FutureExt::boxed).collect();
        let done: Vec<Option<(Query, Rows)>> = stream::iter(running).buffered(AT_ONCE).collect().await;
        done.into_iter().flatten().collect()
    }
}

/// The names of labels, and one row's values.
type Row = (Names, Values);

/// What is asked around one guard.
struct Around {
    at: Moment,
    /// When the rate was as ever.
    before: Moment,
    up: (Form, Row),
    /// What its namespace's rows grew in a window.
    growth: Option<(Form, Row)>,
    window: Duration,
    on_targets: bool,
}

impl Around {
    fn questions(&self) -> impl Iterator<Item = (Form, Row, Moment)> {
        let growth = |at| {
            self.growth
                .iter()
                .map(move |(form, row)| (form.clone(), row.clone(), at))
        };
        let (up, row) = self.up.clone();
        [(up, row, self.at)]
            .into_iter()
            .chain(growth(self.at))
            .chain(growth(self.before))
    }

    fn told(&self, answers: &BTreeMap<Moment, Answers>) -> Option<Told> {
        let number = |at, question| number(answers.get(at)?, question);
        // What is pushed has no `up`; that it is still pushed shows in its samples, which are new.
        let up = match number(&self.at, &self.up)? {
            None if self.on_targets => return None,
            None => true,
            Some(up) => (up - 1.0).abs() < f64::EPSILON,
        };
        let rate = |at, question| Some(number(at, question)?? / self.window.as_secs_f64());
        let around = match &self.growth {
            Some(growth) => Some((rate(&self.before, growth)?, rate(&self.at, growth)?)),
            None => None,
        };
        Some(Told { up, around })
    }
}

/// The row's number; `None`: no answer, `Some(None)`: no row.
fn number(answers: &Answers, (form, (names, values)): &(Form, Row)) -> Option<Option<f64>> {
    match answers.get(&(form.clone(), names.clone()))?.get(values) {
        None => Some(None),
        Some(Ok(number)) => Some(Some(*number).filter(|number| number.is_finite())),
        Some(Err(_)) => None,
    }
}

fn rows_of(names: &Names, answer: Answer) -> Rows {
    let rows = answer.rows.into_iter().filter_map(|mut row| {
        let mut label = |name: &str| row.labels.remove(name).unwrap_or_default();
        // Both may be among the guard's own labels: then its values tell them.
        let values: Values = names.iter().map(|name| label(name)).collect();
        let own = |name: &str| {
            names
                .iter()
                .position(|known| known == name)
                .and_then(|at| values.get(at).cloned())
        };
        let pod = own("pod").unwrap_or_else(|| label("pod"));
        let instance = own("instance").unwrap_or_else(|| label("instance"));
        Some(((values, pod, instance), row.value.filter(|value| value.is_finite())?))
    });
    rows.collect()
}

fn counts<K>(one: &ByPod<K>, values: &Values, part: &Rows, total: &Rows) -> Vec<PodCount> {
    let mine = total.iter().filter(|((row, _, _), _)| row == values);
    let each = mine.map(|(row, all)| {
        let counted = part.get(row).copied().unwrap_or(0.0).clamp(0.0, *all);
        PodCount {
            pod: row.1.clone(),
            instance: row.2.clone(),
            count: Count {
                some: if one.is_good { all - counted } else { counted },
                all: *all,
            },
        }
    });
    each.collect()
}
