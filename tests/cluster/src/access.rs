//! Who may talk to the API server: users with bearer tokens, their kubeconfigs and clients.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;

use crate::scratch::{Scratch, write_atomically};

/// `admin` is the test, `modosu` the daemon, `node` the node agent: they may do everything; the audit log tells them apart. `limited` may
/// do what a story lets it do.
pub const USERS: [&str; 4] = ["admin", "modosu", "node", LIMITED];
const LIMITED: &str = "limited";

#[derive(Clone, Debug)]
pub(crate) struct Access {
    scratch: Arc<Scratch>,
    pub(crate) server: String,
}

impl Access {
    pub(crate) fn new(scratch: &Arc<Scratch>, server: String) -> anyhow::Result<Self> {
        let access = Self {
            scratch: scratch.clone(),
            server,
        };
        let line = |user: &str| match user {
            LIMITED => format!("{},{user},{user}\n", token(user)),
            _ => format!("{},{user},{user},\"system:masters\"\n", token(user)),
        };
        std::fs::write(access.token_file(), USERS.map(line).concat())?;
        for user in USERS {
            access.write_kubeconfig(user, &access.server, true)?;
        }
        Ok(access)
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.scratch.join("tokens.csv")
    }

    /// The API server writes it while it starts; it signs itself.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.scratch.join("certs/apiserver.crt")
    }

    pub(crate) fn kubeconfig(&self, user: &str) -> anyhow::Result<PathBuf> {
        ensure!(USERS.contains(&user), "there is no user {user:?}, only {USERS:?}");
        Ok(self.scratch.join(format!("kubeconfig/{user}.yaml")))
    }

    /// A kubeconfig for another door to the same server, such as a tap.
    pub(crate) fn write_kubeconfig(&self, name: &str, server: &str, secure: bool) -> anyhow::Result<PathBuf> {
        self.write(name, server, secure, &token(name), "default")
    }

    /// A kubeconfig for a pod's service account.
    pub(crate) fn write_account(&self, pod: &str, namespace: &str, token: &str) -> anyhow::Result<PathBuf> {
        self.write(&format!("pod-{namespace}-{pod}"), &self.server, true, token, namespace)
    }

    fn write(&self, name: &str, server: &str, secure: bool, token: &str, namespace: &str) -> anyhow::Result<PathBuf> {
        let cluster = if secure {
            json!({"server": server, "certificate-authority": self.ca_file()})
        } else {
            json!({"server": server})
        };
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name, "namespace": namespace}}],
            "current-context": "test",
        });
        let path = self.scratch.join(format!("kubeconfig/{name}.yaml"));
        // JSON is YAML.
        write_atomically(&path, serde_json::to_string_pretty(&kubeconfig)?.as_bytes())?;
        Ok(path)
    }

    /// A client of the caller's runtime, so a new one for each test. It sends nothing twice.
    pub(crate) async fn client(&self, user: &str) -> anyhow::Result<kube::Client> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig(user)?)?;
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.default_retry = false;
        Ok(kube::Client::try_from(config)?)
    }

    /// A plain HTTP client that trusts the API server.
    pub(crate) fn http(&self) -> anyhow::Result<reqwest::ClientBuilder> {
        let ca = std::fs::read(self.ca_file()).context("the API server has written no certificate")?;
        Ok(reqwest::Client::builder()
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&ca)?)
            .no_proxy())
    }
}

pub(crate) fn token(user: &str) -> String {
    format!("token-of-{user}")
}
