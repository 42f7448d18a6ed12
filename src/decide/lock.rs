//! Pure. The retry lock: what was put back once may not return for a while. If it does, it is put back once more, without
//! waiting until it hurts; after that people decide. Whoever wants it back says so (`modosu allow`).
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use jiff::Timestamp;

use super::{
    Case, Happened, Input, Record,
    fields::{is_back, is_named},
    happened::named,
};
use crate::{
    judge::{Verdict, hard_fact, policy::Policy},
    model::{
        guard::{Action, BadState, Changed, GuardStatus},
        incident::IncidentSpec,
    },
};

/// Its name among the hard facts of an incident.
pub const RETRY_LOCK: &str = "retry_lock";
/// So many changed fields of a state are remembered.
const KEPT: usize = 40;
/// So many of them are told.
const LISTED: usize = 3;

/// What returned of a state that was put back.
struct Broken<'a> {
    bad: &'a BadState,
    /// Only these of its fields; none: all of it.
    back: Vec<&'a Changed>,
}

/// The verdict with the lock that the present state breaks, if it breaks one.
pub fn verdict(input: &Input) -> Option<Verdict> {
    let broken = broken(input)?;
    let named = |changed: &&Changed| is_named(changed, &input.policy.lock_fields);
    let alone = broken.back.is_empty() || broken.back.iter().any(named);
    let action = if alone && !broken.bad.returned {
        Action::AutomaticRollback
    } else {
        Action::AlertAndManualReview
    };
    let since = input.record.current.as_ref().map(|current| current.since);
    let finding = hard_fact(input.policy, RETRY_LOCK, action, sentence(input, &broken), since);
    let mut verdict = input.verdict.clone();
    verdict.firing.insert(0, finding);
    Some(verdict)
}

/// The incident in which it was put back.
pub fn return_of(input: &Input) -> Option<String> {
    broken(input)?.bad.incident.clone()
}

/// Whether what the present state holds is to be known: some of what was put back may be in it.
pub fn asks_for_fields(record: &GuardStatus, now: Timestamp) -> bool {
    let held = |bad: &BadState| !bad.changed.is_empty() && bad.until.is_some_and(|until| now < until);
    record.bad.iter().any(held)
}

/// The present state was put back before, or some of what it was put back for is in it, and nobody allowed it.
fn broken<'a>(input: &Input<'a>) -> Option<Broken<'a>> {
    let current = input.record.current.as_ref()?;
    if current.hash != input.seen.hash || current.allowed {
        return None;
    }
    let before = |bad: &&BadState| bad.rolled_back && bad.at < current.since;
    let locked = |bad: &&BadState| before(bad) && bad.until.is_some_and(|until| current.since < until);
    let mut all = input.record.bad.iter().filter(locked);
    if let Some(bad) = all.clone().find(|bad| bad.hash == current.hash) {
        return Some(Broken { bad, back: Vec::new() });
    }
    // What modosu put there by its own plan, and what is proven, returns nothing.
    let fields = input.fields.filter(|_| current.change && !current.proven)?;
    all.find_map(|bad| {
        let back = bad.changed.iter().filter(|changed| is_back(changed, fields));
        let back: Vec<&Changed> = back.collect();
        (!back.is_empty()).then_some(Broken { bad, back })
    })
}

fn sentence(input: &Input, broken: &Broken) -> String {
    let bad = broken.bad;
    let state = named(&input.seen.hash, &input.seen.images);
    let by = bad
        .incident
        .as_deref()
        .map(|name| format!(", incident {name}"))
        .unwrap_or_default();
    let again = if bad.returned { " twice" } else { "" };
    let at = bad.at.strftime("%Y-%m-%d %H:%M UTC");
    let here = match broken.back.as_slice() {
        [] => format!("{state} is here again, though it was put back{again} (at {at}{by})"),
        back => format!(
            "{state} brings back some of what was put back{again} with {} (at {at}{by}): {}",
            bad.hash,
            listed(back)
        ),
    };
    format!("{}; {}", although(&here, &bad.pushed), lifted_by(input, &bad.hash))
}

/// The first few of them.
fn listed(back: &[&Changed]) -> String {
    let words = back.iter().take(LISTED);
    let words: Vec<String> = words.map(|one| format!("{} of {}", one.field, one.target)).collect();
    let more = back.len().saturating_sub(LISTED);
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    format!("{}{more}", words.join(", "))
}

/// A state is rolled back from: it may not return for a while, and where this is such a return, next time people decide. What
/// is locked no more is forgotten.
pub fn hold(bad: &mut [BadState], case: Case, policy: &Policy, now: Timestamp) {
    let status = case.status;
    let of_lock = is_of_lock(case.spec);
    for bad in bad {
        if bad.hash == case.spec.bad.hash {
            bad.rolled_back = true;
            bad.at = now;
            bad.until = now.checked_add(policy.retry_lock).ok();
            bad.returned |= of_lock;
            bad.pushed = status.pushed();
        } else if of_lock && bad.incident.is_some() && bad.incident == status.return_of {
            bad.returned = true;
        }
        if bad.until.is_none_or(|until| until < now) {
            bad.changed.clear();
        }
    }
}

/// What was written runs: only now what it put back is gone, and can return.
pub fn remember(bad: &mut [BadState], case: Case) {
    let status = case.status;
    for bad in bad.iter_mut().filter(|bad| bad.hash == case.spec.bad.hash) {
        let put_back = status.plan.iter().filter(|step| status.has_begun(step));
        let changed = put_back.flat_map(|step| &step.changed).cloned();
        bad.changed = changed.take(KEPT).collect();
    }
}

/// A state is proven: what it holds is not to blame.
pub fn clear(input: &Input, record: &mut Record) {
    let Some(fields) = input.fields else { return };
    let proven = |changed: &Changed| is_back(changed, fields);
    if record.bad.iter().any(|bad| bad.changed.iter().any(proven)) {
        for bad in &mut record.bad {
            bad.changed.retain(|changed| !proven(changed));
        }
    }
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
