//! One target: when it is scraped, and which series its last page had.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    exposition,
    series::{Labels, Millis, Storage},
};
use crate::app::traffic::Line;

/// A page of your own; `None` is a connection refused.
pub(crate) type Page = Box<dyn Fn(Timestamp) -> Option<String> + Send>;

/// Where a target's page comes from.
pub(crate) enum Source {
    Pod(String),
    Fixed(Page),
}

/// A scrape that has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    pub(crate) started: Millis,
    pub(crate) ends: Millis,
    pub(crate) refused: bool,
}

/// One target.
pub(crate) struct Target {
    pub(crate) source: Source,
    pub(crate) labels: Labels,
    pub(crate) next: Millis,
    pub(crate) running: Option<Running>,
    /// Since when discovery does not name it any more: when its series end, and when that is told.
    pub(crate) left: Option<(Millis, Millis)>,
    series: Vec<(Arc<str>, u64)>,
    own: Option<[u64; 2]>,
}

impl Target {
    pub(crate) fn new(source: Source, labels: Labels, next: Millis) -> Target {
        Target {
            source,
            labels,
            next,
            running: None,
            left: None,
            series: Vec::new(),
            own: None,
        }
    }

    /// Stores a page; series that the page before had and this one lacks become stale.
    pub(crate) fn store(&mut self, storage: &mut Storage, time: Millis, page: &[Line]) {
        let before = std::mem::take(&mut self.series);
        for (guess, (text, value)) in page.iter().enumerate() {
            let known = before
                .get(guess)
                .filter(|(seen, _)| seen == text)
                .or_else(|| before.iter().find(|(seen, _)| seen == text));
            let id = known
                .map(|(_, id)| *id)
                .filter(|id| storage.append(*id, time, Some(*value)));
            let id = id.or_else(|| {
                let (name, labels) = exposition::series(text, &self.labels)?;
                let id = storage.id(name, &labels);
                storage.append(id, time, Some(*value));
                Some(id)
            });
            if let Some(id) = id {
                self.series.push((text.clone(), id));
            }
        }
        if self.series.len() == before.len() && same_names(&self.series, &before) {
            return;
        }
        for (text, id) in &before {
            if !self.series.iter().any(|(seen, _)| seen == text) {
                storage.append(*id, time, None);
            }
        }
    }

    /// Stores what Prometheus itself says of a scrape; `None` ends the two series.
    pub(crate) fn report(&mut self, storage: &mut Storage, time: Millis, said: Option<[f64; 2]>) {
        let mut ids = self
            .own
            .unwrap_or_else(|| ["up", "scrape_duration_seconds"].map(|name| storage.id(name, &self.labels)));
        let names = ["up", "scrape_duration_seconds"];
        for (at, (id, name)) in ids.iter_mut().zip(names).enumerate() {
            let value = said.map(|values| values[at]);
            if !storage.append(*id, time, value) {
                *id = storage.id(name, &self.labels);
                storage.append(*id, time, value);
            }
        }
        self.own = Some(ids);
    }
}

fn same_names(one: &[(Arc<str>, u64)], other: &[(Arc<str>, u64)]) -> bool {
    one.iter().zip(other).all(|((one, _), (other, _))| one == other)
}
