//! Pure. A checked condition: signals by place, one unit, `not` pushed into the comparisons; and its truth.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{syntax::Operator, units::Dimension};

/// Three-valued truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    False,
    Unknown,
    True,
}

/// How comparisons are joined.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// The comparison at that place of [`super::Condition::comparisons`].
    Leaf(usize),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

/// Two numbers compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub left: Number,
    pub relation: Relation,
    pub right: Number,
    /// The side that is shown first, as it was written.
    pub said: String,
    /// What both sides count.
    pub unit: Dimension,
    /// Where one side is exactly one signal and the other names none: what is compared with what.
    pub single: Option<Single>,
    /// The highest quantile that is read, if one is.
    pub quantile: Option<f64>,
    /// `worse(…)`: the evidence meter of the signal on the left says so (`LessOrEqual`: it does not); the right is its baseline.
    pub worse: bool,
}

/// One signal against a limit that does not move with the readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Single {
    pub signal: usize,
    /// The relation with the signal on the left.
    pub relation: Relation,
    /// Whether the signal's number comes from counts, so that an exact bound can be given.
    pub counted: bool,
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A number to be computed.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    Constant(f64),
    Signal(usize),
    Baseline(usize),
    /// The signal relative to its baseline: 0.1 is ten percent more.
    Change(usize),
    Negative(Box<Self>),
    Abs(Box<Self>),
    Min(Vec<Self>),
    Max(Vec<Self>),
    Two(Operator, Box<Self>, Box<Self>),
}

/// Why a number could not be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Signal(usize),
    /// What is weighed.
    Counts(usize),
    Baseline(usize),
    /// The baseline is 0: nothing is relative to it.
    Zero(usize),
    /// Division by zero and the like.
    NotFinite,
}

impl Truth {
    /// What holds of a plain comparison.
    pub const fn of(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl Tree {
    /// False and Unknown is False; True or Unknown is True.
    pub fn truth(&self, leaf: &impl Fn(usize) -> Truth) -> Truth {
        match self {
            Self::Leaf(place) => leaf(*place),
            Self::And(left, right) => match left.truth(leaf) {
                Truth::False => Truth::False,
                Truth::True => right.truth(leaf),
                Truth::Unknown => match right.truth(leaf) {
                    Truth::False => Truth::False,
                    Truth::True | Truth::Unknown => Truth::Unknown,
                },
            },
            Self::Or(left, right) => match left.truth(leaf) {
                Truth::True => Truth::True,
                Truth::False => right.truth(leaf),
                Truth::Unknown => match right.truth(leaf) {
                    Truth::True => Truth::True,
                    Truth::False | Truth::Unknown => Truth::Unknown,
                },
            },
        }
    }
}

impl Relation {
    /// Whether it holds. Numbers that differ by a few units in the last place are equal: exactly 70 %, however it was
    /// computed, is not below 70 %.
    pub fn holds(self, left: f64, right: f64) -> bool {
        let tolerance = 1e-9 * left.abs().max(right.abs());
        match self {
            Self::Less => right - left > tolerance,
            Self::LessOrEqual => left - right <= tolerance,
            Self::Greater => left - right > tolerance,
            Self::GreaterOrEqual => right - left <= tolerance,
        }
    }

    /// The same with the sides changed.
    pub const fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }

    /// What holds where this does not.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
        }
    }

    /// The same, or exactly there.
    pub const fn or_equal(self) -> Self {
        match self {
            Self::Less | Self::LessOrEqual => Self::LessOrEqual,
            Self::Greater | Self::GreaterOrEqual => Self::GreaterOrEqual,
        }
    }

    /// Whether more of the left side makes it hold.
    pub const fn upward(self) -> bool {
        matches!(self, Self::Greater | Self::GreaterOrEqual)
    }

    /// As it is written.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Comparison {
    /// The side of a [`Single`] that is not the signal.
    pub fn limit(&self) -> &Number {
        if matches!(self.left, Number::Signal(_)) {
            &self.right
        } else {
            &self.left
        }
    }

    /// The signal that it is about: the one that is compared, or the first that is named.
    pub fn subject(&self) -> Option<usize> {
        if let Some(single) = self.single {
            return Some(single.signal);
        }
        let mut first = None;
        for number in [&self.left, &self.right] {
            number.visit(&mut |part| {
                if let Number::Signal(place) | Number::Change(place) | Number::Baseline(place) = part {
                    first.get_or_insert(*place);
                }
            });
        }
        first
    }

    /// Whether it holds of these numbers.
    pub fn truth(
        &self,
        signal: &impl Fn(usize) -> Option<f64>,
        baseline: &impl Fn(usize) -> Option<f64>,
    ) -> Result<bool, Missing> {
        let left = self.left.value(signal, baseline)?;
        let right = self.right.value(signal, baseline)?;
        Ok(self.relation.holds(left, right))
    }
}

impl Number {
    /// The number, where everything that it needs is there and it is finite.
    pub fn value(
        &self,
        signal: &impl Fn(usize) -> Option<f64>,
        baseline: &impl Fn(usize) -> Option<f64>,
    ) -> Result<f64, Missing> {
        let of = |number: &Self| number.value(signal, baseline);
        let extreme = |numbers: &[Self], more: fn(f64, f64) -> f64, worst: f64| {
            numbers.iter().try_fold(worst, |best, n| of(n).map(|v| more(best, v)))
        };
        let value = match self {
            Self::Constant(value) => *value,
            Self::Signal(place) => signal(*place).ok_or(Missing::Signal(*place))?,
            Self::Baseline(place) => baseline(*place).ok_or(Missing::Baseline(*place))?,
            Self::Change(place) => {
                let before = baseline(*place).ok_or(Missing::Baseline(*place))?;
                if before.abs() <= 0.0 {
                    return Err(Missing::Zero(*place));
                }
                (signal(*place).ok_or(Missing::Signal(*place))? - before) / before.abs()
            }
            Self::Negative(inner) => -of(inner)?,
            Self::Abs(inner) => of(inner)?.abs(),
            Self::Min(numbers) => extreme(numbers, f64::min, f64::INFINITY)?,
            Self::Max(numbers) => extreme(numbers, f64::max, f64::NEG_INFINITY)?,
            Self::Two(operator, left, right) => {
                let right_value = of(right)?;
                let divides = *operator == Operator::Divide && right_value.abs() <= 0.0;
                if let Some(place) = right.only_baseline().filter(|_| divides) {
                    return Err(Missing::Zero(place));
                }
                arithmetic(*operator, of(left)?, right_value)
            }
        };
        if value.is_finite() {
            Ok(value)
        } else {
            Err(Missing::NotFinite)
        }
    }

    /// Whether it changes from reading to reading.
    pub fn moves(&self) -> bool {
        let mut found = false;
        self.visit(&mut |part| found |= matches!(part, Self::Signal(_) | Self::Change(_)));
        found
    }

    /// The first signal whose baseline is in it, where nothing in it moves.
    fn only_baseline(&self) -> Option<usize> {
        let mut first = None;
        self.visit(&mut |part| {
            if let Self::Baseline(place) = part {
                first.get_or_insert(*place);
            }
        });
        first.filter(|_| !self.moves())
    }

    /// Whether anything in it is measured, now or before.
    pub fn measured(&self) -> bool {
        let mut found = false;
        self.visit(&mut |part| found |= matches!(part, Self::Signal(_) | Self::Change(_) | Self::Baseline(_)));
        found
    }

    /// Every number in it, itself first.
    pub fn visit(&self, see: &mut impl FnMut(&Self)) {
        see(self);
        match self {
            Self::Constant(_) | Self::Signal(_) | Self::Baseline(_) | Self::Change(_) => {}
            Self::Negative(inner) | Self::Abs(inner) => inner.visit(see),
            Self::Min(numbers) | Self::Max(numbers) => numbers.iter().for_each(|n| n.visit(see)),
            Self::Two(_, left, right) => {
                left.visit(see);
                right.visit(see);
            }
        }
    }
}

fn arithmetic(operator: Operator, left: f64, right: f64) -> f64 {
    match operator {
        Operator::Plus => left + right,
        Operator::Minus => left - right,
        Operator::Times => left * right,
        Operator::Divide => left / right,
        Operator::Or
        | Operator::And
        | Operator::Less
        | Operator::LessOrEqual
        | Operator::Greater
        | Operator::GreaterOrEqual
        | Operator::Equal
        | Operator::NotEqual => f64::NAN,
    }
}
