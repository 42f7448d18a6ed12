//! Pure. Which selectors and queries a guard's signals are read from.

use std::collections::BTreeMap;

use super::query::{Form, quoted, suffixed};
use crate::judge::policy::{BY, MATCH, Policy, Source, matched_selector};

/// The selector whose newest sample tells how old a guard's numbers are: the first that counts all requests, otherwise the
/// first of a gauge.
pub fn heartbeat(policy: &Policy) -> Option<String> {
    let gauge = |source: &Source| match source {
        Source::Gauge { query } => matched_selector(query),
        Source::Bad { .. }
        | Source::Good { .. }
        | Source::Rate { .. }
        | Source::Quantile { .. }
        | Source::Complement { .. }
        | Source::Alerts { .. } => None,
    };
    let gauges = || policy.signals.iter().find_map(|signal| gauge(&signal.source));
    counted(policy).or_else(gauges)
}

/// The first selector that counts all requests.
pub fn counted(policy: &Policy) -> Option<String> {
    policy.signals.iter().find_map(|signal| match &signal.source {
        Source::Bad { total, .. } | Source::Good { total, .. } => Some(total.clone()),
        Source::Rate { counter } => Some(counter.clone()),
        Source::Quantile { histogram, .. } => Some(suffixed(histogram, "_count")),
        Source::Complement { .. } | Source::Gauge { .. } | Source::Alerts { .. } => None,
    })
}

/// The query of a gauge: of one guard, or of all together.
pub fn gauge(query: &str) -> Form {
    let query = query.to_owned();
    if query.contains(MATCH) {
        Form::Shared { query }
    } else {
        Form::Own { query }
    }
}

/// The query for the alerts that fire with these labels.
pub fn firing(labels: &BTreeMap<String, String>) -> Form {
    let labels = labels.iter().map(|(name, value)| format!("{name}={}, ", quoted(value)));
    Form::Shared {
        query: format!(
            "count by ({BY}) (ALERTS{{alertstate=\"firing\", {}{MATCH}}})",
            labels.collect::<String>()
        ),
    }
}
