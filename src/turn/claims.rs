//! IO free. Whose an object is that several guards name: two that restore it would fight.

use std::collections::BTreeMap;

use kube::ResourceExt;

use super::guarded::Guarded;
use crate::{
    model::guard::{Guard, TargetRef},
    observe::{
        cache::{Cache, ObjectKey},
        seen::NotSeen,
    },
};

/// The oldest guard of each object, also where another modosu looks after it. One that is wrong restores nothing.
pub(super) struct Claims(BTreeMap<(String, TargetRef), ObjectKey>);

impl Claims {
    pub(super) fn of(guards: &BTreeMap<ObjectKey, Guarded>, watched: &Cache<Guard>) -> Self {
        let restores = |key: &ObjectKey, guard: &Guard| {
            let own = guards.get(key);
            own.map_or_else(|| !is_said_to_be_wrong(guard), |own| own.policy().is_some())
        };
        let mut by_age = watched.all();
        by_age.retain(|(key, guard)| restores(key, guard));
        by_age.sort_by_key(|(key, guard)| (guard.creation_timestamp().map(|time| time.0), key.clone()));
        let mut eldest = BTreeMap::new();
        for (key, guard) in by_age {
            for target in &guard.spec.targets {
                eldest
                    .entry((key.0.clone(), target.clone()))
                    .or_insert_with(|| key.clone());
            }
        }
        Self(eldest)
    }

    /// The target that an older guard names as well, if there is one.
    pub(super) fn shared(&self, key: &ObjectKey, guarded: &Guarded) -> Option<NotSeen> {
        guarded.policy()?;
        let mut targets = guarded.guard().spec.targets.iter();
        targets.find_map(|target| {
            let by = self.0.get(&(key.0.clone(), target.clone())).filter(|by| *by != key)?;
            Some(NotSeen::Shared {
                target: target.clone(),
                by: by.1.clone(),
            })
        })
    }
}

/// What the modosu that looks after it says of this generation.
fn is_said_to_be_wrong(guard: &Guard) -> bool {
    let conditions = guard.status.iter().flat_map(|status| &status.conditions);
    let mut wrong = conditions.filter(|condition| condition.reason == "InvalidGuard");
    wrong.any(|condition| condition.observed_generation == guard.metadata.generation)
}
