//! What the API server was asked: every write for the stories to look at, and hooks that see a
//! request before and after it is carried out and can spoil its answer.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;

use crate::api::{failure::Failure, route::Verb};

/// Writes that are remembered; of leases, which are renewed all day, fewer.
const KEPT: usize = 20_000;
const KEPT_LEASES: usize = 1_000;

/// One write that a client asked for.
#[derive(Clone, Debug)]
pub struct Write {
    /// Counts all requests of the world, from 1.
    pub number: u64,
    /// Who asked: the name given to `World::client`.
    pub user: String,
    /// What was asked.
    pub verb: Verb,
    /// The plural, such as `deployments`.
    pub resource: String,
    /// `status`, or "".
    pub subresource: String,
    /// The namespace, or "".
    pub namespace: String,
    /// The object's name; for a creation the one in the body.
    pub name: String,
    /// The HTTP code that was answered.
    pub code: u16,
    /// When it was carried out.
    pub at: Timestamp,
    /// Nothing was stored because nothing was to be stored.
    pub dry_run: bool,
    /// The body as sent: an object, a patch, or delete options.
    pub body: Value,
}

/// When a hook sees a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It came in; nothing has happened yet.
    Before,
    /// It was carried out with this HTTP code; the client does not know yet.
    After(u16),
}

/// A request as a hook sees it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Before or after it is carried out.
    pub stage: Stage,
    /// Counts all requests of the world, from 1.
    pub number: u64,
    /// Who asks.
    pub user: String,
    /// What is asked.
    pub verb: Verb,
    /// The plural, such as `deployments`.
    pub resource: String,
    /// `status`, or "".
    pub subresource: String,
    /// The namespace, or "".
    pub namespace: String,
    /// The object's name, or "".
    pub name: String,
    /// Nothing is stored.
    pub dry_run: bool,
    /// The body, `Null` where there is none.
    pub body: Value,
}

/// What a hook does to a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Nothing: it goes on as it would.
    GoOn,
    /// The client gets this error. Before: nothing is carried out.
    Fail(Failure),
    /// It goes on after this time.
    Delay(Duration),
    /// Before: it is carried out after this time, whether or not the client still waits; it is never answered.
    Late(Duration),
    /// The connection breaks. Before: nothing is carried out.
    Cut,
    /// It is carried out, and then the connection breaks: the client never learns the answer.
    LoseAnswer,
    /// Nothing happens any more; the client waits. After: it was carried out.
    Hang,
}

/// What a hook does to a query of Prometheus.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Nothing: it is answered as it would be.
    GoOn,
    /// An error: HTTP code, `errorType`, `error`.
    Fail(u16, String, String),
    /// It is answered, with this warning.
    Warn(String),
    /// It is answered after this time, as of then where it names no time.
    Delay(Duration),
    /// It is never answered.
    Hang,
    /// This is answered instead: HTTP code, content type (`Location` where it is a redirect), body.
    Instead(u16, String, String),
}

type Hook = Arc<dyn Fn(&Call) -> Answer + Send + Sync>;

/// The audit list and the hooks.
#[derive(Default)]
pub(crate) struct Audit {
    requests: u64,
    counts: BTreeMap<(Verb, String), u64>,
    writes: VecDeque<Write>,
    leases: VecDeque<Write>,
    hooks: Vec<Hook>,
}

impl Audit {
    pub(crate) fn counted(&mut self, verb: Verb, resource: &str) -> u64 {
        self.requests += 1;
        *self.counts.entry((verb, resource.to_owned())).or_default() += 1;
        self.requests
    }

    pub(crate) fn record(&mut self, write: Write) {
        let (list, most) = match write.resource.as_str() {
            "leases" => (&mut self.leases, KEPT_LEASES),
            _ => (&mut self.writes, KEPT),
        };
        list.push_back(write);
        if list.len() > most {
            list.pop_front();
        }
    }

    pub(crate) fn writes(&self) -> Vec<Write> {
        let mut writes: Vec<Write> = self.writes.iter().chain(&self.leases).cloned().collect();
        writes.sort_by_key(|write| write.number);
        writes
    }

    pub(crate) fn counts(&self) -> BTreeMap<(Verb, String), u64> {
        self.counts.clone()
    }

    pub(crate) fn hook(&mut self, hook: Hook) {
        self.hooks.push(hook);
    }

    pub(crate) fn unhook(&mut self) {
        self.hooks.clear();
    }

    pub(crate) fn hooks(&self) -> Vec<Hook> {
        self.hooks.clone()
    }
}

/// The first answer that is not to go on.
pub(crate) fn asked(hooks: &[Hook], call: &Call) -> Answer {
    hooks
        .iter()
        .map(|hook| hook(call))
        .find(|answer| !matches!(answer, Answer::GoOn))
        .unwrap_or(Answer::GoOn)
}
