//! What the tools of the trade say of what is shipped: Helm's own, kubeconform with the schemas of the real API server, promtool.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use modosu::{config::Settings, report::metrics::Metrics};
use modosu_cluster::Cluster;
use serde_json::{Value, json};

use crate::{Package, VALUES, chart, helm, root, run, tool, values};

#[test]
fn helm_finds_nothing_to_complain_about() {
    for one in VALUES {
        helm(&["lint", "--strict", &chart(), "--values", &values(one)]);
    }
}

#[test]
fn wrong_values_are_refused_with_their_place() {
    for (set, place) in [
        ("settings.mod=ask", "settings"),
        ("settings.mode=act", "settings/mode"),
        ("settings.readOnly=true", "settings"),
        ("settings.namespaces={Shop}", "settings/namespaces/0"),
        ("settings.steps.jobs=true", "settings/steps"),
        ("replicas=two", "replicas"),
        ("image.tags=1", "image"),
        ("secrets=true", "secrets"),
        ("serviceMonitor.interval=often", "serviceMonitor"),
    ] {
        let refused = run(&tool("helm"), &["template", "modosu", &chart(), "--set", set]);
        let said = refused.expect_err(set);
        assert!(said.contains("schema") && said.contains(place), "{set}: {said}");
    }
}

/// A setting that the chart does not know could not be set. A sidecar is no release of its own.
#[test]
fn every_setting_can_be_set_in_the_chart() {
    let defaults = serde_json::to_value(Settings::default()).unwrap();
    let all: BTreeSet<&String> = defaults
        .as_object()
        .unwrap()
        .keys()
        .filter(|key| *key != "guard")
        .collect();
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(root().join("deploy/helm/modosu/values.schema.json")).unwrap())
            .unwrap();
    let known = schema["properties"]["settings"]["properties"].as_object().unwrap();
    assert_eq!(known.keys().collect::<BTreeSet<_>>(), all);
}

#[test]
fn promtool_takes_the_rules() {
    let rule = Package::Helm("everything").object("PrometheusRule", "modosu");
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    // JSON is YAML.
    fs::write(file.path(), rule["spec"].to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    let said = run(
        &tool("promtool"),
        &["check", "rules", "--lint=all", "--lint-fatal", path],
    )
    .unwrap();
    assert!(said.contains("SUCCESS: 4 rules found"), "{said}");
}

/// Alerts on metrics that nobody has are silent for ever.
#[test]
fn rules_and_dashboard_ask_for_metrics_that_there_are() {
    let metrics = Metrics::new("1", "2");
    // Known from the first one on.
    metrics.incident_ended("High", "recovered");
    metrics.write_done("incidents", "ok");
    let there = metrics.render().unwrap();
    let types = there.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names: BTreeSet<&str> = types.filter_map(|line| line.split(' ').next()).collect();
    let mut asked = 0;
    for file in ["rules.yaml", "dashboard.json"] {
        let text = fs::read_to_string(root().join("deploy/helm/modosu/files").join(file)).unwrap();
        let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
        for word in words.filter(|word| word.starts_with("modosu_")) {
            let family = ["_total", "_bucket"]
                .iter()
                .find_map(|end| word.strip_suffix(end))
                .unwrap_or(word);
            assert!(names.contains(family), "{file} asks for {word}; there are {names:?}");
            asked += 1;
        }
    }
    assert!(asked > 10);
}

/// Kinds of the Prometheus operator, which is not there.
const FOREIGN: &str = "ServiceMonitor,PodMonitor,PrometheusRule";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubeconform_takes_everything_by_the_servers_own_schemas() {
    let cluster = Cluster::shared().await.unwrap();
    let api: Value = serde_json::from_str(&cluster.kubectl(&["get", "--raw", "/openapi/v2"]).await.unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_schemas(&api, folder.path());
    let wrong = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: wrong}\nspec: {replica: 2, selector: {}, template: {}}\n";
    let said = conforms(folder.path(), wrong).unwrap_err();
    assert!(said.contains("replica"), "it finds what is wrong: {said}");
    for package in Package::all() {
        let said = conforms(folder.path(), &package.text()).unwrap_or_else(|why| panic!("{package:?}: {why}"));
        assert!(said.contains("Errors: 0"), "{package:?}: {said}");
    }
}

fn conforms(schemas: &Path, manifests: &str) -> Result<String, String> {
    let file = schemas.join("looked-at.yaml");
    fs::write(&file, manifests).unwrap();
    let place = format!("{}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json", schemas.display());
    let arguments = [
        "-strict",
        "-summary",
        "-skip",
        FOREIGN,
        "-schema-location",
        &place,
        file.to_str().unwrap(),
    ];
    run(&tool("kubeconform"), &arguments)
}

/// A file for each kind, as kubeconform looks for them; unknown fields are mistakes.
fn write_schemas(api: &Value, folder: &Path) {
    let mut definitions = api["definitions"].clone();
    for definition in definitions.as_object_mut().unwrap().values_mut() {
        let is_closed = definition.get("properties").is_some();
        if is_closed && definition.get("additionalProperties").is_none() {
            definition["additionalProperties"] = json!(false);
        }
        either(definition);
    }
    for (name, definition) in definitions.as_object().unwrap() {
        let kinds = definition["x-kubernetes-group-version-kind"].as_array();
        let [kind] = kinds.map(Vec::as_slice).unwrap_or_default() else {
            continue;
        };
        let [group, version, kind] = ["group", "version", "kind"].map(|part| kind[part].as_str().unwrap());
        let mut file = kind.to_lowercase();
        if let Some(first) = group.split('.').next().filter(|first| !first.is_empty()) {
            write!(file, "-{first}").unwrap();
        }
        let schema = json!({"$ref": format!("#/definitions/{name}"), "definitions": definitions});
        if USED.contains(&kind) {
            fs::write(folder.join(format!("{file}-{version}.json")), schema.to_string()).unwrap();
        }
    }
}

/// Each file holds all definitions: only for what is shipped. A kind that is missing here is a mistake that kubeconform names.
const USED: [&str; 14] = [
    "Namespace",
    "ServiceAccount",
    "ConfigMap",
    "Service",
    "Deployment",
    "PodDisruptionBudget",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "NetworkPolicy",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "CustomResourceDefinition",
];

/// What may be a number or text.
fn either(schema: &mut Value) {
    match schema {
        Value::Object(fields) if fields.get("format").is_some_and(|format| format == "int-or-string") => {
            *schema = json!({"type": ["string", "integer"]});
        }
        Value::Object(fields) => fields.values_mut().for_each(either),
        Value::Array(list) => list.iter_mut().for_each(either),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
