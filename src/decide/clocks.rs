//! Pure. What the judge remembers of a guard, as a decision asks for it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Clocks, enter::wants_baseline};
use crate::{
    judge::{Context, Memory, Truth, Verdict, policy::Policy, verify_conditions},
    model::{guard::GuardStatus, incident::IncidentStatus},
};

impl Clocks {
    /// As of this verdict. The baseline is computed only where it is `wanted`; how long nothing was known is the caller's.
    pub fn of(policy: &Policy, memory: &mut Memory, verdict: &Verdict, context: &Context<'_>, wanted: bool) -> Self {
        let wishes = verify_conditions(policy, memory, context);
        let names = verdict.triggers.iter().map(|trigger| trigger.name.clone());
        let facts = memory
            .facts_quiet_for(context.now)
            .map(|(name, quiet)| (name.to_owned(), quiet));
        Self {
            healthy: memory.healthy_for(),
            requests: memory.requests_since_change(),
            quiet: memory.all_quiet_for(),
            quiet_by: names
                .filter_map(|name| Some((name.clone(), memory.quiet_for(&name)?)))
                .chain(facts)
                .collect(),
            baseline: wanted.then(|| memory.baseline(policy)).flatten(),
            counts: if wanted { memory.counts(policy) } else { BTreeMap::new() },
            verified: wishes.iter().all(|(_, truth, _)| *truth == Truth::True),
            harm: memory.harm(),
            blind: std::time::Duration::ZERO,
        }
    }
}

/// Readings from before the change, or from before the roll-out that is to be proven, count for nothing.
pub fn windows_begin(record: &GuardStatus, case: Option<&IncidentStatus>, now: Timestamp) -> Timestamp {
    let change = record.current.as_ref().map_or(now, |current| current.since);
    let rolled_out = case.and_then(|status| status.rolled_out_at);
    rolled_out.map_or(change, |at| at.max(change))
}

/// Whether decide may take a baseline now: a state comes, or has none of its own yet.
pub fn may_take_baseline(record: &GuardStatus, policy: &Policy, hash: &str, now: Timestamp) -> bool {
    let current = record.current.as_ref();
    current.is_some_and(|current| current.hash != hash) || wants_baseline(record, policy, now)
}
