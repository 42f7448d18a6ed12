//! Prometheus as a whole: its scrapes, its samples, and whether it runs.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{
    ast::Expr,
    parse,
    scrape::Scrapes,
    series::{Labels, Millis, Storage},
    target::{Page, Source},
};
use crate::{audit::Reply, node::Node, world::WorldOptions};

/// How often series without new samples are dropped.
const SWEEP: Millis = 10 * 60 * 1000;

/// Queries that are kept parsed.
const REMEMBERED: usize = 512;

/// The server.
pub(crate) struct Server {
    scrapes: Scrapes,
    pub(crate) storage: Storage,
    stopped: bool,
    swept: Millis,
    parsed: BTreeMap<String, Arc<Expr>>,
    hook: Option<Hook>,
}

pub(crate) type Hook = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

impl Server {
    pub(crate) fn new(options: &WorldOptions) -> Self {
        let interval = Millis::try_from(options.scrape_interval.as_millis()).unwrap_or(15_000);
        Server {
            scrapes: Scrapes::new(interval.max(1), options.seed),
            storage: Storage::default(),
            stopped: false,
            swept: 0,
            parsed: BTreeMap::new(),
            hook: None,
        }
    }

    /// Makes the scrapes that are due.
    pub(crate) fn advance(&mut self, now: Timestamp, node: &mut Node) {
        if self.stopped {
            return;
        }
        let now = now.as_millisecond();
        self.scrapes.advance(&mut self.storage, node, now);
        if now > self.swept + SWEEP {
            self.swept = now;
            self.storage.forget(now);
        }
    }

    /// The query as an expression; those asked again and again are parsed once.
    pub(crate) fn parsed(&mut self, query: &str) -> Result<Arc<Expr>, String> {
        if let Some(expression) = self.parsed.get(query) {
            return Ok(expression.clone());
        }
        let expression = Arc::new(parse::parsed(query)?);
        if self.parsed.len() >= REMEMBERED {
            self.parsed.clear();
        }
        self.parsed.insert(query.to_owned(), expression.clone());
        Ok(expression)
    }

    /// Learns which pods there are, after they changed.
    pub(crate) fn discover(&mut self, now: Timestamp, node: &Node) {
        if !self.stopped {
            self.scrapes.discover(node, now.as_millisecond());
        }
    }

    /// When a scrape is due that cannot be made up for later.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        let at = self.scrapes.next_at().filter(|_| !self.stopped)?;
        Timestamp::from_millisecond(at).ok()
    }

    pub(crate) fn hook(&mut self, hook: Option<Hook>) {
        self.hook = hook;
    }

    /// What is to be done with this query.
    pub(crate) fn reply(&self, query: &str) -> Reply {
        self.hook.as_ref().map_or(Reply::GoOn, |hook| hook(query))
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.scrapes.interrupt();
    }

    pub(crate) fn start(&mut self, now: Timestamp) {
        if std::mem::replace(&mut self.stopped, false) {
            self.scrapes.resume(now.as_millisecond());
        }
    }

    pub(crate) fn add_static(&mut self, now: Timestamp, labels: &[(&str, &str)], page: Page) {
        let mut labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        labels.sort();
        let labels: Labels = labels.into();
        self.scrapes.add(labels, Source::Fixed(page), now.as_millisecond());
    }
}
