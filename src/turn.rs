//! IO. One pass of the ring for all guards: observe, judge, decide, record, act, report.
//!
//! Only a turn of `poll` asks Prometheus: for readings and, after a start, for past ones. A watched object that changes makes the guards of its namespace decide
//! again, on the last readings.

/// Checks before the first write that ask somebody.
mod before;
/// Old and new pods side by side.
pub mod beside;
/// How much may be put back without people.
pub mod budget;
/// What people write on a guard by hand.
pub mod by_hand;
/// Acts of a decision, carried out in the order in which they must be written.
pub mod carry_out;
/// The open incident of a guard.
pub mod case;
/// Baselines that healthy time does not give.
mod given;
/// One guard between turns: policy, memory, record, open incident.
pub mod guarded;
/// Judging, before anything is decided.
pub mod look;
/// What one guard must know of the others.
pub mod neighbours;
/// Open incidents whose guard is gone.
pub mod orphans;
/// What the turn leaves on the board, in the metrics, the log and as Events.
pub mod publish;
/// How fast statuses are written.
pub mod quota;
/// Freezes, severity and budget in one guard's turn.
mod rails;
/// What the judge would remember had the daemon never stopped.
mod recall;
/// Whether tonight's rollback would be accepted, tried while nothing is wrong.
pub mod rehearsals;
/// A guard's wishes, compiled.
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use kube::ResourceExt;

use crate::{
    act::Api,
    clock::Clock,
    config::Settings,
    decide::Around,
    judge::policy::Policy,
    model::{grade::Schemes, preset::Preset, reading::Reading},
    observe::{
        cache::ObjectKey,
        cluster::{Cluster, ReadConfig},
        poll::{Health, Poller, State},
        seen::{Followed, NotSeen, Seen, Users},
    },
    report::{board::Board, events::Events, metrics::Metrics},
};
use budget::Budget;
use guarded::Guarded;
use quota::Quota;
use rehearsals::Rehearsals;

/// So many guards are carried out at the same time.
const AT_ONCE: usize = 32;

/// Everything a turn works with.
pub struct Daemon {
    pub settings: Arc<Settings>,
    pub presets: BTreeMap<String, Preset>,
    pub schemes: Schemes,
    pub clock: Clock,
    pub api: Api,
    pub cluster: Cluster,
    pub poller: Poller<ObjectKey>,
    pub board: Board,
    pub metrics: Metrics,
    pub events: Events,
    pub guards: BTreeMap<ObjectKey, Guarded>,
    pub health: Option<Health>,
    /// How fast conditions may be written.
    pub quota: Quota,
    /// Plans that are tried while nothing is wrong.
    pub rehearsals: Rehearsals,
    /// When incidents without a guard were last closed.
    pub orphans_closed: Option<tokio::time::Instant>,
}

/// What the parts of a turn share while guards are carried out side by side.
pub struct Shared<'a> {
    pub api: &'a Api,
    pub clock: &'a Clock,
    pub cluster: &'a Cluster,
    pub events: &'a Events,
    pub metrics: &'a Metrics,
    pub settings: &'a Settings,
    pub quota: &'a Quota,
    pub budget: Budget,
}

impl Daemon {
    /// A turn of `poll`: asks Prometheus, then everything for every guard.
    pub async fn poll(&mut self) {
        let began = tokio::time::Instant::now();
        self.read_namespaces().await;
        if !self.ready() {
            return;
        }
        self.meet_guards();
        self.recall().await;
        self.give().await;
        let policies: BTreeMap<ObjectKey, Arc<Policy>> = self
            .guards
            .iter()
            .filter_map(|(key, guarded)| Some((key.clone(), guarded.policy()?)))
            .collect();
        let now = self.clock.now();
        let closely = self.guards.iter().filter(|(_, guarded)| guarded.weighs_latency(now));
        self.poller.look_closely(closely.map(|(key, _)| key.clone()).collect());
        let polled = self.poller.turn(&policies, self.clock.now()).await;
        let outcome = if polled.health.state == State::Up {
            "ok"
        } else {
            "failed"
        };
        (0..polled.queries).for_each(|_| self.metrics.query_done(outcome));
        self.health = Some(polled.health);
        self.guards_in(None, &polled.readings).await;
        self.close_orphans().await;
        self.metrics.turn_took(began.elapsed());
    }

    /// Something changed in these namespaces: decide again on the last readings.
    pub async fn look_again(&mut self, namespaces: &BTreeSet<String>) {
        if self.ready() {
            self.meet_guards();
            self.guards_in(Some(namespaces), &BTreeMap::new()).await;
        }
    }

    /// Where only some namespaces are guarded, these are read now and then: somebody may have frozen them.
    async fn read_namespaces(&mut self) {
        let read = self.cluster.read_namespaces(&self.api.client);
        let read = self.api.ask(None, read).await;
        if let Err(why) = read {
            tracing::warn!("cannot read whether the namespaces are frozen, trying again: {why}");
        }
    }

    /// Nothing is decided before every first list is complete.
    fn ready(&self) -> bool {
        let listed = self.cluster.listed();
        self.board.set_ready(listed);
        if !listed {
            self.publish();
        }
        listed
    }

    /// Takes new and edited guards in, and forgets those that are gone.
    fn meet_guards(&mut self) {
        let watched: BTreeMap<ObjectKey, _> = self
            .cluster
            .guards
            .all()
            .into_iter()
            .filter(|(key, _)| self.is_mine(key))
            .collect();
        self.guards.retain(|key, _| watched.contains_key(key));
        for (key, guard) in watched {
            match self.guards.get_mut(&key) {
                Some(guarded) if guarded.is(&guard) => {
                    guarded.edited(guard, &self.presets, &self.schemes, &self.settings.steps);
                }
                Some(_) | None => {
                    let incidents = &self.cluster.incidents;
                    let met = Guarded::meet(guard, &self.presets, &self.schemes, incidents, &self.settings.steps);
                    self.guards.insert(key, met);
                }
            }
        }
    }

    fn is_mine(&self, key: &ObjectKey) -> bool {
        let only = self.settings.guard.as_ref();
        only.is_none_or(|only| only.namespace == key.0 && only.name == key.1)
    }

    async fn guards_in(&mut self, namespaces: Option<&BTreeSet<String>>, readings: &BTreeMap<ObjectKey, Reading>) {
        let now = self.clock.now();
        self.hear_rehearsals();
        let seen = self.see(namespaces).await;
        // All are judged before one is decided on: who breaches together is known first.
        for (key, guarded) in &mut self.guards {
            if let Some(Ok(seen)) = seen.get(key) {
                guarded.look(seen, readings.get(key), now);
            }
        }
        if namespaces.is_none() {
            self.look_beside(now).await;
            self.look_around().await;
        }
        let around = neighbours::around(
            &self.guards,
            &self.cluster.incidents,
            self.settings.common_cause.rules(),
            now,
        );
        let shared = Shared {
            api: &self.api,
            clock: &self.clock,
            cluster: &self.cluster,
            events: &self.events,
            metrics: &self.metrics,
            settings: &self.settings,
            quota: &self.quota,
            budget: Budget::of(self.settings.budget, &self.guards, &self.cluster.incidents, now),
        };
        let nothing = Around::default();
        let mut turns = Vec::new();
        let mut worst_first: Vec<_> = self.guards.iter_mut().collect();
        worst_first.sort_by_key(|(_, guarded)| std::cmp::Reverse(guarded.severity()));
        for (key, guarded) in worst_first {
            if let Some(seen) = seen.get(key) {
                let around = around.get(key).unwrap_or(&nothing);
                turns.push(guarded.turn(&shared, seen, around, now).boxed());
            }
        }
        stream::iter(turns).for_each_concurrent(AT_ONCE, |turn| turn).await;
        self.publish();
        self.rehearse(&seen, namespaces.is_none());
    }

    /// The targets of the guards in these namespaces, as they are now.
    async fn see(&mut self, namespaces: Option<&BTreeSet<String>>) -> BTreeMap<ObjectKey, guarded::Look> {
        let mut looks = BTreeMap::new();
        let now = self.clock.now();
        let mut users = (String::new(), Users::default());
        for (key, guarded) in &self.guards {
            if namespaces.is_some_and(|touched| !touched.contains(&key.0)) {
                continue;
            }
            if users.0 != key.0 {
                users = (key.0.clone(), Users::of(&key.0, &self.cluster));
            }
            let spec = &guarded.guard().spec;
            let followed = Followed::find(&key.0, spec, &self.cluster, &users.1);
            if let Some(shared) = elder(&self.guards, key, guarded) {
                looks.insert(key.clone(), Err(shared.into()));
                continue;
            }
            let look = match configs(&mut self.cluster, &self.api, &key.0, &followed, now).await {
                Ok(configs) => {
                    Seen::assemble(&key.0, spec, &followed, &configs, &self.cluster, now).map_err(Into::into)
                }
                Err(why) => Err(guarded::Blind::Unreadable(why.to_string())),
            };
            looks.insert(key.clone(), look);
        }
        looks
    }
}

/// The target that an older guard names as well, if there is one: two that restore the same object would fight.
fn elder(guards: &BTreeMap<ObjectKey, Guarded>, key: &ObjectKey, guarded: &Guarded) -> Option<NotSeen> {
    let age = |(name, one): (&ObjectKey, &Guarded)| (one.guard().creation_timestamp().map(|time| time.0), name.clone());
    let own = age((key, guarded));
    let from = (key.0.clone(), String::new());
    let neighbours = guards.range(from..).take_while(|(other, _)| other.0 == key.0);
    // One that is wrong restores nothing.
    let older = neighbours.filter(|(other, one)| *other != key && one.policy().is_some() && age((other, one)) < own);
    let mut named = older.flat_map(|(other, one)| one.guard().spec.targets.iter().map(move |target| (other, target)));
    let (other, target) = named.find(|(_, target)| guarded.guard().spec.targets.contains(target))?;
    Some(NotSeen::Shared {
        target: target.clone(),
        by: other.1.clone(),
    })
}

/// The content of the ConfigMaps that belong to a guard, by name; those that do not exist are left out.
async fn configs(
    cluster: &mut Cluster,
    api: &Api,
    namespace: &str,
    followed: &Followed,
    now: Timestamp,
) -> Result<BTreeMap<String, ReadConfig>, crate::act::ApiError> {
    let mut read = BTreeMap::new();
    for name in &followed.own {
        let key = (namespace.to_owned(), name.clone());
        let config = api.ask(None, cluster.config(&api.client, &key, now)).await?;
        read.extend(config.map(|config| (name.clone(), config)));
    }
    Ok(read)
}
