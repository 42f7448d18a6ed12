//! Pure. The PromQL of what counters grew, each event once; `query` says how.

use std::time::Duration;

use super::query::{Births, MARK, Values, also, matchers, narrowed};

/// What the counters grew, pod by pod: by the labels `pod` and `instance`, as far as there are any.
pub fn growth_by_pod<'a>(names: &[String], rows: impl IntoIterator<Item = &'a Values>, grown: &Grown<'_>) -> String {
    let matchers = matchers(names, rows);
    growth(
        names,
        &also(names, &["pod", "instance"]),
        &|selector| narrowed(selector, &matchers),
        grown,
        Unborn::SinceFirstSeen,
    )
}

/// What grew, and since when.
pub struct Grown<'a> {
    pub selector: &'a str,
    pub over: Duration,
    pub settled: Duration,
    pub births: &'a Births,
}

/// What a series counts that was not there and is not known to be new.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unborn {
    Nothing,
    SinceFirstSeen,
}

/// What the counters grew, summed by these labels.
pub fn growth(names: &[String], by: &str, with: &dyn Fn(&str) -> String, grown: &Grown<'_>, unborn: Unborn) -> String {
    let x = with(grown.selector);
    let ago = format!("offset {}ms", grown.over.as_millis());
    let born = match grown.births {
        Births::Target => born_on_targets(names, &with("up"), &ago, grown.over + grown.settled),
        Births::Series { total } => format!("last_over_time({}[5m] {ago})", with(total)),
    };
    let target = also(names, &["job", "instance"]);
    let first = match unborn {
        Unborn::Nothing => String::new(),
        Unborn::SinceFirstSeen => format!(" or min_over_time({x}[{}ms])", grown.over.as_millis()),
    };
    format!(
        "sum by ({by}) (clamp_min({x} - ((last_over_time({x}[5m] {ago}) <= {x} * 2) or ({x} * 0 and on ({target}) \
         ({born})){first}), 0))"
    )
}

/// The targets on which a series that was not there is new: scraped before, or new themselves.
fn born_on_targets(names: &[String], up: &str, ago: &str, long_ago: Duration) -> String {
    let job = also(names, &["job"]);
    let target = also(names, &["job", "instance"]);
    let long_ago = format!("offset {}ms", long_ago.as_millis());
    let scraped = format!("(max_over_time({up}[5m] {ago}) == 1)");
    let unseen = format!("({up} unless on ({target}) (max_over_time({up}[1h] {ago}) == 1))");
    format!("{scraped} or ({unseen} and on ({job}) (max_over_time({up}[1h] {long_ago}) == 1))")
}

/// The row that tells when the newest sample was as the time that is counted began.
pub fn began(by: &str, counter: &str, over: Duration) -> String {
    let newest = format!("timestamp({counter} offset {}ms)", over.as_millis());
    let (label, value) = MARK;
    format!(" or label_replace(max by ({by}) ({newest}), \"{label}\", \"{value}\", \"\", \"\")")
}
