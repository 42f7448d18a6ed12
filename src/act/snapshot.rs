//! IO. Known-good states: content-addressed snapshots, one ControllerRevision each, owned by the Guard. Of Secrets it holds
//! the names of their keys alone; their content is kept in a Secret named alike.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::{apps::v1::ControllerRevision, core::v1::Secret},
    apimachinery::pkg::runtime::RawExtension,
};
use kube::{
    Api as KubeApi, Resource,
    api::{DeleteParams, ObjectMeta, Patch},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Api, ApiError, patch_params, post_params, secret, secret::secrets, target};
use crate::{
    model::{
        content::{Content, Contents, NO_WAY_BACK, state_of},
        guard::{Guard, TargetKind, TargetRef},
    },
    observe::{
        cluster::{GUARD_LABEL, HASH, IMAGES, LAST_RUNNING, PROVEN_AT, Proven, SETTINGS, settings},
        seen::Seen,
    },
};

/// The last so many proven states are kept.
const KEPT: usize = 5;
/// An object of the API server must stay well under its limit of 1.5 MiB, and the data of a Secret under 1 MiB.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<Value>,
    /// Of a Secret: what its content consists of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
}

/// Keeps what runs now as a proven state, if it still is what was proven.
pub async fn take(api: &Api, guard: &Guard, seen: &Seen, now: Timestamp) -> Result<(), ApiError> {
    let namespace = guard.metadata.namespace.clone().unwrap_or_default();
    let name = guard.metadata.name.clone().unwrap_or_default();
    let (contents, _) = target::contents(target::read_all(api, &namespace, seen.parts.keys()).await?);
    let hash = state_of(&contents);
    if hash != seen.hash {
        return Err(ApiError::Invalid(format!("{hash} runs now, {} was proven", seen.hash)));
    }
    let metadata = ObjectMeta {
        name: Some(format!("{name}-{hash}")),
        namespace: Some(namespace.clone()),
        labels: Some(BTreeMap::from([(GUARD_LABEL.to_owned(), name)])),
        owner_references: guard.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    let sizes = contents
        .iter()
        .map(|(target, content)| (target, content.0.to_string().len()));
    fits(sizes.filter(|(target, _)| !is_secret(target)))?;
    // First, so that no state is ever known without its content.
    keep_secrets(api, &metadata, &contents).await?;
    let hashes = contents.iter().map(|(target, content)| (target, content.hash()));
    let mut notes = BTreeMap::from([
        (HASH.to_owned(), hash),
        (PROVEN_AT.to_owned(), now.to_string()),
        (LAST_RUNNING.to_owned(), now.to_string()),
        (IMAGES.to_owned(), seen.images.join(" ")),
        (SETTINGS.to_owned(), settings(hashes)),
    ]);
    if !seen.no_way_back.is_empty() {
        notes.insert(NO_WAY_BACK.to_owned(), seen.no_way_back.join("\n"));
    }
    let parts = contents.iter().map(|(target, content)| part(target, content)).collect();
    let data = serde_json::to_value(Data { version: 1, parts }).map_err(|why| ApiError::Refused(why.to_string()))?;
    let revision = ControllerRevision {
        metadata: ObjectMeta {
            annotations: Some(notes),
            ..metadata
        },
        data: RawExtension(data),
        revision: Some(now.as_second()),
    };
    let revisions = revisions(api, &namespace);
    match api
        .ask(Some("snapshot"), revisions.create(&post_params(), &revision))
        .await
    {
        Ok(_) | Err(ApiError::Exists(_)) => Ok(()),
        Err(why) => Err(why),
    }
}

/// Secrets' content goes into a Secret, by their names.
async fn keep_secrets(api: &Api, metadata: &ObjectMeta, contents: &Contents) -> Result<(), ApiError> {
    let kept = contents.iter().filter(|(target, _)| is_secret(target));
    let kept = kept.map(|(target, content)| (target, content.0.to_string()));
    let kept: Vec<(&TargetRef, String)> = kept.collect();
    if kept.is_empty() {
        return Ok(());
    }
    fits(kept.iter().map(|(target, text)| (*target, text.len())))?;
    let data = kept
        .into_iter()
        .map(|(target, text)| (target.name.clone(), ByteString(text.into_bytes())));
    let holder = Secret {
        metadata: metadata.clone(),
        data: Some(data.collect()),
        ..Secret::default()
    };
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let secrets = secrets(api, namespace);
    match secret::ask(api, Some("snapshot"), secrets.create(&post_params(), &holder)).await {
        Ok(_) | Err(ApiError::Exists(_)) => Ok(()),
        Err(why) => Err(why),
    }
}

fn is_secret(target: &TargetRef) -> bool {
    target.kind == TargetKind::Secret
}

/// Of a Secret only the names of its keys.
fn part(target: &TargetRef, content: &Content) -> Part {
    let keys = content.keys().into_iter().map(str::to_owned);
    Part {
        target: target.clone(),
        content: (!is_secret(target)).then(|| content.0.clone()),
        keys: keys.filter(|_| is_secret(target)).collect(),
    }
}

/// What one object holds must not be too large for it.
fn fits<'a>(sizes: impl Iterator<Item = (&'a TargetRef, usize)>) -> Result<(), ApiError> {
    let sizes: Vec<_> = sizes.collect();
    let all: usize = sizes.iter().map(|(_, size)| size).sum();
    match sizes.iter().max_by_key(|(_, size)| size).filter(|_| all > LIMIT) {
        None => Ok(()),
        Some((target, size)) => Err(ApiError::Refused(format!(
            "{target} takes {size} bytes of the {all} to be kept together, and {LIMIT} is the most: make it smaller, or guard fewer objects"
        ))),
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

/// Deletes proven states beyond the last five, `newest` among them, never one in `needed`.
pub async fn collect(
    api: &Api,
    namespace: &str,
    newest: &str,
    proven: &[Proven],
    needed: &[&str],
) -> Result<(), ApiError> {
    let mut oldest_last: Vec<&Proven> = proven.iter().filter(|state| state.hash != newest).collect();
    oldest_last.sort_by_key(|state| std::cmp::Reverse((state.last_running, state.proven_at)));
    for state in oldest_last
        .into_iter()
        .skip(KEPT - 1)
        .filter(|state| !needed.contains(&state.hash.as_str()))
    {
        let params = DeleteParams::default();
        if state.settings.keys().any(is_secret) {
            let secrets = secrets(api, namespace);
            match secret::ask(api, Some("snapshot"), secrets.delete(&state.name, &params)).await {
                Ok(_) | Err(ApiError::NotFound(_)) => {}
                Err(why) => return Err(why),
            }
        }
        let revisions = revisions(api, namespace);
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
    let secret = if data.parts.iter().any(|part| is_secret(&part.target)) {
        secret::ask(api, None, secrets(api, namespace).get(name)).await?.data
    } else {
        None
    };
    let kept = secret.unwrap_or_default();
    let kept = |part: &Part| serde_json::from_slice(&kept.get(&part.target.name)?.0).ok();
    let content = |part: &Part| part.content.clone().or_else(|| kept(part));
    let parts = data.parts.iter();
    let contents: Contents = parts
        .filter_map(|part| Some((part.target.clone(), Content(content(part)?))))
        .collect();
    let found = state_of(&contents);
    if found != hash {
        return Err(ApiError::Refused(format!(
            "snapshot {name} holds {found}, not {hash}: it was changed"
        )));
    }
    if !contents.keys().any(is_secret) {
        return Ok(contents);
    }
    // What is there now is hashed with the salt of now.
    let salt = secret::salt(api, namespace).await?;
    let salted = |(target, content): (TargetRef, Content)| {
        let content = if is_secret(&target) {
            content.salted(&salt)
        } else {
            content
        };
        (target, content)
    };
    Ok(contents.into_iter().map(salted).collect())
}

fn revisions(api: &Api, namespace: &str) -> KubeApi<ControllerRevision> {
    KubeApi::namespaced(api.client.clone(), namespace)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_what_is_too_large_the_largest_is_named() {
        let [small, large]: [TargetRef; 2] = ["Secret/small", "Secret/large"].map(|name| name.parse().unwrap());
        assert!(fits([(&small, LIMIT / 4), (&large, LIMIT / 2)].into_iter()).is_ok());
        let why = fits([(&small, LIMIT / 4), (&large, LIMIT)].into_iter()).unwrap_err();
        assert!(why.to_string().contains("Secret/large takes 1048576 bytes"), "{why}");
    }

    #[test]
    fn of_a_secret_a_snapshot_holds_the_names_of_its_keys_alone() {
        let secret = Content(json!({"data": {"PASSWORD": "aHVudGVyMg=="}, "type": "Opaque"})).salted("s4lt");
        let part = part(&"Secret/db".parse().unwrap(), &secret);
        let kept = serde_json::to_value(&part).unwrap();
        assert_eq!(kept, json!({"kind": "Secret", "name": "db", "keys": ["PASSWORD"]}));
    }
}
