//! The figures that are promised, out of everything that was measured: always the worst world, and what it is.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    bad::{self, Harm},
    figures::Figures,
    healthy::Healthy,
    life::Came,
};

/// What `--output json` prints. Worlds without bursts are those with φ = 1.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub seed: u64,
    pub seconds: f64,
    /// Of the worst world.
    pub false_per_change: f64,
    pub false_per_change_world: String,
    /// Of all worlds together.
    pub false_per_change_mean: f64,
    pub false_automatic: u64,
    /// Rolled back in worlds whose failures do not come in bursts, and how many releases they were.
    pub false_automatic_without_bursts: u64,
    pub changes_without_bursts: u64,
    pub false_people_per_change: f64,
    pub changes: u64,
    pub false_per_service_week: f64,
    pub false_per_service_week_world: String,
    pub false_per_service_week_mean: f64,
    pub service_weeks: f64,
    pub wald_ratio_uncapped_mean: f64,
    pub wald_ratio_uncapped_worst: f64,
    pub capped_delay_over_bound_median: f64,
    pub capped_delay_over_bound_p95: f64,
    pub capped_delay_worst: String,
    /// Of the worst world without bursts.
    pub big_break_p99_seconds: f64,
    pub big_break_world: String,
    /// Of the worst world with bursts.
    pub big_break_bursts_p99_seconds: f64,
    pub big_break_bursts_world: String,
    /// Of the worst world without bursts.
    pub recall: f64,
    pub recall_world: String,
    /// Of all worlds, those with bursts included.
    pub recall_mean: f64,
    pub recall_automatic: f64,
    pub precision: f64,
}

/// A figure and the world that it comes from.
#[derive(Clone, Debug, Default)]
pub struct Worst {
    pub figure: f64,
    pub world: String,
}

impl Summary {
    pub fn of(figures: &Figures) -> Self {
        let released = figures.releases.iter().map(|(_, _, healthy)| *healthy);
        let healthy = released.fold(Healthy::default(), Healthy::plus);
        let even = figures.releases.iter().filter(|(world, _, _)| world.phi <= 1.0);
        let even = even
            .map(|(_, _, healthy)| *healthy)
            .fold(Healthy::default(), Healthy::plus);
        let steady = figures.steady.iter().map(|(_, healthy)| *healthy);
        let weeks = steady.fold(Healthy::default(), Healthy::plus);
        let change = highest(
            figures
                .releases
                .iter()
                .map(|(world, past, healthy)| (healthy.per_change(), format!("{}, {}", world.name, past.text()))),
        );
        let week = highest(
            figures
                .steady
                .iter()
                .map(|(world, healthy)| (per(healthy.verdicts, healthy.weeks), world.name.clone())),
        );
        let ratios: Vec<f64> = figures.requests.iter().map(|(_, ratio)| *ratio).collect();
        let median = highest(
            figures
                .delays
                .iter()
                .map(|(cell, delays)| (at(delays, 0.5), format!("{cell:?}"))),
        );
        let p95 = highest(
            figures
                .delays
                .iter()
                .map(|(cell, delays)| (at(delays, 0.95), format!("{cell:?}"))),
        );
        let calm = big_break(figures, false);
        let bursts = big_break(figures, true);
        let recall = lowest(recalls(figures, |harm| harm.world.phi <= 1.0));
        let all = recalled(figures).fold((0, 0, 0), |sum, (_, came)| {
            let (noticed, automatic) = (noticed(came), automatic(came));
            (sum.0 + noticed, sum.1 + automatic, sum.2 + came.len())
        });
        let right: usize = figures
            .harms
            .iter()
            .chain(&figures.breaks)
            .map(|(_, came)| automatic(came))
            .sum();
        Self {
            seed: figures.size.seed,
            seconds: figures.took.as_secs_f64(),
            false_per_change: change.figure,
            false_per_change_world: change.world,
            false_per_change_mean: healthy.per_change(),
            false_automatic: healthy.automatic,
            false_automatic_without_bursts: even.automatic,
            changes_without_bursts: even.changes,
            false_people_per_change: per(healthy.people, healthy.changes as f64),
            changes: healthy.changes,
            false_per_service_week: week.figure,
            false_per_service_week_world: week.world,
            false_per_service_week_mean: per(weeks.verdicts, weeks.weeks),
            service_weeks: weeks.weeks,
            wald_ratio_uncapped_mean: ratios.iter().sum::<f64>() / ratios.len() as f64,
            wald_ratio_uncapped_worst: ratios.iter().copied().fold(0.0, f64::max),
            capped_delay_over_bound_median: median.figure,
            capped_delay_over_bound_p95: p95.figure,
            capped_delay_worst: format!("median: {}; p95: {}", median.world, p95.world),
            big_break_p99_seconds: calm.figure,
            big_break_world: calm.world,
            big_break_bursts_p99_seconds: bursts.figure,
            big_break_bursts_world: bursts.world,
            recall: recall.figure,
            recall_world: recall.world,
            recall_mean: per(all.0 as u64, all.2 as f64),
            recall_automatic: per(all.1 as u64, all.2 as f64),
            precision: per(right as u64, right as f64 + healthy.automatic as f64),
        }
    }
}

fn big_break(figures: &Figures, bursts: bool) -> Worst {
    let cells = figures
        .breaks
        .iter()
        .filter(|(harm, _)| (harm.world.phi > 1.0) == bursts);
    // It is a big one from the moment that so many points are there.
    let until_big = |harm: &Harm| harm.effect.over * bad::BIG / harm.effect.points;
    highest(cells.map(|(harm, came)| (time_to_act(came, 0.99) - until_big(harm), name(harm))))
}

/// The quantile of the time to the automatic decision; what never came counts as the longest time.
pub fn time_to_act(came: &[Came], quantile: f64) -> f64 {
    let mut times: Vec<f64> = came.iter().map(|came| came.automatic.unwrap_or(f64::MAX)).collect();
    times.sort_by(f64::total_cmp);
    at(&times, quantile).min(86_400.0)
}

/// The changes whose recall is promised: at least 2 points, at once, at 10 requests/s or more.
pub fn recalled(figures: &Figures) -> impl Iterator<Item = (&Harm, &[Came])> {
    let promised =
        |harm: &Harm| harm.kind == bad::Kind::Errors && harm.effect.points >= 0.02 && harm.world.per_second >= 10.0;
    figures
        .harms
        .iter()
        .filter(move |(harm, _)| promised(harm))
        .map(|(harm, came)| (harm, came.as_slice()))
}

/// Recall by world and size, of some of them.
fn recalls(figures: &Figures, wanted: impl Fn(&Harm) -> bool) -> impl Iterator<Item = (f64, String)> {
    recalled(figures)
        .filter(move |(harm, _)| wanted(harm))
        .map(|(harm, came)| (per(noticed(came) as u64, came.len() as f64), name(harm)))
}

pub fn noticed(came: &[Came]) -> usize {
    came.iter()
        .filter(|came| came.people.is_some() || came.automatic.is_some())
        .count()
}

pub fn automatic(came: &[Came]) -> usize {
    came.iter().filter(|came| came.automatic.is_some()).count()
}

pub fn name(harm: &Harm) -> String {
    let effect = if harm.effect.slower > 0.0 {
        format!("{} times slower", harm.effect.slower)
    } else {
        format!("+{:.1} points {}", harm.effect.points * 100.0, harm.kind.text())
    };
    format!("{}: {effect}", harm.world.name)
}

/// Sums by some key, in its order.
pub fn grouped<K: Ord, V: Default, T>(
    items: impl Iterator<Item = T>,
    key: impl Fn(&T) -> K,
    add: impl Fn(&mut V, &T),
) -> BTreeMap<K, V> {
    let mut groups = BTreeMap::new();
    for item in items {
        add(groups.entry(key(&item)).or_default(), &item);
    }
    groups
}

pub fn per(some: u64, all: f64) -> f64 {
    if all > 0.0 { some as f64 / all } else { 0.0 }
}

/// The quantile of sorted numbers: so many of them are no larger.
pub fn at(sorted: &[f64], quantile: f64) -> f64 {
    let place = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
}

fn highest(figures: impl Iterator<Item = (f64, String)>) -> Worst {
    figures.fold(Worst::default(), |worst, (figure, world)| {
        if figure > worst.figure {
            Worst { figure, world }
        } else {
            worst
        }
    })
}

fn lowest(figures: impl Iterator<Item = (f64, String)>) -> Worst {
    let first = Worst {
        figure: 1.0,
        world: String::new(),
    };
    figures.fold(first, |worst, (figure, world)| {
        if figure < worst.figure {
            Worst { figure, world }
        } else {
            worst
        }
    })
}
