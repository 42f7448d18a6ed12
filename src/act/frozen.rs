//! IO. Whether somebody stopped modosu from writing, read afresh right before a write: a watch may lag.

use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api as KubeApi, core::PartialObjectMeta};
use tokio::time::Instant;

use super::{Api, ApiError};
use crate::{
    act::target,
    clock::Clock,
    config::FreezeWindow,
    model::{
        freeze::{EVERYTHING, Freeze},
        guard::{Guard, TargetRef},
    },
};

/// An answer that took longer is too old to write by.
const FRESH: Duration = Duration::from_secs(2);
/// So often it is asked again.
const ATTEMPTS: u32 = 3;

/// Where a guard may be frozen.
pub struct Places<'a> {
    pub namespace: &'a str,
    pub guard: &'a str,
    pub workloads: Vec<TargetRef>,
    pub windows: &'a [FreezeWindow],
}

/// The freeze that holds now, as of at most two seconds ago.
pub async fn frozen(api: &Api, clock: &Clock, places: &Places<'_>) -> Result<Option<Freeze>, ApiError> {
    for _ in 0..ATTEMPTS {
        let began = Instant::now();
        let found = all(api, places).await?;
        if began.elapsed() <= FRESH {
            let now = clock.now();
            let windows = places.windows.iter().filter_map(|window| window.freeze(now));
            return Ok(Freeze::longest(found.into_iter().chain(windows), now));
        }
    }
    Err(ApiError::Unsure(format!(
        "reading whether it is frozen took longer than {} s, {ATTEMPTS} times",
        FRESH.as_secs()
    )))
}

async fn all(api: &Api, places: &Places<'_>) -> Result<Vec<Freeze>, ApiError> {
    let guards: KubeApi<PartialObjectMeta<Guard>> = KubeApi::namespaced(api.client.clone(), places.namespace);
    let namespaces: KubeApi<PartialObjectMeta<Namespace>> = KubeApi::all(api.client.clone());
    let own = api.client.default_namespace();
    let configs: KubeApi<ConfigMap> = KubeApi::namespaced(api.client.clone(), own);
    let (guard, namespace, everything) = (
        format!("Guard/{}", places.guard),
        format!("Namespace/{}", places.namespace),
        EVERYTHING,
    );
    let workloads = places.workloads.iter().map(|target| async move {
        let read = target::read(api, places.namespace, target).await?;
        let notes = read.as_ref().and_then(|read| read.object.metadata.annotations.as_ref());
        Ok::<_, ApiError>(Freeze::of_annotations(&target.to_string(), notes))
    });
    let (of_guard, of_namespace, of_everything, of_workloads) = tokio::try_join!(
        api.ask(None, guards.get_opt(places.guard)),
        api.ask(None, namespaces.get_opt(places.namespace)),
        api.ask(None, configs.get_opt(everything)),
        try_join_all(workloads),
    )?;
    let of_guard = of_guard.and_then(|object| Freeze::of_annotations(&guard, object.metadata.annotations.as_ref()));
    let of_namespace =
        of_namespace.and_then(|object| Freeze::of_annotations(&namespace, object.metadata.annotations.as_ref()));
    let of_everything = of_everything.and_then(|object| Freeze::of_everything(object.data.as_ref()));
    let single = [of_guard, of_namespace, of_everything];
    Ok(single.into_iter().chain(of_workloads).flatten().collect())
}
