//! Tells what modosu does while it does it: its Events, and what its status page shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};
use modosu::{
    model::{
        guard::State,
        incident::{Incident, IncidentState},
    },
    report::{board::Board, view::GuardView, words},
};
use tokio::{sync::watch, time::timeout};

use crate::{
    services::NAMESPACE,
    terminal::{Mood, Terminal},
};

/// Who the story is about: the guard of that name.
pub type Hero = watch::Receiver<&'static str>;

/// How long a deed waits for the Event that says why. Events may be lost, and the story goes on without.
const WHY: Duration = Duration::from_secs(2);

/// The incidents whose opening was told.
type Opened = watch::Sender<BTreeSet<String>>;

/// Until it is dropped.
pub async fn narrate(terminal: Terminal, admin: Client, board: Board, hero: Hero) {
    let opened = Opened::default();
    tokio::join!(
        events(&terminal, admin.clone(), &hero, &opened),
        deeds(&terminal, admin, &hero, &opened),
        page(&terminal, board, &hero)
    );
}

/// Every Event about the guard, as `kubectl get events -w` shows them.
async fn events(terminal: &Terminal, admin: Client, hero: &Hero, opened: &Opened) {
    let api: Api<Event> = Api::namespaced(admin, NAMESPACE);
    let watched = watcher(api, watcher::Config::default())
        .default_backoff()
        .applied_objects();
    let mut watched = watched.into_stream().boxed();
    let mut last = BTreeMap::new();
    while let Some(event) = watched.next().await {
        let Ok(event) = event else { continue };
        let version = event.metadata.resource_version.clone();
        let known = last.insert(event.metadata.name.clone(), version.clone());
        let about = event.regarding.unwrap_or_default();
        if about.kind.as_deref() != Some("Guard") || known == Some(version) {
            continue;
        }
        let guard = about.name.unwrap_or_default();
        if guard != *hero.borrow() {
            continue;
        }
        let note = event.note.unwrap_or_default();
        // The link to the incident is told where it helps.
        let (note, incident) = note.split_once(" [incident ").unwrap_or((&note, ""));
        terminal.line("modosu", mood(event.reason.as_deref()), &format!("{guard}: {note}"));
        if event.reason.as_deref() == Some("IncidentOpened") {
            opened.send_modify(|told| _ = told.insert(incident.trim_end_matches(']').to_owned()));
        }
    }
}

fn mood(reason: Option<&str>) -> Mood {
    match reason.unwrap_or_default() {
        "Proven" | "Recovered" | "RecoveredByHand" | "Passed" => Mood::Good,
        "IncidentOpened" | "IncidentRaised" | "Escalated" | "CannotFollow" => Mood::Bad,
        "RollingBack" | "RolledOut" | "Decided" => Mood::Deed,
        "BaselineTaken" | "MarkedBad" => Mood::Quiet,
        _ => Mood::Plain,
    }
}

/// What the open incident says: that modosu acts by itself (what people decide has an Event), and its journal.
async fn deeds(terminal: &Terminal, admin: Client, hero: &Hero, opened: &Opened) {
    let api: Api<Incident> = Api::namespaced(admin, NAMESPACE);
    let watched = watcher(api, watcher::Config::default())
        .default_backoff()
        .applied_objects();
    let mut watched = watched.into_stream().boxed();
    let mut told: BTreeMap<Option<String>, (bool, usize)> = BTreeMap::new();
    while let Some(incident) = watched.next().await {
        let Ok(incident) = incident else { continue };
        let Some(status) = &incident.status else { continue };
        let (acts, lines) = told.entry(incident.metadata.name.clone()).or_default();
        if incident.spec.guard != *hero.borrow() {
            continue;
        }
        if let Some(to) = &incident.spec.restore_to
            && status.state == Some(IncidentState::RollingBack)
            && status.decided.is_none()
            && !std::mem::replace(acts, true)
        {
            let name = incident.metadata.name.as_deref().unwrap_or_default();
            // Two watches have no order between them, a story has.
            _ = timeout(WHY, opened.subscribe().wait_for(|told| told.contains(name))).await;
            terminal.line("modosu", Mood::Deed, &words::back(&incident.spec.guard, to));
        }
        for entry in status.journal.iter().skip(*lines) {
            if let (Some(receipt), Some(target)) = (&entry.receipt, &entry.target) {
                terminal.line("modosu", Mood::Deed, &format!("{target} is put back: {receipt}"));
            }
        }
        *lines = status.journal.len();
    }
}

/// A suspicion is on the page only: it comes and goes with readings.
async fn page(terminal: &Terminal, board: Board, hero: &Hero) {
    let mut shown = board.follow();
    let mut states: BTreeMap<String, State> = BTreeMap::new();
    while shown.changed().await.is_ok() {
        let now = shown.borrow_and_update().clone();
        for guard in now.status.guards.iter().filter(|guard| guard.name == *hero.borrow()) {
            let before = states.insert(guard.name.clone(), guard.state);
            if guard.state == State::Suspect && before != Some(State::Suspect) {
                let why = suspicion(guard);
                terminal.line("modosu", Mood::Care, &format!("{}: suspect: {why}", guard.name));
            }
        }
    }
}

fn suspicion(guard: &GuardView) -> String {
    let held = guard.triggers.iter().filter(|trigger| trigger.status == "pending");
    let sentences: Vec<&str> = held.map(|trigger| trigger.sentence.as_str()).collect();
    sentences.join("\n")
}
