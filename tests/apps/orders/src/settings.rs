//! What the service was told to be: its environment, overridden by `/control`, overridden by the backend file.

use std::env;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;

/// How requests come out right now.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    pub error_share: f64,
    pub latency_ms: f64,
    pub ready: bool,
    pub rps: f64,
}

/// The body of `POST /control` and of the backend file; what is absent is left as it is.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Orders {
    pub error_share: Option<f64>,
    pub latency_ms: Option<f64>,
    pub crash: Option<bool>,
    pub ready: Option<bool>,
    pub rps: Option<f64>,
}

pub struct Settings {
    pub host: String,
    pub port: u16,
    pub crash_after: Option<Duration>,
    crashes: usize,
    pub metrics_delay: Duration,
    pub bad_le: bool,
    /// The counter's name, without `_total`.
    pub metric: String,
    backend_file: Option<PathBuf>,
    from_env: Quality,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    control: Orders,
    backend: Orders,
}

impl Settings {
    pub fn from_env() -> Result<Self, String> {
        let celery = match env::var("WORKER_MODE").as_deref() {
            Ok("celery") => true,
            Ok("legacy" | "") | Err(_) => false,
            Ok(other) => return Err(format!("WORKER_MODE is {other:?}: it must be legacy or celery")),
        };
        let latency_ms = number("LATENCY_MS")?.unwrap_or(20.0);
        let from_env = Quality {
            error_share: if celery {
                number("CELERY_ERROR_SHARE")?.unwrap_or(0.3)
            } else {
                number("ERROR_SHARE")?.unwrap_or(0.0)
            },
            latency_ms: if celery {
                number("CELERY_LATENCY_MS")?.unwrap_or(latency_ms)
            } else {
                latency_ms
            },
            ready: !flag("NEVER_READY"),
            rps: number("RPS")?.unwrap_or(50.0),
        };
        Ok(Self {
            host: env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned()),
            port: number("PORT")?.unwrap_or(8080),
            crash_after: number("CRASH_AFTER_MS")?.map(Duration::from_millis),
            crashes: number("CRASHES")?.unwrap_or(0),
            metrics_delay: Duration::from_millis(number("METRICS_DELAY_MS")?.unwrap_or(0)),
            bad_le: flag("BAD_LE"),
            metric: env::var("METRIC").unwrap_or_else(|_| "http_requests".to_owned()),
            backend_file: env::var_os("ORDERS_BACKEND_FILE").map(PathBuf::from),
            from_env,
            told: Mutex::default(),
        })
    }

    /// Whether this start is one of those that end at once; a line in a file of the pod counts each.
    pub fn crashes_now(&self) -> Result<bool, String> {
        if self.crashes == 0 {
            return Ok(false);
        }
        let backend = self
            .backend_file
            .as_ref()
            .ok_or("CRASHES is counted beside ORDERS_BACKEND_FILE, which is not set")?;
        let pod = env::var("HOSTNAME").map_err(|_| "CRASHES is counted by HOSTNAME, which is not set")?;
        let path = backend.with_file_name(format!("{pod}.starts"));
        let starts = std::fs::read_to_string(&path).unwrap_or_default() + "start\n";
        std::fs::write(&path, &starts).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(starts.lines().count() <= self.crashes)
    }

    pub fn quality(&self) -> Quality {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (control, backend) = (told.control, told.backend);
        Quality {
            error_share: backend
                .error_share
                .or(control.error_share)
                .unwrap_or(self.from_env.error_share),
            latency_ms: backend
                .latency_ms
                .or(control.latency_ms)
                .unwrap_or(self.from_env.latency_ms),
            ready: backend.ready.or(control.ready).unwrap_or(self.from_env.ready),
            rps: backend.rps.or(control.rps).unwrap_or(self.from_env.rps),
        }
    }

    /// Adds to what `/control` said before.
    pub fn control(&self, orders: Orders) {
        crash_if_told(orders);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.control = Orders {
            error_share: orders.error_share.or(told.control.error_share),
            latency_ms: orders.latency_ms.or(told.control.latency_ms),
            ready: orders.ready.or(told.control.ready),
            rps: orders.rps.or(told.control.rps),
            crash: None,
        };
    }

    pub fn read_backend_file(&self) {
        let Some(path) = &self.backend_file else { return };
        let orders = match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                eprintln!("orders: {}: {error}", path.display());
                Orders::default()
            }),
            Err(_) => Orders::default(),
        };
        crash_if_told(orders);
        self.told.lock().unwrap_or_else(PoisonError::into_inner).backend = orders;
    }
}

/// Ten times a second.
pub async fn watch_backend_file(settings: std::sync::Arc<Settings>) {
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        settings.read_backend_file();
    }
}

fn crash_if_told(orders: Orders) {
    if orders.crash == Some(true) {
        eprintln!("orders: crashing as told");
        std::process::exit(1);
    }
}

fn number<T: std::str::FromStr>(name: &str) -> Result<Option<T>, String> {
    match env::var(name) {
        Ok(text) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| format!("{name} is {text:?}: it must be a number")),
        Err(_) => Ok(None),
    }
}

fn flag(name: &str) -> bool {
    env::var(name).is_ok_and(|text| !matches!(text.as_str(), "" | "0" | "false"))
}
