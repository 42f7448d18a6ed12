//! Pure. A freeze: somebody said that modosu must write nothing for a while, and why.
//!
//! It is said where it shall hold: by an annotation on a guard, its workload or a namespace, for everything by the ConfigMap
//! [`EVERYTHING`], in the settings, or as a decision of an incident. There is no "forever": it says until when. What says
//! so illegibly holds until it is put right, because whoever wrote it wanted modosu to stop.

use std::collections::BTreeMap;

use jiff::{Timestamp, fmt::strtime, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Until when: RFC 3339.
pub const UNTIL: &str = "modosu.dev/freeze-until";
/// Why, for people.
pub const REASON: &str = "modosu.dev/reason";
/// Who.
pub const BY: &str = "modosu.dev/by";
/// The ConfigMap in the daemon's namespace that freezes everything, with the keys `until`, `by` and `reason`.
pub const EVERYTHING: &str = "modosu-freeze";

/// Until when nothing is written, who said so and why.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Freeze {
    /// Where it was said: `Guard/orders`, `Deployment/orders`, `Namespace/shop`, `ConfigMap/modosu-freeze`, `settings`,
    /// or `Incident/orders-8b21`.
    pub of: String,
    /// Absent: what was written is no time, and it holds until that is put right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What was written in the place of a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub illegible: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Freeze {
    /// What these annotations say.
    pub fn of_annotations(of: &str, annotations: Option<&BTreeMap<String, String>>) -> Option<Self> {
        let note = |key: &str| annotations?.get(key).cloned();
        Some(Self::said(of, &note(UNTIL)?, note(BY), note(REASON)))
    }

    /// What the ConfigMap [`EVERYTHING`] says.
    pub fn of_everything(data: Option<&BTreeMap<String, String>>) -> Option<Self> {
        let key = |key: &str| data?.get(key).cloned();
        let of = format!("ConfigMap/{EVERYTHING}");
        Some(Self::said(&of, &key("until")?, key("by"), key("reason")))
    }

    fn said(of: &str, until: &str, by: Option<String>, reason: Option<String>) -> Self {
        let time: Option<Timestamp> = until.trim().parse().ok();
        Self {
            of: of.to_owned(),
            illegible: time.is_none().then(|| until.to_owned()),
            until: time,
            by,
            reason,
        }
    }

    /// Whether it holds now.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// The one that holds longest, of those that hold now.
    pub fn longest(all: impl IntoIterator<Item = Self>, now: Timestamp) -> Option<Self> {
        let held = all.into_iter().filter(|freeze| freeze.holds(now));
        held.max_by_key(|freeze| freeze.until.unwrap_or(Timestamp::MAX))
    }
}

impl std::fmt::Display for Freeze {
    /// `frozen by ann until 2026-03-01 04:00 UTC: repairing the database (Namespace/shop)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("frozen")?;
        if let Some(by) = &self.by {
            write!(f, " by {by}")?;
        }
        match (self.until, &self.illegible) {
            (Some(until), _) => {
                let time = strtime::format("%Y-%m-%d %H:%M:%S UTC", &until.to_zoned(TimeZone::UTC));
                write!(f, " until {}", time.unwrap_or_else(|_| until.to_string()))?;
            }
            (None, Some(text)) => write!(
                f,
                " until somebody puts `{text}` right: a time is written 2026-03-01T04:00:00Z"
            )?,
            (None, None) => {}
        }
        if let Some(reason) = &self.reason {
            write!(f, ": {reason}")?;
        }
        write!(f, " ({})", self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(until: &str) -> BTreeMap<String, String> {
        [(UNTIL, until), (BY, "ann"), (REASON, "repairing the database")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn it_holds_until_its_time_and_says_who_and_why() {
        let freeze = Freeze::of_annotations("Namespace/shop", Some(&annotations("2026-03-01T04:00:00Z"))).unwrap();
        assert!(freeze.holds(at("2026-03-01T03:59:59Z")) && !freeze.holds(at("2026-03-01T04:00:00Z")));
        insta::assert_snapshot!(freeze, @"frozen by ann until 2026-03-01 04:00:00 UTC: repairing the database (Namespace/shop)");
        assert_eq!(Freeze::of_annotations("Namespace/shop", Some(&BTreeMap::new())), None);
    }

    #[test]
    fn what_is_no_time_stops_modosu_too() {
        let freeze = Freeze::of_annotations("Guard/orders", Some(&annotations("tomorrow"))).unwrap();
        assert!(freeze.holds(at("2999-01-01T00:00:00Z")));
        insta::assert_snapshot!(freeze, @"frozen by ann until somebody puts `tomorrow` right: a time is written 2026-03-01T04:00:00Z: repairing the database (Guard/orders)");
    }

    #[test]
    fn the_one_that_holds_longest_counts() {
        let freeze = |of: &str, until: &str| Freeze::of_annotations(of, Some(&annotations(until))).unwrap();
        let all = [
            freeze("past", "2026-03-01T00:00:00Z"),
            freeze("short", "2026-03-01T02:00:00Z"),
            freeze("long", "2026-03-01T03:00:00Z"),
        ];
        let longest = Freeze::longest(all.clone(), at("2026-03-01T01:00:00Z")).unwrap();
        assert_eq!(longest.of, "long");
        assert_eq!(Freeze::longest(all, at("2026-03-01T03:00:00Z")), None);
    }
}
