//! Pure. Times on Prometheus' own clock.

use std::{fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};

/// A moment on Prometheus' clock, in milliseconds since 1970. Never mixed with the daemon's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// From seconds since 1970, as Prometheus gives them; `None` where that is no moment.
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        let length = SignedDuration::try_from_secs_f64(seconds).ok()?;
        i64::try_from(length.as_millis()).ok().map(Self)
    }

    /// From whole seconds since 1970.
    pub const fn from_whole_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn whole_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The last multiple of `grid` that is not later.
    pub fn on_grid(self, grid: Duration) -> Self {
        let step = i64::try_from(grid.as_millis()).unwrap_or(i64::MAX).max(1);
        Self(self.0 - self.0.rem_euclid(step))
    }

    /// That much earlier.
    pub fn before(self, length: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// That much later.
    pub fn after(self, length: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// The time since `earlier`, zero where that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// From a time on a clock that Prometheus' own is `ahead` of.
    pub fn from_clock(at: Timestamp, ahead: SignedDuration) -> Option<Self> {
        at.checked_add(ahead).ok().map(|at| Self(at.as_millisecond()))
    }

    /// On a clock that is `ahead` behind Prometheus' own.
    pub fn on_clock(self, ahead: SignedDuration) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.0).ok()?.checked_sub(ahead).ok()
    }
}

impl fmt::Display for Moment {
    /// Seconds with three decimals, as the query API takes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0.div_euclid(1000), self.0.rem_euclid(1000))
    }
}
