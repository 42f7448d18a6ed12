//! IO. The last look before a write: whether somebody stopped modosu, or brought a newer state of what the plan is about.

use std::collections::BTreeMap;

use super::{ApiError, Run, StepEnd};
use crate::{
    act::{
        frozen::{self, Places},
        target,
    },
    decide::plan::{self, scale::SCALE},
    model::{
        guard::TargetRef,
        incident::{IncidentStatus, PlannedStep},
    },
};

impl Run<'_> {
    /// Why nothing may be written now, also where that cannot be known. The step's own target the write itself tests.
    pub(super) async fn stopped(&self, planned: &PlannedStep, status: &IncidentStatus) -> Option<StepEnd> {
        let others: Vec<(TargetRef, Judged)> = judged(status)
            .into_iter()
            .filter(|(target, _)| planned.target.as_ref() != Some(target))
            .filter_map(|(target, judged)| Some((target.parse().ok()?, judged)))
            .collect();
        let guarded = self.guard.spec.targets.iter();
        let workloads = guarded.filter(|target| target.kind.is_workload());
        let mut targets: Vec<TargetRef> = workloads
            .chain(others.iter().map(|(target, _)| target))
            .cloned()
            .collect();
        targets.sort();
        targets.dedup();
        let places = Places {
            namespace: self.namespace,
            guard: self.guard,
            targets,
            windows: self.windows,
            incident: &self.at.name,
            followed: status.decided.as_ref(),
            own: status.freeze.as_ref(),
        };
        let now = match frozen::now(self.api, self.clock, &places).await {
            Ok(now) => now,
            // Of a guard that is gone the incident is closed.
            Err(ApiError::Unsure(why) | ApiError::NotFound(why)) => return Some(StepEnd::Waiting(why)),
            Err(why) => {
                let words = format!("cannot see whether it is frozen or a newer rollout came: {why}");
                return Some(StepEnd::Failed(words));
            }
        };
        if let Some(freeze) = now.freeze {
            return Some(StepEnd::Frozen(freeze.to_string()));
        }
        // What stands in another target of the plan, or beside the plan, that was not judged.
        let mut newer = others
            .iter()
            .filter_map(|(target, judged)| judged.other(target, now.reads.get(target)));
        let newer = newer.next().map(StepEnd::Superseded);
        self.found.keep(now.reads);
        newer
    }
}

/// What an object may be now.
#[derive(Default)]
struct Judged<'a> {
    contents: Vec<&'a str>,
    uid: Option<&'a str>,
}

impl Judged<'_> {
    fn other(&self, target: &TargetRef, read: Option<&target::Read>) -> Option<String> {
        let uid = read.and_then(|read| read.object.metadata.uid.as_deref());
        let now = read.map_or_else(|| plan::ABSENT.to_owned(), |read| read.content.hash());
        let same_object = uid.is_none() || self.uid.is_none() || uid == self.uid;
        let is_judged = self.contents.contains(&now.as_str()) && same_object;
        (!is_judged).then(|| format!("{target} carries {now}, which was not judged"))
    }
}

/// Every object that the plan writes, and those that ran beside it when it began.
fn judged(status: &IncidentStatus) -> Vec<(String, Judged<'_>)> {
    let mut all: Vec<(String, Judged)> = Vec::new();
    for (place, step) in status.plan.iter().enumerate().filter(|(_, step)| step.step != SCALE) {
        let Some(target) = &step.target else { continue };
        let known = all.iter().position(|(known, _)| known == target);
        let at = known.unwrap_or_else(|| {
            all.push((target.clone(), Judged::default()));
            all.len() - 1
        });
        let Some((_, judged)) = all.get_mut(at) else { continue };
        judged.uid = step.uid.as_deref();
        match status.receipt_of(place).and_then(|entry| entry.receipt.as_deref()) {
            Some("done" | "already") => judged.contents = step.to.as_deref().into_iter().collect(),
            Some(_) | None => judged
                .contents
                .extend(step.from.iter().chain(&step.to).map(String::as_str)),
        }
    }
    let beside = status.beside.iter().map(|(target, hash)| {
        let contents = vec![hash.as_str()];
        (target.clone(), Judged { contents, uid: None })
    });
    all.extend(beside);
    all
}

/// By target: what earlier stages left there. A step of theirs that was not carried out left what it found.
pub type Earlier = BTreeMap<String, Vec<String>>;

/// What the stages before the present one left.
pub fn earlier(status: &IncidentStatus) -> Earlier {
    let mut left = Earlier::new();
    let steps = status.plan.iter().enumerate().filter(|(_, step)| step.step != SCALE);
    let before = steps.filter(|(_, step)| status.has_begun(step) && !status.is_present(step));
    for (place, step) in before {
        let Some(target) = &step.target else { continue };
        let contents = left.entry(target.clone()).or_default();
        match status.receipt_of(place).and_then(|entry| entry.receipt.as_deref()) {
            Some("done" | "already") => *contents = step.to.iter().cloned().collect(),
            Some(_) | None => contents.extend(step.from.iter().chain(&step.to).cloned()),
        }
    }
    left
}

/// What stands there, if it is neither what was judged nor what the step makes of it, nor what an earlier stage left.
pub fn foreign(
    planned: &PlannedStep,
    target: &TargetRef,
    read: Option<&target::Read>,
    earlier: &Earlier,
) -> Option<String> {
    let left = earlier.get(&target.to_string()).into_iter().flatten();
    let contents = planned.from.iter().chain(&planned.to).chain(left).map(String::as_str);
    let judged = Judged {
        contents: contents.collect(),
        uid: planned.uid.as_deref(),
    };
    judged.other(target, read)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_earlier_stage_left_is_what_it_wrote_or_what_it_found() {
        let left = |receipt: &str| {
            let step = |stage: &str, from: &str, to: &str| json!({"step": "restore", "stage": stage, "target": "Deployment/orders", "from": from, "to": to});
            let stage = |name: &str, state: &str| json!({"name": name, "state": state, "within": "5m"});
            let status = json!({
                "plan": [step("flag-off", "bad", "off"), step("revert", "off", "good")],
                "stages": [stage("flag-off", "Failed"), stage("revert", "Running")],
                "journal": [{"seq": 1, "at": "2026-03-01T10:00:00Z", "receipt": receipt}],
            });
            let status: IncidentStatus = serde_json::from_value(status).unwrap();
            earlier(&status)["Deployment/orders"].clone()
        };
        assert_eq!(left("done"), ["off"]);
        assert_eq!(left("failed"), ["bad", "off"], "it may still be what was judged");
    }
}
