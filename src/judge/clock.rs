//! Pure. How long something has been so, counted between readings with new data.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use jiff::Timestamp;

use super::history::{Cell, between};

/// Adds up the time between one reading and the next while something is so at both.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    total: Duration,
    last: Option<Timestamp>,
}

/// How one trigger stands, counted in readings with new data.
#[derive(Clone, Debug, Default)]
pub struct Hold {
    pub name: String,
    pub held: Clock,
    pub readings: u32,
    pub since: Option<Timestamp>,
    /// Requests answered while it held.
    pub requests: f64,
    /// What the share of each comparison was counted from while it held.
    pub counted: Vec<Cell>,
    pub quiet: Clock,
}

impl Clock {
    /// It is so at this reading.
    pub fn advance(&mut self, at: Timestamp) {
        self.total += self.last.map_or(Duration::ZERO, |last| between(last, at));
        self.last = Some(at);
    }

    /// It is not known to be so: the time until the next reading does not count.
    pub const fn stop(&mut self) {
        self.last = None;
    }

    /// It is not so.
    pub const fn reset(&mut self) {
        self.total = Duration::ZERO;
        self.last = None;
    }

    /// The time so far.
    pub const fn total(&self) -> Duration {
        self.total
    }
}

impl Hold {
    /// Its condition no longer holds.
    pub fn release(&mut self) {
        self.held.reset();
        self.counted.clear();
        self.readings = 0;
        self.since = None;
        self.requests = 0.0;
    }
}
