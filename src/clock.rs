//! IO. What time it is: the one place that asks.

use jiff::Timestamp;
use tokio::time::Instant;

/// The daemon's clock: the wall's, or one that runs with Tokio's time from a given beginning (simulated days).
#[derive(Clone, Debug)]
pub enum Clock {
    Wall,
    Simulated { epoch: Timestamp, started: Instant },
}

impl Clock {
    /// A clock that shows `epoch` now and follows Tokio's time, paused or not.
    pub fn simulated(epoch: Timestamp) -> Self {
        Self::Simulated {
            epoch,
            started: Instant::now(),
        }
    }

    /// The time, to the millisecond.
    pub fn now(&self) -> Timestamp {
        let now = match self {
            Self::Wall => Timestamp::now(),
            Self::Simulated { epoch, started } => *epoch + started.elapsed(),
        };
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}
