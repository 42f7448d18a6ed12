//! IO. One pass of the ring for all guards: observe, judge, decide, record, act, report.
//!
//! Only a turn of `poll` asks Prometheus: for readings and, after a start, for past ones. A watched object that changes makes the guards of its namespace decide
//! again, on the last readings.

/// Checks before the first write that ask somebody.
mod before;
/// A plan before its first action.
mod begin;
/// Old and new pods side by side.
pub mod beside;
/// The open incident of a guard that cannot be judged.
mod blocked;
/// How much may be put back without people.
pub mod budget;
/// What people write on a guard by hand.
pub mod by_hand;
/// Acts of a decision, carried out in the order in which they must be written.
pub mod carry_out;
/// The open incident of a guard.
pub mod case;
/// Whose an object is that several guards name.
mod claims;
/// What a modosu that opens no incidents says instead.
mod found;
/// Baselines that healthy time does not give.
pub mod given;
/// One guard between turns: policy, memory, record, open incident.
pub mod guarded;
/// Who goes first.
pub mod lanes;
/// Who acts: this copy, or another one.
mod lead;
/// Judging, before anything is decided.
pub mod look;
/// Guards that come, change and go.
mod met;
/// What one guard must know of the others.
pub mod neighbours;
/// Incidents that are opened.
mod open;
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
/// Incidents that are over for long.
mod retention;
/// What returned of what was put back.
mod returned;
/// A guard's wishes, compiled.
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;

use crate::{
    act::{Api, fence::Fence, target},
    clock::Clock,
    config::Settings,
    decide::Around,
    judge::policy::Policy,
    model::{
        grade::Schemes,
        guard::{TargetKind, TargetRef},
        preset::Preset,
        reading::Reading,
    },
    observe::{
        cache::ObjectKey,
        cluster::{Cluster, ReadConfig},
        poll::{Health, Poller, State},
        seen::{Followed, Seen},
        users::Users,
    },
    report::{board::Board, events::Events, metrics::Metrics},
};
use budget::Budget;
use claims::Claims;
use guarded::{Blind, Guarded};
use lanes::Lanes;
use quota::Quota;
use rehearsals::Rehearsals;

/// Everything a turn works with.
pub struct Daemon {
    pub settings: Arc<Settings>,
    pub presets: BTreeMap<String, Preset>,
    pub schemes: Schemes,
    pub clock: Clock,
    pub api: Api,
    pub fence: Fence,
    /// In which this copy acts; None: another one does.
    pub term: Option<u64>,
    /// When the watches did not show all that was written before this copy came to lead.
    pub lagged_at: Option<tokio::time::Instant>,
    pub cluster: Cluster,
    pub poller: Poller<ObjectKey>,
    pub board: Board,
    pub metrics: Metrics,
    pub events: Events,
    pub lanes: Lanes,
    pub guards: BTreeMap<ObjectKey, Guarded>,
    pub health: Option<Health>,
    /// How fast conditions may be written.
    pub quota: Quota,
    /// Plans that are tried while nothing is wrong.
    pub rehearsals: Rehearsals,
    /// Of which guard it was last asked what goes on around it.
    pub asked_around: Option<ObjectKey>,
    /// Stored benchmarks that were asked for, until they are answered.
    pub benchmarks: given::Benchmarks,
    /// When incidents without a guard were last closed.
    pub orphans_closed: Option<tokio::time::Instant>,
    /// When old incidents were last deleted.
    pub incidents_forgotten: Option<tokio::time::Instant>,
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
        self.lead_or_follow().await;
        if self.term.is_none() && self.settings.guard.is_some() {
            // The sidecars of many pods do not all ask Prometheus; who takes over reads the past.
            return self.publish();
        }
        self.recall().await;
        if self.term.is_some() {
            self.give().await;
        }
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
        if self.term.is_some() {
            self.close_orphans().await;
            if !self.settings.read_only {
                self.forget_old_incidents().await;
            }
        }
        self.metrics.turn_took(began.elapsed());
    }

    /// Something changed in these namespaces: decide again on the last readings.
    pub async fn look_again(&mut self, namespaces: &BTreeSet<String>) {
        if !self.ready() {
            return;
        }
        if self.begins() {
            // With new readings, as after a start.
            return self.poll().await;
        }
        self.lead_or_follow().await;
        self.guards_in(Some(namespaces), &BTreeMap::new()).await;
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
        if self.term.is_none() {
            return self.watch_only(now);
        }
        if namespaces.is_none() {
            let deadline = self.beside_until();
            self.look_beside(now, deadline).await;
            self.look_around(deadline).await;
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
                let (lanes, shared) = (&self.lanes, &shared);
                let turn = async move {
                    guarded.lane = Some(lanes.enter().await);
                    guarded.turn(shared, seen, around, now).await;
                    guarded.lane = None;
                };
                turns.push(turn.boxed());
            }
        }
        self.lanes.begin(turns.len());
        stream::iter(turns).for_each_concurrent(None, |turn| turn).await;
        self.publish();
        self.rehearse(&seen, namespaces.is_none());
    }

    /// The targets of the guards in these namespaces, as they are now.
    async fn see(&mut self, namespaces: Option<&BTreeSet<String>>) -> BTreeMap<ObjectKey, guarded::Look> {
        let mut looks = BTreeMap::new();
        let now = self.clock.now();
        self.cluster
            .watch_secrets(&self.api.client, &named_secrets(&self.guards));
        let claims = Claims::of(&self.guards, &self.cluster.guards);
        self.cluster.ask_managers();
        let mut users = (String::new(), Users::default());
        for (key, guarded) in &mut self.guards {
            if namespaces.is_some_and(|touched| !touched.contains(&key.0)) {
                continue;
            }
            if users.0 != key.0 {
                users = (key.0.clone(), Users::of(&key.0, &self.cluster));
            }
            if let Some(shared) = claims.shared(key, guarded) {
                looks.insert(key.clone(), Err(shared.into()));
                continue;
            }
            let (spec, watched) = guarded.watched();
            let followed = Followed::find(key, spec, &self.cluster, &users.1);
            let look = match settings(&mut self.cluster, &self.api, &key.0, &followed, now).await {
                Ok(read) => match Seen::assemble(&key.0, spec, &followed, &read, &self.cluster, watched) {
                    Ok(mut seen) => {
                        guarded.recognise(&mut seen, &self.cluster);
                        seen.managed = self.cluster.managed(&self.api, &key.0, seen.parts.keys()).await;
                        Ok(seen)
                    }
                    Err(why) => Err(why.into()),
                },
                Err(why) => Err(why),
            };
            looks.insert(key.clone(), look);
        }
        looks
    }
}

/// The Secrets that guards name, by namespace and name.
fn named_secrets(guards: &BTreeMap<ObjectKey, Guarded>) -> BTreeSet<ObjectKey> {
    let named = guards.iter().flat_map(|(key, guarded)| {
        let targets = guarded.guard().spec.targets.iter();
        let secrets = targets.filter(|target| target.kind == TargetKind::Secret);
        secrets.map(|secret| (key.0.clone(), secret.name.clone()))
    });
    named.collect()
}

/// What the ConfigMaps and Secrets that belong to a guard hold; those that do not exist are left out.
async fn settings(
    cluster: &mut Cluster,
    api: &Api,
    namespace: &str,
    followed: &Followed,
    now: Timestamp,
) -> Result<BTreeMap<TargetRef, ReadConfig>, Blind> {
    let mut all = BTreeMap::new();
    for target in followed.all() {
        let target = &target;
        let Some(version) = cluster
            .version(namespace, target)
            .map_err(|why| Blind::of_watch(target, &why))?
        else {
            cluster.forget(namespace, target);
            continue;
        };
        if let Some(known) = cluster.known(namespace, target, &version) {
            all.insert(target.clone(), known.clone());
            continue;
        }
        let read = target::read(api, namespace, target).await;
        let Some(read) = read.map_err(|why| Blind::of_read(target, &why))? else {
            return Err(Blind::Unreadable(format!("{target} was deleted at this moment")));
        };
        let (key, hash) = ((namespace.to_owned(), target.clone()), read.content.hash());
        all.insert(target.clone(), cluster.note(key, &version, &read.object, hash, now));
    }
    Ok(all)
}
