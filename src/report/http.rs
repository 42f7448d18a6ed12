//! The HTTP server: read-only pages, their JSON, health, metrics.
//!
//! Nothing can be changed here: people decide through the cluster, which knows who they are. A reader that is slow,
//! large or hostile costs the turn nothing: handlers only read the board.

use std::{future::IntoFuture as _, io, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use tokio::{net::TcpListener, sync::Notify};
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer, limit::RequestBodyLimitLayer,
    set_header::SetResponseHeaderLayer, timeout::TimeoutLayer,
};

use super::{
    answer::{self, Missing},
    board::Board,
    guard_page::GuardPage,
    incident_page::IncidentPage,
    metrics::{self, Metrics},
    status_page::StatusPage,
};

const PATIENCE: Duration = Duration::from_secs(10);
/// Readers that are still being answered at the end get so long.
const GRACE: Duration = Duration::from_secs(2);
const AT_ONCE: usize = 64;
const BODY: usize = 16 * 1024;

const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

#[derive(Clone)]
struct Shared {
    board: Board,
    metrics: Metrics,
}

/// Everything under `/`.
pub fn router(board: Board, metrics: Metrics) -> Router {
    let mut router = Router::new()
        .route("/", get(async || Redirect::temporary("/status")))
        .route("/status", get(status))
        .route("/status.json", get(status_json))
        .route("/guards/{namespace}/{name}", get(guard))
        .route("/incidents/{namespace}/{name}", get(incident))
        .route("/decisions", get(decisions))
        .route("/metrics", get(own_metrics))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route(
            "/style.css",
            get(async || answer::file("text/css; charset=utf-8", include_str!("../../templates/style.css"))),
        )
        .route(
            "/icon.svg",
            get(async || answer::file("image/svg+xml", include_str!("../../templates/icon.svg"))),
        )
        .fallback_service(get(nowhere))
        .with_state(Shared { board, metrics })
        .layer(CompressionLayer::new())
        .layer(RequestBodyLimitLayer::new(BODY))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            PATIENCE,
        ))
        .layer(GlobalConcurrencyLimitLayer::new(AT_ONCE))
        .layer(CatchPanicLayer::new());
    for (name, value) in HEADERS {
        router = router.layer(SetResponseHeaderLayer::overriding(
            name,
            HeaderValue::from_static(value),
        ));
    }
    router
}

/// Serves until `shutdown`, then gives readers two seconds to finish.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let stopping = std::sync::Arc::new(Notify::new());
    let told = stopping.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        told.notify_one();
    });
    let too_long = async {
        stopping.notified().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = serving.into_future() => ended,
        () = too_long => Ok(()),
    }
}

async fn status(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let shown = shared.board.shown();
    if answer::prefers_json(&headers) {
        return Json(&shown.status).into_response();
    }
    answer::page(&StatusPage::new(&shown.status, shown.age(), shared.board.is_ready()))
}

async fn status_json(State(shared): State<Shared>) -> Response {
    Json(&shared.board.shown().status).into_response()
}

async fn guard(
    State(shared): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let shown = shared.board.shown();
    let exact = shown.status.guard(&namespace, &name);
    let stripped = || shown.status.guard(&namespace, name.strip_suffix(".json")?);
    match (exact, exact.or_else(stripped)) {
        (Some(guard), _) if !answer::prefers_json(&headers) => {
            answer::page(&GuardPage::new(&shown.status, shown.age(), guard))
        }
        (_, Some(guard)) => Json(guard).into_response(),
        (_, None) => {
            let others = shown.status.guards.iter().filter(|g| g.namespace == namespace);
            let others = others.map(|g| (format!("/guards/{}/{}", g.namespace, g.name), g.name.clone()));
            Missing::new(
                format!("There is no guard {namespace}/{name}"),
                "Guards in this namespace",
                others,
            )
            .answer(&headers)
        }
    }
}

async fn incident(
    State(shared): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let shown = shared.board.shown();
    let exact = shown.incident(&namespace, &name);
    let stripped = || shown.incident(&namespace, name.strip_suffix(".json")?);
    match (exact, exact.or_else(stripped)) {
        (Some(incident), _) if !answer::prefers_json(&headers) => answer::page(&IncidentPage::new(&shown, incident)),
        (_, Some(incident)) => Json(answer::for_readers(&shown, incident)).into_response(),
        (_, None) => {
            let others = shown.incidents.keys().filter(|(ns, _)| *ns == namespace);
            let others = others.map(|(ns, name)| (format!("/incidents/{ns}/{name}"), name.clone()));
            let says = format!("There is no incident {namespace}/{name}");
            Missing::new(says, "Incidents in this namespace", others).answer(&headers)
        }
    }
}

/// What an alert knows of the place it fired for.
#[derive(Deserialize)]
struct Asked {
    namespace: Option<String>,
    guard: Option<String>,
}

/// For links in alerts: the newest incident, else the guard, else everything. Never a dead end.
async fn decisions(State(shared): State<Shared>, Query(asked): Query<Asked>) -> Response {
    let shown = shared.board.shown();
    let to = asked.namespace.and_then(|namespace| {
        let incident = shown.newest_incident(&namespace, asked.guard.as_deref());
        let guard = || shown.status.guard(&namespace, asked.guard.as_deref()?);
        incident
            .map(|name| format!("/incidents/{namespace}/{name}"))
            .or_else(|| guard().map(|g| format!("/guards/{namespace}/{}", g.name)))
    });
    (
        StatusCode::FOUND,
        [(header::LOCATION, to.unwrap_or_else(|| "/status".to_owned()))],
    )
        .into_response()
}

async fn own_metrics(State(shared): State<Shared>) -> Response {
    match shared.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, why.to_string()).into_response(),
    }
}

async fn readyz(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    if shared.board.is_ready() {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "not yet: the cluster's objects are still being read\n",
        )
    }
}

async fn nowhere(headers: HeaderMap) -> Response {
    let known = ["/status", "/status.json", "/decisions", "/metrics", "/livez", "/readyz"];
    let known = known.map(|path| (path.to_owned(), path.to_owned()));
    Missing::new("There is no such page".to_owned(), "What there is", known.into_iter()).answer(&headers)
}
