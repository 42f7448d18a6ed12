//! Pure. A rollback that a person asks for while nothing is wrong, and where a person may go at all: a proven state that is not
//! marked bad, as a whole or in part.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;

use super::{Act, Happened, Input, Step, happened::named, open::Draft};
use crate::{
    model::{
        guard::{Action, Mode, TargetRef},
        incident::{Decision, Evidence, IncidentSpec, IncidentState, StateRef, Verb},
    },
    observe::{cluster::Proven, older::replica_set},
};

/// Where a rollback goes that does not say where: to the guard's `status.restoreTo`.
pub const RESTORE_TO: &str = "restoreTo";
/// So many characters of a hash at least.
const SHORTEST: usize = 4;
/// Its name among the evidence of an incident.
const BY_HAND: &str = "by_hand";

/// What a person wrote on the guard, until it is taken down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// A hash, or [`RESTORE_TO`].
    pub to: String,
    pub only: Vec<String>,
    pub by: Option<String>,
    pub reason: Option<String>,
}

/// Opens an incident that holds the wish as its decision, or says why it cannot be followed. Gives whether one is opened.
pub fn follow(input: &Input, step: &mut Step) -> bool {
    let Some(wish) = input.wish.filter(|_| !waits(input)) else {
        return false;
    };
    match draft(input, wish) {
        Ok(draft) => step.actions.push(Act::Open(Box::new(draft))),
        Err(because) => {
            step.happened.push(Happened::CannotFollow { because });
            step.refuses_wish = true;
            return false;
        }
    }
    true
}

/// An incident that waits until its wish is taken down from the guard: else a restart would follow it twice.
pub fn waits(input: &Input) -> bool {
    let Some((wish, case)) = input.wish.zip(input.case) else {
        return false;
    };
    let spec = case.spec;
    let of_hand = spec.triggers.iter().any(|evidence| evidence.name == BY_HAND);
    let to = spec.restore_to.as_ref().map_or("", |to| to.hash.as_str());
    let there = wish.to == RESTORE_TO || to.starts_with(&wish.to);
    let same =
        |decision: &Decision| decision.only == wish.only && decision.by == wish.by && decision.reason == wish.reason;
    of_hand && there && spec.decision.as_ref().is_some_and(same)
}

/// Where a decision goes: `None` where it does not say.
pub fn goal(input: &Input, decision: &Decision) -> Result<Option<StateRef>, String> {
    if decision.to.is_some() {
        restores(input)?;
    }
    let goal = decision
        .to
        .as_deref()
        .map(|hash| state(input, hash, &decision.only))
        .transpose()?;
    let opened_with = || input.case.and_then(|case| case.spec.restore_to.clone());
    known_targets(input, &decision.only, goal.clone().or_else(opened_with).as_ref())?;
    Ok(goal)
}

/// The mode in which nothing is written, whoever asks for it.
pub fn observes(input: &Input) -> Option<String> {
    (input.mode() == Mode::Observe).then(|| "the mode is observe: nothing is written".to_owned())
}

fn draft(input: &Input, wish: &Wish) -> Result<Draft, String> {
    if let Some(case) = input.case {
        return Err(format!("incident {} is open: decide there", case.name));
    }
    if let Some(freeze) = input.freeze {
        return Err(freeze.to_string());
    }
    if let Some(because) = observes(input) {
        return Err(because);
    }
    let current = input.record.current.as_ref();
    if current.is_none_or(|current| current.hash != input.seen.hash) {
        return Err("what runs has just changed: look at it and ask again".to_owned());
    }
    restores(input)?;
    let hash = match (wish.to.as_str(), &input.record.restore_to) {
        (RESTORE_TO, Some(to)) => to.hash.as_str(),
        (RESTORE_TO, None) => return Err("there is no proven state to go back to".to_owned()),
        (hash, _) => hash,
    };
    let to = state(input, hash, &wish.only)?;
    known_targets(input, &wish.only, Some(&to))?;
    let action = Action::AlertAndManualReview;
    let grade = input.policy.scheme.default_for(action);
    let grade = grade.map(|grade| grade.name.clone()).unwrap_or_default();
    let sentence = sentence(wish, &to);
    Ok(Draft {
        spec: IncidentSpec {
            guard: String::new(),
            first_bad_at: input.now,
            opened_at: input.now,
            grade: grade.clone(),
            action,
            summary: sentence.clone(),
            triggers: vec![Evidence {
                name: BY_HAND.to_owned(),
                condition: BY_HAND.to_owned(),
                sentence,
                grade,
                since: Some(input.now),
                ..Evidence::default()
            }],
            bad: StateRef {
                name: None,
                hash: input.seen.hash.clone(),
                since: current.map(|current| current.since),
                images: input.seen.images.clone(),
            },
            restore_to: Some(to),
            decision: Some(Decision {
                verb: Some(Verb::Rollback),
                by: wish.by.clone(),
                reason: wish.reason.clone(),
                only: wish.only.clone(),
                ..Decision::default()
            }),
        },
        state: IncidentState::AwaitingDecision,
        why: None,
        automatic: Vec::new(),
        common_cause: None,
        relapse_of: None,
        return_of: None,
    })
}

fn sentence(wish: &Wish, to: &StateRef) -> String {
    let by = wish.by.as_deref().unwrap_or("somebody");
    let what = match wish.only.as_slice() {
        [] => "it".to_owned(),
        only => only.join(", "),
    };
    let reason = wish.reason.iter().map(|reason| format!(": {reason}"));
    let to = going_to(to);
    format!("{by} puts {what} back to {to}{}", reason.collect::<String>())
}

/// The state with its images; with a warning where nobody proved it.
pub fn going_to(to: &StateRef) -> String {
    match replica_set(to) {
        None => named(&to.hash, &to.images),
        Some(set) => format!(
            "what ReplicaSet/{set} holds (never proven: nobody knows whether it is healthy, or fits the settings of now)"
        ),
    }
}

/// A state that may be gone to, by its hash as pages show it: the first four characters tell it, if only one begins so. A proven
/// one; of one Deployment alone also what one of its ReplicaSets still holds.
fn state(input: &Input, text: &str, only: &[String]) -> Result<StateRef, String> {
    let is = |hash: &str| hash == text || text.len() >= SHORTEST && hash.starts_with(text);
    if is(&input.seen.hash) {
        return Err(format!("{text} is what runs"));
    }
    if let Some(bad) = input.record.bad.iter().find(|bad| is(&bad.hash)) {
        let hash = &bad.hash;
        return Err(format!(
            "{hash} is marked bad: `modosu allow {} {hash}` lifts that",
            input.guard
        ));
    }
    let mut found = input.proven.iter().filter(|state| is(&state.hash));
    let mut older = input.older.iter().filter(|older| is(&older.hash));
    let (found, more) = (found.next(), found.next());
    if let (None, Some(older), None) = (found, older.next(), older.next()) {
        let target = older.target.to_string();
        return match only {
            [only] if *only == target => Ok(older.state()),
            [] | [_, ..] => Err(format!(
                "{text} is a revision of {target}, which nobody proved: say --only {target}"
            )),
        };
    }
    let (Some(found), None) = (found, more) else {
        return Err(format!("{text} is no one proven state; there are: {}", choice(input)));
    };
    Ok(StateRef {
        name: Some(found.name.clone()),
        hash: found.hash.clone(),
        since: Some(found.proven_at),
        images: found.images.clone(),
    })
}

fn choice(input: &Input) -> String {
    let bad = |hash: &str| input.record.bad.iter().any(|bad| bad.hash == hash);
    let here = |state: &&Proven| state.hash != input.seen.hash && !bad(&state.hash);
    let mut all: Vec<&Proven> = input.proven.iter().filter(here).collect();
    all.sort_by_key(|state| std::cmp::Reverse(state.last_running));
    let names: Vec<String> = all.iter().map(|state| named(&state.hash, &state.images)).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn restores(input: &Input) -> Result<(), String> {
    let why = "the guard's plan has no step `restore`: it goes to no state";
    input.policy.restores().then_some(()).ok_or_else(|| why.to_owned())
}

/// What runs has such a part, or the state that is gone to: a ConfigMap or a Secret that was deleted is made again.
fn known_targets(input: &Input, only: &[String], goal: Option<&StateRef>) -> Result<(), String> {
    let goal = goal.and_then(|goal| input.proven.iter().find(|state| state.hash == goal.hash));
    let kept = goal.iter().flat_map(|state| state.settings.keys());
    let parts: BTreeSet<&TargetRef> = input.seen.parts.keys().chain(kept).collect();
    let known = |text: &String| text.parse::<TargetRef>().is_ok_and(|target| parts.contains(&target));
    match only.iter().find(|text| !known(text)) {
        None => Ok(()),
        Some(text) => {
            let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
            Err(format!(
                "{text} is no part of what runs or is gone back to; there are: {}",
                parts.join(", ")
            ))
        }
    }
}
