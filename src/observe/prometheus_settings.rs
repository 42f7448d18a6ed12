//! Pure. Where Prometheus is and how one gets in.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::units::Length;

/// Where Prometheus is and how one gets in.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// With the path prefix, if there is one: `https://mimir/prometheus`.
    pub url: String,
    /// For one query, and for all queries of a turn together.
    pub timeout: Length,
    /// Read again for every query, so that a rotated token counts at once.
    pub bearer_token_file: Option<PathBuf>,
    pub basic_auth: Option<BasicAuth>,
    /// Sent with every query, such as `X-Scope-OrgID`.
    pub headers: BTreeMap<String, String>,
    /// A PEM file with authorities that are trusted beside the system's.
    pub ca: Option<PathBuf>,
}

/// Name and password, the password from a file that is read again for every query.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BasicAuth {
    pub username: String,
    pub password_file: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: "http://prometheus:9090".into(),
            timeout: Length::seconds(5),
            bearer_token_file: None,
            basic_auth: None,
            headers: BTreeMap::new(),
            ca: None,
        }
    }
}

/// A setting that cannot work, found before the first query.
#[derive(Debug, Error)]
pub enum SettingsError {
    #[error("prometheus.url: `{url}` is not an address such as `http://prometheus:9090`: {why}")]
    Url { url: String, why: String },
    #[error("prometheus.headers: `{name}` cannot be sent as a header: {why}")]
    Header { name: String, why: String },
    #[error("prometheus.ca: {path}: {why}")]
    Ca { path: PathBuf, why: String },
    #[error("prometheus: bearerTokenFile and basicAuth are both set, only one can be sent")]
    TwoCredentials,
    #[error("prometheus: the HTTP client cannot be built: {0}")]
    Client(#[from] reqwest::Error),
}
