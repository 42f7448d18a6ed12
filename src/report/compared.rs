//! Pure. What a guard's signals are compared with: where those numbers come from, when they were taken, and of which state.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{view::BaselineView, words};
use crate::model::guard::{BaselinePolicy, Guard, GuardStatus};

const AN_HOUR: Duration = Duration::from_secs(3600);

impl BaselineView {
    /// As the guard asks for it and its status holds it.
    pub fn of(guard: &Guard, status: &GuardStatus) -> Self {
        let taken = status.baseline.as_ref();
        let hash = taken.map(|taken| taken.hash.clone()).filter(|hash| !hash.is_empty());
        let current = status.current.iter().map(|c| (&c.hash, &c.images));
        let known = current.chain(status.restore_to.iter().map(|to| (&to.hash, &to.images)));
        let images = known
            .filter(|(of, _)| Some(*of) == hash.as_ref())
            .map(|(_, images)| images.clone())
            .next();
        Self {
            origin: origin(guard.spec.baseline.as_ref()),
            taken_at: taken.map(|taken| taken.taken_at),
            hash,
            images: images.unwrap_or_default(),
        }
    }
}

/// Where the numbers come from.
fn origin(spec: Option<&BaselinePolicy>) -> String {
    let healthy = |window: Duration| format!("up to {} of healthy time before a change", length(window));
    let others = |own: String| format!("{own}; for other signals {}", healthy(AN_HOUR));
    let Some(spec) = spec else {
        return healthy(AN_HOUR);
    };
    if let Some(offset) = spec.offset {
        return format!("the same time {} before a change", length(offset.0));
    }
    if let Some(fixed) = &spec.fixed {
        let names: Vec<&str> = fixed.keys().map(String::as_str).collect();
        return others(format!("fixed numbers for {}", names.join(", ")));
    }
    if let Some(query) = &spec.query {
        let names: Vec<&str> = query.keys().map(String::as_str).collect();
        return others(format!("a query asked at a change for {}", names.join(", ")));
    }
    healthy(spec.window.map_or(AN_HOUR, |window| window.0))
}

/// `1 h`, `90 min`, `7 days`.
fn length(length: Duration) -> String {
    if length == AN_HOUR {
        return "1 h".to_owned();
    }
    SignedDuration::try_from(length).map_or_else(|_| format!("{length:?}"), words::length)
}

/// One sentence for the guard's page.
pub(super) fn sentence(baseline: &BaselineView, now: Timestamp) -> String {
    let mut told = baseline.origin.clone();
    match baseline.taken_at {
        Some(at) => told += &format!("; taken {}", words::when(at, now)),
        None if baseline.origin.starts_with("fixed") => {}
        None => told += "; not taken yet",
    }
    if let Some(hash) = &baseline.hash {
        told += &format!(" of {}", words::named(hash, &baseline.images));
    }
    told
}
