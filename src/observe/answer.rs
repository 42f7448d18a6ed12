//! Pure. What a Prometheus (or something that speaks like one) answered, read without believing it.
//!
//! An answer is whole or it is a failure with its own words: a number out of a partial answer looks exactly like one
//! out of a whole answer, so warnings and `isPartial` are failures here and nowhere later.

use std::{collections::BTreeMap, str::from_utf8};

use http::StatusCode;
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use thiserror::Error;

use crate::model::reading::Because;

/// The rows of a whole answer. A scalar is one row without labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub rows: Vec<Row>,
    /// Remarks of the server that do not make the answer less whole, such as "not a counter".
    pub infos: Vec<String>,
}

/// One series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub labels: BTreeMap<String, String>,
    /// `None`: a native histogram, which is no number. NaN and infinities are passed on as they are.
    pub value: Option<f64>,
}

/// One series of a range's answer: its values at those of the moments asked for where it has one, in seconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub labels: BTreeMap<String, String>,
    pub values: Vec<(f64, f64)>,
}

/// Why there is no answer, by what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// Nothing is known, also not about the query: try again.
    #[error("{0}")]
    NoAnswer(String),
    /// The query cannot be answered as it stands.
    #[error("{words}")]
    Refused {
        words: String,
        /// The text was understood and running it failed: some of the series it asks for may be at fault.
        while_running: bool,
    },
    /// There are rows, but not all of them, or not all of them right.
    #[error("{0}")]
    Partial(String),
}

impl From<Failure> for Because {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NoAnswer(words) => Self::NoAnswer(words),
            Failure::Refused { words, .. } => Self::Refused(words),
            Failure::Partial(words) => Self::Partial(words),
        }
    }
}

impl Failure {
    /// Whether asking for fewer series may help.
    pub fn may_be_one_series(&self) -> bool {
        match self {
            Self::NoAnswer(_) => false,
            Self::Refused { while_running, .. } => *while_running,
            Self::Partial(_) => true,
        }
    }
}

/// An HTTP response, as far as it matters here.
pub struct Response<'a> {
    pub status: StatusCode,
    pub content_type: &'a str,
    /// Where a redirect points to.
    pub location: &'a str,
    pub body: &'a [u8],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<D> {
    status: String,
    data: Option<D>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
    #[serde(default)]
    infos: Option<Vec<String>>,
    #[serde(default)]
    is_partial: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    status: String,
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Element>),
    Scalar((f64, String)),
    Matrix(IgnoredAny),
    String(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Ranges {
    Matrix(Vec<Stretch>),
    Vector(IgnoredAny),
    Scalar(IgnoredAny),
    String(IgnoredAny),
}

#[derive(Deserialize)]
struct Stretch {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    #[serde(default)]
    histograms: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Element {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
}

impl Answer {
    /// Reads a response to an instant query.
    pub fn read(response: &Response<'_>) -> Result<Self, Failure> {
        let (data, infos) = whole(response)?;
        let rows = match data {
            Data::Vector(elements) => elements.into_iter().map(Element::row).collect::<Result<_, _>>()?,
            Data::Scalar((_, value)) => vec![Row {
                labels: BTreeMap::new(),
                value: Some(number(&value)?),
            }],
            Data::Matrix(_) => return Err(refused("the query gives a range of values, one number is needed")),
            Data::String(_) => return Err(refused("the query gives a text, a number is needed")),
        };
        Ok(Self { rows, infos })
    }

    /// The one number of an answer to a query that gives one; `None` where there is no row.
    pub fn number(&self) -> Result<Option<f64>, Failure> {
        match self.rows.as_slice() {
            [] => Ok(None),
            [row] => row
                .value
                .map(Some)
                .ok_or_else(|| refused("the query gives a native histogram, one number is needed")),
            many => Err(refused(&format!(
                "the query gives {} rows, one number is needed",
                many.len()
            ))),
        }
    }
}

impl Run {
    /// Reads a response to a range query.
    pub fn read(response: &Response<'_>) -> Result<Vec<Self>, Failure> {
        let (Ranges::Matrix(all), _) = whole(response)? else {
            return Err(Failure::NoAnswer("the answer to a range query is no range".into()));
        };
        let run = |one: Stretch| {
            if !one.histograms.is_empty() {
                return Err(Failure::Partial("a row is a native histogram".into()));
            }
            let values = one.values.into_iter().map(|(at, value)| Ok((at, number(&value)?)));
            Ok(Self {
                labels: one.metric,
                values: values.collect::<Result<_, _>>()?,
            })
        };
        all.into_iter().map(run).collect()
    }
}

impl Element {
    fn row(self) -> Result<Row, Failure> {
        let value = self.value.map(|(_, value)| number(&value)).transpose()?;
        Ok(Row {
            labels: self.metric,
            value,
        })
    }
}

/// The data of a whole answer, and the server's remarks; whatever else came is a failure with its own words.
fn whole<D: DeserializeOwned>(response: &Response<'_>) -> Result<(D, Vec<String>), Failure> {
    let status = response.status;
    if status.is_redirection() {
        let to = if response.location.is_empty() {
            "nowhere"
        } else {
            response.location
        };
        return Err(Failure::NoAnswer(format!(
            "HTTP {status}, a redirect to {to}: redirects are not followed, it may be a login page"
        )));
    }
    if !status.is_success() {
        return Err(refusal(response).unwrap_or_else(|| Failure::NoAnswer(format!("HTTP {status}{}", start(response)))));
    }
    let envelope = match serde_json::from_slice::<Envelope<D>>(response.body) {
        Ok(envelope) => envelope,
        Err(why) => return Err(refusal(response).unwrap_or_else(|| not_an_answer(response, &why))),
    };
    if envelope.status != "success" {
        return Err(refusal(response)
            .unwrap_or_else(|| Failure::NoAnswer(format!("the answer's status is `{}`", envelope.status))));
    }
    let warnings = envelope.warnings.unwrap_or_default();
    if !warnings.is_empty() {
        return Err(Failure::Partial(warnings.join("; ")));
    }
    if envelope.is_partial == Some(true) {
        return Err(Failure::Partial("the answer is marked isPartial".into()));
    }
    let data = envelope
        .data
        .ok_or_else(|| Failure::NoAnswer("the answer has no data".into()))?;
    Ok((data, envelope.infos.unwrap_or_default()))
}

fn number(text: &str) -> Result<f64, Failure> {
    text.parse()
        .map_err(|_| Failure::NoAnswer(format!("the answer holds `{text}` where a number belongs")))
}

fn refused(words: &str) -> Failure {
    Failure::Refused {
        words: words.into(),
        while_running: false,
    }
}

/// What the server itself says is wrong, where it says so in Prometheus' form.
fn refusal(response: &Response<'_>) -> Option<Failure> {
    let said = serde_json::from_slice::<Refusal>(response.body)
        .ok()
        .filter(|said| said.status == "error")?;
    let words = if said.error.is_empty() {
        format!("HTTP {}", response.status)
    } else {
        said.error
    };
    Some(match said.error_type.as_str() {
        "bad_data" => Failure::Refused {
            words,
            while_running: false,
        },
        // VictoriaMetrics says "422" for queries it cannot parse and for those it cannot run.
        "execution" | "422" => Failure::Refused {
            words,
            while_running: true,
        },
        "" => Failure::NoAnswer(format!("HTTP {}: {words}", response.status)),
        kind => Failure::NoAnswer(format!("HTTP {}, {kind}: {words}", response.status)),
    })
}

fn not_an_answer(response: &Response<'_>, why: &serde_json::Error) -> Failure {
    let kind = if response.content_type.is_empty() {
        "no content type"
    } else {
        response.content_type
    };
    Failure::NoAnswer(if why.is_data() {
        format!("not an answer of Prometheus' query API: {why}")
    } else {
        format!("not JSON ({kind}){}", start(response))
    })
}

/// The beginning of a body for people, on one line.
fn start(response: &Response<'_>) -> String {
    let head = response.body.get(..200.min(response.body.len())).unwrap_or_default();
    let text = match from_utf8(head) {
        Ok(text) => text,
        Err(cut) => from_utf8(head.get(..cut.valid_up_to()).unwrap_or_default()).unwrap_or_default(),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(80).collect();
    if short.is_empty() {
        String::new()
    } else {
        format!(": {short}")
    }
}
