//! Pure. What every page has around its content: title, red lines, foot.

use std::{fmt::Write as _, time::Duration};

use super::{
    view::{GuardView, StatusView},
    words,
};

/// A turn this long ago: the numbers are old and the page says so.
const OLD: Duration = Duration::from_secs(60);

/// What every page has around its content.
pub(super) struct Frame {
    pub title: String,
    /// Seconds until the browser asks again; a page that people copy from does not.
    pub refresh: Option<u32>,
    /// Red lines: who froze it, what does not answer.
    pub banners: Vec<String>,
    pub foot: String,
    pub json: String,
}

impl Frame {
    /// `guard`: the one that the page is about, whose own freeze is said too.
    pub fn new(status: &StatusView, guard: Option<&GuardView>, age: Duration, title: String, json: String) -> Self {
        let mut foot = format!("modosu {}, mode {}", status.version, words::mode_name(status.mode));
        match (&status.holder, status.leader) {
            (_, true) => foot.push_str(", leader"),
            (Some(holder), false) => {
                let _ = write!(foot, ", not the leader: {holder} acts");
            }
            (None, false) => foot.push_str(", not the leader: nobody is known to act"),
        }
        let _ = write!(foot, ". As of {}.", words::clock(status.now, status.now));
        Self {
            title,
            refresh: Some(5),
            banners: banners(status, age, guard),
            foot,
            json,
        }
    }
}

fn banners(status: &StatusView, age: Duration, guard: Option<&GuardView>) -> Vec<String> {
    let mut lines = Vec::new();
    let own = guard.and_then(|guard| guard.freeze.as_ref());
    if let Some(freeze) = own.or(status.freeze.as_ref()) {
        let by = freeze.by.as_deref().unwrap_or("somebody");
        let here = if own.is_some() { " here" } else { "" };
        let mut line = format!("Frozen by {by}: modosu writes nothing{here}");
        if let Some(until) = freeze.until {
            let _ = write!(line, " until {}", words::when(until, status.now));
        }
        if let Some(reason) = &freeze.reason {
            let _ = write!(line, ". Reason: {reason}");
        }
        if own.is_some() {
            let _ = write!(line, " ({})", freeze.of);
        }
        lines.push(line);
    }
    if age >= OLD {
        let seconds = age.as_secs();
        lines.push(format!(
            "These numbers are {seconds} s old: modosu has not finished a turn since"
        ));
    }
    lines
}
