//! Evaluates an expression at one moment over the stored samples. Pure.

use std::sync::Arc;

use super::{
    aggregate,
    ast::{Expr, Function, Selector},
    binary, function, quantile,
    series::{Labels, Millis, Series, Storage},
};
use crate::number::ratio;

/// One element of an instant vector.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    /// The metric's name, where the operation keeps it.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) labels: Labels,
    pub(crate) value: f64,
    /// When the value was measured; the moment of evaluation where it was computed.
    pub(crate) time: Millis,
}

/// What an expression is worth.
#[derive(Clone, Debug)]
pub(crate) enum Worth {
    Scalar(f64),
    Vector(Vec<Element>),
    /// Only as the whole answer.
    Matrix(Vec<Run>),
}

/// One series of a range.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) name: Arc<str>,
    pub(crate) labels: Labels,
    pub(crate) samples: Vec<(Millis, f64)>,
}

/// Why a query cannot be answered: an `execution` error.
pub(crate) type Failed = String;

/// The moment and the samples, and the warnings met on the way.
pub(crate) struct Evaluation<'a> {
    pub(crate) storage: &'a Storage,
    pub(crate) now: Millis,
    pub(crate) warnings: Vec<String>,
}

impl Element {
    /// A label's value, "" where it is absent.
    pub(crate) fn label(&self, name: &str) -> &str {
        value_of(&self.labels, name)
    }
}

impl Evaluation<'_> {
    pub(crate) fn worth(&mut self, expression: &Expr) -> Result<Worth, Failed> {
        match expression {
            Expr::Number(number) => Ok(Worth::Scalar(*number)),
            Expr::Selector(selector) if selector.range.is_some() => Ok(Worth::Matrix(self.runs(selector))),
            Expr::Selector(selector) => Ok(Worth::Vector(self.instant(selector))),
            Expr::Negative(inner) => Ok(match self.worth(inner)? {
                Worth::Scalar(value) => Worth::Scalar(-value),
                Worth::Vector(elements) => Worth::Vector(self.mapped(elements, |value| -value)),
                Worth::Matrix(_) => return Err("a range has no negative".into()),
            }),
            Expr::Aggregate { by, with, of } => {
                let elements = self.vector(of)?;
                Ok(Worth::Vector(aggregate::aggregated(by, *with, elements, self.now)))
            }
            Expr::Binary {
                left,
                operator,
                on,
                many,
                right,
            } => {
                let (left, right) = (self.worth(left)?, self.worth(right)?);
                let (on, many) = (on.as_deref(), *many);
                binary::combined(left, *operator, binary::Matching { on, many }, right, self.now)
            }
            Expr::Call(called, arguments) => self.call(*called, arguments),
            Expr::Labelled { of, label, value } => {
                let mut elements = self.vector(of)?;
                for element in &mut elements {
                    let mut labels = element.labels.to_vec();
                    labels.retain(|(name, _)| **name != **label);
                    labels.push((label.as_str().into(), value.as_str().into()));
                    labels.sort();
                    element.labels = labels.into();
                }
                Ok(Worth::Vector(elements))
            }
        }
    }

    pub(crate) fn vector(&mut self, expression: &Expr) -> Result<Vec<Element>, Failed> {
        match self.worth(expression)? {
            Worth::Vector(elements) => Ok(elements),
            Worth::Scalar(_) | Worth::Matrix(_) => Err("expected an instant vector".into()),
        }
    }

    fn scalar(&mut self, expression: &Expr) -> Result<f64, Failed> {
        match self.worth(expression)? {
            Worth::Scalar(value) => Ok(value),
            Worth::Vector(_) | Worth::Matrix(_) => Err("expected a scalar".into()),
        }
    }

    fn call(&mut self, called: Function, arguments: &[Expr]) -> Result<Worth, Failed> {
        let elements = match (called, arguments) {
            (Function::Time, _) => return Ok(Worth::Scalar(ratio(self.now) / 1000.0)),
            (Function::Timestamp, [of]) => {
                let elements = self.vector(of)?.into_iter().map(|element| Element {
                    value: ratio(element.time) / 1000.0,
                    ..element
                });
                let elements = elements.collect();
                self.mapped(elements, |value| value)
            }
            (Function::ClampMin, [of, least]) => {
                let (elements, least) = (self.vector(of)?, self.scalar(least)?);
                self.mapped(elements, |value| if value < least { least } else { value })
            }
            (Function::ClampMax, [of, most]) => {
                let (elements, most) = (self.vector(of)?, self.scalar(most)?);
                self.mapped(elements, |value| if value > most { most } else { value })
            }
            (Function::Abs, [of]) => {
                let elements = self.vector(of)?;
                self.mapped(elements, f64::abs)
            }
            (Function::HistogramQuantile, [share, of]) => {
                let (share, elements) = (self.scalar(share)?, self.vector(of)?);
                quantile::quantiles(share, elements, self.now, &mut self.warnings)
            }
            (_, [Expr::Selector(selector)]) => self.over_time(called, selector),
            _ => return Err(format!("{} cannot be evaluated here", called.name())),
        };
        Ok(Worth::Vector(elements))
    }

    fn instant(&self, selector: &Selector) -> Vec<Element> {
        let at = self.now - selector.back;
        let found = matching(self.storage, selector).filter_map(|series| {
            let (time, value) = series.at(at)?;
            let (name, labels) = (Some(series.name.clone()), series.labels.clone());
            Some(Element {
                name,
                labels,
                value,
                time,
            })
        });
        found.collect()
    }

    fn runs(&self, selector: &Selector) -> Vec<Run> {
        let to = self.now - selector.back;
        let from = to - selector.range.unwrap_or(0);
        let runs = matching(self.storage, selector).map(|series| Run {
            name: series.name.clone(),
            labels: series.labels.clone(),
            samples: series.between(from, to).collect(),
        });
        runs.filter(|run| !run.samples.is_empty()).collect()
    }

    fn over_time(&self, called: Function, selector: &Selector) -> Vec<Element> {
        let to = self.now - selector.back;
        let from = to - selector.range.unwrap_or(0);
        let keeps_name = called == Function::LastOverTime;
        let found = matching(self.storage, selector).filter_map(|series| {
            let value = function::over_time(called, series.between(from, to), from, to)?;
            let name = keeps_name.then(|| series.name.clone());
            Some(Element {
                name,
                labels: series.labels.clone(),
                value,
                time: self.now,
            })
        });
        found.collect()
    }

    /// The elements with changed values, which therefore lose their names.
    fn mapped(&self, mut elements: Vec<Element>, change: impl Fn(f64) -> f64) -> Vec<Element> {
        for element in &mut elements {
            element.value = change(element.value);
            element.name = None;
            element.time = self.now;
        }
        elements
    }
}

/// The value of a label in sorted pairs, "" where it is absent.
pub(crate) fn value_of<'a>(labels: &'a Labels, name: &str) -> &'a str {
    labels
        .iter()
        .find(|(label, _)| **label == *name)
        .map_or("", |(_, value)| value)
}

fn matching<'a>(storage: &'a Storage, selector: &'a Selector) -> impl Iterator<Item = &'a Series> {
    let named = (!selector.name.is_empty()).then(|| storage.named(&selector.name));
    let every = selector.name.is_empty().then(|| storage.every());
    let candidates = named.into_iter().flatten().chain(every.into_iter().flatten());
    candidates.filter(|series| {
        selector.matchers.iter().all(|(label, matcher)| match label.as_str() {
            "__name__" => matcher.takes(&series.name),
            label => matcher.takes(value_of(&series.labels, label)),
        })
    })
}
