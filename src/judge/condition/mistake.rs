//! Pure. What is wrong with a condition, where, and what would be right.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;

/// A mistake in a condition. Printed: the message, then the line with a caret below the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionMistake {
    pub message: String,
    /// Counted in characters of its line, from 1.
    pub column: usize,
    /// The line and, below it, the caret.
    pub picture: String,
}

impl ConditionMistake {
    /// The mistake at that byte of the text.
    pub fn new(text: &str, at: usize, message: impl Into<String>) -> Self {
        let at = (0..=at.min(text.len()))
            .rev()
            .find(|i| text.is_char_boundary(*i))
            .unwrap_or(0);
        let (before, after) = text.split_at(at);
        let start = before.rsplit('\n').next().unwrap_or(before);
        let end = after.split('\n').next().unwrap_or(after);
        let below: String = start.chars().map(blank).collect();
        Self {
            message: message.into(),
            column: start.chars().count() + 1,
            picture: format!("{start}{}\n{below}^", end.trim_end()),
        }
    }
}

/// A blank as wide as the character: Chinese and Japanese ones take two places.
fn blank(character: char) -> char {
    match character {
        '\t' => '\t',
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{ff00}'..='\u{ff60}' => {
            '\u{3000}'
        }
        _ => ' ',
    }
}

impl fmt::Display for ConditionMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}\n{}", self.column, self.message, self.picture)
    }
}

/// ` (did you mean …?)` with the nearest of the known words, or the words themselves where none is near.
pub fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known.clone().map(|k| (distance(word, k), k)).min();
    match nearest {
        Some((steps, near)) if steps <= 1 + word.chars().count() / 3 => format!("; did you mean `{near}`?"),
        Some(_) => format!("; known are: {}", known.collect::<Vec<_>>().join(", ")),
        None => String::new(),
    }
}

/// How many letters must be put in, left out or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (line, letter) in a.chars().enumerate() {
        let mut next = vec![line + 1];
        for ((above, left_above), other) in row.iter().skip(1).zip(&row).zip(&b) {
            let left = next.last().copied().unwrap_or(0);
            next.push(
                (left_above + usize::from(letter != *other))
                    .min(above + 1)
                    .min(left + 1),
            );
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
