//! IO. What a ReplicaSet still holds of its Deployment: a revision that nobody proved.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::{Api as KubeApi, ResourceExt};
use serde_json::Value;

use super::{Api, ApiError};
use crate::{
    model::{
        content::{Content, POD_TEMPLATE_HASH},
        guard::TargetRef,
    },
    observe::cluster::dynamic,
};

/// Reads its pod template as the Deployment had it. It must be that Deployment's own, of that `pod-template-hash`.
pub async fn load(api: &Api, namespace: &str, target: &TargetRef, name: &str, hash: &str) -> Result<Content, ApiError> {
    let gone = |what: String| ApiError::Refused(format!("{what} is there no more"));
    let deployments: KubeApi<Deployment> = KubeApi::namespaced(api.client.clone(), namespace);
    let deployment = api.ask(None, deployments.get_opt(&target.name)).await?;
    let uid = deployment
        .and_then(|found| found.uid())
        .ok_or_else(|| gone(target.to_string()))?;
    let sets = dynamic::<ReplicaSet>(&api.client, &Some(namespace.to_owned()));
    let set = api.ask(None, sets.get_opt(name)).await?;
    let set = set.ok_or_else(|| gone(format!("ReplicaSet/{name}")))?;
    let own = set.owner_references().iter().any(|owner| owner.uid == uid);
    if !own || set.labels().get(POD_TEMPLATE_HASH).map(String::as_str) != Some(hash) {
        let why = format!("ReplicaSet/{name} is not the revision {hash} of {target}");
        return Err(ApiError::Refused(why));
    }
    let mut template = set.data.pointer("/spec/template").cloned().unwrap_or(Value::Null);
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(POD_TEMPLATE_HASH);
    }
    Ok(Content(template))
}
