//! Pure. Between what a number lies whatever is measured: a comparison that no measurement decides is a mistake, most often
//! `5` where `5%` was meant.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    syntax::{Function, Node, Operator, Place, Suffix, Syntax},
    tree::{Comparison, Number, Relation},
    units::Dimension,
};
use crate::{
    judge::{
        policy::{Signal, Source},
        words,
    },
    model::guard::Unit,
};

/// The least and the most that a number can be.
#[derive(Clone, Copy)]
struct Range {
    low: f64,
    high: f64,
}

const ANY: Range = Range {
    low: f64::NEG_INFINITY,
    high: f64::INFINITY,
};

/// Where the mistake is and what is wrong, if what is measured does not decide the comparison of `left` and `right`.
pub fn undecided(
    left: &Syntax,
    right: &Syntax,
    comparison: &Comparison,
    signals: &[Signal],
) -> Option<(Place, String)> {
    let named = [&comparison.left, &comparison.right].into_iter().any(Number::measured);
    let bare = bare(left).or_else(|| bare(right));
    let signal = |place: usize| signals.get(place).map_or(ANY, |signal| lies(signal, bare.is_some()));
    let (low, high) = (of(&comparison.left, &signal), of(&comparison.right, &signal));
    let open = |relation| can_hold(relation, low, high);
    if !named || (open(comparison.relation) && open(comparison.relation.opposite())) {
        return None;
    }
    let at = bare.map_or_else(|| constant(left, right), |(at, _)| at);
    let meant = bare.filter(|(_, written)| *written <= 100.0);
    let meant = meant.map_or_else(String::new, |(_, written)| format!("; did you mean `{written}%`?"));
    let told = |syntax: &Syntax, range: Range| format!("`{syntax}` {}", range.told(comparison.unit));
    let why = format!(
        "{}, {}: nothing measured decides this{meant}",
        told(left, low),
        told(right, high)
    );
    Some((at, why))
}

/// Where the caret goes: to the side that is written as a number.
fn constant(left: &Syntax, right: &Syntax) -> Place {
    let number = |syntax: &Syntax| {
        let inner = if let Node::Negative(inner) = &syntax.node {
            inner
        } else {
            syntax
        };
        matches!(inner.node, Node::Number(..))
    };
    if number(left) { left.at } else { right.at }
}

/// What the signal's number lies between. The share that a gauge gives may be more than all (of what was asked for, say);
/// where a number without `%` over 1 stands against it, it is taken for percent.
fn lies(signal: &Signal, bare: bool) -> Range {
    let from_zero = Range { low: 0.0, ..ANY };
    match &signal.source {
        Source::Bad { .. } | Source::Good { .. } | Source::Complement { .. } => Range { low: 0.0, high: 1.0 },
        Source::Rate { .. } | Source::Alerts { .. } => from_zero,
        Source::Quantile { .. } if signal.unit == Unit::Seconds => from_zero,
        Source::Gauge { .. } if bare && signal.unit == Unit::Ratio => Range { low: 0.0, high: 1.0 },
        Source::Quantile { .. } | Source::Gauge { .. } => ANY,
    }
}

/// A number without a unit over 1 that is a limit or is added to one: not a factor.
fn bare(syntax: &Syntax) -> Option<(Place, f64)> {
    match &syntax.node {
        Node::Number(written, Suffix::None) if *written > 1.0 => Some((syntax.at, *written)),
        Node::Negative(inner) => bare(inner),
        Node::Two(Operator::Plus | Operator::Minus, left, right) => bare(left).or_else(|| bare(right)),
        Node::Call(Function::Min | Function::Max | Function::Abs, arguments) => arguments.iter().find_map(bare),
        Node::Number(..) | Node::Name(_) | Node::Call(..) | Node::Not(_) | Node::Two(..) => None,
    }
}

fn can_hold(relation: Relation, left: Range, right: Range) -> bool {
    match relation {
        Relation::Less => left.low < right.high,
        Relation::LessOrEqual => left.low <= right.high,
        Relation::Greater => left.high > right.low,
        Relation::GreaterOrEqual => left.high >= right.low,
    }
}

fn of(number: &Number, signal: &impl Fn(usize) -> Range) -> Range {
    let all = |numbers: &[Number], more: fn(f64, f64) -> f64, worst: f64| {
        let ranges = numbers.iter().map(|number| of(number, signal));
        let start = Range::new(worst, worst);
        ranges.fold(start, |best, one| {
            Range::new(more(best.low, one.low), more(best.high, one.high))
        })
    };
    match number {
        Number::Constant(value) => Range::new(*value, *value),
        Number::Signal(place) | Number::Baseline(place) => signal(*place),
        // Nothing is left at -100 %.
        Number::Change(_) => Range { low: -1.0, ..ANY },
        Number::Negative(inner) => {
            let inner = of(inner, signal);
            Range::new(-inner.high, -inner.low)
        }
        Number::Abs(inner) => {
            let inner = of(inner, signal);
            Range::new(inner.low.max(-inner.high).max(0.0), inner.high.max(-inner.low))
        }
        Number::Min(numbers) => all(numbers, f64::min, f64::INFINITY),
        Number::Max(numbers) => all(numbers, f64::max, f64::NEG_INFINITY),
        Number::Two(operator, left, right) => computed(*operator, of(left, signal), of(right, signal)),
    }
}

fn computed(operator: Operator, left: Range, right: Range) -> Range {
    match operator {
        Operator::Plus => Range::new(left.low + right.low, left.high + right.high),
        Operator::Minus => Range::new(left.low - right.high, left.high - right.low),
        Operator::Times => left.corners(right, |a, b| if a == 0.0 || b == 0.0 { 0.0 } else { a * b }),
        Operator::Divide if right.low > 0.0 || right.high < 0.0 => left.corners(right, |a, b| a / b),
        Operator::Divide
        | Operator::Or
        | Operator::And
        | Operator::Less
        | Operator::LessOrEqual
        | Operator::Greater
        | Operator::GreaterOrEqual
        | Operator::Equal
        | Operator::NotEqual => ANY,
    }
}

impl Range {
    /// Where that cannot be told, anything.
    const fn new(low: f64, high: f64) -> Self {
        if low.is_nan() || high.is_nan() {
            ANY
        } else {
            Self { low, high }
        }
    }

    fn corners(self, other: Self, make: fn(f64, f64) -> f64) -> Self {
        let all = [
            make(self.low, other.low),
            make(self.low, other.high),
            make(self.high, other.low),
            make(self.high, other.high),
        ];
        if all.iter().any(|corner| corner.is_nan()) {
            return ANY;
        }
        Self {
            low: all.into_iter().fold(f64::INFINITY, f64::min),
            high: all.into_iter().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    fn told(self, unit: Dimension) -> String {
        let number = |value| words::number(value, unit);
        match (self.low.is_finite(), self.high.is_finite()) {
            (true, true) if self.high - self.low <= 0.0 => format!("is {}", number(self.low)),
            (true, true) => format!("lies between {} and {}", number(self.low), number(self.high)),
            (true, false) => format!("is at least {}", number(self.low)),
            (false, true) => format!("is at most {}", number(self.high)),
            (false, false) => "is any number".to_owned(),
        }
    }
}
