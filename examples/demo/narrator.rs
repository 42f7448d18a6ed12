//! Tells what modosu does while it does it: its Events, and what its status page shows.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};
use modosu::{
    model::guard::State,
    report::{board::Board, view::GuardView},
};

use crate::{
    services::NAMESPACE,
    terminal::{Mood, Terminal},
};

/// Until it is dropped.
pub async fn narrate(terminal: Terminal, admin: Client, board: Board) {
    tokio::join!(events(&terminal, admin), page(&terminal, board));
}

/// Every Event about a guard, as `kubectl get events -w` shows them.
async fn events(terminal: &Terminal, admin: Client) {
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
        let note = event.note.unwrap_or_default();
        // The link to the incident is told where it helps.
        let note = note.split(" [incident ").next().unwrap_or_default();
        terminal.line("modosu", mood(event.reason.as_deref()), &format!("{guard}: {note}"));
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

/// A suspicion is on the page only: it comes and goes with readings.
async fn page(terminal: &Terminal, board: Board) {
    let mut shown = board.follow();
    let mut states: BTreeMap<String, State> = BTreeMap::new();
    while shown.changed().await.is_ok() {
        let now = shown.borrow_and_update().clone();
        for guard in &now.status.guards {
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
