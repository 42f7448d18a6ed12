//! modosu's own metrics, as OpenMetrics text. Methods are named by what happened.
//!
//! Label values are closed sets, so the number of series does not grow with the cluster.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{
    view::{PrometheusState, StatusView},
    words::state_name,
};
use crate::model::guard::State;

/// What a scraper must be told that the text is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const STATES: [State; 9] = [
    State::NotReady,
    State::Steady,
    State::Probation,
    State::Suspect,
    State::AwaitingDecision,
    State::RollingBack,
    State::Verifying,
    State::Frozen,
    State::Escalated,
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WriteLabels {
    kind: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct IncidentLabels {
    grade: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BuildLabels {
    version: String,
    revision: String,
}

/// Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    guards: Family<StateLabel, Gauge>,
    turns: Histogram,
    queries: Family<OutcomeLabel, Counter>,
    prometheus_up: Gauge<f64, AtomicU64>,
    writes: Family<WriteLabels, Counter>,
    incidents: Family<IncidentLabels, Counter>,
    rollbacks: Family<OutcomeLabel, Counter>,
    detection: Histogram,
    recovery: Histogram,
    leader: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// All metrics of one process; `revision` is the commit it was built from.
    pub fn new(version: &str, revision: &str) -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            guards: Family::default(),
            turns: Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
            queries: Family::default(),
            prometheus_up: Gauge::default(),
            writes: Family::default(),
            incidents: Family::default(),
            rollbacks: Family::default(),
            detection: Histogram::new([1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 900.0]),
            recovery: Histogram::new([
                10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 900.0, 1800.0, 3600.0,
            ]),
            leader: Gauge::default(),
        };
        metrics.registry = Arc::new(metrics.register(version, revision));
        metrics.start_at_zero();
        metrics
    }

    fn register(&self, version: &str, revision: &str) -> Registry {
        let mut r = Registry::with_prefix("modosu");
        let build = Family::<BuildLabels, Gauge>::default();
        let labels = BuildLabels {
            version: version.to_owned(),
            revision: revision.to_owned(),
        };
        build.get_or_create(&labels).set(1);
        r.register("build_info", "What is running", build);
        r.register("guards", "Guards by state", self.guards.clone());
        r.register_with_unit(
            "turn_duration",
            "One pass over all guards",
            Unit::Seconds,
            self.turns.clone(),
        );
        r.register("prometheus_queries", "Queries sent to Prometheus", self.queries.clone());
        let up = "Whether Prometheus answers; NaN before the first answer";
        r.register("prometheus_up", up, self.prometheus_up.clone());
        r.register("api_writes", "Writes to the Kubernetes API", self.writes.clone());
        r.register("incidents", "Incidents that ended", self.incidents.clone());
        r.register("rollbacks", "Plans that ended", self.rollbacks.clone());
        let detection = "From the first bad reading to the decision";
        r.register_with_unit("detection", detection, Unit::Seconds, self.detection.clone());
        let recovery = "From the first bad reading to the proof that it is over";
        r.register_with_unit("recovery", recovery, Unit::Seconds, self.recovery.clone());
        r.register(
            "leader",
            "Whether this process is the one that acts",
            self.leader.clone(),
        );
        r
    }

    /// A counter that is first seen at one has no increase: known label values exist from the start.
    fn start_at_zero(&self) {
        self.prometheus_up.set(f64::NAN);
        for state in STATES {
            drop(self.guards.get_or_create(&StateLabel {
                state: state_name(state),
            }));
        }
        for outcome in ["recovered", "escalated"] {
            drop(self.rollbacks.get_or_create(&OutcomeLabel { outcome }));
        }
        for outcome in ["ok", "error"] {
            drop(self.queries.get_or_create(&OutcomeLabel { outcome }));
        }
    }

    /// The text of `/metrics`.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// A turn ended with this to show: guards by state, Prometheus, leadership.
    pub fn shows(&self, status: &StatusView) {
        for state in STATES {
            let count = status.guards.iter().filter(|g| g.state == state).count();
            let label = StateLabel {
                state: state_name(state),
            };
            self.guards
                .get_or_create(&label)
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.prometheus_up.set(match status.prometheus.state {
            PrometheusState::Up => 1.0,
            PrometheusState::Down => 0.0,
            PrometheusState::Unknown => f64::NAN,
        });
        self.leader.set(i64::from(status.leader));
    }

    /// One pass over all guards took so long.
    pub fn turn_took(&self, time: Duration) {
        self.turns.observe(time.as_secs_f64());
    }

    /// A query was answered (`ok`) or not (`error`, `timeout`, `refused`, …).
    pub fn query_done(&self, outcome: &'static str) {
        self.queries.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// A write to an object of that kind ended: `done`, `refused`, `failed`, ….
    pub fn write_done(&self, kind: &str, outcome: &'static str) {
        let kind = kind.to_owned();
        self.writes.get_or_create(&WriteLabels { kind, outcome }).inc();
    }

    /// An incident of that grade ended (or was opened only to be recorded): its last state.
    pub fn incident_ended(&self, grade: &str, outcome: &'static str) {
        let grade = grade.to_owned();
        self.incidents.get_or_create(&IncidentLabels { grade, outcome }).inc();
    }

    /// A plan ended: `recovered`, `escalated`, ….
    pub fn rollback_ended(&self, outcome: &'static str) {
        self.rollbacks.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// From the first bad reading to the decision.
    pub fn detected_after(&self, time: Duration) {
        self.detection.observe(time.as_secs_f64());
    }

    /// From the first bad reading to the proof that it is over.
    pub fn recovered_after(&self, time: Duration) {
        self.recovery.observe(time.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promised_names_are_there() {
        let metrics = Metrics::new("0.1.0", "abc");
        metrics.turn_took(Duration::from_millis(7));
        metrics.query_done("ok");
        metrics.write_done("Deployment", "done");
        metrics.incident_ended("Critical", "Recovered");
        metrics.detected_after(Duration::from_secs(12));
        metrics.recovered_after(Duration::from_secs(80));
        let text = metrics.render().unwrap();
        for line in [
            r#"modosu_build_info{version="0.1.0",revision="abc"} 1"#,
            r#"modosu_guards{state="Steady"} 0"#,
            r#"modosu_prometheus_queries_total{outcome="ok"} 1"#,
            r#"modosu_api_writes_total{kind="Deployment",outcome="done"} 1"#,
            r#"modosu_incidents_total{grade="Critical",outcome="Recovered"} 1"#,
            r#"modosu_rollbacks_total{outcome="escalated"} 0"#,
            "modosu_turn_duration_seconds_count 1",
            "modosu_detection_seconds_sum 12.0",
            "modosu_recovery_seconds_sum 80.0",
            "modosu_prometheus_up NaN",
            "modosu_leader 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }
}
