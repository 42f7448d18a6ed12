//! The text format of metrics pages, as far as pages without timestamps and exemplars go. Pure.

use std::sync::Arc;

use super::series::Labels;
use crate::app::traffic::Line;

/// The lines of a page: every series as its text, and its value. `None` where it is malformed.
pub(crate) fn lines(page: &str) -> Option<Vec<Line>> {
    page.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (series, value) = line.rsplit_once(char::is_whitespace)?;
            Some((Arc::from(series.trim()), number(value)?))
        })
        .collect()
}

/// The name and labels of a series, with the target's labels added.
pub(crate) fn series<'a>(text: &'a str, target: &Labels) -> Option<(&'a str, Labels)> {
    let (name, own) = match text.split_once('{') {
        Some((name, rest)) => (name.trim(), pairs(rest.trim_end().strip_suffix('}')?)?),
        None => (text, Vec::new()),
    };
    let mut all: Vec<(Arc<str>, Arc<str>)> = target.to_vec();
    for (label, value) in own {
        match all.iter_mut().find(|(name, _)| **name == *label) {
            // The target's labels win; the page's is kept under another name.
            Some(_) => all.push((format!("exported_{label}").into(), value)),
            None => all.push((label, value)),
        }
    }
    all.sort();
    Some((name, all.into()))
}

fn pairs(text: &str) -> Option<Vec<(Arc<str>, Arc<str>)>> {
    let (mut rest, mut found) = (text.trim(), Vec::new());
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"")?;
        let end = closing_quote(after)?;
        let value = after[..end]
            .replace("\\\"", "\"")
            .replace("\\n", "\n")
            .replace("\\\\", "\\");
        found.push((Arc::from(name.trim()), Arc::from(value)));
        rest = after[end + 1..].trim().trim_start_matches(',').trim();
    }
    Some(found)
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' if !escaped => return Some(at),
            _ => escaped = letter == '\\' && !escaped,
        }
    }
    None
}

/// A number as Prometheus writes it.
pub(crate) fn number(text: &str) -> Option<f64> {
    match text.trim() {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        text => text.parse().ok(),
    }
}
