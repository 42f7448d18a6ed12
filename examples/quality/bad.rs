//! Changes that do harm: who is told, what is put back, and how soon.

use std::sync::Arc;

use modosu::judge::policy::Policy;

use super::{
    life::{Came, Life},
    worlds::{Effect, World},
};

/// What is not noticed by then is not noticed.
pub const WITHIN: f64 = 1800.0;
/// Before the change.
const SETTLES: f64 = 4500.0;
/// From so many points on it is a big break.
pub const BIG: f64 = 0.2;

/// A world and a change that does this there.
#[derive(Clone, Debug)]
pub struct Harm {
    pub world: Arc<World>,
    pub effect: Effect,
    pub kind: Kind,
}

/// How the harm comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// At once, and errors only.
    Errors,
    /// At once, and only slower.
    Latency,
    /// Pod by pod, while it rolls out.
    RollOut,
    /// From nothing to all of it in half an hour.
    Leak,
    /// One pod of three has it all.
    OnePod,
}

impl Kind {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Errors => "at once",
            Self::Latency => "slower",
            Self::RollOut => "pod by pod in 30 s",
            Self::Leak => "slow leak, all of it after 30 min",
            Self::OnePod => "one pod of three",
        }
    }
}

/// So many futures of one past, each with this change, for so long.
pub fn futures(policy: &Arc<Policy>, harm: &Harm, seed: u64, futures: u64, seconds: f64) -> Vec<Came> {
    let mut life = Life::new(policy, &harm.world, seed);
    life.settle(SETTLES);
    let future = |number| life.fork(number).release(harm.effect, seconds);
    (1..=futures).map(future).collect()
}

const TRAFFIC: [f64; 7] = [0.5, 2.0, 5.0, 10.0, 50.0, 200.0, 1000.0];
const BASES: [f64; 5] = [0.0, 0.001, 0.005, 0.01, 0.03];
const POINTS: [f64; 7] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
const SLOWER: [f64; 5] = [1.1, 1.5, 2.0, 3.0, 5.0];

/// Every harm, in calm and in bursty worlds.
pub fn harms() -> Vec<Harm> {
    let mut harms = Vec::new();
    let mut add = |world: World, effect: Effect, kind: Kind| {
        let world = Arc::new(world);
        harms.push(Harm { world, effect, kind });
    };
    for per_second in TRAFFIC {
        for base in BASES {
            let calm = || World::calm(per_second, base);
            for points in POINTS {
                let effect = errors(points, 0.0);
                add(calm(), effect, Kind::Errors);
                if base > 0.0 {
                    for (phi, burst) in [(3.0, 15.0), (10.0, 15.0), (10.0, 60.0)] {
                        add(calm().bursts(phi, burst), effect, Kind::Errors);
                    }
                }
            }
        }
        let calm = || World::calm(per_second, 0.001);
        for slower in SLOWER {
            let effect = Effect {
                slower,
                ..Effect::default()
            };
            add(calm(), effect, Kind::Latency);
        }
        for points in [0.02, 0.05, 0.2] {
            add(calm(), errors(points, 30.0), Kind::RollOut);
            add(calm(), errors(points, WITHIN), Kind::Leak);
            let three = World { pods: 3, ..calm() };
            let one = Effect {
                points: (points * 3.0).min(1.0),
                one_pod: true,
                ..Effect::default()
            };
            add(three, one, Kind::OnePod);
        }
    }
    harms
}

fn errors(points: f64, over: f64) -> Effect {
    Effect {
        points,
        over,
        ..Effect::default()
    }
}
