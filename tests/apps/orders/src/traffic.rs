//! The synthetic requests. Nothing is random: a share of 0.3 is exactly three of every ten requests, a share of 0 is none.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use crate::exposition::Metrics;
use crate::settings::Settings;

/// Factors around the mean latency; their mean is 1.
const JITTER: [f64; 6] = [0.8, 1.12, 0.96, 1.2, 0.88, 1.04];

/// Starts one request per tick; each is counted when it ends, as a real server does.
pub async fn produce(settings: Arc<Settings>, metrics: Arc<Metrics>) {
    let mut rps = settings.quality().rps;
    let mut tick = every(rps);
    let mut errors = Share::default();
    for jitter in JITTER.iter().cycle() {
        tick.tick().await;
        let quality = settings.quality();
        #[expect(clippy::float_cmp, reason = "it is the same number or it was changed")]
        if quality.rps != rps {
            rps = quality.rps;
            tick = every(rps);
        }
        if rps <= 0.0 {
            continue;
        }
        let failed = errors.next(quality.error_share);
        let latency = Duration::from_secs_f64((quality.latency_ms * jitter / 1000.0).max(0.0));
        let metrics = metrics.clone();
        tokio::spawn(async move {
            sleep(latency).await;
            metrics.count(failed, latency);
        });
    }
}

/// A tick per request; without any, one to look again.
fn every(rps: f64) -> Interval {
    let pause = if rps > 0.0 { 1.0 / rps } else { 0.1 };
    let mut tick = interval(Duration::from_secs_f64(pause));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    tick
}

/// Spreads a share evenly over the requests.
#[derive(Default)]
struct Share {
    owed: f64,
}

impl Share {
    fn next(&mut self, share: f64) -> bool {
        self.owed += share;
        let due = self.owed > 1.0 - 1e-9;
        if due {
            self.owed -= 1.0;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(share: f64, requests: usize) -> usize {
        let mut state = Share::default();
        (0..requests).filter(|_| state.next(share)).count()
    }

    #[test]
    fn shares_are_exact() {
        assert_eq!(errors(0.0, 10_000), 0);
        assert_eq!(errors(0.3, 10), 3);
        assert_eq!(errors(0.3, 100_000), 30_000);
        assert_eq!(errors(0.05, 20), 1);
        assert_eq!(errors(0.05, 1_000_000), 50_000);
        assert_eq!(errors(1.0, 100), 100);
    }

    #[test]
    fn jitter_keeps_the_mean() {
        assert!((JITTER.iter().sum::<f64>() / 6.0 - 1.0).abs() < 1e-12);
    }
}
