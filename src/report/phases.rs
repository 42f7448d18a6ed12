//! Pure. Where an incident stands in the first quarter of an hour, and the three check lists around a rollback: filled by what is
//! recorded, the rest left to people.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{mask::mask_line, words};
use crate::model::incident::{Before, Checked, Incident, IncidentState, IncidentStatus};

/// One part of the time line, in minutes since the first bad reading.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Phase {
    /// `detect`, `respond`, `roll back`, `after`.
    pub name: &'static str,
    pub from_minute: i64,
    /// `null`: it has no end.
    pub to_minute: Option<i64>,
    /// The incident stands here now.
    pub now: bool,
    /// When what belongs here was done.
    pub done_at: Option<Timestamp>,
    /// Not done in its time.
    pub late: bool,
}

/// What is to be seen to before, during or after a rollback.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct CheckList {
    pub name: &'static str,
    pub items: Vec<Item>,
}

/// One line of a check list.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub text: &'static str,
    pub done: bool,
    /// What it was, or who sees to it.
    pub detail: String,
}

impl Phase {
    /// `5–10 min, done 03:00:20 UTC`.
    pub fn told(&self, now: Timestamp) -> String {
        let time = match self.to_minute {
            Some(to) => format!("{}–{to} min", self.from_minute),
            None => format!("from {} min", self.from_minute),
        };
        let done = self.done_at.map(|at| format!(", done {}", words::clock(at, now)));
        let late = if self.late { ", late" } else { "" };
        format!("{time}{}{late}", done.unwrap_or_default())
    }
}

/// The phases with where the incident stands.
pub fn phases(incident: &Incident, now: Timestamp) -> Vec<Phase> {
    let (spec, empty) = (&incident.spec, IncidentStatus::default());
    let status = incident.status.as_ref().unwrap_or(&empty);
    let over = status.recovered_at.or(status.closed_at);
    let minute = |at: Timestamp| at.duration_since(spec.first_bad_at).as_secs().div_euclid(60);
    let parts = [
        ("detect", 0, Some(5), Some(spec.opened_at)),
        ("respond", 5, Some(10), status.acting_since.or(over)),
        ("roll back", 10, Some(15), over),
        ("after", 15, None, status.closed_at),
    ];
    let here = |from: i64, to: Option<i64>| match over {
        Some(_) => to.is_none(),
        None => minute(now) >= from && to.is_none_or(|to| minute(now) < to),
    };
    let phase = |(name, from, to, done_at): (&'static str, i64, Option<i64>, Option<Timestamp>)| Phase {
        name,
        from_minute: from,
        to_minute: to,
        now: here(from, to),
        done_at,
        late: to.is_some_and(|to| done_at.unwrap_or(now) > spec.first_bad_at + SignedDuration::from_mins(to)),
    };
    parts.map(phase).into()
}

/// The check lists as far as they are done.
pub fn check_lists(incident: &Incident) -> Vec<CheckList> {
    let empty = IncidentStatus::default();
    let status = incident.status.as_ref().unwrap_or(&empty);
    vec![
        CheckList {
            name: "before the rollback",
            items: before(incident, status),
        },
        CheckList {
            name: "during the rollback",
            items: during(status),
        },
        CheckList {
            name: "after the rollback",
            items: after(status),
        },
    ]
}

fn item(text: &'static str, done: bool, detail: impl Into<String>) -> Item {
    Item {
        text,
        done,
        detail: detail.into(),
    }
}

fn before(incident: &Incident, status: &IncidentStatus) -> Vec<Item> {
    let grade = if status.grade.is_empty() {
        &incident.spec.grade
    } else {
        &status.grade
    };
    let others = status.common_cause.iter().flat_map(|cause| &cause.guards);
    let mut hit: Vec<&str> = others.map(String::as_str).collect();
    if hit.is_empty() {
        hit.push(&incident.spec.guard);
    }
    let (saved, what) = match status.before.as_ref() {
        None => (false, "no `before` check of the guard looks at it".to_owned()),
        Some(Before {
            outcome: Checked::Held, ..
        }) => (true, "the checks before the first write hold".to_owned()),
        Some(Before { output, .. }) => (false, output.as_deref().map(mask_line).unwrap_or_default()),
    };
    let asked = status.decider.clone().zip(status.asked_at);
    let told = asked.map(|(role, at)| format!("{role} since {at:.0}"));
    vec![
        item("the grade is known", !grade.is_empty(), grade),
        item("what is hit is known", true, hit.join(", ")),
        item("a backup is there", saved, what),
        item("stakeholders are told", told.is_some(), told.unwrap_or_default()),
    ]
}

fn during(status: &IncidentStatus) -> Vec<Item> {
    let steps = status.plan.len();
    let receipts = || (0..steps).filter_map(|place| status.receipt_of(place)?.receipt.as_deref());
    let (run, good) = (
        receipts().count(),
        receipts().filter(|word| matches!(*word, "done" | "already")).count(),
    );
    let acts = status.acting_since.is_some();
    let watched = match (status.rolled_out_at, acts) {
        (Some(at), _) => format!("on requests since {at:.0}"),
        (None, true) => "the roll-out is watched".to_owned(),
        (None, false) => String::new(),
    };
    vec![
        item(
            "run by the plan",
            steps > 0 && run == steps,
            format!("{run} of {steps} steps"),
        ),
        item(
            "each step is checked",
            steps > 0 && good == steps,
            format!("{good} of {steps} steps have their receipt"),
        ),
        item(
            "the log is kept",
            !status.journal.is_empty(),
            format!("{} entries", status.journal.len()),
        ),
        item("watching goes on", acts, watched),
    ]
}

fn after(status: &IncidentStatus) -> Vec<Item> {
    let proven = status
        .recovered_at
        .filter(|_| status.state == Some(IncidentState::Recovered));
    let healthy = proven.map(|at| format!("proven {at:.0}"));
    let measured = healthy
        .clone()
        .map(|words| format!("{words}, by the guard's triggers and `verify.conditions`"));
    vec![
        item("healthy again", healthy.is_some(), healthy.unwrap_or_default()),
        item(
            "performance is measured",
            measured.is_some(),
            measured.unwrap_or_default(),
        ),
        item("the report is written", false, "people write it from this page"),
        item("what will be better next time", false, "people"),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIRST: &str = "2026-11-23T03:00:00Z";

    fn incident(status: &serde_json::Value) -> Incident {
        serde_json::from_value(json!({
            "apiVersion": "modosu.dev/v1alpha1", "kind": "Incident", "metadata": {"name": "orders-8b21"},
            "spec": {"guard": "orders", "firstBadAt": FIRST, "openedAt": "2026-11-23T03:00:20Z", "grade": "Critical",
                "action": "automatic_rollback", "triggers": [], "bad": {"hash": "8b21"}},
            "status": status,
        }))
        .unwrap()
    }

    fn stands(status: &serde_json::Value, minutes: i64) -> (&'static str, Vec<&'static str>) {
        let now = FIRST.parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes);
        let phases = phases(&incident(status), now);
        let mut here = phases.iter().filter(|phase| phase.now);
        let name = here.next().unwrap().name;
        assert_eq!(here.next(), None, "in one phase alone");
        (
            name,
            phases
                .iter()
                .filter(|phase| phase.late)
                .map(|phase| phase.name)
                .collect(),
        )
    }

    #[test]
    fn an_incident_stands_in_the_phase_of_its_clock_and_what_is_late_is_said() {
        let waiting = json!({"state": "AwaitingDecision"});
        assert_eq!(stands(&waiting, 4), ("detect", vec![]));
        assert_eq!(stands(&waiting, 7), ("respond", vec![]));
        assert_eq!(stands(&waiting, 12), ("roll back", vec!["respond"]));
        assert_eq!(stands(&waiting, 20), ("after", vec!["respond", "roll back"]));
        let recovered = json!({"state": "Recovered", "actingSince": "2026-11-23T03:00:20Z", "recoveredAt": "2026-11-23T03:02:00Z",
            "closedAt": "2026-11-23T03:02:00Z"});
        assert_eq!(stands(&recovered, 3), ("after", vec![]));
    }

    #[test]
    fn check_lists_are_filled_by_what_is_recorded_and_no_more() {
        let done = |status: serde_json::Value| -> Vec<&'static str> {
            let lists = check_lists(&incident(&status));
            lists
                .iter()
                .flat_map(|list| &list.items)
                .filter(|item| item.done)
                .map(|item| item.text)
                .collect()
        };
        assert_eq!(done(json!({})), ["the grade is known", "what is hit is known"]);
        let plan = json!([{"step": "restore", "target": "Deployment/orders"}, {"step": "waitReady"}]);
        let entry = |seq: u32, word: &str| json!({"seq": seq, "at": FIRST, "receipt": word});
        let halfway = json!({"plan": plan, "journal": [entry(1, "done")], "actingSince": FIRST, "before": {"outcome": "held"},
            "decider": "oncall", "askedAt": FIRST});
        let all = [
            "the grade is known",
            "what is hit is known",
            "a backup is there",
            "stakeholders are told",
            "the log is kept",
            "watching goes on",
        ];
        assert_eq!(done(halfway), all);
        let failed = json!({"plan": plan, "journal": [entry(1, "failed"), entry(2, "done")]});
        assert_eq!(
            done(failed)[2..],
            ["run by the plan", "the log is kept"],
            "a step that failed is not in order"
        );
    }
}
