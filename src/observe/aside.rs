//! IO. What is asked beside a turn's readings, for the few guards that need it: counts by pod, and what goes on around a
//! guard whose traffic fell.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream};

use super::{
    answer::Answer,
    poll::{AT_ONCE, Poller},
    prometheus::Prometheus,
    query::{Births, Form, Grown, Moment, Names, Values, all_up, growth_by_pod},
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
    pub async fn by_pod(&mut self, asked: &[ByPod<K>]) -> Vec<Option<Vec<PodCount>>> {
        let mut queries: BTreeMap<Query, BTreeSet<Values>> = BTreeMap::new();
        for one in asked {
            for query in self.queries_of(one).into_iter().flatten() {
                queries
                    .entry(query)
                    .or_default()
                    .insert(one.policy.matching.values().cloned().collect());
            }
        }
        let answers = self.ask_all(queries).await;
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
        let births = self.births(&one.policy, &one.total);
        let query = |selector: &String| (selector.clone(), names.clone(), over, births.clone(), at);
        Some([query(&one.part), query(&one.total)])
    }

    /// What the targets and the neighbours of these guards say, in the order asked; nothing where Prometheus does not answer.
    pub async fn around<'a>(&mut self, asked: &'a [Fell<K>]) -> Vec<Option<Told>> {
        let prometheus = &self.prometheus;
        let settled = self.learned.settled();
        let running = asked.iter().map(|one: &'a Fell<K>| {
            let at = self.marks.get(&one.guard).copied();
            let window = one.window.max(self.learned.interval(&one.guard).saturating_mul(2));
            let row = Around {
                counter: &one.counter,
                namespace: &one.namespace,
                matching: &one.policy.matching,
                births: self.births(&one.policy, &one.counter),
                window,
                settled,
                since: one.low.saturating_add(one.window),
            };
            async move { row.ask(prometheus, at?).await }.boxed()
        });
        let running: Vec<_> = running.collect();
        let told = stream::iter(running).buffered(AT_ONCE).collect().await;
        self.queries += u32::try_from(asked.len() * 3).unwrap_or(u32::MAX);
        told
    }

    fn births(&self, policy: &Policy, total: &str) -> Births {
        Births::of(self.learned.on_targets(policy), total)
    }

    async fn ask_all(&mut self, queries: BTreeMap<Query, BTreeSet<Values>>) -> BTreeMap<Query, Rows> {
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
            let rows = rows_of(names, prometheus.query(&text, Some(*at)).await.ok()?);
            Some((query, rows))
        });
        let running: Vec<_> = running.map(FutureExt::boxed).collect();
        let done: Vec<Option<(Query, Rows)>> = stream::iter(running).buffered(AT_ONCE).collect().await;
        done.into_iter().flatten().collect()
    }
}

/// What is asked around one guard.
struct Around<'a> {
    counter: &'a str,
    namespace: &'a str,
    matching: &'a BTreeMap<String, String>,
    births: Births,
    window: Duration,
    settled: Duration,
    /// How long ago the rate was as before.
    since: Duration,
}

impl Around<'_> {
    async fn ask(&self, prometheus: &Prometheus, at: Moment) -> Option<Told> {
        let (names, values): (Names, Values) = self.matching.clone().into_iter().unzip();
        let up = number(prometheus, &all_up(&names, &values), at).await??;
        // Its namespace's rows: by the labels that name it.
        let mut own = self.matching.clone();
        own.retain(|_, value| value == self.namespace);
        let around = if own.is_empty() {
            None
        } else {
            Some(self.rates(prometheus, own, at).await?)
        };
        Some(Told {
            up: (up - 1.0).abs() < f64::EPSILON,
            around,
        })
    }

    /// Before and now; where either is not known, nothing is.
    async fn rates(&self, prometheus: &Prometheus, labels: BTreeMap<String, String>, at: Moment) -> Option<(f64, f64)> {
        let (names, values): (Names, Values) = labels.into_iter().unzip();
        let form = Form::Growth {
            selector: self.counter.to_owned(),
            over: self.window,
            settled: self.settled,
            births: self.births.clone(),
        };
        let text = form.text(&names, [&values]);
        let before = number(prometheus, &text, at.before(self.since)).await?;
        let now = number(prometheus, &text, at).await?;
        let rate = |count: f64| count / self.window.as_secs_f64();
        before.zip(now).map(|(before, now)| (rate(before), rate(now)))
    }
}

/// The one row's number; `None`: no answer, `Some(None)`: no row.
async fn number(prometheus: &Prometheus, text: &str, at: Moment) -> Option<Option<f64>> {
    let rows = prometheus.query(text, Some(at)).await.ok()?.rows;
    Some(rows.first().and_then(|row| row.value).filter(|value| value.is_finite()))
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
