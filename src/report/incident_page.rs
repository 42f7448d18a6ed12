//! Pure. One incident: the first screen's five answers, then evidence, plan, journal, timings and how to decide.

use askama::Template;
use jiff::Timestamp;
use kube::ResourceExt;

use super::{
    board::Shown,
    fill::state_of,
    first_screen::{FirstScreen, decided, unit_of},
    frame::Frame,
    guard_page::web_links,
    mask::{mask_line, mask_text},
    view::{GuardView, IncidentLine},
    weighing::Weighed,
    words,
};
use crate::decide::decided::is_halfway;
use crate::model::incident::{Evidence, Incident, IncidentState, JournalEntry, PlannedStep, StateRef};

#[derive(Template)]
#[template(path = "incident.html")]
pub(super) struct IncidentPage {
    frame: Frame,
    name: String,
    guard: String,
    guard_path: String,
    state: &'static str,
    tone: &'static str,
    grade: String,
    reason: String,
    first: FirstScreen,
    weighed: Option<Weighed>,
    commands: Vec<Command>,
    decided: Option<String>,
    evidence: Vec<EvidenceRow>,
    bad: String,
    bad_hash: String,
    goes_back_to: String,
    restore_hash: String,
    plan: Vec<StepRow>,
    moments: Vec<Moment>,
    timings: Vec<(&'static str, String)>,
    links: Vec<(String, String)>,
}

/// What a person can decide, with the command for it.
struct Command {
    verb: &'static str,
    says: String,
    line: String,
}

struct EvidenceRow {
    name: String,
    condition: String,
    sentence: String,
    grade: String,
    value: String,
    limit: String,
    baseline: String,
    requests: String,
    query: String,
}

struct StepRow {
    title: String,
    hashes: String,
    diff: Vec<DiffLine>,
}

struct DiffLine {
    tone: &'static str,
    text: String,
}

/// One point on the time line.
struct Moment {
    at: Timestamp,
    clock: String,
    after: String,
    text: String,
    tone: &'static str,
}

impl IncidentPage {
    pub fn new(shown: &Shown, incident: &Incident) -> Self {
        let (status, age) = (&shown.status, shown.age());
        let line = IncidentLine::of(incident);
        let guard = status.guard(&line.namespace, &line.guard);
        let path = format!("/incidents/{}/{}", line.namespace, line.name);
        let state = line.state;
        let title = format!(
            "{} {}/{} – modosu",
            words::incident_state_name(state),
            line.namespace,
            line.guard
        );
        let mut frame = Frame::new(status, guard, age, title, format!("{path}.json"));
        frame.refresh = refresh(state);
        let spec = &incident.spec;
        let place = |s: &StateRef| words::named(&s.hash, &s.images);
        Self {
            frame,
            guard: format!("{}/{}", line.namespace, line.guard),
            guard_path: format!("/guards/{}/{}", line.namespace, line.guard),
            state: words::incident_state_name(state),
            tone: words::incident_tone(state),
            reason: incident
                .status
                .as_ref()
                .map(|s| mask_line(&s.reason))
                .unwrap_or_default(),
            first: FirstScreen::new(incident, guard, status.now),
            weighed: state.is_open().then(|| Weighed::new(shown, incident)),
            commands: commands(incident, state),
            decided: decided(incident),
            evidence: spec.triggers.iter().map(|e| EvidenceRow::new(e, guard)).collect(),
            bad: place(&spec.bad),
            bad_hash: spec.bad.hash.clone(),
            goes_back_to: spec.restore_to.as_ref().map_or_else(|| "nothing".to_owned(), place),
            restore_hash: spec.restore_to.as_ref().map(|s| s.hash.clone()).unwrap_or_default(),
            plan: incident.status.iter().flat_map(|s| &s.plan).map(StepRow::new).collect(),
            moments: moments(incident, status.now),
            timings: timings(incident),
            links: guard.map(|g| web_links(&g.links)).unwrap_or_default(),
            name: line.name,
            grade: line.grade,
        }
    }
}

/// A page that people copy commands from stays still; one that is over does not change.
const fn refresh(state: IncidentState) -> Option<u32> {
    match state {
        IncidentState::RollingBack | IncidentState::Verifying => Some(5),
        IncidentState::AwaitingDecision | IncidentState::Escalated | IncidentState::Observed => Some(30),
        IncidentState::Recovered
        | IncidentState::RecoveredByHand
        | IncidentState::Kept
        | IncidentState::Passed
        | IncidentState::Superseded
        | IncidentState::Abandoned => None,
    }
}

fn commands(incident: &Incident, state: IncidentState) -> Vec<Command> {
    if !matches!(state, IncidentState::AwaitingDecision | IncidentState::Escalated) {
        return Vec::new();
    }
    let (spec, name) = (&incident.spec, incident.name_any());
    let namespace = incident.namespace().unwrap_or_default();
    let line = |verb: &str| {
        format!(
            "kubectl -n {namespace} patch incident {name} --type merge -p '{{\"spec\":{{\"decision\":{{\"verb\":\"{verb}\"}}}}}}'"
        )
    };
    let has_plan = incident.status.as_ref().is_some_and(|s| !s.plan.is_empty());
    let back = match &spec.restore_to {
        Some(to) => Some(words::back(&spec.guard, to)),
        None => has_plan.then(|| format!("carry out the plan below for {}", spec.guard)),
    };
    let keep = Command {
        verb: "keep",
        says: words::keep(&spec.bad),
        line: line("keep"),
    };
    let back = back.map(|says| Command {
        verb: "rollback",
        says,
        line: line("rollback"),
    });
    let fix = Command {
        verb: "fixEta",
        says: "say when it will be fixed; that decides nothing".to_owned(),
        line: format!(
            "kubectl -n {namespace} patch incident {name} --type merge -p '{{\"spec\":{{\"decision\":{{\"fixEta\":\"2h\"}}}}}}'"
        ),
    };
    let halfway = incident.status.as_ref().is_some_and(is_halfway).then(|| {
        [
            Command {
                verb: "resume",
                says: "go on with the plan behind its last step".to_owned(),
                line: format!("modosu resume {namespace}/{}", spec.guard),
            },
            Command {
                verb: "abandon",
                says: "leave everything as it is now".to_owned(),
                line: format!("modosu abandon {namespace}/{name}"),
            },
        ]
    });
    halfway.into_iter().flatten().chain(back).chain([keep, fix]).collect()
}

impl EvidenceRow {
    fn new(evidence: &Evidence, guard: Option<&GuardView>) -> Self {
        let unit = unit_of(evidence, guard);
        Self {
            name: evidence.name.clone(),
            condition: evidence.condition.clone(),
            sentence: mask_line(&evidence.sentence),
            grade: evidence.grade.clone(),
            value: words::number(evidence.value, unit),
            limit: words::number(evidence.limit, unit),
            baseline: words::number(evidence.baseline, unit),
            requests: evidence
                .requests
                .map_or_else(|| words::MISSING.to_owned(), |n| n.to_string()),
            query: evidence.query.as_deref().map(mask_line).unwrap_or_default(),
        }
    }
}

impl StepRow {
    fn new(step: &PlannedStep) -> Self {
        let target = step.target.as_deref().unwrap_or_default();
        let diff = mask_text(step.diff.as_deref().unwrap_or_default());
        let hashes = match (&step.from, &step.to) {
            (Some(from), Some(to)) => format!("{} → {}", words::hash(from), words::hash(to)),
            _ => String::new(),
        };
        Self {
            title: format!("{} {target}", step.step).trim_end().to_owned(),
            hashes,
            diff: diff.lines().map(DiffLine::new).collect(),
        }
    }
}

impl DiffLine {
    fn new(line: &str) -> Self {
        let tone = match line.chars().next() {
            Some('+') => "add",
            Some('-') => "del",
            Some('@') => "hunk",
            _ => "same",
        };
        let text = line.to_owned();
        Self { tone, text }
    }
}

/// The time line: what was seen, decided and written, in the order of time.
fn moments(incident: &Incident, now: Timestamp) -> Vec<Moment> {
    let spec = &incident.spec;
    let empty = crate::model::incident::IncidentStatus::default();
    let status = incident.status.as_ref().unwrap_or(&empty);
    let first = spec.first_bad_at;
    let moment = |at: Timestamp, text: String, tone| Moment {
        at,
        clock: words::clock(at, now),
        after: match at.duration_since(first) {
            zero if zero.is_zero() => String::new(),
            before if before.is_negative() => format!("−{}", words::took(before.abs())),
            after => format!("+{}", words::took(after)),
        },
        text,
        tone,
    };
    let milestones = [
        (
            spec.bad.since,
            format!("{} came", words::named(&spec.bad.hash, &spec.bad.images)),
            "same",
        ),
        (Some(first), "first bad reading".to_owned(), "bad"),
        (Some(spec.opened_at), "incident opened".to_owned(), "bad"),
        (status.acting_since, "modosu began to act".to_owned(), "busy"),
        (
            status.rolled_out_at,
            "everything is rolled out; from here on requests count as proof".to_owned(),
            "busy",
        ),
        (
            status.recovered_at,
            "recovered, proven on new requests".to_owned(),
            "fine",
        ),
        (
            status.closed_at,
            format!("incident closed: {}", words::incident_state_name(state_of(incident))),
            "same",
        ),
    ];
    let seen = milestones
        .into_iter()
        .filter_map(|(at, text, tone)| Some(moment(at?, text, tone)));
    let written = status.journal.iter().map(|entry| {
        let (text, tone) = journalled(entry);
        moment(entry.at, text, tone)
    });
    let mut all: Vec<Moment> = seen.chain(written).collect();
    all.sort_by_key(|m| m.at);
    all
}

fn journalled(entry: &JournalEntry) -> (String, &'static str) {
    let (mut text, tone) = match (&entry.intent, &entry.receipt) {
        (_, Some(receipt)) => {
            let good = matches!(receipt.as_str(), "done" | "already");
            (
                format!("step {}: {receipt}", entry.seq),
                if good { "fine" } else { "bad" },
            )
        }
        (Some(intent), None) => (format!("step {}: about to {intent}", entry.seq), "busy"),
        (None, None) => ("note".to_owned(), "warn"),
    };
    for part in [
        entry.target.as_ref().map(|target| format!(" {target}")),
        entry.resource_version.as_ref().map(|v| format!(" (version {v})")),
        entry.note.as_ref().map(|note| format!(": {}", mask_line(note))),
    ] {
        text.push_str(&part.unwrap_or_default());
    }
    (text, tone)
}

fn timings(incident: &Incident) -> Vec<(&'static str, String)> {
    let timings = incident
        .status
        .as_ref()
        .and_then(|s| s.timings.clone())
        .unwrap_or_default();
    [
        ("noticed after", timings.detected),
        ("waited for people", timings.waited_for_people),
        ("put back in", timings.restored),
        ("proven after", timings.proven),
    ]
    .into_iter()
    .filter_map(|(what, took)| Some((what, took?)))
    .collect()
}
