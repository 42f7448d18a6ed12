//! What a daemon asks of the API server, in words that are the same in every run, and points on that line.

use std::{fmt, time::Duration};

use modosu_world::Answer;
use serde_json::Value;
use tokio::time::Instant;

/// One request of a daemon, as the embedded world or the tap sees it.
pub struct Request<'a> {
    pub verb: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub name: &'a str,
    pub dry_run: bool,
    pub body: &'a Value,
}

impl Request<'_> {
    /// `patch deployments/orders`, `patch incidents status RollingBack 1 intent`. Names that vary are left out.
    pub fn words(&self) -> String {
        let mut words = format!("{} {}", self.verb, self.resource);
        let varies = ["incidents", "controllerrevisions", "events", "namespaces", "jobs"].contains(&self.resource)
            || self.subresource == "log";
        if !varies && !self.name.is_empty() {
            words += &format!("/{}", self.name);
        }
        if !self.subresource.is_empty() {
            words += &format!(" {}", self.subresource);
        }
        if self.dry_run {
            words += " (dry run)";
        }
        words + &self.recorded()
    }

    /// Of an incident's status: where it stands, and the last entry of its journal.
    fn recorded(&self) -> String {
        let Some(status) = self.body.pointer("/2/value").filter(|_| self.resource == "incidents") else {
            return String::new();
        };
        let last = status["journal"].as_array().and_then(|journal| journal.last());
        let last = last.map(|entry| {
            let word = if entry["intent"].is_string() {
                "intent"
            } else {
                "receipt"
            };
            format!(" {} {word}", entry["seq"])
        });
        let state = status["state"].as_str().unwrap_or_default();
        format!(" {state}{}", last.unwrap_or_default())
    }
}

/// Whether a request of these words may change something.
pub fn changes(words: &str) -> bool {
    !["get ", "list ", "GET "].iter().any(|read| words.starts_with(read))
}

/// On which side of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It never arrives.
    Before,
    /// It is carried out, and its answer never comes.
    After,
}

/// A place between two instructions of a daemon: a request, the how manieth of its words, and the side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    pub request: String,
    pub nth: usize,
    pub side: Side,
}

impl fmt::Display for Point {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, nth, side } = self;
        let side = match side {
            Side::Before => "before",
            Side::After => "after",
        };
        write!(out, "{side} `{request}` ({nth})")
    }
}

/// What happens at a point.
#[derive(Clone, Debug)]
pub enum What {
    /// The daemon is killed.
    Kill,
    /// The daemon is killed, and the request arrives so much later.
    KillLate(Duration),
    /// The API server is down: no request arrives.
    Down,
    /// This becomes of the request.
    Answers(Answer),
}

/// Something that happens at a point, and to the same request for a while after.
#[derive(Clone, Debug)]
pub struct Fault {
    at: Point,
    what: What,
    lasts: Duration,
    began: Option<Instant>,
}

impl Fault {
    pub fn new(at: Point, what: What, lasts: Duration) -> Self {
        Self {
            at,
            what,
            lasts,
            began: None,
        }
    }

    /// What happens here, if anything does.
    pub fn strikes(&mut self, here: &Point, now: Instant) -> Option<&What> {
        let begins = self.began.is_none() && self.at == *here;
        if begins {
            self.began = Some(now);
        }
        let same = here.request == self.at.request && here.side == self.at.side;
        let goes_on = self.is_on(now) && (same || matches!(self.what, What::Down));
        (begins || goes_on).then_some(&self.what)
    }

    pub fn began(&self) -> bool {
        self.began.is_some()
    }

    pub fn is_down(&self, now: Instant) -> bool {
        matches!(self.what, What::Down) && self.is_on(now)
    }

    fn is_on(&self, now: Instant) -> bool {
        self.began.is_some_and(|began| now < began + self.lasts)
    }
}

/// The requests of one daemon in their order, each with its number at the server and when it was made.
#[derive(Default)]
pub struct Line(Vec<(u64, Instant, String)>);

impl Line {
    pub fn add(&mut self, number: u64, request: String) {
        self.0.push((number, Instant::now(), request));
    }

    pub fn requests(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(.., request)| request.as_str())
    }

    /// Those that were made in the same moment, together.
    pub fn rounds(&self) -> Vec<Vec<String>> {
        let rounds = self.0.chunk_by(|(_, one, _), (_, other, _)| one == other);
        let words = |round: &[(u64, Instant, String)]| round.iter().map(|(.., request)| request.clone()).collect();
        rounds.map(words).collect()
    }

    /// Which request that number is, and the how manieth of its words.
    pub fn place(&self, number: u64) -> Option<(&str, usize)> {
        let at = self.0.iter().position(|(other, ..)| *other == number)?;
        let words = &self.0[at].2;
        Some((words, self.0[..=at].iter().filter(|(.., other)| other == words).count()))
    }
}
