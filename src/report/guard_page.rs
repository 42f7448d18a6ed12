//! Pure. One guard: its signals, triggers, conditions, states, and its incidents.

use std::time::Duration;

use askama::Template;

use super::{
    cards::{Card, Row},
    compared,
    frame::Frame,
    view::{GuardView, StatusView, TriggerView},
};

#[derive(Template)]
#[template(path = "guard.html")]
pub(super) struct GuardPage {
    frame: Frame,
    card: Card,
    /// What signals are compared with.
    compared: String,
    triggers: Vec<TriggerView>,
    conditions: Vec<ConditionRow>,
    shared_config: Vec<String>,
    links: Vec<(String, String)>,
    incidents: Vec<Row>,
}

struct ConditionRow {
    kind: String,
    status: String,
    tone: &'static str,
    text: String,
}

impl GuardPage {
    pub fn new(status: &StatusView, age: Duration, guard: &GuardView) -> Self {
        let card = Card::new(guard, status.now);
        let title = format!("{} {} – modosu", card.state, card.name);
        let json = format!("{}.json", card.path);
        Self {
            frame: Frame::new(status, Some(guard), age, title, json),
            card,
            compared: compared::sentence(&guard.baseline, status.now),
            triggers: guard.triggers.clone(),
            conditions: conditions(guard),
            shared_config: guard.shared_config.clone(),
            links: web_links(&guard.links),
            incidents: status
                .incidents
                .iter()
                .filter(|i| i.namespace == guard.namespace && i.guard == guard.name)
                .map(|i| Row::new(i, status.now))
                .collect(),
        }
    }
}

fn conditions(guard: &GuardView) -> Vec<ConditionRow> {
    let row = |c: &super::view::ConditionView| {
        let good = (c.status == "True") != (c.kind == "Degraded");
        ConditionRow {
            kind: c.kind.clone(),
            status: c.status.clone(),
            tone: if good { "fine" } else { "warn" },
            text: format!("{}: {}", c.reason, c.message),
        }
    };
    guard.conditions.iter().map(row).collect()
}

/// Only addresses of the web become links; anything else, such as `javascript:`, is left out.
pub(super) fn web_links(links: &std::collections::BTreeMap<String, String>) -> Vec<(String, String)> {
    let is_web = |to: &str| to.starts_with("https://") || to.starts_with("http://");
    let pairs = links.iter().filter(|(_, to)| is_web(to));
    pairs.map(|(name, to)| (name.clone(), to.clone())).collect()
}
