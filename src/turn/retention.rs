//! IO. Incidents that are over, once they are old or many: deleted, so that what the API server keeps for modosu does not grow.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::Daemon;
use crate::{
    act::record,
    config::IncidentSettings,
    decide::between,
    model::{guard::IncidentRef, incident::Incident},
    observe::cache::ObjectKey,
};

/// How often they are looked for.
const EVERY: Duration = Duration::from_secs(60);
/// So many are deleted at most each time: the API server has other things to do.
const AT_A_TIME: usize = 10;
/// What ended within this time stays: budget, cool-down and relapse are counted from it.
const RECENT: Duration = Duration::from_secs(24 * 3600);

impl Daemon {
    /// Deletes those that need not be kept. What somebody changed meanwhile is looked at again the next time.
    pub(super) async fn forget_old_incidents(&mut self) {
        let recently = self.incidents_forgotten.is_some_and(|at| at.elapsed() < EVERY);
        if recently || self.settings.read_only {
            return;
        }
        self.incidents_forgotten = Some(Instant::now());
        let mut over = self.cluster.incidents.all();
        over.retain(|(key, incident)| self.is_mine(&guard_of(key, incident)) && !self.is_held(key, incident));
        for ((namespace, name), incident) in outdated(over, &self.settings.incidents, self.clock.now())
            .into_iter()
            .take(AT_A_TIME)
        {
            match record::delete_incident(&self.api, &incident).await {
                Ok(()) => tracing::info!(
                    "incident {namespace}/{name} is over for long: deleted (incidents.keep, incidents.perGuard)"
                ),
                Err(why) => tracing::warn!("cannot delete the old incident {namespace}/{name}, trying again: {why}"),
            }
        }
    }

    /// Its guard still works on it, or says so.
    fn is_held(&self, key: &ObjectKey, incident: &Incident) -> bool {
        let guard = guard_of(key, incident);
        let watched = self.cluster.guards.get(&guard.0, &guard.1);
        let named = watched.and_then(|guard| guard.status.as_ref()?.incident.clone());
        let held = self.guards.get(&guard).and_then(|guarded| guarded.case.as_ref());
        let is_it = |at: &IncidentRef| Some(&at.uid) == incident.metadata.uid.as_ref();
        named.as_ref().is_some_and(is_it) || held.is_some_and(|case| is_it(&case.at))
    }
}

/// Those that ended too long ago, and those of a guard that has newer ones enough; the oldest first.
fn outdated(
    incidents: Vec<(ObjectKey, Arc<Incident>)>,
    kept: &IncidentSettings,
    now: Timestamp,
) -> Vec<(ObjectKey, Arc<Incident>)> {
    let mut ended: Vec<_> = incidents
        .into_iter()
        .filter_map(|(key, incident)| Some((closed_at(&incident)?, key, incident)))
        .collect();
    ended.sort_by_key(|(closed_at, ..)| std::cmp::Reverse(*closed_at));
    let mut newer: BTreeMap<ObjectKey, u32> = BTreeMap::new();
    let mut found = Vec::new();
    for (closed_at, key, incident) in ended {
        let newer = newer.entry(guard_of(&key, &incident)).or_default();
        let ago = between(closed_at, now);
        if ago > RECENT && (ago > kept.keep.0 || *newer >= kept.per_guard) {
            found.push((key, incident));
        }
        *newer += 1;
    }
    found.reverse();
    found
}

fn closed_at(incident: &Incident) -> Option<Timestamp> {
    incident.status.as_ref()?.closed_at
}

fn guard_of((namespace, _): &ObjectKey, incident: &Incident) -> ObjectKey {
    (namespace.clone(), incident.spec.guard.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        guard::Action,
        incident::{IncidentSpec, IncidentStatus, StateRef},
        units::Length,
    };

    const KEPT: IncidentSettings = IncidentSettings {
        keep: Length::hours(10 * 24),
        per_guard: 2,
    };

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    /// An incident of a guard that ended so many hours ago; none: it is not over.
    fn incident(guard: &str, name: &str, hours_ago: Option<i64>) -> (ObjectKey, Arc<Incident>) {
        let opened_at = now() - jiff::SignedDuration::from_hours(1000);
        let spec = IncidentSpec {
            guard: guard.to_owned(),
            first_bad_at: opened_at,
            opened_at,
            grade: "Critical".to_owned(),
            action: Action::AutomaticRollback,
            summary: String::new(),
            triggers: Vec::new(),
            bad: StateRef::default(),
            restore_to: None,
            decision: None,
        };
        let mut incident = Incident::new(name, spec);
        incident.status = Some(IncidentStatus {
            closed_at: hours_ago.map(|hours| now() - jiff::SignedDuration::from_hours(hours)),
            ..IncidentStatus::default()
        });
        (("shop".to_owned(), name.to_owned()), Arc::new(incident))
    }

    fn names(incidents: Vec<(ObjectKey, Arc<Incident>)>) -> Vec<String> {
        let found = outdated(incidents, &KEPT, now());
        found.into_iter().map(|((_, name), _)| name).collect()
    }

    #[test]
    fn what_ended_long_ago_goes_and_what_is_not_over_stays() {
        let all = vec![
            incident("orders", "old", Some(241)),
            incident("orders", "young", Some(239)),
            incident("billing", "older", Some(500)),
            incident("billing", "open", None),
        ];
        assert_eq!(names(all), ["older", "old"]);
    }

    #[test]
    fn of_a_guard_the_newest_stay_but_for_those_of_the_last_day() {
        let hours = [2, 5, 20, 25, 30];
        let all = hours.map(|ago| incident("orders", &format!("orders-{ago}"), Some(ago)));
        let another = incident("billing", "billing-100", Some(100));
        assert_eq!(
            names(all.into_iter().chain([another]).collect()),
            ["orders-30", "orders-25"]
        );
    }
}
