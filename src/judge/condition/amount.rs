//! Pure. One number with its unit, as it stands in settings.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    ConditionMistake, Dimension,
    lexer::{Word, words},
    syntax::{Operator, Suffix},
    units::{comparable, dimension},
};
use crate::model::guard::Unit;

/// The number in the signal's own unit: `200ms`, `5%`, `120/s`, `-3`.
pub fn amount(text: &str, unit: Unit) -> Result<f64, ConditionMistake> {
    let tokens = words(text)?;
    let (sign, rest) = match tokens.as_slice() {
        [minus, rest @ ..] if minus.word == Word::Operator(Operator::Minus) => (-1.0, rest),
        all => (1.0, all),
    };
    let wanted = Dimension::Of(unit);
    match rest {
        [number, end]
            if end.word == Word::End
                && unit == Unit::Ratio
                && matches!(number.word, Word::Number(value, Suffix::None) if value > 1.0) =>
        {
            let written = text.get(number.at..end.at).unwrap_or_default().trim_end();
            let what = format!("a share of `{written}` would be more than all; did you mean `{written}%`?");
            Err(ConditionMistake::new(text, number.at, what))
        }
        [number, end] if end.word == Word::End => match number.word {
            Word::Number(value, suffix) if comparable(dimension(suffix), wanted) => Ok(sign * suffix.base(value)),
            Word::Number(_, suffix) => {
                let what = format!("this is {}, and {}", dimension(suffix).named(), wanted.example());
                Err(ConditionMistake::new(text, number.at, what))
            }
            Word::Name(_) | Word::Operator(_) | Word::Not | Word::Open | Word::Close | Word::Comma | Word::End => Err(
                ConditionMistake::new(text, number.at, "a number with its unit is needed, such as `200ms`"),
            ),
        },
        _ => {
            let at = rest.get(1).or(rest.first()).map_or(0, |token| token.at);
            Err(ConditionMistake::new(
                text,
                at,
                "one number with its unit is needed, such as `200ms`",
            ))
        }
    }
}
