//! IO. After a start: what the judge would remember had it never stopped, read again from Prometheus' past.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{Daemon, guarded::Guarded};
use crate::{
    decide::clocks::context,
    judge::{policy::Policy, recall},
    model::reading::Reading,
    observe::{
        past::{Stretch, Wanted},
        seen::Seen,
    },
};

/// Windows, holds and clocks reach back so far at most.
const AN_HOUR: SignedDuration = SignedDuration::from_hours(1);
/// Healthy time and evidence reach back so far, in coarser steps.
const A_DAY: SignedDuration = SignedDuration::from_hours(24);
const COARSE: Duration = Duration::from_secs(60);
/// Reading the past may take so many time-outs: nothing is judged before.
const PATIENCE: u32 = 3;
/// The longest step between two past readings, and the shortest.
const LONGEST_STEP: Duration = Duration::from_secs(15);
const SHORTEST_STEP: Duration = Duration::from_secs(1);

impl Daemon {
    /// Fills the memories of guards that have none yet. Where Prometheus does not answer it is tried again next time.
    pub(super) async fn recall(&mut self) {
        if self.guards.values().all(Guarded::remembers) {
            return;
        }
        let looks = self.see(None).await;
        let now = self.clock.now();
        let mut wanted = BTreeMap::new();
        for (key, guarded) in &mut self.guards {
            if let Some(Ok(seen)) = looks.get(key) {
                wanted.extend(guarded.wants_past(seen, now).map(|past| (key.clone(), past)));
            }
        }
        if wanted.is_empty() {
            return;
        }
        let Some(mut past) = self.poller.past(&wanted, now, PATIENCE).await else {
            return;
        };
        tracing::info!(guards = wanted.len(), "read the past of {} guards again", wanted.len());
        for key in wanted.keys() {
            let readings = past.remove(key).unwrap_or_default();
            if let (Some(guarded), Some(Ok(seen))) = (self.guards.get_mut(key), looks.get(key)) {
                guarded.recall(seen, &readings, now);
            }
        }
    }
}

impl Guarded {
    /// Nothing of its past is to be read any more.
    fn remembers(&self) -> bool {
        self.rules.as_ref().map_or(true, |rules| rules.remembers)
    }

    /// Which past the memory is to be filled with: that of the state that was there before and still is. Since when
    /// another one has been there nobody knows: then nothing is read.
    fn wants_past(&mut self, seen: &Seen, now: Timestamp) -> Option<Wanted> {
        let begin = self.windows_begin(now);
        let current = self.record.current.as_ref();
        let same = current.is_some_and(|current| current.hash == seen.hash);
        let closely = self.weighs_latency(now);
        let rules = self.rules.as_mut().ok().filter(|rules| !rules.remembers)?;
        if !same {
            rules.remembers = true;
            return None;
        }
        Some(Wanted {
            policy: rules.policy.clone(),
            stretches: stretches(begin, now, step(&rules.policy)).into(),
            closely,
        })
    }

    fn recall(&mut self, seen: &Seen, past: &[Reading], now: Timestamp) {
        let since = self.windows_begin(now);
        let whole_since = seen.whole_since.zip(self.seen_whole());
        let whole_since = whole_since.map(|(theirs, ours)| theirs.max(ours));
        let Ok(rules) = &mut self.rules else { return };
        let context = context(&self.record, seen, since, now);
        recall(&rules.policy, &mut rules.memory, past, whole_since, &context);
        (rules.begun, rules.remembers) = (true, true);
    }
}

impl Guarded {
    /// Since when the roll-out was complete on the daemon's own clock, as far as that was noted: the API server's may be
    /// minutes behind, and what came before the roll-out was complete is no healthy time. Nothing where it was under way when
    /// the daemon stopped.
    fn seen_whole(&self) -> Option<Timestamp> {
        let current = self.record.current.as_ref()?;
        let noted = self.record.roll_out.as_ref().filter(|done| done.hash == current.hash);
        current
            .rolling_since
            .is_none()
            .then(|| noted.map_or(Timestamp::MIN, |done| done.at))
    }
}

/// The past that is read, from `begin` on: the last hour in these steps, and a day before in coarser ones. A proven state's
/// healthy time is collected over it, and a change's evidence is weighed from its beginning.
fn stretches(begin: Timestamp, now: Timestamp, step: Duration) -> [Stretch; 2] {
    let back = |length| begin.max(now.checked_sub(length).unwrap_or(Timestamp::MIN));
    let hour = Stretch {
        from: back(AN_HOUR),
        to: None,
        step,
    };
    let day = Stretch {
        from: back(A_DAY),
        to: Some(hour.from),
        step: COARSE,
    };
    [day, hour]
}

/// A quarter of the window, in whole seconds.
fn step(policy: &Policy) -> Duration {
    Duration::from_secs((policy.window / 4).as_secs()).clamp(SHORTEST_STEP, LONGEST_STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_read_back_to_the_change_within_a_day() {
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        let ago = |hours| now - SignedDuration::from_hours(hours);
        let step = Duration::from_secs(15);
        for (change, from) in [(5, 5), (30, 24)] {
            let [day, hour] = stretches(ago(change), now, step);
            assert_eq!(
                (day.from, day.to, day.step),
                (ago(from), Some(ago(1)), COARSE),
                "{change} h"
            );
            assert_eq!((hour.from, hour.to, hour.step), (ago(1), None, step), "{change} h");
        }
        let minute = now - SignedDuration::from_mins(1);
        let [day, hour] = stretches(minute, now, step);
        assert_eq!(
            (day.from, day.to, hour.from),
            (minute, Some(minute), minute),
            "nothing before the change"
        );
    }
}
