//! Pure. The clocks of a grade, and who is asked next when one has run out.
//!
//! *Decide by* runs while people are awaited, *done by* until the incident ends. What was missed stands in the status, so
//! that a restart neither forgets it nor tells it twice. A missed clock asks the next role of the chain and nothing more:
//! silence is never a yes.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use jiff::Timestamp;

use super::{Happened, between};
use crate::model::{
    grade::{Contact, Scheme},
    incident::{Clock, IncidentState, IncidentStatus, JournalEntry, Missed},
};

/// People are asked for the first time, or modosu acts: both clocks begin.
pub fn begin(status: &mut IncidentStatus, scheme: &Scheme, now: Timestamp) {
    let grade = scheme.find(&status.grade);
    status.decider = grade.map(|grade| grade.decider.clone());
    status.asked_at = Some(now);
    status.decide_by = grade.and_then(|grade| grade.decide_within).map(|within| now + within.0);
    status.done_by = grade.and_then(|grade| grade.done_within).map(|within| now + within.0);
    respond(status);
}

/// modosu acted and stopped: from now on people are awaited, and have the grade's whole time to decide.
pub fn ask_again(status: &mut IncidentStatus, scheme: &Scheme, now: Timestamp) {
    let grade = scheme.find(&status.grade);
    status.asked_at = Some(now);
    status.decide_by = grade.and_then(|grade| grade.decide_within).map(|within| now + within.0);
    respond(status);
}

/// The grade rose: its decider is asked, and what it wants sooner is due sooner. Nothing is ever due later.
pub fn tighten(status: &mut IncidentStatus, scheme: &Scheme, now: Timestamp) {
    let Some(grade) = scheme.find(&status.grade) else {
        return;
    };
    status.decider = Some(grade.decider.clone());
    if status.asked_at.is_none() {
        return;
    }
    status.asked_at = Some(now);
    let sooner = |by: Option<Timestamp>, within: Option<Timestamp>| by.into_iter().chain(within).min();
    status.decide_by = sooner(status.decide_by, grade.decide_within.map(|within| now + within.0));
    status.done_by = sooner(status.done_by, grade.done_within.map(|within| now + within.0));
    respond(status);
}

/// Where a clock ran out, the next role of the chain is asked, once it is its turn; where there is none, that is said once.
/// One role at a time: whoever is asked has the time that the chain gives, also after modosu was down.
pub fn run_out(status: &mut IncidentStatus, scheme: &Scheme, now: Timestamp) -> Option<Happened> {
    let (clock, due) = overdue(status, now)?;
    let chain = scheme.chain(&status.grade);
    let asked = |contact: &&&Contact| {
        status
            .missed
            .iter()
            .any(|missed| missed.role.as_ref() == Some(&contact.role))
    };
    let mut ahead = chain.iter().filter(|contact| !asked(contact));
    let next = ahead.next();
    let turn = |contact: &Contact| between(due.max(status.asked_at.unwrap_or(due)), now) >= contact.after.0;
    let is_news = !noted(status, clock, due);
    if next.map_or(!is_news, |contact| !turn(contact)) {
        return None;
    }
    let role = next.map(|contact| contact.role.clone());
    let happened = Happened::ClockMissed {
        clock,
        due,
        asked: status.decider.clone(),
        next: role.clone(),
        last: ahead.next().is_none(),
    };
    if let Some(role) = &role {
        status.decider = Some(role.clone());
        status.asked_at = Some(now);
    }
    let at = now;
    status.missed.push(Missed { clock, due, at, role });
    note(status, now, happened.to_string());
    Some(happened)
}

/// A line of the journal that is neither intent nor receipt. It carries the number of the entry before it, so that the
/// plan's steps keep theirs.
pub fn note(status: &mut IncidentStatus, at: Timestamp, text: String) {
    let before = status.journal.iter().map(|entry| entry.seq).max();
    status.journal.push(JournalEntry {
        seq: before.unwrap_or(0),
        at,
        intent: None,
        receipt: None,
        target: None,
        resource_version: None,
        note: Some(text),
    });
}

/// The first running clock that ran out; one that was not noted yet comes first.
fn overdue(status: &IncidentStatus, now: Timestamp) -> Option<(Clock, Timestamp)> {
    let (awaited, open) = match status.state {
        Some(IncidentState::AwaitingDecision | IncidentState::Escalated) => (true, true),
        Some(IncidentState::RollingBack | IncidentState::Verifying) => (false, true),
        Some(
            IncidentState::Observed
            | IncidentState::Recovered
            | IncidentState::RecoveredByHand
            | IncidentState::Kept
            | IncidentState::Passed
            | IncidentState::Superseded
            | IncidentState::Abandoned,
        )
        | None => (false, false),
    };
    let clocks = [
        (Clock::Decide, status.decide_by.filter(|_| awaited)),
        (Clock::Done, status.done_by.filter(|_| open)),
    ];
    let late = clocks.into_iter().filter_map(|(clock, due)| Some((clock, due?)));
    let late = late.filter(|(_, due)| *due <= now);
    late.min_by_key(|(clock, due)| (noted(status, *clock, *due), *due))
}

fn noted(status: &IncidentStatus, clock: Clock, due: Timestamp) -> bool {
    status
        .missed
        .iter()
        .any(|missed| missed.clock == clock && missed.due == due)
}

fn respond(status: &mut IncidentStatus) {
    status.respond_by = status.decide_by.into_iter().chain(status.done_by).min();
}
