//! `histogram_quantile` over classic buckets, with the real server's corner cases. Pure.

use std::collections::HashMap;

use super::{
    evaluate::Element,
    exposition,
    series::{Labels, Millis},
};

/// One element per histogram; a bucket whose `le` is no number is left out with a warning.
pub(crate) fn quantiles(share: f64, elements: Vec<Element>, now: Millis, warnings: &mut Vec<String>) -> Vec<Element> {
    let mut groups: Vec<(Labels, Vec<(f64, f64)>)> = Vec::new();
    let mut places: HashMap<Labels, usize> = HashMap::new();
    if !(0.0..=1.0).contains(&share) {
        warnings.push(format!(
            "PromQL warning: quantile value should be between 0 and 1, got {share}"
        ));
    }
    for element in elements {
        let le = element.label("le");
        let Some(bound) = exposition::number(le) else {
            let name = element.name.as_deref().unwrap_or_default();
            let warning = format!(
                "PromQL warning: bucket label \"le\" is missing or has a malformed value of \
                 \"{le}\" for metric name \"{name}\""
            );
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
            continue;
        };
        let rest: Labels = element
            .labels
            .iter()
            .filter(|(name, _)| **name != *"le")
            .cloned()
            .collect();
        let place = *places.entry(rest.clone()).or_insert_with(|| {
            groups.push((rest, Vec::new()));
            groups.len() - 1
        });
        if let Some((_, buckets)) = groups.get_mut(place) {
            buckets.push((bound, element.value));
        }
    }
    let found = groups.into_iter().map(|(labels, buckets)| Element {
        name: None,
        labels,
        value: quantile(share, buckets),
        time: now,
    });
    found.collect()
}

fn quantile(share: f64, mut buckets: Vec<(f64, f64)>) -> f64 {
    if share.is_nan() {
        return f64::NAN;
    }
    if share < 0.0 {
        return f64::NEG_INFINITY;
    }
    if share > 1.0 {
        return f64::INFINITY;
    }
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let Some((bound, _)) = buckets.last() else {
        return f64::NAN;
    };
    if *bound < f64::INFINITY {
        return f64::NAN;
    }
    merge_equal(&mut buckets);
    let mut most = f64::NEG_INFINITY;
    for (_, count) in &mut buckets {
        most = most.max(*count);
        *count = most;
    }
    let total = buckets.last().map_or(0.0, |(_, count)| *count);
    if buckets.len() < 2 || total <= 0.0 {
        return f64::NAN;
    }
    let rank = share * total;
    let last = buckets.len() - 1;
    let at = buckets[..last]
        .iter()
        .position(|(_, count)| *count >= rank)
        .unwrap_or(last);
    if at == last {
        return buckets[last - 1].0;
    }
    let (end, count) = buckets[at];
    if at == 0 && end <= 0.0 {
        return end;
    }
    let (start, below) = if at == 0 { (0.0, 0.0) } else { buckets[at - 1] };
    start + (end - start) * ((rank - below) / (count - below))
}

/// `1` and `1.0` are one bucket.
fn merge_equal(buckets: &mut Vec<(f64, f64)>) {
    buckets.dedup_by(|next, kept| {
        let same = next.0.total_cmp(&kept.0).is_eq();
        if same {
            kept.1 += next.1;
        }
        same
    });
}
