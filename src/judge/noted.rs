//! Pure. One signal's part of a reading: what the judge notes of it.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use jiff::Timestamp;

use super::{
    history::Cell,
    share::Count,
    view::{Latest, Place, begin},
};
use crate::model::reading::{Because, Measured};

/// What the newest reading says of one signal.
pub fn note(latest: &mut Latest, place: Place, measured: &Measured, at: Timestamp, newer: bool) {
    *latest = match (place, measured) {
        (_, Measured::Unknown(because)) => Latest::Unknown(because.clone()),
        (Place::Value, Measured::Value { value, over } | Measured::Timed { value, over, .. }) if value.is_finite() => {
            // Without new data a quantile only forgets: the value stays as it was.
            if !newer && matches!(latest, Latest::Value { .. }) {
                return;
            }
            Latest::Value {
                value: *value,
                begin: begin(at, *over),
            }
        }
        (Place::Share { .. }, Measured::Counts { bad, total }) if is_count(*bad) && is_count(*total) => Latest::Counted,
        (Place::Rate { .. }, Measured::Events(events)) if is_count(*events) => Latest::Counted,
        (_, Measured::Value { .. } | Measured::Timed { .. } | Measured::Counts { .. } | Measured::Events(_)) => {
            Latest::Unknown(Because::NotANumber)
        }
    };
}

fn is_count(number: f64) -> bool {
    number.is_finite() && number >= 0.0
}

/// What it counted.
pub fn cell(measured: &Measured, seconds: f64) -> Cell {
    let (some, all) = match measured {
        Measured::Counts { bad, total } => (bad.min(*total), *total),
        Measured::Events(events) => (0.0, *events),
        Measured::Value { .. } | Measured::Timed { .. } | Measured::Unknown(_) => return Cell::default(),
    };
    if is_count(some) && is_count(all) {
        Cell {
            count: Count { some, all },
            seconds,
        }
    } else {
        Cell::default()
    }
}
