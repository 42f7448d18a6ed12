//! Pure. What later states are compared with: when it is taken, and of which healthy time.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use super::{Happened, Input, Step, enter::on_probation, happened::named};
use crate::{
    judge::policy::{Policy, Reference},
    model::guard::{Baseline, GuardStatus},
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
    let before = input.record.baseline.as_ref().filter(|before| before.hash == hash);
    for (name, known) in before.iter().flat_map(|before| &before.counts) {
        let now = counts.entry(name.clone()).or_insert(*known);
        if now.seconds < known.seconds {
            *now = *known;
        }
    }
    Baseline {
        taken_at: input.now,
        hash,
        counts,
        values: own(&input.policy.reference, values),
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
