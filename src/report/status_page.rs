//! Pure. The page of everything: one line with the whole truth on top, then guards by need, then incidents.

use std::{fmt::Write as _, time::Duration};

use askama::Template;

use super::{
    cards::{Card, Row},
    frame::Frame,
    mask::mask_line,
    need::{Headline, headline, is_quiet, need},
    view::{GuardView, PrometheusState, StatusView},
    words,
};

/// Of guards that ask for nothing, so many are on the page; the JSON has all.
const SHOWN: usize = 200;
#[derive(Template)]
#[template(path = "status.html")]
pub(super) struct StatusPage {
    frame: Frame,
    headline: Headline,
    cards: Vec<Card>,
    quiet: Vec<Card>,
    hidden: usize,
    incidents: Vec<Row>,
    prometheus: String,
}

impl StatusPage {
    pub fn new(status: &StatusView, age: Duration, ready: bool) -> Self {
        let mut guards: Vec<&GuardView> = status.guards.iter().collect();
        guards.sort_by_key(|g| (need(g), &g.namespace, &g.name));
        let (loud, calm): (Vec<_>, Vec<_>) = guards.into_iter().partition(|g| !is_quiet(g));
        let headline = headline(status, ready);
        let mut frame = Frame::new(status, None, age, "modosu".to_owned(), "/status.json".to_owned());
        frame.title = format!("{} – modosu", headline.text);
        Self {
            frame,
            headline,
            hidden: calm.len().saturating_sub(SHOWN) + loud.len().saturating_sub(SHOWN),
            cards: loud.into_iter().take(SHOWN).map(|g| Card::new(g, status.now)).collect(),
            quiet: calm.into_iter().take(SHOWN).map(|g| Card::new(g, status.now)).collect(),
            incidents: status
                .incidents
                .iter()
                .take(SHOWN)
                .map(|i| Row::new(i, status.now))
                .collect(),
            prometheus: prometheus(status),
        }
    }
}

fn prometheus(status: &StatusView) -> String {
    let p = &status.prometheus;
    let state = match p.state {
        PrometheusState::Up => "answers",
        PrometheusState::Down => "does not answer",
        PrometheusState::Unknown => "was not asked yet",
    };
    let mut line = format!("Prometheus at {} {state}", mask_line(&p.url));
    if let Some(at) = p.last_success {
        let _ = write!(line, "; last answer {}", words::when(at, status.now));
    }
    if let Some(error) = &p.error {
        let _ = write!(line, "; {}", mask_line(error));
    }
    line
}
