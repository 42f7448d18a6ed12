//! Pure. The condition language.
//!
//! ```text
//! condition  = condition "or" condition | condition "and" condition | "not" condition
//!            | "(" condition ")" | number relation number
//!            | "worse" "(" signal ")"                  the evidence meter says so: of a ratio or latency, since the change
//! relation   = "<" | "<=" | ">" | ">="                 (they do not chain; == and != are refused with advice)
//! number     = number ("+" | "-" | "*" | "/") number | "-" number | "(" number ")"
//!            | literal | signal | "baseline" | call
//! call       = "baseline" "(" signal ")"               what the signal is compared with
//!            | "change" "(" signal ")"                 relative to its baseline: 10% is a tenth more
//!            | "abs" "(" number ")" | ("min" | "max") "(" number "," number { "," number } ")"
//! literal    = ( digits [ "." [ digits ] ] | "." digits ) [ "e" exponent ] [ unit ]
//! unit       = "%" | ns us µs ms s m h d | B KB MB GB KiB MiB GiB TiB | "/s"        (directly behind the digits)
//! signal     = letter or "_", then letters, digits and "_"
//! ```
//!
//! `or` binds least, then `and`, `not`, relations, `+ -`, `* /`, a sign. Plain `baseline` belongs to the one signal that
//! the condition names. Units are checked against the guard's signals when it is loaded, and so is whether anything that
//! can be measured decides a comparison (`error_rate > 5` is refused: 5 % was meant). Truth has three values: what
//! depends on a missing number is Unknown; false and Unknown is false, true or Unknown is true.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::policy::Signal;

mod amount;
mod check;
mod lexer;
mod mistake;
mod parser;
mod range;
/// The tree as written.
pub mod syntax;
#[cfg(test)]
mod tests;
mod tree;
mod units;

pub use amount::amount;
pub use lexer::is_name;
pub use mistake::{ConditionMistake, suggestion};
pub use parser::parse;
pub use tree::{Comparison, Missing, Number, Relation, Single, Tree, Truth};
pub use units::Dimension;

/// Words that cannot name a signal.
pub const RESERVED: [&str; 9] = ["and", "or", "not", "baseline", "change", "worse", "abs", "min", "max"];

/// A parsed, unit-checked condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    pub tree: Tree,
    /// In the order of the text.
    pub comparisons: Vec<Comparison>,
    needs: Vec<usize>,
}

impl Condition {
    /// The condition of that text over these signals.
    pub fn compile(text: &str, signals: &[Signal]) -> Result<Self, ConditionMistake> {
        let syntax = parse(text)?;
        let (tree, comparisons) = check::check(text, &syntax, signals)?;
        let mut needs = Vec::new();
        for comparison in &comparisons {
            for number in [&comparison.left, &comparison.right] {
                number.visit(&mut |part| {
                    if let Number::Baseline(place) | Number::Change(place) = part {
                        needs.push(*place);
                    }
                });
            }
        }
        Ok(Self {
            text: text.to_owned(),
            tree,
            comparisons,
            needs,
        })
    }

    /// As its owner wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signals whose baseline it needs.
    pub fn baselines(&self) -> &[usize] {
        &self.needs
    }

    /// The signals that the evidence meter is asked of.
    pub fn metered(&self) -> impl Iterator<Item = usize> {
        let worse = self.comparisons.iter().filter(|comparison| comparison.worse);
        worse.filter_map(Comparison::subject)
    }

    /// The signals that its comparisons are about.
    pub fn subjects(&self) -> impl Iterator<Item = usize> + Clone {
        self.comparisons.iter().filter_map(Comparison::subject)
    }

    /// Its truth where every comparison is made with these numbers.
    pub fn truth(&self, signal: &impl Fn(usize) -> Option<f64>, baseline: &impl Fn(usize) -> Option<f64>) -> Truth {
        self.tree.truth(
            &|place| match self.comparisons.get(place).map(|c| c.truth(signal, baseline)) {
                Some(Ok(holds)) => Truth::of(holds),
                Some(Err(_)) | None => Truth::Unknown,
            },
        )
    }
}
