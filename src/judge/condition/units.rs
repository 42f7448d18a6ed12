//! Pure. What may be compared with what, and what arithmetic makes of two units.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::syntax::{Operator, Suffix};
use crate::model::guard::Unit;

/// What a number in a condition counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// A number without a unit: a factor, a relative change.
    Plain,
    Of(Unit),
}

impl Dimension {
    /// For a sentence.
    pub const fn named(self) -> &'static str {
        match self {
            Self::Plain => "a plain number",
            Self::Of(Unit::Ratio) => "a share",
            Self::Of(Unit::Seconds) => "a time",
            Self::Of(Unit::Bytes) => "an amount of bytes",
            Self::Of(Unit::Count) => "a count",
            Self::Of(Unit::Rate) => "a rate per second",
        }
    }

    /// What could stand beside it.
    pub const fn example(self) -> &'static str {
        match self {
            Self::Plain => "a plain number is compared with one such as `1.5` or `5%`",
            Self::Of(Unit::Ratio) => "a share is compared with one such as `5%` or `0.05`",
            Self::Of(Unit::Seconds) => "a time is compared with one such as `250ms` or `1.5s`",
            Self::Of(Unit::Bytes) => "bytes are compared with an amount such as `64MiB`",
            Self::Of(Unit::Count) => "a count is compared with a number such as `100`",
            Self::Of(Unit::Rate) => "a rate is compared with one such as `120/s`",
        }
    }
}

/// Whether two numbers may be compared, added or taken from each other.
pub fn comparable(left: Dimension, right: Dimension) -> bool {
    combined(Operator::Plus, left, right).is_some()
}

/// The unit of the result; nothing where there is none.
pub fn combined(operator: Operator, left: Dimension, right: Dimension) -> Option<Dimension> {
    use Dimension::{Of, Plain};
    use Unit::{Count, Rate, Ratio, Seconds};
    match operator {
        Operator::Plus | Operator::Minus => match (left, right) {
            (same, other) if same == other => Some(same),
            // A factor and a share are both without a unit, and so is a count.
            (Of(unit @ (Ratio | Count)), Plain) | (Plain, Of(unit @ (Ratio | Count))) => Some(Of(unit)),
            _ => None,
        },
        Operator::Times => match (left, right) {
            (Plain, other) | (other, Plain) => Some(other),
            (Of(Ratio), other) | (other, Of(Ratio)) => Some(other),
            (Of(Rate), Of(Seconds)) | (Of(Seconds), Of(Rate)) => Some(Of(Count)),
            (Of(Count), other @ Of(Count | Seconds | Unit::Bytes)) | (other @ Of(Seconds | Unit::Bytes), Of(Count)) => {
                Some(other)
            }
            _ => None,
        },
        Operator::Divide => match (left, right) {
            (Of(Ratio), Plain) => Some(Of(Ratio)),
            (same, other) if same == other => Some(Plain),
            (other, Plain | Of(Ratio)) => Some(other),
            (Of(Count), Of(Seconds)) => Some(Of(Rate)),
            (Of(Count), Of(Rate)) => Some(Of(Seconds)),
            (other @ Of(Seconds | Unit::Bytes | Rate), Of(Count)) => Some(other),
            _ => None,
        },
        Operator::Or
        | Operator::And
        | Operator::Less
        | Operator::LessOrEqual
        | Operator::Greater
        | Operator::GreaterOrEqual
        | Operator::Equal
        | Operator::NotEqual => None,
    }
}

/// What a number with that suffix counts.
pub const fn dimension(suffix: Suffix) -> Dimension {
    match suffix {
        Suffix::None => Dimension::Plain,
        Suffix::Percent => Dimension::Of(Unit::Ratio),
        Suffix::Nanoseconds
        | Suffix::Microseconds
        | Suffix::Milliseconds
        | Suffix::Seconds
        | Suffix::Minutes
        | Suffix::Hours
        | Suffix::Days => Dimension::Of(Unit::Seconds),
        Suffix::Bytes
        | Suffix::Kilobytes
        | Suffix::Megabytes
        | Suffix::Gigabytes
        | Suffix::Kibibytes
        | Suffix::Mebibytes
        | Suffix::Gibibytes
        | Suffix::Tebibytes => Dimension::Of(Unit::Bytes),
        Suffix::PerSecond => Dimension::Of(Unit::Rate),
    }
}
