//! Binary operators between vectors and scalars. Pure.

use std::collections::{HashMap, HashSet};

use super::{
    ast::Operator,
    evaluate::{Element, Failed, Worth, value_of},
    series::{Labels, Millis},
};

/// How the elements of two vectors find each other: by the values of the labels `on`, or by all labels.
#[derive(Clone, Copy)]
pub(crate) struct Matching<'a> {
    pub(crate) on: Option<&'a [String]>,
    /// Several on the left may have the same partner, and keep all their labels.
    pub(crate) many: bool,
}

/// The value of `left operator on(…) right`.
pub(crate) fn combined(
    left: Worth,
    operator: Operator,
    matching: Matching<'_>,
    right: Worth,
    now: Millis,
) -> Result<Worth, Failed> {
    let elements = match (left, right) {
        (Worth::Scalar(left), Worth::Scalar(right)) => {
            return Ok(Worth::Scalar(computed(operator, left, right).unwrap_or(f64::NAN)));
        }
        (Worth::Vector(left), Worth::Vector(right)) if operator.is_set() => set(left, operator, matching.on, right),
        (Worth::Vector(left), Worth::Vector(right)) => paired(left, operator, matching, right, now)?,
        (Worth::Vector(left), Worth::Scalar(right)) => each(left, operator, now, |value| (value, right)),
        (Worth::Scalar(left), Worth::Vector(right)) => each(right, operator, now, |value| (left, value)),
        (Worth::Matrix(_), _) | (_, Worth::Matrix(_)) => {
            return Err("binary expression must contain only scalar and instant vector types".into());
        }
    };
    Ok(Worth::Vector(elements))
}

/// What two vectors match by: the values of the labels `on`, or all labels.
#[derive(PartialEq, Eq, Hash)]
enum Signature<'a> {
    Values(Vec<&'a str>),
    All(&'a Labels),
}

fn signature<'a>(on: Option<&[String]>, element: &'a Element) -> Signature<'a> {
    match on {
        None => Signature::All(&element.labels),
        Some(names) => Signature::Values(names.iter().map(|name| value_of(&element.labels, name)).collect()),
    }
}

fn set(left: Vec<Element>, operator: Operator, on: Option<&[String]>, right: Vec<Element>) -> Vec<Element> {
    if operator == Operator::Or {
        let present: HashSet<_> = left.iter().map(|element| signature(on, element)).collect();
        let more: Vec<bool> = right
            .iter()
            .map(|element| !present.contains(&signature(on, element)))
            .collect();
        let added = right
            .into_iter()
            .zip(more)
            .filter(|(_, more)| *more)
            .map(|(one, _)| one);
        return left.into_iter().chain(added).collect();
    }
    let present: HashSet<_> = right.iter().map(|element| signature(on, element)).collect();
    let wanted = operator == Operator::And;
    left.into_iter()
        .filter(|element| present.contains(&signature(on, element)) == wanted)
        .collect()
}

fn paired(
    left: Vec<Element>,
    operator: Operator,
    Matching { on, many }: Matching<'_>,
    right: Vec<Element>,
    now: Millis,
) -> Result<Vec<Element>, Failed> {
    let mut partners: HashMap<_, &Element> = HashMap::with_capacity(right.len());
    for element in &right {
        if partners.insert(signature(on, element), element).is_some() {
            return Err(duplicate("right", on));
        }
    }
    let (mut taken, mut found) = (HashSet::new(), Vec::new());
    for element in &left {
        let key = signature(on, element);
        let Some(partner) = partners.get(&key) else { continue };
        if !taken.insert(key) && !many {
            return Err(duplicate("left", on));
        }
        let Some(value) = computed(operator, element.value, partner.value) else {
            continue;
        };
        found.push(result(element, operator, on.filter(|_| !many), value, now));
    }
    Ok(found)
}

fn duplicate(side: &str, on: Option<&[String]>) -> Failed {
    let labels = on.unwrap_or_default().join(", ");
    format!(
        "found duplicate series for the match group {{{labels}}} on the {side} hand-side of the \
         operation;many-to-many matching not allowed: matching labels must be unique on one side"
    )
}

fn result(element: &Element, operator: Operator, on: Option<&[String]>, value: f64, now: Millis) -> Element {
    let keeps_name = is_comparison(operator);
    let labels = match on {
        Some(names) => {
            let kept = |label: &str| names.iter().any(|name| name == label);
            element
                .labels
                .iter()
                .filter(|(label, _)| kept(label))
                .cloned()
                .collect()
        }
        None => element.labels.clone(),
    };
    let name = if keeps_name { element.name.clone() } else { None };
    Element {
        name,
        labels,
        value,
        time: now,
    }
}

fn each(elements: Vec<Element>, operator: Operator, now: Millis, sides: impl Fn(f64) -> (f64, f64)) -> Vec<Element> {
    let comparison = is_comparison(operator);
    let changed = elements.into_iter().filter_map(|element| {
        let (left, right) = sides(element.value);
        let value = computed(operator, left, right)?;
        let value = if comparison { element.value } else { value };
        let name = element.name.filter(|_| comparison);
        Some(Element {
            name,
            labels: element.labels,
            value,
            time: now,
        })
    });
    changed.collect()
}

fn is_comparison(operator: Operator) -> bool {
    operator.precedence() == 3
}

/// The value of an operation; `None` where a comparison does not hold.
#[expect(clippy::float_cmp, reason = "PromQL compares exactly")]
fn computed(operator: Operator, left: f64, right: f64) -> Option<f64> {
    let holds = |is: bool| is.then_some(left);
    match operator {
        Operator::Add => Some(left + right),
        Operator::Subtract => Some(left - right),
        Operator::Multiply => Some(left * right),
        Operator::Divide => Some(left / right),
        Operator::Equal => holds(left == right),
        Operator::NotEqual => holds(left != right),
        Operator::Greater => holds(left > right),
        Operator::Less => holds(left < right),
        Operator::GreaterEqual => holds(left >= right),
        Operator::LessEqual => holds(left <= right),
        Operator::Or | Operator::And | Operator::Unless => None,
    }
}
