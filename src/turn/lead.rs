//! IO. Who acts in a turn: this copy, or another one, which it follows.
//!
//! A follower sees and judges, so that its memory is the leader's; of what it would decide and write it does nothing. What the
//! leader wrote is its record. Who begins to lead reads first, from the API server itself, what was written before.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::{Daemon, by_hand::Followed, guarded::Guarded, met::remembered, rehearsals::Rehearsed};
use crate::{
    decide::{Record, standing},
    model::incident::Incident,
    observe::cache::Cache,
};

/// Watches that lag are looked at again after so long.
const AGAIN: Duration = Duration::from_millis(500);

impl Daemon {
    /// Whether this copy acts, and knows that it still may.
    pub(super) fn leads(&self) -> bool {
        self.term.is_some() && self.fence.term() == self.term
    }

    /// Whether a term of this copy waits for its first turn.
    pub(super) fn begins(&self) -> bool {
        let rests = self.lagged_at.is_some_and(|at| at.elapsed() < AGAIN);
        !rests && self.fence.term().is_some_and(|term| self.term != Some(term))
    }

    /// Takes guards in, and settles who acts in this turn.
    pub(super) async fn lead_or_follow(&mut self) {
        let (held, begins) = (self.fence.term(), self.begins());
        let begun = held.filter(|_| begins);
        let begun = if begins && self.knows_all().await { begun } else { None };
        if begun.is_some() && self.settings.guard.is_some() {
            // Prometheus was not asked meanwhile: its past is read as after a start.
            self.guards.clear();
        }
        self.meet_guards();
        self.term = begun.or(self.term.filter(|_| held == self.term));
        if begun.is_some() || self.term.is_none() {
            let now = self.clock.now();
            for guarded in self.guards.values_mut() {
                guarded.remember(&self.cluster.incidents, now);
            }
        }
        if let Some(term) = begun {
            self.api.versions.forget_all();
            self.fence.enter(term);
        }
    }

    /// Whether the watches show at least what the API server holds now: a watch may lag, and the leader before may have
    /// written right before it stopped.
    async fn knows_all(&mut self) -> bool {
        match self.cluster.lags(&self.api).await {
            Ok(None) => return true,
            Ok(Some(what)) => tracing::debug!("acts as soon as the watch shows what was last written to {what}"),
            Err(why) => tracing::warn!("cannot read what was written before, trying again: {why}"),
        }
        self.lagged_at = Some(Instant::now());
        let changes = self.cluster.changes.clone();
        tokio::spawn(async move {
            sleep(AGAIN).await;
            changes.touch("");
        });
        false
    }

    /// Shows what was judged; the leader decides.
    pub(super) fn watch_only(&mut self, now: Timestamp) {
        for guarded in self.guards.values_mut() {
            guarded.watch_only(now);
        }
        self.publish();
    }
}

impl Guarded {
    /// What the leader wrote is what is known; of what this copy would have done or told nothing is kept.
    fn remember(&mut self, incidents: &Cache<Incident>, now: Timestamp) {
        let (record, case) = remembered(&self.guard, incidents);
        let began = |record: &Record| {
            let current = record.current.as_ref();
            (
                current.map(|current| (current.hash.clone(), current.since)),
                record.thawed_at,
            )
        };
        let anew = began(&record) != began(&self.record);
        if record.conditions != self.record.conditions {
            self.rehearsed = Rehearsed::remembered(&record.conditions);
        }
        (self.written, self.record, self.case) = (record.clone(), record, case);
        let since = self.windows_begin(now);
        if let Some(rules) = self.rules.as_mut().ok().filter(|_| anew) {
            rules.memory.begin(since);
            rules.begun = true;
        }
        self.followed = Followed::default();
        self.given.clear();
        self.failing.clear();
        self.not_this_change.clear();
        self.uncompared.clear();
    }

    fn watch_only(&mut self, now: Timestamp) {
        self.shown.state = self.record.state;
        self.shown.waits_for = None;
        let judged = self.judged.take();
        let (Some((verdict, _)), Some(policy)) = (judged, self.policy()) else {
            return;
        };
        let case = self.case.as_ref().map(|case| &case.status);
        self.shown.state = Some(standing::state(&self.record, case, &verdict, &policy, now));
        self.shown.verdict = Some(verdict);
    }
}
