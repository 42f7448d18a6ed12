//! Pure. A condition as it was written: the tree that the parser builds, and its text again.
//!
//! Parsing the printed text gives the same tree; only places may differ, so places are always equal to each other.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;

/// Where a part begins, as a byte offset. Two trees that differ only in places are the same tree.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place(pub usize);

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A part of a condition and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Syntax {
    pub at: Place,
    pub node: Node,
}

/// What a part is.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A number as written, with its suffix.
    Number(f64, Suffix),
    /// A signal, or plain `baseline`.
    Name(String),
    /// `baseline(…)`, `change(…)`, `worse(…)`, `abs(…)`, `min(…)`, `max(…)`.
    Call(Function, Vec<Syntax>),
    Negative(Box<Syntax>),
    Not(Box<Syntax>),
    Two(Operator, Box<Syntax>, Box<Syntax>),
}

/// What may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Baseline,
    Change,
    Abs,
    Min,
    Max,
    Worse,
}

/// What stands between two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Or,
    And,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Plus,
    Minus,
    Times,
    Divide,
}

/// What may follow a number directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffix {
    None,
    Percent,
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
    Days,
    Bytes,
    Kilobytes,
    Megabytes,
    Gigabytes,
    Kibibytes,
    Mebibytes,
    Gibibytes,
    Tebibytes,
    PerSecond,
}

impl Suffix {
    /// Every suffix, longest text first where one begins another.
    pub const ALL: [Self; 18] = [
        Self::None,
        Self::Percent,
        Self::Nanoseconds,
        Self::Microseconds,
        Self::Milliseconds,
        Self::Seconds,
        Self::Minutes,
        Self::Hours,
        Self::Days,
        Self::Bytes,
        Self::Kilobytes,
        Self::Megabytes,
        Self::Gigabytes,
        Self::Kibibytes,
        Self::Mebibytes,
        Self::Gibibytes,
        Self::Tebibytes,
        Self::PerSecond,
    ];

    /// As it is written.
    pub const fn text(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Percent => "%",
            Self::Nanoseconds => "ns",
            Self::Microseconds => "us",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Minutes => "m",
            Self::Hours => "h",
            Self::Days => "d",
            Self::Bytes => "B",
            Self::Kilobytes => "KB",
            Self::Megabytes => "MB",
            Self::Gigabytes => "GB",
            Self::Kibibytes => "KiB",
            Self::Mebibytes => "MiB",
            Self::Gibibytes => "GiB",
            Self::Tebibytes => "TiB",
            Self::PerSecond => "/s",
        }
    }

    /// The number in its base unit. Decimal suffixes move the decimal point of the text, so that `0.1%` is exactly
    /// the double nearest to 0.001 and `5%` equals 1/20 of any count.
    pub fn base(self, written: f64) -> f64 {
        let shifted = |exponent: i32| format!("{written}e{exponent}").parse().unwrap_or(written);
        match self {
            Self::None | Self::Seconds | Self::Bytes | Self::PerSecond => written,
            Self::Percent => shifted(-2),
            Self::Nanoseconds => shifted(-9),
            Self::Microseconds => shifted(-6),
            Self::Milliseconds => shifted(-3),
            Self::Kilobytes => shifted(3),
            Self::Megabytes => shifted(6),
            Self::Gigabytes => shifted(9),
            Self::Minutes => written * 60.0,
            Self::Hours => written * 3600.0,
            Self::Days => written * 86400.0,
            Self::Kibibytes => written * 1024.0,
            Self::Mebibytes => written * 1_048_576.0,
            Self::Gibibytes => written * 1_073_741_824.0,
            Self::Tebibytes => written * 1_099_511_627_776.0,
        }
    }
}

impl Operator {
    /// As it is written.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "*",
            Self::Divide => "/",
        }
    }

    /// How strongly it binds; `not` binds between `and` and comparisons, a sign strongest.
    pub const fn strength(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual | Self::Equal | Self::NotEqual => 4,
            Self::Plus | Self::Minus => 5,
            Self::Times | Self::Divide => 6,
        }
    }

    /// Whether it compares two numbers.
    pub const fn compares(self) -> bool {
        self.strength() == 4
    }
}

/// How strongly `not` binds.
pub const NOT: u8 = 3;
/// How strongly a sign binds.
pub const SIGN: u8 = 7;

impl Function {
    /// Every function.
    pub const ALL: [Self; 6] = [
        Self::Baseline,
        Self::Change,
        Self::Abs,
        Self::Min,
        Self::Max,
        Self::Worse,
    ];

    /// As it is written.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Change => "change",
            Self::Abs => "abs",
            Self::Min => "min",
            Self::Max => "max",
            Self::Worse => "worse",
        }
    }
}

impl Syntax {
    fn strength(&self) -> u8 {
        match &self.node {
            Node::Two(operator, ..) => operator.strength(),
            Node::Not(_) => NOT,
            Node::Negative(_) => SIGN,
            Node::Number(..) | Node::Name(_) | Node::Call(..) => u8::MAX,
        }
    }

    /// In parentheses where it binds less than `least`.
    fn write(&self, f: &mut fmt::Formatter<'_>, least: u8) -> fmt::Result {
        if self.strength() < least {
            write!(f, "({self})")
        } else {
            write!(f, "{self}")
        }
    }
}

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Node::Number(written, suffix) => write!(f, "{written}{}", suffix.text()),
            Node::Name(name) => f.write_str(name),
            Node::Call(function, arguments) => {
                write!(f, "{}(", function.text())?;
                for (place, argument) in arguments.iter().enumerate() {
                    write!(f, "{}{argument}", if place == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Node::Negative(inner) => {
                f.write_str("-")?;
                inner.write(f, SIGN)
            }
            Node::Not(inner) => {
                f.write_str("not ")?;
                inner.write(f, NOT)
            }
            Node::Two(operator, left, right) => {
                // Comparisons do not chain and the others lean to the left, so equal strength on the right is grouped.
                let strength = operator.strength();
                left.write(f, if operator.compares() { strength + 1 } else { strength })?;
                write!(f, " {} ", operator.text())?;
                right.write(f, strength + 1)
            }
        }
    }
}
