//! Logs for people or machines on standard error, and traces over OTLP/HTTP where a collector is named.
//!
//! Exporting happens on a thread of its own: without a collector spans are dropped, nothing waits and nothing fails.
//! The exporter's own HTTP client is kept out of the traces, or every export would trace itself.

use std::{io, time::Duration};

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use serde::{Deserialize, Serialize};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};
use url::Url;

const FLUSH: Duration = Duration::from_secs(2);
const EXPORT: Duration = Duration::from_secs(3);
/// Kube's client logs whole answers that it cannot read, and refusals with the values refused: they may be a Secret's.
const NEVER_LOGGED: &str = "kube_client::client=off";
const NOT_TRACED: [&str; 7] = [
    "kube_client::client",
    "hyper",
    "h2",
    "reqwest",
    "rustls",
    "opentelemetry",
    "tower",
];

/// Section `telemetry` of the settings.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// `info`, or finer: `info,modosu::decide=debug`.
    pub log: String,
    pub format: Format,
    /// The collector's address, such as `http://collector:4318`.
    pub otlp: Option<String>,
}

/// Who reads the log.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Text,
    Json,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            format: Format::Text,
            otlp: None,
        }
    }
}

/// Hands over what is still waiting when it is dropped, for two seconds at most.
#[derive(Debug, Default)]
#[must_use = "traces end when it is dropped"]
pub struct Guard(Option<SdkTracerProvider>);

/// Starts logs and traces of this process; once.
pub fn start(settings: &TelemetrySettings) -> anyhow::Result<Guard> {
    let (subscriber, guard) = build(settings)?;
    subscriber.try_init().context("logging was already started")?;
    Ok(guard)
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(why) = provider.shutdown_with_timeout(FLUSH)
        {
            tracing::debug!(%why, "the last traces were not handed over");
        }
    }
}

fn build(settings: &TelemetrySettings) -> anyhow::Result<(impl Subscriber + Send + Sync + use<>, Guard)> {
    let wanted = wanted(&settings.log)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match settings.format {
        Format::Text => lines.with_target(false).with_filter(wanted).boxed(),
        Format::Json => lines.json().flatten_event(true).with_filter(wanted).boxed(),
    };
    let provider = settings.otlp.as_deref().map(exporting).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("modosu"))
            .with_filter(filter_fn(is_traced))
    });
    let subscriber = tracing_subscriber::registry().with(lines).with(traces);
    Ok((subscriber, Guard(provider)))
}

fn exporting(collector: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(endpoint(collector)?)
        .with_timeout(EXPORT)
        .build()
        .context("telemetry.otlp: traces cannot be exported")?;
    let resource = Resource::builder()
        .with_service_name("modosu")
        .with_attribute(opentelemetry::KeyValue::new(
            "service.version",
            env!("CARGO_PKG_VERSION"),
        ))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build())
}

/// The collector's address with the path for traces, unless it has a path of its own.
fn endpoint(collector: &str) -> anyhow::Result<String> {
    let mut url = Url::parse(collector)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .with_context(|| format!("telemetry.otlp: `{collector}` is not an address such as `http://collector:4318`"))?;
    if url.path() == "/" {
        url.set_path("/v1/traces");
    }
    Ok(url.into())
}

fn wanted(log: &str) -> anyhow::Result<EnvFilter> {
    let wanted = EnvFilter::builder()
        .parse(log)
        .with_context(|| format!("telemetry.log: `{log}` is not a filter such as `info,modosu=debug`"))?;
    Ok(wanted.add_directive(NEVER_LOGGED.parse()?))
}

fn is_traced(metadata: &Metadata<'_>) -> bool {
    let from = metadata.target();
    *metadata.level() <= Level::INFO && !NOT_TRACED.iter().any(|noisy| from.starts_with(noisy))
}

#[cfg(test)]
mod tests {
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;

    fn with_otlp(address: String) -> TelemetrySettings {
        TelemetrySettings {
            log: "off".to_owned(),
            otlp: Some(address),
            ..TelemetrySettings::default()
        }
    }

    fn one_span(settings: &TelemetrySettings) {
        let (subscriber, guard) = build(settings).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("turn", guard = "shop/orders").in_scope(|| tracing::info!("put back"));
            tracing::info_span!(target: "hyper::client", "connect").in_scope(|| ());
        });
        drop(guard);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_span_arrives_at_the_collector() {
        let collector = MockServer::start().await;
        Mock::given(any())
            .respond_with(ResponseTemplate::new(200))
            .mount(&collector)
            .await;
        let settings = with_otlp(collector.uri());
        tokio::task::spawn_blocking(move || one_span(&settings)).await.unwrap();
        let requests = collector.received_requests().await.unwrap();
        let [export] = requests.as_slice() else {
            panic!("{} exports instead of one", requests.len());
        };
        assert_eq!((export.method.as_str(), export.url.path()), ("POST", "/v1/traces"));
        assert_eq!(export.headers["content-type"], "application/x-protobuf");
        let holds = |text: &str| export.body.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        for text in ["service.name", "modosu", "turn", "shop/orders", "put back"] {
            assert!(holds(text), "{text} is missing in the export");
        }
        assert!(!holds("connect"), "the exporter's own client is traced");
    }

    #[test]
    fn without_a_collector_nothing_waits() {
        let began = std::time::Instant::now();
        one_span(&with_otlp("http://127.0.0.1:9".to_owned()));
        assert!(began.elapsed() < FLUSH + Duration::from_secs(1));
    }

    #[test]
    fn what_kubes_client_says_of_answers_is_never_logged() {
        for log in ["debug", "info,kube_client=trace", "kube_client::client=warn,info"] {
            let subscriber = tracing_subscriber::registry().with(wanted(log).unwrap());
            tracing::subscriber::with_default(subscriber, || {
                assert!(!tracing::enabled!(target: "kube_client::client", Level::ERROR), "{log}");
                assert!(tracing::enabled!(target: "modosu::act", Level::INFO), "{log}");
            });
        }
    }

    #[test]
    fn mistakes_say_what_would_be_right() {
        let why = build(&with_otlp("collector:4318".to_owned())).err().unwrap();
        assert_eq!(
            why.to_string(),
            "telemetry.otlp: `collector:4318` is not an address such as `http://collector:4318`"
        );
        assert_eq!(endpoint("http://c:4318").unwrap(), "http://c:4318/v1/traces");
        assert_eq!(endpoint("http://c/otlp/traces").unwrap(), "http://c/otlp/traces");
    }
}
