//! Pure. Guards, signals and incidents, ready to print.

use jiff::Timestamp;

use super::{
    need,
    view::{GuardView, IncidentLine, SignalVerdict, SignalView},
    words,
};
use crate::model::guard::Worse;

/// One guard, ready to print.
pub(super) struct Card {
    pub path: String,
    pub name: String,
    pub state: &'static str,
    pub tone: &'static str,
    pub means: &'static str,
    pub mode: String,
    pub reason: String,
    pub since: String,
    pub waits_for: String,
    pub running: String,
    pub running_hash: String,
    pub goes_back_to: String,
    /// The open incident's path and name.
    pub incident: Option<(String, String)>,
    pub signals: Vec<SignalRow>,
    /// What other tools will do to what is put back.
    pub other_tools: Vec<String>,
    /// What the guard lacks, from its conditions.
    pub lacks: Vec<String>,
}

/// One signal, ready to print.
pub(super) struct SignalRow {
    pub name: String,
    pub value: String,
    pub limit: String,
    pub baseline: String,
    pub verdict: &'static str,
    pub tone: &'static str,
    pub because: String,
}

/// One incident, ready to print.
pub(super) struct Row {
    pub path: String,
    pub guard: String,
    pub state: &'static str,
    pub tone: &'static str,
    pub grade: String,
    pub opened: String,
    pub summary: String,
}

impl Card {
    pub fn new(guard: &GuardView, now: Timestamp) -> Self {
        let lacks = guard
            .conditions
            .iter()
            .filter(|c| c.status == "False" && c.kind != "Degraded");
        Self {
            path: format!("/guards/{}/{}", guard.namespace, guard.name),
            name: format!("{}/{}", guard.namespace, guard.name),
            state: words::state_name(guard.state),
            tone: need::tone(guard),
            means: words::state_means(guard.state),
            mode: match &guard.mode_because {
                Some(why) => format!("{}, because {why}", words::mode_name(guard.mode)),
                None => words::mode_name(guard.mode).to_owned(),
            },
            reason: guard.reason.clone(),
            since: guard.since.map(|at| words::when(at, now)).unwrap_or_default(),
            waits_for: guard.waits_for.clone().unwrap_or_default(),
            running: guard.current.as_ref().map_or_else(
                || words::MISSING.to_owned(),
                |c| {
                    let proof = if c.proven { "proven" } else { "not proven yet" };
                    format!("{}, {proof}", words::named(&c.hash, &c.images))
                },
            ),
            running_hash: guard.current.as_ref().map(|c| c.hash.clone()).unwrap_or_default(),
            goes_back_to: guard.restore_to.as_ref().map_or_else(
                || "nothing to go back to yet".to_owned(),
                |to| {
                    let blocked = to.blocked.iter().map(|why| format!(" (blocked: {why})"));
                    format!(
                        "{}, proven {}{}",
                        words::named(&to.hash, &to.images),
                        words::relative(to.proven_at, now),
                        blocked.collect::<String>()
                    )
                },
            ),
            incident: guard
                .incident
                .as_ref()
                .map(|name| (format!("/incidents/{}/{name}", guard.namespace), name.clone())),
            signals: guard.signals.iter().map(SignalRow::new).collect(),
            other_tools: guard.other_tools.clone(),
            lacks: lacks.map(|c| format!("{}: {}", c.reason, c.message)).collect(),
        }
    }
}

impl SignalRow {
    fn new(signal: &SignalView) -> Self {
        let (verdict, tone) = match (signal.verdict, signal.worse) {
            (SignalVerdict::Healthy, _) => ("healthy", "fine"),
            (SignalVerdict::Breached, Worse::Up) => ("over the limit", "bad"),
            (SignalVerdict::Breached, Worse::Down) => ("below the limit", "bad"),
            (SignalVerdict::Unknown, _) => ("unknown", "warn"),
        };
        Self {
            name: signal.name.clone(),
            value: words::number(signal.value, signal.unit),
            limit: words::number(signal.limit, signal.unit),
            baseline: words::number(signal.baseline, signal.unit),
            verdict,
            tone,
            because: signal.because.clone().unwrap_or_default(),
        }
    }
}

impl Row {
    pub fn new(line: &IncidentLine, now: Timestamp) -> Self {
        Self {
            path: format!("/incidents/{}/{}", line.namespace, line.name),
            guard: format!("{}/{}", line.namespace, line.guard),
            state: words::incident_state_name(line.state),
            tone: words::incident_tone(line.state),
            grade: line.grade.clone(),
            opened: words::when(line.opened_at, now),
            summary: line.summary.clone(),
        }
    }
}
