//! IO free. How many rollbacks the daemon may still begin by itself, counted from incidents, so that a restart forgets none.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::guarded::Guarded;
use crate::{
    config::BudgetSettings,
    decide::between,
    model::incident::{Incident, IncidentState, IncidentStatus},
    observe::cache::{Cache, ObjectKey},
};

const HOUR: Duration = Duration::from_secs(3600);

/// What is left of the budget in this turn.
pub struct Budget {
    allowed: BudgetSettings,
    begun: Mutex<Begun>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Begun {
    within_the_hour: u32,
    running: u32,
}

impl Budget {
    /// As of now: what the watch shows, open incidents as they are held here.
    pub fn of(
        allowed: BudgetSettings,
        guards: &BTreeMap<ObjectKey, Guarded>,
        incidents: &Cache<Incident>,
        now: Timestamp,
    ) -> Self {
        let mut begun = Begun::default();
        let mut held = BTreeSet::new();
        for ((namespace, _), guarded) in guards {
            if let Some(case) = &guarded.case {
                held.insert((namespace.as_str(), case.at.name.as_str()));
                begun.count(&case.status, now);
            }
        }
        for ((namespace, name), incident) in incidents.all() {
            if let Some(status) = incident
                .status
                .as_ref()
                .filter(|_| !held.contains(&(&namespace, &name)))
            {
                begun.count(status, now);
            }
        }
        Self {
            allowed,
            begun: Mutex::new(begun),
        }
    }

    /// One more, if that is within the budget; else why not.
    pub fn take(&self) -> Result<(), String> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let BudgetSettings {
            rollbacks_per_hour,
            concurrent,
        } = self.allowed;
        if begun.within_the_hour >= rollbacks_per_hour {
            let many = begun.within_the_hour;
            return Err(format!(
                "{many} rollbacks began within the hour, budget.rollbacksPerHour is {rollbacks_per_hour}"
            ));
        }
        if begun.running >= concurrent {
            let many = begun.running;
            return Err(format!(
                "{many} rollbacks are running, budget.concurrent is {concurrent}"
            ));
        }
        begun.within_the_hour += 1;
        begun.running += 1;
        Ok(())
    }
}

impl Begun {
    fn count(&mut self, status: &IncidentStatus, now: Timestamp) {
        let acted = status.automatic_since.is_some_and(|since| between(since, now) < HOUR);
        let runs = match status.state {
            Some(IncidentState::RollingBack | IncidentState::Verifying) => true,
            Some(_) | None => false,
        };
        let by_itself = status.automatic_since.is_some() && status.automatic_since >= status.acting_since;
        self.within_the_hour += u32::from(acted);
        self.running += u32::from(runs && by_itself);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(within_the_hour: u32, running: u32) -> Budget {
        Budget {
            allowed: BudgetSettings::default(),
            begun: Mutex::new(Begun {
                within_the_hour,
                running,
            }),
        }
    }

    #[test]
    fn each_one_that_begins_is_taken_off_at_once() {
        let budget = budget(8, 0);
        assert_eq!((budget.take(), budget.take()), (Ok(()), Ok(())));
        let why = budget.take().unwrap_err();
        assert_eq!(why, "10 rollbacks began within the hour, budget.rollbacksPerHour is 10");
    }

    #[test]
    fn those_that_run_side_by_side_are_bounded_too() {
        let why = budget(0, 5).take().unwrap_err();
        assert_eq!(why, "5 rollbacks are running, budget.concurrent is 5");
    }

    #[test]
    fn what_began_an_hour_ago_is_free_again() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let status = |seconds: u64, state| IncidentStatus {
            acting_since: Some(now - Duration::from_secs(seconds)),
            automatic_since: Some(now - Duration::from_secs(seconds)),
            state: Some(state),
            ..IncidentStatus::default()
        };
        let mut begun = Begun::default();
        begun.count(&status(3599, IncidentState::Recovered), now);
        begun.count(&status(3600, IncidentState::Recovered), now);
        begun.count(&status(60, IncidentState::Verifying), now);
        assert_eq!((begun.within_the_hour, begun.running), (2, 1));
    }

    #[test]
    fn what_people_decide_is_not_taken_off() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let by_a_person = IncidentStatus {
            acting_since: Some(now),
            state: Some(IncidentState::RollingBack),
            ..IncidentStatus::default()
        };
        let after_modosu_tried = IncidentStatus {
            automatic_since: Some(now - Duration::from_secs(60)),
            ..by_a_person.clone()
        };
        let mut begun = Begun::default();
        begun.count(&by_a_person, now);
        assert_eq!((begun.within_the_hour, begun.running), (0, 0));
        begun.count(&after_modosu_tried, now);
        assert_eq!((begun.within_the_hour, begun.running), (1, 0));
    }
}
