//! Pure. The stages of a plan for people: what each did, which one waits for whom, and its clock.

use jiff::Timestamp;

use super::{mask::mask_line, words};
use crate::model::incident::{IncidentStatus, PlannedStage, StageState};

/// One stage, on the page.
pub(super) struct StageRow {
    pub name: String,
    pub state: String,
    pub tone: &'static str,
    /// Its clock; and why it did not help.
    pub told: String,
    /// It is where the plan stands.
    pub now: bool,
}

pub(super) fn stages(status: &IncidentStatus, now: Timestamp) -> Vec<StageRow> {
    let present = status.stage().map(|stage| stage.name.as_str());
    let row = |stage: &PlannedStage| {
        let (state, tone) = state(stage);
        StageRow {
            name: stage.name.clone(),
            state,
            tone,
            told: told(stage, now),
            now: present == Some(&stage.name),
        }
    };
    status.stages.iter().map(row).collect()
}

/// What a person begins who decides `rollback` now.
pub(super) fn asked(status: &IncidentStatus) -> Option<String> {
    let stage = status.stage().filter(|stage| stage.state == StageState::Asked)?;
    Some(format!("begin stage {} of the plan", stage.name))
}

/// Which stage ended what hurt.
pub(super) fn mitigated(status: &IncidentStatus, now: Timestamp) -> Option<String> {
    let by = status.stages.iter().find(|stage| stage.state == StageState::Proven);
    let by = by.map(|stage| format!(" by stage {}", stage.name));
    let at = words::clock(status.mitigated_at?, now);
    Some(format!("Mitigated{} at {at}", by.unwrap_or_default()))
}

fn state(stage: &PlannedStage) -> (String, &'static str) {
    match (stage.state, &stage.ask) {
        (StageState::NotBegun, Some(role)) => (format!("not begun, {role} begins it"), "same"),
        (StageState::NotBegun, None) => ("not begun".to_owned(), "same"),
        (StageState::Asked, Some(role)) => (format!("waits for {role}"), "bad"),
        (StageState::Asked, None) => ("waits for people".to_owned(), "bad"),
        (StageState::Running, _) => ("runs".to_owned(), "busy"),
        (StageState::Proven, _) => ("proven".to_owned(), "fine"),
        (StageState::Failed, _) => ("did not help".to_owned(), "bad"),
        (StageState::Skipped, _) => ("nothing to do".to_owned(), "same"),
    }
}

fn told(stage: &PlannedStage, now: Timestamp) -> String {
    let clock = |at: Timestamp| words::clock(at, now);
    let took = |from: Timestamp, to: Timestamp| words::took(to.duration_since(from));
    let asked = stage.asked_at.map(|asked| {
        let waited = took(asked, stage.since.or(stage.ended_at).unwrap_or(now));
        format!("asked {}, waited {waited} for people", clock(asked))
    });
    let ran = stage.since.map(|since| match stage.ended_at {
        Some(ended) => format!(
            "{} to {}, {} of {}",
            clock(since),
            clock(ended),
            took(since, ended),
            stage.within
        ),
        None => format!("since {}, within {}", clock(since), stage.within),
    });
    let planned = ran.is_none().then(|| format!("within {}", stage.within));
    let because = stage.because.as_deref().map(mask_line);
    let all = [asked, ran, planned, because].into_iter().flatten();
    all.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_stage_tells_its_state_and_its_clock_and_no_secret() {
        let at = |minutes: u32| format!("2026-03-01T10:{minutes:02}:00Z");
        let stages_of = json!([
            {"name": "flag-off", "state": "Failed", "within": "5m", "since": at(0), "endedAt": at(5), "because": "password=hunter2 was wrong"},
            {"name": "scale", "state": "Proven", "within": "5m", "since": at(5), "endedAt": at(8)},
            {"name": "revert", "state": "Asked", "within": "1h", "ask": "tech-lead", "askedAt": at(8)},
            {"name": "deploy", "state": "NotBegun", "within": "2h", "ask": "team"},
        ]);
        let status = json!({"stages": stages_of, "mitigatedAt": at(8)});
        let status: IncidentStatus = serde_json::from_value(status).unwrap();
        let now = at(20).parse().unwrap();
        let rows: Vec<String> = stages(&status, now)
            .into_iter()
            .map(|row| {
                format!(
                    "{}{}: {}, {}",
                    if row.now { "> " } else { "" },
                    row.name,
                    row.state,
                    row.told
                )
            })
            .collect();
        insta::assert_snapshot!(rows.join("\n"), @r"
        flag-off: did not help, 10:00:00 UTC to 10:05:00 UTC, 5 min of 5m; password=•••
        scale: proven, 10:05:00 UTC to 10:08:00 UTC, 3 min of 5m
        > revert: waits for tech-lead, asked 10:08:00 UTC, waited 12 min for people; within 1h
        deploy: not begun, team begins it, within 2h
        ");
        assert_eq!(asked(&status).as_deref(), Some("begin stage revert of the plan"));
        assert_eq!(
            mitigated(&status, now).as_deref(),
            Some("Mitigated by stage scale at 10:08:00 UTC")
        );
    }
}
