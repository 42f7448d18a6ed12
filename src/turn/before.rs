//! IO. Checks before the first write that ask somebody: sent right before the plan would begin, answered in a later turn.

use std::time::Duration;

use super::{Shared, case::OpenCase};
use crate::{
    act::asks::Asked,
    decide::before,
    judge::policy::{Before, BeforeCheck, Policy},
};

/// All of them together take no longer.
const WITHIN: Duration = Duration::from_secs(30);

/// What the checks say of a plan.
pub(super) enum Says {
    GoOn,
    /// Not all are answered.
    Wait,
    /// The status says why; that is decided on.
    Stop,
}

/// Asks, once for every attempt, and hears what was answered.
pub(super) fn says(shared: &Shared<'_>, policy: &Policy, namespace: &str, case: &mut OpenCase) -> Says {
    let status = &case.status;
    if policy.before.is_empty() || status.before.is_some() || before::begun(status) {
        return Says::GoOn;
    }
    let attempt = status.acting_since.unwrap_or(case.spec.opened_at);
    let checks = policy.before.iter().enumerate();
    let answers: Vec<Asked> = checks
        .map(|(place, check)| {
            let key = (case.at.uid.clone(), format!("before {place} {attempt}"));
            answer(shared, namespace, check, key)
        })
        .collect();
    if answers.contains(&Asked::UnderWay) {
        return Says::Wait;
    }
    let failed = answers.into_iter().find_map(|answer| match answer {
        Asked::Answered(Err(why)) => Some(why),
        Asked::Answered(Ok(_)) | Asked::UnderWay | Asked::Never => None,
    });
    let now = shared.clock.now();
    match failed {
        Some(why) => {
            before::failed(&mut case.status, now, why);
            Says::Stop
        }
        None => {
            before::held(&mut case.status, now);
            Says::GoOn
        }
    }
}

/// Conditions are decided on before.
fn answer(shared: &Shared<'_>, namespace: &str, check: &Before, key: (String, String)) -> Asked {
    let BeforeCheck::Http(asked) = &check.check else {
        return Asked::Answered(Ok(String::new()));
    };
    match shared.api.asks.of(&key) {
        Asked::Never => {
            shared.api.asks.send(key, namespace, asked, WITHIN);
            Asked::UnderWay
        }
        Asked::Answered(Err(why)) => Asked::Answered(Err(format!("`{}` failed: {why}", check.name))),
        known @ (Asked::Answered(Ok(_)) | Asked::UnderWay) => known,
    }
}
