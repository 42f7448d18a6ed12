//! Pure. What the judge says of one guard: overall, per trigger, per signal, and what fires, with evidence.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    clock::Hold,
    condition::{Condition, Dimension, Truth},
    policy::{Names, Rule},
    share::Count,
    view::{Leaf, Odds, View},
    words,
};
use crate::model::{
    guard::{Action, Unit, Worse},
    incident::Evidence,
    reading::Because,
};

/// What the judge says of one guard.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub overall: Overall,
    /// In the order of the policy's triggers.
    pub triggers: Vec<TriggerVerdict>,
    /// In the order of the policy's signals.
    pub signals: Vec<SignalShown>,
    /// Triggers and hard facts that fire, hard facts first.
    pub firing: Vec<Finding>,
    pub names: Arc<Names>,
}

/// Healthy, breached, or not known.
#[derive(Clone, Debug, PartialEq)]
pub enum Overall {
    Healthy,
    /// Something fires, or is beyond its limit without acting yet.
    Breached,
    Unknown {
        because: Because,
    },
}

/// What the judge says of one trigger.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerVerdict {
    pub status: Status,
    /// How long it has held, counted in readings with new data.
    pub held: Duration,
    /// With its numbers; empty where the trigger is quiet (the signals show theirs).
    pub sentence: String,
    /// Beyond its limit by an exact bound, also while it waits for its `for`: not by chance.
    pub surely: bool,
    /// Beyond its limit, but an exact bound was asked for and says that it may be by chance.
    pub by_chance: bool,
}

/// How a trigger stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    Quiet,
    /// It cannot fire and does not stop proof.
    NotArmed(Unarmed),
    Unknown(Because),
    /// Its condition holds but it does not act yet.
    Suspect {
        since: Timestamp,
        held: Duration,
        why_not: String,
    },
    Firing {
        since: Timestamp,
    },
}

/// Why a trigger is not armed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unarmed {
    /// Its limit lies at or below what is usual here: its owner should change it.
    pub limit_below_baseline: bool,
    /// With its numbers, and with advice where there is something to do.
    pub why: String,
}

impl fmt::Display for Unarmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// One signal as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalShown {
    pub unit: Unit,
    pub worse: Worse,
    pub value: Option<f64>,
    pub baseline: Option<f64>,
    /// Of the first trigger that compares it with something that does not move.
    pub limit: Option<f64>,
    pub verdict: Word,
    /// Why its value is not known, what is beyond its limit, with the numbers, or that nobody asked for anything lately; else empty.
    pub because: String,
    /// The end of the newest reading that counted.
    pub at: Option<Timestamp>,
}

/// A verdict in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Healthy,
    Breached,
    Unknown,
}

/// Something that fires.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The trigger's name, `crash_looping` or `progress_deadline_exceeded`.
    pub name: String,
    pub action: Action,
    pub grade: String,
    /// Of the grade within its scheme; higher is worse.
    pub rank: u8,
    /// It needs no requests and no statistics.
    pub hard_fact: bool,
    pub evidence: Evidence,
}

impl Verdict {
    /// In one sentence with its numbers: what is over a limit, why nothing is known, or how far it is from its limits.
    pub fn told(&self) -> String {
        match &self.overall {
            Overall::Unknown { because } => format!("Unknown: {because}"),
            Overall::Breached => {
                let facts = self.firing.iter().filter(|finding| finding.hard_fact);
                let facts = facts.map(|finding| finding.evidence.sentence.as_str());
                let beyond = |trigger: &&TriggerVerdict| match trigger.status {
                    Status::Suspect { .. } | Status::Firing { .. } => true,
                    Status::Quiet | Status::NotArmed(_) | Status::Unknown(_) => false,
                };
                let triggers = self.triggers.iter().filter(beyond);
                let triggers = triggers.map(|trigger| trigger.sentence.as_str());
                facts.chain(triggers).collect::<Vec<_>>().join("; ")
            }
            Overall::Healthy => {
                let known: Vec<String> = self.named_signals().filter_map(against).collect();
                let mut told = "healthy".to_owned();
                if !known.is_empty() {
                    told = format!("{told}: {}", known.join(", "));
                }
                let earlier = self.signals.iter().find(|signal| !signal.because.is_empty());
                earlier.map_or_else(|| told.clone(), |signal| format!("{told}; {}", signal.because))
            }
        }
    }

    /// The most that follows: the highest action of what fires.
    pub fn action(&self) -> Option<Action> {
        self.firing.iter().map(|finding| finding.action).max()
    }

    /// Every trigger by name.
    pub fn named_triggers(&self) -> impl Iterator<Item = (&String, &TriggerVerdict)> {
        self.names.triggers.iter().zip(&self.triggers)
    }

    /// Every signal by name.
    pub fn named_signals(&self) -> impl Iterator<Item = (&String, &SignalShown)> {
        self.names.signals.iter().zip(&self.signals)
    }
}

/// `error_rate 0.2 % (limit 5 %)`, where it is known and compared with something.
fn against((name, signal): (&String, &SignalShown)) -> Option<String> {
    let limit = signal.limit.map(|limit| ("limit", limit));
    let (what, other) = limit.or(signal.baseline.map(|before| ("baseline", before)))?;
    let (value, other) = words::pair(signal.value?, other, Dimension::Of(signal.unit));
    Some(format!("{name} {value} ({what} {other})"))
}

impl Overall {
    /// In one word.
    pub const fn word(&self) -> Word {
        match self {
            Self::Healthy => Word::Healthy,
            Self::Breached => Word::Breached,
            Self::Unknown { .. } => Word::Unknown,
        }
    }
}

impl Word {
    /// As pages and `/status.json` have it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Breached => "Breached",
            Self::Unknown => "Unknown",
        }
    }
}

/// What decided, as evidence. The sentence names every comparison that holds, and what it rests on.
pub fn evidence(rule: &Rule, leaves: &[Leaf], view: &View<'_>, hold: &Hold, since: Timestamp) -> Evidence {
    let decisive = decisive(&rule.condition, leaves);
    let (first, leaf) = decisive.first().copied().unzip();
    let signal = first.and_then(|place| place.subject(&rule.condition));
    let baseline = signal.and_then(|signal| view.baseline(signal));
    let mut brackets = Vec::new();
    brackets.extend(leaf.and_then(|l| l.count).map(|count| of(count) + " requests"));
    if leaf.is_some_and(|leaf| leaf.quantile.is_some()) && hold.requests > 0.0 {
        brackets.push(format!("{} requests", words::whole(hold.requests)));
    }
    brackets.extend(first.and_then(|place| place.behind(&rule.condition, view)));
    brackets.extend(
        signal
            .zip(baseline)
            .map(|(signal, before)| format!("baseline {}", words::number(before, view.unit(signal)))),
    );
    let brackets = if brackets.is_empty() {
        String::new()
    } else {
        format!(" ({})", brackets.join("; "))
    };
    let odds = leaf.and_then(|leaf| leaf.odds);
    let length = if odds.is_some() {
        String::new() // what was weighed since the change says more
    } else {
        format!(" for {}", words::length(hold.held.total()))
    };
    Evidence {
        name: rule.name.clone(),
        condition: rule.text.clone(),
        sentence: format!("{}{length}{brackets}", compared(&rule.condition, leaves)),
        grade: rule.grade.clone(),
        signal: signal.map(|signal| view.name(signal).to_owned()),
        value: leaf.and_then(|l| l.value),
        limit: leaf.and_then(|l| l.limit),
        baseline,
        since: Some(since),
        query: None,
        requests: leaf.and_then(|l| l.count).map(|count| words::whole(count.all)),
        odds: odds
            .map(Odds::to_one)
            .or_else(|| against_chance(&rule.condition, first?, leaf?, view)),
        tolerated: odds.map(|odds| odds.tolerated),
        readings: Some(odds.map_or(hold.readings, |odds| odds.read.readings)),
    }
}

/// Of a share against a limit: one over the chance of so many, were the true share just the limit, bursts as before counted in.
fn against_chance(condition: &Condition, place: Place, leaf: &Leaf, view: &View<'_>) -> Option<f64> {
    let single = condition
        .comparisons
        .get(place.0)?
        .single
        .filter(|single| single.counted)?;
    let spread = view.usual(single.signal).map_or(1.0, |usual| usual.dispersion);
    let chance = leaf.count?.spread_by(spread).chance(single.relation, leaf.limit?);
    Some(chance.max(1e-12).recip())
}

/// Every comparison that holds, with its numbers: `error_rate 31.2 % > 5 %`.
pub fn compared(condition: &Condition, leaves: &[Leaf]) -> String {
    let told: Vec<_> = decisive(condition, leaves)
        .into_iter()
        .map(|(place, leaf)| place.told(condition, leaf))
        .collect();
    if told.is_empty() {
        condition.text().to_owned()
    } else {
        told.join(" and ")
    }
}

/// Every comparison that does not hold, with its numbers: `not success_rate 88 % >= 95 %`.
pub fn failed(condition: &Condition, leaves: &[Leaf]) -> String {
    let all = leaves.iter().enumerate().filter(|(_, leaf)| leaf.plain == Truth::False);
    let told: Vec<_> = all
        .map(|(place, leaf)| {
            let not = if leaf.odds.is_some() { "" } else { "not " };
            format!("{not}{}", Place(place).told(condition, leaf))
        })
        .collect();
    told.join(", ")
}

/// `3 of 24`.
pub fn of(count: Count) -> String {
    format!("{} of {}", words::whole(count.some), words::whole(count.all))
}

/// `10,000 : 1 that errors exceed 0.6 %; the largest poll gave 31 %`.
fn weighed(odds: Odds, unit: Dimension) -> String {
    let share = |share: f64| words::number(share, Dimension::Of(Unit::Ratio));
    let (tolerated, largest) = (share(odds.tolerated), share(odds.read.largest));
    let what = odds.slower_than.map_or_else(
        || "errors".to_owned(),
        |bound| format!("requests slower than {}", words::number(bound, unit)),
    );
    let to_one = words::odds(odds.to_one());
    format!("{to_one} that {what} exceed {tolerated}; the largest poll gave {largest}")
}

#[derive(Clone, Copy)]
struct Place(usize);

fn decisive<'a>(condition: &Condition, leaves: &'a [Leaf]) -> Vec<(Place, &'a Leaf)> {
    let all = leaves.iter().enumerate().take(condition.comparisons.len());
    all.filter(|(_, leaf)| leaf.holds())
        .map(|(place, leaf)| (Place(place), leaf))
        .collect()
}

impl Place {
    /// The signal that the comparison is about.
    fn subject(self, condition: &Condition) -> Option<usize> {
        condition.comparisons.get(self.0).and_then(|c| c.subject())
    }

    /// The signal's own number, where the comparison shows another one: `change(throughput) -12 %`.
    fn behind(self, condition: &Condition, view: &View<'_>) -> Option<String> {
        let comparison = condition.comparisons.get(self.0)?;
        let signal = comparison
            .subject()
            .filter(|_| comparison.single.is_none() && !comparison.worse)?;
        let value = words::number(view.number(signal, 1)?, view.unit(signal));
        Some(format!("{} {value}", view.name(signal)))
    }

    fn told(self, condition: &Condition, leaf: &Leaf) -> String {
        let Some(comparison) = condition.comparisons.get(self.0) else {
            return String::new();
        };
        if let Some(odds) = leaf.odds {
            return weighed(odds, comparison.unit);
        }
        if comparison.worse {
            return format!("no {}", comparison.said);
        }
        let relation = comparison.single.map_or(comparison.relation, |single| single.relation);
        let (value, limit) = words::pair(
            leaf.value.unwrap_or_default(),
            leaf.limit.unwrap_or_default(),
            comparison.unit,
        );
        format!("{} {value} {} {limit}", comparison.said, relation.text())
    }
}
