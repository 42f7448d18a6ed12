//! How answers are made: which form a reader wants, what is taken out before anyone reads it, what a 404 says.

use askama::Template;
use axum::{
    Json,
    response::{Html, IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::{
    board::Shown,
    mask::{mask_line, mask_text},
    phases,
    weighing::Weighing,
};
use crate::model::incident::{Evidence, Incident};

/// A 404 names at most so many neighbours.
const NEIGHBOURS: usize = 20;

/// A page that says what is missing and what there is.
#[derive(Template)]
#[template(path = "missing.html")]
pub(super) struct Missing {
    says: String,
    heading: &'static str,
    others: Vec<(String, String)>,
}

impl Missing {
    pub fn new(says: String, heading: &'static str, others: impl Iterator<Item = (String, String)>) -> Self {
        Self {
            says,
            heading,
            others: others.take(NEIGHBOURS).collect(),
        }
    }

    pub fn answer(self, headers: &HeaderMap) -> Response {
        if prefers_json(headers) {
            let paths: Vec<_> = self.others.iter().map(|(path, _)| path).collect();
            return (
                StatusCode::NOT_FOUND,
                Json(json!({"error": self.says, "exists": paths})),
            )
                .into_response();
        }
        (StatusCode::NOT_FOUND, page(&self)).into_response()
    }
}

/// The page, with characters that turn the reading direction around made visible: a diff must read as it is.
pub(super) fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => Html(visible(text)).into_response(),
        Err(why) => {
            tracing::error!(%why, "a page could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "this page could not be rendered\n").into_response()
        }
    }
}

/// A file that is part of the program.
pub(super) fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// Whether `Accept` puts JSON before HTML. `*/*` alone gets HTML.
pub(super) fn prefers_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let weight = |wanted: &str| {
        accept
            .split(',')
            .filter_map(|part| {
                let mut words = part.split(';').map(str::trim);
                let kind = words.next().filter(|kind| kind.eq_ignore_ascii_case(wanted));
                let q = words.find_map(|w| w.strip_prefix("q=")?.parse::<f32>().ok());
                kind.map(|_| q.unwrap_or(1.0))
            })
            .fold(0.0, f32::max)
    };
    weight("application/json") > weight("text/html")
}

/// The incident as the cluster holds it, with what looks like a secret masked and bookkeeping left out.
pub(super) fn for_readers(shown: &Shown, incident: &Incident) -> Value {
    let mut status = incident.status.clone();
    if let Some(status) = &mut status {
        status.reason = mask_line(&status.reason);
        for step in &mut status.plan {
            step.diff = step.diff.as_deref().map(mask_text);
        }
        for entry in &mut status.journal {
            entry.note = entry.note.as_deref().map(mask_line);
        }
        mask_evidence(&mut status.triggers);
    }
    let mut spec = incident.spec.clone();
    spec.summary = mask_line(&spec.summary);
    mask_evidence(&mut spec.triggers);
    json!({
        "apiVersion": "modosu.dev/v1alpha1",
        "kind": "Incident",
        "metadata": {"namespace": incident.namespace(), "name": incident.name_any(), "uid": incident.uid()},
        "spec": spec,
        "status": status,
        "weighing": Weighing::new(shown, incident),
        "phases": phases::phases(incident, shown.status.now),
        "checkLists": phases::check_lists(incident),
    })
}

fn mask_evidence(all: &mut [Evidence]) {
    for evidence in all {
        evidence.sentence = mask_line(&evidence.sentence);
        evidence.query = evidence.query.as_deref().map(mask_line);
    }
}

fn visible(text: String) -> String {
    let turns =
        |c: char| matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}' | '\u{061C}');
    if !text.contains(turns) {
        return text;
    }
    text.chars()
        .map(|c| {
            if turns(c) {
                format!("⟨U+{:04X}⟩", u32::from(c))
            } else {
                c.to_string()
            }
        })
        .collect()
}
