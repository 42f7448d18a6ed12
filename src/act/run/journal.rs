//! IO. The journal of a plan: intents before writes, receipts after them, and how much of it is written.

use std::ops::{Deref, DerefMut};

use jiff::Timestamp;

use super::{Run, held};
use crate::{
    act::{ApiError, record, target},
    model::incident::{IncidentStatus, JournalEntry, PlannedStep},
};

/// An incident's status, and how it was written last.
pub struct Journal<'a> {
    pub status: &'a mut IncidentStatus,
    pub written: &'a mut IncidentStatus,
}

impl Deref for Journal<'_> {
    type Target = IncidentStatus;

    fn deref(&self) -> &IncidentStatus {
        self.status
    }
}

impl DerefMut for Journal<'_> {
    fn deref_mut(&mut self) -> &mut IncidentStatus {
        self.status
    }
}

impl Run<'_> {
    pub(super) async fn intent(
        &self,
        seq: u32,
        planned: &PlannedStep,
        read: Option<&target::Read>,
        status: &mut Journal<'_>,
    ) -> Result<(), ApiError> {
        if has_intent(status, seq) {
            return Ok(());
        }
        let version = read.and_then(|read| read.object.metadata.resource_version.clone());
        let intent = JournalEntry {
            intent: Some(planned.step.clone()),
            note: held::revision(planned, read),
            ..entry(seq, self.clock.now(), planned, version)
        };
        self.append(intent, status).await
    }

    pub(super) async fn receipt(
        &self,
        seq: u32,
        planned: &PlannedStep,
        word: &str,
        note: Option<String>,
        version: Option<String>,
        status: &mut Journal<'_>,
    ) -> Result<(), ApiError> {
        let entry = self.received(seq, planned, word, note, version);
        self.append(entry, status).await
    }

    /// The receipt of a write of a target: it is written with what follows, the next intent or the plan's end. Until then it
    /// can be found again by looking at the target.
    pub(super) fn wrote(
        &self,
        seq: u32,
        planned: &PlannedStep,
        word: &str,
        version: Option<String>,
        status: &mut Journal<'_>,
    ) {
        let entry = self.received(seq, planned, word, None, version);
        status.journal.push(entry);
    }

    fn received(
        &self,
        seq: u32,
        planned: &PlannedStep,
        word: &str,
        note: Option<String>,
        version: Option<String>,
    ) -> JournalEntry {
        tracing::info!(
            incident = self.at.name,
            step = planned.step,
            target = planned.target,
            "{} {}: {word}",
            planned.step,
            planned.target.as_deref().unwrap_or("")
        );
        JournalEntry {
            receipt: Some(word.to_owned()),
            note,
            ..entry(seq, self.clock.now(), planned, version)
        }
    }

    /// The entry counts only when it is written, and what came before it with it.
    pub(super) async fn append(&self, entry: JournalEntry, status: &mut Journal<'_>) -> Result<(), ApiError> {
        let mut next = (*status.status).clone();
        next.journal.push(entry);
        record::incident_status(self.api, self.namespace, self.at, &next).await?;
        status.written.clone_from(&next);
        *status.status = next;
        Ok(())
    }
}

pub(super) fn has_intent(status: &IncidentStatus, seq: u32) -> bool {
    status
        .journal
        .iter()
        .any(|entry| entry.seq == seq && entry.intent.is_some())
}

pub(super) fn entry(seq: u32, at: Timestamp, planned: &PlannedStep, resource_version: Option<String>) -> JournalEntry {
    JournalEntry {
        seq,
        at,
        intent: None,
        receipt: None,
        target: planned.target.clone(),
        resource_version,
        note: None,
    }
}
