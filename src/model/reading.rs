//! Pure. What one turn learned about one guard from Prometheus: counts from disjoint windows, values, or why not.
//!
//! All times are on the daemon's clock: `observe` converts Prometheus' own at the border, once.

use std::{borrow::Cow, fmt, time::Duration};

use jiff::Timestamp;

/// What one turn learned about one guard. `signals` stands in the order of the policy's signals.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The end of the disjoint window that the counts cover: `(at - span, at]`.
    pub at: Timestamp,
    pub span: Duration,
    /// The time of the newest sample that was seen; a reading without newer samples has nothing new to say.
    pub newest: Option<Timestamp>,
    pub signals: Vec<Measured>,
}

/// One signal's share of a reading.
#[derive(Clone, Debug, PartialEq)]
pub enum Measured {
    /// A ratio: exact counts in `(at - span, at]`, `bad` among `total`.
    Counts {
        bad: f64,
        total: f64,
    },
    /// A number over the time `(at - over, at]` (zero for a gauge); always finite.
    Value {
        value: f64,
        over: Duration,
    },
    /// A quantile with its histogram: cumulative counts in `(at - span, at]` by upper bound, ascending up to infinity.
    Timed {
        value: f64,
        over: Duration,
        buckets: Vec<Bucket>,
    },
    /// A rate: events in `(at - span, at]`.
    Events(f64),
    Unknown(Because),
}

/// How many were observed up to a bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    pub le: f64,
    pub count: f64,
}

/// Why a number is not known. Never healthy, never bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// No answer: connection, time-out, HTTP status, not JSON.
    NoAnswer(String),
    /// Prometheus refused the query.
    Refused(String),
    /// The answer came with warnings or is partial.
    Partial(String),
    /// No row for this guard.
    NoData,
    /// The same, and which rows there are.
    NoRows(String),
    /// No alert fires, and whether its rule is evaluated at all is not known; why.
    NoRule(String),
    /// NaN or infinite.
    NotANumber,
    /// The newest sample is that old, against a scrape interval of so much.
    Stale { age: Duration, interval: Duration },
    /// What this server counts since the last reading begins before what another one had told by then.
    CountedBefore,
    /// Too few requests in the longest window: the last hour, or the time since the change where that is shorter.
    TooFewRequests {
        requests: u64,
        needed: u32,
        last_hour: bool,
    },
    /// The window still reaches back before the change.
    BeforeChange,
    /// Nothing was read yet.
    WarmingUp,
    /// The histogram's buckets, which are asked for while a change is watched, were not counted in this reading.
    NoBuckets,
    /// The condition needs a baseline that does not exist yet.
    NoBaseline,
    /// The condition needs a baseline to be more than nothing.
    ZeroBaseline,
}

const ZERO: &str = "the baseline is 0: nothing is relative to it";

impl Because {
    /// In a word and in a sentence that stay the same from turn to turn: for a status, which is written when something
    /// changes.
    pub fn lasting(&self) -> (&'static str, Cow<'static, str>) {
        let (reason, words) = match self {
            Self::NoRows(_) => return ("NoData", self.to_string().into()),
            Self::NoAnswer(_) => ("NoAnswer", "Prometheus did not answer"),
            Self::Refused(_) => ("Refused", "Prometheus refused the query"),
            Self::Partial(_) => ("Partial", "Prometheus warns that the answer is not whole"),
            Self::NoRule(_) => ("NoRule", "nothing says that the alert's rule is evaluated"),
            Self::NoData => ("NoData", "Prometheus has no such series for this guard"),
            Self::NotANumber => ("NotANumber", "the value is not a finite number"),
            Self::Stale { .. } => ("Stale", "the newest sample is too old"),
            Self::TooFewRequests { last_hour: true, .. } => ("TooFewRequests", "too few requests in the last hour"),
            Self::CountedBefore => ("CountedBefore", "another Prometheus answers, which missed scrapes"),
            Self::TooFewRequests { .. } => ("TooFewRequests", "too few requests since the change"),
            Self::BeforeChange => ("BeforeChange", "the window still reaches back before the change"),
            Self::WarmingUp => ("WarmingUp", "nothing was read yet"),
            Self::NoBuckets => ("NoBuckets", "the histogram's buckets were not counted"),
            Self::NoBaseline => ("NoBaseline", "there is no baseline yet"),
            Self::ZeroBaseline => ("ZeroBaseline", ZERO),
        };
        (reason, words.into())
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |d: &Duration| {
            humantime::format_duration(Duration::from_millis(u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
                .to_string()
        };
        match self {
            Self::NoAnswer(why) => write!(f, "Prometheus did not answer: {why}"),
            Self::Refused(why) => write!(f, "Prometheus refused the query: {why}"),
            Self::Partial(why) => write!(f, "Prometheus warns that the answer is not whole: {why}"),
            Self::NoRule(why) => f.write_str(why),
            Self::NoRows(hint) => write!(f, "Prometheus has no such series for this guard; {hint}"),
            Self::NoData => f.write_str("Prometheus has no such series for this guard"),
            Self::NotANumber => f.write_str("the value is not a finite number"),
            Self::Stale { age, interval } => {
                write!(
                    f,
                    "the newest sample is {} old, samples come every {}",
                    short(age),
                    short(interval)
                )
            }
            Self::CountedBefore => f.write_str(
                "another Prometheus answers than before, which missed scrapes: what it counts now was counted already",
            ),
            Self::TooFewRequests {
                requests,
                needed,
                last_hour,
            } => {
                let when = if *last_hour {
                    "in the last hour"
                } else {
                    "since the change"
                };
                match requests {
                    0 => write!(f, "no requests {when}: of nothing there is no share"),
                    1 => write!(f, "1 request {when}, {needed} are needed"),
                    _ => write!(f, "{requests} requests {when}, {needed} are needed"),
                }
            }
            Self::BeforeChange => f.write_str("the window still reaches back before the change"),
            Self::WarmingUp => f.write_str("nothing was read yet"),
            Self::NoBuckets => f.write_str("the histogram's buckets were not counted in this reading"),
            Self::NoBaseline => f.write_str("there is no baseline yet"),
            Self::ZeroBaseline => f.write_str(ZERO),
        }
    }
}
