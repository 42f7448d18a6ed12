//! A container's environment, as the kubelet resolves it when the container starts.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    json::{entries, list, text},
    store::{Key, Store},
};

/// The environment, or the sentence that says what is missing.
pub(crate) fn resolved(store: &Store, pod: &Value, container: &Value) -> Result<BTreeMap<String, String>, String> {
    let namespace = text(pod, "/metadata/namespace");
    let mut env = BTreeMap::new();
    for source in list(container, "/envFrom") {
        let prefix = text(source, "/prefix");
        for (name, value) in everything(store, namespace, source)? {
            env.insert(format!("{prefix}{name}"), value);
        }
    }
    for variable in list(container, "/env") {
        if let Some(value) = value_of(store, pod, namespace, variable)? {
            env.insert(text(variable, "/name").into(), value);
        }
    }
    Ok(env)
}

fn everything(store: &Store, namespace: &str, source: &Value) -> Result<Vec<(String, String)>, String> {
    for (field, plural) in [("configMapRef", "configmaps"), ("secretRef", "secrets")] {
        let Some(reference) = source.get(field) else { continue };
        let name = text(reference, "/name");
        return match store.get(&Key::new("", plural, namespace, name)) {
            Some(object) => Ok(entries(object, "/data")
                .filter_map(|(name, value)| Some((name.clone(), plain(plural, value.as_str()?))))
                .collect()),
            None if is_optional(reference) => Ok(Vec::new()),
            None => Err(format!("{} \"{name}\" not found", plural.trim_end_matches('s'))),
        };
    }
    Ok(Vec::new())
}

fn value_of(store: &Store, pod: &Value, namespace: &str, variable: &Value) -> Result<Option<String>, String> {
    let Some(source) = variable.get("valueFrom") else {
        return Ok(Some(text(variable, "/value").into()));
    };
    if let Some(field) = source.get("fieldRef") {
        return Ok(Some(field_of(pod, text(field, "/fieldPath"))));
    }
    for (field, plural) in [("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")] {
        let Some(reference) = source.get(field) else { continue };
        let (name, key) = (text(reference, "/name"), text(reference, "/key"));
        let object = store.get(&Key::new("", plural, namespace, name));
        let value = object.and_then(|object| object.get("data")?.get(key)?.as_str());
        return match (value, object) {
            (Some(value), _) => Ok(Some(plain(plural, value))),
            (None, _) if is_optional(reference) => Ok(None),
            (None, Some(_)) => {
                let title = if plural == "secrets" { "Secret" } else { "ConfigMap" };
                Err(format!("couldn't find key {key} in {title} {namespace}/{name}"))
            }
            (None, None) => Err(format!("{} \"{name}\" not found", plural.trim_end_matches('s'))),
        };
    }
    Ok(None)
}

fn field_of(pod: &Value, path: &str) -> String {
    let keyed = path.strip_suffix("']").and_then(|path| path.split_once("['"));
    let found = match keyed {
        Some((path, key)) => pod
            .pointer(&format!("/{}", path.replace('.', "/")))
            .and_then(|map| map.get(key)),
        None => pod.pointer(&format!("/{}", path.replace('.', "/"))),
    };
    found.and_then(Value::as_str).unwrap_or_default().into()
}

fn is_optional(reference: &Value) -> bool {
    reference.get("optional") == Some(&Value::Bool(true))
}

/// A value as the container gets it: Secrets hold Base64.
fn plain(plural: &str, value: &str) -> String {
    if plural != "secrets" {
        return value.into();
    }
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = value
        .bytes()
        .filter_map(|letter| ALPHABET.iter().position(|one| *one == letter));
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_usize, 0);
    for digit in digits {
        (held, bits) = (held << 6 | digit, bits + 6);
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).unwrap_or_default());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
