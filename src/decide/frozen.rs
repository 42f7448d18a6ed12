//! Pure. While a guard is frozen nothing is put back; when that ends, nothing fires in retrospect.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Act, Happened, Input, Step};

/// Takes note of a freeze that begins, is another one now, or ends. Gives whether one ended: what is judged begins anew, and
/// a change that came meanwhile begins its probation now.
pub fn follow(input: &Input, step: &mut Step) -> bool {
    let known = input.record.freeze.as_ref();
    if known == input.freeze {
        return false;
    }
    step.record.freeze = input.freeze.cloned();
    if let Some(freeze) = input.freeze {
        step.record.frozen_since.get_or_insert(input.now);
        step.happened.push(Happened::Frozen(freeze.clone()));
        return false;
    }
    let since = step.record.frozen_since.take();
    step.record.thawed_at = Some(input.now);
    let came_meanwhile = |at| since.is_some_and(|since| at >= since);
    if let Some(current) = step
        .record
        .current
        .as_mut()
        .filter(|current| came_meanwhile(current.since))
    {
        current.since = input.now;
    }
    step.happened.push(Happened::Thawed);
    step.actions.push(Act::Begin { since: input.now });
    true
}
