//! Pure. What it means that it helped: how long it took, what stays locked, and what was not to blame after all.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use jiff::Timestamp;

use super::{Case, Happened, Input, Step, between, lock, progress::end};
use crate::{
    model::incident::{IncidentState, IncidentStatus, Timings},
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
    let failed = status.failed_steps();
    end(
        status,
        IncidentState::Recovered,
        input,
        Happened::Recovered { after, failed },
        step,
    );
    step.happened.extend(locked);
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
    Timings {
        detected: words(spec.first_bad_at, spec.opened_at),
        waited_for_people: status.acting_since.and_then(|acting| words(spec.opened_at, acting)),
        restored: status
            .acting_since
            .zip(status.rolled_out_at)
            .and_then(|(acting, out)| words(acting, out)),
        proven: status.rolled_out_at.and_then(|out| words(out, input.now)),
    }
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}
