//! IO free. A guard's part of a turn up to its verdict, and what the judge's memory says of the time since.

use std::time::Duration;

use jiff::Timestamp;

use super::guarded::Guarded;
use crate::{
    decide::{Clocks, between, enter::wants_baseline},
    judge::{Context, Overall, Truth, Verdict, judge, verify_conditions},
    model::reading::Reading,
    observe::seen::Seen,
};

impl Guarded {
    /// Judges a reading, or the last one again; what follows is decided when every guard of the turn was judged.
    pub(super) fn look(&mut self, seen: &Seen, reading: Option<&Reading>, now: Timestamp) {
        let since = self.windows_begin(now);
        let Ok(rules) = self.rules.as_mut() else { return };
        if !rules.begun {
            rules.memory.begin(since);
            rules.begun = true;
        }
        let context = Context {
            now,
            since,
            baseline: self.record.baseline.as_ref(),
            facts: &seen.facts,
            rolled_out: seen.rolled_out.is_ok(),
        };
        let verdict = judge(&rules.policy, &mut rules.memory, reading, &context);
        if reading.is_some() {
            let unknown = matches!(verdict.overall, Overall::Unknown { .. });
            self.blind_since = if unknown { self.blind_since.or(Some(now)) } else { None };
        }
        self.judged = Some((verdict, now));
    }

    /// Readings from before the change, or from before the roll-out that is to be proven, count for nothing.
    fn windows_begin(&self, now: Timestamp) -> Timestamp {
        let change = self.record.current.as_ref().map_or(now, |current| current.since);
        let rolled_out = self.case.as_ref().and_then(|case| case.status.rolled_out_at);
        rolled_out.map_or(change, |at| at.max(change))
    }

    pub(super) fn clocks(&mut self, seen: &Seen, verdict: &Verdict, now: Timestamp) -> Clocks {
        let since = self.windows_begin(now);
        // Computed where decide may take it: a state comes, or has none of its own yet.
        let comes = self
            .record
            .current
            .as_ref()
            .is_some_and(|current| current.hash != seen.hash);
        let blind = self.blind_since.map_or(Duration::ZERO, |since| between(since, now));
        let Ok(rules) = &mut self.rules else {
            return Clocks::default();
        };
        let context = Context {
            now,
            since,
            baseline: self.record.baseline.as_ref(),
            facts: &seen.facts,
            rolled_out: seen.rolled_out.is_ok(),
        };
        let wishes = verify_conditions(&rules.policy, &mut rules.memory, &context);
        let names = verdict.triggers.iter().map(|trigger| trigger.name.clone());
        let facts = rules
            .memory
            .facts_quiet_for(now)
            .map(|(name, quiet)| (name.to_owned(), quiet));
        Clocks {
            healthy: rules.memory.healthy_for(),
            requests: rules.memory.requests_since_change(),
            quiet: rules.memory.all_quiet_for(),
            quiet_by: names
                .filter_map(|name| Some((name.clone(), rules.memory.quiet_for(&name)?)))
                .chain(facts)
                .collect(),
            baseline: (comes || wants_baseline(&self.record, &rules.policy, now))
                .then(|| rules.memory.baseline(&rules.policy))
                .flatten(),
            verified: wishes.iter().all(|(_, truth, _)| *truth == Truth::True),
            blind,
        }
    }
}
