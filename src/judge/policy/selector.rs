//! Pure. Whether a PromQL selector can be used, as far as its form tells: quotes, braces, one metric.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::MATCH;

/// What is wrong with a counter's selector: a metric's name, label matchers, or both; no functions and no ranges.
pub fn selector_mistake(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(unbalanced) = balance_mistake(text) {
        return Some(unbalanced);
    }
    let name_ends = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
        .unwrap_or(text.len());
    let rest = text.get(name_ends..).unwrap_or_default().trim();
    if text.is_empty() {
        Some("is empty; write a counter such as `http_requests_total{code=~\"5..\"}`".to_owned())
    } else if text.starts_with(|c: char| c.is_ascii_digit()) {
        Some(format!("`{text}` is not a metric's name"))
    } else if rest.is_empty() || (rest.starts_with('{') && closes_last(rest)) {
        None
    } else {
        Some(format!(
            "`{text}` is more than a selector; name the counter alone, modosu counts and sums it: `metric{{label=\"value\"}}`"
        ))
    }
}

/// What is wrong with a whole query: quotes and brackets only, the rest is Prometheus' to say.
pub fn balance_mistake(text: &str) -> Option<String> {
    let mut open = Vec::new();
    let mut quoted: Option<char> = None;
    let mut escaped = false;
    for c in text.chars() {
        match quoted {
            Some(_) if escaped => escaped = false,
            Some(quote) if c == '\\' && quote != '`' => escaped = true,
            Some(quote) if c == quote => quoted = None,
            Some(_) => {}
            None => match c {
                '"' | '\'' | '`' => quoted = Some(c),
                '(' => open.push(')'),
                '[' => open.push(']'),
                '{' => open.push('}'),
                ')' | ']' | '}' if open.pop() != Some(c) => return Some(format!("`{text}`: `{c}` closes nothing")),
                _ => {}
            },
        }
    }
    match (quoted, open.pop()) {
        (Some(quote), _) => Some(format!("`{text}`: a {quote} is never closed")),
        (None, Some(missing)) => Some(format!("`{text}`: a `{missing}` is missing")),
        (None, None) => None,
    }
}

/// The first selector of a shared query in which `$match` stands, without it: `max by ($by) (a{$match, b="c"})` has `a{b="c"}`.
pub fn matched_selector(query: &str) -> Option<String> {
    let (before, after) = query.split_once(MATCH)?;
    let begin = before.rfind('{')?;
    let end = after.char_indices().find(|(at, c)| {
        let inside = after.get(..*at).unwrap_or_default();
        *c == '}' && balance_mistake(inside).is_none()
    });
    let (end, _) = end?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let outside = before.get(..begin)?;
    let name = outside.get(outside.trim_end_matches(is_name).len()..)?;
    let others = [before.get(begin + 1..)?, after.get(..end)?];
    let others = others.map(|part| part.trim().trim_matches(',').trim());
    let others: Vec<_> = others.into_iter().filter(|part| !part.is_empty()).collect();
    let selector = if others.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", others.join(", "))
    };
    (!selector.is_empty() && selector_mistake(&selector).is_none()).then_some(selector)
}

/// Whether the first brace is closed by the last character; the text is balanced.
fn closes_last(text: &str) -> bool {
    let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}'));
    inner.is_some_and(|inner| balance_mistake(inner).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selector_of_a_gauge() {
        let of = |query| matched_selector(query).unwrap_or_default();
        assert_eq!(of("max by ($by) (queue{$match})"), "queue");
        assert_eq!(
            of("sum by ($by) (rate(a{$match, x=\"}\"}[5m])) / b{$match}"),
            "a{x=\"}\"}"
        );
        assert_eq!(of("a{x=\"1\", $match}"), "a{x=\"1\"}");
        assert_eq!(of("{__name__=~\"a|b\", $match, y!~'z'}"), "{__name__=~\"a|b\", y!~'z'}");
        for none in ["a", "vector(1)", "{$match}", "$match", "a{$match"] {
            assert_eq!(matched_selector(none), None, "{none}");
        }
    }

    #[test]
    fn selectors() {
        for right in [
            "a_total",
            "a:b{}",
            "a{x=\"}\", y=~'5..'}",
            "{__name__=\"a\"}",
            " a_total {x=\"\\\"\"} ",
        ] {
            assert_eq!(selector_mistake(right), None, "{right}");
        }
        for wrong in [
            "",
            "a{",
            "a{x=\"5}",
            "a}",
            "sum(a)",
            "a[5m]",
            "a{x=\"1\"}{y=\"2\"}",
            "1a",
            "a b",
            "rate(a{x=\"1\"}[1m])",
        ] {
            assert!(selector_mistake(wrong).is_some(), "{wrong}");
        }
    }
}
