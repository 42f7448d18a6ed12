//! IO (files are read). `modosu check`: settings and guard files without a cluster, every mistake at once.

use std::{collections::BTreeMap, path::Path};

use super::{CheckArguments, run::environment};
use crate::{
    config::{
        Flags, Mistake, Mistakes, Settings, StepSettings,
        load::{mistake, step},
        mistake::Place,
        source::{File, Way},
    },
    judge::policy::{Policy, forbidden, forbidden_checks},
    model::{grade::Schemes, guard::Guard, preset::Preset},
};

/// What was checked, in a sentence; or everything that is wrong.
pub fn check(arguments: &CheckArguments) -> anyhow::Result<String> {
    let mut mistakes = Vec::new();
    let settings = Settings::load(arguments.settings.config.as_deref(), environment(), &Flags::default())
        .unwrap_or_else(|Mistakes(found)| {
            mistakes.extend(found);
            Settings::default()
        });
    let presets = presets(&settings)?;
    let schemes = settings.all_schemes();
    let mut guards = 0;
    for path in &arguments.files {
        match documents(path) {
            Ok(files) => {
                for file in files
                    .iter()
                    .filter(|file| file.content.get("kind").is_some_and(|kind| kind == "Guard"))
                {
                    guards += 1;
                    mistakes.extend(guard(file, &presets, &schemes, &settings.steps));
                }
            }
            Err(mistake) => mistakes.push(*mistake),
        }
    }
    if mistakes.is_empty() {
        Ok(format!("fine: the settings and {guards} guard(s)\n"))
    } else {
        Err(Mistakes(mistakes).into())
    }
}

/// The shipped presets and the settings' own.
fn presets(settings: &Settings) -> anyhow::Result<BTreeMap<String, Preset>> {
    let mut presets = Preset::shipped();
    for (name, own) in &settings.presets {
        presets.insert(name.clone(), own.clone());
    }
    Ok(presets)
}

fn documents(path: &Path) -> Result<Vec<File>, Box<Mistake>> {
    let whole = |line, wrong| {
        Box::new(Mistake {
            place: Place::File {
                path: path.to_owned(),
                line,
            },
            path: String::new(),
            value: None,
            wrong,
            right: None,
        })
    };
    let text = std::fs::read_to_string(path).map_err(|why| whole(0, format!("the file cannot be read: {why}")))?;
    File::parse_all(path, &text).map_err(|(line, why)| whole(line, why))
}

/// What is wrong with a guard: first whether it can be read, then what it asks for.
fn guard(file: &File, presets: &BTreeMap<String, Preset>, schemes: &Schemes, steps: &StepSettings) -> Vec<Mistake> {
    let guard = match serde_path_to_error::deserialize::<_, Guard>(&file.content) {
        Ok(guard) => guard,
        Err(failed) => {
            let way: Way = failed.path().iter().filter_map(step).collect();
            let (place, value) = file.find(&way);
            return vec![mistake(&way, place, value, failed.inner().to_string(), None)];
        }
    };
    let namespace = guard.metadata.namespace.as_deref().unwrap_or("default");
    let found = Policy::compile_with(namespace, &guard.spec, presets, schemes)
        .err()
        .unwrap_or_default();
    found
        .into_iter()
        .chain(forbidden(&guard.spec.rollback, steps.http, steps.job, steps.git))
        .chain(forbidden_checks(&guard.spec.rollback.before, steps.job))
        .map(|wrong| {
            let steps = wrong
                .path
                .split(['.', '['])
                .map(|step| step.trim_end_matches(']').to_owned());
            let way: Way = steps.collect();
            let (place, value) = file.find(&way);
            // the picture shows the value already, with a caret
            let (value, text) = match wrong.picture.as_str() {
                "" => (value, wrong.message),
                picture => (None, format!("{}\n{picture}", wrong.message)),
            };
            mistake(&way, place, value, text, None)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::grade::Scheme;

    #[test]
    fn a_check_that_the_settings_do_not_allow_is_a_mistake_with_its_line() {
        let text = "kind: Guard
apiVersion: modosu.dev/v1alpha1
metadata: {name: orders, namespace: shop}
spec:
  targets: [{kind: Deployment, name: orders}]
  metrics: {preset: prometheus-http}
  rollback:
    before:
      - job: {from: ConfigMap/runbook, key: backup.yaml}
";
        let files = File::parse_all(Path::new("orders.yaml"), text).unwrap();
        let told = |job: bool| {
            let steps = StepSettings {
                job,
                ..StepSettings::default()
            };
            let mistakes = guard(&files[0], &Preset::shipped(), &Scheme::shipped(), &steps);
            mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(told(true), "");
        insta::assert_snapshot!(told(false), @r#"
        orders.yaml:9  spec.rollback.before[0].job: {"from":"ConfigMap/runbook","key":"backup.yaml"}
            this daemon runs no Jobs: its settings do not say `steps: {job: true}`
        "#);
    }
}
