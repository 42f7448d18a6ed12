//! IO. Checks before the first write that ask somebody: sent right before the plan would begin.

use std::time::Duration;

use futures::future::join_all;

use super::Shared;
use crate::{
    decide::before,
    judge::policy::{Before, BeforeCheck, Policy},
    model::incident::IncidentStatus,
};

/// All of them together take no longer.
const WITHIN: Duration = Duration::from_secs(30);

/// Gives whether the plan may go on; where not, the status says why, and that is decided on.
pub(super) async fn lets_go_on(shared: &Shared<'_>, policy: &Policy, status: &mut IncidentStatus) -> bool {
    if policy.before.is_empty() || status.before.is_some() || before::begun(status) {
        return true;
    }
    let asked = policy.before.iter().map(|check| ask(shared, check));
    let failed = join_all(asked).await.into_iter().find_map(Result::err);
    let now = shared.clock.now();
    match failed {
        Some(why) => before::failed(status, now, why),
        None => before::held(status, now),
    }
    status.before.as_ref().is_none_or(|before| before.output.is_none())
}

async fn ask(shared: &Shared<'_>, check: &Before) -> Result<(), String> {
    match &check.check {
        BeforeCheck::Condition(_) => Ok(()),
        BeforeCheck::Http(asked) => {
            let answer = shared.api.http.ask(asked, WITHIN).await;
            answer
                .map(drop)
                .map_err(|why| format!("`{}` failed: {why}", check.name))
        }
    }
}
