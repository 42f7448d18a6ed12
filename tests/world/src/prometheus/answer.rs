//! Prometheus over HTTP: `POST` or `GET /api/v1/query` and `query_range`, answered with the real server's envelope.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tower::Service;

use super::{
    evaluate::{Element, Evaluation, Run, Worth},
    range,
    series::{Labels, Millis},
    server::Server,
};
use crate::{
    audit::Reply,
    number::{ratio, whole},
    world::Inner,
};

/// Nobody listens: Prometheus is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

impl std::fmt::Display for Refused {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("connection refused: Prometheus is stopped")
    }
}

impl std::error::Error for Refused {}

/// The embedded Prometheus as an HTTP service; clones are the same server.
#[derive(Clone)]
pub struct Prometheus {
    world: Arc<Inner>,
}

/// A refused query: the HTTP code, `errorType` and `error`.
pub(super) type Rejection = (StatusCode, String, String);

impl Prometheus {
    pub(crate) fn of(world: Arc<Inner>) -> Self {
        Prometheus { world }
    }

    /// Answers one request.
    ///
    /// # Errors
    /// `Refused` while Prometheus is stopped.
    pub async fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Refused> {
        // A real answer takes a moment: others get their turn first.
        tokio::task::yield_now().await;
        let parameters = parameters(&request);
        let query = parameters.get("query").map_or("", String::as_str);
        let mut warning = None;
        match self.world.with(|state| state.prometheus.reply(query)) {
            Reply::GoOn => {}
            Reply::Fail(code, kind, message) => {
                let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return Ok(response(Err((code, kind, message))));
            }
            Reply::Warn(text) => warning = Some(text),
            Reply::Delay(time) => tokio::time::sleep(time).await,
            Reply::Hang => std::future::pending().await,
            Reply::Instead(code, header, body) => return Ok(instead(code, &header, body)),
        }
        let answered = self.world.with(|state| {
            state.scrape();
            if state.prometheus.is_stopped() {
                return Err(Refused);
            }
            let now = state.cluster.clock.now();
            Ok(match request.uri().path() {
                "/api/v1/query" => answer(&mut state.prometheus, &parameters, now),
                "/api/v1/query_range" => range::answer(&mut state.prometheus, &parameters),
                "/-/healthy" | "/-/ready" => Ok(Value::Null),
                path => Err((
                    StatusCode::NOT_FOUND,
                    "not_found".to_owned(),
                    format!("{path} is not served here"),
                )),
            })
        });
        let mut answered = answered?;
        if let (Some(warning), Ok(envelope)) = (warning, &mut answered) {
            envelope["warnings"] = vec![warning].into();
        }
        Ok(response(answered))
    }

    /// Answers one query at a time, or now; the parsed JSON envelope.
    ///
    /// # Errors
    /// `Refused` while Prometheus is stopped.
    pub async fn query(&self, query: &str, at: Option<Timestamp>) -> Result<Value, Refused> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("query", query);
        if let Some(at) = at {
            form.append_pair("time", &(ratio(at.as_millisecond()) / 1000.0).to_string());
        }
        self.parsed("/api/v1/query", form.finish()).await
    }

    /// Answers one query at even distances, in seconds; the parsed JSON envelope.
    ///
    /// # Errors
    /// `Refused` while Prometheus is stopped.
    pub async fn query_range(&self, query: &str, start: f64, end: f64, step: f64) -> Result<Value, Refused> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("query", query);
        for (name, seconds) in [("start", start), ("end", end), ("step", step)] {
            form.append_pair(name, &seconds.to_string());
        }
        self.parsed("/api/v1/query_range", form.finish()).await
    }

    async fn parsed(&self, path: &'static str, form: String) -> Result<Value, Refused> {
        let mut request = Request::new(Bytes::from(form));
        *request.uri_mut() = http::Uri::from_static(path);
        let answer = self.ask(request).await?;
        Ok(serde_json::from_slice(answer.body()).unwrap_or_default())
    }

    /// How many series are stored.
    pub fn series_count(&self) -> usize {
        self.world.with(|state| state.prometheus.storage.len())
    }
}

impl Service<Request<Bytes>> for Prometheus {
    type Response = Response<Bytes>;
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Refused>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move { server.ask(request).await })
    }
}

fn parameters(request: &Request<Bytes>) -> BTreeMap<String, String> {
    let in_address = request.uri().query().unwrap_or_default().as_bytes();
    let all = url::form_urlencoded::parse(in_address).into_owned();
    all.chain(url::form_urlencoded::parse(request.body()).into_owned())
        .collect()
}

fn answer(server: &mut Server, parameters: &BTreeMap<String, String>, now: Timestamp) -> Result<Value, Rejection> {
    let bad_data = |message: String| (StatusCode::BAD_REQUEST, "bad_data".to_owned(), message);
    let parameter = |name: &str| parameters.get(name).map_or("", String::as_str);
    let at = match parameter("time") {
        "" => now.as_millisecond(),
        text => moment(text).ok_or_else(|| {
            bad_data(format!(
                "invalid parameter \"time\": cannot parse \"{text}\" to a valid timestamp"
            ))
        })?,
    };
    let expression = server
        .parsed(parameter("query"))
        .map_err(|message| bad_data(format!("invalid parameter \"query\": {message}")))?;
    let mut evaluation = Evaluation {
        storage: &server.storage,
        now: at,
        warnings: Vec::new(),
    };
    let worth = evaluation
        .worth(&expression)
        .map_err(|message| (StatusCode::UNPROCESSABLE_ENTITY, "execution".to_owned(), message))?;
    let warnings = evaluation.warnings;
    let data = match worth {
        Worth::Scalar(value) => {
            json!({"resultType": "scalar", "result": [seconds(at), shown(value)]})
        }
        Worth::Vector(elements) => {
            let result: Vec<Value> = elements.iter().map(|one| element(one, at)).collect();
            json!({"resultType": "vector", "result": result})
        }
        Worth::Matrix(runs) => {
            let result: Vec<Value> = runs.iter().map(run).collect();
            json!({"resultType": "matrix", "result": result})
        }
    };
    let mut envelope = json!({"status": "success", "data": data});
    if !warnings.is_empty() {
        envelope["warnings"] = warnings.into();
    }
    Ok(envelope)
}

/// Seconds since 1970 with a fraction, or RFC 3339.
pub(super) fn moment(text: &str) -> Option<Millis> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Some(whole((seconds * 1000.0).round())),
        _ => text.parse::<Timestamp>().ok().map(|at| at.as_millisecond()),
    }
}

fn element(element: &Element, at: Millis) -> Value {
    let metric = metric(element.name.as_deref(), &element.labels);
    json!({"metric": metric, "value": [seconds(at), shown(element.value)]})
}

fn run(run: &Run) -> Value {
    let sample = |(at, value): &(Millis, f64)| json!([seconds(*at), shown(*value)]);
    let values: Vec<Value> = run.samples.iter().map(sample).collect();
    json!({"metric": metric(Some(&run.name), &run.labels), "values": values})
}

pub(super) fn metric(name: Option<&str>, labels: &Labels) -> Value {
    let name = name.iter().map(|name| ("__name__".to_owned(), Value::from(*name)));
    let labels = labels.iter();
    let labels = labels.map(|(name, value)| (name.to_string(), Value::from(&**value)));
    name.chain(labels).collect()
}

pub(super) fn seconds(at: Millis) -> Value {
    match at % 1000 {
        0 => (at / 1000).into(),
        _ => (ratio(at) / 1000.0).into(),
    }
}

pub(super) fn shown(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    value.to_string()
}

fn response(answered: Result<Value, Rejection>) -> Response<Bytes> {
    let (code, body) = match answered {
        Ok(body) => (StatusCode::OK, body),
        Err((code, kind, message)) => (code, json!({"status": "error", "errorType": kind, "error": message})),
    };
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

/// What something else than Prometheus answers.
fn instead(code: u16, header: &str, body: String) -> Response<Bytes> {
    let name = if (300..400).contains(&code) {
        "location"
    } else {
        "content-type"
    };
    let response = Response::builder().status(code).header(name, header);
    response.body(Bytes::from(body)).unwrap_or_default()
}
