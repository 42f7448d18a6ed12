//! What the tools render is what was looked at and kept.

use std::fs;

use serde_json::Value;

use crate::{OVERLAYS, Package, VALUES, root};

const REWRITE: &str = "where that is right: MODOSU_WRITE=1 cargo test --test packages";

fn is_as_kept(name: &str, rendered: &str) {
    let path = root().join(format!("tests/packages/kept/{name}.yaml"));
    if std::env::var_os("MODOSU_WRITE").is_some() {
        fs::write(&path, rendered).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let changes = similar::TextDiff::from_lines(&kept, rendered);
    let changes = changes.unified_diff().context_radius(2).to_string();
    assert!(
        changes.is_empty(),
        "{name} renders otherwise than kept; {REWRITE}\n{changes}"
    );
}

#[test]
fn overlays_render_as_kept() {
    for overlay in OVERLAYS {
        is_as_kept(&format!("overlay-{overlay}"), &Package::overlay(overlay).text());
    }
}

#[test]
fn the_base_with_all_components_renders_as_kept() {
    is_as_kept("components", &Package::Kustomize("tests/packages/components").text());
}

#[test]
fn the_chart_renders_as_kept() {
    for values in VALUES {
        is_as_kept(&format!("helm-{values}"), &Package::Helm(values).text());
    }
}

/// Helm takes them from the chart's own folder.
#[test]
fn the_charts_custom_resource_definitions_are_the_shipped_ones() {
    let (shipped, own) = (root().join("deploy/crds"), root().join("deploy/helm/modosu/crds"));
    let mut count = 0;
    for entry in fs::read_dir(&own).unwrap() {
        let name = entry.unwrap().file_name();
        if std::env::var_os("MODOSU_WRITE").is_some() {
            fs::copy(shipped.join(&name), own.join(&name)).unwrap();
        }
        let [there, here] = [&shipped, &own].map(|folder| fs::read_to_string(folder.join(&name)).unwrap());
        assert!(
            there == here,
            "{} is not that of deploy/crds; {REWRITE}",
            name.display()
        );
        count += 1;
    }
    assert_eq!(count, 2);
}

/// The pod of modosu without what a release names after itself, and lists in one order.
fn pod(package: Package) -> Value {
    let mut pod = package.object("Deployment", "modosu")["spec"]["template"]["spec"].take();
    let fields = pod.as_object_mut().unwrap();
    fields.remove("affinity").unwrap();
    for own in ["imagePullSecrets", "nodeSelector", "tolerations", "priorityClassName"] {
        fields.remove(own);
    }
    for volume in pod["volumes"].as_array_mut().unwrap() {
        if let Some(name) = volume.pointer_mut("/configMap/name") {
            name.take();
        }
    }
    by_name(&mut pod["volumes"]);
    by_name(&mut pod["containers"][0]["volumeMounts"]);
    pod["containers"][0].as_object_mut().unwrap().remove("imagePullPolicy");
    pod
}

fn by_name(list: &mut Value) {
    let list = list.as_array_mut().unwrap();
    list.sort_by_key(|one| one["name"].as_str().unwrap().to_owned());
}

#[test]
fn the_chart_runs_the_same_pod_as_the_overlays() {
    for (values, kustomize) in [
        ("defaults", Package::overlay("operator")),
        ("read-only", Package::overlay("read-only")),
        ("namespaced", Package::overlay("namespaced")),
        ("everything", Package::Kustomize("tests/packages/components")),
    ] {
        assert_eq!(pod(Package::Helm(values)), pod(kustomize), "{values}");
    }
}

#[test]
fn the_chart_has_the_same_policy_of_decisions_as_the_overlay() {
    let policy = |package: Package| {
        let mut spec = package.object("ValidatingAdmissionPolicy", "modosu-decisions")["spec"].take();
        // Who modosu is there.
        spec.as_object_mut().unwrap().remove("matchConditions").unwrap();
        spec
    };
    assert_eq!(policy(Package::Helm("defaults")), policy(Package::overlay("operator")));
}

#[test]
fn settings_that_are_shipped_are_valid() {
    for package in Package::all() {
        // A sidecar has its settings from its pod.
        let Some(map) = package.find("ConfigMap", "modosu-settings") else {
            continue;
        };
        let settings = map["data"]["modosu.yaml"].as_str().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), settings).unwrap();
        let modosu = std::path::Path::new(env!("CARGO_BIN_EXE_modosu"));
        // Files of the pod are not here.
        let here = |complaint: &String| !complaint.contains("/etc/modosu-git/");
        let checked = crate::run(modosu, &["check", "--config", file.path().to_str().unwrap()]);
        if let Err(complaint) = checked {
            assert!(!here(&complaint), "{package:?}: {complaint}");
        }
    }
}
