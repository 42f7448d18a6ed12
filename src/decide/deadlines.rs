//! Pure. The clocks of a grade, and who is asked next when one has run out.
//!
//! *Decide by* runs while people are awaited, or something is only observed; *done by* until the incident ends. What was
//! missed stands in the status, so that a restart neither forgets it nor tells it twice. A missed clock asks the next role of
//! the chain and nothing more: silence is never a yes.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{fmt, time::Duration};

use jiff::Timestamp;

use super::{Happened, between};
use crate::model::{
    grade::{Contact, Scheme},
    incident::{Clock, IncidentState, IncidentStatus, JournalEntry, Missed},
};

/// A clock that ran out, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    pub clock: Clock,
    pub due: Timestamp,
    /// Who had been asked.
    pub asked: Option<String>,
    /// Who is asked now; `None`: nobody further is in the chain.
    pub next: Option<String>,
    /// Nobody comes after that.
    pub last: bool,
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.clock {
            Clock::Decide => "nobody decided",
            Clock::Done => "it was not over",
        };
        write!(f, "{what} by {}", self.due.strftime("%Y-%m-%d %H:%M:%S UTC"))?;
        if let Some(asked) = &self.asked {
            write!(f, " ({asked} was asked)")?;
        }
        match &self.next {
            Some(next) if self.last => write!(f, ": {next} is asked now, the last in the chain"),
            Some(next) => write!(f, ": {next} is asked now"),
            None => f.write_str(": nobody further is in the chain"),
        }
    }
}

/// People are asked for the first time, or modosu acts: both clocks begin.
pub fn begin(status: &mut IncidentStatus, scheme: &Scheme, now: Timestamp) {
    let grade = scheme.find(&status.grade);
    status.decider = grade.map(|grade| grade.decider.clone());
    status.asked_at = Some(now);
    status.decide_by = grade.and_then(|grade| grade.decide_within).map(|within| now + within.0);
    status.done_by = grade.and_then(|grade| grade.done_within).map(|within| now + within.0);
    respond(status);
}

/// From now on people are awaited, and have the grade's whole time to decide. How long it may last began earlier, unless
/// it was only observed so far.
pub fn ask(status: &mut IncidentStatus, scheme: &Scheme, now: Timestamp) {
    if status.asked_at.is_none() {
        begin(status, scheme, now);
        return;
    }
    let grade = scheme.find(&status.grade);
    status.asked_at = Some(now);
    status.decide_by = grade.and_then(|grade| grade.decide_within).map(|within| now + within.0);
    respond(status);
}

/// Who is asked now has so long to decide.
pub fn decide_within(status: &mut IncidentStatus, now: Timestamp, within: Duration) {
    status.decide_by = now.checked_add(within).ok();
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
    let late = overdue(status, now);
    let first = late.iter().map(|(_, due)| *due).min()?;
    // One that was not told of yet is the one to tell of.
    let (clock, due) = late
        .iter()
        .copied()
        .min_by_key(|(clock, due)| (noted(status, *clock, *due), *due))?;
    let chain = scheme.chain(&status.grade);
    let asked = |contact: &&&Contact| {
        let mut asked = status.missed.iter().filter(|missed| missed.grade == status.grade);
        asked.any(|missed| missed.role.as_ref() == Some(&contact.role))
    };
    let mut ahead = chain.iter().filter(|contact| !asked(contact));
    let next = ahead.next();
    let asked_at = status.asked_at.map_or(first, |at| at.max(first));
    let turn = |contact: &Contact| between(asked_at, now) >= contact.after.0;
    let is_news = !noted(status, clock, due);
    if next.map_or(!is_news, |contact| !turn(contact)) {
        return None;
    }
    let role = next.map(|contact| contact.role.clone());
    let happened = Happened::ClockMissed(Late {
        clock,
        due,
        asked: status.decider.clone(),
        next: role.clone(),
        last: ahead.next().is_none(),
    });
    if let Some(role) = &role {
        status.decider = Some(role.clone());
        status.asked_at = Some(now);
    }
    status.missed.push(Missed {
        clock,
        due,
        at: now,
        role,
        grade: status.grade.clone(),
    });
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

/// The running clocks that ran out.
fn overdue(status: &IncidentStatus, now: Timestamp) -> Vec<(Clock, Timestamp)> {
    // Nobody is asked as long as it waits for the proof of others.
    let waits = status.common_cause.as_ref().is_some_and(|cause| cause.waiting);
    let (awaited, open) = match status.state {
        Some(IncidentState::AwaitingDecision | IncidentState::Escalated) => (!waits, true),
        // A ticket that nobody took up. Where the mode lets modosu only record, its clocks never began.
        Some(IncidentState::Observed) => (true, true),
        Some(IncidentState::RollingBack | IncidentState::Verifying) => (false, true),
        Some(
            IncidentState::Recovered
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
    late.filter(|(_, due)| *due <= now).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn scheme() -> Scheme {
        Scheme::parse(
            "grades:
  - {name: red, decider: chief, decideWithin: 2h, doneWithin: 3h}
  - {name: yellow, decider: me, decideWithin: 1h, chain: [{role: you, after: 10m}, {role: chief, onlyFrom: red}]}
  - {name: green, decider: anybody}",
        )
        .unwrap()
    }

    fn awaiting(grade: &str) -> IncidentStatus {
        let mut status = IncidentStatus {
            state: Some(IncidentState::AwaitingDecision),
            grade: grade.into(),
            ..IncidentStatus::default()
        };
        begin(&mut status, &scheme(), at(0));
        status
    }

    #[test]
    fn a_worse_grade_is_due_sooner_and_never_later() {
        let mut status = awaiting("yellow");
        assert_eq!((status.decide_by, status.done_by), (Some(at(3_600)), None));
        status.grade = "red".into();
        tighten(&mut status, &scheme(), at(1_800));
        assert_eq!(status.decide_by, Some(at(3_600)), "two hours from now would be later");
        assert_eq!(status.done_by, Some(at(1_800 + 3 * 3_600)), "the new clock begins now");
        assert_eq!(status.respond_by, Some(at(3_600)), "the first of the two");
        assert_eq!(status.decider.as_deref(), Some("chief"));
    }

    #[test]
    fn the_next_role_is_asked_when_the_one_before_had_its_time_and_the_end_is_said_once() {
        let mut status = awaiting("yellow");
        let mut told = Vec::new();
        for minute in 0..600 {
            told.extend(run_out(&mut status, &scheme(), at(minute * 60)).map(|said| format!("{minute} min: {said}")));
        }
        assert_eq!(
            told,
            [
                "70 min: nobody decided by 1970-01-01 01:00:00 UTC (me was asked): you is asked now, the last in the chain"
            ],
            "the chief only from red up"
        );
        let mut status = awaiting("red");
        let told: Vec<_> = (0..600)
            .filter_map(|minute| run_out(&mut status, &scheme(), at(minute * 60)))
            .collect();
        assert_eq!(told.len(), 2, "once for each clock: {told:?}");
        assert!(
            told[1].to_string().ends_with("nobody further is in the chain"),
            "{told:?}"
        );
        assert_eq!(status.decider.as_deref(), Some("chief"));
        assert_eq!(status.journal.len(), 2);
    }

    #[test]
    fn after_a_long_sleep_whoever_is_asked_still_has_the_time_that_the_chain_gives() {
        let chain = "[{role: two}, {role: three, after: 10m}]";
        let scheme = Scheme::parse(&format!(
            "grades: [{{name: x, decider: one, decideWithin: 1h, chain: {chain}}}]"
        ));
        let scheme = scheme.unwrap();
        let mut status = IncidentStatus {
            state: Some(IncidentState::AwaitingDecision),
            grade: "x".into(),
            ..IncidentStatus::default()
        };
        begin(&mut status, &scheme, at(0));
        let late = 100_000;
        assert!(run_out(&mut status, &scheme, at(late)).is_some());
        assert_eq!(run_out(&mut status, &scheme, at(late + 599)), None);
        assert!(run_out(&mut status, &scheme, at(late + 600)).is_some());
    }

    #[test]
    fn a_grade_without_clocks_is_never_late() {
        let mut status = awaiting("green");
        assert_eq!(status.respond_by, None);
        assert_eq!(run_out(&mut status, &scheme(), at(10_000_000)), None);
    }

    #[test]
    fn a_note_never_takes_the_number_of_a_step() {
        let mut status = IncidentStatus::default();
        note(&mut status, at(0), "before anything".into());
        assert_eq!(status.journal[0].seq, 0);
        status.journal[0].seq = 3;
        note(&mut status, at(0), "after the third".into());
        assert_eq!(status.journal[1].seq, 3);
        assert!(!status.journal[1].is_step());
    }
}
