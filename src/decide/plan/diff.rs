//! Pure. What people see of a change: lines, with what looks like a secret masked; of a Secret the names of its keys alone.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;

use serde_json::Value;

use crate::model::content::Content;

/// A diff is cut here.
const LIMIT: usize = 4096;

/// A short unified diff.
pub fn of_lines(from: Option<&Content>, to: &Content) -> String {
    let text = |content: Option<&Content>| {
        content
            .map(|c| serde_json::to_string_pretty(&c.0).unwrap_or_default())
            .unwrap_or_default()
    };
    let (before, after) = (text(from), text(Some(to)));
    let diff = similar::TextDiff::from_lines(&before, &after);
    let diff = diff.unified_diff().context_radius(1).to_string();
    cut(diff.lines().map(crate::report::mask::mask_line))
}

/// `+ KEY`, `- KEY`, `~ KEY`: keys that come, go, or get another value. No value.
pub fn of_keys(from: Option<&Content>, to: &Content) -> String {
    let nothing = Content(Value::Null);
    let from = from.unwrap_or(&nothing);
    let value = |content: &Content, key: &str| content.0.get("data").and_then(|data| data.get(key)).cloned();
    let keys: BTreeSet<&str> = from.keys().into_iter().chain(to.keys()).collect();
    let lines = keys.into_iter().filter_map(|key| {
        let sign = match (value(from, key), value(to, key)) {
            (None, _) => '+',
            (_, None) => '-',
            (before, after) if before == after => return None,
            (Some(_), Some(_)) => '~',
        };
        Some(format!("{sign} {key}"))
    });
    cut(lines)
}

fn cut(lines: impl Iterator<Item = String>) -> String {
    let mut shown = String::new();
    for line in lines {
        if shown.len() + line.len() > LIMIT {
            shown.push_str("… (cut)\n");
            break;
        }
        shown.push_str(&line);
        shown.push('\n');
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_secret_the_names_of_its_keys_are_shown_and_no_value() {
        let secret = |data: Value| Content(json!({"data": data, "type": "Opaque"})).salted("s4lt");
        let bad = secret(json!({"DB_URL": "aHVudGVyMg==", "OLD": "aHVudGVyMw==", "SAME": "aHVudGVyNA=="}));
        let good = secret(json!({"DB_URL": "aHVudGVyNQ==", "NEW": "aHVudGVyNg==", "SAME": "aHVudGVyNA=="}));
        assert_eq!(of_keys(Some(&bad), &good), "~ DB_URL\n+ NEW\n- OLD\n");
        assert_eq!(of_keys(None, &good), "+ DB_URL\n+ NEW\n+ SAME\n");
        let long = secret((0..5000).map(|n| (format!("key-{n}"), json!("MQ=="))).collect());
        assert!(of_keys(None, &long).len() <= LIMIT + "… (cut)\n".len());
    }
}
