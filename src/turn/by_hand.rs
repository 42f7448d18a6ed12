//! IO. What people write on a guard by hand: annotations that are followed once and taken down.

use kube::ResourceExt;

use super::{Shared, guarded::Guarded};
use crate::{
    act::record,
    decide::by_hand::Wish,
    model::freeze::{BY, REASON, UNTIL},
    observe::older::{Older, older},
};

/// Lifts a retry lock: the hash of the state that may return.
pub const ALLOW: &str = "modosu.dev/allow";
/// Puts back: the hash of a proven state, or `restoreTo`.
pub const ROLLBACK: &str = "modosu.dev/rollback";
/// Only these targets, `, ` between them.
pub const ONLY: &str = "modosu.dev/only";

const TAKE_DOWN: &str = "take an annotation down";

/// What was followed, or refused, and is being taken down.
#[derive(Debug, Default)]
pub struct Followed {
    allow: Option<String>,
    refused: Option<String>,
}

impl Guarded {
    /// The state that a person allows to return, unless that was followed already.
    pub(super) fn allowed(&self) -> Option<String> {
        let noted = self.note_of(ALLOW)?;
        (self.followed.allow.as_deref() != Some(noted)).then(|| noted.trim().to_owned())
    }

    /// What a person wants to be put back, until it is taken down; what was refused is refused once.
    pub(super) fn wish(&self) -> Option<Wish> {
        let noted = self.note_of(ROLLBACK)?;
        let only = self.note_of(ONLY).unwrap_or_default().split(',').map(str::trim);
        (self.followed.refused.as_deref() != Some(noted)).then(|| Wish {
            to: noted.trim().to_owned(),
            only: only.filter(|target| !target.is_empty()).map(str::to_owned).collect(),
            by: self.note_of(BY).map(str::to_owned),
            reason: self.note_of(REASON).map(str::to_owned),
        })
    }

    /// Where people may go without proof; looked for where one says where to.
    pub(super) fn older(&self, shared: &Shared<'_>) -> Vec<Older> {
        let decided = self.case.iter().filter_map(|case| case.spec.decision.as_ref());
        let says_where = decided.into_iter().any(|decision| decision.to.is_some());
        if !says_where && self.note_of(ROLLBACK).is_none() {
            return Vec::new();
        }
        let namespace = self.guard.namespace().unwrap_or_default();
        older(&namespace, &self.guard.spec, shared.cluster)
    }

    /// What a person wants cannot be done, as they are told.
    pub(super) fn refuse(&mut self) {
        self.followed.refused = self.note_of(ROLLBACK).map(str::to_owned);
    }

    fn note_of(&self, key: &str) -> Option<&str> {
        self.guard.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Takes down what was followed, once that is written. A lifted lock that a daemon was killed over is lifted again, which
    /// changes nothing; a wish is carried out only after it was taken down.
    pub(super) async fn take_down(&mut self, shared: &Shared<'_>) {
        match self.note_of(ALLOW).map(str::to_owned) {
            None => self.followed.allow = None,
            Some(noted) => {
                let tried = self.followed.allow.replace(noted.clone()).as_ref() == Some(&noted);
                if !tried || self.failing.contains(TAKE_DOWN) {
                    self.take(shared, &[ALLOW]).await;
                }
            }
        }
        match self.note_of(ROLLBACK).map(str::to_owned) {
            None => self.followed.refused = None,
            Some(noted) if self.case.is_some() || self.followed.refused.as_ref() == Some(&noted) => {
                self.take(shared, &[ROLLBACK, ONLY]).await;
            }
            Some(_) => {}
        }
    }

    /// Who asked and why goes with it, unless that is said of a freeze.
    async fn take(&mut self, shared: &Shared<'_>, keys: &[&str]) {
        if shared.settings.read_only {
            return;
        }
        let said = if self.note_of(UNTIL).is_some() {
            &[][..]
        } else {
            &[BY, REASON]
        };
        let taken = record::take_down(shared.api, &self.guard, &[keys, said].concat()).await;
        self.note(taken, TAKE_DOWN);
    }
}
