//! IO. Checks before the first write that ask somebody: sent right before the plan would begin, answered in a later turn. Jobs
//! are made when all the others hold, one after the other.

use std::time::Duration;

use super::Shared;
use crate::{
    act::{
        ApiError,
        asks::Asked,
        run::{Checking, Journal, Run},
    },
    decide::before,
    judge::policy::{Before, BeforeCheck, NO_JOBS},
};

/// All requests together take no longer.
const WITHIN: Duration = Duration::from_secs(30);

/// What the checks say of a plan.
pub(super) enum Says {
    GoOn,
    /// Not all are answered: what is waited for.
    Wait(String),
    /// The status says why; that is decided on.
    Stop,
    /// Somebody stopped modosu.
    Frozen(String),
}

enum Answer {
    Holds,
    Wait(String),
    Failed(String),
    Frozen(String),
}

/// Asks, once for every attempt, and hears what was answered.
pub(super) async fn says(shared: &Shared<'_>, runner: &Run<'_>, status: &mut Journal<'_>) -> Result<Says, ApiError> {
    if runner.policy.before.is_empty() || status.before.is_some() || before::begun(status) {
        return Ok(Says::GoOn);
    }
    let answer = match asked(shared, runner, status) {
        Answer::Holds => jobs(runner, status).await?,
        other @ (Answer::Wait(_) | Answer::Failed(_) | Answer::Frozen(_)) => other,
    };
    let now = shared.clock.now();
    Ok(match answer {
        Answer::Holds => {
            before::held(status, now);
            Says::GoOn
        }
        Answer::Failed(why) => {
            before::failed(status, now, why);
            Says::Stop
        }
        Answer::Wait(why) => Says::Wait(why),
        Answer::Frozen(why) => Says::Frozen(why),
    })
}

/// The requests, all at the same time. Conditions are decided on before.
fn asked(shared: &Shared<'_>, runner: &Run<'_>, status: &Journal<'_>) -> Answer {
    let attempt = status.acting_since.unwrap_or(runner.spec.opened_at);
    let checks = runner.policy.before.iter().enumerate();
    let answers: Vec<Asked> = checks
        .map(|(place, check)| {
            let key = (runner.at.uid.clone(), format!("before {place} {attempt}"));
            answer(shared, runner.namespace, check, key)
        })
        .collect();
    if answers.contains(&Asked::UnderWay) {
        return Answer::Wait("the checks before the first write are awaited".to_owned());
    }
    let failed = answers.into_iter().find_map(|answer| match answer {
        Asked::Answered(Err(why)) => Some(why),
        Asked::Answered(Ok(_)) | Asked::UnderWay | Asked::Never => None,
    });
    failed.map_or(Answer::Holds, Answer::Failed)
}

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

/// The first Job that does not hold yet.
async fn jobs(runner: &Run<'_>, status: &mut Journal<'_>) -> Result<Answer, ApiError> {
    let policy = runner.policy;
    for (name, job, timeout) in policy.before_jobs() {
        if !policy.jobs {
            return Ok(Answer::Failed(format!("`{name}` cannot be asked: {NO_JOBS}")));
        }
        match runner.check(name, job, timeout, status).await? {
            Checking::Holds => {}
            Checking::Waiting(why) => {
                return Ok(Answer::Wait(format!(
                    "the check `{name}` before the first write: {why}"
                )));
            }
            Checking::Failed(why) => return Ok(Answer::Failed(format!("`{name}` failed: {why}"))),
            Checking::Frozen(why) => return Ok(Answer::Frozen(why)),
        }
    }
    Ok(Answer::Holds)
}
