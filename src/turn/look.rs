//! IO free. A guard's part of a turn up to its verdict, and what the judge's memory says of the time since.

use std::time::Duration;

use jiff::Timestamp;

use super::guarded::Guarded;
use crate::{
    decide::{Clocks, between, clocks::windows_begin},
    judge::{Context, Overall, judge},
    model::reading::Reading,
    observe::{prometheus_plan::for_people, seen::Seen},
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
        let mut verdict = judge(&rules.policy, &mut rules.memory, reading, &context);
        for evidence in verdict.firing.iter_mut().map(|finding| &mut finding.evidence) {
            let signal = evidence.signal.as_ref().and_then(|name| rules.policy.signal(name));
            evidence.query = signal.and_then(|signal| for_people(&rules.policy, signal));
        }
        if self.case.is_none() && verdict.overall == Overall::Healthy {
            rules.memory.calm();
        }
        if reading.is_some() {
            self.equally_bad.clear();
            let unknown = matches!(verdict.overall, Overall::Unknown { .. });
            self.blind_since = if unknown { self.blind_since.or(Some(now)) } else { None };
        }
        self.judged = Some((verdict, now));
    }

    pub(super) fn windows_begin(&self, now: Timestamp) -> Timestamp {
        windows_begin(&self.record, self.case.as_ref().map(|case| &case.status), now)
    }

    pub(super) fn clocks(&mut self, seen: &Seen, now: Timestamp) -> Clocks {
        let since = self.windows_begin(now);
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
        let clocks = Clocks::of(&rules.policy, &mut rules.memory, &context, &self.record, &seen.hash);
        Clocks { blind, ..clocks }
    }
}
