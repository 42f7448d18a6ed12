//! IO. What modosu remembers, written to the API server: statuses of guards and incidents, and new incidents.
//!
//! A status is replaced as a whole by a JSON Patch that tests the uid, so that it can never land on another object of
//! the same name.

use kube::{
    Api as KubeApi, Resource,
    api::{ObjectMeta, Patch, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{Api, ApiError, FIELD_MANAGER, patch_params};
use crate::model::{
    guard::{Guard, GuardStatus, IncidentRef},
    incident::{Incident, IncidentSpec, IncidentStatus},
};

/// So many incidents of one guard and one bad state find a name.
const NAMES: u32 = 1000;

/// Writes a guard's status.
pub async fn guard_status(api: &Api, guard: &Guard, status: &GuardStatus) -> Result<(), ApiError> {
    let metadata = &guard.metadata;
    status_of::<Guard>(api, "guard", metadata, status).await
}

/// Takes an annotation of a guard down, if it still says that.
pub async fn take_down(api: &Api, guard: &Guard, key: &str, value: &str) -> Result<(), ApiError> {
    let metadata = &guard.metadata;
    let path = format!("/metadata/annotations/{}", key.replace('~', "~0").replace('/', "~1"));
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata.uid},
        {"op": "test", "path": path, "value": value},
        {"op": "remove", "path": path},
    ]);
    let patch = serde_json::from_value(patch).map_err(|why| ApiError::Refused(why.to_string()))?;
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let name = metadata.name.clone().unwrap_or_default();
    let guards: KubeApi<Guard> = KubeApi::namespaced(api.client.clone(), &namespace);
    let params = patch_params();
    let patch = Patch::Json::<()>(patch);
    match api
        .ask(Some("guard"), guards.patch_metadata(&name, &params, &patch))
        .await
    {
        // Somebody took it down, or wrote another one.
        Ok(_) | Err(ApiError::Invalid(_) | ApiError::NotFound(_)) => Ok(()),
        Err(why) => Err(why),
    }
}

/// Writes an incident's status.
pub async fn incident_status(
    api: &Api,
    namespace: &str,
    at: &IncidentRef,
    status: &IncidentStatus,
) -> Result<(), ApiError> {
    let metadata = ObjectMeta {
        name: Some(at.name.clone()),
        namespace: Some(namespace.to_owned()),
        uid: Some(at.uid.clone()),
        ..ObjectMeta::default()
    };
    status_of::<Incident>(api, "incident", &metadata, status).await
}

async fn status_of<K>(api: &Api, kind: &str, metadata: &ObjectMeta, status: &impl Serialize) -> Result<(), ApiError>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata.uid},
        {"op": "add", "path": "/status", "value": status},
    ]);
    let patch = serde_json::from_value(patch).map_err(|why| ApiError::Refused(why.to_string()))?;
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let objects: KubeApi<K> = KubeApi::namespaced(api.client.clone(), &namespace);
    let name = metadata.name.clone().unwrap_or_default();
    let params = patch_params();
    let patch = Patch::Json::<()>(patch);
    api.ask(Some(kind), objects.patch_status(&name, &params, &patch))
        .await
        .map(|_| ())
}

/// Whether the incident is there no more; another one of its name is not it.
pub async fn is_gone(api: &Api, namespace: &str, at: &IncidentRef) -> Result<bool, ApiError> {
    let incidents: KubeApi<Incident> = KubeApi::namespaced(api.client.clone(), namespace);
    let found = api.ask(None, incidents.get_opt(&at.name)).await?;
    Ok(found.and_then(|incident| incident.metadata.uid).as_ref() != Some(&at.uid))
}

/// Creates the incident under the first free name `<guard>-<hash>[-n]`. Its evidence stands before anything is done,
/// and outlives its guard: no owner reference. One that was created for the same case right before the daemon was killed,
/// so that nothing but its evidence is there, is taken up again.
pub async fn open(api: &Api, guard: &Guard, spec: IncidentSpec) -> Result<(IncidentRef, IncidentSpec), ApiError> {
    let namespace = guard.metadata.namespace.clone().unwrap_or_default();
    let incidents: KubeApi<Incident> = KubeApi::namespaced(api.client.clone(), &namespace);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    for n in 1..=NAMES {
        let suffix = if n == 1 { String::new() } else { format!("-{n}") };
        let name = format!("{}-{}{suffix}", spec.guard, spec.bad.hash);
        let mut incident = Incident::new(&name, spec.clone());
        incident.metadata.namespace = Some(namespace.clone());
        match api.ask(Some("incident"), incidents.create(&params, &incident)).await {
            Ok(created) => {
                let uid = created.metadata.uid.unwrap_or_default();
                return Ok((IncidentRef { name, uid }, spec));
            }
            Err(ApiError::Exists(_)) => {
                let there = api.ask(None, incidents.get_opt(&name)).await?;
                if let Some(there) = there.filter(|there| is_left_over(there, &spec)) {
                    let uid = there.metadata.uid.unwrap_or_default();
                    return Ok((IncidentRef { name, uid }, there.spec));
                }
            }
            Err(why) => return Err(why),
        }
    }
    Err(ApiError::Refused(format!(
        "{NAMES} incidents of this state exist already: delete old ones"
    )))
}

fn is_left_over(there: &Incident, spec: &IncidentSpec) -> bool {
    let untouched = there.status.as_ref().is_none_or(|status| status.state.is_none());
    let same = there.spec.guard == spec.guard && there.spec.bad == spec.bad && there.spec.restore_to == spec.restore_to;
    let begun = spec.bad.since.is_none_or(|since| there.spec.first_bad_at >= since);
    let times = there.spec.first_bad_at <= there.spec.opened_at && there.spec.opened_at <= spec.opened_at;
    untouched && same && begun && times && there.spec.decision.is_none()
}
