//! A container's environment, resolved as the kubelet does: `envFrom` first, then `env`; what is missing and not optional is an error
//! that keeps the container waiting with reason CreateContainerConfigError.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvFromSource, EnvVarSource, Pod, Secret};
use kube::{Api, Client, ResourceExt};

use super::NODE_NAME;

pub(crate) type Environment = BTreeMap<String, String>;

pub(crate) const POD_IP: &str = "127.0.0.1";

pub(crate) async fn resolve(client: &Client, pod: &Pod, container: &Container) -> Result<Environment, String> {
    let source = Source {
        client,
        namespace: pod.namespace().unwrap_or_default(),
        pod,
    };
    let mut environment = Environment::new();
    for from in container.env_from.iter().flatten() {
        environment.extend(source.all_of(from).await?);
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            Some(from) => source.one_of(from).await?,
            None => Some(variable.value.clone().unwrap_or_default()),
        };
        if let Some(value) = value {
            environment.insert(variable.name.clone(), value);
        }
    }
    Ok(environment)
}

struct Source<'a> {
    client: &'a Client,
    namespace: String,
    pod: &'a Pod,
}

impl Source<'_> {
    async fn all_of(&self, from: &EnvFromSource) -> Result<Environment, String> {
        let (name, optional, data) = if let Some(map) = &from.config_map_ref {
            (&map.name, map.optional, self.config_map(&map.name).await?)
        } else if let Some(secret) = &from.secret_ref {
            (&secret.name, secret.optional, self.secret(&secret.name).await?)
        } else {
            return Ok(Environment::new());
        };
        let prefix = from.prefix.clone().unwrap_or_default();
        match data {
            Some(data) => Ok(data
                .into_iter()
                .map(|(key, value)| (format!("{prefix}{key}"), value))
                .collect()),
            None if optional == Some(true) => Ok(Environment::new()),
            None => Err(format!("{name:?} not found")),
        }
    }

    async fn one_of(&self, from: &EnvVarSource) -> Result<Option<String>, String> {
        if let Some(field) = &from.field_ref {
            return self.field(&field.field_path).map(Some);
        }
        let (name, key, optional, data) = if let Some(map) = &from.config_map_key_ref {
            (&map.name, &map.key, map.optional, self.config_map(&map.name).await?)
        } else if let Some(secret) = &from.secret_key_ref {
            (
                &secret.name,
                &secret.key,
                secret.optional,
                self.secret(&secret.name).await?,
            )
        } else {
            return Err("this node resolves configMapKeyRef, secretKeyRef and fieldRef only".into());
        };
        match data.map(|mut data| data.remove(key)) {
            Some(Some(value)) => Ok(Some(value)),
            _ if optional == Some(true) => Ok(None),
            Some(None) => Err(format!("couldn't find key {key} in {}/{name}", self.namespace)),
            None => Err(format!("{name:?} not found")),
        }
    }

    fn field(&self, path: &str) -> Result<String, String> {
        let labelled = |values: &BTreeMap<String, String>, key: &str| values.get(key).cloned().unwrap_or_default();
        match path {
            "metadata.name" => Ok(self.pod.name_any()),
            "metadata.namespace" => Ok(self.namespace.clone()),
            "metadata.uid" => Ok(self.pod.uid().unwrap_or_default()),
            "spec.nodeName" => Ok(NODE_NAME.into()),
            "spec.serviceAccountName" => Ok(self
                .pod
                .spec
                .as_ref()
                .and_then(|spec| spec.service_account_name.clone())
                .unwrap_or_default()),
            "status.podIP" | "status.hostIP" => Ok(POD_IP.into()),
            _ => match path.strip_suffix("']").and_then(|path| path.split_once("['")) {
                Some(("metadata.labels", key)) => Ok(labelled(self.pod.labels(), key)),
                Some(("metadata.annotations", key)) => Ok(labelled(self.pod.annotations(), key)),
                _ => Err(format!("this node does not resolve the field {path}")),
            },
        }
    }

    async fn config_map(&self, name: &str) -> Result<Option<Environment>, String> {
        let maps = Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace);
        let map = maps.get_opt(name).await.map_err(|error| error.to_string())?;
        Ok(map.map(|map| map.data.unwrap_or_default()))
    }

    async fn secret(&self, name: &str) -> Result<Option<Environment>, String> {
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &self.namespace);
        let secret = secrets.get_opt(name).await.map_err(|error| error.to_string())?;
        let text =
            |(key, value): (String, k8s_openapi::ByteString)| (key, String::from_utf8_lossy(&value.0).into_owned());
        Ok(secret.map(|secret| secret.data.unwrap_or_default().into_iter().map(text).collect()))
    }
}
