//! A pod's service account: a token that ends with the pod, as the kubelet asks for one.

use std::path::PathBuf;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

use super::Shared;

/// The kubeconfig of its containers; none where the pod names no account of its own, or wants no token.
pub(crate) async fn kubeconfig(client: &Client, shared: &Shared, pod: &Pod) -> Result<Option<PathBuf>, String> {
    let spec = pod.spec.as_ref();
    let wanted = spec.is_some_and(|spec| spec.automount_service_account_token != Some(false));
    let account = spec.and_then(|spec| spec.service_account_name.as_deref());
    let Some(account) = account.filter(|account| wanted && *account != "default") else {
        return Ok(None);
    };
    let namespace = pod.namespace().unwrap_or_default();
    let bound = BoundObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
    };
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            bound_object_ref: Some(bound),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), &namespace);
    let answer = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await;
    let token = answer
        .map_err(|error| error.to_string())?
        .status
        .map(|status| status.token);
    let written = shared
        .access
        .write_account(&pod.name_any(), &namespace, &token.flatten().unwrap_or_default());
    written.map(Some).map_err(|error| format!("{error:#}"))
}
