//! IO. What a modosu that writes no incidents says in their place: once, and in the guard's status for as long as it holds.

use std::collections::BTreeSet;

use super::{Shared, guarded::Guarded};
use crate::decide::{Happened, open::Draft};

/// What was told, of which state.
pub(super) struct Found {
    hash: String,
    triggers: BTreeSet<String>,
    pub sentence: String,
}

impl Guarded {
    /// Tells what would be an incident, where that is news.
    pub(super) fn only_tell(&mut self, shared: &Shared<'_>, draft: &Draft) {
        let spec = &draft.spec;
        let triggers: BTreeSet<String> = spec.triggers.iter().map(|evidence| evidence.name.clone()).collect();
        let told = self.found.take().filter(|told| told.hash == spec.bad.hash);
        let news = told.is_none_or(|told| !triggers.is_subset(&told.triggers));
        let sentence = spec.summary.clone();
        if news {
            self.tell(
                shared,
                &Happened::Found {
                    sentence: sentence.clone(),
                },
            );
        }
        self.found = Some(Found {
            hash: spec.bad.hash.clone(),
            triggers,
            sentence,
        });
    }
}
