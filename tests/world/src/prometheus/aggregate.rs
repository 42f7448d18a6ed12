//! `sum`, `max`, `min`, `avg` and `count`, by labels. Pure.

use std::{collections::HashMap, sync::Arc};

use super::{
    ast::Aggregation,
    evaluate::{Element, value_of},
    series::{Labels, Millis},
};

/// One element per group of equal values of the labels `by`.
pub(crate) fn aggregated(by: &[String], with: Aggregation, elements: Vec<Element>, now: Millis) -> Vec<Element> {
    let mut groups: Vec<(Labels, f64, f64)> = Vec::new();
    let mut places: HashMap<Vec<Arc<str>>, usize> = HashMap::new();
    for element in elements {
        let place = *places.entry(values(by, &element.labels)).or_insert_with(|| {
            groups.push((kept(by, &element.labels), start(with), 0.0));
            groups.len() - 1
        });
        let Some((_, total, count)) = groups.get_mut(place) else {
            continue;
        };
        *count += 1.0;
        *total = match with {
            Aggregation::Sum | Aggregation::Avg => *total + element.value,
            Aggregation::Max if element.value > *total || total.is_nan() => element.value,
            Aggregation::Min if element.value < *total || total.is_nan() => element.value,
            Aggregation::Max | Aggregation::Min => *total,
            Aggregation::Count => *count,
        };
    }
    let finished = groups.into_iter().map(|(labels, total, count)| Element {
        name: None,
        labels,
        value: if with == Aggregation::Avg { total / count } else { total },
        time: now,
    });
    finished.collect()
}

fn start(with: Aggregation) -> f64 {
    match with {
        Aggregation::Max | Aggregation::Min => f64::NAN,
        Aggregation::Sum | Aggregation::Avg | Aggregation::Count => 0.0,
    }
}

fn values(by: &[String], labels: &Labels) -> Vec<Arc<str>> {
    let value = |name: &String| {
        labels
            .iter()
            .find(|(label, _)| **label == **name)
            .map(|(_, value)| value.clone())
    };
    by.iter()
        .map(|name| value(name).unwrap_or_else(|| value_of(labels, name).into()))
        .collect()
}

fn kept(by: &[String], labels: &Labels) -> Labels {
    labels
        .iter()
        .filter(|(label, _)| by.iter().any(|name| **name == **label))
        .cloned()
        .collect()
}
