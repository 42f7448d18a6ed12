//! IO. Requests of checks and steps, each in a task of its own: no turn waits for one. What was answered is taken by a later
//! turn, which is rung for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{fence::Fence, http::Http};
use crate::{model::guard::HttpCheck, observe::cache::Changes};

/// So many are remembered; beyond it those that were answered are forgotten.
const REMEMBERED: usize = 10_000;

/// What a request is asked for: the incident's uid, and the step or the check.
pub type Key = (String, String);

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// This process never sent it.
    Never,
    UnderWay,
    /// What was answered, in words.
    Answered(Result<String, String>),
}

/// Requests under way and answered. Cheap to clone.
#[derive(Clone)]
pub struct Asks {
    http: Http,
    fence: Fence,
    changes: Arc<Changes>,
    all: Arc<Mutex<BTreeMap<Key, Asked>>>,
}

impl Asks {
    /// Sends by `http` past the fence, and rings by `changes`.
    pub fn new(http: Http, fence: Fence, changes: Arc<Changes>) -> Self {
        let all = Arc::default();
        Self {
            http,
            fence,
            changes,
            all,
        }
    }

    /// What is known of it.
    pub fn of(&self, key: &Key) -> Asked {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(key).cloned().unwrap_or(Asked::Never)
    }

    /// Sends it; a turn of that namespace hears the answer.
    pub fn send(&self, key: Key, namespace: &str, asked: &HttpCheck, within: Duration) {
        self.note(key.clone(), Asked::UnderWay);
        let (asks, namespace, asked) = (self.clone(), namespace.to_owned(), asked.clone());
        tokio::spawn(async move {
            match asks.fence.lead(asks.http.ask(&asked, within)).await {
                Ok(answer) => asks.note(key, Asked::Answered(answer)),
                // What came of it is the next leader's to find out, as after a crash.
                Err(_) => asks.note(key, Asked::Never),
            }
            asks.changes.touch(&namespace);
        });
    }

    fn note(&self, key: Key, asked: Asked) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.retain(|_, known| *known == Asked::UnderWay);
        }
        all.insert(key, asked);
    }
}
