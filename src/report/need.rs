//! Pure. Which guards need a person, and the one line that says the whole truth.

use super::{
    view::{GuardView, PrometheusState, SignalVerdict, StatusView},
    words::{self, counted},
};
use crate::model::guard::State;

/// The line on top, and what stands small under it.
pub(super) struct Headline {
    pub tone: &'static str,
    pub text: String,
    pub rest: String,
}

/// Guards by how much a person is needed, most first.
pub(super) fn need(guard: &GuardView) -> u8 {
    match guard.state {
        State::Escalated => 0,
        State::AwaitingDecision => 1,
        State::NotReady => 2,
        State::RollingBack => 3,
        State::Verifying => 4,
        State::Suspect => 5,
        State::Frozen if guard.incident.is_some() => 1,
        State::Frozen => 7,
        State::Steady | State::Probation if is_blind(guard) => 6,
        State::Probation => 8,
        State::Steady => 9,
    }
}

fn is_blind(guard: &GuardView) -> bool {
    guard.lacks("MetricsAvailable").is_some()
}

pub(super) fn is_quiet(guard: &GuardView) -> bool {
    need(guard) >= 8 && guard.signals.iter().all(|s| s.verdict != SignalVerdict::Breached)
}

pub(super) fn tone(guard: &GuardView) -> &'static str {
    match need(guard) {
        0..=2 => "bad",
        3..=5 => "busy",
        6 | 7 => "warn",
        _ if is_quiet(guard) => "fine",
        _ => "warn",
    }
}

pub(super) fn headline(status: &StatusView, ready: bool) -> Headline {
    let all = status.guards.len();
    let count = |ranks: std::ops::RangeInclusive<u8>| status.guards.iter().filter(|g| ranks.contains(&need(g))).count();
    let (needy, moving, blind, frozen) = (count(0..=2), count(3..=5), count(6..=6), count(7..=7));
    let verb = |n| if n == 1 { "needs" } else { "need" };
    let of_all = |n: usize| {
        if all == 1 {
            "the only guard".to_owned()
        } else {
            format!("{n} of {}", counted(all, "guard"))
        }
    };
    let is = |n| if n == 1 { "is" } else { "are" };
    let mut said = Vec::new();
    if needy > 0 {
        said.push(("bad", format!("{} {} you", of_all(needy), verb(needy))));
    }
    if moving > 0 {
        said.push(("busy", format!("modosu is working on {}", of_all(moving))));
    }
    if blind > 0 {
        said.push((
            "warn",
            format!("{} cannot be judged: there are no numbers", of_all(blind)),
        ));
    }
    if frozen > 0 {
        said.push(("warn", format!("{} {} frozen", of_all(frozen), is(frozen))));
    }
    let (tone, text) = match status.prometheus.state {
        _ if !ready => ("warn", "modosu is starting: nothing was looked at yet".to_owned()),
        PrometheusState::Down => ("bad", silent(status)),
        _ if all == 0 => ("warn", "There are no guards: nothing is watched".to_owned()),
        PrometheusState::Up | PrometheusState::Unknown if !said.is_empty() => said.remove(0),
        PrometheusState::Unknown => (
            "warn",
            "Prometheus has not answered yet: nothing will be done until it does".to_owned(),
        ),
        PrometheusState::Up if all == 1 => ("fine", "The only guard is quiet".to_owned()),
        PrometheusState::Up => ("fine", format!("All {all} guards are quiet")),
    };
    let rest: Vec<String> = said
        .iter()
        .map(|(_, text)| format!("{}.", words::first_upper(text)))
        .collect();
    Headline {
        tone,
        text: words::first_upper(&text),
        rest: rest.join(" "),
    }
}

fn silent(status: &StatusView) -> String {
    let since = status
        .prometheus
        .since
        .map(|at| format!(" since {}", words::when(at, status.now)));
    format!(
        "Prometheus does not answer{}: nothing will be done until it does",
        since.unwrap_or_default()
    )
}
