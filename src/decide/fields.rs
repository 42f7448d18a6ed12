//! Pure. What a change altered, field by field, so that a part of it is known when it returns.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    model::{
        content::{Content, Contents, SALT, short_hash, without_own},
        guard::{Changed, TargetKind, TargetRef},
    },
    report::mask::mask_line,
};

/// What the present state's objects hold, as digests: each field alone, and with its value.
pub type Fields = BTreeMap<TargetRef, BTreeSet<String>>;

/// Of one object so many changed fields are remembered: variables, images and keys before all others.
const KEPT: usize = 20;
/// A longer value is told by its name alone.
const SHORT: usize = 60;
/// The field of an object that the change deleted.
const DELETED: &str = "deleted";
const REMOVED: &str = "removed ";

/// What these objects hold.
pub fn fields(contents: &Contents) -> Fields {
    let digests = |(target, content): (&TargetRef, &Content)| {
        let salt = salt(content);
        let all = leaves(target.kind, content);
        let both = all
            .iter()
            .flat_map(|(name, value)| [digest(salt, name), digest(salt, &with_value(name, value))]);
        (target.clone(), both.collect())
    };
    contents.iter().map(digests).collect()
}

/// What stands in `bad` and would not in `good`. A Secret's values are never told.
pub fn changed(target: &TargetRef, bad: Option<&Content>, good: &Content) -> Vec<Changed> {
    let field = |field: String, digest: String| Changed {
        target: target.to_string(),
        field,
        digest,
    };
    let Some(bad) = bad else {
        return vec![field(DELETED.to_owned(), String::new())];
    };
    let salt = salt(bad);
    let (now, then) = (leaves(target.kind, bad), leaves(target.kind, good));
    let is_hidden = target.kind == TargetKind::Secret;
    let other = now.iter().filter(|(name, value)| then.get(*name) != Some(*value));
    let other = other.map(|(name, value)| field(shown(name, value, is_hidden), digest(salt, &with_value(name, value))));
    let gone = then.keys().filter(|name| !now.contains_key(*name));
    let gone = gone.map(|name| field(format!("{REMOVED}{name}"), digest(salt, name)));
    let (mut first, rest): (Vec<_>, Vec<_>) = other.chain(gone).partition(|one| one.field.contains(' '));
    first.extend(rest);
    first.truncate(KEPT);
    first
}

/// Whether what is there holds that field as the change had it.
pub fn is_back(changed: &Changed, now: &Fields) -> bool {
    let target = changed.target.parse::<TargetRef>();
    let held = target.ok().and_then(|target| now.get(&target));
    let has = held.is_some_and(|held| held.contains(&changed.digest));
    match held {
        None => changed.field == DELETED,
        Some(_) if changed.field.starts_with(REMOVED) => !has,
        Some(_) => has,
    }
}

/// Whether the owner of a guard named it: `env WORKER_MODE`, or with its value, `env WORKER_MODE=celery`.
pub fn is_named(changed: &Changed, names: &[String]) -> bool {
    let name = changed
        .field
        .split_once('=')
        .map_or(changed.field.as_str(), |(name, _)| name);
    let is = |text: &String| text == name || *text == changed.field || digest("", text) == changed.digest;
    names.iter().any(is)
}

/// Every field of an object: its name as people write it, and its value.
fn leaves(kind: TargetKind, content: &Content) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    match kind {
        TargetKind::ConfigMap | TargetKind::Secret => {
            for entries in ["data", "binaryData"]
                .into_iter()
                .filter_map(|part| content.0.get(part)?.as_object())
            {
                let named = entries
                    .iter()
                    .map(|(key, value)| (format!("data {key}"), value.clone()));
                leaves.extend(named);
            }
        }
        TargetKind::Deployment | TargetKind::StatefulSet | TargetKind::DaemonSet => {
            flatten("", &without_own(&content.0), &mut leaves);
        }
    }
    leaves
}

/// `spec.containers.orders.resources.limits.memory`; a container's image and variables by the words that people use.
fn flatten(path: &str, value: &Value, leaves: &mut BTreeMap<String, Value>) {
    let within = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                flatten(&within(key), inner, leaves);
            }
        }
        Value::Array(items) if named(items).is_some() => {
            for (name, inner) in named(items).into_iter().flatten() {
                if path.ends_with(".env") {
                    leaves.insert(format!("env {name}"), variable(inner));
                    continue;
                }
                let parts = inner.as_object().into_iter().flatten();
                for (key, part) in parts.filter(|(key, _)| *key != "name") {
                    flatten(&format!("{path}.{name}.{key}"), part, leaves);
                }
            }
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let container = path.strip_suffix(".image").and_then(|at| at.rsplit_once("ontainers."));
            let name = container.map(|(_, name)| format!("image {name}"));
            leaves.insert(name.unwrap_or_else(|| path.to_owned()), value.clone());
        }
    }
}

/// A variable's value, or where it comes from.
fn variable(entry: &Value) -> Value {
    let from = || entry.get("valueFrom");
    entry.get("value").or_else(from).cloned().unwrap_or_default()
}

/// The items by their names, where each has one of its own.
fn named(items: &[Value]) -> Option<BTreeMap<&str, &Value>> {
    let names = items.iter().map(|item| Some((item.get("name")?.as_str()?, item)));
    let all: BTreeMap<&str, &Value> = names.collect::<Option<_>>()?;
    (!all.is_empty() && all.len() == items.len()).then_some(all)
}

fn with_value(name: &str, value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("{name}={text}")
}

/// As people see it.
fn shown(name: &str, value: &Value, is_hidden: bool) -> String {
    let text = with_value(name, value);
    if is_hidden || text.len() > name.len() + SHORT || text.contains('\n') {
        name.to_owned()
    } else {
        mask_line(&text)
    }
}

/// A Secret's digests are taken with the salt of its hash.
fn salt(content: &Content) -> &str {
    content.0.get(SALT).and_then(Value::as_str).unwrap_or_default()
}

fn digest(salt: &str, text: &str) -> String {
    short_hash(&format!("field {salt} {text}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(name: &str) -> TargetRef {
        name.parse().unwrap()
    }

    fn orders(image: &str, env: &Value) -> Content {
        let container = json!({"name": "orders", "image": image, "env": env, "args": ["--fast"], "resources": {"limits": {"memory": "1Gi"}}});
        Content(json!({"metadata": {"labels": {"pod-template-hash": image}}, "spec": {"containers": [container]}}))
    }

    fn names(changed: &[Changed]) -> Vec<&str> {
        changed.iter().map(|one| one.field.as_str()).collect()
    }

    /// What is back of a change from `good` to `bad`, where `now` runs.
    fn back<'a>(changed: &'a [Changed], now: &Content) -> Vec<&'a str> {
        let now = fields(&Contents::from([(target(&changed[0].target), now.clone())]));
        let back = changed.iter().filter(|one| is_back(one, &now));
        back.map(|one| one.field.as_str()).collect()
    }

    #[test]
    fn a_fix_that_keeps_the_rest_brings_some_of_it_back() {
        let good = orders(
            "shop/orders:1.4",
            &json!([{"name": "WORKER_MODE", "value": "legacy"}, {"name": "LIMIT", "value": "9"}]),
        );
        let bad = orders(
            "shop/orders:1.5",
            &json!([{"name": "WORKER_MODE", "value": "celery"}, {"name": "DB_PASSWORD", "value": "x"}]),
        );
        let changed = changed(&target("Deployment/orders"), Some(&bad), &good);
        let all = [
            "env DB_PASSWORD=•••",
            "env WORKER_MODE=celery",
            "image orders=shop/orders:1.5",
            "removed env LIMIT",
        ];
        assert_eq!(names(&changed), all);
        assert_eq!(back(&changed, &bad), all);
        assert_eq!(back(&changed, &good), [""; 0]);
        let fix = orders(
            "shop/orders:1.5.1",
            &json!([{"name": "WORKER_MODE", "value": "celery"}, {"name": "LIMIT", "value": "1"}]),
        );
        assert_eq!(back(&changed, &fix), ["env WORKER_MODE=celery"]);
    }

    #[test]
    fn what_the_owner_named_is_known_by_its_name_or_with_its_value_also_where_that_is_masked() {
        let change = |name: &str, value: &str| {
            let env = |value: &str| orders("a", &json!([{"name": name, "value": value}]));
            changed(&target("Deployment/orders"), Some(&env(value)), &env("before")).remove(0)
        };
        let named = |changed: &Changed, text: &str| is_named(changed, &[text.to_owned()]);
        let mode = change("WORKER_MODE", "celery");
        assert!(named(&mode, "env WORKER_MODE=celery") && named(&mode, "env WORKER_MODE"));
        assert!(!named(&mode, "env WORKER_MODE=legacy") && !named(&mode, "env WORKER"));
        let key = change("API_KEY", "k");
        assert!(named(&key, "env API_KEY=k") && !named(&key, "env API_KEY=j"));
    }

    #[test]
    fn keys_of_settings_and_what_was_deleted_are_known_too() {
        let settings = target("ConfigMap/settings");
        let config = |share: &str| Content(json!({"data": {"ERROR_SHARE": share, "kept": "1"}}));
        let share = changed(&settings, Some(&config("0.5")), &config("0"));
        assert_eq!(names(&share), ["data ERROR_SHARE=0.5"]);
        assert_eq!(back(&share, &config("0.5")), ["data ERROR_SHARE=0.5"]);
        assert_eq!(back(&share, &config("0.7")), [""; 0]);
        let deleted = changed(&settings, None, &config("0"));
        assert!(is_back(&deleted[0], &Fields::new()) && back(&deleted, &config("0")).is_empty());
    }

    #[test]
    fn of_a_secret_no_value_is_told_and_no_digest_lets_it_be_guessed() {
        let db = target("Secret/db");
        let secret = |password: &str, salt: &str| Content(json!({"data": {"PIN": password}})).salted(salt);
        let of = |salt| changed(&db, Some(&secret("MTIzNA==", salt)), &secret("MA==", salt)).remove(0);
        assert_eq!(of("a").field, "data PIN");
        assert_ne!(of("a").digest, of("b").digest);
        let now = |salt| fields(&Contents::from([(db.clone(), secret("MTIzNA==", salt))]));
        assert!(is_back(&of("a"), &now("a")) && !is_back(&of("a"), &now("b")));
    }

    #[test]
    fn of_a_long_change_variables_images_and_keys_are_remembered_first() {
        let many: serde_json::Map<_, _> = (0..30).map(|at| (format!("a{at}"), json!("x"))).collect();
        let bad =
            Content(json!({"metadata": {"annotations": many}, "spec": {"containers": [{"name": "c", "image": "b"}]}}));
        let good = Content(json!({"spec": {"containers": [{"name": "c", "image": "a"}]}}));
        let changed = changed(&target("Deployment/orders"), Some(&bad), &good);
        assert_eq!((changed.len(), changed[0].field.as_str()), (KEPT, "image c=b"));
    }
}
