//! Pure. Policy, readings and baseline in; a verdict with evidence out.
//!
//! [`judge`] is called once per guard and turn, and once more for a watch event between two polls (then without a reading:
//! nothing advances). What it must remember between turns is [`Memory`].

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use jiff::Timestamp;

use crate::model::{
    guard::Baseline,
    incident::Evidence,
    reading::{Because, Reading},
};

/// How long something has been so.
pub mod clock;
/// What healthy time looked like.
mod collected;
/// The condition language: text to a checked tree, a tree to three-valued truth.
pub mod condition;
/// Hard facts, which need no statistics.
mod facts;
/// Requests that failed since the first bad reading.
mod harm;
/// Past counts of one guard, bounded.
pub mod history;
/// What the judge remembers of one guard between turns.
pub mod memory;
/// Whether a share got worse than it was before the change.
pub mod meter;
/// The meters of one guard.
mod metered;
/// One signal's part of a reading.
mod noted;
/// A guard's wishes, compiled once.
pub mod policy;
/// How sure a share is.
pub mod share;
/// Old and new pods, side by side.
pub mod sides;
/// Slow requests, by a histogram's buckets.
mod slow;
#[cfg(test)]
mod tests;
/// Traffic that is gone.
pub mod traffic;
/// One trigger in one turn.
mod trigger;
/// What a service's failures do anyway.
pub mod usual;
/// What the judge says.
pub mod verdict;
/// The numbers of one guard at this moment.
mod view;
/// Numbers as people read them.
pub mod words;

pub use memory::Memory;
pub use verdict::{Finding, Overall, SignalShown, Status, TriggerVerdict, Unarmed, Verdict, Word};

use condition::Missing;
pub use condition::Truth;
pub use facts::hard_fact;
use history::between;
use memory::Fresh;
use policy::Policy;
use trigger::Asked;
use view::{Leaf, View};

/// What the judge must know besides the reading.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub now: Timestamp,
    /// Windows begin here: nothing that was counted before counts.
    pub since: Timestamp,
    pub baseline: Option<&'a Baseline>,
    pub facts: &'a Facts,
    /// Every target is rolled out; while it is not, healthy time does not count.
    pub rolled_out: bool,
}

/// Hard facts, each a sentence for people. They need no requests and no statistics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub crash_looping: Option<String>,
    pub progress_deadline_exceeded: Option<String>,
}

/// What is to be said of this guard now. Without a reading the last ones are judged again and nothing advances.
pub fn judge(policy: &Policy, memory: &mut Memory, reading: Option<&Reading>, context: &Context<'_>) -> Verdict {
    memory.follow(context.since);
    let fresh = reading.and_then(|reading| memory.take(reading, context.since));
    memory.compare_with(policy, context.baseline);
    if fresh.is_some_and(|fresh| fresh.counted.is_some()) {
        memory.weigh(watched(policy, context));
    }
    if reading.is_some() {
        facts::count_traffic(policy, memory, fresh.and_then(|fresh| fresh.counted).is_some());
    }
    let mut firing = facts::hard_facts(policy, memory, context);
    let (triggers, signals) = measured(policy, memory, fresh, context, &mut firing);
    let overall = overall(&triggers, &signals, !firing.is_empty(), &view(policy, memory, context));
    keep_time(memory, fresh, overall.word(), firing.is_empty(), context);
    keep_verified(policy, memory, fresh, context);
    Verdict {
        overall,
        triggers,
        signals,
        firing,
        names: policy.names.clone(),
    }
}

/// Fills the memory with past readings, oldest first, as if they had been read when they were: windows, holds, clocks and
/// the collected baseline stand as before. Nothing fires because of them until a live reading with new data comes.
/// `whole_since`: since when every target is known to be rolled out; healthy time counts from there. Hard facts stay as
/// they are: nothing tells what they were.
pub fn recall(
    policy: &Policy,
    memory: &mut Memory,
    past: &[Reading],
    whole_since: Option<Timestamp>,
    context: &Context<'_>,
) {
    let mut filled = Memory::new(policy);
    filled.begin(context.since);
    let (facts, no_facts) = (memory.facts, memory.no_facts);
    for reading in past {
        let begin = view::begin(reading.at, reading.span);
        let then = Context {
            now: reading.at,
            facts: &Facts::default(),
            rolled_out: whole_since.is_some_and(|since| begin >= since),
            ..*context
        };
        let _ = judge(policy, &mut filled, Some(reading), &then);
    }
    (filled.facts, filled.no_facts) = (facts, no_facts);
    if !past.is_empty() {
        filled.recall();
    }
    *memory = filled;
}

/// The guard's own conditions of recovery.
pub fn verify_conditions(policy: &Policy, memory: &mut Memory, context: &Context<'_>) -> Vec<(String, Truth, String)> {
    plain_conditions(policy.verify.iter(), policy, memory, context)
}

/// Conditions without clocks, each with its text and a sentence.
pub fn plain_conditions<'a>(
    conditions: impl Iterator<Item = &'a condition::Condition>,
    policy: &Policy,
    memory: &mut Memory,
    context: &Context<'_>,
) -> Vec<(String, Truth, String)> {
    memory.follow(context.since);
    let mut conditions = conditions.peekable();
    if conditions.peek().is_none() {
        return Vec::new();
    }
    memory.compare_with(policy, context.baseline);
    let needed = policy.triggers.iter().map(|rule| rule.min_requests).max().unwrap_or(20);
    let view = view(policy, memory, context);
    conditions
        .map(|condition| {
            let leaves: Vec<Leaf> = condition
                .comparisons
                .iter()
                .map(|c| view.leaf(c, needed, None))
                .collect();
            let truth = condition
                .tree
                .truth(&|place| leaves.get(place).map_or(Truth::Unknown, |leaf| leaf.plain));
            let sentence = match truth {
                Truth::True => verdict::compared(condition, &leaves),
                Truth::False => verdict::failed(condition, &leaves),
                Truth::Unknown => {
                    let missing = leaves.iter().find_map(|leaf| leaf.missing);
                    view.because(missing.unwrap_or(Missing::NotFinite), needed).to_string()
                }
            };
            (condition.text().to_owned(), truth, sentence)
        })
        .collect()
}

/// Whether what is seen now may still be put down to the change.
fn watched(policy: &Policy, context: &Context<'_>) -> bool {
    between(context.since, context.now) < policy.watch_for
}

fn view<'a>(policy: &'a Policy, memory: &'a Memory, context: &Context<'a>) -> View<'a> {
    View {
        policy,
        history: &memory.history,
        places: &memory.places,
        latest: &memory.latest,
        baselines: &memory.baselines,
        memory,
        baseline: context.baseline,
        meters: &memory.meters,
        slow: &memory.slow,
        watched: watched(policy, context),
        since: context.since,
    }
}

/// Every trigger and every signal.
fn measured(
    policy: &Policy,
    memory: &mut Memory,
    fresh: Option<Fresh>,
    context: &Context<'_>,
    firing: &mut Vec<Finding>,
) -> (Vec<TriggerVerdict>, Vec<SignalShown>) {
    let mut holds = std::mem::take(&mut memory.holds);
    let mut leaves = Vec::new();
    let view = view(policy, memory, context);
    let mut signals: Vec<SignalShown> = policy.signals.iter().map(|signal| shown(signal, &view)).collect();
    let mut triggers = Vec::with_capacity(policy.triggers.len());
    for (rule, hold) in policy.triggers.iter().zip(&mut holds) {
        let asked = Asked {
            rule,
            view,
            fresh,
            now: context.now,
            counts_requests: memory.counts_requests(),
            recalled: memory.recalled(),
        };
        let (verdict, evidence) = asked.judge(hold, &mut leaves);
        note(&mut signals, rule, &leaves, &verdict);
        firing.extend(evidence.map(|evidence| found(policy, rule, evidence)));
        triggers.push(verdict);
    }
    for (place, signal) in signals.iter_mut().enumerate() {
        finish(signal, place, &view);
    }
    memory.holds = holds;
    (triggers, signals)
}

fn found(policy: &Policy, rule: &policy::Rule, evidence: Evidence) -> Finding {
    let rank = policy.scheme.rank(&rule.grade);
    Finding {
        name: rule.name.clone(),
        action: rule.action,
        grade: rule.grade.clone(),
        rank,
        hard_fact: false,
        evidence,
    }
}

fn shown(signal: &policy::Signal, view: &View<'_>) -> SignalShown {
    SignalShown {
        unit: signal.unit,
        worse: signal.worse,
        value: None,
        baseline: None,
        limit: None,
        verdict: Word::Healthy,
        because: String::new(),
        at: view.history.newest(),
    }
}

/// What a trigger's comparisons tell of the signals that it names.
fn note(signals: &mut [SignalShown], rule: &policy::Rule, leaves: &[Leaf], verdict: &TriggerVerdict) {
    let beyond = matches!(verdict.status, Status::Suspect { .. } | Status::Firing { .. });
    for (comparison, leaf) in rule.condition.comparisons.iter().zip(leaves) {
        let Some(signal) = comparison.subject().and_then(|place| signals.get_mut(place)) else {
            continue;
        };
        if comparison.single.is_some() && signal.limit.is_none() {
            signal.limit = leaf.limit;
        }
        if beyond && leaf.holds() {
            signal.verdict = Word::Breached;
            if signal.because.is_empty() {
                signal.because.clone_from(&verdict.sentence);
            }
        }
    }
}

fn finish(signal: &mut SignalShown, place: usize, view: &View<'_>) {
    signal.baseline = view.baseline(place);
    signal.value = view.number(place, 1);
    if signal.value.is_none() {
        signal.verdict = Word::Unknown;
        signal.because = view.because(Missing::Signal(place), 1).to_string();
    } else if signal.because.is_empty() {
        signal.because = view.of_earlier(place).unwrap_or_default();
    }
}

/// Breached if anything fires or is beyond its limit; Unknown if an armed trigger is, or if nothing that triggers read is
/// known (a trigger that is not armed does not stop proof, but no data at all is not health).
fn overall(triggers: &[TriggerVerdict], signals: &[SignalShown], facts: bool, view: &View<'_>) -> Overall {
    let beyond = triggers
        .iter()
        .any(|t| matches!(t.status, Status::Suspect { .. } | Status::Firing { .. }));
    if facts || beyond {
        return Overall::Breached;
    }
    for trigger in triggers {
        if let Status::Unknown(because) = &trigger.status {
            return Overall::Unknown {
                because: because.clone(),
            };
        }
    }
    let mut read = view.policy.triggers.iter().flat_map(|rule| rule.condition.subjects());
    let first = read.clone().next();
    match first {
        None if view.history.newest().is_some() || signals.is_empty() => Overall::Healthy,
        None => Overall::Unknown {
            because: Because::WarmingUp,
        },
        Some(_) if read.any(|place| signals.get(place).is_some_and(|signal| signal.value.is_some())) => {
            Overall::Healthy
        }
        Some(first) => Overall::Unknown {
            because: view.because(Missing::Signal(first), 1),
        },
    }
}

/// How long the guard's own conditions of recovery hold.
fn keep_verified(policy: &Policy, memory: &mut Memory, fresh: Option<Fresh>, context: &Context<'_>) {
    let told = verify_conditions(policy, memory, context);
    let worst = told.iter().map(|(_, truth, _)| *truth).max_by_key(|truth| match truth {
        Truth::True => 0,
        Truth::Unknown => 1,
        Truth::False => 2,
    });
    match (worst, fresh) {
        (Some(Truth::False), _) => memory.verified.reset(),
        (Some(Truth::Unknown), _) => memory.verified.stop(),
        (Some(Truth::True), Some(fresh)) => memory.verified.advance(fresh.at),
        (Some(Truth::True), None) | (None, _) => {}
    }
}

/// The clocks, and the baseline of what is healthy.
fn keep_time(memory: &mut Memory, fresh: Option<Fresh>, word: Word, calm: bool, context: &Context<'_>) {
    if let Some(fresh) = fresh {
        memory.tally(fresh, word == Word::Breached);
    }
    match (word, fresh) {
        (Word::Breached, _) => {
            memory.healthy.reset();
            memory.all_quiet.reset();
            if let Some(fresh) = fresh {
                memory.set_aside(Some(fresh).filter(|_| context.rolled_out && calm));
            }
        }
        (Word::Unknown, _) => {
            memory.healthy.stop();
            memory.all_quiet.stop();
        }
        (Word::Healthy, None) => {}
        (Word::Healthy, Some(fresh)) => {
            memory.all_quiet.advance(fresh.at);
            if context.rolled_out {
                memory.healthy.advance(fresh.at);
                memory.collect(fresh, context.since);
            }
        }
    }
    if !context.rolled_out {
        memory.healthy.stop();
    }
}
