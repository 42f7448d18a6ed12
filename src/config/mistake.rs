//! Pure. What is wrong with the settings, for the person who wrote them: all of it, in the order of the file.

use std::{fmt, path::PathBuf};

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A file; line 0: the file as a whole.
    File { path: PathBuf, line: u64 },
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
    /// Nowhere: the default, which clashes with something else that was set.
    Default,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    pub place: Place,
    /// Such as `prometheus.url`; empty: the source as a whole.
    pub path: String,
    /// What stands there; `None`: nothing, or a secret.
    pub value: Option<String>,
    pub wrong: String,
    /// What would be right.
    pub right: Option<String>,
}

/// Everything that is wrong, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl std::error::Error for Mistakes {}

impl From<Mistake> for Mistakes {
    fn from(only: Mistake) -> Self {
        Self(vec![only])
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 mistake:")?,
            n => write!(f, "{n} mistakes:")?,
        }
        self.0.iter().try_for_each(|mistake| write!(f, "\n{mistake}"))
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)?;
        if !self.path.is_empty() {
            write!(f, "  {}", self.path)?;
        }
        if let Some(value) = &self.value {
            write!(f, ": {value}")?;
        }
        write!(f, "\n    {}", self.wrong.trim_end().replace('\n', "\n    "))?;
        if let Some(right) = &self.right {
            write!(f, "\n    right: {right}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
            Self::Default => f.write_str("(default)"),
        }
    }
}

/// The candidate that `word` was most likely meant to be, if one is near enough.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (low, near) = (word.to_lowercase(), 1 + word.chars().count() / 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&low, &candidate.to_lowercase()), candidate))
        .filter(|(steps, _)| *steps <= near)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's: letters put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_found_and_a_far_one_is_not() {
        let keys = ["url", "timeout", "bearerTokenFile", "headers"];
        for (word, meant) in [
            ("urll", Some("url")),
            ("time-out", Some("timeout")),
            ("bearertokenfile", Some("bearerTokenFile")),
            ("header", Some("headers")),
            ("password", None),
        ] {
            assert_eq!(nearest(word, keys), meant, "{word}");
        }
    }
}
