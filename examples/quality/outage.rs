//! A dependency that twenty services share fails for twenty minutes: whose release is blamed?

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use modosu::{
    decide::{
        Around,
        together::{Part, Rules, together},
    },
    judge::{Verdict, policy::Policy},
};

use super::{
    chance::Chance,
    guard::{Outcome, clock},
    life::Life,
    worlds::{Effect, World},
};

const SERVICES: usize = 20;
const HOUR: f64 = 3600.0;
/// How long the outage lasts, and what it does.
const LASTS: f64 = 1200.0;
const SHARE: f64 = 0.3;
/// A release that is older is not acted on; so much of it is played.
const LONGEST: f64 = 3.0 * HOUR;
/// The daemon's defaults.
const TOGETHER: Rules = Rules {
    guards: 3,
    within: Duration::from_secs(120),
    related: Duration::from_secs(600),
};

/// When the services were released, before the outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// Each once, at some moment of the day before.
    WithinADay,
    /// All, twenty hours before.
    TwentyHoursBefore,
    /// One of them, while it rolls out.
    OneRightNow,
    /// One of them, and only that one is hit.
    OneAlone,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blamed {
    pub outages: u32,
    pub releases: u32,
    /// Releases in whose automatic time the outage came.
    pub exposed: u32,
    pub automatic: u32,
    pub people: u32,
}

impl Released {
    pub const ALL: [Self; 4] = [
        Self::WithinADay,
        Self::TwentyHoursBefore,
        Self::OneRightNow,
        Self::OneAlone,
    ];

    pub const fn text(self) -> &'static str {
        match self {
            Self::WithinADay => "20 services, each released once within the day before",
            Self::TwentyHoursBefore => "20 services, all released twenty hours before",
            Self::OneRightNow => "20 services, one is being rolled out",
            Self::OneAlone => "one service alone is hit, half an hour after its release",
        }
    }

    /// How long before the outage, for each service; nothing: not released.
    fn ages(self, chance: &mut Chance) -> Vec<Option<f64>> {
        let one = |age: f64| (0..SERVICES).map(|service| (service == 0).then_some(age)).collect();
        match self {
            Self::WithinADay => (0..SERVICES).map(|_| Some(chance.within(0.0, 24.0 * HOUR))).collect(),
            Self::TwentyHoursBefore => vec![Some(20.0 * HOUR); SERVICES],
            Self::OneRightNow => one(15.0),
            Self::OneAlone => vec![Some(0.5 * HOUR)],
        }
    }
}

impl Blamed {
    pub fn plus(self, other: Self) -> Self {
        Self {
            outages: self.outages + other.outages,
            releases: self.releases + other.releases,
            exposed: self.exposed + other.exposed,
            automatic: self.automatic + other.automatic,
            people: self.people + other.people,
        }
    }
}

/// One outage.
pub fn outage(policy: &Arc<Policy>, released: Released, seed: u64) -> Blamed {
    let mut chance = Chance::new(seed);
    let ages = released.ages(&mut chance);
    let begins = 1.25 * HOUR + LONGEST + 60.0;
    let mut lives: Vec<Life> = ages
        .iter()
        .map(|age| {
            let world = World::calm(chance.within(0.0, 5.3).exp() * 0.5, chance.within(0.001, 0.01));
            before(policy, &Arc::new(world), *age, begins, chance.next())
        })
        .collect();
    for life in &mut lives {
        let from = begins + chance.within(0.0, 5.0);
        life.suffers(from, from + LASTS, SHARE);
    }
    let outcomes = play(&mut lives, begins + LASTS + 120.0);
    let counted = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count() as u32;
    let young = |age: &&Option<f64>| age.is_some_and(|age| age < 2.0 * HOUR);
    Blamed {
        outages: 1,
        releases: ages.iter().flatten().count() as u32,
        exposed: ages.iter().filter(young).count() as u32,
        automatic: counted(|outcome| outcome.automatic),
        people: counted(|outcome| outcome.people),
    }
}

/// One service until right before the outage.
fn before(policy: &Arc<Policy>, world: &Arc<World>, age: Option<f64>, begins: f64, seed: u64) -> Life {
    let mut life = Life::new(policy, world, seed);
    life.polls_every(15.0);
    let Some(age) = age else {
        life.until(begins - 60.0);
        life.polls_every(5.0);
        return life;
    };
    let at = begins - age.min(LONGEST);
    life.until(at - 60.0);
    life.polls_every(5.0);
    life.until(at);
    life.changes(at, Effect::default());
    life.until(begins - 10.0);
    life
}

/// All together, as the daemon does it: everybody is judged, then everybody decides.
fn play(lives: &mut [Life], until: f64) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::default(); lives.len()];
    let mut now = lives.iter().map(Life::now).fold(0.0, f64::max);
    let names: Vec<String> = (0..lives.len()).map(|service| format!("service-{service}")).collect();
    while now < until {
        now += 5.0;
        let verdicts: Vec<Verdict> = lives.iter_mut().map(|life| life.judged(now)).collect();
        let breaches: Vec<_> = lives
            .iter()
            .zip(&names)
            .zip(&verdicts)
            .filter_map(|((life, name), verdict)| life.guard().breach(name, verdict))
            .collect();
        let mut found = together(TOGETHER, &breaches);
        for (((life, name), verdict), all) in lives.iter_mut().zip(&names).zip(verdicts).zip(&mut outcomes) {
            let key = ("shop".to_owned(), name.clone());
            let common = found.remove(&key).map(|together| Part {
                role: together.role(&key),
                speaks: false,
                together,
            });
            let around = Around {
                common,
                proof: None,
                not_this_change: BTreeMap::new(),
            };
            if all.automatic {
                continue;
            }
            let outcome = life.decides(verdict, clock(now), &around);
            all.people |= outcome.people;
            all.automatic |= outcome.automatic;
        }
    }
    outcomes
}
