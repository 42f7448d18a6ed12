//! Label and field selectors. Pure.

use serde_json::Value;

use crate::{
    api::{failure::Failure, route::Route},
    json::text,
};

/// Which objects a list, watch or deletion is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    labels: Vec<Requirement>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Clone, Debug)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

impl Selection {
    pub(crate) fn of(route: &Route) -> Result<Selection, Failure> {
        Ok(Selection {
            labels: labels(route.parameter("labelSelector"))?,
            fields: fields(route.parameter("fieldSelector"))?,
        })
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn takes(&self, object: &Value) -> bool {
        let label = |key: &str| object.get("metadata")?.get("labels")?.get(key).and_then(Value::as_str);
        self.labels.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => label(key).is_some_and(|value| values.iter().any(|one| one == value)),
            Requirement::NotIn(key, values) => label(key).is_none_or(|value| values.iter().all(|one| one != value)),
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Missing(key) => label(key).is_none(),
        }) && self.fields.iter().all(|(path, equal, value)| {
            let pointer = format!("/{}", path.replace('.', "/"));
            (text(object, &pointer) == value) == *equal
        })
    }
}

fn labels(selector: &str) -> Result<Vec<Requirement>, Failure> {
    clauses(selector)
        .into_iter()
        .map(|clause| requirement(clause.trim()))
        .collect()
}

/// The clauses between commas that are not inside parentheses.
fn clauses(selector: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, letter) in selector.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&selector[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&selector[start..]);
    found.retain(|clause| !clause.trim().is_empty());
    found
}

fn requirement(clause: &str) -> Result<Requirement, Failure> {
    let pair = |operator: &str| {
        clause
            .split_once(operator)
            .map(|(key, value)| (key.trim().to_owned(), value.trim()))
    };
    if let Some((key, values)) = clause.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        return match key.split_whitespace().collect::<Vec<_>>().as_slice() {
            [key, "in"] => Ok(Requirement::In((*key).into(), values)),
            [key, "notin"] => Ok(Requirement::NotIn((*key).into(), values)),
            _ => Err(unparsable(clause)),
        };
    }
    if let Some((key, value)) = pair("!=") {
        return Ok(Requirement::NotIn(key, vec![value.into()]));
    }
    if let Some((key, value)) = pair("==").or_else(|| pair("=")) {
        return Ok(Requirement::In(key, vec![value.into()]));
    }
    match clause.strip_prefix('!') {
        Some(key) => Ok(Requirement::Missing(key.trim().into())),
        None if clause.contains(char::is_whitespace) => Err(unparsable(clause)),
        None => Ok(Requirement::Exists(clause.into())),
    }
}

fn fields(selector: &str) -> Result<Vec<(String, bool, String)>, Failure> {
    let clauses = selector.split(',').filter(|clause| !clause.is_empty());
    clauses
        .map(|clause| {
            if let Some((path, value)) = clause.split_once("!=") {
                return Ok((path.into(), false, value.into()));
            }
            let (path, value) = clause.split_once('=').ok_or_else(|| unparsable(clause))?;
            Ok((path.into(), true, value.trim_start_matches('=').into()))
        })
        .collect()
}

fn unparsable(clause: &str) -> Failure {
    Failure::bad_request(format!("unable to parse requirement: {clause}"))
}
