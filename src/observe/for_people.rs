//! Pure. Queries as people would ask them, for an incident's evidence.

use super::{
    prometheus_selectors::{firing, gauge},
    query::{Form, Names, Values, selected},
};
use crate::judge::policy::{Policy, Source};

/// A query that shows the signal as people would ask for it, over the policy's window. Where it counts, modosu's own queries
/// are more exact.
pub fn for_people(policy: &Policy, signal: usize) -> Option<String> {
    let (names, values): (Names, Values) = policy.matching.clone().into_iter().unzip();
    let rate = |selector: &str| {
        let over = policy.window.as_secs().max(1);
        format!("sum(rate({}[{over}s]))", selected(selector, &names, &values))
    };
    Some(match &policy.signals.get(signal)?.source {
        Source::Bad { bad: part, total } | Source::Good { good: part, total } => {
            format!("{} / {}", rate(part), rate(total))
        }
        Source::Complement { of } if *of != signal => format!("1 - {}", for_people(policy, *of)?),
        Source::Complement { .. } => return None,
        Source::Rate { counter } => rate(counter),
        Source::Quantile { histogram, q, scale } => {
            let (q, over) = (q.to_string(), policy.window);
            let histogram = histogram.clone();
            let text = Form::Quantile { histogram, q, over }.text(&names, [&values]);
            if scale.total_cmp(&1.0).is_eq() {
                text
            } else {
                format!("({text}) * {scale}")
            }
        }
        Source::Gauge { query } => gauge(query).text(&names, [&values]),
        Source::Alerts { labels } => firing(labels).text(&names, [&values]),
    })
}
