//! Pure. What the judge remembers of a guard, as a decision asks for it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Clocks, baseline::wants_baseline};
use crate::{
    judge::{
        Context, Memory, Truth, plain_conditions,
        policy::{BeforeCheck, Policy},
        verify_conditions,
    },
    model::{guard::GuardStatus, incident::IncidentStatus},
    observe::seen::Seen,
};

impl Clocks {
    /// As of now, for a guard with this record that sees a state of that hash. How long nothing was known is the caller's.
    pub fn of(policy: &Policy, memory: &mut Memory, context: &Context<'_>, record: &GuardStatus, hash: &str) -> Self {
        let wanted = may_take_baseline(record, policy, hash, context.now);
        let wishes = verify_conditions(policy, memory, context);
        let inherited = record.current.iter().flat_map(|current| &current.held_before);
        let quiet = |name: &String| {
            let mut facts = memory.facts_quiet_for(context.now);
            let fact = facts.find(|(fact, _)| *fact == name.as_str()).map(|(_, quiet)| quiet);
            memory.quiet_for(name).or(fact)
        };
        Self {
            healthy: memory.healthy_for(),
            given: BTreeMap::new(),
            requests: memory.requests_since_change(),
            quiet: memory.all_quiet_for(),
            quiet_by: inherited
                .filter_map(|name| Some((name.clone(), quiet(name)?)))
                .collect(),
            baseline: wanted.then(|| memory.baseline(policy)).flatten(),
            counts: if wanted { memory.counts(policy) } else { BTreeMap::new() },
            unmet: unmet(policy, memory, context),
            verified: wishes.is_empty()
                || wishes.iter().all(|(_, truth, _)| *truth == Truth::True) && memory.verified_for() >= policy.hold,
            harm: memory.harm(),
            blind: std::time::Duration::ZERO,
        }
    }
}

/// The first check before the first write that does not hold, and what it says. What is not known does not hold.
fn unmet(policy: &Policy, memory: &mut Memory, context: &Context<'_>) -> Option<String> {
    let told = plain_conditions(policy.before_conditions(), policy, memory, context);
    let is_condition = |check: &BeforeCheck| matches!(check, BeforeCheck::Condition(_));
    let checks = policy.before.iter().filter(|before| is_condition(&before.check));
    let (check, (_, _, sentence)) = checks.zip(told).find(|(_, (_, truth, _))| *truth != Truth::True)?;
    Some(format!("`{}` does not hold: {sentence}", check.name))
}

/// What the judge must know of a guard with this record whose targets look so; its windows begin at `since`.
pub fn context<'a>(record: &'a GuardStatus, seen: &'a Seen, since: Timestamp, now: Timestamp) -> Context<'a> {
    Context {
        now,
        since,
        baseline: record.baseline.as_ref(),
        facts: &seen.facts,
        rolled_out: seen.rolled_out.is_ok(),
    }
}

/// Readings from before the change, from before the roll-out that is to be proven, or from a freeze, count for nothing.
pub fn windows_begin(record: &GuardStatus, case: Option<&IncidentStatus>, now: Timestamp) -> Timestamp {
    let change = record.current.as_ref().map_or(now, |current| current.since);
    let rolled_out = case.and_then(|status| status.rolled_out_at);
    let later = rolled_out.into_iter().chain(record.thawed_at);
    later.fold(change, Timestamp::max)
}

/// Whether decide may take a baseline now: a state comes, or has none of its own yet.
fn may_take_baseline(record: &GuardStatus, policy: &Policy, hash: &str, now: Timestamp) -> bool {
    let current = record.current.as_ref();
    current.is_some_and(|current| current.hash != hash) || wants_baseline(record, policy, now)
}
