//! The table for people, in Markdown: what is promised first, then where it comes from.

use std::fmt::Write as _;

use super::{
    bad::{self, Harm},
    figures::Figures,
    healthy::{Healthy, Past},
    life::Came,
    summary::{Summary, at, automatic, grouped, name, noticed, per, recalled, time_to_act},
    worlds::World,
};

/// Everything.
pub fn table(figures: &Figures) -> String {
    let summary = Summary::of(figures);
    let mut text = promised(&summary);
    text.push_str(&releases(figures));
    text.push_str(&wronged(figures));
    text.push_str(&steady(figures));
    text.push_str(&recall(figures));
    text.push_str(&automatically(figures));
    text.push_str(&others(figures));
    text.push_str(&outages(figures));
    text.push_str(&breaks(figures));
    text.push_str(&meter(figures));
    text
}

struct Row<'a> {
    figure: &'a str,
    must: &'a str,
    measured: String,
    holds: bool,
    world: &'a str,
}

fn promised(s: &Summary) -> String {
    let rows = [
        Row {
            figure: "false automatic rollbacks per healthy change, worst world",
            must: "≤ 1e-4",
            measured: format!(
                "{:.1e} ({} of {} in all worlds together)",
                s.false_per_change, s.false_automatic, s.changes
            ),
            holds: s.false_per_change <= 1e-4,
            world: &s.false_per_change_world,
        },
        Row {
            figure: "the same where failures do not come in bursts",
            must: "≤ 1e-4",
            measured: format!("{} of {}", s.false_automatic_without_bursts, s.changes_without_bursts),
            holds: s.false_automatic_without_bursts as f64 <= 1e-4 * s.changes_without_bursts as f64,
            world: "",
        },
        Row {
            figure: "false automatic verdicts per service-week, worst world",
            must: "≤ 0.002",
            measured: format!(
                "{:.3} ({:.4} over {:.0} weeks of all worlds together)",
                s.false_per_service_week, s.false_per_service_week_mean, s.service_weeks
            ),
            holds: s.false_per_service_week <= 0.002,
            world: &s.false_per_service_week_world,
        },
        Row {
            figure: "meter without its cap, request by request, over Wald's bound: mean",
            must: "≤ 1.25",
            measured: format!(
                "{:.2} (worst cell {:.2})",
                s.wald_ratio_uncapped_mean, s.wald_ratio_uncapped_worst
            ),
            holds: s.wald_ratio_uncapped_mean <= 1.25,
            world: "",
        },
        Row {
            figure: "meter with its cap at polls of 15 s, over max(3 polls, 1.5 φ̂ × Wald): worst median",
            must: "≤ 1",
            measured: format!(
                "{:.2} (worst p95 {:.2})",
                s.capped_delay_over_bound_median, s.capped_delay_over_bound_p95
            ),
            holds: s.capped_delay_over_bound_median <= 1.0,
            world: &s.capped_delay_worst,
        },
        Row {
            figure: "big break at 5 requests/s or more, no bursts: p99 to the automatic decision, worst world",
            must: "≤ 65 s",
            measured: format!("{:.1} s", s.big_break_p99_seconds),
            holds: s.big_break_p99_seconds <= 65.0,
            world: &s.big_break_world,
        },
        Row {
            figure: "the same where failures come in bursts",
            must: "",
            measured: format!("{:.1} s", s.big_break_bursts_p99_seconds),
            holds: s.big_break_bursts_p99_seconds <= 65.0,
            world: &s.big_break_bursts_world,
        },
        Row {
            figure: "recall of +2 points or more at 10 requests/s or more within 30 min, no bursts, worst world",
            must: "≥ 99.8 %",
            measured: format!(
                "{:.1} % ({:.1} % of all worlds together, {:.1} % rolled back automatically)",
                s.recall * 100.0,
                s.recall_mean * 100.0,
                s.recall_automatic * 100.0
            ),
            holds: s.recall >= 0.998,
            world: &s.recall_world,
        },
        Row {
            figure: "precision of all rollbacks made here",
            must: "≥ 99.5 %",
            measured: format!("{:.2} %", s.precision * 100.0),
            holds: s.precision >= 0.995,
            world: "",
        },
    ];
    let mut text = format!(
        "seed {}, {} healthy changes, {:.0} service-weeks, {:.0} s\n\n| figure | must be | measured | | the worst world |\n|---|---|---|---|---|\n",
        s.seed, s.changes, s.service_weeks, s.seconds
    );
    for row in rows {
        let word = if row.holds { "holds" } else { "**does not hold**" };
        let word = if row.must.is_empty() { "" } else { word };
        line(&mut text, &[row.figure, row.must, &row.measured, word, row.world]);
    }
    text
}

fn line(text: &mut String, cells: &[&str]) {
    writeln!(text, "| {} |", cells.join(" | ")).expect("a String takes everything");
}

fn head(text: &mut String, title: &str, cells: &[&str]) {
    writeln!(text, "\n{title}\n").expect("a String takes everything");
    line(text, cells);
    line(text, &vec!["---"; cells.len()]);
}

/// How often failures come together, for people.
fn sort(world: &World) -> String {
    let what = world.kind.text();
    if world.phi > 1.0 {
        format!("{what}, φ = {}, {} s", world.phi, world.burst)
    } else {
        what.to_owned()
    }
}

fn releases(figures: &Figures) -> String {
    let mut text = String::new();
    head(
        &mut text,
        "Healthy releases: what was rolled back, what people were told",
        &[
            "worlds",
            "before the release",
            "changes",
            "rolled back",
            "worst world",
            "told to people",
            "nothing to go back to",
        ],
    );
    let groups = grouped(
        figures.releases.iter(),
        |(world, past, _)| (world.kind, (world.phi * world.burst) as u64, sort(world), *past),
        |sum: &mut (Healthy, f64), (_, _, healthy)| {
            *sum = (sum.0.plus(*healthy), sum.1.max(healthy.per_change()));
        },
    );
    for ((_, _, sort, past), (sum, worst)) in groups {
        line(
            &mut text,
            &[
                &sort,
                past_text(past),
                &sum.changes.to_string(),
                &format!("{} ({:.1e})", sum.automatic, sum.per_change()),
                &format!("{worst:.1e}"),
                &format!("{} ({:.1e})", sum.people, per(sum.people, sum.changes as f64)),
                &sum.unready.to_string(),
            ],
        );
    }
    text
}

/// Every world in which something was rolled back, or fired, for nothing.
fn wronged(figures: &Figures) -> String {
    let mut text = String::new();
    let released = figures.releases.iter().filter(|(_, _, healthy)| healthy.automatic > 0);
    let released = released.map(|(world, past, healthy)| {
        let of = format!("{} of {} releases", healthy.automatic, healthy.changes);
        (world, past_text(*past), of)
    });
    let steady = figures.steady.iter().filter(|(_, healthy)| healthy.verdicts > 0);
    let steady = steady.map(|(world, healthy)| {
        let of = format!("{} in {:.2} weeks", healthy.verdicts, healthy.weeks);
        (world, "no release", of)
    });
    let rows: Vec<_> = released.chain(steady).collect();
    if !rows.is_empty() {
        head(
            &mut text,
            "Where a healthy service was rolled back, or would have been",
            &["world", "before", "how often"],
        );
    }
    for (world, before, of) in rows {
        line(&mut text, &[&world.name, before, &of]);
    }
    text
}

const fn past_text(past: Past) -> &'static str {
    past.text()
}

fn steady(figures: &Figures) -> String {
    let mut text = String::new();
    head(
        &mut text,
        "Healthy services without a release: automatic triggers that began to fire, as if modosu could act",
        &["worlds", "weeks", "fired", "per week"],
    );
    let groups = grouped(
        figures.steady.iter(),
        |(world, _)| (world.kind, (world.phi * world.burst) as u64, sort(world)),
        |sum: &mut Healthy, (_, healthy)| *sum = sum.plus(*healthy),
    );
    for ((_, _, sort), sum) in groups {
        let rate = format!("{:.4}", per(sum.verdicts, sum.weeks));
        line(
            &mut text,
            &[&sort, &format!("{:.1}", sum.weeks), &sum.verdicts.to_string(), &rate],
        );
    }
    text
}

/// Sums of bad changes: how many, noticed, rolled back.
#[derive(Default)]
struct Sum {
    all: usize,
    noticed: usize,
    automatic: usize,
}

impl Sum {
    fn add(&mut self, came: &[Came]) {
        self.all += came.len();
        self.noticed += noticed(came);
        self.automatic += automatic(came);
    }

    fn share(&self, some: usize) -> String {
        format!("{:.1} %", per(some as u64, self.all as f64) * 100.0)
    }
}

fn recall(figures: &Figures) -> String {
    let mut text = String::new();
    head(
        &mut text,
        "Errors from +2 points on, at once, at 10 requests/s or more: noticed within 30 min",
        &[
            "fail usually",
            "φ",
            "bursts of",
            "points",
            "changes",
            "noticed",
            "of these rolled back automatically",
        ],
    );
    let groups = grouped(
        recalled(figures),
        |(harm, _)| {
            let thousandth = |share: f64| (share * 1000.0).round() as u64;
            let world = &harm.world;
            (
                world.phi as u64,
                world.burst as u64,
                thousandth(world.base),
                thousandth(harm.effect.points),
            )
        },
        |sum: &mut Sum, (_, came)| sum.add(came),
    );
    for ((phi, burst, base, points), sum) in groups {
        let percent = |thousandth: u64| format!("{} %", thousandth as f64 / 10.0);
        line(
            &mut text,
            &[
                &percent(base),
                &phi.to_string(),
                &format!("{burst} s"),
                &format!("+{}", points as f64 / 10.0),
                &sum.all.to_string(),
                &sum.share(sum.noticed),
                &sum.share(sum.automatic),
            ],
        );
    }
    text
}

fn automatically(figures: &Figures) -> String {
    let mut text = String::new();
    head(
        &mut text,
        "Errors at once, no bursts, by traffic and size: noticed / rolled back automatically, within 30 min",
        &["requests/s", "+0.5", "+1", "+2", "+5", "+10", "+20", "+50"],
    );
    let calm = figures
        .harms
        .iter()
        .filter(|(harm, _)| harm.kind == bad::Kind::Errors && harm.world.phi <= 1.0);
    let groups = grouped(
        calm,
        |(harm, _)| {
            let (traffic, points) = (harm.world.per_second * 10.0, harm.effect.points * 1000.0);
            (traffic.round() as u64, points.round() as u64)
        },
        |sum: &mut Sum, (_, came)| sum.add(came),
    );
    let traffics: std::collections::BTreeSet<u64> = groups.keys().map(|(traffic, _)| *traffic).collect();
    for traffic in traffics {
        let mut cells = vec![(traffic as f64 / 10.0).to_string()];
        let row = groups.iter().filter(|((of, _), _)| *of == traffic);
        cells.extend(row.map(|(_, sum)| format!("{} / {}", sum.share(sum.noticed), sum.share(sum.automatic))));
        line(&mut text, &cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    text
}

fn others(figures: &Figures) -> String {
    let mut text = String::new();
    head(
        &mut text,
        "Other harm: noticed / rolled back automatically, within 30 min",
        &[
            "what",
            "requests/s",
            "changes",
            "noticed",
            "rolled back",
            "median until noticed",
        ],
    );
    let others = figures.harms.iter().filter(|(harm, _)| harm.kind != bad::Kind::Errors);
    for (harm, came) in others {
        let mut sum = Sum::default();
        sum.add(came);
        line(
            &mut text,
            &[
                &effect(harm),
                &harm.world.per_second.to_string(),
                &sum.all.to_string(),
                &sum.share(sum.noticed),
                &sum.share(sum.automatic),
                &median(came),
            ],
        );
    }
    text
}

fn effect(harm: &Harm) -> String {
    name(harm).split(": ").nth(1).unwrap_or_default().to_owned()
}

fn median(came: &[Came]) -> String {
    let first = |came: &Came| match (came.people, came.automatic) {
        (Some(people), Some(automatic)) => people.min(automatic),
        (one, other) => one.or(other).unwrap_or(f64::INFINITY),
    };
    let mut times: Vec<f64> = came.iter().map(first).collect();
    times.sort_by(f64::total_cmp);
    let median = at(&times, 0.5);
    if median.is_finite() {
        format!("{median:.0} s")
    } else {
        "not noticed".to_owned()
    }
}

fn outages(figures: &Figures) -> String {
    let mut text = String::new();
    head(
        &mut text,
        "A shared dependency fails for 20 min (30 % of all requests): healthy releases that were put back",
        &[
            "who",
            "outages",
            "releases",
            "of these younger than 2 h",
            "put back by modosu",
            "left to people",
        ],
    );
    for (released, sum) in &figures.outages {
        let numbers = [sum.outages, sum.releases, sum.exposed, sum.automatic, sum.people].map(|n| n.to_string());
        let mut cells = vec![released.text()];
        cells.extend(numbers.iter().map(String::as_str));
        line(&mut text, &cells);
    }
    text
}

fn breaks(figures: &Figures) -> String {
    let mut text = String::new();
    head(
        &mut text,
        "Big breaks: seconds until modosu acts by itself",
        &[
            "change",
            "bursts",
            "requests/s",
            "changes",
            "median",
            "p99",
            "p99 of the worst share that fails usually",
        ],
    );
    let groups = grouped(
        figures.breaks.iter(),
        |(harm, _)| {
            let (phi, burst) = (harm.world.phi as u64, harm.world.burst as u64);
            (
                harm.kind,
                phi,
                burst,
                harm.world.per_second as u64,
                (harm.effect.points * 100.0) as u64,
            )
        },
        |sum: &mut (Vec<Came>, Vec<f64>), (_, came)| {
            sum.0.extend(came);
            sum.1.push(time_to_act(came, 0.99));
        },
    );
    for ((kind, phi, burst, per_second, points), (came, worlds)) in groups {
        let time = |quantile| seconds(time_to_act(&came, quantile));
        let bursts = if phi > 1 {
            format!("φ = {phi}, {burst} s")
        } else {
            "none".to_owned()
        };
        line(
            &mut text,
            &[
                &format!("+{points} points {}", kind.text()),
                &bursts,
                &per_second.to_string(),
                &came.len().to_string(),
                &time(0.5),
                &time(0.99),
                &seconds(worlds.iter().copied().fold(0.0, f64::max)),
            ],
        );
    }
    text
}

/// What never came is shown as such.
fn seconds(time: f64) -> String {
    if time >= 86_400.0 {
        "never".to_owned()
    } else {
        format!("{time:.0}")
    }
}

fn meter(figures: &Figures) -> String {
    let mut text = String::new();
    head(
        &mut text,
        "The meter without its cap, request by request: mean number of requests over Wald's bound",
        &["p*", "×1.5", "×2", "×3", "×5", "×7", "×10", "×15", "×20", "×30"],
    );
    for row in figures.requests.chunks(9) {
        let mut cells = vec![
            row.first()
                .map_or(String::new(), |(cell, _)| format!("{:.1} %", cell.tolerated * 100.0)),
        ];
        cells.extend(row.iter().map(|(_, ratio)| format!("{ratio:.2}")));
        line(&mut text, &cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    head(
        &mut text,
        "The meter with its cap at polls of 15 s: delay over max(3 polls, 1.5 φ × Wald)",
        &["φ", "requests/s", "worst median", "worst p95"],
    );
    let groups = grouped(
        figures.delays.iter(),
        |(cell, _)| (cell.phi as u64, (cell.per_second * 10.0) as u64),
        |worst: &mut (f64, f64), (_, delays)| {
            *worst = (worst.0.max(at(delays, 0.5)), worst.1.max(at(delays, 0.95)));
        },
    );
    for ((phi, per_second), (median, p95)) in groups {
        let traffic = (per_second as f64 / 10.0).to_string();
        line(
            &mut text,
            &[
                &phi.to_string(),
                &traffic,
                &format!("{median:.2}"),
                &format!("{p95:.2}"),
            ],
        );
    }
    text
}
