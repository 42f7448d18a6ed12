//! The world's only clock: an epoch and how much Tokio time has passed since. Under a paused
//! runtime virtual days pass in seconds; under a running one it is real time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use tokio::time::Instant;

/// Tells the world's time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Timestamp,
    start: Instant,
}

impl Clock {
    /// A clock that says `epoch` now.
    pub fn starting_at(epoch: Timestamp) -> Self {
        Clock {
            epoch,
            start: Instant::now(),
        }
    }

    /// The world's time.
    pub fn now(&self) -> Timestamp {
        later(self.epoch, self.start.elapsed())
    }

    /// The Tokio instant at which this clock will say `at`; past times are now.
    pub fn instant(&self, at: Timestamp) -> Instant {
        let ahead = at.duration_since(self.epoch);
        let ahead = Duration::try_from(ahead).unwrap_or(Duration::ZERO);
        self.start.checked_add(ahead).unwrap_or_else(Instant::now)
    }
}

/// `at` moved on by `by`, at the end of time where it would overflow.
pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// As Kubernetes writes `metav1.Time`: whole seconds, `Z`.
pub(crate) fn seconds(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The time in `metav1.Time` or `MicroTime` text.
pub(crate) fn parsed(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
