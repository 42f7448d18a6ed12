//! Pure. Side by side: while old and new pods of a roll-out both run, what hurts both alike is not the change.
//!
//! Equally bad: the old pods are beyond the trigger's limit as well, and the new ones are not worse than twice as bad, or
//! not surely (each side against the share of both together, wrong once in a hundred times). Where either side answered
//! fewer than the trigger's `minRequests`, nothing is said.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    Finding,
    condition::Relation,
    policy::{Policy, Source},
    share::Count,
    verdict::of,
};

/// New pods that are worse by less are as bad as old ones.
const TWICE: f64 = 2.0;
/// How often chance may make a difference.
const ERROR: f64 = 0.01;

/// Bad requests among all, counted apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sides {
    pub old: Count,
    pub new: Count,
}

/// The place of the counted ratio that a finding rests on: what is to be counted by pod.
pub fn ratio(policy: &Policy, finding: &Finding) -> Option<usize> {
    let place = policy.signal(finding.evidence.signal.as_deref()?)?;
    match policy.signals.get(place)?.source {
        Source::Bad { .. } | Source::Good { .. } => Some(place),
        Source::Complement { of } => Some(of),
        Source::Quantile { .. } | Source::Gauge { .. } | Source::Alerts { .. } | Source::Rate { .. } => None,
    }
}

/// Whether old and new pods are equally bad, in a sentence.
pub fn equally_bad(policy: &Policy, finding: &Finding, sides: Sides) -> Option<String> {
    let rule = policy.triggers.iter().find(|rule| rule.name == finding.name)?;
    let signal = policy.signal(finding.evidence.signal.as_deref()?)?;
    let singles = rule
        .condition
        .comparisons
        .iter()
        .filter_map(|comparison| comparison.single);
    let single = singles.into_iter().find(|single| single.signal == signal)?;
    // Counted are bad ones: of a success rate the others.
    let counts_bad = match policy.signals.get(signal)?.source {
        Source::Bad { .. } => true,
        Source::Complement { of } => matches!(policy.signals.get(of)?.source, Source::Good { .. }),
        Source::Good { .. }
        | Source::Quantile { .. }
        | Source::Gauge { .. }
        | Source::Alerts { .. }
        | Source::Rate { .. } => false,
    };
    let hurts_above = single.relation.upward();
    // The side of the counts that hurts: bad ones above a limit, good ones below it.
    let hurting = |count: Count| {
        if counts_bad == hurts_above {
            count
        } else {
            count.others()
        }
    };
    let (old, new) = (hurting(sides.old), hurting(sides.new));
    let limit = finding.evidence.limit?;
    let limit = if hurts_above { limit } else { 1.0 - limit };
    let enough = f64::from(rule.min_requests.max(1));
    let old_too = old.share().is_some_and(|share| share > limit);
    (old.all >= enough && new.all >= enough && old_too && !is_worse(old, new)).then(|| {
        format!(
            "old pods are as bad as new ones ({} requests against {})",
            of(old),
            of(new)
        )
    })
}

fn is_worse(old: Count, new: Count) -> bool {
    let (Some(before), Some(now), Some(both)) = (old.share(), new.share(), old.plus(new).share()) else {
        return false;
    };
    let surely = new.surely(Relation::Greater, both, ERROR) || old.surely(Relation::Less, both, ERROR);
    now > before * TWICE && surely
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        judge::policy::Policy,
        model::{guard::GuardSpec, incident::Evidence, preset::Preset},
    };

    fn policy() -> Policy {
        let spec: GuardSpec =
            serde_saphyr::from_str("{targets: [{kind: Deployment, name: orders}], metrics: {preset: prometheus-http}}")
                .unwrap();
        Policy::compile("shop", &spec, &Preset::shipped()).unwrap()
    }

    fn found(policy: &Policy, signal: &str) -> Finding {
        let rule = policy
            .triggers
            .iter()
            .find(|rule| rule.text.starts_with(signal))
            .unwrap();
        Finding {
            name: rule.name.clone(),
            action: rule.action,
            grade: rule.grade.clone(),
            rank: 4,
            hard_fact: false,
            evidence: Evidence {
                signal: Some(signal.into()),
                limit: Some(if signal == "error_rate" { 0.05 } else { 0.7 }),
                ..Evidence::default()
            },
        }
    }

    fn said(signal: &str, old: (f64, f64), new: (f64, f64)) -> Option<String> {
        let policy = policy();
        let count = |(some, all)| Count { some, all };
        let sides = Sides {
            old: count(old),
            new: count(new),
        };
        equally_bad(&policy, &found(&policy, signal), sides)
    }

    #[test]
    fn what_old_pods_do_as_well_is_not_this_change() {
        assert_eq!(
            said("error_rate", (31.0, 102.0), (30.0, 100.0)).unwrap(),
            "old pods are as bad as new ones (31 of 102 requests against 30 of 100)"
        );
        assert!(
            said("error_rate", (310.0, 1000.0), (0.0, 100.0)).is_some(),
            "only the old ones are bad"
        );
        assert!(
            said("success_rate", (40.0, 100.0), (43.0, 100.0)).is_some(),
            "six of ten succeed on both"
        );
    }

    #[test]
    fn what_only_new_pods_do_or_far_more_is_the_change() {
        assert_eq!(said("error_rate", (0.0, 1000.0), (30.0, 100.0)), None);
        assert_eq!(
            said("error_rate", (60.0, 1000.0), (30.0, 100.0)),
            None,
            "6 % against 30 %"
        );
        assert_eq!(
            said("success_rate", (10.0, 100.0), (43.0, 100.0)),
            None,
            "nine of ten against six"
        );
    }

    #[test]
    fn too_few_requests_tell_nothing() {
        assert_eq!(said("error_rate", (6.0, 19.0), (30.0, 100.0)), None);
        assert_eq!(said("error_rate", (31.0, 102.0), (6.0, 19.0)), None);
        assert_eq!(said("error_rate", (0.0, 0.0), (30.0, 100.0)), None);
    }

    #[test]
    fn only_counted_ratios_can_be_counted_by_pod() {
        let policy = policy();
        let named =
            |signal: &str| ratio(&policy, &found(&policy, signal)).map(|place| policy.signals[place].name.clone());
        assert_eq!(named("success_rate").as_deref(), Some("error_rate"));
        assert_eq!(named("error_rate").as_deref(), Some("error_rate"));
        assert_eq!(named("response_time"), None);
    }
}
