//! `/health`, `/metrics`, `/control`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;

use crate::exposition::Metrics;
use crate::settings::{Orders, Settings};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Service {
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
}

pub async fn serve(settings: Arc<Settings>, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let listener = TcpListener::bind((settings.host.as_str(), settings.port)).await?;
    let router = Router::new()
        .route("/health", get(health))
        .route("/metrics", get(exposition))
        .route("/control", post(control))
        .with_state(Service { settings, metrics });
    axum::serve(listener, router).await
}

async fn health(State(service): State<Service>) -> (StatusCode, &'static str) {
    if service.settings.quality().ready {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn exposition(State(service): State<Service>) -> Response {
    tokio::time::sleep(service.settings.metrics_delay).await;
    match service.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn control(State(service): State<Service>, Json(orders): Json<Orders>) -> StatusCode {
    service.settings.control(orders);
    StatusCode::NO_CONTENT
}
