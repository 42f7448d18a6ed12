//! Pure. The PromQL of what counters grew, each event once; `query` says how.

use std::time::Duration;

use super::counter::Counter;
use super::query::{LEAST, MARK, NATIVE, Values, also, matchers, narrowed};

/// How a series that was not there is known to be new.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Births {
    /// By its target: targets carry the guard's labels.
    Target,
    /// By this counter on the same target: only series carry the guard's labels.
    Series { total: String },
}

impl Births {
    /// By where the guard's labels are; `total` stands in for targets that do not carry them.
    pub fn of(on_targets: bool, total: &str) -> Self {
        if on_targets {
            Self::Target
        } else {
            Self::Series {
                total: total.to_owned(),
            }
        }
    }
}

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
    let counter = Counter::new(grown.selector, with);
    let x = counter.now();
    let ago = format!("offset {}ms", grown.over.as_millis());
    let last = counter.last(&format!("[5m] {ago}"));
    let born = match grown.births {
        Births::Target => born_on_targets(names, &with("up"), &ago, grown.over + grown.settled),
        Births::Series { total } => Counter::new(total, with).last(&format!("[5m] {ago}")),
    };
    let target = also(names, &["job", "instance"]);
    let first = match unborn {
        Unborn::Nothing => None,
        Unborn::SinceFirstSeen => counter.first(&format!("[{}ms]", grown.over.as_millis())),
    };
    let first = first.map(|first| format!(" or {first}")).unwrap_or_default();
    format!("sum by ({by}) (clamp_min({x} - (({last} <= {x} * 2) or ({x} * 0 and on ({target}) ({born})){first}), 0))")
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

/// The row that tells when the last samples were as the time that is counted began: of those series that have newer ones
/// now, the one that was furthest behind.
pub fn began(by: &str, counter: &str, over: Duration) -> String {
    let then = format!("timestamp({counter} offset {}ms)", over.as_millis());
    let furthest = format!("min by ({by}) ({then} < timestamp({counter}))");
    format!(" or {}", marked(&furthest, MARK))
}

/// The row that tells when the newest sample is of the series that is furthest behind.
pub fn furthest_behind(by: &str, counter: &str) -> String {
    format!(
        " or {}",
        marked(&format!("min by ({by}) (timestamp({counter}))"), LEAST)
    )
}

/// The row that tells that there are native histograms, which this server can count over a time, and of how many samples.
pub fn native_samples(by: &str, samples: &str, histogram: &str) -> String {
    let countable = format!("count by ({by}) (last_over_time({histogram}[120s]))");
    format!(" or {}", marked(&format!("{samples} and {countable}"), NATIVE))
}

fn marked(rows: &str, (label, value): (&str, &str)) -> String {
    format!("label_replace({rows}, \"{label}\", \"{value}\", \"\", \"\")")
}
