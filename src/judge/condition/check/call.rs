//! Pure. What a condition calls by its name: `worse(…)`, `change(…)`, `min(…)` and the others; and rates that are not per second.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    super::{
        mistake::ConditionMistake,
        syntax::{Function, Node, Operator, Place, Suffix, Syntax},
        tree::{Comparison, Number, Relation},
        units::{Dimension, combined},
    },
    Checker,
};
use crate::{judge::policy::Source, model::guard::Worse};

impl Checker<'_> {
    /// `worse(signal)`: only what is counted can be weighed.
    pub(super) fn worse(
        &self,
        syntax: &Syntax,
        arguments: &[Syntax],
        negated: bool,
    ) -> Result<Comparison, ConditionMistake> {
        let [
            Syntax {
                at,
                node: Node::Name(name),
            },
        ] = arguments
        else {
            return Err(self.mistake(
                syntax.at,
                "`worse` takes the name of one signal, as in `worse(error_rate)`",
            ));
        };
        let signal = self.signal(name, *at)?;
        let source = self.signals.get(signal).map(|signal| &signal.source);
        if !self.counted(signal) && !matches!(source, Some(Source::Quantile { .. })) {
            return Err(self.mistake(
                *at,
                format!("`worse` weighs counts, and `{name}` has none; compare it with its baseline, as in `change({name}) > 20%`"),
            ));
        }
        if self
            .signals
            .get(signal)
            .is_some_and(|signal| signal.worse == Worse::Down && !signal.counted())
        {
            let why = format!(
                "`worse` weighs what is slower, and less of `{name}` is worse; compare it with its baseline, as in `change({name}) < -20%`"
            );
            return Err(self.mistake(*at, why));
        }
        Ok(Comparison {
            left: Number::Signal(signal),
            relation: if negated {
                Relation::LessOrEqual
            } else {
                Relation::Greater
            },
            right: Number::Baseline(signal),
            said: syntax.to_string(),
            unit: self.unit(signal),
            single: None,
            quantile: None,
            worse: true,
        })
    }

    pub(super) fn call(
        &self,
        function: Function,
        arguments: &[Syntax],
        at: Place,
    ) -> Result<(Number, Dimension), ConditionMistake> {
        match (function, arguments) {
            (
                Function::Baseline | Function::Change,
                [
                    Syntax {
                        at,
                        node: Node::Name(name),
                    },
                ],
            ) => {
                let place = self.signal(name, *at)?;
                Ok(if function == Function::Change {
                    (Number::Change(place), Dimension::Plain)
                } else {
                    (Number::Baseline(place), self.unit(place))
                })
            }
            (Function::Baseline | Function::Change, _) => Err(self.mistake(
                at,
                format!(
                    "`{0}` takes the name of one signal, as in `{0}(response_time)`",
                    function.text()
                ),
            )),
            (Function::Worse, _) => Err(self.mistake(at, "this is yes or no; a number is needed here")),
            (Function::Abs, [one]) => self.number(one).map(|(n, unit)| (Number::Abs(Box::new(n)), unit)),
            (Function::Abs, _) => Err(self.mistake(at, "`abs` takes one number")),
            (Function::Min | Function::Max, [first, _, ..]) => {
                let (_, mut unit) = self.number(first)?;
                let mut numbers = Vec::new();
                for argument in arguments {
                    let (number, other) = self.number(argument)?;
                    unit = combined(Operator::Plus, unit, other).ok_or_else(|| {
                        self.mistake(
                            argument.at,
                            format!("`{first}` is {}, `{argument}` is {}", unit.named(), other.named()),
                        )
                    })?;
                    numbers.push(number);
                }
                Ok((
                    if function == Function::Min {
                        Number::Min(numbers)
                    } else {
                        Number::Max(numbers)
                    },
                    unit,
                ))
            }
            (Function::Min | Function::Max, _) => {
                Err(self.mistake(at, format!("`{}` takes two numbers or more", function.text())))
            }
        }
    }

    /// `7200/h`: what would be right.
    pub(super) fn per_second(&self, operator: Operator, left: &Syntax, right: &Syntax) -> Option<ConditionMistake> {
        let (Operator::Divide, Node::Number(written, Suffix::None), Node::Name(name)) =
            (operator, &left.node, &right.node)
        else {
            return None;
        };
        let seconds = match name.as_str() {
            "sec" | "second" => 1.0,
            "m" | "min" | "minute" => 60.0,
            "h" | "hour" => 3600.0,
            "d" | "day" => 86_400.0,
            _ => return None,
        };
        let known = self.signals.iter().any(|signal| signal.name == *name);
        let why = format!(
            "a rate is written per second: `{left}/{name}` is `{}/s`",
            written / seconds
        );
        (!known).then(|| self.mistake(left.at, why))
    }
}
