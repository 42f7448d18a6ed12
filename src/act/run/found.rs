//! What was found out a moment ago and need not be asked again at once: every write tests by itself whether it is still so.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::OnceCell, time::Instant};

use crate::{
    act::target,
    decide::ready::Answer,
    model::{content::Contents, guard::TargetRef},
};

/// By target: how it was read. What does not exist is left out.
pub type Reads = BTreeMap<TargetRef, target::Read>;

/// So long a dry run stands for the one right before the first write.
const MOMENT: Duration = Duration::from_secs(2);

/// What is known of a plan's objects within one turn.
#[derive(Default)]
pub struct Found {
    /// What the state holds that is restored: it is named by its content.
    pub kept: OnceCell<Contents>,
    reads: Mutex<Reads>,
    tried: Option<Tried>,
}

/// A dry run.
struct Tried {
    plan: String,
    answer: Answer,
    began: Instant,
}

impl Found {
    /// How targets were just read.
    pub fn keep(&self, reads: Reads) {
        self.reads().extend(reads);
    }

    /// The target as it was last read; the next time it is read anew.
    pub fn take(&self, target: &TargetRef) -> Option<target::Read> {
        self.reads().remove(target)
    }

    /// All targets as they were last read.
    pub fn all(&self) -> Reads {
        self.reads().clone()
    }

    /// What the server said of the plan with that hash, in a dry run that began then.
    pub fn tried(&mut self, plan: String, answer: Answer, began: Instant) {
        self.tried = Some(Tried { plan, answer, began });
    }

    /// The same, of a moment ago.
    pub fn answer(&self, plan: Option<&String>) -> Option<Answer> {
        let tried = self.tried.as_ref().filter(|tried| Some(&tried.plan) == plan)?;
        (tried.began.elapsed() <= MOMENT).then(|| tried.answer.clone())
    }

    fn reads(&self) -> std::sync::MutexGuard<'_, Reads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
