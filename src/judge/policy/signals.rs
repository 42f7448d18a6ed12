//! Pure. A guard's signals: the preset's, with the guard's own added or in their place, in the order of their names.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use super::{
    BY, MATCH, Mistake, Signal, Source,
    selector::{balance_mistake, selector_mistake},
};
use crate::{
    judge::condition::{RESERVED, is_name, suggestion},
    model::guard::{QuantileSpec, RatioSpec, SignalSpec, Unit, Worse},
};

/// All signals; those with a mistake are left out of them and told.
pub fn signals(specs: &BTreeMap<String, SignalSpec>, mistakes: &mut Vec<Mistake>) -> Vec<Signal> {
    let mut known: Vec<Signal> = Vec::new();
    let mut of = Vec::new();
    for (name, spec) in specs {
        let path = format!("spec.metrics.signals.{name}");
        if !is_name(name) || RESERVED.contains(&name.as_str()) {
            let why = if RESERVED.contains(&name.as_str()) {
                "is a word of the condition language"
            } else {
                "cannot stand in a condition"
            };
            mistakes.push(Mistake::new(
                &path,
                format!("`{name}` {why}; name it with letters, digits and `_`, such as `queue_depth`"),
            ));
            continue;
        }
        match source(&path, spec) {
            Ok((source, unit)) => {
                if let Some(complement) = &spec.complement {
                    of.push((known.len(), path, complement.clone()));
                }
                known.push(Signal {
                    name: name.clone(),
                    unit,
                    worse: spec.worse.unwrap_or_default(),
                    source,
                });
            }
            Err(wrong) => mistakes.extend(wrong),
        }
    }
    for (place, path, complement) in of {
        match counted(&known, &complement) {
            Ok(of) => {
                if let Some(signal) = known.get_mut(place) {
                    signal.source = Source::Complement { of };
                }
            }
            Err(why) => mistakes.push(Mistake::new(format!("{path}.complement"), why)),
        }
    }
    for place in 0..known.len() {
        mistakes.extend(direction(place, &mut known, specs));
    }
    known
}

/// What counts tell already which way is worse is not to be told otherwise.
fn direction(place: usize, known: &mut [Signal], specs: &BTreeMap<String, SignalSpec>) -> Option<Mistake> {
    let says = |source: &Source| match source {
        Source::Bad { .. } | Source::Alerts { .. } => Some(Worse::Up),
        Source::Good { .. } => Some(Worse::Down),
        Source::Complement { .. } | Source::Quantile { .. } | Source::Gauge { .. } | Source::Rate { .. } => None,
    };
    let source = &known.get(place)?.source;
    let right = if let Source::Complement { of } = source {
        says(&known.get(*of)?.source).map(Worse::opposite)
    } else {
        says(source)
    }?;
    let signal = known.get_mut(place)?;
    signal.worse = right;
    let given = specs.get(&signal.name)?.worse?;
    (given != right).then(|| {
        let more = if right == Worse::Up { "more" } else { "less" };
        Mistake::new(
            format!("spec.metrics.signals.{}.worse", signal.name),
            format!("it is counted so that {more} of it is worse; leave `worse` out"),
        )
    })
}

/// The place of the ratio of that name.
fn counted(known: &[Signal], name: &str) -> Result<usize, String> {
    let ratios = known
        .iter()
        .filter(|s| matches!(s.source, Source::Bad { .. } | Source::Good { .. }))
        .map(|s| s.name.as_str());
    match known.iter().position(|s| s.name == name) {
        Some(place)
            if known
                .get(place)
                .is_some_and(|s| matches!(s.source, Source::Bad { .. } | Source::Good { .. })) =>
        {
            Ok(place)
        }
        Some(_) => Err(format!("`{name}` is not a ratio; a complement is one minus a ratio")),
        None => Err(format!("there is no ratio `{name}`{}", suggestion(name, ratios))),
    }
}

fn source(path: &str, spec: &SignalSpec) -> Result<(Source, Unit), Vec<Mistake>> {
    let given = (
        &spec.ratio,
        &spec.quantile,
        &spec.gauge,
        &spec.rate,
        &spec.complement,
        &spec.alerts,
    );
    match given {
        (Some(ratio), None, None, None, None, None) => counts(path, ratio, spec.unit),
        (None, Some(quantile), None, None, None, None) => histogram(path, quantile, spec.unit),
        (None, None, Some(query), None, None, None) => match query_mistake(query) {
            Some(why) => Err(vec![Mistake::new(format!("{path}.gauge"), why)]),
            None => Ok((Source::Gauge { query: query.clone() }, spec.unit.unwrap_or(Unit::Count))),
        },
        (None, None, None, None, None, Some(labels)) => alerts(path, labels, spec.unit),
        (None, None, None, Some(counter), None, None) => {
            let mut wrong: Vec<_> = selector_mistake(counter)
                .map(|why| Mistake::new(format!("{path}.rate"), why))
                .into_iter()
                .collect();
            wrong.extend(unit_mistake(path, spec.unit, Unit::Rate));
            if wrong.is_empty() {
                Ok((
                    Source::Rate {
                        counter: counter.clone(),
                    },
                    Unit::Rate,
                ))
            } else {
                Err(wrong)
            }
        }
        (None, None, None, None, Some(_), None) => match unit_mistake(path, spec.unit, Unit::Ratio) {
            Some(wrong) => Err(vec![wrong]),
            None => Ok((Source::Complement { of: usize::MAX }, Unit::Ratio)),
        },
        _ => Err(vec![Mistake::new(
            path,
            "is exactly one of ratio, quantile, gauge, rate, complement, alerts",
        )]),
    }
}

fn counts(path: &str, ratio: &RatioSpec, unit: Option<Unit>) -> Result<(Source, Unit), Vec<Mistake>> {
    let mut wrong = Vec::new();
    let mut selector = |field: &str, text: &str| {
        wrong.extend(selector_mistake(text).map(|why| Mistake::new(format!("{path}.ratio.{field}"), why)));
        text.to_owned()
    };
    let total = selector("total", &ratio.total);
    let source = match (&ratio.bad, &ratio.good) {
        (Some(bad), None) => Some(Source::Bad {
            bad: selector("bad", bad),
            total,
        }),
        (None, Some(good)) => Some(Source::Good {
            good: selector("good", good),
            total,
        }),
        _ => None,
    };
    if source.is_none() {
        wrong.push(Mistake::new(
            format!("{path}.ratio"),
            "a ratio has either `bad` or `good`, and `total`",
        ));
    }
    wrong.extend(unit_mistake(path, unit, Unit::Ratio));
    source
        .filter(|_| wrong.is_empty())
        .map(|source| (source, Unit::Ratio))
        .ok_or(wrong)
}

fn histogram(path: &str, quantile: &QuantileSpec, unit: Option<Unit>) -> Result<(Source, Unit), Vec<Mistake>> {
    let mut wrong = Vec::new();
    if let Some(why) = selector_mistake(&quantile.histogram) {
        wrong.push(Mistake::new(format!("{path}.quantile.histogram"), why));
    } else if let Some(base) = quantile.histogram.strip_suffix("_bucket") {
        wrong.push(Mistake::new(
            format!("{path}.quantile.histogram"),
            format!("name the histogram without `_bucket`: `{base}`"),
        ));
    }
    if !(quantile.q > 0.0 && quantile.q < 1.0) {
        wrong.push(Mistake::new(
            format!("{path}.quantile.q"),
            format!(
                "{} is not between 0 and 1; 0.95 is the time within which 95 of 100 were answered",
                quantile.q
            ),
        ));
    }
    let scale = quantile.scale.unwrap_or(1.0);
    if !(scale > 0.0 && scale.is_finite()) {
        wrong.push(Mistake::new(
            format!("{path}.quantile.scale"),
            format!("{scale} is not a factor; 0.001 makes seconds of a histogram of milliseconds"),
        ));
    }
    let unit = unit.unwrap_or(Unit::Seconds);
    if wrong.is_empty() {
        Ok((
            Source::Quantile {
                histogram: quantile.histogram.clone(),
                q: quantile.q,
                scale,
            },
            unit,
        ))
    } else {
        Err(wrong)
    }
}

/// What is wrong with a gauge's query, as far as its form tells.
fn query_mistake(query: &str) -> Option<String> {
    let shared = query.contains(MATCH);
    match balance_mistake(query) {
        _ if query.trim().is_empty() => Some("is empty; write a query that gives one number".to_owned()),
        Some(why) => Some(why),
        None if shared != query.contains(BY) => Some(format!(
            "`{MATCH}` and `{BY}` go together, as in `sum by ({BY}) (queue_length{{{MATCH}}})`"
        )),
        None => None,
    }
}

fn alerts(path: &str, labels: &BTreeMap<String, String>, unit: Option<Unit>) -> Result<(Source, Unit), Vec<Mistake>> {
    let mut wrong: Vec<_> = labels
        .keys()
        .filter(|name| !is_label(name) || *name == "alertstate")
        .map(|name| {
            Mistake::new(
                format!("{path}.alerts.{name}"),
                format!("`{name}` cannot be asked for; name labels of the alert, such as `{{alertname: OrdersSlow}}`"),
            )
        })
        .collect();
    if !labels.contains_key("alertname") {
        wrong.push(Mistake::new(
            format!("{path}.alerts"),
            "names no alert; add its `alertname`, or nobody can tell a quiet alert from one that does not exist",
        ));
    }
    wrong.extend(unit_mistake(path, unit, Unit::Count));
    if wrong.is_empty() {
        let labels = labels.clone();
        Ok((Source::Alerts { labels }, Unit::Count))
    } else {
        Err(wrong)
    }
}

fn is_label(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

fn unit_mistake(path: &str, given: Option<Unit>, right: Unit) -> Option<Mistake> {
    let word = format!("{right:?}").to_lowercase();
    given.filter(|unit| *unit != right).map(|_| {
        Mistake::new(
            format!("{path}.unit"),
            format!("its unit is always `{word}`; leave `unit` out"),
        )
    })
}
