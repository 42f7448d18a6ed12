//! Pure. One trigger in one turn: does it hold, for how long, is that enough, and does it fire.
//!
//! What it takes to fire:
//! * the condition holds over the window, or (automatic triggers) *surely* over some of the newest readings;
//! * an automatic trigger holds surely: every share is beyond its limit by its exact bound, the bursts of the baseline
//!   counted in, and `worse` is always sure; gauges and quantiles, for which
//!   there is none, are sure when they hold, but then over two readings with new data (a sure share needs no second one);
//! * and no burst such as the service has anyway would explain its shares ([`super::usual`]);
//! * the newest reading by itself is not within the limit again: a blip of one reading stays in the window for a minute, but
//!   there is nothing left to put back;
//! * it held for `for`, counted between readings with new data; false starts anew, Unknown neither adds nor takes;
//! * what was read from the past (after a start) adds to all of these, but a live reading with new data must agree;
//! * where it rests on a quantile: 10/(1 − q) requests were answered while it held (200 for the 95th percentile). A
//!   quantile of thirty requests is noise. A service with 50 requests/s has answered them within one scrape of 5 s.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use jiff::Timestamp;

use super::{
    clock::Hold,
    condition::{Comparison, Missing, Truth},
    history::Cell,
    memory::Fresh,
    policy::Rule,
    share::Count,
    usual::Usual,
    verdict::{Status, TriggerVerdict, Unarmed, compared, evidence, of},
    view::{Leaf, View},
    words,
};
use crate::model::{guard::Action, incident::Evidence, reading::Because, units::Certainty};

/// What is asked of one trigger.
pub struct Asked<'a> {
    pub rule: &'a Rule,
    pub view: View<'a>,
    pub fresh: Option<Fresh>,
    pub now: Timestamp,
    /// Whether requests are counted, so that quantiles can be asked for enough of them.
    pub counts_requests: bool,
    /// What is known was read from the past alone.
    pub recalled: bool,
}

/// The truth of a condition in the ways that matter.
struct Truths {
    /// Plainly, or surely: the trigger is beyond its limit.
    beyond: Truth,
    sure: bool,
    /// By exact bounds alone.
    strong: bool,
    /// Requests that are needed because it rests on a quantile.
    quantile: Option<f64>,
}

impl Asked<'_> {
    /// The trigger's verdict, and its evidence if it fires. The comparisons are left in `leaves`.
    pub fn judge(&self, hold: &mut Hold, leaves: &mut Vec<Leaf>) -> (TriggerVerdict, Option<Evidence>) {
        let rule = self.rule;
        leaves.clear();
        let error = self.error();
        leaves.extend(
            rule.condition
                .comparisons
                .iter()
                .map(|c| self.view.leaf(c, rule.min_requests, error)),
        );
        let truths = self.truths(leaves);
        if let Some(why) = self.not_armed(truths.beyond, leaves) {
            hold.release();
            if let Some(fresh) = self.fresh {
                hold.quiet.advance(fresh.at);
            }
            return (self.verdict(Status::NotArmed(why), hold, String::new()), None);
        }
        advance(hold, truths.beyond, self.fresh);
        self.count(hold, truths.beyond);
        match truths.beyond {
            Truth::False => (self.verdict(Status::Quiet, hold, String::new()), None),
            Truth::Unknown => {
                let because = self.because(leaves);
                let sentence = because.to_string();
                (self.verdict(Status::Unknown(because), hold, sentence), None)
            }
            Truth::True => self.beyond(&truths, hold, leaves),
        }
    }

    /// The error at which shares are tested: automatic triggers only.
    const fn error(&self) -> Option<f64> {
        match (self.rule.action, self.rule.certainty) {
            (Action::AutomaticRollback, Certainty::At(error)) => Some(error.0),
            (Action::AutomaticRollback, Certainty::Off) | (Action::AlertAndManualReview | Action::Monitor, _) => None,
        }
    }

    fn truths(&self, leaves: &[Leaf]) -> Truths {
        let tree = &self.rule.condition.tree;
        let by = |part: fn(&Leaf) -> Truth| tree.truth(&|place| leaves.get(place).map_or(Truth::Unknown, part));
        let plain = by(|leaf| leaf.plain);
        let sure = by(|leaf| leaf.sure);
        let beyond = if sure == Truth::True { Truth::True } else { plain };
        if beyond != Truth::True {
            return Truths {
                beyond,
                sure: false,
                strong: false,
                quantile: None,
            };
        }
        let strong = by(|leaf| if leaf.tested { leaf.sure } else { Truth::Unknown });
        let without = by(|leaf| {
            if leaf.quantile.is_some() {
                Truth::Unknown
            } else {
                leaf.sure
            }
        });
        let highest = leaves
            .iter()
            .filter(|leaf| leaf.holds())
            .filter_map(|leaf| leaf.quantile)
            .reduce(f64::max);
        Truths {
            beyond,
            sure: sure == Truth::True,
            strong: strong == Truth::True,
            quantile: highest.filter(|_| without != Truth::True).map(requests_for),
        }
    }

    /// Why it cannot fire: what it compares with is not there, and nothing else makes it true; or it held of that already.
    fn not_armed(&self, beyond: Truth, leaves: &[Leaf]) -> Option<Unarmed> {
        let lacks = if beyond == Truth::True {
            None
        } else {
            self.lacks(leaves)
        };
        lacks.or_else(|| self.held_before(leaves))
    }

    /// What it compares with and is not there.
    fn lacks(&self, leaves: &[Leaf]) -> Option<Unarmed> {
        let condition = &self.rule.condition;
        let missing = condition
            .baselines()
            .iter()
            .find(|signal| self.view.baseline(**signal).is_none());
        if let Some(signal) = missing {
            let (name, why) = (self.view.name(*signal), self.view.memory.waits());
            return Some(unarmed(format!("no baseline yet of {name}: {why}")));
        }
        let zero = leaves.iter().find_map(|leaf| match leaf.missing {
            Some(Missing::Zero(signal)) => Some(signal),
            Some(Missing::Signal(_) | Missing::Counts(_) | Missing::Baseline(_) | Missing::NotFinite) | None => None,
        });
        if let Some(signal) = zero {
            let name = self.view.name(signal);
            return Some(unarmed(format!(
                "the baseline of {name} is 0: nothing is relative to it"
            )));
        }
        let no_meter = |signal| Some((self.view.policy.signals.get(signal)?, self.view.no_meter(signal)?));
        let (signal, why) = condition.metered().find_map(no_meter)?;
        Some(Unarmed {
            limit_below_baseline: why.is_hopeless(),
            why: why.sentence(signal),
        })
    }

    /// Whether it held of the baseline, and what to do about that. Exactly the limit is too much of a share.
    fn held_before(&self, leaves: &[Leaf]) -> Option<Unarmed> {
        let condition = &self.rule.condition;
        let then = |signal: usize| self.view.baseline(signal);
        let at_limit = |comparison: &Comparison| {
            let single = comparison.single.filter(|single| single.counted)?;
            let limit = comparison.limit().value(&then, &then).ok()?;
            let held = limit > 0.0 && limit < 1.0 && single.relation.or_equal().holds(then(single.signal)?, limit);
            held.then_some(Truth::True)
        };
        let held = condition.tree.truth(&|place| {
            let made = condition.comparisons.get(place);
            made.map_or(Truth::Unknown, |comparison| {
                at_limit(comparison).unwrap_or_else(|| comparison.truth(&then, &then).map_or(Truth::Unknown, Truth::of))
            })
        });
        if held != Truth::True {
            return None;
        }
        let first = condition.comparisons.iter().zip(leaves).find_map(|(comparison, leaf)| {
            let single = comparison.single?;
            let (before, limit) = words::pair(then(single.signal)?, leaf.limit?, comparison.unit);
            let beyond = single.relation.holds(then(single.signal)?, leaf.limit?);
            let (side, times) = match (beyond, single.relation.upward()) {
                (true, true) => ("below", "> baseline * 2"),
                (true, false) => ("above", "< baseline * 0.9"),
                (false, true) => ("at", "> baseline * 2"),
                (false, false) => ("at", "< baseline * 0.9"),
            };
            let name = self.view.name(single.signal);
            Some(format!(
                "its limit lies {side} the baseline: {name} was {before} when healthy, the limit is {limit}; \
                 move the limit, or compare with the baseline, as in `{name} {times}`"
            ))
        });
        Some(Unarmed {
            limit_below_baseline: true,
            why: first.unwrap_or_else(|| "it already held of the baseline".to_owned()),
        })
    }

    fn because(&self, leaves: &[Leaf]) -> Because {
        let missing = leaves
            .iter()
            .find(|leaf| leaf.plain == Truth::Unknown)
            .and_then(|leaf| leaf.missing);
        self.view
            .because(missing.unwrap_or(Missing::NotFinite), self.rule.min_requests)
    }

    fn beyond(&self, truths: &Truths, hold: &Hold, leaves: &[Leaf]) -> (TriggerVerdict, Option<Evidence>) {
        let (mut verdict, evidence) = self.fires_or_not(truths, hold, leaves);
        verdict.surely = truths.strong;
        verdict.by_chance = self.error().is_some() && !truths.sure;
        (verdict, evidence)
    }

    fn fires_or_not(&self, truths: &Truths, hold: &Hold, leaves: &[Leaf]) -> (TriggerVerdict, Option<Evidence>) {
        let since = hold.since.unwrap_or(self.now);
        let held = hold.held.total();
        match self.why_not(truths, hold, leaves) {
            None => {
                let evidence = evidence(self.rule, leaves, &self.view, hold, since);
                (
                    self.verdict(Status::Firing { since }, hold, evidence.sentence.clone()),
                    Some(evidence),
                )
            }
            Some(why_not) => {
                let sentence = format!("{}: {why_not}", compared(&self.rule.condition, leaves));
                (
                    self.verdict(Status::Suspect { since, held, why_not }, hold, sentence),
                    None,
                )
            }
        }
    }

    fn why_not(&self, truths: &Truths, hold: &Hold, leaves: &[Leaf]) -> Option<String> {
        let held = hold.held.total();
        let readings = if truths.strong { 1 } else { 2 };
        if self.recalled {
            return Some("so it was when modosu was started, a new reading is needed".to_owned());
        }
        if self.error().is_some() && !truths.sure {
            let unsure = leaves
                .iter()
                .find(|leaf| leaf.plain == Truth::True && leaf.sure != Truth::True);
            if unsure.is_some_and(|leaf| leaf.passing) {
                return Some("the newest reading is within the limit again".to_owned());
            }
            let counted = unsure
                .and_then(|leaf| leaf.count)
                .map_or_else(|| "it".to_owned(), |count| of(count) + " requests");
            Some(format!("over the limit, {counted}: too few to act on"))
        } else if let Some(count) = self.burst(hold, leaves) {
            let counted = of(count);
            Some(format!(
                "over the limit, {counted} requests: a burst that passes could be so too"
            ))
        } else if hold.readings < readings {
            Some("one more reading with new data is needed".to_owned())
        } else if held < self.rule.hold {
            Some(format!(
                "for {} of {}",
                words::length(held),
                words::length(self.rule.hold)
            ))
        } else {
            let needed = truths
                .quantile
                .filter(|needed| self.counts_requests && hold.requests < *needed)?;
            let answered = words::whole(hold.requests);
            Some(format!(
                "{answered} of the {} requests that such a quantile takes to be trusted",
                words::whole(needed)
            ))
        }
    }

    /// Counts the newest reading's shares while the condition holds.
    fn count(&self, hold: &mut Hold, beyond: Truth) {
        if beyond != Truth::True || self.fresh.is_none() || self.error().is_none() {
            return;
        }
        let comparisons = &self.rule.condition.comparisons;
        hold.counted.resize(comparisons.len(), Cell::default());
        for (comparison, sum) in comparisons.iter().zip(&mut hold.counted) {
            if let Some(single) = comparison.single.filter(|single| single.counted) {
                sum.add(self.view.newest(single.signal));
            }
        }
    }

    /// The counts of a share that is surely beyond its limit, but no farther than a burst would take it, if it rests on that.
    fn burst(&self, hold: &Hold, leaves: &[Leaf]) -> Option<Count> {
        let error = self.error()?;
        let comparisons = &self.rule.condition.comparisons;
        let unusual = |place: usize| {
            let (leaf, comparison) = (leaves.get(place)?, comparisons.get(place)?);
            let Some(single) = comparison.single.filter(|_| leaf.tested && !comparison.worse) else {
                return Some(leaf.sure);
            };
            let usual = self.view.usual(single.signal).unwrap_or_else(|| Usual::of_share(0.0));
            let limit = leaf.limit?;
            let mut found = false;
            let mut see = |cell: Cell| {
                let beyond = cell
                    .count
                    .share()
                    .is_some_and(|share| single.relation.holds(share, limit));
                found |= beyond && usual.chance(cell, single.relation.upward()) < error;
            };
            hold.counted.get(place).copied().into_iter().for_each(&mut see);
            let whole = self.view.count(single.signal, self.rule.min_requests, &mut see);
            whole.into_iter().for_each(&mut see);
            Some(if leaf.sure == Truth::True {
                Truth::of(found)
            } else {
                leaf.sure
            })
        };
        let explained = |place| unusual(place).unwrap_or(Truth::Unknown);
        if self.rule.condition.tree.truth(&explained) == Truth::True {
            return None;
        }
        leaves
            .iter()
            .filter(|leaf| leaf.tested && leaf.sure == Truth::True)
            .find_map(|leaf| leaf.count)
    }

    fn verdict(&self, status: Status, hold: &Hold, sentence: String) -> TriggerVerdict {
        let held: Duration = hold.held.total();
        TriggerVerdict {
            status,
            held,
            sentence,
            surely: false,
            by_chance: false,
        }
    }
}

const fn unarmed(why: String) -> Unarmed {
    Unarmed {
        limit_below_baseline: false,
        why,
    }
}

/// How many requests must be answered while a condition on that quantile holds: ten beyond the quantile, on average.
fn requests_for(quantile: f64) -> f64 {
    (10.0 / (1.0 - quantile) - 1e-6).ceil()
}

/// Only readings with new data add time; Unknown stops the clocks whenever it is, so that an outage adds none.
fn advance(hold: &mut Hold, beyond: Truth, fresh: Option<Fresh>) {
    match (beyond, fresh) {
        (Truth::True, Some(fresh)) => {
            hold.held.advance(fresh.at);
            hold.readings = hold.readings.saturating_add(1);
            hold.since.get_or_insert(fresh.at);
            hold.requests += fresh.requests;
            hold.quiet.reset();
        }
        (Truth::False, Some(fresh)) => {
            hold.release();
            hold.quiet.advance(fresh.at);
        }
        (Truth::Unknown, _) => {
            hold.held.stop();
            hold.quiet.stop();
        }
        (Truth::True | Truth::False, None) => {}
    }
}
