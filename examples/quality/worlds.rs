//! The worlds: what healthy services are like, and what changes do to them.
//!
//! They were written down before anything was measured, from what services do: nothing in here follows from a figure.

/// A service as it always is.
#[derive(Clone, Debug)]
pub struct World {
    pub name: String,
    /// What it belongs to in the table.
    pub kind: Kind,
    /// Requests per second, of all pods together.
    pub per_second: f64,
    /// The share of requests that fail while all is well.
    pub base: f64,
    /// How many times the binomial variance the failures of a minute have (of 20 requests, where a minute has fewer).
    pub phi: f64,
    /// How long a burst lasts, in seconds.
    pub burst: f64,
    /// Each is scraped at its own moment.
    pub pods: usize,
    /// The failures are one pod's at a time; pods take turns.
    pub turns: bool,
    pub blip: Option<Blip>,
    /// Traffic and failures go up and down over the day: both up to this many times.
    pub drift: f64,
    /// What every restart costs, as each release is one.
    pub warm_up: Option<WarmUp>,
    /// How wide latencies are (the spread of their logarithm), and by how much their middle wanders from minute to minute.
    pub spread: f64,
    pub wander: f64,
}

/// What a world is there to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Calm,
    Bursts,
    Blips,
    Drift,
    WarmUp,
    Turns,
}

/// Now and then everything fails for a moment.
#[derive(Clone, Copy, Debug)]
pub struct Blip {
    /// So many seconds apart on average.
    pub every: f64,
    pub seconds: f64,
    pub share: f64,
    /// All of it is in one reading; else it begins at any moment.
    pub one_reading: bool,
}

/// The first moments after a restart.
#[derive(Clone, Copy, Debug)]
pub struct WarmUp {
    pub seconds: f64,
    /// Failures on top, at first; fewer and fewer.
    pub points: f64,
    /// So many times slower, at first.
    pub slower: f64,
}

/// What a change does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effect {
    /// Failures on top, as a share.
    pub points: f64,
    /// Latencies times this; zero: as before.
    pub slower: f64,
    /// From nothing to all of it, evenly, in so many seconds.
    pub over: f64,
    /// Only one of the pods has it.
    pub one_pod: bool,
}

impl Kind {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Bursts => "bursts",
            Self::Blips => "blips",
            Self::Drift => "drift over the day",
            Self::WarmUp => "warm-up after restarts",
            Self::Turns => "pods that take turns",
        }
    }
}

impl World {
    /// Nothing but chance.
    pub fn calm(per_second: f64, base: f64) -> Self {
        Self {
            name: format!("{per_second}/s, {} % fail", base * 100.0),
            kind: Kind::Calm,
            per_second,
            base,
            phi: 1.0,
            burst: 0.0,
            pods: 1,
            turns: false,
            blip: None,
            drift: 1.0,
            warm_up: None,
            spread: 0.5,
            wander: 0.05,
        }
    }

    pub fn bursts(self, phi: f64, burst: f64) -> Self {
        Self {
            name: format!("{}, bursts φ = {phi} of {burst} s", self.name),
            kind: Kind::Bursts,
            phi,
            burst,
            ..self
        }
    }

    fn with(self, kind: Kind, what: &str) -> Self {
        Self {
            name: format!("{}, {what}", self.name),
            kind,
            ..self
        }
    }

    /// The correlation of two requests of one burst that gives this over-dispersion of a minute.
    pub fn correlation(&self) -> f64 {
        let minute = (self.per_second * 60.0).max(20.0);
        let together = if self.burst < 60.0 {
            minute * self.burst / 60.0
        } else {
            minute
        };
        ((self.phi - 1.0) / (together - 1.0).max(1.0)).clamp(0.0, 0.5)
    }
}

pub const TRAFFIC: [f64; 7] = [0.1, 0.5, 2.0, 10.0, 50.0, 200.0, 1000.0];
pub const BASES: [f64; 6] = [0.0, 0.001, 0.005, 0.01, 0.03, 0.05];

/// Every world in which healthy releases are made.
pub fn healthy() -> Vec<World> {
    let mut worlds = Vec::new();
    for per_second in TRAFFIC {
        for base in BASES {
            worlds.push(World::calm(per_second, base));
        }
        for base in [0.001, 0.01, 0.03] {
            for (phi, burst) in [(3.0, 15.0), (10.0, 15.0), (3.0, 60.0), (10.0, 60.0), (10.0, 300.0)] {
                worlds.push(World::calm(per_second, base).bursts(phi, burst));
            }
        }
    }
    for per_second in [0.5, 10.0, 200.0] {
        for base in [0.001, 0.01] {
            worlds.extend(unusual(per_second, base));
        }
    }
    worlds
}

fn unusual(per_second: f64, base: f64) -> Vec<World> {
    let calm = || World::calm(per_second, base);
    let blip = |share: f64| Blip {
        every: 1200.0,
        seconds: 4.0,
        share,
        one_reading: true,
    };
    let warm = |points: f64, slower: f64| WarmUp {
        seconds: 90.0,
        points,
        slower,
    };
    vec![
        World {
            blip: Some(blip(0.5)),
            ..calm().with(Kind::Blips, "half of 4 s fail every 20 min, seen by one reading")
        },
        World {
            blip: Some(blip(1.0)),
            ..calm().with(Kind::Blips, "all of 4 s fails every 20 min, seen by one reading")
        },
        World {
            drift: 3.0,
            ..calm().with(Kind::Drift, "up to 3 times as much at noon")
        },
        World {
            warm_up: Some(warm(0.02, 3.0)),
            ..calm().with(Kind::WarmUp, "+2 points and 3 times slower at first, for 90 s")
        },
        World {
            pods: 3,
            ..calm().with(Kind::Turns, "3 pods scraped in turn")
        },
        World {
            pods: 3,
            turns: true,
            ..calm().with(Kind::Turns, "3 pods, the failures are one's at a time")
        },
    ]
}
