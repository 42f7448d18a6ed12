//! IO. Known-good states: content-addressed snapshots, one ControllerRevision each, owned by the Guard.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{api::apps::v1::ControllerRevision, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api as KubeApi, Resource,
    api::{DeleteParams, ObjectMeta, Patch, PostParams},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Api, ApiError, FIELD_MANAGER, patch_params, target};
use crate::{
    model::{
        content::{Content, Contents, state_hash},
        guard::{Guard, TargetRef},
    },
    observe::{
        cluster::{GUARD_LABEL, HASH, IMAGES, LAST_RUNNING, PROVEN_AT, Proven},
        seen::Seen,
    },
};

/// The last so many proven states are kept.
const KEPT: usize = 5;
/// An object of the API server must stay well under its limit of 1.5 MiB.
const LIMIT: usize = 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Data {
    version: u32,
    parts: Vec<Part>,
}

#[derive(Serialize, Deserialize)]
struct Part {
    #[serde(flatten)]
    target: TargetRef,
    content: Value,
}

/// Keeps what runs now as a proven state, if it still is what was proven.
pub async fn take(api: &Api, guard: &Guard, seen: &Seen, now: Timestamp) -> Result<(), ApiError> {
    let namespace = guard.metadata.namespace.clone().unwrap_or_default();
    let name = guard.metadata.name.clone().unwrap_or_default();
    let (contents, _) = target::read_all(api, &namespace, seen.parts.keys()).await?;
    let hash = hash_of(&contents);
    if hash != seen.hash {
        return Err(ApiError::Invalid(format!("{hash} runs now, {} was proven", seen.hash)));
    }
    let parts = contents
        .into_iter()
        .map(|(target, content)| Part {
            target,
            content: content.0,
        })
        .collect();
    let data = serde_json::to_value(Data { version: 1, parts }).map_err(|why| ApiError::Refused(why.to_string()))?;
    let size = data.to_string().len();
    if size > LIMIT {
        return Err(ApiError::Refused(format!(
            "the state of guard {name} takes {size} bytes, more than {LIMIT}: guard fewer or smaller ConfigMaps"
        )));
    }
    let revision = ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{hash}")),
            namespace: Some(namespace.clone()),
            labels: Some(BTreeMap::from([(GUARD_LABEL.to_owned(), name)])),
            annotations: Some(BTreeMap::from([
                (HASH.to_owned(), hash),
                (PROVEN_AT.to_owned(), now.to_string()),
                (LAST_RUNNING.to_owned(), now.to_string()),
                (IMAGES.to_owned(), seen.images.join(" ")),
            ])),
            owner_references: owner(guard).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: k8s_openapi::apimachinery::pkg::runtime::RawExtension(data),
        revision: Some(now.as_second()),
    };
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    match api
        .ask(Some("snapshot"), revisions(api, &namespace).create(&params, &revision))
        .await
    {
        Ok(_) | Err(ApiError::Exists(_)) => Ok(()),
        Err(why) => Err(why),
    }
}

/// A proven state runs again: it is now the newest to have run.
pub async fn touch(api: &Api, namespace: &str, name: &str, now: Timestamp) -> Result<(), ApiError> {
    let patch = json!({"metadata": {"annotations": {LAST_RUNNING: now.to_string()}}});
    let revisions = revisions(api, namespace);
    let params = patch_params();
    let patch = Patch::Merge(&patch);
    api.ask(Some("snapshot"), revisions.patch_metadata(name, &params, &patch))
        .await
        .map(|_| ())
}

/// Deletes proven states beyond the last five, never one in `needed`.
pub async fn collect(api: &Api, namespace: &str, proven: &[Proven], needed: &[&str]) -> Result<(), ApiError> {
    let mut oldest_last: Vec<&Proven> = proven.iter().collect();
    oldest_last.sort_by_key(|state| std::cmp::Reverse((state.last_running, state.proven_at)));
    for state in oldest_last
        .into_iter()
        .skip(KEPT)
        .filter(|state| !needed.contains(&state.hash.as_str()))
    {
        let revisions = revisions(api, namespace);
        let params = DeleteParams::default();
        match api.ask(Some("snapshot"), revisions.delete(&state.name, &params)).await {
            Ok(_) | Err(ApiError::NotFound(_)) => {}
            Err(why) => return Err(why),
        }
    }
    Ok(())
}

/// Reads a snapshot back. It must hold exactly the state that its hash says.
pub async fn load(api: &Api, namespace: &str, name: &str, hash: &str) -> Result<Contents, ApiError> {
    let revision = api.ask(None, revisions(api, namespace).get(name)).await?;
    let data: Data = serde_json::from_value(revision.data.0)
        .map_err(|why| ApiError::Refused(format!("snapshot {name} is unreadable: {why}")))?;
    let contents: Contents = data
        .parts
        .into_iter()
        .map(|part| (part.target, Content(part.content)))
        .collect();
    let found = hash_of(&contents);
    if found == hash {
        Ok(contents)
    } else {
        Err(ApiError::Refused(format!(
            "snapshot {name} holds {found}, not {hash}: it was changed"
        )))
    }
}

fn hash_of(contents: &Contents) -> String {
    let hashes: Vec<_> = contents
        .iter()
        .map(|(target, content)| (target, content.hash()))
        .collect();
    state_hash(hashes.iter().map(|(target, hash)| (*target, hash.as_str())))
}

fn owner(guard: &Guard) -> Option<OwnerReference> {
    guard.controller_owner_ref(&())
}

fn revisions(api: &Api, namespace: &str) -> KubeApi<ControllerRevision> {
    KubeApi::namespaced(api.client.clone(), namespace)
}
