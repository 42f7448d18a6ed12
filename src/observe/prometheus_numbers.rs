//! Pure. From one query's number to one signal's measurement, and back to Unknown where nothing may count.

use super::answer::Failure;
use crate::model::reading::{Because, Measured};

/// A finite number, no row, or why not.
pub fn finite(answer: Option<Option<Result<f64, Failure>>>) -> Result<Option<f64>, Because> {
    match answer {
        None => Err(Because::NoAnswer("it was not asked".into())),
        Some(None) => Ok(None),
        Some(Some(Ok(number))) if number.is_finite() => Ok(Some(number)),
        Some(Some(Ok(_))) => Err(Because::NotANumber),
        Some(Some(Err(failure))) => Err(failure.into()),
    }
}

/// A counter of bad requests that does not exist is zero where there is a total; without total nothing is known.
pub fn counts(part: Result<Option<f64>, Because>, total: Result<Option<f64>, Because>, is_good: bool) -> Measured {
    let known = total
        .and_then(present)
        .and_then(|total| Ok((part?.unwrap_or(0.0).min(total), total)));
    match known {
        Ok((part, total)) => Measured::Counts {
            bad: if is_good { total - part } else { part },
            total,
        },
        Err(because) => Measured::Unknown(because),
    }
}

pub fn present(number: Option<f64>) -> Result<f64, Because> {
    number.ok_or(Because::NoData)
}

/// Counts that will be counted again with the next reading are not given out now as well.
pub fn unknown_until_counted(signals: &mut [Measured]) {
    let because = signals.iter().find_map(|signal| match signal {
        Measured::Unknown(because @ Because::NoAnswer(_)) => Some(because.clone()),
        Measured::Unknown(_)
        | Measured::Counts { .. }
        | Measured::Value { .. }
        | Measured::Timed { .. }
        | Measured::Events(_) => None,
    });
    uncount(signals, &because.unwrap_or(Because::WarmingUp));
}

/// Nothing that was counted counts.
pub fn uncount(signals: &mut [Measured], because: &Because) {
    for signal in signals {
        match signal {
            Measured::Counts { .. } | Measured::Events(_) => *signal = Measured::Unknown(because.clone()),
            Measured::Timed { value, over, .. } => {
                *signal = Measured::Value {
                    value: *value,
                    over: *over,
                }
            }
            Measured::Value { .. } | Measured::Unknown(_) => {}
        }
    }
}
