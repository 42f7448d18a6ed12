//! Pure. Whether a roll-out comes on, for kinds whose controllers do not say: StatefulSets and DaemonSets.
//!
//! How long it stands still is counted on the daemon's own steady clock, from when the daemon saw it. What the API server
//! says of times only tells one state of a pod from another: its clock may be minutes away from the daemon's.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::objects::{Pod, Workload};
use crate::model::guard::TargetRef;

/// The default of a Deployment's `progressDeadlineSeconds`.
const DEADLINE: Duration = Duration::from_secs(600);

/// The roll-outs of one guard, as far as the daemon saw them.
#[derive(Clone, Debug, Default)]
pub struct Progress(BTreeMap<TargetRef, RollOut>);

/// One roll-out, since its template came.
#[derive(Clone, Debug)]
struct RollOut {
    template: String,
    /// The most pods that were updated, and the most of these that were Ready.
    most: (i64, usize),
    /// When that last grew.
    grew: Instant,
    /// It was complete once: what is not Ready later is not its fault.
    complete: bool,
    /// Pods that are not Ready, each in the words of the API server, and when they were first seen so.
    unready: BTreeMap<(String, Option<Timestamp>), Instant>,
}

impl Progress {
    /// Takes in how a workload stands at this moment; `pods` are those of its newest revision. What a Deployment's controller
    /// says by itself, where it stands still: the roll-out was never complete, came no farther for ten minutes, and a pod of
    /// the new revision was not Ready all that time.
    pub fn stalls(
        &mut self,
        target: &TargetRef,
        workload: &Workload,
        pods: &[(String, Arc<Pod>)],
        now: Instant,
    ) -> Option<String> {
        let known = self.0.remove(target);
        let mut roll_out = known
            .filter(|known| known.template == workload.template)
            .unwrap_or_else(|| RollOut {
                template: workload.template.clone(),
                most: (0, 0),
                grew: now,
                complete: false,
                unready: BTreeMap::new(),
            });
        roll_out.see(workload, pods, now);
        let stalls = roll_out.stalls(now);
        self.0.insert(target.clone(), roll_out);
        stalls
    }
}

impl RollOut {
    fn see(&mut self, workload: &Workload, pods: &[(String, Arc<Pod>)], now: Instant) {
        self.complete |= workload.rollout.complete().is_ok();
        let ready = pods.iter().filter(|(_, pod)| pod.ready).count();
        let (updated, most_ready) = self.most;
        if workload.rollout.updated > updated || ready > most_ready {
            self.most = (updated.max(workload.rollout.updated), most_ready.max(ready));
            self.grew = now;
        }
        let unready = pods.iter().filter(|(_, pod)| !pod.ready);
        let seen = unready.map(|(name, pod)| {
            let one = (name.clone(), pod.unready_since);
            let first = self.unready.get(&one).copied().unwrap_or(now);
            (one, first)
        });
        self.unready = seen.collect();
    }

    fn stalls(&self, now: Instant) -> Option<String> {
        let long = |since: Instant| now.saturating_duration_since(since) >= DEADLINE;
        if self.complete || !long(self.grew) {
            return None;
        }
        let ((name, _), _) = self.unready.iter().find(|(_, since)| long(**since))?;
        Some(format!("pod {name} of the new revision has not been Ready for 10 min"))
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use kube::api::DynamicObject;
    use serde_json::json;

    use super::*;
    use crate::model::guard::TargetKind;

    /// A StatefulSet of two, of which so many pods are updated and available.
    fn stateful_set(updated: i64, available: i64) -> Workload {
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "uid": "u", "generation": 2},
            "spec": {"replicas": 2, "template": {"spec": {"containers": []}}},
            "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": updated, "availableReplicas": available,
                "updateRevision": "db-2"},
        }))
        .unwrap();
        Workload::read(TargetKind::StatefulSet, &object)
    }

    fn pod(name: &str, ready: bool, changed: Timestamp) -> (String, Arc<Pod>) {
        let status = if ready { "True" } else { "False" };
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"controller-revision-hash": "db-2"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u", "controller": true}]},
            "status": {"conditions": [{"type": "Ready", "status": status, "lastTransitionTime": changed.to_string()}]},
        }))
        .unwrap();
        (name.to_owned(), Arc::new(Pod::read(&object).unwrap()))
    }

    struct Play {
        progress: Progress,
        start: Instant,
        /// What the API server's clock says at the start.
        theirs: Timestamp,
    }

    impl Play {
        fn new() -> Self {
            Self {
                progress: Progress::default(),
                start: Instant::now(),
                theirs: "2026-03-01T00:00:00Z".parse().unwrap(),
            }
        }

        /// What is said so many seconds after the start, of pods that became as they are so many seconds after it.
        fn said(&mut self, at: u64, counts: (i64, i64), pods: &[(&str, bool, i64)]) -> Option<String> {
            let target = "StatefulSet/db".parse().unwrap();
            let since = |seconds: i64| self.theirs + SignedDuration::from_secs(seconds);
            let pods: Vec<_> = pods
                .iter()
                .map(|(name, ready, changed)| pod(name, *ready, since(*changed)))
                .collect();
            let now = self.start + Duration::from_secs(at);
            self.progress
                .stalls(&target, &stateful_set(counts.0, counts.1), &pods, now)
        }
    }

    const UNREADY: [(&str, bool, i64); 1] = [("db-1", false, 0)];

    #[test]
    fn a_roll_out_that_comes_no_farther_for_ten_minutes_stalls() {
        let mut play = Play::new();
        assert_eq!(play.said(0, (1, 1), &UNREADY), None);
        assert_eq!(play.said(599, (1, 1), &UNREADY), None);
        let sentence = play.said(600, (1, 1), &UNREADY).unwrap();
        assert_eq!(sentence, "pod db-1 of the new revision has not been Ready for 10 min");
        assert_eq!(play.said(601, (2, 2), &[("db-1", true, 601)]), None, "it is Ready");
    }

    #[test]
    fn the_api_servers_clock_does_not_matter() {
        for minutes in [-10, 10] {
            let mut play = Play::new();
            play.theirs += SignedDuration::from_mins(minutes);
            assert_eq!(play.said(0, (1, 1), &UNREADY), None, "{minutes} min");
            assert_eq!(play.said(599, (1, 1), &UNREADY), None, "{minutes} min");
            assert!(play.said(600, (1, 1), &UNREADY).is_some(), "{minutes} min");
        }
    }

    #[test]
    fn what_dies_after_the_roll_out_was_complete_is_not_its_fault() {
        let mut play = Play::new();
        play.said(0, (2, 2), &[("db-0", true, 0), ("db-1", true, 0)]);
        for at in [100, 700, 2000] {
            assert_eq!(play.said(at, (2, 1), &[("db-0", true, 0), ("db-1", false, 100)]), None);
        }
    }

    #[test]
    fn while_it_comes_on_it_does_not_stall() {
        let mut play = Play::new();
        play.said(0, (1, 1), &UNREADY);
        // One pod hangs, and another one came meanwhile.
        assert_eq!(
            play.said(500, (2, 1), &[("db-1", false, 0), ("db-0", false, 500)]),
            None
        );
        assert_eq!(
            play.said(700, (2, 1), &[("db-1", false, 0), ("db-0", false, 500)]),
            None
        );
        assert_eq!(
            play.said(1000, (2, 1), &[("db-1", false, 0), ("db-0", true, 1000)]),
            None
        );
        assert!(
            play.said(1600, (2, 1), &[("db-1", false, 0), ("db-0", true, 1000)])
                .is_some()
        );
    }

    #[test]
    fn a_pod_that_was_ready_in_between_is_counted_anew() {
        let mut play = Play::new();
        play.said(0, (1, 1), &UNREADY);
        play.said(550, (1, 2), &[("db-1", true, 550)]);
        play.said(560, (1, 1), &[("db-1", false, 560)]);
        assert_eq!(play.said(1155, (1, 1), &[("db-1", false, 560)]), None);
        assert!(play.said(1160, (1, 1), &[("db-1", false, 560)]).is_some());
    }
}
