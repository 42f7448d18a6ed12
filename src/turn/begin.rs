//! IO. A plan before its first action: weighed, made again, and dry-run as a whole.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    act::{ApiError, run},
    decide::{WhyNot, deadlines, plan, plan::scale::SCALE, ready::Answer, stages},
    model::incident::{IncidentStatus, PlannedStep},
    observe::seen::Seen,
};

const NOT_AS_JUDGED: &str = "what runs is not what was judged";

/// A plan's steps, what they leave as it is, and why it does not run by itself; nothing where the watches lag.
pub(super) fn weighed(plan: run::Resolved) -> Option<(Vec<PlannedStep>, Vec<String>, Option<WhyNot>)> {
    match plan {
        run::Resolved::Plan(steps, left) if steps.is_empty() => Some((steps, left, Some(WhyNot::NothingToPutBack))),
        run::Resolved::Plan(steps, left) => Some((steps, left, None)),
        run::Resolved::Impossible(why) => Some((Vec::new(), Vec::new(), Some(WhyNot::NoPlan(why)))),
        run::Resolved::Changed => None,
    }
}

/// What runs beside what a plan writes.
fn beside(steps: &[PlannedStep], seen: &Seen) -> BTreeMap<String, String> {
    let writes = |step: &&PlannedStep| step.step != SCALE;
    let written = |target: &String| {
        steps
            .iter()
            .filter(writes)
            .any(|step| step.target.as_ref() == Some(target))
    };
    let parts = seen.parts.iter();
    let parts = parts.map(|(target, hash)| (target.to_string(), hash.clone()));
    parts.filter(|(target, _)| !written(target)).collect()
}

/// Before its first action a plan is made again, must be the recorded one, and is dry-run as a whole; later stages of it, which
/// find what earlier ones left, before their own first action. `Some`: it ends here.
pub(super) async fn begin(
    runner: &run::Run<'_>,
    status: &mut IncidentStatus,
    seen: &Seen,
    now: Timestamp,
) -> Result<Option<run::Progress>, ApiError> {
    if status.journal.iter().any(|entry| entry.seq > status.plan_from) {
        return if status.stage().is_none() || status.is_under_way() {
            Ok(None)
        } else {
            rehearsed(runner, status, now).await
        };
    }
    if runner.found.answer(status.plan_hash.as_ref()).is_some() {
        // It was made right now.
        status.beside = beside(&status.plan, seen);
        return rehearsed(runner, status, now).await;
    }
    // Pods that an earlier attempt restarted must restart once more.
    let again = status.acting_since.filter(|_| status.plan_from > 0);
    let restored_at = again.unwrap_or(runner.spec.opened_at);
    let (steps, left) = match runner.resolve(seen, restored_at, &status.plan).await? {
        run::Resolved::Plan(steps, left) => (steps, left),
        run::Resolved::Impossible(why) => return Ok(Some(run::Progress::Impossible(why))),
        run::Resolved::Changed => return Ok(Some(run::Progress::Waiting(NOT_AS_JUDGED.to_owned()))),
    };
    if steps.is_empty() {
        return Ok(Some(run::Progress::Impossible(WhyNot::NothingToPutBack.to_string())));
    }
    let hash = plan::hash(&steps);
    status.beside = beside(&steps, seen);
    if status.plan_hash.as_ref() != Some(&hash) {
        status.not_restored = left;
    }
    let recorded = status.plan_hash.replace(hash.clone());
    status.plan = steps;
    if recorded.is_some_and(|recorded| recorded != hash) {
        // What a person may allow is recorded with the escalation.
        return Ok(Some(run::Progress::NotAsRecorded));
    }
    rehearsed(runner, status, now).await
}

/// What is to be carried out now is dry-run.
async fn rehearsed(
    runner: &run::Run<'_>,
    status: &mut IncidentStatus,
    now: Timestamp,
) -> Result<Option<run::Progress>, ApiError> {
    if stages::is_idle(status) {
        return Ok(Some(run::Progress::Idle));
    }
    let answer = match runner.found.answer(status.plan_hash.as_ref()) {
        Some(answer) => answer,
        None => runner.rehearse(status).await?,
    };
    Ok(match answer {
        Answer::Accepted | Answer::Unsupported(_) => None,
        Answer::Changed => Some(run::Progress::Waiting(NOT_AS_JUDGED.to_owned())),
        Answer::Unanswered(why) => Some(run::Progress::Waiting(why)),
        Answer::Refused { words, .. } => {
            deadlines::note(status, now, format!("dry run: {words}"));
            let why = format!("the API server would refuse it, nothing was written: {words}");
            Some(run::Progress::Failed(why))
        }
    })
}
