//! Functions over a range of one series. Pure.

use super::{ast::Function, series::Millis};
use crate::number::{float, ratio};

/// The function's value over the samples in (from, to]; `None` where there is none.
pub(crate) fn over_time(
    called: Function,
    samples: impl DoubleEndedIterator<Item = (Millis, f64)> + Clone,
    from: Millis,
    to: Millis,
) -> Option<f64> {
    let mut values = samples.clone().map(|(_, value)| value);
    let larger = |one: f64, other: f64| if other > one || one.is_nan() { other } else { one };
    let smaller = |one: f64, other: f64| if other < one || one.is_nan() { other } else { one };
    let count = || Some(samples.clone().count()).filter(|count| *count > 0);
    let float = |count: usize| float(u64::try_from(count).unwrap_or(u64::MAX));
    match called {
        Function::MaxOverTime => values.reduce(larger),
        Function::MinOverTime => values.reduce(smaller),
        Function::SumOverTime => values.reduce(|one, other| one + other),
        Function::AvgOverTime => count().map(|count| values.sum::<f64>() / float(count)),
        Function::CountOverTime => count().map(float),
        Function::LastOverTime => values.next_back(),
        Function::Rate => extrapolated(samples, from, to).map(|grown| grown / (ratio(to - from) / 1000.0)),
        Function::Increase => extrapolated(samples, from, to),
        Function::Time
        | Function::Timestamp
        | Function::ClampMin
        | Function::ClampMax
        | Function::Abs
        | Function::HistogramQuantile => None,
    }
}

/// The growth of a counter in the range, as Prometheus extrapolates it to the range's edges.
fn extrapolated(
    samples: impl DoubleEndedIterator<Item = (Millis, f64)> + Clone,
    from: Millis,
    to: Millis,
) -> Option<f64> {
    let first = samples.clone().next()?;
    let last = samples.clone().next_back()?;
    let spaces = samples.clone().count().checked_sub(1).filter(|spaces| *spaces > 0)?;
    let mut grown = last.1 - first.1;
    let mut before = first.1;
    for (_, value) in samples {
        if value < before {
            grown += before;
        }
        before = value;
    }
    let spaces = float(u64::try_from(spaces).unwrap_or(u64::MAX));
    let sampled = ratio(last.0 - first.0) / 1000.0;
    let spacing = sampled / spaces;
    let reach = |gap: f64| if gap >= spacing * 1.1 { spacing / 2.0 } else { gap };
    let mut to_start = reach(ratio(first.0 - from) / 1000.0);
    let to_end = reach(ratio(to - last.0) / 1000.0);
    if grown > 0.0 && first.1 >= 0.0 {
        // A counter cannot have been below zero.
        to_start = to_start.min(sampled * (first.1 / grown));
    }
    Some(grown * (sampled + to_start + to_end) / sampled)
}
