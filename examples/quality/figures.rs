//! Everything that is measured, from one seed.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use modosu::judge::policy::Policy;

use super::{
    bad::{self, Harm},
    chance::Chance,
    guard,
    healthy::{self, Healthy, Past, RELEASES},
    life::Came,
    outage::{self, Blamed, Released},
    wald::{self, Polled},
    worlds::{self, World},
};

/// How much is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub seed: u64,
    /// Healthy releases, at least so many.
    pub changes: usize,
    /// Each is watched for so long.
    pub minutes: f64,
}

/// What was measured.
pub struct Figures {
    pub size: Size,
    pub releases: Vec<(Arc<World>, Past, Healthy)>,
    pub steady: Vec<(Arc<World>, Healthy)>,
    pub harms: Vec<(Harm, Vec<Came>)>,
    /// Big breaks again, more of them.
    pub breaks: Vec<(Harm, Vec<Came>)>,
    pub outages: Vec<(Released, Blamed)>,
    /// Requests over Wald's bound.
    pub requests: Vec<(wald::Request, f64)>,
    /// Delays over the promised ones, sorted.
    pub delays: Vec<(Polled, Vec<f64>)>,
    pub took: Duration,
}

/// Measures everything.
pub fn measure(size: Size) -> Figures {
    let began = Instant::now();
    let policy = Arc::new(guard::policy(""));
    let seeds = |part: u64| move |item: usize| Chance::other(size.seed.wrapping_add(part << 32), item as u64).next();
    // One for every hundred changes: what is not a healthy release grows with them.
    let scale = (size.changes / 1000).clamp(1, 30) as u64;
    let most = size.changes / 5;
    Figures {
        size,
        releases: releases(&policy, size, seeds(1)),
        steady: steady(&policy, size, seeds(2)),
        harms: harmed(
            &policy,
            thinned(bad::harms(), most),
            scale.div_ceil(6),
            2,
            bad::WITHIN,
            seeds(3),
        ),
        breaks: harmed(
            &policy,
            thinned(big(), most),
            scale.div_ceil(6),
            20 * scale.min(5),
            300.0,
            seeds(4),
        ),
        outages: outages(&policy, scale as usize, seeds(7)),
        requests: {
            let cells = thinned(wald::requests(), most);
            let runs = 30 * scale as u32;
            let ratios = all(cells.len(), |item| cells[item].ratio(runs, seeds(5)(item)));
            cells.into_iter().zip(ratios).collect()
        },
        delays: {
            let cells = thinned(wald::polled(), most);
            let runs = 7 * scale as u32;
            let delays = all(cells.len(), |item| cells[item].delays(runs, seeds(6)(item)));
            cells.into_iter().zip(delays).collect()
        },
        took: began.elapsed(),
    }
    .timed(began)
}

impl Figures {
    fn timed(self, began: Instant) -> Self {
        Self {
            took: began.elapsed(),
            ..self
        }
    }
}

fn releases(policy: &Arc<Policy>, size: Size, seed: impl Fn(usize) -> u64 + Sync) -> Vec<(Arc<World>, Past, Healthy)> {
    let pasts = [Past::Busy, Past::Day];
    let worlds = worlds::healthy().into_iter().map(Arc::new);
    let cells = worlds.flat_map(|world| pasts.map(|past| (world.clone(), past)));
    let cells = thinned(cells.collect(), size.changes.div_ceil(RELEASES));
    let lives = size.changes.div_ceil(RELEASES * cells.len()).max(1);
    let lived = all(cells.len() * lives, |item| {
        let (world, past) = &cells[item / lives];
        healthy::releases(policy, world, *past, seed(item), size.minutes * 60.0)
    });
    let sums = lived.chunks(lives).map(sum);
    cells
        .into_iter()
        .zip(sums)
        .map(|((world, past), sum)| (world, past, sum))
        .collect()
}

/// One service-week for every hundred changes, shared out evenly.
fn steady(policy: &Arc<Policy>, size: Size, seed: impl Fn(usize) -> u64 + Sync) -> Vec<(Arc<World>, Healthy)> {
    let worlds: Vec<_> = worlds::healthy().into_iter().map(Arc::new).collect();
    let worlds = thinned(worlds, size.changes / 5);
    let weeks = size.changes as f64 / 100.0 / worlds.len() as f64;
    let lived = all(worlds.len(), |item| {
        healthy::steady(policy, &worlds[item], seed(item), weeks)
    });
    worlds.into_iter().zip(lived).collect()
}

/// At most so many of them, evenly spread: a small size plays not every world.
fn thinned<T>(cells: Vec<T>, most: usize) -> Vec<T> {
    let (all, most) = (cells.len(), most.max(1));
    let kept = |place: &usize| all <= most || (place * most) / all != ((place + 1) * most) / all;
    cells
        .into_iter()
        .enumerate()
        .filter(|(place, _)| kept(place))
        .map(|(_, cell)| cell)
        .collect()
}

fn sum(healthy: &[Healthy]) -> Healthy {
    healthy.iter().fold(Healthy::default(), |sum, one| sum.plus(*one))
}

fn harmed(
    policy: &Arc<Policy>,
    harms: Vec<Harm>,
    lives: u64,
    futures: u64,
    seconds: f64,
    seed: impl Fn(usize) -> u64 + Sync,
) -> Vec<(Harm, Vec<Came>)> {
    let lives = lives as usize;
    let came = all(harms.len() * lives, |item| {
        bad::futures(policy, &harms[item / lives], seed(item), futures, seconds)
    });
    let came = came.chunks(lives).map(<[_]>::concat);
    let came: Vec<_> = came.collect();
    harms.into_iter().zip(came).collect()
}

fn outages(policy: &Arc<Policy>, each: usize, seed: impl Fn(usize) -> u64 + Sync) -> Vec<(Released, Blamed)> {
    let kinds = Released::ALL;
    let blamed = all(kinds.len() * each, |item| {
        outage::outage(policy, kinds[item / each], seed(item))
    });
    let sums = blamed
        .chunks(each)
        .map(|each| each.iter().fold(Blamed::default(), |sum, one| sum.plus(*one)));
    kinds.into_iter().zip(sums).collect()
}

fn big() -> Vec<Harm> {
    let big = |harm: &Harm| {
        let at_once = matches!(harm.kind, bad::Kind::Errors | bad::Kind::RollOut);
        at_once && harm.effect.points >= bad::BIG && harm.world.per_second >= 5.0
    };
    bad::harms().into_iter().filter(big).collect()
}

/// Every item's result, in order, from all processors.
fn all<T: Send>(items: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::with_capacity(items));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let item = next.fetch_add(1, Ordering::Relaxed);
                    if item >= items {
                        return;
                    }
                    let result = work(item);
                    done.lock().expect("no thread panics").push((item, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no thread panics");
    done.sort_by_key(|(item, _)| *item);
    done.into_iter().map(|(_, result)| result).collect()
}
