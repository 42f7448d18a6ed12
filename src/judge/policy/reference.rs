//! Pure. `spec.baseline`, checked: exactly one kind, known signals, right units.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{collections::BTreeMap, time::Duration};

use super::{Mistake, Reference, Signal, selector::balance_mistake};
use crate::{
    judge::condition::{amount, suggestion},
    model::guard::BaselinePolicy,
};

const AN_HOUR: Duration = Duration::from_secs(3600);
/// So much of that time before is compared with at most: with less there would never be a baseline.
const SHORTEST_OFFSET: Duration = Duration::from_secs(300);

/// How much healthy time is collected, and what stands beside it.
pub fn reference(
    spec: Option<&BaselinePolicy>,
    signals: &[Signal],
    mistakes: &mut Vec<Mistake>,
) -> (Duration, Reference) {
    let Some(spec) = spec else {
        return (AN_HOUR, Reference::Healthy);
    };
    let longer = |path: &str, length: Duration, mistakes: &mut Vec<Mistake>| {
        if length.is_zero() {
            mistakes.push(Mistake::new(path, "must be longer than nothing, such as `1h`"));
        }
        length
    };
    match (spec.window, spec.offset, &spec.fixed, &spec.query) {
        (Some(window), None, None, None) => (longer("spec.baseline.window", window.0, mistakes), Reference::Healthy),
        (None, Some(offset), None, None) => {
            if offset.0 < SHORTEST_OFFSET {
                let what = "must be at least `5m`: less healthy time than that is no baseline";
                mistakes.push(Mistake::new("spec.baseline.offset", what));
            }
            (AN_HOUR, Reference::Offset(offset.0))
        }
        (None, None, Some(fixed), None) => {
            let number = |path: &str, text: &crate::model::units::Amount, signal: &Signal| {
                let number = amount(&text.0, signal.unit).map_err(|wrong| Mistake {
                    path: path.to_owned(),
                    message: format!("column {}: {}", wrong.column, wrong.message),
                    picture: wrong.picture,
                })?;
                if signal.counted() && !(0.0..=1.0).contains(&number) {
                    let what = format!("`{}` lies between 0 % and 100 %, `{}` does not", signal.name, text.0);
                    return Err(Mistake::new(path, what));
                }
                Ok(number)
            };
            (
                AN_HOUR,
                Reference::Fixed(each("fixed", fixed, signals, number, mistakes)),
            )
        }
        (None, None, None, Some(query)) => {
            let whole = |path: &str, text: &String, _: &Signal| match balance_mistake(text) {
                _ if text.trim().is_empty() => Err(Mistake::new(path, "is empty; write a query that gives one number")),
                Some(why) => Err(Mistake::new(path, why)),
                None => Ok(text.clone()),
            };
            (
                AN_HOUR,
                Reference::Query(each("query", query, signals, whole, mistakes)),
            )
        }
        _ => {
            let what = "is exactly one of window, offset, fixed, query, such as `{window: 1h}`";
            mistakes.push(Mistake::new("spec.baseline", what));
            (AN_HOUR, Reference::Healthy)
        }
    }
}

/// Every entry of a map by signal, those with a mistake told and left out.
fn each<T, N>(
    kind: &str,
    given: &BTreeMap<String, T>,
    signals: &[Signal],
    read: impl Fn(&str, &T, &Signal) -> Result<N, Mistake>,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<String, N> {
    if given.is_empty() {
        let what = "names no signal; write for example `{response_time: …}`";
        mistakes.push(Mistake::new(format!("spec.baseline.{kind}"), what));
    }
    let mut all = BTreeMap::new();
    for (name, value) in given {
        let path = format!("spec.baseline.{kind}.{name}");
        let Some(signal) = signals.iter().find(|signal| signal.name == *name) else {
            let known = signals.iter().map(|signal| signal.name.as_str());
            mistakes.push(Mistake::new(
                path,
                format!("there is no signal `{name}`{}", suggestion(name, known)),
            ));
            continue;
        };
        match read(&path, value, signal) {
            Ok(read) => {
                all.insert(name.clone(), read);
            }
            Err(mistake) => mistakes.push(mistake),
        }
    }
    all
}
