//! Pure. A tree as written against the guard's signals: names, units, `baseline` of what; into a checked condition.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    mistake::{ConditionMistake, suggestion},
    range::undecided,
    syntax::{Function, Node, Operator, Place, Syntax},
    tree::{Comparison, Number, Relation, Single, Tree},
    units::{Dimension, combined, comparable, dimension},
};
use crate::judge::policy::{Signal, Source};

/// What is called by its name.
mod call;

/// The tree and its comparisons, or the first mistake.
pub fn check(text: &str, syntax: &Syntax, signals: &[Signal]) -> Result<(Tree, Vec<Comparison>), ConditionMistake> {
    let mut named = Vec::new();
    names(syntax, signals, &mut named);
    let mut checker = Checker {
        text,
        signals,
        named,
        comparisons: Vec::new(),
    };
    let tree = checker.truth(syntax, false)?;
    if checker.named.is_empty() {
        return Err(checker.mistake(syntax.at, "this compares nothing measured; name a signal"));
    }
    Ok((tree, checker.comparisons))
}

struct Checker<'a> {
    text: &'a str,
    signals: &'a [Signal],
    /// The signals that the condition names, each once.
    named: Vec<usize>,
    comparisons: Vec<Comparison>,
}

fn names(syntax: &Syntax, signals: &[Signal], named: &mut Vec<usize>) {
    match &syntax.node {
        Node::Name(name) => {
            if let Some(place) = signals
                .iter()
                .position(|s| s.name == *name)
                .filter(|p| !named.contains(p))
            {
                named.push(place);
            }
        }
        Node::Number(..) => {}
        Node::Call(_, arguments) => arguments.iter().for_each(|a| names(a, signals, named)),
        Node::Negative(inner) | Node::Not(inner) => names(inner, signals, named),
        Node::Two(_, left, right) => {
            names(left, signals, named);
            names(right, signals, named);
        }
    }
}

impl Checker<'_> {
    fn mistake(&self, at: Place, message: impl Into<String>) -> ConditionMistake {
        ConditionMistake::new(self.text, at.0, message)
    }

    /// A part that is true or false; `negated` when an odd number of `not` stands before it.
    fn truth(&mut self, syntax: &Syntax, negated: bool) -> Result<Tree, ConditionMistake> {
        match &syntax.node {
            Node::Not(inner) => self.truth(inner, !negated),
            Node::Two(operator @ (Operator::And | Operator::Or), left, right) => {
                let left = Box::new(self.truth(left, negated)?);
                let right = Box::new(self.truth(right, negated)?);
                let and = (*operator == Operator::And) != negated;
                Ok(if and {
                    Tree::And(left, right)
                } else {
                    Tree::Or(left, right)
                })
            }
            Node::Two(operator, left, right) if operator.compares() => {
                let relation = self.relation(*operator, syntax.at)?;
                let comparison = self.comparison(
                    syntax.at,
                    left,
                    right,
                    if negated { relation.opposite() } else { relation },
                )?;
                self.comparisons.push(comparison);
                Ok(Tree::Leaf(self.comparisons.len() - 1))
            }
            Node::Call(Function::Worse, arguments) => {
                let comparison = self.worse(syntax, arguments, negated)?;
                self.comparisons.push(comparison);
                Ok(Tree::Leaf(self.comparisons.len() - 1))
            }
            Node::Number(..) | Node::Name(_) | Node::Call(..) | Node::Negative(_) | Node::Two(..) => Err(self.mistake(
                syntax.at,
                "this is a number, not yes or no; compare it, as in `error_rate > 5%`",
            )),
        }
    }

    fn relation(&self, operator: Operator, at: Place) -> Result<Relation, ConditionMistake> {
        match operator {
            Operator::Less => Ok(Relation::Less),
            Operator::LessOrEqual => Ok(Relation::LessOrEqual),
            Operator::Greater => Ok(Relation::Greater),
            Operator::GreaterOrEqual => Ok(Relation::GreaterOrEqual),
            Operator::Equal => Err(self.mistake(at, "measured numbers are hardly ever exactly equal; give a range, such as `x >= 4 and x <= 5`, or `abs(change(x)) <= 2%`")),
            Operator::NotEqual => Err(self.mistake(at, "measured numbers nearly always differ; say by how much, such as `x > 0`, or `abs(change(x)) > 2%`")),
            Operator::And | Operator::Or | Operator::Plus | Operator::Minus | Operator::Times | Operator::Divide => {
                Err(self.mistake(at, "this does not compare"))
            }
        }
    }

    fn comparison(
        &self,
        at: Place,
        left: &Syntax,
        right: &Syntax,
        relation: Relation,
    ) -> Result<Comparison, ConditionMistake> {
        let (left_number, left_unit) = self.number(left)?;
        let (right_number, right_unit) = self.number(right)?;
        if !comparable(left_unit, right_unit) {
            // The mistake is shown at the side that is the plain number, if one is.
            let at = if matches!(right.node, Node::Number(..)) {
                right.at
            } else if matches!(left.node, Node::Number(..)) {
                left.at
            } else {
                at
            };
            let measured = if matches!(right.node, Node::Number(..)) {
                left_unit
            } else {
                right_unit
            };
            return Err(self.mistake(
                at,
                format!(
                    "`{left}` is {}, `{right}` is {}; {}",
                    left_unit.named(),
                    right_unit.named(),
                    measured.example()
                ),
            ));
        }
        let mirrored = !matches!(left_number, Number::Signal(_))
            && matches!(right_number, Number::Signal(_))
            && !left_number.moves();
        let single = match (&left_number, &right_number) {
            (Number::Signal(signal), limit) if !limit.moves() => Some((*signal, relation)),
            (limit, Number::Signal(signal)) if !limit.moves() => Some((*signal, relation.mirrored())),
            _ => None,
        };
        let single = single.map(|(signal, relation)| Single {
            signal,
            relation,
            counted: self.counted(signal),
        });
        let quantile = self.highest_quantile([&left_number, &right_number]);
        let comparison = Comparison {
            left: left_number,
            relation,
            right: right_number,
            said: if mirrored { right.to_string() } else { left.to_string() },
            unit: if left_unit == Dimension::Plain {
                right_unit
            } else {
                left_unit
            },
            single,
            quantile,
            worse: false,
        };
        match undecided(left, right, &comparison, self.signals) {
            Some((at, why)) => Err(self.mistake(at, why)),
            None => Ok(comparison),
        }
    }

    /// The highest quantile that is read, if one is.
    fn highest_quantile(&self, numbers: [&Number; 2]) -> Option<f64> {
        let mut highest: Option<f64> = None;
        for number in numbers {
            number.visit(&mut |part| {
                if let Number::Signal(place) | Number::Change(place) = part
                    && let Some(Source::Quantile { q, .. }) = self.signals.get(*place).map(|signal| &signal.source)
                {
                    highest = Some(highest.map_or(*q, |other| other.max(*q)));
                }
            });
        }
        highest
    }

    fn counted(&self, signal: usize) -> bool {
        self.signals.get(signal).is_some_and(Signal::counted)
    }

    /// A part that is a number, and what it counts.
    fn number(&self, syntax: &Syntax) -> Result<(Number, Dimension), ConditionMistake> {
        match &syntax.node {
            Node::Number(written, suffix) => {
                let value = suffix.base(*written);
                if value.is_finite() {
                    Ok((Number::Constant(value), dimension(*suffix)))
                } else {
                    Err(self.mistake(syntax.at, "this number is too large"))
                }
            }
            Node::Name(name) if name == Function::Baseline.text() => {
                let place = self.only_signal(syntax.at)?;
                Ok((Number::Baseline(place), self.unit(place)))
            }
            Node::Name(name) => {
                let place = self.signal(name, syntax.at)?;
                Ok((Number::Signal(place), self.unit(place)))
            }
            Node::Call(function, arguments) => self.call(*function, arguments, syntax.at),
            Node::Negative(inner) => self
                .number(inner)
                .map(|(n, unit)| (Number::Negative(Box::new(n)), unit)),
            Node::Two(
                operator @ (Operator::Plus | Operator::Minus | Operator::Times | Operator::Divide),
                left,
                right,
            ) => {
                if let Some(mistake) = self.per_second(*operator, left, right) {
                    return Err(mistake);
                }
                let (left_number, left_unit) = self.number(left)?;
                let (right_number, right_unit) = self.number(right)?;
                let unit = combined(*operator, left_unit, right_unit).ok_or_else(|| {
                    let why = format!(
                        "`{left}` is {} and `{right}` is {}: `{}` makes nothing of them that could be compared",
                        left_unit.named(),
                        right_unit.named(),
                        operator.text()
                    );
                    self.mistake(syntax.at, why)
                })?;
                Ok((
                    Number::Two(*operator, Box::new(left_number), Box::new(right_number)),
                    unit,
                ))
            }
            Node::Not(_) | Node::Two(..) => Err(self.mistake(syntax.at, "this is yes or no; a number is needed here")),
        }
    }

    fn unit(&self, place: usize) -> Dimension {
        self.signals
            .get(place)
            .map_or(Dimension::Plain, |s| Dimension::Of(s.unit))
    }

    fn signal(&self, name: &str, at: Place) -> Result<usize, ConditionMistake> {
        let known = self.signals.iter().map(|s| s.name.as_str());
        self.signals.iter().position(|s| s.name == name).ok_or_else(|| {
            let what = if name == Function::Baseline.text() {
                "`baseline` is no signal".to_owned()
            } else {
                format!("there is no signal `{name}`")
            };
            self.mistake(at, format!("{what}{}", suggestion(name, known)))
        })
    }

    fn only_signal(&self, at: Place) -> Result<usize, ConditionMistake> {
        match self.named.as_slice() {
            [only] => Ok(*only),
            [] => Err(self.mistake(
                at,
                "the condition names no signal whose baseline this could be; write `baseline(signal)`",
            )),
            several => {
                let names: Vec<_> = several
                    .iter()
                    .filter_map(|p| self.signals.get(*p))
                    .map(|s| format!("`baseline({})`", s.name))
                    .collect();
                Err(self.mistake(
                    at,
                    format!("the condition names several signals; write {}", names.join(" or ")),
                ))
            }
        }
    }
}
