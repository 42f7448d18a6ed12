//! Pure. A request that an owner wants answered in a certain way.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request and the answer that is expected. Redirects are not followed: they are answers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = (
    "has(self.get) ? !has(self.method) && !has(self.url) : has(self.method) && has(self.url)",
    "a request is either get, or method and url"
))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpCheck {
    /// The address to GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2000))]
    pub get: Option<String>,
    /// With `url`, in the place of `get`. Only GET and HEAD are ever sent twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2000))]
    pub url: Option<String>,
    /// Sent with it; shown nowhere but in the guard itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 20))]
    pub headers: BTreeMap<String, String>,
    /// The status of the answer.
    #[serde(default = "two_hundred")]
    #[schemars(range(min = 100, max = 599))]
    pub expect: u16,
    /// A part of the answer's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub body: Option<String>,
    /// So often it is asked again, a second apart.
    #[serde(default = "three")]
    #[schemars(range(max = 5))]
    pub retries: u8,
}

/// The methods of a request.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
}

impl Default for HttpCheck {
    fn default() -> Self {
        Self {
            get: None,
            method: None,
            url: None,
            headers: BTreeMap::new(),
            expect: two_hundred(),
            body: None,
            retries: three(),
        }
    }
}

impl HttpCheck {
    /// What is sent, and where.
    pub fn request(&self) -> (Method, &str) {
        let url = self.get.as_ref().or(self.url.as_ref());
        (
            self.method.unwrap_or(Method::Get),
            url.map(String::as_str).unwrap_or_default(),
        )
    }

    /// Asked twice is asked once.
    pub fn repeats(&self) -> bool {
        matches!(self.request().0, Method::Get | Method::Head)
    }
}

impl Method {
    /// As it is sent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

const fn two_hundred() -> u16 {
    200
}

const fn three() -> u8 {
    3
}
