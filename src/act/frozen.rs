//! IO. Whether somebody stopped modosu from writing, read afresh right before a write: a watch may lag.

use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api as KubeApi, ResourceExt, core::PartialObjectMeta};
use tokio::time::Instant;

use super::{Api, ApiError};
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
const FRESH: Duration = Duration::from_secs(2);
/// So often it is asked again.
const ATTEMPTS: u32 = 3;

/// Where a guard may be frozen.
pub struct Places<'a> {
    pub namespace: &'a str,
    /// As it was when the turn began.
    pub guard: &'a Guard,
    pub workloads: Vec<TargetRef>,
    pub windows: &'a [FreezeWindow],
    /// The incident whose plan runs, and the decision that it follows.
    pub incident: &'a str,
    pub followed: Option<&'a Decision>,
    /// What that incident froze, as it is recorded.
    pub own: Option<&'a Freeze>,
}

/// The freeze that holds now, as of at most two seconds ago. [`ApiError::NotFound`]: the guard itself is gone.
pub async fn frozen(api: &Api, clock: &Clock, places: &Places<'_>) -> Result<Option<Freeze>, ApiError> {
    for _ in 0..ATTEMPTS {
        let began = Instant::now();
        let (found, incident) = all(api, places).await?;
        if began.elapsed() <= FRESH {
            let now = clock.now();
            let windows = places.windows.iter().filter_map(|window| window.freeze(now));
            let decided = just_decided(places, incident.as_ref(), now);
            let all = found
                .into_iter()
                .chain(windows)
                .chain(decided)
                .chain(places.own.cloned());
            return Ok(Freeze::longest(all, now));
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

async fn all(api: &Api, places: &Places<'_>) -> Result<(Vec<Freeze>, Option<Incident>), ApiError> {
    let incidents: KubeApi<Incident> = KubeApi::namespaced(api.client.clone(), places.namespace);
    let guards: KubeApi<PartialObjectMeta<Guard>> = KubeApi::namespaced(api.client.clone(), places.namespace);
    let namespaces: KubeApi<PartialObjectMeta<Namespace>> = KubeApi::all(api.client.clone());
    let own = api.client.default_namespace();
    let configs: KubeApi<ConfigMap> = KubeApi::namespaced(api.client.clone(), own);
    let name = places.guard.name_any();
    let guard = format!("Guard/{name}");
    let namespace = format!("Namespace/{}", places.namespace);
    let workloads = places.workloads.iter().map(|target| async move {
        let read = target::read(api, places.namespace, target).await?;
        let notes = read.as_ref().and_then(|read| read.object.metadata.annotations.as_ref());
        Ok::<_, ApiError>(Freeze::of_annotations(&target.to_string(), notes))
    });
    let (of_guard, of_namespace, of_everything, incident, of_workloads) = tokio::try_join!(
        api.ask(None, guards.get_opt(&name)),
        api.ask(None, namespaces.get_opt(places.namespace)),
        api.ask(None, configs.get_opt(EVERYTHING)),
        api.ask(None, incidents.get_opt(places.incident)),
        try_join_all(workloads),
    )?;
    let of_guard = of_guard.filter(|object| object.metadata.uid == places.guard.metadata.uid);
    let gone = || ApiError::NotFound(format!("{guard} was deleted: nothing more is written"));
    let of_guard = of_guard.ok_or_else(gone)?;
    let of_guard = Freeze::of_annotations(&guard, of_guard.metadata.annotations.as_ref());
    let of_namespace =
        of_namespace.and_then(|object| Freeze::of_annotations(&namespace, object.metadata.annotations.as_ref()));
    let of_everything = of_everything.and_then(|object| Freeze::of_everything(object.data.as_ref()));
    let single = [of_guard, of_namespace, of_everything];
    Ok((single.into_iter().chain(of_workloads).flatten().collect(), incident))
}
