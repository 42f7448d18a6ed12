//! `POST /api/v1/query_range`: an expression at even distances, as the real server answers it.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    answer::{Rejection, metric, moment, seconds, shown},
    ast::Type,
    evaluate::{Evaluation, Worth},
    series::Millis,
    server::Server,
};
use crate::number::whole;

/// The most points that a series of an answer may have.
const POINTS: Millis = 11_000;

/// The answer's envelope.
pub(super) fn answer(server: &mut Server, parameters: &BTreeMap<String, String>) -> Result<Value, Rejection> {
    let parameter = |name: &str| parameters.get(name).map_or("", String::as_str);
    let (start, end, step) = asked(&parameter)?;
    let expression = server
        .parsed(parameter("query"))
        .map_err(|message| bad_data(format!("invalid parameter \"query\": {message}")))?;
    if expression.kind() == Type::Range {
        let message = "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector";
        return Err(bad_data(format!("invalid parameter \"query\": {message}")));
    }
    let mut evaluation = Evaluation {
        storage: &server.storage,
        now: start,
        warnings: Vec::new(),
    };
    let mut runs: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
    while evaluation.now <= end {
        let at = evaluation.now;
        let worth = evaluation
            .worth(&expression)
            .map_err(|message| (StatusCode::UNPROCESSABLE_ENTITY, "execution".to_owned(), message))?;
        for (metric, value) in rows(worth) {
            let run = runs.entry(metric.to_string()).or_insert((metric, Vec::new()));
            run.1.push(json!([seconds(at), shown(value)]));
        }
        evaluation.now += step;
    }
    let mut warnings = evaluation.warnings;
    warnings.sort();
    warnings.dedup();
    let runs = runs.into_values();
    let result: Vec<Value> = runs
        .map(|(metric, values)| json!({"metric": metric, "values": values}))
        .collect();
    let mut envelope = json!({"status": "success", "data": {"resultType": "matrix", "result": result}});
    if !warnings.is_empty() {
        envelope["warnings"] = warnings.into();
    }
    Ok(envelope)
}

/// First and last moment, and the step between two.
fn asked<'a>(parameter: &impl Fn(&str) -> &'a str) -> Result<(Millis, Millis, Millis), Rejection> {
    let time = |name: &str| {
        let text = parameter(name);
        let wrong = || format!("invalid parameter \"{name}\": cannot parse \"{text}\" to a valid timestamp");
        moment(text).ok_or_else(|| bad_data(wrong()))
    };
    let (start, end) = (time("start")?, time("end")?);
    if end < start {
        let message = "invalid parameter \"end\": end timestamp must not be before start time";
        return Err(bad_data(message.into()));
    }
    let text = parameter("step");
    let step = text.parse::<f64>().ok().filter(|step| step.is_finite());
    let step = step.map(|step| whole(step * 1000.0)).ok_or_else(|| {
        bad_data(format!(
            "invalid parameter \"step\": cannot parse \"{text}\" to a valid duration"
        ))
    })?;
    if step <= 0 {
        let message = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(bad_data(format!("invalid parameter \"step\": {message}")));
    }
    if (end - start) / step > POINTS {
        return Err(bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"
                .into(),
        ));
    }
    Ok((start, end, step))
}

fn rows(worth: Worth) -> Vec<(Value, f64)> {
    match worth {
        Worth::Scalar(value) => vec![(json!({}), value)],
        Worth::Vector(elements) => elements
            .iter()
            .map(|one| (metric(one.name.as_deref(), &one.labels), one.value))
            .collect(),
        Worth::Matrix(_) => Vec::new(),
    }
}

fn bad_data(message: String) -> Rejection {
    (StatusCode::BAD_REQUEST, "bad_data".to_owned(), message)
}
