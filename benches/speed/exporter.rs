//! The series of many services, scraped from one address.

use std::{
    fmt::Write,
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::{Router, extract::State, routing::get};

use crate::place::NAMESPACE;

/// Requests a second of each service.
const RPS: f64 = 100.0;
/// The share that fails once they are bad.
const BAD: f64 = 0.5;

/// All services' series; they go bad together.
#[derive(Clone)]
pub struct Exporter(Arc<Inner>);

struct Inner {
    services: Vec<String>,
    began: Instant,
    bad: OnceLock<Instant>,
}

impl Exporter {
    /// Serves them on loopback; gives the address too.
    pub async fn serve(services: Vec<String>) -> anyhow::Result<(Self, String)> {
        let exporter = Self(Arc::new(Inner {
            services,
            began: Instant::now(),
            bad: OnceLock::new(),
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let router = Router::new()
            .route("/metrics", get(async |State(exporter): State<Self>| exporter.text()))
            .with_state(exporter.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((exporter, address))
    }

    pub fn goes_bad(&self) {
        self.0.bad.get_or_init(Instant::now);
    }

    fn text(&self) -> String {
        let all = (self.0.began.elapsed().as_secs_f64() * RPS).floor();
        let bad = self
            .0
            .bad
            .get()
            .map_or(0.0, |since| (since.elapsed().as_secs_f64() * RPS * BAD).floor());
        let good = all - bad;
        let mut text = String::from("# TYPE http_requests_total counter\n");
        for service in &self.0.services {
            let labels = format!("namespace=\"{NAMESPACE}\",service=\"{service}\"");
            let _ = writeln!(text, "http_requests_total{{{labels},code=\"200\"}} {good}");
            let _ = writeln!(text, "http_requests_total{{{labels},code=\"500\"}} {bad}");
        }
        text.push_str("# TYPE http_request_duration_seconds histogram\n");
        for service in &self.0.services {
            let labels = format!("namespace=\"{NAMESPACE}\",service=\"{service}\"");
            for le in ["0.1", "0.5", "+Inf"] {
                let _ = writeln!(
                    text,
                    "http_request_duration_seconds_bucket{{{labels},le=\"{le}\"}} {all}"
                );
            }
            let _ = writeln!(text, "http_request_duration_seconds_count{{{labels}}} {all}");
            let _ = writeln!(text, "http_request_duration_seconds_sum{{{labels}}} {}", all * 0.05);
        }
        text
    }
}
