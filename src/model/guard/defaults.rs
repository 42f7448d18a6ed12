//! Pure. What a guard's owner need not write: safe to leave alone.

use std::collections::BTreeMap;

use super::{Empty, EvidencePolicy, LockMatch, Metrics, RetryLock, Rollback, Step, Verify};
use crate::model::units::{Length, Share};

impl Default for EvidencePolicy {
    fn default() -> Self {
        Self {
            enabled: yes(),
            alpha: one_in_ten_thousand(),
            floor: one_in_a_thousand(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            preset: None,
            matching: BTreeMap::new(),
            window: a_minute(),
            signals: BTreeMap::new(),
        }
    }
}

impl Default for RetryLock {
    fn default() -> Self {
        Self {
            length: a_week(),
            matching: LockMatch::State,
            fields: Vec::new(),
        }
    }
}

impl Default for Rollback {
    fn default() -> Self {
        Self {
            within: fifteen_minutes(),
            before: Vec::new(),
            steps: None,
            stages: Vec::new(),
        }
    }
}

impl Default for Verify {
    fn default() -> Self {
        Self {
            conditions: Vec::new(),
            hold: a_minute(),
        }
    }
}

pub(super) fn yes() -> bool {
    true
}
pub(super) fn twenty() -> u32 {
    20
}
pub(super) fn severities() -> String {
    "severities".to_owned()
}
pub(super) fn one_in_a_thousand() -> Share {
    Share(1e-3)
}
pub(super) fn one_in_ten_thousand() -> Share {
    Share(1e-4)
}
pub(super) fn ten_seconds() -> Length {
    Length::seconds(10)
}
pub(super) fn a_minute() -> Length {
    Length::minutes(1)
}
pub(super) fn five_minutes_maybe() -> Option<Length> {
    Some(Length::minutes(5))
}
pub(super) fn ten_minutes() -> Length {
    Length::minutes(10)
}
pub(super) fn fifteen_minutes() -> Length {
    Length::minutes(15)
}
pub(super) fn two_hours() -> Length {
    Length::hours(2)
}
pub(super) fn a_week() -> Length {
    Length::hours(7 * 24)
}
pub(super) fn a_day() -> Length {
    Length::hours(24)
}
pub(super) fn restore_then_wait() -> Vec<Step> {
    let step = Step {
        timeout: five_minutes_maybe(),
        ..Step::default()
    };
    vec![
        Step {
            restore: Some(Empty {}),
            ..step.clone()
        },
        Step {
            wait_ready: Some(Empty {}),
            ..step
        },
    ]
}
