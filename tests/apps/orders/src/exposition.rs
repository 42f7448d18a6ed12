//! The two metrics, in the form of the `prometheus-http` preset. The series with code 500 is born with the first error.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0];
const LAST_BUCKET: f64 = 10.0;
const MALFORMED: &str = "http_request_duration_seconds_bucket{le=\"soon\"} 7\n";

type Labels = [(&'static str, &'static str); 1];

pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    duration: Histogram,
    bad_le: bool,
}

impl Metrics {
    pub fn new(counter: &str, bad_le: bool) -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        let duration = Histogram::new(BUCKETS.into_iter().chain([LAST_BUCKET]));
        registry.register(counter, "Requests answered", Requests::clone(&requests));
        registry.register("http_request_duration_seconds", "Time to the answer", duration.clone());
        Self {
            registry,
            requests,
            duration,
            bad_le,
        }
    }

    pub fn count(&self, failed: bool, latency: Duration) {
        let code = if failed { "500" } else { "200" };
        self.requests.get_or_create(&[("code", code)]).inc();
        self.duration.observe(latency.as_secs_f64());
    }

    /// OpenMetrics text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        if self.bad_le
            && let Some(at) = text.rfind("# EOF")
        {
            text.insert_str(at, MALFORMED);
        }
        Ok(text)
    }
}

type Requests = Family<Labels, Counter>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exactly_the_presets() {
        let metrics = Metrics::new("http_requests", false);
        metrics.count(false, Duration::from_millis(20));
        let text = metrics.text().expect("text");
        assert!(text.contains("http_requests_total{code=\"200\"} 1\n"), "{text}");
        assert!(
            text.contains("http_request_duration_seconds_bucket{le=\"0.025\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("http_request_duration_seconds_bucket{le=\"10.0\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("http_request_duration_seconds_bucket{le=\"+Inf\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("http_request_duration_seconds_count 1\n"), "{text}");
        assert!(!text.contains("500"), "no error series before the first error: {text}");
    }

    #[test]
    fn a_malformed_bucket_stays_inside_the_histogram() {
        let metrics = Metrics::new("http_requests", true);
        let text = metrics.text().expect("text");
        assert!(text.ends_with("le=\"soon\"} 7\n# EOF\n"), "{text}");
    }
}
