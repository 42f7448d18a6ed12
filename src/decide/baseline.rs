//! Pure. What later states are compared with: when it is taken, and of which healthy time.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use super::{Happened, Input, Step, enter::on_probation, happened::named};
use crate::{
    judge::{
        policy::{Policy, Reference},
        usual::Usual,
    },
    model::guard::{Baseline, BaselineCounts, GuardStatus},
};

/// Takes the baseline where one is wanted.
pub fn take_baseline(input: &Input, step: &mut Step) {
    take_given(input, step);
    let Some(current) = &step.record.current else { return };
    let known = step.record.baseline.as_ref().filter(|known| known.hash == current.hash);
    let more = |values: &&BTreeMap<String, f64>| {
        let new =
            |name: &String| !input.policy.reference.gives(name) && !known.is_some_and(|b| b.values.contains_key(name));
        known.is_none() || values.keys().any(new)
    };
    let values = input.clocks.baseline.as_ref().filter(more);
    if let Some(values) = values.filter(|_| wants_baseline(&step.record, input.policy, input.now)) {
        let hash = current.hash.clone();
        step.happened.push(Happened::BaselineTaken {
            of: format!("the healthy time of {}", named(&hash, &current.images)),
        });
        let given = step.record.baseline.iter().flat_map(|before| before.values.clone());
        let given: Vec<_> = given.filter(|(name, _)| input.policy.reference.gives(name)).collect();
        let mut taken = of_healthy_time(input, hash, values);
        taken.values.extend(given);
        step.record.baseline = Some(taken);
    }
}

/// What was asked for elsewhere, once it is there.
fn take_given(input: &Input, step: &mut Step) {
    let by = match &input.policy.reference {
        Reference::Offset(_) => "the same time before",
        Reference::Query(_) => "its query",
        Reference::Healthy | Reference::Fixed(_) => return,
    };
    let given = input
        .clocks
        .given
        .iter()
        .filter(|(name, _)| input.policy.reference.gives(name));
    let given: Vec<_> = given.map(|(name, value)| (name.clone(), *value)).collect();
    if given.is_empty() {
        return;
    }
    let known = step.record.baseline.get_or_insert_with(|| Baseline {
        taken_at: input.now,
        hash: String::new(),
        counts: BTreeMap::new(),
        values: BTreeMap::new(),
    });
    known.taken_at = input.now;
    known.values.extend(given);
    step.happened.push(Happened::BaselineGiven { by: by.to_owned() });
}

/// Whether the baseline must be asked for: a change came since, or there was none.
pub fn wants_given(record: &GuardStatus, policy: &Policy) -> bool {
    let known = |name: &String| {
        record
            .baseline
            .as_ref()
            .is_some_and(|known| known.values.contains_key(name))
    };
    record.current.is_some()
        && match &policy.reference {
            Reference::Offset(_) => !policy.signals.iter().any(|signal| known(&signal.name)),
            Reference::Query(queries) => !queries.keys().all(known),
            Reference::Healthy | Reference::Fixed(_) => false,
        }
}

/// The healthy time so far of the state of that hash. Counts that are already known of it and cover more stay: after a start
/// modosu has only seen the time since.
pub fn of_healthy_time(input: &Input, hash: String, values: &BTreeMap<String, f64>) -> Baseline {
    let mut counts = input.clocks.counts.clone();
    if let Some(before) = &input.record.baseline {
        if before.hash == hash {
            longer(&mut counts, &before.counts);
        } else {
            remember(&mut counts, &before.counts);
        }
    }
    Baseline {
        taken_at: input.now,
        hash,
        counts,
        values: own(&input.policy.reference, values),
    }
}

/// Of the same state: what covers more.
fn longer(counts: &mut BTreeMap<String, BaselineCounts>, known: &BTreeMap<String, BaselineCounts>) {
    for (name, known) in known {
        let now = counts.entry(name.clone()).or_insert(*known);
        if now.seconds < known.seconds {
            *now = *known;
        }
        now.earlier = known.earlier;
    }
}

/// How unevenly it came in the states before.
fn remember(counts: &mut BTreeMap<String, BaselineCounts>, before: &BTreeMap<String, BaselineCounts>) {
    for (name, now) in counts.iter_mut().filter(|(_, now)| now.slower_than.is_none()) {
        now.earlier = before.get(name).map(|before| Usual::from(*before).remembered());
    }
}

/// What healthy time gives.
fn own(reference: &Reference, values: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let own = values.iter().filter(|(name, _)| !reference.gives(name));
    own.map(|(name, value)| (name.clone(), *value)).collect()
}

/// Outside probation a state is compared with its own healthy time; the very first one too, having nothing before it. What
/// was first taken is taken again when more of its signals have become known.
pub fn wants_baseline(record: &GuardStatus, policy: &Policy, now: jiff::Timestamp) -> bool {
    let Some(current) = &record.current else { return false };
    let baseline = record.baseline.as_ref();
    let own = baseline.filter(|baseline| baseline.hash == current.hash);
    let whole = own.is_some_and(|own| own.values.len() >= policy.signals.len());
    let nothing = baseline.is_none_or(|baseline| baseline.hash.is_empty());
    let first = record.restore_to.is_none() && (nothing || own.is_some() && !whole);
    let own = own.is_some();
    let steady = current.proven && !on_probation(current, policy, now);
    first || (steady && !own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(dispersion: f64, seconds: f64) -> BTreeMap<String, BaselineCounts> {
        let counts = BaselineCounts {
            requests: 1000.0,
            bad: 10.0,
            dispersion,
            per_step: 30.0,
            seconds,
            slower_than: None,
            earlier: None,
        };
        [("error_rate".to_owned(), counts)].into()
    }

    #[test]
    fn a_release_keeps_how_unevenly_it_came_before_it_and_a_longer_look_at_the_same_state_keeps_that() {
        let mut of_release = counted(1.0, 3600.0);
        remember(&mut of_release, &counted(10.0, 86_400.0));
        let earlier = of_release["error_rate"].earlier.unwrap();
        assert!(earlier.dispersion > 9.9 && earlier.seconds > 86_399.0, "{earlier:?}");
        for seconds in [600.0, 7200.0] {
            let mut later = counted(1.0, seconds);
            longer(&mut later, &of_release);
            let known = later["error_rate"];
            assert!(known.seconds >= seconds.max(3600.0), "what covers more");
            assert_eq!(known.earlier, Some(earlier));
        }
    }
}
