//! Pure. One incident: the first screen's five answers, then evidence, plan, journal, timings and how to decide.

use askama::Template;
use jiff::Timestamp;
use kube::ResourceExt;

use super::{
    board::Shown,
    earlier::{Earlier, earlier},
    fill::state_of,
    first_screen::{FirstScreen, decided, unit_of},
    frame::Frame,
    guard_page::web_links,
    mask::{mask_line, mask_text},
    phases::{CheckList, Phase, check_lists, phases},
    stages::{self, StageRow},
    view::{GuardView, IncidentLine},
    weighing::Weighed,
    words,
};
use crate::decide::decided::is_halfway;
use crate::model::incident::{Evidence, Incident, IncidentState, JournalEntry, PlannedStep, Stands, StateRef};

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
    earlier: Vec<Earlier>,
    stages: Vec<StageRow>,
    plan: Vec<StepRow>,
    stands: Vec<Stands>,
    phases: Vec<(Phase, String)>,
    check_lists: Vec<CheckList>,
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
            evidence: incident.evidence().map(|e| EvidenceRow::new(e, guard)).collect(),
            bad: place(&spec.bad),
            bad_hash: spec.bad.hash.clone(),
            goes_back_to: goal(incident).map_or_else(|| "nothing".to_owned(), place),
            restore_hash: goal(incident).map(|s| s.hash.clone()).unwrap_or_default(),
            earlier: earlier(incident, &line.namespace),
            stages: incident
                .status
                .iter()
                .flat_map(|s| stages::stages(s, status.now))
                .collect(),
            plan: incident.status.iter().flat_map(|s| &s.plan).map(StepRow::new).collect(),
            stands: incident.status.iter().flat_map(|s| &s.stands).cloned().collect(),
            phases: phases(incident, status.now)
                .into_iter()
                .map(|phase| (phase.clone(), phase.told(status.now)))
                .collect(),
            check_lists: check_lists(incident),
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

/// Where it goes back to: where a person decided to go, else what it was opened with.
fn goal(incident: &Incident) -> Option<&StateRef> {
    let status = incident.status.as_ref();
    status.map_or(incident.spec.restore_to.as_ref(), |status| status.goal(&incident.spec))
}

fn commands(incident: &Incident, state: IncidentState) -> Vec<Command> {
    if !matches!(state, IncidentState::AwaitingDecision | IncidentState::Escalated) {
        return Vec::new();
    }
    let (spec, name) = (&incident.spec, incident.name_any());
    let namespace = incident.namespace().unwrap_or_default();
    let line = |verb: &str| format!("modosu {verb} {namespace}/{name} --reason '…'");
    let has_plan = incident.status.as_ref().is_some_and(|s| !s.plan.is_empty());
    let back = match goal(incident) {
        Some(to) => Some(words::back(&spec.guard, to)),
        None => has_plan.then(|| format!("carry out the plan below for {}", spec.guard)),
    };
    let keep = Command {
        verb: "keep",
        says: words::keep(&spec.bad),
        line: line("keep"),
    };
    let stage = incident.status.as_ref().and_then(stages::asked);
    let back = stage.or(back).map(|says| Command {
        verb: "rollback",
        says,
        line: line("rollback"),
    });
    let parts = parts(incident).map(|(only, rest)| Command {
        verb: "rollback",
        says: format!("put only {only} back; {rest} stays as it is"),
        line: format!("modosu rollback {namespace}/{name} --only {only} --reason '…'"),
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
    let all = halfway.into_iter().flatten().chain(back).chain([keep]);
    all.chain(parts).chain([fix]).collect()
}

/// Each object that the plan writes, where there are several, and what stays as it is if only that one goes back.
fn parts(incident: &Incident) -> impl Iterator<Item = (String, String)> {
    let plan = incident.status.iter().flat_map(|status| &status.plan);
    let mut written: Vec<String> = plan
        .filter(|step| step.step == "restore")
        .filter_map(|step| step.target.clone())
        .collect();
    written.dedup();
    let all = if written.len() > 1 { written.clone() } else { Vec::new() };
    all.into_iter().map(move |only| {
        let rest: Vec<&str> = written
            .iter()
            .map(String::as_str)
            .filter(|target| *target != only)
            .collect();
        (only.clone(), rest.join(", "))
    })
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
        let stage = step
            .stage
            .as_ref()
            .map_or_else(String::new, |stage| format!("{stage}: "));
        let diff = mask_text(step.diff.as_deref().unwrap_or_default());
        let hashes = match (&step.from, &step.to) {
            (Some(from), Some(to)) => format!("{} → {}", words::hash(from), words::hash(to)),
            _ => String::new(),
        };
        Self {
            title: format!("{stage}{} {target}", step.step).trim_end().to_owned(),
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
