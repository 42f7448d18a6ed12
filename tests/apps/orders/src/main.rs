//! The guarded service of the tests: one process that makes its own steady traffic, exports it as Prometheus metrics and
//! can be made good or bad at start (environment), at run time (`POST /control`) or from outside (the backend file).
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `HOST` | where it listens; a container of its own needs `0.0.0.0` | 127.0.0.1 |
//! | `PORT` | the port there | 8080 |
//! | `RPS` | synthetic requests a second | 50 |
//! | `WORKER_MODE` | `legacy`, or `celery`: error share and latency of the two `CELERY_…` variables | legacy |
//! | `CELERY_ERROR_SHARE`, `CELERY_LATENCY_MS` | how bad celery is | 0.3, `LATENCY_MS` |
//! | `ERROR_SHARE`, `LATENCY_MS` | how bad legacy is; the latency is a mean, ±20 % around it | 0, 20 |
//! | `CRASH_AFTER_MS` | exit code 1 so long after the start; 0: before it answers | never |
//! | `CRASHES` | so many starts of each pod exit with code 1 before they answer; counted beside the backend file | 0 |
//! | `NEVER_READY` | `/health` answers 503 | no |
//! | `METRICS_DELAY_MS` | `/metrics` answers so late; the values are gathered at the **end** of the delay | 0 |
//! | `BAD_LE` | one bucket series with a malformed `le` | no |
//! | `ORDERS_BACKEND_FILE` | JSON as for `/control`; while the file exists it wins over everything else | none |

mod exposition;
mod server;
mod settings;
mod traffic;

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::exposition::Metrics;
use crate::settings::{Settings, watch_backend_file};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Arc::new(Settings::from_env()?);
    if settings.crashes_now()? {
        crash(Duration::ZERO).await;
    }
    let metrics = Arc::new(Metrics::new(&settings.metric, settings.bad_le));
    let mut terminate = signal(SignalKind::terminate())?;

    // First what it is told, then the first request.
    settings.read_backend_file();
    tokio::spawn(watch_backend_file(settings.clone()));
    tokio::spawn(traffic::produce(settings.clone(), metrics.clone()));
    if let Some(after) = settings.crash_after {
        // At once is before anything answers.
        if after.is_zero() {
            crash(after).await;
        }
        tokio::spawn(crash(after));
    }
    tokio::select! {
        served = server::serve(settings, metrics) => Ok(served?),
        _ = terminate.recv() => Ok(()),
    }
}

async fn crash(after: Duration) {
    tokio::time::sleep(after).await;
    eprintln!("orders: crashing as told");
    std::process::exit(1);
}
