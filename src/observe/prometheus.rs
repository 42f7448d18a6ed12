//! IO. One question to Prometheus: over HTTP, or to a service in this process (tests, the demo), read alike.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use axum::body::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use prometheus_http_query::Client;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tower::{BoxError, Service, ServiceExt, util::BoxCloneSyncService};
use url::{Url, form_urlencoded};

use super::{
    answer::{Answer, Failure, Response},
    prometheus_rules::Listed,
    query::Moment,
};
use crate::model::units::Length;

/// No answer to 10,000 guards comes near this; a log file served by mistake does.
const BODY_LIMIT: usize = 64 << 20;

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

/// A Prometheus that can be asked. Cheap to clone.
#[derive(Clone)]
pub struct Prometheus {
    transport: Transport,
    timeout: Duration,
}

#[derive(Clone)]
enum Transport {
    Http(Box<Http>),
    InProcess(BoxCloneSyncService<http::Request<Bytes>, http::Response<Bytes>, BoxError>),
}

#[derive(Clone)]
struct Http {
    client: Client,
    headers: HeaderMap,
    credentials: Credentials,
}

#[derive(Clone)]
enum Credentials {
    None,
    Bearer(PathBuf),
    Basic(BasicAuth),
}

impl fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.transport {
            Transport::Http(http) => write!(f, "Prometheus({})", http.client.base_url()),
            Transport::InProcess(_) => f.write_str("Prometheus(in process)"),
        }
    }
}

impl Prometheus {
    /// A Prometheus behind HTTP. Nothing is sent yet; the CA file is read now.
    pub fn http(settings: &Settings) -> Result<Self, SettingsError> {
        let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &settings.ca {
            let wrong = |why: String| SettingsError::Ca {
                path: path.clone(),
                why,
            };
            let pem = std::fs::read(path).map_err(|why| wrong(why.to_string()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|why| wrong(root_cause(&why)))?;
            if certificates.is_empty() {
                return Err(wrong("holds no certificate".into()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let credentials = match (&settings.bearer_token_file, &settings.basic_auth) {
            (None, None) => Credentials::None,
            (Some(file), None) => Credentials::Bearer(file.clone()),
            (None, Some(basic)) => Credentials::Basic(basic.clone()),
            (Some(_), Some(_)) => return Err(SettingsError::TwoCredentials),
        };
        let http = Http {
            client: client(builder.build()?, &settings.url)?,
            headers: headers(&settings.headers)?,
            credentials,
        };
        Ok(Self {
            transport: Transport::Http(Box::new(http)),
            timeout: settings.timeout.0,
        })
    }

    /// A Prometheus in this process: it gets `POST /api/v1/query` with a form, like the real one.
    pub fn from_service<S>(service: S, timeout: Duration) -> Self
    where
        S: Service<http::Request<Bytes>, Response = http::Response<Bytes>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError> + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let service = BoxCloneSyncService::new(service.map_err(Into::into));
        Self {
            transport: Transport::InProcess(service),
            timeout,
        }
    }

    /// The time that one query may take, and a whole turn.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks one instant query, evaluated at `at` or, without it, at the server's own now.
    pub async fn query(&self, promql: &str, at: Option<Moment>) -> Result<Answer, Failure> {
        let asked = async {
            match &self.transport {
                Transport::Http(http) => http.query(promql, at, self.timeout).await,
                Transport::InProcess(service) => in_process(service.clone(), promql, at).await,
            }
        };
        match tokio::time::timeout(self.timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::NoAnswer(format!(
                "no answer within {}",
                humantime::format_duration(self.timeout)
            ))),
        }
    }
}

impl Prometheus {
    /// The alerting rules that are loaded, and how their evaluation goes.
    pub async fn rules(&self) -> Result<Listed, Failure> {
        match &self.transport {
            Transport::Http(http) => http.rules().await,
            Transport::InProcess(service) => rules_in_process(service.clone()).await,
        }
    }
}

impl Http {
    async fn query(&self, promql: &str, at: Option<Moment>, timeout: Duration) -> Result<Answer, Failure> {
        let limit = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        let mut query = self.client.query(promql).timeout(limit);
        if let Some(at) = at {
            query = query.query("time", at);
        }
        for (name, value) in &self.headers {
            query = query.header(name.clone(), value.clone());
        }
        if let Some(authorization) = self.authorization().await? {
            query = query.header(header::AUTHORIZATION, authorization);
        }
        let mut response = query
            .post_raw()
            .await
            .map_err(|why| Failure::NoAnswer(root_cause(&why)))?;
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|why| Failure::NoAnswer(root_cause(&why)))?
        {
            if body.len() + chunk.len() > BODY_LIMIT {
                return Err(Failure::NoAnswer(format!(
                    "the answer is larger than {} MiB",
                    BODY_LIMIT >> 20
                )));
            }
            body.extend_from_slice(&chunk);
        }
        read(response.status(), response.headers(), &body)
    }

    /// `/api/v1/rules?type=alert`, read whole.
    async fn rules(&self) -> Result<Listed, Failure> {
        let base = self.client.base_url().as_str().trim_end_matches('/');
        let mut request = self.client.inner().get(format!("{base}/api/v1/rules?type=alert"));
        for (name, value) in &self.headers {
            request = request.header(name.clone(), value.clone());
        }
        if let Some(authorization) = self.authorization().await? {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let wrong = |why: reqwest::Error| Failure::NoAnswer(root_cause(&why));
        let response = request.send().await.map_err(wrong)?;
        let status = response.status();
        listed(status, &response.bytes().await.map_err(wrong)?)
    }

    async fn authorization(&self) -> Result<Option<HeaderValue>, Failure> {
        let request = self.client.inner().post(self.client.base_url().as_str());
        let request = match &self.credentials {
            Credentials::None => return Ok(None),
            Credentials::Bearer(file) => request.bearer_auth(secret(file).await?),
            Credentials::Basic(basic) => request.basic_auth(&basic.username, Some(secret(&basic.password_file).await?)),
        };
        let mut built = request
            .build()
            .map_err(|_| Failure::NoAnswer("the credentials cannot be sent as a header".into()))?;
        Ok(built.headers_mut().remove(header::AUTHORIZATION))
    }
}

fn listed(status: http::StatusCode, body: &[u8]) -> Result<Listed, Failure> {
    if !status.is_success() {
        return Err(Failure::NoAnswer(format!("HTTP {status}")));
    }
    serde_json::from_slice(body).map_err(|why| Failure::NoAnswer(format!("not a list of rules: {why}")))
}

async fn rules_in_process(
    service: BoxCloneSyncService<http::Request<Bytes>, http::Response<Bytes>, BoxError>,
) -> Result<Listed, Failure> {
    let wrong = |why: String| Failure::NoAnswer(why);
    let request = http::Request::get("/api/v1/rules?type=alert").body(Bytes::new());
    let request = request.map_err(|why| wrong(why.to_string()))?;
    let response = service.oneshot(request).await.map_err(|why| wrong(why.to_string()))?;
    listed(response.status(), response.body())
}

async fn in_process(
    service: BoxCloneSyncService<http::Request<Bytes>, http::Response<Bytes>, BoxError>,
    promql: &str,
    at: Option<Moment>,
) -> Result<Answer, Failure> {
    let form = form(promql, at);
    let request = http::Request::post("/api/v1/query")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Bytes::from(form))
        .map_err(|why| Failure::NoAnswer(why.to_string()))?;
    let response = service
        .oneshot(request)
        .await
        .map_err(|why| Failure::NoAnswer(why.to_string()))?;
    read(response.status(), response.headers(), response.body())
}

fn form(promql: &str, at: Option<Moment>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("query", promql);
    if let Some(at) = at {
        form.append_pair("time", &at.to_string());
    }
    form.finish()
}

fn read(status: http::StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Answer, Failure> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let response = Response {
        status,
        content_type: text(header::CONTENT_TYPE),
        location: text(header::LOCATION),
        body,
    };
    Answer::read(&response)
}

fn client(http: reqwest::Client, url: &str) -> Result<Client, SettingsError> {
    let wrong = |why: String| SettingsError::Url { url: url.into(), why };
    let parsed = Url::parse(url).map_err(|why| wrong(why.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(wrong("it begins with neither http nor https".into()));
    }
    // A path that ends in a slash would be asked with two.
    Client::from(http, url.trim_end_matches('/')).map_err(|why| wrong(root_cause(&why)))
}

fn headers(settings: &BTreeMap<String, String>) -> Result<HeaderMap, SettingsError> {
    let mut headers = HeaderMap::new();
    for (name, value) in settings {
        let wrong = |why: String| SettingsError::Header {
            name: name.clone(),
            why,
        };
        let key = name.parse::<HeaderName>().map_err(|why| wrong(why.to_string()))?;
        headers.append(key, value.parse::<HeaderValue>().map_err(|why| wrong(why.to_string()))?);
    }
    Ok(headers)
}

async fn secret(path: &PathBuf) -> Result<String, Failure> {
    match tokio::fs::read_to_string(path).await {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(why) => Err(Failure::NoAnswer(format!("{}: {why}", path.display()))),
    }
}

/// The innermost error says what happened; those around it say that something did.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
