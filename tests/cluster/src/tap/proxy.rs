//! The forwarding: one request in, its rules, one request out, its rules again, the answer streamed back.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde_json::json;
use tokio::net::TcpListener;

use super::line::{Lines, Scissors};
use super::{Point, Seen, Shared, Verdict};

const LARGEST_BODY: usize = 16 << 20;

pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new().fallback(handle).with_state(shared);
    let router = router.into_make_service_with_connect_info::<Scissors>();
    if let Err(error) = axum::serve(Lines(listener), router).await {
        tracing::warn!(%error, "the tap ended");
    }
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
) -> Response {
    match pass(&shared, request).await {
        Ok(answer) => answer,
        Err(Verdict::Refuse(status)) => refusal(status),
        Err(Verdict::Cut | Verdict::Pass) => {
            scissors.cut();
            StatusCode::BAD_GATEWAY.into_response()
        }
    }
}

async fn pass(shared: &Arc<Shared>, request: Request) -> Result<Response, Verdict> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, LARGEST_BODY)
        .await
        .map_err(|_| Verdict::Cut)?;
    let mut seen = see(&parts, &body);
    let index = shared.record(&seen);
    if_passed(shared.verdict(Point::Before, &seen).await)?;
    // As if nobody listened: a server that is down closes the line.
    let answer = forward(shared, parts, body).await.map_err(|_| Verdict::Cut)?;
    seen.status = Some(answer.status().as_u16());
    shared.record_answer(index, answer.status().as_u16());
    if_passed(shared.verdict(Point::After, &seen).await)?;
    Ok(give_back(shared, answer))
}

fn if_passed(verdict: Verdict) -> Result<(), Verdict> {
    if verdict == Verdict::Pass { Ok(()) } else { Err(verdict) }
}

fn see(parts: &Parts, body: &Bytes) -> Seen {
    let agent = parts
        .headers
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    Seen::new(
        parts.method.as_str(),
        parts.uri.path(),
        parts.uri.query().unwrap_or_default(),
        agent,
        body,
    )
}

async fn forward(shared: &Shared, mut parts: Parts, body: Bytes) -> reqwest::Result<reqwest::Response> {
    for header in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        parts.headers.remove(header);
    }
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request = shared
        .http
        .request(parts.method, format!("{}{target}", shared.upstream));
    if let Some(token) = &shared.token {
        parts.headers.remove(AUTHORIZATION);
        request = request.bearer_auth(token);
    }
    request.headers(parts.headers).body(body).send().await
}

fn give_back(shared: &Shared, answer: reqwest::Response) -> Response {
    let mut headers: HeaderMap = answer.headers().clone();
    for header in [CONNECTION, TRANSFER_ENCODING] {
        headers.remove(header);
    }
    let status = answer.status();
    (
        status,
        headers,
        Body::from_stream(chunks(answer, shared.cuts.subscribe())),
    )
        .into_response()
}

/// The answer as it comes; an error, which ends the connection, when the tap cuts it.
fn chunks(
    answer: reqwest::Response,
    cuts: tokio::sync::watch::Receiver<u64>,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    futures::stream::try_unfold((answer, cuts), |(mut answer, mut cuts)| async move {
        let chunk = tokio::select! {
            chunk = answer.chunk() => chunk.map_err(std::io::Error::other)?,
            Ok(()) = cuts.changed() => return Err(std::io::ErrorKind::ConnectionReset.into()),
        };
        Ok(chunk.map(|chunk| (chunk, (answer, cuts))))
    })
}

fn refusal(status: u16) -> Response {
    let reason = match status {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "refused by the test's tap", "reason": reason, "code": status,
    });
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(body)).into_response()
}
