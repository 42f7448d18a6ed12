//! IO. What modosu remembers, written to the API server: statuses of guards and incidents, and new incidents.
//!
//! A status is replaced as a whole by a JSON Patch that tests the uid, so that it can never land on another object of
//! the same name, and the version that was there right before: what a slow server carries out when nobody waits for it any
//! more never stands over something newer. The version is what modosu's own last write left, and is read where that is not
//! known, or somebody wrote since.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::{
    Api as KubeApi, Resource,
    api::{DeleteParams, ObjectMeta, Patch, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{Api, ApiError, patch_params, post_params, run::ATTEMPTS};
use crate::model::{
    guard::{Guard, GuardStatus, IncidentRef},
    incident::{Incident, IncidentSpec, IncidentStatus},
};

/// So many incidents of one guard and one bad state find a name.
const NAMES: u32 = 1000;

/// The version of each object, by uid, after it was last written; nothing while it is not known what came of a write.
#[derive(Clone, Default)]
pub struct Versions(Arc<Mutex<BTreeMap<String, String>>>);

impl Versions {
    fn take(&self, uid: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid)
    }

    fn keep(&self, uid: &str, version: Option<String>) {
        if let Some(version) = version {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(uid.to_owned(), version);
        }
    }

    /// Another copy wrote meanwhile.
    pub fn forget_all(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Its status is written no more.
    pub fn forget(&self, uid: &str) {
        self.take(uid);
    }
}

/// Writes a guard's status.
pub async fn guard_status(api: &Api, guard: &Guard, status: &GuardStatus) -> Result<(), ApiError> {
    let metadata = &guard.metadata;
    status_of::<Guard>(api, "guard", metadata, status).await
}

/// Takes annotations of a guard down, if they still say the same.
pub async fn take_down(api: &Api, guard: &Guard, keys: &[&str]) -> Result<(), ApiError> {
    let metadata = &guard.metadata;
    let mut patch = vec![json!({"op": "test", "path": "/metadata/uid", "value": metadata.uid})];
    let notes = metadata.annotations.iter().flatten();
    for (key, value) in notes.filter(|(key, _)| keys.contains(&key.as_str())) {
        let path = format!("/metadata/annotations/{}", key.replace('~', "~0").replace('/', "~1"));
        patch.push(json!({"op": "test", "path": path, "value": value}));
        patch.push(json!({"op": "remove", "path": path}));
    }
    let patch = serde_json::from_value(json!(patch)).map_err(|why| ApiError::Refused(why.to_string()))?;
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
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let objects: KubeApi<K> = KubeApi::namespaced(api.client.clone(), &namespace);
    let (name, uid) = (
        metadata.name.clone().unwrap_or_default(),
        metadata.uid.clone().unwrap_or_default(),
    );
    let mut known = api.versions.take(&uid);
    let mut refusal = String::new();
    // What is remembered is no look of its own.
    for _ in 0..ATTEMPTS + u32::from(known.is_some()) {
        let (version, same) = match known.take() {
            Some(version) => (Some(version), true),
            None => {
                let there = api.ask(None, objects.get_metadata(&name)).await?;
                (there.metadata.resource_version, there.metadata.uid == metadata.uid)
            }
        };
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/status", "value": status},
        ]);
        let patch = serde_json::from_value(patch).map_err(|why| ApiError::Refused(why.to_string()))?;
        let patch = Patch::Json::<()>(patch);
        let params = patch_params();
        match api.ask(Some(kind), objects.patch_status(&name, &params, &patch)).await {
            Ok(written) => {
                api.versions.keep(&uid, written.meta().resource_version.clone());
                return Ok(());
            }
            // People write there as well.
            Err(ApiError::Invalid(why)) if same => refusal = why,
            Err(why) => return Err(why),
        }
    }
    Err(ApiError::Invalid(refusal))
}

/// Whether the incident is there no more; another one of its name is not it.
pub async fn is_gone(api: &Api, namespace: &str, at: &IncidentRef) -> Result<bool, ApiError> {
    let incidents: KubeApi<Incident> = KubeApi::namespaced(api.client.clone(), namespace);
    let found = api.ask(None, incidents.get_opt(&at.name)).await?;
    Ok(found.and_then(|incident| incident.metadata.uid).as_ref() != Some(&at.uid))
}

/// Deletes an incident as it was seen; gone already is as good.
pub async fn delete_incident(api: &Api, seen: &Incident) -> Result<(), ApiError> {
    let metadata = seen.metadata.clone();
    let incidents: KubeApi<Incident> = KubeApi::namespaced(api.client.clone(), &metadata.namespace.unwrap_or_default());
    let as_seen = DeleteParams {
        preconditions: Some(Preconditions {
            uid: metadata.uid,
            resource_version: metadata.resource_version,
        }),
        ..DeleteParams::default()
    };
    let name = metadata.name.unwrap_or_default();
    match api.ask(Some("incident"), incidents.delete(&name, &as_seen)).await {
        Ok(_) | Err(ApiError::NotFound(_)) => Ok(()),
        Err(why) => Err(why),
    }
}

/// Creates the incident under the first free name `<guard>-<hash>[-n]`. Its evidence stands before anything is done,
/// and outlives its guard: no owner reference. One that was created for the same case right before the daemon was killed,
/// so that nothing but its evidence is there, is taken up again.
pub async fn open(api: &Api, guard: &Guard, spec: IncidentSpec) -> Result<(IncidentRef, IncidentSpec), ApiError> {
    let namespace = guard.metadata.namespace.clone().unwrap_or_default();
    let incidents: KubeApi<Incident> = KubeApi::namespaced(api.client.clone(), &namespace);
    let params = post_params();
    for n in 1..=NAMES {
        let suffix = if n == 1 { String::new() } else { format!("-{n}") };
        let name = first_name(&spec) + &suffix;
        let mut incident = Incident::new(&name, spec.clone());
        incident.metadata.namespace = Some(namespace.clone());
        match api.ask(Some("incident"), incidents.create(&params, &incident)).await {
            Ok(created) => {
                let uid = created.metadata.uid.unwrap_or_default();
                api.versions.keep(&uid, created.metadata.resource_version);
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

/// The name that an incident gets if nobody has it.
pub fn first_name(spec: &IncidentSpec) -> String {
    format!("{}-{}", spec.guard, spec.bad.hash)
}

fn is_left_over(there: &Incident, spec: &IncidentSpec) -> bool {
    let untouched = there.status.as_ref().is_none_or(|status| status.state.is_none());
    let same = there.spec.guard == spec.guard && there.spec.bad == spec.bad && there.spec.restore_to == spec.restore_to;
    let begun = spec.bad.since.is_none_or(|since| there.spec.first_bad_at >= since);
    let times = there.spec.first_bad_at <= there.spec.opened_at && there.spec.opened_at <= spec.opened_at;
    untouched && same && begun && times && there.spec.decision == spec.decision
}
