//! Pure. What can be wrong with the checks before the first write.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use super::{
    Before, BeforeCheck, Mistake, Signal,
    compile::condition,
    steps::{NO_JOBS, request, template},
};
use crate::{
    model::{
        guard::{Check, Rollback},
        units::Length,
    },
    report::mask::mask_line,
};

const AT: &str = "spec.rollback.before";

/// What must hold before anything is written.
pub fn before(rollback: &Rollback, signals: &[Signal], mistakes: &mut Vec<Mistake>) -> Vec<Before> {
    let mut compiled = Vec::new();
    for (place, check) in rollback.before.iter().enumerate() {
        let path = format!("{AT}[{place}]");
        let (name, checked) = match (&check.condition, &check.http, &check.job) {
            (Some(text), None, None) => {
                let compiled = condition(&format!("{path}.condition"), text, signals, mistakes);
                (text.clone(), compiled.map(BeforeCheck::Condition))
            }
            (None, Some(asked), None) => {
                request(&format!("{path}.http"), asked, mistakes);
                let (method, url) = asked.request();
                (
                    mask_line(&format!("{} {url}", method.name())),
                    Some(BeforeCheck::Http(asked.clone())),
                )
            }
            (None, None, Some(job)) => {
                template(&format!("{path}.job"), job, mistakes);
                let mut earlier = rollback.before.iter().take(place);
                if earlier.any(|earlier| earlier.job.as_ref() == Some(job)) {
                    let wrong = "is the Job of another check already, and runs once: leave one out";
                    mistakes.push(Mistake::new(format!("{path}.job"), wrong));
                }
                let (job, timeout) = (job.clone(), check.timeout().0);
                (
                    format!("{} {}", job.from, job.key),
                    Some(BeforeCheck::Job { job, timeout }),
                )
            }
            _ => {
                let wrong = "a check is exactly one of condition, http, job";
                mistakes.push(Mistake::new(&path, wrong));
                continue;
            }
        };
        if check.timeout.is_some() && check.job.is_none() {
            mistakes.push(Mistake::new(format!("{path}.timeout"), "only a job has a timeout"));
        }
        let name = check.name.clone().unwrap_or(name);
        compiled.extend(checked.map(|check| Before { name, check }));
    }
    times(rollback, mistakes);
    compiled
}

/// The Jobs run one after the other, while the plan's clock runs.
fn times(rollback: &Rollback, mistakes: &mut Vec<Mistake>) {
    let jobs = || {
        rollback
            .before
            .iter()
            .enumerate()
            .filter(|(_, check)| check.job.is_some())
    };
    for (place, _) in jobs().filter(|(_, check)| check.timeout().0.is_zero()) {
        let wrong = "must be longer than nothing, such as `5m`";
        mistakes.push(Mistake::new(format!("{AT}[{place}].timeout"), wrong));
    }
    let together: Duration = jobs().map(|(_, check)| check.timeout().0).sum();
    let (whose, within) = match rollback.stages.first() {
        Some(stage) => (format!("stage {}", stage.name), stage.within),
        None => ("the rollback".to_owned(), rollback.within),
    };
    if jobs().next().is_some() && together >= within.0 {
        let together = Length(together);
        let wrong = format!(
            "its Jobs may take {together}, and {whose} is over after {within}: give each a shorter `timeout` (default: 5m)"
        );
        mistakes.push(Mistake::new(AT, wrong));
    }
}

/// Checks that the daemon's settings do not allow: they fail, and people decide.
pub fn forbidden_checks(checks: &[Check], job: bool) -> Vec<Mistake> {
    let checks = checks.iter().enumerate();
    let wrong = checks.filter(|(_, check)| check.job.is_some() && !job);
    wrong
        .map(|(place, _)| Mistake::new(format!("{AT}[{place}].job"), NO_JOBS))
        .collect()
}
