//! Pure. The retry lock: what was put back once may not return for a while. If it does, it is put back once more, without
//! waiting until it hurts; after that people decide. Whoever wants it back says so (`modosu allow`).
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Happened, Input, Record, happened::named};
use crate::{
    judge::{Verdict, hard_fact},
    model::{
        guard::{Action, BadState},
        incident::IncidentSpec,
    },
};

/// Its name among the hard facts of an incident.
pub const RETRY_LOCK: &str = "retry_lock";

/// The verdict with the lock that the present state breaks, if it breaks one.
pub fn verdict(input: &Input) -> Option<Verdict> {
    let bad = broken(input)?;
    let action = if bad.returned {
        Action::AlertAndManualReview
    } else {
        Action::AutomaticRollback
    };
    let since = input.record.current.as_ref().map(|current| current.since);
    let finding = hard_fact(input.policy, RETRY_LOCK, action, sentence(input, bad), since);
    let mut verdict = input.verdict.clone();
    verdict.firing.insert(0, finding);
    Some(verdict)
}

/// The present state was put back before, is here again, and nobody allowed it.
fn broken<'a>(input: &Input<'a>) -> Option<&'a BadState> {
    let current = input.record.current.as_ref()?;
    let here = current.hash == input.seen.hash && !current.allowed;
    let mut bad = input.record.bad.iter();
    let bad = bad.find(|bad| here && bad.hash == current.hash && bad.rolled_back && bad.at < current.since)?;
    let locked = bad.until.is_some_and(|until| current.since < until);
    locked.then_some(bad)
}

fn sentence(input: &Input, bad: &BadState) -> String {
    let state = named(&input.seen.hash, &input.seen.images);
    let by = bad
        .incident
        .as_deref()
        .map(|name| format!(", incident {name}"))
        .unwrap_or_default();
    let again = if bad.returned { " twice" } else { "" };
    let at = bad.at.strftime("%Y-%m-%d %H:%M UTC");
    let here = format!("{state} is here again, though it was put back{again} (at {at}{by})");
    format!("{}; {}", although(&here, &bad.pushed), lifted_by(input, &bad.hash))
}

/// What came back although a repository was changed, so that people look whether that is what is applied.
pub fn although(what: &str, pushed: &[String]) -> String {
    match pushed {
        [] => what.to_owned(),
        pushed => format!("{what}, although modosu changed the repository ({})", pushed.join("; ")),
    }
}

fn lifted_by(input: &Input, hash: &str) -> String {
    format!("`modosu allow {} {hash} --reason …` lifts the lock", input.guard)
}

/// Whether an incident was opened because of the lock.
pub fn is_of_lock(spec: &IncidentSpec) -> bool {
    spec.triggers.iter().any(|evidence| evidence.name == RETRY_LOCK)
}

/// What may not return now, in words.
pub fn told(input: &Input, bad: &BadState) -> Option<Happened> {
    let until = bad.until.filter(|until| *until > input.now)?;
    Some(Happened::Locked {
        hash: bad.hash.clone(),
        until,
        lifted_by: lifted_by(input, &bad.hash),
    })
}

/// Follows a person who allows a state to return: it is bad no more, and judged like any change.
pub fn allow(input: &Input, record: &mut Record) -> Option<Happened> {
    let hash = input.allow?;
    let locked: Vec<&str> = input.record.bad.iter().map(|bad| bad.hash.as_str()).collect();
    if !locked.contains(&hash) {
        let known = if locked.is_empty() {
            "no state is".to_owned()
        } else {
            format!("locked: {}", locked.join(", "))
        };
        let because = format!("{hash} is not locked ({known})");
        return Some(Happened::CannotFollow { because });
    }
    record.bad.retain(|bad| bad.hash != hash);
    if let Some(current) = record.current.as_mut().filter(|current| current.hash == hash) {
        current.allowed = true;
    }
    Some(Happened::Allowed { hash: hash.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_returns_names_the_commit_that_did_not_keep_it_away() {
        assert_eq!(although("it is here again", &[]), "it is here again");
        let pushed = ["reverts 8b21 on main of https://a: pushed as 4c0e".to_owned()];
        let said = "it is here again, although modosu changed the repository (reverts 8b21 on main of https://a: pushed as 4c0e)";
        assert_eq!(although("it is here again", &pushed), said);
    }
}
