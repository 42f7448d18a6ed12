//! IO. What is asked beside a turn's readings, for the few guards that need it: counts by pod.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream};
use tokio::time::timeout;

use super::{
    answer::Answer,
    poll::Poller,
    query::{Moment, Names, Values, growth_by_pod},
    sides::{ByPod, PodCount, over},
};
use crate::judge::share::Count;

/// Queries that run at the same time.
const AT_ONCE: usize = 4;

/// One query: a selector, label names, how far back, and the moment.
type Query = (String, Names, Duration, Moment);
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
                    .insert(one.matching.values().cloned().collect());
            }
        }
        let answers = self.ask_all(queries).await;
        let counted = |one: &ByPod<K>| {
            let [part, total] = self.queries_of(one)?;
            let values: Values = one.matching.values().cloned().collect();
            Some(counts(one, &values, answers.get(&part)?, answers.get(&total)?))
        };
        asked.iter().map(counted).collect()
    }

    fn queries_of(&self, one: &ByPod<K>) -> Option<[Query; 2]> {
        let at = self.marks.get(&one.guard).copied()?;
        let names: Names = one.matching.keys().cloned().collect();
        let over = over(one.since, self.learned.interval(&one.guard));
        let query = |selector: &String| (selector.clone(), names.clone(), over, at);
        Some([query(&one.part), query(&one.total)])
    }

    async fn ask_all(&mut self, queries: BTreeMap<Query, BTreeSet<Values>>) -> BTreeMap<Query, Rows> {
        let settled = self.learned.settled();
        let prometheus = &self.prometheus;
        self.queries += u32::try_from(queries.len()).unwrap_or(u32::MAX);
        let running = queries.into_iter().map(|(query, rows)| async move {
            let (selector, names, over, at) = &query;
            let text = growth_by_pod(names, &rows, selector, *over, settled);
            let answer = timeout(prometheus.timeout(), prometheus.query(&text, Some(*at))).await;
            let rows = rows_of(names, answer.ok()?.ok()?);
            Some((query, rows))
        });
        let running: Vec<_> = running.map(FutureExt::boxed).collect();
        let done: Vec<Option<(Query, Rows)>> = stream::iter(running).buffered(AT_ONCE).collect().await;
        done.into_iter().flatten().collect()
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
