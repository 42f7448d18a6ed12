//! Pure. What was tried and what is seen now, for the people who take over.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::Input;
use crate::model::incident::{IncidentStatus, JournalEntry};

/// What was tried, step by step.
pub fn tried(status: &IncidentStatus) -> String {
    let own = |entry: &&JournalEntry| {
        status.stage().is_none() || status.present_places().any(|place| status.seq_of(place) == entry.seq)
    };
    let steps = status.journal.iter().filter(|entry| entry.is_step());
    let receipts = steps.filter(own).filter_map(|entry| {
        let receipt = entry.receipt.as_deref()?;
        let step = entry.target.clone().unwrap_or_else(|| status.step_named(entry.seq));
        Some(format!("{step} {receipt}"))
    });
    let done: Vec<String> = receipts.collect();
    if done.is_empty() {
        let by = status.stage().map(|stage| format!(" by stage {}", stage.name));
        format!("nothing was written{}", by.unwrap_or_default())
    } else {
        format!("tried: {}", done.join(", "))
    }
}

/// The present numbers.
pub fn present(input: &Input) -> String {
    let held = input
        .verdict
        .triggers
        .iter()
        .filter(|trigger| !trigger.sentence.is_empty());
    let sentences: Vec<&str> = held.map(|trigger| trigger.sentence.as_str()).collect();
    let facts = input
        .verdict
        .firing
        .iter()
        .map(|finding| finding.evidence.sentence.as_str());
    let mut all: Vec<&str> = Vec::new();
    for sentence in facts.chain(sentences) {
        if !all.contains(&sentence) {
            all.push(sentence);
        }
    }
    format!("not recovered in time, seen now: {}", all.join("; "))
}
