//! IO. Whether somebody stopped modosu from writing, read afresh right before a write: a watch may lag.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api as KubeApi, ResourceExt, core::PartialObjectMeta};
use tokio::time::Instant;

use super::{Api, ApiError, run::Reads};
use crate::{
    act::target,
    clock::Clock,
    config::FreezeWindow,
    decide::decided,
    model::{
        freeze::{EVERYTHING, Freeze},
        guard::{Guard, TargetRef},
        incident::{Decision, Incident, Verb},
    },
};

/// An answer that took longer is too old to write by.
pub(super) const FRESH: Duration = Duration::from_secs(2);
/// So often it is asked again.
const ATTEMPTS: u32 = 3;

/// Where a guard may be frozen.
pub struct Places<'a> {
    pub namespace: &'a str,
    /// As it was when the turn began.
    pub guard: &'a Guard,
    /// What is read in the same moment; among them the guard's workloads, which may be frozen.
    pub targets: Vec<TargetRef>,
    pub windows: &'a [FreezeWindow],
    /// The incident whose plan runs, and the decision that it follows.
    pub incident: &'a str,
    pub followed: Option<&'a Decision>,
    /// What that incident froze, as it is recorded.
    pub own: Option<&'a Freeze>,
}

/// What there is right before a write.
pub struct Now {
    /// The freeze that holds.
    pub freeze: Option<Freeze>,
    /// The targets that were to be read.
    pub reads: Reads,
}

/// What there is as of at most two seconds ago, all of it read side by side. [`ApiError::NotFound`]: the guard itself is gone.
pub async fn now(api: &Api, clock: &Clock, places: &Places<'_>) -> Result<Now, ApiError> {
    for _ in 0..ATTEMPTS {
        let began = Instant::now();
        let (found, incident, reads) = all(api, places).await?;
        if began.elapsed() <= FRESH {
            let now = clock.now();
            let windows = places.windows.iter().filter_map(|window| window.freeze(now));
            let decided = just_decided(places, incident.as_ref(), now);
            let all = found
                .into_iter()
                .chain(windows)
                .chain(decided)
                .chain(places.own.cloned());
            let freeze = Freeze::longest(all, now);
            return Ok(Now { freeze, reads });
        }
    }
    Err(ApiError::Unsure(format!(
        "reading whether it is frozen took longer than {} s, {ATTEMPTS} times",
        FRESH.as_secs()
    )))
}

/// What somebody has just decided on the incident, if it is that nothing more is written.
fn just_decided(places: &Places<'_>, incident: Option<&Incident>, now: Timestamp) -> Option<Freeze> {
    let decision = incident?.spec.decision.as_ref()?;
    let stops = matches!(decision.verb, Some(Verb::Freeze | Verb::Abandon | Verb::Keep));
    let followed = places.followed.is_some_and(|old| old.decides_like(decision));
    (stops && !followed).then(|| decided::freeze(places.incident, decision, now))
}

async fn all(api: &Api, places: &Places<'_>) -> Result<(Vec<Freeze>, Option<Incident>, Reads), ApiError> {
    let incidents: KubeApi<Incident> = KubeApi::namespaced(api.client.clone(), places.namespace);
    let guards: KubeApi<PartialObjectMeta<Guard>> = KubeApi::namespaced(api.client.clone(), places.namespace);
    let name = places.guard.name_any();
    let guard = format!("Guard/{name}");
    let (of_guard, of_namespace, of_everything, incident, reads) = tokio::try_join!(
        api.ask(None, guards.get_opt(&name)),
        of_namespace(api, places.namespace),
        of_everything(api),
        api.ask(None, incidents.get_opt(places.incident)),
        target::read_all(api, places.namespace, &places.targets),
    )?;
    let of_guard = of_guard.filter(|object| object.metadata.uid == places.guard.metadata.uid);
    let gone = || ApiError::NotFound(format!("{guard} was deleted: nothing more is written"));
    let of_guard = of_guard.ok_or_else(gone)?;
    let of_guard = Freeze::of_annotations(&guard, of_guard.metadata.annotations.as_ref());
    let guarded = |target: &TargetRef| target.kind.is_workload() && places.guard.spec.targets.contains(target);
    let workloads = reads.iter().filter(|(target, _)| guarded(target));
    let of_workloads = workloads.filter_map(|(target, read)| {
        Freeze::of_annotations(&target.to_string(), read.object.metadata.annotations.as_ref())
    });
    let single = [of_guard, of_namespace, of_everything];
    let freezes = single.into_iter().flatten().chain(of_workloads).collect();
    Ok((freezes, incident, reads))
}

/// What is said on the namespace.
async fn of_namespace(api: &Api, namespace: &str) -> Result<Option<Freeze>, ApiError> {
    let place = format!("Namespace/{namespace}");
    let (own, name, of) = (api.clone(), namespace.to_owned(), place.clone());
    let read = async move {
        let namespaces: KubeApi<PartialObjectMeta<Namespace>> = KubeApi::all(own.client.clone());
        let there = own.ask(None, namespaces.get_opt(&name)).await?;
        Ok(there.and_then(|there| Freeze::of_annotations(&place, there.metadata.annotations.as_ref())))
    };
    api.freezes.ask(&of, read).await
}

/// What is said for all guards.
async fn of_everything(api: &Api) -> Result<Option<Freeze>, ApiError> {
    let own = api.clone();
    let read = async move {
        let configs: KubeApi<ConfigMap> = KubeApi::namespaced(own.client.clone(), own.client.default_namespace());
        let there = own.ask(None, configs.get_opt(EVERYTHING)).await?;
        Ok(there.and_then(|there| Freeze::of_everything(there.data.as_ref())))
    };
    api.freezes.ask(EVERYTHING, read).await
}
