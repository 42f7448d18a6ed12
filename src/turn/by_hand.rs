//! IO. What people write on a guard by hand: annotations that are followed once and taken down.

use super::{Shared, guarded::Guarded};
use crate::act::record;

/// Lifts a retry lock: the hash of the state that may return.
pub const ALLOW: &str = "modosu.dev/allow";

const TAKE_DOWN: &str = "take an annotation down";

impl Guarded {
    /// The state that a person allows to return, unless that was followed already.
    pub(super) fn allowed(&self) -> Option<String> {
        let noted = self.note_of(ALLOW)?;
        (self.followed.as_deref() != Some(noted)).then(|| noted.trim().to_owned())
    }

    fn note_of(&self, key: &str) -> Option<&str> {
        self.guard.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Takes down what was followed, once that is written. What a daemon that was killed in between left there is followed
    /// again, which changes nothing.
    pub(super) async fn take_down(&mut self, shared: &Shared<'_>) {
        let Some(noted) = self.note_of(ALLOW).map(str::to_owned) else {
            self.followed = None;
            return;
        };
        let tried = self.followed.replace(noted.clone()).as_ref() == Some(&noted);
        if !tried || self.failing.contains(TAKE_DOWN) {
            let taken = record::take_down(shared.api, &self.guard, ALLOW, &noted).await;
            self.note(taken, TAKE_DOWN);
        }
    }
}
