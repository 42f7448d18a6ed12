//! IO free. A guard's part of a turn up to its verdict, and what the judge's memory says of the time since.

use std::time::Duration;

use jiff::Timestamp;

use super::guarded::Guarded;
use crate::{
    decide::{
        Clocks, between,
        clocks::{context, windows_begin},
        recovered::RELAPSE,
    },
    judge::{Overall, judge},
    model::{guard::GuardSpec, reading::Reading},
    observe::{
        for_people::for_people,
        seen::{Seen, Watched},
    },
};

impl Guarded {
    /// What is guarded, and how its roll-outs were seen so far.
    pub(super) fn watched(&mut self) -> (&GuardSpec, Watched<'_>) {
        let current = self.record.current.as_ref();
        let watched = Watched {
            rolling: current.is_some_and(|current| current.rolling_since.is_some()),
            progress: &mut self.progress,
            now: tokio::time::Instant::now(),
        };
        (&self.guard.spec, watched)
    }

    /// Judges a reading, or the last one again; what follows is decided when every guard of the turn was judged.
    pub(super) fn look(&mut self, seen: &Seen, reading: Option<&Reading>, now: Timestamp) {
        let since = self.windows_begin(now);
        let Ok(rules) = self.rules.as_mut() else { return };
        if !rules.begun {
            rules.memory.begin(since);
            rules.begun = true;
        }
        let context = context(&self.record, seen, since, now);
        let mut verdict = judge(&rules.policy, &mut rules.memory, reading, &context);
        for evidence in verdict.firing.iter_mut().map(|finding| &mut finding.evidence) {
            let signal = evidence.signal.as_ref().and_then(|name| rules.policy.signal(name));
            evidence.query = signal.and_then(|signal| for_people(&rules.policy, signal));
        }
        if self.case.is_none() && verdict.overall == Overall::Healthy {
            rules.memory.calm();
        }
        if reading.is_some() {
            self.not_this_change.clear();
            self.uncompared
                .retain(|trigger, _| verdict.firing.iter().any(|finding| finding.name == *trigger));
            let unknown = matches!(verdict.overall, Overall::Unknown { .. });
            self.blind_since = if unknown { self.blind_since.or(Some(now)) } else { None };
        } else {
            // The last poll could not compare old and new pods: whatever else happens, that is asked first.
            let (uncompared, for_people) = (&self.uncompared, &self.not_this_change);
            let held = |name: &String| uncompared.contains_key(name) && !for_people.contains_key(name);
            verdict.firing.retain(|finding| !held(&finding.name));
        }
        self.judged = Some((verdict, now));
    }

    /// Whether a change is watched whose latencies are weighed, by counts of buckets.
    pub(super) fn weighs_latency(&self, now: Timestamp) -> bool {
        let Ok(rules) = &self.rules else { return false };
        let watched = || between(self.windows_begin(now), now) < rules.policy.watch_for.max(RELAPSE);
        rules.policy.timed().next().is_some() && watched()
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
        let context = context(&self.record, seen, since, now);
        let clocks = Clocks::of(&rules.policy, &mut rules.memory, &context, &self.record, &seen.hash);
        let given = std::mem::take(&mut self.given);
        Clocks { blind, given, ..clocks }
    }
}
