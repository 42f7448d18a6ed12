//! Pure. What is wrong with own presets beyond their form: found by a guard that uses each.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Settings, source::Way};
use crate::{judge::policy::Policy, model::preset::Preset};

/// Every mistake in them: where, and what is wrong there, with the line and a caret where a condition is.
pub fn findings(settings: &Settings) -> impl Iterator<Item = (Way, String)> {
    settings.presets.iter().flat_map(|(name, preset)| {
        let way = |rest: &str| -> Way {
            let steps = rest.split(['.', '[']).map(|step| step.trim_end_matches(']').to_owned());
            ["presets".to_owned(), name.clone()].into_iter().chain(steps).collect()
        };
        labels(preset)
            .map(|wrong| (way("labels"), wrong))
            .into_iter()
            .chain(used(preset).into_iter().map(move |(rest, wrong)| (way(&rest), wrong)))
            .collect::<Vec<_>>()
    })
}

fn labels(preset: &Preset) -> Option<String> {
    let own = &preset.labels;
    match (own.namespace.is_some() || own.workload.is_some(), own.matching.is_empty()) {
        (true, true) | (false, false) => None,
        (false, true) => Some(
            "without labels nothing tells one guard's rows from another's; name `namespace` and `workload`, or `match`: \
             labels that every guard must name"
                .to_owned(),
        ),
        (true, false) => Some("either a guard must name its labels, or it need not: leave `match` or the others out".to_owned()),
    }
}

/// What a guard that uses the preset is told of it.
fn used(preset: &Preset) -> Vec<(String, String)> {
    let guard = json!({
        "targets": [{"kind": "Deployment", "name": "any"}],
        "metrics": {"preset": "own", "match": {"any": "any"}},
    });
    let Ok(spec) = serde_json::from_value(guard) else {
        return Vec::new();
    };
    let presets: BTreeMap<_, _> = [("own".to_owned(), preset.clone())].into();
    let wrong = Policy::compile("any", &spec, &presets).err().unwrap_or_default();
    wrong
        .into_iter()
        // Which grades there are is the guard's to say, by its scheme.
        .filter(|wrong| !wrong.path.ends_with(".grade"))
        .map(|wrong| {
            let path = wrong.path.trim_start_matches("spec.").trim_start_matches("metrics.");
            let text = match wrong.picture.as_str() {
                "" => wrong.message.clone(),
                picture => format!("{}\n{picture}", wrong.message),
            };
            (path.to_owned(), text)
        })
        .collect()
}
