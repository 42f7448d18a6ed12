//! IO. One question to Prometheus: over HTTP, or to a service in this process (tests, the demo), read alike.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use axum::body::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use prometheus_http_query::Client;
use tower::{BoxError, Service, ServiceExt, util::BoxCloneSyncService};
use url::{Url, form_urlencoded};

pub use super::prometheus_settings::{BasicAuth, Settings, SettingsError};
use super::{
    answer::{Answer, Failure, Response, Run},
    prometheus_rules::Listed,
    query::Moment,
    steps::Steps,
};

/// Where rules are listed.
const RULES: &str = "/api/v1/rules?type=alert";
/// No answer to 10,000 guards comes near this; a log file served by mistake does.
const BODY_LIMIT: usize = 64 << 20;

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

    /// A Prometheus in this process: it gets `POST /api/v1/query` and `/api/v1/query_range` with a
    /// form, like the real one.
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
                Transport::Http(http) => Answer::read(&http.query(promql, at, self.timeout).await?.response()),
                Transport::InProcess(service) => {
                    let at = at.map(|at| ("time", at.to_string()));
                    Answer::read(
                        &in_process(service.clone(), post("/api/v1/query", promql, at))
                            .await?
                            .response(),
                    )
                }
            }
        };
        self.in_time(asked).await
    }

    /// Asks one query at every multiple of `steps`.
    pub async fn range(&self, promql: &str, steps: Steps) -> Result<Vec<Run>, Failure> {
        let asked = async {
            match &self.transport {
                Transport::Http(http) => Run::read(&http.range(promql, steps, self.timeout).await?.response()),
                Transport::InProcess(service) => {
                    let Steps { first, last, step } = steps;
                    let when = [
                        ("start", first.to_string()),
                        ("end", last.to_string()),
                        ("step", step.to_string()),
                    ];
                    Run::read(
                        &in_process(service.clone(), post("/api/v1/query_range", promql, when))
                            .await?
                            .response(),
                    )
                }
            }
        };
        self.in_time(asked).await
    }

    /// The alerting rules that are loaded, and how their evaluation goes.
    pub async fn rules(&self) -> Result<Listed, Failure> {
        let asked = async {
            let said = match &self.transport {
                Transport::Http(http) => http.rules().await?,
                Transport::InProcess(service) => {
                    let request = http::Request::get(RULES).body(Bytes::new());
                    in_process(service.clone(), request).await?
                }
            };
            if !said.status.is_success() {
                return Err(Failure::NoAnswer(format!("HTTP {}", said.status)));
            }
            serde_json::from_slice(&said.body).map_err(|why| Failure::NoAnswer(format!("not a list of rules: {why}")))
        };
        self.in_time(asked).await
    }

    async fn in_time<T>(&self, asked: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::NoAnswer(format!(
                "no answer within {}",
                humantime::format_duration(self.timeout)
            ))),
        }
    }
}

/// What came over the wire, or out of this process.
struct Said {
    status: http::StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Said {
    fn response(&self) -> Response<'_> {
        let text = |name| {
            self.headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        Response {
            status: self.status,
            content_type: text(header::CONTENT_TYPE),
            location: text(header::LOCATION),
            body: &self.body,
        }
    }
}

impl Http {
    async fn query(&self, promql: &str, at: Option<Moment>, timeout: Duration) -> Result<Said, Failure> {
        let mut query = self.client.query(promql).timeout(millis(timeout));
        if let Some(at) = at {
            query = query.query("time", at);
        }
        for (name, value) in self.headers().await? {
            query = query.header(name, value);
        }
        said(query.post_raw().await).await
    }

    async fn range(&self, promql: &str, steps: Steps, timeout: Duration) -> Result<Said, Failure> {
        let Steps { first, last, step } = steps;
        let step = Duration::from_secs(step).as_secs_f64();
        let mut query = self
            .client
            .query_range(promql, first, last, step)
            .timeout(millis(timeout));
        for (name, value) in self.headers().await? {
            query = query.header(name, value);
        }
        said(query.post_raw().await).await
    }

    /// What is sent with every query.
    async fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
        let own = self.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
        let authorization = self.authorization().await?.map(|value| (header::AUTHORIZATION, value));
        Ok(own.chain(authorization).collect())
    }

    async fn rules(&self) -> Result<Said, Failure> {
        let base = self.client.base_url().as_str().trim_end_matches('/');
        let mut request = self.client.inner().get(format!("{base}{RULES}"));
        for (name, value) in self.headers().await? {
            request = request.header(name, value);
        }
        said(request.send().await).await
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

/// Reads a response to its end, unless it is far too large.
async fn said<E: std::error::Error>(response: Result<reqwest::Response, E>) -> Result<Said, Failure> {
    let mut response = response.map_err(|why| Failure::NoAnswer(root_cause(&why)))?;
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
    Ok(Said {
        status: response.status(),
        headers: response.headers().clone(),
        body: body.into(),
    })
}

async fn in_process(
    service: BoxCloneSyncService<http::Request<Bytes>, http::Response<Bytes>, BoxError>,
    request: http::Result<http::Request<Bytes>>,
) -> Result<Said, Failure> {
    let request = request.map_err(|why| Failure::NoAnswer(why.to_string()))?;
    let response = service
        .oneshot(request)
        .await
        .map_err(|why| Failure::NoAnswer(why.to_string()))?;
    let (parts, body) = response.into_parts();
    Ok(Said {
        status: parts.status,
        headers: parts.headers,
        body,
    })
}

fn post(
    path: &str,
    promql: &str,
    when: impl IntoIterator<Item = (&'static str, String)>,
) -> http::Result<http::Request<Bytes>> {
    http::Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Bytes::from(form(promql, when)))
}

fn form(promql: &str, when: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("query", promql).extend_pairs(when).finish()
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
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
