//! A service and its guard in time: polls, releases, what came of them.

use std::sync::Arc;

use jiff::Timestamp;
use modosu::{
    decide::Around,
    judge::{Verdict, policy::Policy},
};

use super::{
    chance::Chance,
    guard::{Guard, Outcome, clock},
    service::{Deed, POLL, Service},
    worlds::{Effect, World},
};

/// A release takes so long until every pod is a new one.
const ROLL_OUT: f64 = 30.0;
/// A service that has no proven state and no baseline by then will not get them.
const PATIENCE: f64 = 3.0 * 3600.0;

/// A service and its guard.
#[derive(Clone)]
pub struct Life {
    policy: Arc<Policy>,
    service: Service,
    guard: Guard,
    chance: Chance,
    now: f64,
    poll: f64,
    rolled_out: f64,
}

/// What came of a while.
#[derive(Clone, Copy, Debug, Default)]
pub struct Came {
    /// Seconds after its beginning; not later than the first automatic one.
    pub people: Option<f64>,
    pub automatic: Option<f64>,
    /// How often an automatic trigger began to fire.
    pub verdicts: u32,
}

impl Life {
    pub fn new(policy: &Arc<Policy>, world: &Arc<World>, seed: u64) -> Self {
        Self {
            policy: policy.clone(),
            service: Service::new(world.clone(), seed),
            guard: Guard::new(policy),
            chance: Chance::other(seed, 1),
            now: 0.0,
            poll: POLL,
            rolled_out: f64::INFINITY,
        }
    }

    /// Polls so often from now on.
    pub fn polls_every(&mut self, seconds: f64) {
        self.poll = seconds;
    }

    /// Another future of the same past.
    pub fn fork(&self, number: u64) -> Self {
        let mut other = self.clone();
        other.service = self.service.fork(number);
        other.chance = Chance::other(self.chance.clone().next(), number);
        other
    }

    fn poll(&mut self) -> Outcome {
        let verdict = self.judged(self.now + self.poll);
        self.decides(verdict, clock(self.now), &Around::default())
    }

    /// What is said of it at the next poll.
    pub fn judged(&mut self, now: f64) -> Verdict {
        self.now = now;
        if now >= self.rolled_out {
            self.guard.rolled_out();
            self.rolled_out = f64::INFINITY;
        }
        let reading = self.service.poll(now, &self.policy, clock);
        self.guard.judge(Some(&reading), clock(now))
    }

    pub fn decides(&mut self, verdict: Verdict, now: Timestamp, around: &Around) -> Outcome {
        self.guard.decide(verdict, now, around)
    }

    pub const fn now(&self) -> f64 {
        self.now
    }

    pub const fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Goes on until then.
    pub fn until(&mut self, seconds: f64) {
        while self.now + self.poll <= seconds {
            self.poll();
        }
    }

    /// So many of its requests fail meanwhile, whatever it runs.
    pub fn suffers(&mut self, from: f64, until: f64, share: f64) {
        let effect = Effect {
            points: share,
            ..Effect::default()
        };
        self.service.happens(Deed { from, until, effect });
    }

    /// A release with what it does.
    pub fn changes(&mut self, at: f64, effect: Effect) -> Outcome {
        self.service.nothing_happens();
        self.service.restart(at);
        if effect.points > 0.0 || effect.slower > 0.0 {
            self.service.happens(Deed {
                from: at,
                until: f64::INFINITY,
                effect,
            });
        }
        self.rolled_out = at + ROLL_OUT;
        self.guard.change(clock(at))
    }

    /// Healthy for so long, and longer where there is nothing to go back to yet. Whether there is at last.
    pub fn settle(&mut self, seconds: f64) -> bool {
        let begun = self.now;
        while self.now < begun + seconds || (!self.guard.is_ready() && self.now < begun + PATIENCE) {
            self.poll();
        }
        self.guard.is_ready()
    }

    /// A release at some moment, in no step with scrapes and polls, with what it does, for so long or until modosu acts.
    pub fn release(&mut self, effect: Effect, seconds: f64) -> Came {
        while self.chance.unit() < 0.75 {
            self.poll();
        }
        let at = self.now + self.chance.within(0.0, self.poll);
        let mut came = Came::default();
        came.note(self.changes(at, effect), 0.0, false);
        self.watch(at, seconds, &mut came, false);
        came
    }

    /// Nothing changes for so long; whatever fires is counted, and nothing is put back.
    pub fn goes_on(&mut self, seconds: f64) -> Came {
        let mut came = Came::default();
        self.watch(self.now, seconds, &mut came, false);
        came
    }

    fn watch(&mut self, from: f64, seconds: f64, came: &mut Came, mut firing: bool) {
        while self.now < from + seconds && came.automatic.is_none() {
            let outcome = self.poll();
            came.note(outcome, self.now - from, firing);
            firing = outcome.verdict;
        }
    }
}

impl Came {
    fn note(&mut self, outcome: Outcome, after: f64, fired: bool) {
        if outcome.people {
            self.people.get_or_insert(after);
        }
        if outcome.automatic {
            self.automatic.get_or_insert(after);
        }
        self.verdicts += u32::from(outcome.verdict && !fired);
    }
}
