//! The guarded service inside a pod: what its environment makes of it, and what it counts.

pub(crate) mod traffic;

use std::{collections::BTreeMap, time::Duration};

/// Overrides of what a pod's settings say; `None` leaves the setting.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Behaviour {
    /// Share of requests answered with 500, 0 to 1.
    pub error_share: Option<f64>,
    /// Time to answer, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Requests per second of each ready pod.
    pub rps: Option<f64>,
    /// Every container ends now, and again right after each start.
    pub crash: Option<bool>,
    /// What the readiness probe is told.
    pub ready: Option<bool>,
}

/// A pod's settings, as its environment gives them when a container starts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) rps: f64,
    pub(crate) error_share: f64,
    pub(crate) latency_ms: f64,
    pub(crate) crash_after: Option<Duration>,
    /// So many starts of each pod end at once, before anything answers.
    pub(crate) crashes: u32,
    pub(crate) never_ready: bool,
    pub(crate) metrics_delay: Duration,
    pub(crate) bad_le: bool,
    pub(crate) random: bool,
    /// The counter's name, without `_total`, where it is not the usual one.
    pub(crate) metric: Option<String>,
}

impl Settings {
    pub(crate) fn of(env: &BTreeMap<String, String>) -> Settings {
        let number = |name: &str| env.get(name).and_then(|value| value.trim().parse::<f64>().ok());
        let flag = |name: &str| {
            env.get(name)
                .is_some_and(|value| !matches!(value.trim(), "" | "0" | "false"))
        };
        let millis = |name: &str| number(name).map(|value| Duration::from_secs_f64(value / 1000.0));
        let latency = number("LATENCY_MS").unwrap_or(20.0);
        let celery = env.get("WORKER_MODE").is_some_and(|mode| mode == "celery");
        let (error_share, latency_ms) = match celery {
            true => (
                number("CELERY_ERROR_SHARE").unwrap_or(0.3),
                number("CELERY_LATENCY_MS").unwrap_or(latency),
            ),
            false => (number("ERROR_SHARE").unwrap_or(0.0), latency),
        };
        Settings {
            rps: number("RPS").unwrap_or(50.0),
            error_share,
            latency_ms,
            crash_after: millis("CRASH_AFTER_MS"),
            crashes: env
                .get("CRASHES")
                .and_then(|value| value.trim().parse().ok())
                .unwrap_or(0),
            never_ready: flag("NEVER_READY"),
            metrics_delay: millis("METRICS_DELAY_MS").unwrap_or(Duration::ZERO),
            bad_le: flag("BAD_LE"),
            random: flag("RANDOM"),
            metric: env.get("METRIC").cloned(),
        }
    }

    /// These settings with the overrides.
    pub(crate) fn with(&self, behaviour: Option<&Behaviour>) -> Settings {
        let mut settings = self.clone();
        let Some(behaviour) = behaviour else { return settings };
        settings.error_share = behaviour.error_share.unwrap_or(settings.error_share);
        settings.latency_ms = behaviour.latency_ms.unwrap_or(settings.latency_ms);
        settings.rps = behaviour.rps.unwrap_or(settings.rps);
        settings.never_ready = behaviour.ready.map_or(settings.never_ready, |ready| !ready);
        if behaviour.crash == Some(true) {
            settings.crash_after = Some(Duration::from_millis(50));
            settings.never_ready = true;
        }
        settings
    }
}
