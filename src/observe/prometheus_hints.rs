//! Pure. Why a guard has no rows: which values its labels do have, so that a person sees what `match` should say.
//!
//! One more query, for one guard a turn, and for each guard again only after five minutes; a few times sooner at first,
//! when its pods may not have been scraped yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    answer::{Answer, Row},
    prometheus_plan::counted,
    query::{Moment, Names, Values, selected, shared},
};
use crate::judge::policy::{MATCH, Policy, Source};

/// After how long a guard without rows is looked at again.
const AGAIN: Duration = Duration::from_secs(5 * 60);
/// So often, and so soon, at first.
const FIRST: u32 = 3;
const SOON: Duration = Duration::from_secs(20);
/// So many values of a label are named.
const NAMED: usize = 10;

/// What is known of guards without rows.
#[derive(Debug)]
pub struct Hints<K> {
    known: BTreeMap<K, Hint>,
}

#[derive(Debug)]
struct Hint {
    asked: Moment,
    times: u32,
    words: Option<String>,
}

impl<K> Default for Hints<K> {
    fn default() -> Self {
        Self { known: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Hints<K> {
    /// Of these guards, which are all that have no rows, the one to ask for now.
    pub fn next(&mut self, lost: &BTreeSet<K>, at: Moment) -> Option<K> {
        self.known.retain(|guard, _| lost.contains(guard));
        let asked = |guard: &K| self.known.get(guard).map(|hint| hint.asked);
        let guard = lost.iter().min_by_key(|guard| asked(guard))?;
        let due = self.known.get(guard).is_none_or(|hint| {
            let pause = if hint.times < FIRST { SOON } else { AGAIN };
            hint.asked > at || at.since(hint.asked) >= pause
        });
        due.then(|| guard.clone())
    }

    /// What was found out about a guard; without an answer what was known stays.
    pub fn learn(&mut self, guard: K, at: Moment, words: Option<String>) {
        let hint = self.known.entry(guard).or_insert(Hint {
            asked: at,
            times: 0,
            words: None,
        });
        hint.asked = at;
        hint.times = hint.times.saturating_add(1);
        hint.words = words.or_else(|| hint.words.take());
    }

    /// In words, what there is in place of a guard's rows.
    pub fn words(&self, guard: &K) -> Option<&str> {
        self.known.get(guard)?.words.as_deref()
    }
}

/// The query for the rows that differ from the guard's in one label, and for whether there are any at all.
pub fn question(policy: &Policy) -> Option<String> {
    let (names, values): (Names, Values) = policy.matching.clone().into_iter().unzip();
    let (_, probe) = probe(policy)?;
    let by = names.join(", ");
    let but = |place: usize| {
        let others = |texts: &[String]| {
            let kept = texts.iter().enumerate().filter(|(at, _)| *at != place);
            kept.map(|(_, text)| text.clone()).collect::<Vec<_>>()
        };
        format!("count by ({by}) ({})", probe(&others(&names), &others(&values)))
    };
    let any = format!("count({})", probe(&Names::new(), &Values::new()));
    let own = bare(policy).map(|metric| format!("count by ({by}) ({})", selected(&metric, &names, &values)));
    let parts: Vec<_> = (0..names.len()).map(but).chain([any]).chain(own).collect();
    Some(parts.join(" or "))
}

/// What the answer says, for people.
pub fn words(policy: &Policy, answer: &Answer) -> Option<String> {
    let (what, _) = probe(policy)?;
    let own = |name: &str, row: &Row| row.labels.get(name) == policy.matching.get(name);
    let said = |pairs: Vec<(&String, &String)>| {
        let pairs = pairs.into_iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join(" and ")
    };
    // Its own labels are found by the bare metric alone: the whole selector has no such row.
    if let Some(metric) = bare(policy)
        && answer
            .rows
            .iter()
            .any(|row| policy.matching.keys().all(|name| own(name, row)))
    {
        return Some(format!("there is {metric} for it, but not {what}"));
    }
    let mut found = Vec::new();
    for name in policy.matching.keys() {
        let others: Vec<_> = policy.matching.iter().filter(|(other, _)| *other != name).collect();
        let like = |row: &&Row| others.iter().all(|(other, _)| own(other, row));
        let values: BTreeSet<&String> = answer
            .rows
            .iter()
            .filter(like)
            .filter_map(|row| row.labels.get(name))
            .collect();
        if values.is_empty() {
            continue;
        }
        let named: Vec<_> = values.iter().take(NAMED).map(|value| value.as_str()).collect();
        let more = match values.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let with = if others.is_empty() {
            String::new()
        } else {
            format!("with {} ", said(others))
        };
        found.push(format!("{with}{name} is {}{more}", named.join(", ")));
    }
    Some(if !found.is_empty() {
        format!("{what}: {}", found.join("; "))
    } else if answer.rows.is_empty() {
        format!("there is no {what} at all")
    } else {
        let none = policy.matching.iter().map(|pair| said(vec![pair]));
        format!(
            "there is {what}, but not with {}",
            none.collect::<Vec<_>>().join(", nor with ")
        )
    })
}

/// The metric that is counted, without the selector's own matchers, where it has some.
fn bare(policy: &Policy) -> Option<String> {
    let selector = counted(policy)?;
    let (metric, _) = selector.split_once('{')?;
    (!metric.trim().is_empty()).then(|| metric.trim().to_owned())
}

/// What a guard's rows are rows of, and its query for some values of some labels.
fn probe(policy: &Policy) -> Option<(String, impl Fn(&Names, &Values) -> String)> {
    let gauge = || {
        policy.signals.iter().find_map(|signal| match &signal.source {
            Source::Gauge { query } if query.contains(MATCH) => Some((signal.name.clone(), query.clone())),
            Source::Gauge { .. }
            | Source::Alerts { .. }
            | Source::Rate { .. }
            | Source::Bad { .. }
            | Source::Good { .. }
            | Source::Complement { .. }
            | Source::Quantile { .. } => None,
        })
    };
    let counter = counted(policy);
    let (what, query) = match &counter {
        Some(selector) => (selector.clone(), selector.clone()),
        None => gauge().map(|(name, query)| (format!("series for `{name}`"), query))?,
    };
    let all: Names = policy.matching.keys().cloned().collect();
    let ask = move |names: &Names, values: &Values| match &counter {
        Some(selector) => selected(selector, names, values),
        None => shared(&query, &all, names, values),
    };
    Some((what, ask))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{guard::GuardSpec, preset::Preset};

    fn policy(metrics: &str) -> Policy {
        let yaml = format!("targets: [{{kind: Deployment, name: ordres}}]\nmetrics: {metrics}\n");
        let spec: GuardSpec = serde_saphyr::from_str(&yaml).unwrap();
        Policy::compile("shop", &spec, &Preset::shipped()).unwrap()
    }

    fn told(policy: &Policy, rows: &[&[(&str, &str)]]) -> String {
        let row = |labels: &&[(&str, &str)]| Row {
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            value: Some(1.0),
        };
        let rows = rows.iter().map(row).collect();
        words(policy, &Answer { rows, infos: vec![] }).unwrap()
    }

    #[test]
    fn one_label_that_is_wrong_is_told_with_the_values_that_exist() {
        let policy = policy("{preset: prometheus-http}");
        assert_eq!(
            question(&policy).unwrap(),
            "count by (job, namespace) (http_requests_total{code!=\"\", namespace=\"shop\"}) or \
             count by (job, namespace) (http_requests_total{code!=\"\", job=\"ordres\"}) or \
             count(http_requests_total{code!=\"\"}) or \
             count by (job, namespace) (http_requests_total{job=\"ordres\", namespace=\"shop\"})"
        );
        let shop = |job| [("job", job), ("namespace", "shop")];
        assert_eq!(
            told(&policy, &[&shop("orders"), &shop("payments"), &[]]),
            "http_requests_total{code!=\"\"}: with namespace=shop job is orders, payments"
        );
        assert_eq!(
            told(&policy, &[&[("job", "ordres"), ("namespace", "shop-eu")], &[]]),
            "http_requests_total{code!=\"\"}: with job=ordres namespace is shop-eu"
        );
        assert_eq!(
            told(&policy, &[&[]]),
            "there is http_requests_total{code!=\"\"}, but not with job=ordres, nor with namespace=shop"
        );
        assert_eq!(told(&policy, &[]), "there is no http_requests_total{code!=\"\"} at all");
        // The status code is in another label: nothing of it could ever be bad.
        assert_eq!(
            told(&policy, &[&shop("ordres")]),
            "there is http_requests_total for it, but not http_requests_total{code!=\"\"}"
        );
    }

    #[test]
    fn a_guard_of_gauges_alone_is_asked_for_by_its_own_query() {
        let policy = policy("{preset: ci, match: {project: shop/ordres, ref: main}}");
        let question = question(&policy).unwrap();
        assert!(
            question.starts_with(
                "count by (project, ref) (max by (project, ref) (gitlab_ci_pipeline_coverage{ref=\"main\"}) / 100) or "
            ),
            "{question}"
        );
        assert_eq!(
            told(&policy, &[&[("project", "shop/orders"), ("ref", "main")]]),
            "series for `coverage`: with ref=main project is shop/orders"
        );
    }

    #[test]
    fn guards_without_rows_are_asked_for_one_by_one_and_not_again_for_five_minutes() {
        let at = |seconds: f64| Moment::from_seconds(seconds).unwrap();
        let lost: BTreeSet<_> = ["a", "b"].into();
        let mut hints = Hints::default();
        assert_eq!(hints.next(&lost, at(0.0)), Some("a"));
        hints.learn("a", at(0.0), Some("said".into()));
        assert_eq!(hints.next(&lost, at(5.0)), Some("b"));
        hints.learn("b", at(5.0), None);
        assert_eq!(hints.next(&lost, at(10.0)), None);
        assert_eq!(hints.next(&lost, at(300.0)), Some("a"));
        hints.learn("a", at(300.0), None);
        assert_eq!(hints.words(&"a"), Some("said"));
        hints.next(&["b"].into(), at(301.0));
        assert_eq!(hints.words(&"a"), None);
    }
}
