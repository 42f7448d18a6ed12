//! IO. Whether the watches of what modosu itself writes show at least what the API server holds.

use kube::{Api as KubeApi, Resource, ResourceExt, api::ListParams};
use serde::de::DeserializeOwned;

use super::{Cluster, PAGE, typed};
use crate::{
    act::{Api, ApiError},
    observe::cache::Cache,
};

impl Cluster {
    /// The first guard or incident that is newer on the API server than its watch shows, if there is one.
    pub async fn lags(&self, api: &Api) -> Result<Option<String>, ApiError> {
        for scope in &self.scopes {
            if let Some(guard) = behind(api, typed(&api.client, scope), &self.guards).await? {
                return Ok(Some(format!("guard {guard}")));
            }
            if let Some(incident) = behind(api, typed(&api.client, scope), &self.incidents).await? {
                return Ok(Some(format!("incident {incident}")));
            }
        }
        Ok(None)
    }
}

async fn behind<K>(api: &Api, objects: KubeApi<K>, cache: &Cache<K>) -> Result<Option<String>, ApiError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + PartialEq,
{
    let mut page = ListParams::default().limit(PAGE);
    loop {
        // Without a version: as of now, not as some server remembers it.
        let there = api.ask(None, objects.list_metadata(&page)).await?;
        for object in &there.items {
            let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
            let shown = cache.get(&namespace, &name);
            if shown.is_none_or(|shown| version(&*shown) < version(object)) {
                return Ok(Some(format!("{namespace}/{name}")));
            }
        }
        match there.metadata.continue_.filter(|more| !more.is_empty()) {
            Some(more) => page = page.continue_token(&more),
            None => return Ok(None),
        }
    }
}

/// Versions grow, and may be compared since Kubernetes says so (1.35); before, they did as well.
fn version(object: &impl ResourceExt) -> Option<u64> {
    object.meta().resource_version.as_ref()?.parse().ok()
}
