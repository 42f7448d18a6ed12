//! Pure. What it means that it helped: how long it took, what stays locked, and what was not to blame after all.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use jiff::Timestamp;

use super::{Case, Happened, Input, Step, asking, between, lock, progress::end, stages};
use crate::{
    model::{
        guard::Recovery,
        incident::{IncidentState, IncidentStatus, Timings},
    },
    verify,
};

pub fn recover(input: &Input, case: Case, status: &mut IncidentStatus, step: &mut Step) {
    unmark(case, status, step);
    let mut bad = step.record.bad.iter();
    let locked = bad.find(|bad| bad.hash == case.spec.bad.hash && bad.rolled_back);
    let locked = locked.and_then(|bad| lock::told(input, bad));
    let after = whole_seconds(between(case.spec.first_bad_at, input.now));
    status.recovered_at = Some(input.now);
    status.timings = Some(timings(input, case, status));
    if verify::may_have_written(status) {
        step.record.recovered = Some(Recovery {
            incident: case.name.to_owned(),
            hash: input.seen.hash.clone(),
            at: input.now,
        });
    }
    let mut failed = stages::unproven(status);
    failed.extend(status.failed_steps());
    end(
        status,
        IncidentState::Recovered,
        input,
        Happened::Recovered { after, failed },
        step,
    );
    step.happened.extend(locked);
}

/// It is watched more closely for so long after it recovered: what hurts again is a relapse, and for people at once.
pub const RELAPSE: Duration = Duration::from_secs(3600);

/// The incident of which this would be a relapse: what was put back then hurts again.
pub fn relapse_of<'a>(input: &Input<'a>) -> Option<&'a str> {
    let last = input.record.recovered.as_ref()?;
    let current = input.record.current.as_ref()?;
    // What somebody else changed on the way back is judged like any change.
    let same = last.hash == current.hash && !current.change && between(last.at, input.now) < RELAPSE;
    same.then_some(&last.incident)
}

/// It is marked before the first write: where nothing was written after all it is not bad.
pub fn unmark(case: Case, status: &IncidentStatus, step: &mut Step) {
    if !verify::may_have_written(status) {
        let own = |incident: &Option<String>| incident.as_deref() == Some(case.name);
        step.record
            .bad
            .retain(|bad| bad.hash != case.spec.bad.hash || !own(&bad.incident));
    }
}

/// How long each part took.
pub fn timings(input: &Input, case: Case, status: &IncidentStatus) -> Timings {
    let words =
        |from: Timestamp, to: Timestamp| Some(humantime::format_duration(whole_seconds(between(from, to))).to_string());
    let spec = case.spec;
    // Whenever the plan asked somebody: told as if it had been before it began.
    let acting = status
        .acting_since
        .map(|acting| acting + asking::waited(status, input.now) + stages::waited(status, input.now));
    Timings {
        detected: words(spec.first_bad_at, spec.opened_at),
        waited_for_people: acting.and_then(|acting| words(spec.opened_at, acting)),
        restored: acting
            .zip(status.rolled_out_at)
            .and_then(|(acting, out)| words(acting, out)),
        proven: status.rolled_out_at.and_then(|out| words(out, input.now)),
    }
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}
