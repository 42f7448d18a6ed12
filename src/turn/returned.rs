//! IO. What the present state consists of, read where some of what was put back may be in it.

use jiff::Timestamp;
use kube::ResourceExt;

use super::{Shared, guarded::Guarded};
use crate::{
    act::target,
    decide::{fields::fields, lock},
    model::content::state_of,
    observe::seen::Seen,
};

impl Guarded {
    /// Reads it once for each state. Until it can be read, and where it is another one by then, nothing is known of it.
    pub(super) async fn read_fields(&mut self, shared: &Shared<'_>, seen: &Seen, now: Timestamp) {
        if !lock::asks_for_fields(&self.record, now) {
            self.fields = None;
            return;
        }
        if self.fields.as_ref().is_some_and(|(hash, _)| *hash == seen.hash) {
            return;
        }
        self.fields = None;
        let namespace = self.guard.namespace().unwrap_or_default();
        let read = target::read_all(shared.api, &namespace, seen.parts.keys())
            .await
            .map(target::contents);
        let read = self.note(read, "read what returned");
        let read = read.filter(|(contents, _)| state_of(contents) == seen.hash);
        self.fields = read.map(|(contents, _)| (seen.hash.clone(), fields(&contents)));
    }
}
