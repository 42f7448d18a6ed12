//! Pure. Keys of a ConfigMap set and removed, and the restart of the pods that use it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use serde_json::{Map, Value};

use super::{Sources, planned};
use crate::{
    model::{
        content::{Content, Contents},
        guard::{SetConfig, TargetRef},
        incident::PlannedStep,
    },
    observe::objects::config_uses,
};

/// The keys first, then the pods. `mark` is of this step alone: pods that restarted for an earlier one restart again.
pub fn set_config(
    sources: &Sources,
    set: &SetConfig,
    mark: &str,
    goal: &mut Contents,
) -> Result<Vec<PlannedStep>, String> {
    let target: TargetRef = set.target.parse()?;
    let current = goal.get(&target).cloned().ok_or_else(|| {
        format!(
            "{target} may not be written: it does not exist, or it is no target of this guard, or others use it as well; \
             to write it nevertheless name it in `targets`"
        )
    })?;
    let wanted = with_data(&current, set);
    if wanted.hash() == current.hash() {
        return Ok(Vec::new());
    }
    let mut plan = vec![planned("setConfig", sources, &target, Some(&current), &wanted, None)];
    goal.insert(target.clone(), wanted);
    let reads = |(at, template): &(&TargetRef, &Content)| {
        let uses = config_uses(template.0.get("spec").unwrap_or(&Value::Null));
        at.kind.is_workload() && uses.iter().any(|used| used.target == target)
    };
    let readers = goal.iter().filter(reads);
    plan.extend(
        readers.map(|(at, template)| planned("restart", sources, at, Some(template), template, Some(mark.to_owned()))),
    );
    Ok(plan)
}

/// The ConfigMap with the keys set and removed, also where they held bytes.
pub fn with_data(config: &Content, set: &SetConfig) -> Content {
    let mut value = config.0.as_object().cloned().unwrap_or_default();
    for field in ["data", "binaryData"] {
        let mut entries = value.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
        entries.retain(|key, _| !set.remove.contains(key) && !set.data.contains_key(key));
        if field == "data" {
            let given = set.data.iter();
            entries.extend(given.map(|(key, text)| (key.clone(), Value::String(text.clone()))));
        }
        put(&mut value, field, entries);
    }
    Content(Value::Object(value))
}

/// The API server holds no empty maps.
fn put(value: &mut Map<String, Value>, field: &str, entries: Map<String, Value>) {
    if entries.is_empty() {
        value.remove(field);
    } else {
        value.insert(field.to_owned(), Value::Object(entries));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::{
        super::{goal, reached, resolve},
        *,
    };
    use crate::model::guard::Step;

    fn set(target: &str) -> Step {
        Step {
            set_config: Some(SetConfig {
                target: target.to_owned(),
                data: BTreeMap::from([("mode".to_owned(), "legacy".to_owned())]),
                remove: vec!["extra".to_owned()],
            }),
            ..Step::default()
        }
    }

    fn reader(config: &str) -> Content {
        Content(json!({"spec": {"containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": config}}]}]}}))
    }

    fn current() -> Contents {
        let config = json!({"data": {"mode": "celery", "kept": "1"}, "binaryData": {"extra": "AA=="}});
        BTreeMap::from([
            ("ConfigMap/actor-system".parse().unwrap(), Content(config)),
            ("Deployment/orders".parse().unwrap(), reader("actor-system")),
            ("Deployment/other".parse().unwrap(), reader("another")),
        ])
    }

    fn plan(steps: &[Step], current: &Contents) -> Result<Vec<PlannedStep>, String> {
        resolve(&Sources {
            steps,
            current,
            uids: &BTreeMap::new(),
            replicas: &BTreeMap::new(),
            templates: &BTreeMap::new(),
            git: &crate::decide::plan::git::Known::default(),
            snapshot: None,
            restored_at: "now",
        })
    }

    #[test]
    fn keys_of_a_config_map_are_set_and_its_readers_alone_restart() {
        let (steps, current) = ([set("ConfigMap/actor-system")], current());
        let plan = plan(&steps, &current).unwrap();
        let words: Vec<String> = plan.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["setConfig ConfigMap/actor-system", "restart Deployment/orders"]);
        let target: TargetRef = "ConfigMap/actor-system".parse().unwrap();
        let made = goal(&plan[0], &steps, &target, current.get(&target), None).unwrap();
        assert_eq!(
            made.0,
            json!({"data": {"mode": "legacy", "kept": "1"}}),
            "as the API server will hold it"
        );
        assert!(reached(&plan[0], &made), "it derives to the recorded hash");
        let orders: TargetRef = "Deployment/orders".parse().unwrap();
        let restarted = goal(&plan[1], &steps, &orders, current.get(&orders), None).unwrap();
        assert!(reached(&plan[1], &restarted) && !reached(&plan[1], &current[&orders]));
    }

    #[test]
    fn a_later_setting_restarts_pods_that_an_earlier_one_restarted() {
        let mut second = set("ConfigMap/actor-system");
        second.set_config.as_mut().unwrap().data = BTreeMap::from([("kept".to_owned(), "2".to_owned())]);
        let plan = plan(&[set("ConfigMap/actor-system"), second], &current()).unwrap();
        let marks: Vec<_> = plan.iter().filter_map(|step| step.restart.as_deref()).collect();
        assert_eq!(marks, ["now 0", "now 1"]);
    }

    #[test]
    fn what_is_set_already_is_nothing_to_do() {
        let mut current = current();
        let data = json!({"data": {"mode": "legacy", "kept": "1"}});
        current.insert("ConfigMap/actor-system".parse().unwrap(), Content(data));
        assert!(plan(&[set("ConfigMap/actor-system")], &current).unwrap().is_empty());
    }

    #[test]
    fn a_config_map_of_others_is_not_written() {
        let why = plan(&[set("ConfigMap/shared")], &current()).unwrap_err();
        assert!(why.starts_with("ConfigMap/shared may not be written"), "{why}");
    }
}
