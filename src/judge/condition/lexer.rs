//! Pure. A condition's text into words: numbers with suffixes, names, operators.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    mistake::ConditionMistake,
    syntax::{Operator, Suffix},
};

/// One word of a condition and the byte where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub at: usize,
    pub word: Word,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    Number(f64, Suffix),
    Name(String),
    Operator(Operator),
    Not,
    Open,
    Close,
    Comma,
    End,
}

/// All words of the text, with an `End` behind them.
pub fn words(text: &str) -> Result<Vec<Token>, ConditionMistake> {
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let skipped = rest.trim_start();
        at += rest.len() - skipped.len();
        let Some(first) = skipped.chars().next() else {
            tokens.push(Token { at, word: Word::End });
            return Ok(tokens);
        };
        let (word, length) = if first.is_ascii_digit() || first == '.' {
            number(text, at, skipped)?
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = name_length(skipped);
            (named(skipped.get(..length).unwrap_or_default()), length)
        } else {
            sign(skipped).ok_or_else(|| ConditionMistake::new(text, at, unexpected(skipped, first)))?
        };
        tokens.push(Token { at, word });
        at += length;
    }
}

/// Whether it can stand in a condition as a signal's name.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name_length(text) == text.len()
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

fn named(name: &str) -> Word {
    match name {
        "and" => Word::Operator(Operator::And),
        "or" => Word::Operator(Operator::Or),
        "not" => Word::Not,
        other => Word::Name(other.to_owned()),
    }
}

fn sign(text: &str) -> Option<(Word, usize)> {
    const SIGNS: [(&str, Word); 13] = [
        ("<=", Word::Operator(Operator::LessOrEqual)),
        (">=", Word::Operator(Operator::GreaterOrEqual)),
        ("==", Word::Operator(Operator::Equal)),
        ("!=", Word::Operator(Operator::NotEqual)),
        ("<", Word::Operator(Operator::Less)),
        (">", Word::Operator(Operator::Greater)),
        ("+", Word::Operator(Operator::Plus)),
        ("-", Word::Operator(Operator::Minus)),
        ("*", Word::Operator(Operator::Times)),
        ("/", Word::Operator(Operator::Divide)),
        ("(", Word::Open),
        (")", Word::Close),
        (",", Word::Comma),
    ];
    SIGNS
        .into_iter()
        .find(|(sign, _)| text.starts_with(sign))
        .map(|(sign, word)| (word, sign.len()))
}

fn unexpected(text: &str, first: char) -> String {
    const HABITS: [(&str, &str); 7] = [
        ("&&", "`and`"),
        ("||", "`or`"),
        ("!", "`not`"),
        ("=", "`<`, `<=`, `>` or `>=`"),
        ("≤", "`<=`"),
        ("≥", "`>=`"),
        ("%", "a number before it, such as `5%`"),
    ];
    match HABITS.iter().find(|(habit, _)| text.starts_with(habit)) {
        Some((habit, right)) => format!("`{habit}` is not known here; write {right}"),
        None => format!("`{first}` is not part of the condition language"),
    }
}

/// A number and what directly follows it: `70%`, `1.5s`, `64MiB`, `120/s`, `1e-6`. A `%` may stand apart.
fn number(text: &str, at: usize, rest: &str) -> Result<(Word, usize), ConditionMistake> {
    let digits = digits_length(rest);
    let value = rest
        .get(..digits)
        .and_then(|d| d.parse::<f64>().ok())
        .filter(|v| v.is_finite());
    let value = value.ok_or_else(|| ConditionMistake::new(text, at, "this is not a number that can be compared"))?;
    let after = rest.get(digits..).unwrap_or_default();
    let apart = after.trim_start();
    if apart.starts_with('%') {
        return Ok((
            Word::Number(value, Suffix::Percent),
            digits + after.len() - apart.len() + 1,
        ));
    }
    let letters = after.strip_prefix('/').map_or(0, |_| 1);
    // The sign for micro and the Greek letter look the same and are two characters.
    let micro = ["µs", "μs"]
        .into_iter()
        .find(|unit| after.starts_with(unit))
        .map_or(0, str::len);
    let unit_length = if micro > 0 {
        micro
    } else {
        letters + name_length(after.get(letters..).unwrap_or_default())
    };
    let unit = after.get(..unit_length).unwrap_or_default();
    let suffix = if micro > 0 {
        Some(Suffix::Microseconds)
    } else {
        Suffix::ALL.into_iter().find(|s| s.text() == unit)
    };
    match suffix {
        Some(suffix) => Ok((Word::Number(value, suffix), digits + unit_length)),
        // `a/b` with a number on the left: the slash divides.
        None if letters == 1 => Ok((Word::Number(value, Suffix::None), digits)),
        None => Err(ConditionMistake::new(
            text,
            at + digits,
            format!(
                "`{unit}` is not a unit; known are %, ns, us, ms, s, m, h, d, B, KB, MB, GB, KiB, MiB, GiB, TiB and /s"
            ),
        )),
    }
}

/// How long the digits are: `12`, `1.5`, `.5`, `1.`, `1e-6`.
fn digits_length(text: &str) -> usize {
    let run = |from: usize| {
        text.get(from..)
            .map_or(0, |t| t.find(|c: char| !c.is_ascii_digit()).unwrap_or(t.len()))
    };
    let mut end = run(0);
    if text.get(end..).is_some_and(|t| t.starts_with('.')) {
        end += 1 + run(end + 1);
    }
    if let Some(exponent) = text.get(end..).and_then(|t| t.strip_prefix(['e', 'E'])) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let digits = run(end + 1 + sign);
        if digits > 0 {
            end += 1 + sign + digits;
        }
    }
    end
}
