//! Pure. The PromQL that modosu sends: these forms and no others, besides the owner's own query of a gauge.
//!
//! `L`: the guard's label names, `, ` between them. `M`: matchers on them, `a="x"` for one value and `a=~"x|y"` for
//! several, put into a selector's own braces. `X`: a counter's selector with `M`. `H`: a histogram. Numbers are examples.
//!
//! ```text
//! time()
//! max by (L) (max_over_time(scrape_duration_seconds{M}[10m]))
//! max by (L) (count_over_time(X[120s]))
//!     or label_replace(max by (L) (count_over_time(H{M}[120s])) and count by (L) (last_over_time(H{M}[120s])),
//!         "newest", "native", "", "")         where X may be the count of H
//! max by (L) (count_over_time(X[20s]))
//! max by (L) (timestamp(X))
//!     or label_replace(min by (L) (timestamp(X)), "newest", "least", "", "")
//! max by (L) ((X * 0 + 1) * on (job, instance) group_left () max by (job, instance) (
//!     max_over_time(scrape_duration_seconds[10m])))
//! histogram_quantile(0.95, sum by (L, le) (rate(H_bucket{M}[60s])))
//!     or histogram_quantile(0.95, sum by (L) (rate(H{M}[60s])))
//! sum by (L, le) (…)                          of H_bucket, otherwise as the last one: where a change is watched
//! sum by (L) (clamp_min(X - ((last_over_time(X[5m] offset 5000ms) <= X * 2) or (X * 0 and on (L, job, instance) (
//!     (max_over_time(up{M}[5m] offset 5000ms) == 1)
//!     or ((up{M} unless on (L, job, instance) (max_over_time(up{M}[1h] offset 5000ms) == 1))
//!         and on (L, job) (max_over_time(up{M}[1h] offset 35000ms) == 1))))), 0))
//!     or label_replace(min by (L) (timestamp(X offset 5000ms) < timestamp(X)), "newest", "mark", "", "")
//! sum by (L, pod, instance) (…)               of X, otherwise as the last one, and (… or min_over_time(X[5000ms])) for
//!                                             its inner brackets: where old and new pods both run
//! min by (L) (up{M})                          where traffic fell
//! min by (L) ((last_over_time(X[120s]) * 0 + 1) * on (job, instance) group_left () max by (job, instance) (up))
//!                                             the same for what another target tells of
//! ```
//!
//! Where there is a native histogram H and no classic one, its count is X: `histogram_count(H{M})`, and over a time
//! `histogram_count(last_over_time(H{M}[5m]))`. Servers that do not know the latter (Prometheus before 3) do not say that there is one.
//!
//! (`job` and `instance` stand once where they are among `L`; the text that is sent is on one line.)
//!
//! A preset's or guard's own query may hold `$match` and `$by`: there `M` and `L` are put in, and it is asked like the others.
//! Firing alerts are `count by (L) (ALERTS{alertstate="firing", alertname="…", M})`. The second quantile is that of a
//! native histogram: one of the two has no rows, and where a target exposes both the classic one is taken.
//!
//! The sum by `L` counts what happened in the Δ (here 5 s) before its evaluation, each event once:
//! * A series seen in the five minutes up to Δ ago counts what it grew beyond its last value there, so that a missed
//!   scrape between costs nothing.
//! * A counter that fell to less than half began anew and counts as a whole. One that fell less is another replica's
//!   view, or an early restart: it counts nothing rather than its whole history.
//! * A series that was not there counts as a whole where its target was scraped in those five minutes (the series was
//!   born), and where its target was never scraped in the hour before, in a job that was (a new pod, also after a pause
//!   without any pod, also after failed first scrapes).
//! * Where the labels are not the targets' but the series' own (a proxy that names the workload behind it, an exporter
//!   that tells of others), `up` cannot say whose a target is. Then series of the guard's total stand in for it: on a
//!   target that had one in those five minutes a new series was born. A new target counts nothing until it is seen
//!   twice: what it brings may be others' history (kube-state-metrics restarted).
//! * Everything else is merely seen again and counts nothing (pod by pod, what it grew since it was first seen in the Δ: there
//!   shares are compared, not added up): Prometheus was down, or was not scraping. The job must
//!   have been known for two more scrape intervals (here 30 s): a Prometheus that lost its data meets a job's targets
//!   one after the other, and none of them is new.
//!
//! Several servers may answer for one another. One that was down meets in its next scrape of each target all that it missed,
//! and another one has told that already. So every live answer also says up to when *all* series are told (the sample of the
//! one that is furthest behind; what was told once stays told), and when the samples were from which the counted time's growth
//! is taken (again of the one furthest behind, of those that have newer ones). Where that is two intervals before what was
//! told, the reading counts nothing and says so. On one server alone this never happens: from which sample a series grows is
//! what was its newest one at the last reading, and that is no older than the furthest behind was.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    counter::{Counter, histogram_of},
    growth::{Unborn, began, furthest_behind, growth, native_samples},
};
pub use super::{
    growth::{Births, Grown, growth_by_pod},
    moment::Moment,
};
use crate::judge::policy::{BY, MATCH};

/// What is asked, without for whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// How long the slowest scrape of ten minutes took, in seconds.
    ScrapeDuration,
    /// The same for targets that are known by their series alone.
    ScrapeDurationOf { selector: String },
    /// How many samples the fullest series got in that time. `native`: with it comes the same of the native histogram whose
    /// count it may be, as a row of its own with one more label, [`NATIVE`].
    Samples {
        selector: String,
        over: Duration,
        native: bool,
    },
    /// The time of the newest sample, in seconds. `least`: with it comes that of the series that is furthest behind, as a row
    /// of its own with one more label, [`LEAST`].
    Newest { selector: String, least: bool },
    /// What the counters grew in the `over` before the evaluation. `settled`: a job's targets are all met by then.
    Growth {
        selector: String,
        over: Duration,
        settled: Duration,
        births: Births,
        /// With it comes when this counter's last samples were as the time that is counted began, as a row of its own with one
        /// more label, [`MARK`]: of the same server, where several answer for one another.
        begun: Option<String>,
    },
    /// What each bucket of a classic histogram grew, as [`Form::Growth`]; its rows have one more label, `le`.
    Buckets {
        histogram: String,
        over: Duration,
        settled: Duration,
        births: Births,
    },
    /// The quantile of a histogram's observations.
    Quantile {
        histogram: String,
        q: String,
        over: Duration,
    },
    /// The owner's query, as it is.
    Own { query: String },
    /// A query with places for the matchers and names of labels.
    Shared { query: String },
    /// Whether every target is up: 1, else 0.
    Up,
    /// The same of those targets that are known by their series alone, of which there were some in that time. No row: it is
    /// pushed, and has no target.
    UpOf { selector: String, over: Duration },
}

/// The label of the row that tells of the beginning, and its value.
pub const MARK: (&str, &str) = ("newest", "mark");
/// The same of the row that tells of the series that is furthest behind.
pub const LEAST: (&str, &str) = ("newest", "least");

/// The same of the row that tells of a native histogram.
pub const NATIVE: (&str, &str) = ("newest", "native");

/// The label names of a batch, and the values that one of its rows has for them, in the same order.
pub type Names = Vec<String>;
pub type Values = Vec<String>;

impl Form {
    /// Whether it asks how long scrapes take.
    pub const fn is_scrape_duration(&self) -> bool {
        matches!(self, Self::ScrapeDuration | Self::ScrapeDurationOf { .. })
    }

    /// The label that some of its rows have besides the guards' own.
    pub const fn more(&self) -> Option<&'static str> {
        match self {
            Self::Buckets { .. } => Some("le"),
            Self::Growth { begun: Some(_), .. } => Some(MARK.0),
            Self::Newest { least: true, .. } => Some(LEAST.0),
            Self::Samples { native: true, .. } => Some(NATIVE.0),
            Self::Growth { begun: None, .. }
            | Self::ScrapeDuration
            | Self::ScrapeDurationOf { .. }
            | Self::Samples { .. }
            | Self::Newest { .. }
            | Self::Quantile { .. }
            | Self::Own { .. }
            | Self::Shared { .. }
            | Self::Up
            | Self::UpOf { .. } => None,
        }
    }

    /// The form without what differs from turn to turn.
    pub fn kind(&self) -> Self {
        match self {
            Self::Growth {
                selector,
                births,
                begun,
                ..
            } => Self::Growth {
                selector: selector.clone(),
                over: Duration::ZERO,
                settled: Duration::ZERO,
                births: births.clone(),
                begun: begun.clone(),
            },
            Self::Buckets { histogram, births, .. } => Self::Buckets {
                histogram: histogram.clone(),
                over: Duration::ZERO,
                settled: Duration::ZERO,
                births: births.clone(),
            },
            other @ (Self::ScrapeDuration
            | Self::ScrapeDurationOf { .. }
            | Self::Shared { .. }
            | Self::Samples { .. }
            | Self::Newest { .. }
            | Self::Quantile { .. }
            | Self::Up
            | Self::UpOf { .. }
            | Self::Own { .. }) => other.clone(),
        }
    }

    /// The PromQL for the rows with these values.
    pub fn text<'a>(&self, names: &[String], rows: impl IntoIterator<Item = &'a Values>) -> String {
        let matchers = matchers(names, rows);
        let by = names.join(", ");
        let with = |selector: &str| narrowed(selector, &matchers);
        let counter = |selector: &str| Counter::new(selector, &with);
        let grown = |by: &str, selector: &str, (over, settled), births| {
            let grown = Grown {
                selector,
                over,
                settled,
                births,
            };
            growth(names, by, &with, &grown, Unborn::Nothing)
        };
        match self {
            Self::ScrapeDuration => format!(
                "max by ({by}) (max_over_time({}[10m]))",
                with("scrape_duration_seconds")
            ),
            Self::ScrapeDurationOf { selector } => format!(
                "max by ({by}) (({} * 0 + 1) * on (job, instance) group_left () max by (job, instance) \
                 (max_over_time(scrape_duration_seconds[10m])))",
                counter(selector).now()
            ),
            Self::Samples { selector, over, native } => {
                let histogram = histogram_of(selector)
                    .filter(|_| *native)
                    .map(|histogram| with(&histogram));
                samples(&by, &with(selector), histogram.as_deref(), *over)
            }
            Self::Newest { selector, least } => {
                let counter = counter(selector);
                let furthest = least.then(|| furthest_behind(&by, counter.samples()));
                format!("max by ({by}) (timestamp({}))", counter.samples()) + &furthest.unwrap_or_default()
            }
            Self::Growth {
                selector,
                over,
                settled,
                births,
                begun,
            } => {
                let begun = begun
                    .as_deref()
                    .map(|total| began(&by, counter(total).samples(), *over));
                grown(&by, selector, (*over, *settled), births) + &begun.unwrap_or_default()
            }
            Self::Buckets {
                histogram,
                over,
                settled,
                births,
            } => grown(
                &format!("{by}, le"),
                &suffixed(histogram, "_bucket"),
                (*over, *settled),
                births,
            ),
            Self::Quantile { histogram, q, over } => {
                let rate = |selector: &str| format!("rate({}[{}s])", with(selector), over.as_secs().max(1));
                quantile(&by, q, &rate(&suffixed(histogram, "_bucket")), &rate(histogram))
            }
            Self::Own { query } => query.clone(),
            Self::Shared { query } => filled(query, &matchers, &by),
            Self::Up => format!("min by ({by}) ({})", with("up")),
            Self::UpOf { selector, over } => format!(
                "min by ({by}) (({} * 0 + 1) * on (job, instance) group_left () max by (job, instance) (up))",
                counter(selector).last(&format!("[{}s]", over.as_secs().max(1)))
            ),
        }
    }
}

/// How many samples the fullest series got, and the same of native histograms.
fn samples(by: &str, series: &str, histogram: Option<&str>, over: Duration) -> String {
    let of = |series: &str| format!("max by ({by}) (count_over_time({series}[{}s]))", over.as_secs());
    let native = histogram.map(|histogram| native_samples(by, &of(histogram), histogram));
    of(series) + &native.unwrap_or_default()
}

/// The quantile from the rates of a classic histogram's buckets, else of a native histogram.
fn quantile(by: &str, q: &str, classic: &str, native: &str) -> String {
    format!(
        "histogram_quantile({q}, sum by ({by}, le) ({classic})) or histogram_quantile({q}, sum by ({by}) ({native}))"
    )
}

pub(super) fn also(names: &[String], more: &[&str]) -> String {
    let missing = more
        .iter()
        .copied()
        .filter(|more| !names.iter().any(|name| name == more));
    names
        .iter()
        .map(String::as_str)
        .chain(missing)
        .collect::<Vec<_>>()
        .join(", ")
}

/// One matcher per label, with every value that one of the rows has: that lets rows through which nobody asked for,
/// and they are not looked at.
pub(super) fn matchers<'a>(names: &[String], rows: impl IntoIterator<Item = &'a Values>) -> String {
    let mut values: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
    for row in rows {
        for (place, value) in row.iter().enumerate() {
            values.entry(place).or_default().insert(value);
        }
    }
    let one = |(place, values): (usize, BTreeSet<&str>)| {
        let name = names.get(place)?;
        let mut all = values.iter();
        match (all.next(), all.next()) {
            (Some(only), None) => Some(format!("{name}={}", quoted(only))),
            _ => {
                let escaped: Vec<_> = values.iter().map(|value| escaped(value)).collect();
                Some(format!("{name}=~{}", quoted(&escaped.join("|"))))
            }
        }
    };
    values.into_iter().filter_map(one).collect::<Vec<_>>().join(", ")
}

/// The selector of one row.
pub fn selected(selector: &str, names: &[String], values: &Values) -> String {
    narrowed(selector, &matchers(names, [values]))
}

/// A shared query for rows with these values of some of its labels, grouped by all of them.
pub fn shared(query: &str, all: &[String], names: &[String], values: &Values) -> String {
    filled(query, &matchers(names, [values]), &all.join(", "))
}

fn filled(query: &str, matchers: &str, by: &str) -> String {
    query.replace(MATCH, matchers).replace(BY, by)
}

/// The selector with more matchers in its own braces.
pub(super) fn narrowed(selector: &str, matchers: &str) -> String {
    let selector = selector.trim();
    if matchers.is_empty() {
        return selector.to_owned();
    }
    match selector.strip_suffix('}').map(str::trim_end) {
        None => format!("{selector}{{{matchers}}}"),
        Some(open) if open.ends_with(['{', ',']) => format!("{open}{matchers}}}"),
        Some(open) => format!("{open}, {matchers}}}"),
    }
}

/// The selector of a histogram's buckets or count: the suffix belongs to the name, which may have matchers behind it.
pub fn suffixed(histogram: &str, suffix: &str) -> String {
    match histogram.split_once('{') {
        Some((name, matchers)) => format!("{}{suffix}{{{matchers}", name.trim_end()),
        None => format!("{}{suffix}", histogram.trim()),
    }
}

/// A text as a PromQL string.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\\' | '"' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A text as a regular expression (RE2) that matches it alone.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$'
        ) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(form: &Form, rows: &[&[&str]]) -> String {
        let rows: Vec<Values> = rows
            .iter()
            .map(|row| row.iter().map(ToString::to_string).collect())
            .collect();
        form.text(&["job".into(), "namespace".into()], &rows)
    }

    #[test]
    fn matchers_go_into_the_selectors_own_braces() {
        let newest = |selector: &str| {
            text(
                &Form::Newest {
                    selector: selector.into(),
                    least: false,
                },
                &[&["a", "n"]],
            )
        };
        assert_eq!(
            newest("x"),
            r#"max by (job, namespace) (timestamp(x{job="a", namespace="n"}))"#
        );
        assert_eq!(newest("x{}"), newest("x"));
        assert!(newest(r#"x{code="500"}"#).contains(r#"x{code="500", job="a", namespace="n"}"#));
        assert!(newest(r#"x{code="500", }"#).contains(r#"x{code="500",job="a""#));
    }

    #[test]
    fn values_are_quoted_and_several_are_a_regular_expression_of_themselves() {
        let form = Form::Newest {
            selector: "x".into(),
            least: false,
        };
        assert!(text(&form, &[&[r#"a"b\"#, "n"]]).contains(r#"job="a\"b\\""#));
        assert!(text(&form, &[&["a.b", "n"], &["c", "n"]]).contains(r#"job=~"a\\.b|c", namespace="n""#));
    }

    #[test]
    fn the_counting_query_as_it_is_sent() {
        let form = Form::Growth {
            selector: "x".into(),
            over: Duration::from_secs(5),
            settled: Duration::from_secs(30),
            births: Births::Target,
            begun: Some("total".into()),
        };
        let m = r#"{job="a", namespace="n"}"#;
        let expected = format!(
            "sum by (job, namespace) (clamp_min(x{m} - ((last_over_time(x{m}[5m] offset 5000ms) <= x{m} * 2) or (x{m} * 0 \
             and on (job, namespace, instance) ((max_over_time(up{m}[5m] offset 5000ms) == 1) or ((up{m} unless on \
             (job, namespace, instance) (max_over_time(up{m}[1h] offset 5000ms) == 1)) and on (job, namespace) \
             (max_over_time(up{m}[1h] offset 35000ms) == 1))))), 0)) or label_replace(min by (job, namespace) (timestamp(\
             total{m} offset 5000ms) < timestamp(total{m})), \"newest\", \"mark\", \"\", \"\")"
        );
        assert_eq!(text(&form, &[&["a", "n"]]), expected);
        let selector = "total".to_owned();
        let newest = Form::Newest { selector, least: true };
        let expected = format!(
            "max by (job, namespace) (timestamp(total{m})) or label_replace(min by (job, namespace) (timestamp(total{m})), \
             \"newest\", \"least\", \"\", \"\")"
        );
        assert_eq!(text(&newest, &[&["a", "n"]]), expected);
    }

    #[test]
    fn buckets_are_counted_like_anything_else_with_one_more_label() {
        let (over, settled) = (Duration::from_secs(5), Duration::from_secs(30));
        let form = Form::Buckets {
            histogram: "h".into(),
            over,
            settled,
            births: Births::Target,
        };
        let selector = "h_bucket".into();
        let growth = Form::Growth {
            selector,
            over,
            settled,
            births: Births::Target,
            begun: None,
        };
        let expected = text(&growth, &[&["a", "n"]]).replacen("by (job, namespace)", "by (job, namespace, le)", 1);
        assert_eq!(text(&form, &[&["a", "n"]]), expected);
    }

    #[test]
    fn a_histogram_may_have_matchers() {
        let form = Form::Quantile {
            histogram: r#"h{path="/"}"#.into(),
            q: "0.95".into(),
            over: Duration::from_secs(60),
        };
        assert_eq!(
            text(&form, &[&["a", "n"]]),
            r#"histogram_quantile(0.95, sum by (job, namespace, le) (rate(h_bucket{path="/", job="a", namespace="n"}[60s]))) or histogram_quantile(0.95, sum by (job, namespace) (rate(h{path="/", job="a", namespace="n"}[60s])))"#
        );
    }

    #[test]
    fn moments_are_written_with_milliseconds() {
        let moment = Moment::from_seconds(1_700_000_000.123_4).unwrap();
        assert_eq!(moment.to_string(), "1700000000.123");
        assert_eq!(moment.on_grid(Duration::from_millis(100)).to_string(), "1700000000.100");
        assert_eq!(Moment::from_seconds(f64::NAN), None);
    }
}
