//! IO. What commands write, as the calling user: annotations, and decisions on incidents.

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{config::GuardName, model::incident::Incident};

/// Who wrote it, in managedFields.
const MANAGER: &str = "modosu-cli";

/// A decision of now.
pub fn decision(verb: &str, reason: Option<&str>) -> Value {
    json!({"verb": verb, "reason": reason, "at": Timestamp::now()})
}

/// Writes what the caller decides on an incident; fields that it does not name are none.
pub async fn decide(client: &Client, at: &GuardName, mut decision: Value) -> anyhow::Result<()> {
    decision["by"] = json!(caller(client).await?);
    for field in ["reason", "only", "to"] {
        if decision.get(field).is_none() {
            decision[field] = Value::Null;
        }
    }
    let patch = json!({"spec": {"decision": decision}});
    let incidents: Api<Incident> = Api::namespaced(client.clone(), &at.namespace);
    incidents
        .patch(&at.name, &parameters(), &Patch::Merge(patch))
        .await
        .with_context(|| format!("incident {at}"))?;
    Ok(())
}

pub async fn annotate<K>(objects: &Api<K>, name: &str, patch: &Value) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    objects
        .patch_metadata(name, &parameters(), &Patch::Merge(patch))
        .await
        .with_context(|| format!("{} {name}", K::kind(&())))?;
    Ok(())
}

pub fn parameters() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// Who asks, as the API server knows them.
pub async fn caller(client: &Client) -> anyhow::Result<String> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .context("asking the API server who you are")?;
    let user = review
        .status
        .and_then(|status| status.user_info)
        .and_then(|user| user.username);
    Ok(user.unwrap_or_else(|| "somebody".to_owned()))
}
