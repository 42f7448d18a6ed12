//! Pure. What the person who decides weighs, side by side: how bad, how sure, what else is bad; to fix it against to put
//! it back. What is not known is said to be so, never 0.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use super::{
    board::Shown,
    mask::{mask_line, mask_text},
    view::{GuardView, IncidentLine},
    words,
};
use crate::{
    judge::words::odds as odds_words,
    model::incident::{Fix, Harm, Incident, IncidentStatus},
};

/// Said where there is no number.
const NOT_KNOWN: &str = "not known";

/// As an incident's JSON gives it under `weighing`.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Weighing {
    pub how_bad: HowBad,
    pub how_sure: Vec<HowSure>,
    /// Open incidents of other guards.
    pub also_bad: Vec<IncidentLine>,
    /// As people said; null: nobody did.
    pub time_to_fix: Option<Fix>,
    pub time_to_roll_back: RollBackTime,
    pub undone: Vec<Undone>,
    /// What a rollback leaves as it is, and why.
    pub stays_as_it_is: Vec<String>,
    /// What other tools will do to what is put back.
    pub other_tools: Vec<String>,
}

/// Since the first bad reading.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HowBad {
    pub since: Timestamp,
    /// What was counted, and from when to when: after a restart of modosu less than since `since`.
    pub counted: Option<Harm>,
    pub failed_per_minute: Option<f64>,
    /// The guard's own words.
    pub impact_per_minute: Option<String>,
}

/// What one trigger rests on.
#[derive(Serialize, Clone, Debug, PartialEq)]
pub struct HowSure {
    pub trigger: String,
    /// So many to one against chance, where counts tell.
    pub odds: Option<f64>,
    pub readings: Option<u32>,
    pub requests: Option<u64>,
}

/// How long it takes to put it back, and how that is known.
#[derive(Serialize, Clone, Debug, PartialEq)]
pub struct RollBackTime {
    pub seconds: Option<u64>,
    /// For people: where the number comes from.
    pub from: String,
}

/// One object that the plan changes.
#[derive(Serialize, Clone, Debug, PartialEq)]
pub struct Undone {
    pub target: String,
    pub from: Option<String>,
    pub to: Option<String>,
    pub diff: Option<String>,
}

impl Weighing {
    pub fn new(shown: &Shown, incident: &Incident) -> Self {
        let namespace = incident.namespace().unwrap_or_default();
        let guard = shown.status.guard(&namespace, &incident.spec.guard);
        let empty = IncidentStatus::default();
        let status = incident.status.as_ref().unwrap_or(&empty);
        let others = shown.status.incidents.iter();
        let same = |line: &IncidentLine| line.namespace == namespace && line.guard == incident.spec.guard;
        Self {
            how_bad: HowBad::new(incident, status, guard),
            how_sure: incident.evidence().map(HowSure::from).collect(),
            also_bad: others
                .filter(|line| line.state.is_open() && !same(line))
                .cloned()
                .collect(),
            time_to_fix: status.fix.clone(),
            time_to_roll_back: RollBackTime::new(shown, incident, guard),
            undone: undone(status),
            other_tools: status.other_tools.clone(),
            stays_as_it_is: status.not_restored.iter().map(|line| mask_line(line)).collect(),
        }
    }
}

impl HowBad {
    fn new(incident: &Incident, status: &IncidentStatus, guard: Option<&GuardView>) -> Self {
        let own = guard.filter(|guard| guard.incident.as_deref() == Some(incident.name_any().as_str()));
        let live = own
            .and_then(|guard| guard.harm)
            .filter(|_| status.rolled_out_at.is_none());
        // After a restart what was written may reach back farther.
        let counted = match (live, status.harm) {
            (Some(live), Some(written)) if written.failed > live.failed => Some(written),
            (live, written) => live.or(written),
        };
        Self {
            since: incident.spec.first_bad_at,
            counted,
            failed_per_minute: counted.and_then(per_minute),
            impact_per_minute: guard.and_then(|guard| guard.impact_per_minute.clone()),
        }
    }

    /// `1,240 of 4,000 requests failed (310 per minute); about 40 orders per minute`.
    pub fn told(&self, now: Timestamp) -> String {
        let counted = match self.counted {
            None => format!("how many requests failed: {NOT_KNOWN}"),
            Some(harm) => {
                let late = harm.since.duration_since(self.since).as_secs() > 60;
                let since = late.then(|| format!(" since {}; before that: {NOT_KNOWN}", words::clock(harm.since, now)));
                let rate = self.failed_per_minute.map_or_else(
                    || format!("per minute: {NOT_KNOWN}"),
                    |rate| format!("{rate:.0} per minute"),
                );
                let since = since.unwrap_or_default();
                format!("{} of {} requests failed{since} ({rate})", harm.failed, harm.requests)
            }
        };
        match &self.impact_per_minute {
            Some(impact) => format!("{counted}. The guard says, per minute: {impact}"),
            None => counted,
        }
    }
}

fn per_minute(harm: Harm) -> Option<f64> {
    let counted = harm.counted.0.as_secs_f64();
    let failed = f64::from(u32::try_from(harm.failed).ok()?);
    (counted >= 1.0).then(|| failed * 60.0 / counted)
}

impl From<&crate::model::incident::Evidence> for HowSure {
    fn from(evidence: &crate::model::incident::Evidence) -> Self {
        Self {
            trigger: evidence.name.clone(),
            odds: evidence.odds,
            readings: evidence.readings,
            requests: evidence.requests,
        }
    }
}

impl HowSure {
    /// `error rate rose: 3 readings, 412 requests, odds 12,000 : 1`.
    pub fn told(&self) -> String {
        let parts = [
            self.readings
                .map(|n| words::counted(usize::try_from(n).unwrap_or(usize::MAX), "reading")),
            self.requests
                .map(|n| words::counted(usize::try_from(n).unwrap_or(usize::MAX), "request")),
            self.odds.map(|odds| format!("odds {}", odds_words(odds))),
        ];
        let known: Vec<String> = parts.into_iter().flatten().collect();
        let said = if known.is_empty() {
            "a fact of the cluster, no statistics".to_owned()
        } else {
            known.join(", ")
        };
        format!("{}: {said}", self.trigger)
    }
}

impl RollBackTime {
    /// The last rollback of this guard that helped; else its last roll-out; else not known.
    fn new(shown: &Shown, incident: &Incident, guard: Option<&GuardView>) -> Self {
        let namespace = incident.namespace();
        let same = |other: &&Incident| {
            other.namespace() == namespace
                && other.spec.guard == incident.spec.guard
                && other.name_any() != incident.name_any()
        };
        let restored = |other: &Incident| {
            let status = other.status.as_ref()?;
            let took = status.timings.as_ref()?.restored.as_deref()?;
            Some((
                status.closed_at?,
                humantime::parse_duration(took).ok()?,
                other.name_any(),
            ))
        };
        let all = shown.incidents.values().map(AsRef::as_ref).filter(same);
        let last = all.filter_map(restored).max_by_key(|(at, ..)| *at);
        let seconds = |took: Duration| (Some(took.as_secs()), words::took(took.try_into().unwrap_or_default()));
        let ((seconds, took), from) = match (last, guard.and_then(|guard| guard.roll_out.as_ref())) {
            (Some((at, took, name)), _) => {
                let day = at.strftime("%Y-%m-%d");
                (
                    seconds(took),
                    format!("the rollback of {day} took it (incident {name})"),
                )
            }
            (None, Some(roll_out)) => (
                seconds(roll_out.took.0),
                "no drill yet: estimate from the last roll-out".to_owned(),
            ),
            (None, None) => {
                let from = "not known: no drill, no rollback and no whole roll-out was seen yet";
                return Self {
                    seconds: None,
                    from: from.to_owned(),
                };
            }
        };
        Self {
            seconds,
            from: format!("{from}, {took}"),
        }
    }
}

fn undone(status: &IncidentStatus) -> Vec<Undone> {
    let steps = status.plan.iter().filter_map(|step| Some((step.target.clone()?, step)));
    let undone = |(target, step): (String, &crate::model::incident::PlannedStep)| Undone {
        target,
        from: step.from.clone(),
        to: step.to.clone(),
        diff: step.diff.as_deref().map(mask_text),
    };
    steps.map(undone).collect()
}

/// The same, ready to print.
pub(super) struct Weighed {
    pub how_bad: String,
    pub how_sure: Vec<String>,
    /// Path and words.
    pub also_bad: Vec<(String, String)>,
    pub time_to_fix: String,
    pub time_to_roll_back: String,
    pub undone: String,
    pub stays: Vec<String>,
    pub other_tools: Vec<String>,
    /// Who is asked, and by when.
    pub asked: String,
}

impl Weighed {
    pub fn new(shown: &Shown, incident: &Incident) -> Self {
        let (weighing, now) = (Weighing::new(shown, incident), shown.status.now);
        let fix = weighing.time_to_fix.as_ref().map(|fix| {
            let by = fix.by.as_deref().map(|by| format!(", says {by}")).unwrap_or_default();
            format!("fixed by {}{by}", words::when(fix.ready_at, now))
        });
        let line = |line: &IncidentLine| {
            let path = format!("/incidents/{}/{}", line.namespace, line.name);
            let state = words::incident_state_name(line.state);
            (
                path,
                format!(
                    "{}/{}: {} ({state}, {})",
                    line.namespace,
                    line.guard,
                    mask_line(&line.summary),
                    line.grade
                ),
            )
        };
        let targets: Vec<&str> = weighing.undone.iter().map(|undone| undone.target.as_str()).collect();
        Self {
            how_bad: weighing.how_bad.told(now),
            how_sure: weighing.how_sure.iter().map(HowSure::told).collect(),
            also_bad: weighing.also_bad.iter().map(line).collect(),
            time_to_fix: fix.unwrap_or_else(|| format!("{NOT_KNOWN}: nobody entered `fixEta` yet")),
            time_to_roll_back: weighing.time_to_roll_back.from,
            undone: if targets.is_empty() {
                "nothing".to_owned()
            } else {
                format!("{} (the plan below)", targets.join(", "))
            },
            stays: weighing.stays_as_it_is,
            other_tools: weighing.other_tools,
            asked: incident
                .status
                .as_ref()
                .map(|status| asked(status, now))
                .unwrap_or_default(),
        }
    }
}

/// `project-manager since 09:21 …; decide by …; done by …`.
fn asked(status: &IncidentStatus, now: Timestamp) -> String {
    let who = status.decider.as_ref().map(|role| {
        let since = status.asked_at.map(|at| format!(" since {}", words::when(at, now)));
        format!("{role}{}", since.unwrap_or_default())
    });
    let clock = |by: Option<Timestamp>, what: &str| by.map(|by| format!("{what} {}", words::when(by, now)));
    let clocks = [clock(status.decide_by, "decide by"), clock(status.done_by, "over by")];
    who.into_iter()
        .chain(clocks.into_iter().flatten())
        .collect::<Vec<_>>()
        .join("; ")
}
