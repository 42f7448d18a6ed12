//! What the server says about itself: version, groups and resources.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    api::{failure::Failure, kind::Kind},
    store::Store,
};

pub(crate) fn answer(store: &Store, path: &str) -> Result<Value, Failure> {
    let kinds = Kind::served(store);
    match path.trim_end_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["", "version"] => Ok(json!({
            "major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": "",
            "gitTreeState": "clean", "buildDate": "", "goVersion": "", "compiler": "gc",
            "platform": "linux/amd64",
        })),
        ["", "api"] => Ok(json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        })),
        ["", "apis"] => {
            let names: BTreeSet<&str> = kinds.iter().map(|kind| kind.group.as_str()).collect();
            let groups = names.into_iter().filter(|name| !name.is_empty());
            let groups: Vec<Value> = groups.map(|name| group(&kinds, name)).collect();
            Ok(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["", "api", version] => resources(&kinds, "", version),
        ["", "apis", name] if kinds.iter().any(|kind| kind.group == *name) => {
            let mut group = group(&kinds, name);
            group["kind"] = "APIGroup".into();
            group["apiVersion"] = "v1".into();
            Ok(group)
        }
        ["", "apis", name, version] => resources(&kinds, name, version),
        _ => Err(Failure::no_such_path()),
    }
}

fn group(kinds: &[Kind], name: &str) -> Value {
    let versions: BTreeSet<&str> = kinds
        .iter()
        .filter(|kind| kind.group == name)
        .map(|kind| kind.version.as_str())
        .collect();
    let versions: Vec<Value> = versions
        .into_iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}

fn resources(kinds: &[Kind], group: &str, version: &str) -> Result<Value, Failure> {
    let verbs = json!([
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch"
    ]);
    let found: Vec<Value> = kinds
        .iter()
        .filter(|kind| kind.group == group && kind.version == version)
        .flat_map(|kind| {
            let entry = |name: String, verbs: Value| {
                json!({
                    "name": name, "singularName": kind.kind.to_lowercase(), "kind": kind.kind,
                    "namespaced": kind.namespaced, "verbs": verbs,
                })
            };
            let status = kind
                .status
                .then(|| entry(format!("{}/status", kind.plural), json!(["get", "patch", "update"])));
            [Some(entry(kind.plural.clone(), verbs.clone())), status]
                .into_iter()
                .flatten()
        })
        .collect();
    if found.is_empty() {
        return Err(Failure::no_such_path());
    }
    let name = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Ok(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": found,
    }))
}
