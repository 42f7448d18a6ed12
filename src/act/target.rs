//! IO. Targets read whole and written narrowly: a workload's `/spec/template`, the `data` and `binaryData` of a ConfigMap or a Secret.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{ConfigMap, Secret},
};
use kube::{
    Api as KubeApi, ResourceExt,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Map, Value, json};

use super::{Api, ApiError, patch_params, post_params, secret};
use crate::{
    model::{
        content::{Content, Contents, SALT},
        guard::{TargetKind, TargetRef},
    },
    observe::cluster::dynamic,
};

/// An object as it was just read.
#[derive(Clone)]
pub struct Read {
    pub object: DynamicObject,
    pub content: Content,
}

/// Reads one target. `Ok(None)`: it does not exist.
pub async fn read(api: &Api, namespace: &str, target: &TargetRef) -> Result<Option<Read>, ApiError> {
    let objects = objects(api, namespace, target.kind);
    let Some(object) = ask(api, target.kind, None, objects.get_opt(&target.name)).await? else {
        return Ok(None);
    };
    let content = Content::of(target.kind, &object.data);
    let content = match target.kind {
        TargetKind::Secret => content.salted(&secret::salt(api, namespace).await?),
        TargetKind::ConfigMap | TargetKind::Deployment | TargetKind::StatefulSet | TargetKind::DaemonSet => content,
    };
    Ok(Some(Read { object, content }))
}

/// Of a Secret no error tells anything.
async fn ask<T>(
    api: &Api,
    kind: TargetKind,
    counted: Option<&str>,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, ApiError> {
    if kind == TargetKind::Secret {
        secret::ask(api, counted, request).await
    } else {
        api.ask(counted, request).await
    }
}

/// Reads targets, side by side; those that do not exist are left out.
pub async fn read_all<'a>(
    api: &Api,
    namespace: &str,
    targets: impl IntoIterator<Item = &'a TargetRef>,
) -> Result<BTreeMap<TargetRef, Read>, ApiError> {
    let reads = targets.into_iter().map(|target| async move {
        let read = read(api, namespace, target).await?;
        Ok(read.map(|read| (target.clone(), read)))
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

/// What targets hold that were read, and their uids.
pub fn contents(reads: BTreeMap<TargetRef, Read>) -> (Contents, BTreeMap<TargetRef, String>) {
    let mut contents = Contents::new();
    let mut uids = BTreeMap::new();
    for (target, read) in reads {
        uids.insert(target.clone(), read.object.uid().unwrap_or_default());
        contents.insert(target, read.content);
    }
    (contents, uids)
}

/// What is to stand in a target's place.
#[derive(Clone, Copy)]
pub struct Goal<'a> {
    pub content: &'a Content,
    /// For people, in the workload's `kubernetes.io/change-cause`.
    pub cause: &'a str,
    /// The server is only asked what it would say (`dryRun=All`).
    pub dry_run: bool,
}

/// Puts the goal in the place of what was read, if it is still the same; a ConfigMap or a Secret that is gone is created.
/// Gives the new resourceVersion.
pub async fn put(
    api: &Api,
    namespace: &str,
    target: &TargetRef,
    read: Option<&Read>,
    goal: Goal<'_>,
) -> Result<String, ApiError> {
    match read {
        Some(read) => replace(api, namespace, target, read, goal).await,
        None if target.kind.is_workload() => Err(ApiError::Refused(format!("{target} was deleted"))),
        None => create(api, namespace, target, goal).await,
    }
}

async fn replace(
    api: &Api,
    namespace: &str,
    target: &TargetRef,
    read: &Read,
    goal: Goal<'_>,
) -> Result<String, ApiError> {
    let patch = match target.kind {
        TargetKind::Deployment | TargetKind::StatefulSet | TargetKind::DaemonSet => {
            template_patch(read, goal.content, goal.cause)
        }
        TargetKind::ConfigMap | TargetKind::Secret => data_patch(read, goal.content),
    };
    patch_target(api, namespace, target, patch, goal.dry_run).await
}

async fn patch_target(
    api: &Api,
    namespace: &str,
    target: &TargetRef,
    patch: Value,
    dry_run: bool,
) -> Result<String, ApiError> {
    let patch: json_patch::Patch =
        serde_json::from_value(patch).map_err(|why| ApiError::Refused(format!("not a JSON Patch: {why}")))?;
    let objects = objects(api, namespace, target.kind);
    let params = PatchParams {
        dry_run,
        ..patch_params()
    };
    let patch = Patch::Json::<()>(patch);
    let request = objects.patch(&target.name, &params, &patch);
    let written = ask(api, target.kind, counted(dry_run), request).await?;
    Ok(written.resource_version().unwrap_or_default())
}

/// Asks for another number of replicas, if it is still the one that was read. Gives the new resourceVersion.
pub async fn scale(
    api: &Api,
    namespace: &str,
    target: &TargetRef,
    read: &Read,
    replicas: i64,
    dry_run: bool,
) -> Result<String, ApiError> {
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": read.object.metadata.uid},
        {"op": "test", "path": "/spec/replicas", "value": read.object.data.pointer("/spec/replicas")},
        {"op": "replace", "path": "/spec/replicas", "value": replicas},
    ]);
    patch_target(api, namespace, target, patch, dry_run).await
}

async fn create(api: &Api, namespace: &str, target: &TargetRef, goal: Goal<'_>) -> Result<String, ApiError> {
    let mut object = goal.content.0.as_object().cloned().unwrap_or_default();
    object.remove(SALT);
    object.insert("apiVersion".into(), json!("v1"));
    object.insert("kind".into(), json!(format!("{:?}", target.kind)));
    object.insert("metadata".into(), json!({"name": target.name, "namespace": namespace}));
    let object: DynamicObject =
        serde_json::from_value(Value::Object(object)).map_err(|why| ApiError::Refused(why.to_string()))?;
    let params = PostParams {
        dry_run: goal.dry_run,
        ..post_params()
    };
    let objects = objects(api, namespace, target.kind);
    let request = objects.create(&params, &object);
    let written = ask(api, target.kind, counted(goal.dry_run), request).await?;
    Ok(written.resource_version().unwrap_or_default())
}

/// A dry run is no write.
const fn counted(dry_run: bool) -> Option<&'static str> {
    if dry_run { None } else { Some("target") }
}

fn objects(api: &Api, namespace: &str, kind: TargetKind) -> KubeApi<DynamicObject> {
    let scope = Some(namespace.to_owned());
    match kind {
        TargetKind::Deployment => dynamic::<Deployment>(&api.client, &scope),
        TargetKind::StatefulSet => dynamic::<StatefulSet>(&api.client, &scope),
        TargetKind::DaemonSet => dynamic::<DaemonSet>(&api.client, &scope),
        TargetKind::ConfigMap => dynamic::<ConfigMap>(&api.client, &scope),
        TargetKind::Secret => dynamic::<Secret>(&api.client, &scope),
    }
}

/// Tests the uid and the whole template that was judged; never the resourceVersion, which status and autoscalers move.
fn template_patch(read: &Read, goal: &Content, cause: &str) -> Value {
    let before = read
        .object
        .data
        .pointer("/spec/template")
        .cloned()
        .unwrap_or(Value::Null);
    let note = if read.object.metadata.annotations.is_some() {
        json!({"op": "add", "path": "/metadata/annotations/kubernetes.io~1change-cause", "value": cause})
    } else {
        json!({"op": "add", "path": "/metadata/annotations", "value": {"kubernetes.io/change-cause": cause}})
    };
    json!([
        {"op": "test", "path": "/metadata/uid", "value": read.object.metadata.uid},
        {"op": "test", "path": "/spec/template", "value": before},
        {"op": "replace", "path": "/spec/template", "value": goal.0},
        note,
    ])
}

fn data_patch(read: &Read, goal: &Content) -> Value {
    let mut ops = vec![json!({"op": "test", "path": "/metadata/uid", "value": read.object.metadata.uid})];
    let empty = Map::new();
    let before = read.content.0.as_object().unwrap_or(&empty);
    for key in ["data", "binaryData"] {
        let path = format!("/{key}");
        let (old, new) = (before.get(key), goal.0.get(key));
        if old == new {
            continue;
        }
        ops.extend(old.map(|old| json!({"op": "test", "path": path, "value": old})));
        ops.push(match (old, new) {
            (Some(_), Some(new)) => json!({"op": "replace", "path": path, "value": new}),
            (None, Some(new)) => json!({"op": "add", "path": path, "value": new}),
            (_, None) => json!({"op": "remove", "path": path}),
        });
    }
    Value::Array(ops)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(object: Value, kind: TargetKind) -> Read {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        Read {
            content: Content::of(kind, &object.data),
            object,
        }
    }

    #[test]
    fn a_template_is_replaced_only_where_it_is_still_what_was_judged() {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "o", "uid": "u", "annotations": {}},
            "spec": {"replicas": 7, "template": {"spec": {"containers": []}}}});
        let patch = template_patch(
            &read(object, TargetKind::Deployment),
            &Content(json!({"spec": {}})),
            "modosu",
        );
        let paths: Vec<_> = patch
            .as_array()
            .unwrap()
            .iter()
            .map(|op| format!("{} {}", op["op"], op["path"]))
            .collect();
        assert_eq!(
            paths,
            [
                r#""test" "/metadata/uid""#,
                r#""test" "/spec/template""#,
                r#""replace" "/spec/template""#,
                r#""add" "/metadata/annotations/kubernetes.io~1change-cause""#
            ]
        );
    }

    #[test]
    fn binary_data_that_the_change_added_is_removed() {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "uid": "u"},
            "data": {"a": "2"}, "binaryData": {"b": "AA=="}});
        let patch = data_patch(
            &read(object, TargetKind::ConfigMap),
            &Content(json!({"data": {"a": "1"}})),
        );
        let ops: Vec<_> = patch
            .as_array()
            .unwrap()
            .iter()
            .map(|op| op["op"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ops, ["test", "test", "replace", "test", "remove"]);
    }
}
