//! Healthy services: releases that change nothing, and weeks without any.

use std::sync::Arc;

use modosu::judge::policy::Policy;

use super::{
    life::Life,
    worlds::{Effect, World},
};

/// So many releases are made of one service.
pub const RELEASES: usize = 10;
const HOUR: f64 = 3600.0;
const WEEK: f64 = 7.0 * 24.0 * HOUR;

/// What is known of a service when a release comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Past {
    /// It is released again and again: the last time was as long ago as a release is watched.
    Busy,
    /// It was left alone for a day.
    Day,
}

/// What healthy services went through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Healthy {
    pub changes: u64,
    /// Rolled back by modosu itself.
    pub automatic: u64,
    /// An incident was opened for people.
    pub people: u64,
    /// Automatic triggers that began to fire, and the time in which they could.
    pub verdicts: u64,
    pub weeks: f64,
    /// Changes of services that had nothing to go back to.
    pub unready: u64,
}

impl Healthy {
    pub fn plus(self, other: Self) -> Self {
        Self {
            changes: self.changes + other.changes,
            automatic: self.automatic + other.automatic,
            people: self.people + other.people,
            verdicts: self.verdicts + other.verdicts,
            weeks: self.weeks + other.weeks,
            unready: self.unready + other.unready,
        }
    }

    /// False automatic rollbacks per change.
    pub fn per_change(self) -> f64 {
        if self.changes == 0 {
            0.0
        } else {
            self.automatic as f64 / self.changes as f64
        }
    }
}

impl Past {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Busy => "released every two hours",
            Self::Day => "left alone for a day",
        }
    }
}

/// One service's releases, each watched for so long.
pub fn releases(policy: &Arc<Policy>, world: &Arc<World>, past: Past, seed: u64, seconds: f64) -> Healthy {
    match past {
        Past::Busy => one_by_one(policy, world, seed, seconds),
        Past::Day => futures(policy, world, seed, seconds),
    }
}

fn one_by_one(policy: &Arc<Policy>, world: &Arc<World>, seed: u64, seconds: f64) -> Healthy {
    let mut seen = Healthy::default();
    let mut life = Life::new(policy, world, seed);
    let mut ready = life.settle(1.25 * HOUR);
    for release in 1..=RELEASES as u64 {
        let automatic = seen.release(&mut life, ready, seconds);
        if automatic {
            // What follows is another story: a new service goes on.
            life = Life::new(policy, world, seed.wrapping_add(release));
            ready = life.settle(1.25 * HOUR);
        }
    }
    seen
}

fn futures(policy: &Arc<Policy>, world: &Arc<World>, seed: u64, seconds: f64) -> Healthy {
    let mut seen = Healthy::default();
    let mut life = Life::new(policy, world, seed);
    life.polls_every(15.0);
    let ready = life.settle(25.0 * HOUR);
    life.polls_every(5.0);
    for number in 1..=RELEASES as u64 {
        seen.release(&mut life.fork(number), ready, seconds);
    }
    seen
}

impl Healthy {
    fn release(&mut self, life: &mut Life, ready: bool, seconds: f64) -> bool {
        let came = life.release(Effect::default(), seconds);
        self.changes += 1;
        self.automatic += u64::from(came.automatic.is_some());
        self.people += u64::from(came.people.is_some());
        self.verdicts += u64::from(came.verdicts);
        self.unready += u64::from(!ready);
        came.automatic.is_some()
    }
}

/// A service without any release, for so long.
pub fn steady(policy: &Arc<Policy>, world: &Arc<World>, seed: u64, weeks: f64) -> Healthy {
    let mut life = Life::new(policy, world, seed);
    life.polls_every(15.0);
    life.settle(1.25 * HOUR);
    let came = life.goes_on(weeks * WEEK);
    Healthy {
        verdicts: u64::from(came.verdicts),
        people: u64::from(came.people.is_some()),
        weeks,
        ..Healthy::default()
    }
}
