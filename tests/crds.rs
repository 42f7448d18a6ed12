//! The shipped custom resource definitions are what the binary prints, and hold what a real API server insists on.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test may stop at the first surprise"
)]

use std::{fs, path::Path};

use modosu::{cli::crds, config::LeaderElection};
use serde_json::{Value, json};

const REGENERATE: &str = "regenerate it: MODOSU_WRITE=1 cargo test --test crds";

/// Calls `see` with every node of a schema and the way to it.
fn walk(schema: &Value, way: &str, see: &mut impl FnMut(&str, &Value)) {
    see(way, schema);
    match schema {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| walk(value, &format!("{way}.{key}"), see)),
        Value::Array(list) => list.iter().for_each(|value| walk(value, way, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn schemas() -> [Value; 2] {
    let schema = |crd: Value| crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    crds::definitions().unwrap().map(|(_, crd)| schema(crd))
}

fn rules(schema: &Value) -> Vec<String> {
    let mut rules = Vec::new();
    walk(schema, "", &mut |_, node| {
        rules.extend(node["rule"].as_str().map(str::to_owned));
    });
    rules
}

#[test]
fn the_shipped_definitions_are_what_the_binary_prints() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/crds");
    for (name, definition) in crds::definitions().unwrap() {
        let text = crds::yaml(&definition).unwrap();
        let path = folder.join(name);
        if std::env::var_os("MODOSU_WRITE").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let shipped = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            shipped == text,
            "deploy/crds/{name} is not what `modosu crds` prints; {REGENERATE}"
        );
    }
}

#[test]
fn the_stream_is_the_files_one_after_the_other() {
    let [guards, incidents] = crds::definitions().unwrap().map(|(_, crd)| crds::yaml(&crd).unwrap());
    assert_eq!(crds::stream().unwrap(), format!("{guards}---\n{incidents}"));
}

#[test]
fn schemas_are_structural_and_prune() {
    let mut free = Vec::new();
    for schema in schemas() {
        walk(&schema, "", &mut |way, node| {
            let both = node.get("properties").is_some() && node["additionalProperties"].is_object();
            assert!(!both, "{way}: named and free properties exclude each other");
            let format = node["format"].as_str().unwrap_or_default();
            assert!(
                !format.starts_with("uint"),
                "{way}: Kubernetes does not know the format {format}"
            );
            if node["x-kubernetes-preserve-unknown-fields"] == true {
                free.push(way.to_owned());
            }
        });
    }
    // signals have their own names there, and only modosu writes it
    assert_eq!(free, [".properties.status.properties.baseline"]);
}

#[test]
fn nobody_may_touch_secrets_or_run_jobs_who_did_not_opt_in() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let rules = |file: &str| -> Vec<Value> {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let parts = text
            .split("\n---\n")
            .map(|part| serde_saphyr::from_str::<Value>(part).unwrap());
        let rules = parts.filter_map(|part| part["rules"].as_array().cloned());
        rules.flatten().collect()
    };
    let base = json!(rules("base/role.yaml")).to_string();
    assert!(!base.contains("secrets") && !base.contains('*'), "{base}");
    let verbs = ["get", "list", "watch", "create", "patch", "delete"];
    let component = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": verbs}]);
    assert_eq!(json!(rules("components/secrets/role.yaml")), component);
    assert!(!base.contains("jobs") && !base.contains("pods/log"), "{base}");
    let component = json!([
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "create"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    ]);
    assert_eq!(json!(rules("components/job/role.yaml")), component);
}

/// Kustomize gives a generated ConfigMap's new name to every right by name that has the old one.
#[test]
fn the_shipped_role_is_for_the_lease_that_the_daemon_asks_for() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base");
    let read = |file: &str| fs::read_to_string(base.join(file)).unwrap();
    let lease = LeaderElection::default().lease_name;
    let granted = json!({
        "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [lease], "verbs": ["get", "update"],
    });
    let parts = read("role.yaml");
    let mut roles = parts
        .split("\n---\n")
        .map(|part| serde_saphyr::from_str::<Value>(part).unwrap());
    let role = roles.find(|role| role["kind"] == "Role").unwrap();
    assert!(role["rules"].as_array().unwrap().contains(&granted), "{role}");
    let kustomization: Value = serde_saphyr::from_str(&read("kustomization.yaml")).unwrap();
    for generated in kustomization["configMapGenerator"].as_array().unwrap() {
        assert_ne!(generated["name"], lease.as_str());
    }
}

#[test]
fn every_rule_of_a_guard_is_in_the_schema() {
    let [guard, _] = schemas();
    let rules = rules(&guard).join("\n");
    for part in [
        "self.size() <= 20",
        "has(self.setEnv)",
        "has(self.quantile)",
        "has(self.bad) != has(self.good)",
        "self.stages.size() == 0",
        "other.name == one.name",
    ] {
        assert!(rules.contains(part), "no rule has `{part}`:\n{rules}");
    }
}

#[test]
fn every_field_of_an_incident_but_the_decision_is_immutable() {
    let [_, incident] = schemas();
    let rules = rules(&incident).join("\n");
    for field in incident["properties"]["spec"]["properties"].as_object().unwrap().keys() {
        let held = rules.contains(&format!("self.{field} == oldSelf.{field}"));
        assert_eq!(held, field != "decision", "spec.{field}: immutable is {held}\n{rules}");
    }
}
