//! Pure. Whether Prometheus answers, since when, and when to ask again where it does not.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(15);

/// Whether Prometheus answers, for pages and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub state: State,
    /// Since when it is so; `None` before the first question.
    pub since: Option<Timestamp>,
    pub last_success: Option<Timestamp>,
    /// The last failure's words, also where Prometheus answers and one query failed.
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Unknown,
    Up,
    Down,
}

/// Opens when Prometheus does not answer, lets one attempt through now and then, closes when it answers.
#[derive(Debug)]
pub struct Breaker {
    health: Health,
    failures: u32,
    again: Option<Timestamp>,
}

impl Default for Breaker {
    fn default() -> Self {
        let health = Health {
            state: State::Unknown,
            since: None,
            last_success: None,
            error: None,
        };
        Self {
            health,
            failures: 0,
            again: None,
        }
    }
}

impl Breaker {
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// The last words, where this is not the time to ask again.
    pub fn open(&self, now: Timestamp) -> Option<String> {
        let wait = now.duration_until(self.again?);
        // A clock that was put back must not make the pause longer than it can be.
        let waiting = wait.is_positive() && wait.unsigned_abs() <= LONGEST;
        waiting.then(|| self.health.error.clone().unwrap_or_default())
    }

    /// Prometheus answered; `error`: what went wrong all the same.
    pub fn answered(&mut self, now: Timestamp, error: Option<String>) {
        if self.health.state != State::Up {
            match self.health.since.filter(|_| self.health.state == State::Down) {
                Some(since) => tracing::info!(%since, "Prometheus answers again"),
                None => tracing::info!("Prometheus answers"),
            }
            self.health.since = Some(now);
        }
        self.health.state = State::Up;
        self.health.last_success = Some(now);
        self.health.error = error;
        (self.failures, self.again) = (0, None);
    }

    /// Prometheus did not answer.
    pub fn failed(&mut self, now: Timestamp, error: String) {
        if self.health.state != State::Down {
            tracing::warn!(%error, "Prometheus does not answer: every guard's signals are unknown until it does");
            self.health.since = Some(now);
        }
        self.health.state = State::Down;
        self.health.error = Some(error);
        self.failures = self.failures.saturating_add(1);
        self.again = now
            .checked_add(SignedDuration::try_from(pause(self.failures, now)).unwrap_or_default())
            .ok();
    }
}

/// Twice as long each time; the clock's last digits spread several daemons.
fn pause(failures: u32, now: Timestamp) -> Duration {
    let doubled = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    let jitter = f64::from(now.subsec_nanosecond() / 1000 % 1000) / 1000.0;
    doubled.min(LONGEST).mul_f64(0.75 + 0.25 * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn pauses_grow_to_a_quarter_of_a_minute_and_end_with_the_first_answer() {
        let mut breaker = Breaker::default();
        breaker.failed(at(0), "refused".into());
        assert_eq!(breaker.open(at(0)), Some("refused".into()));
        assert_eq!(breaker.open(at(1)), None);
        for _ in 0..20 {
            breaker.failed(at(1), "refused".into());
        }
        assert!(breaker.open(at(12)).is_some());
        assert_eq!(breaker.open(at(16)), None);
        assert_eq!(breaker.health().since, Some(at(0)));
        breaker.answered(at(16), None);
        assert_eq!(breaker.open(at(16)), None);
        assert_eq!(
            (breaker.health().state, breaker.health().since),
            (State::Up, Some(at(16)))
        );
    }

    #[test]
    fn a_clock_that_is_put_back_does_not_stop_the_attempts() {
        let mut breaker = Breaker::default();
        breaker.failed(at(600), "refused".into());
        assert_eq!(breaker.open(at(0)), None);
    }
}
