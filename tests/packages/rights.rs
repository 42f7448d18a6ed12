//! What is granted: the chart grants what the kustomizations grant, single namespaces no more than all, and who only looks nothing that changes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Package;

/// `verb group/resource`, with the name where it is granted for one.
type Rights = BTreeSet<String>;

fn rights(rules: &Value) -> Rights {
    let texts = |rule: &Value, key: &str| -> Vec<String> {
        let all = rule[key].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = Rights::new();
    for rule in rules.as_array().unwrap() {
        let mut names = texts(rule, "resourceNames");
        if names.is_empty() {
            names.push("*".into());
        }
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                for verb in texts(rule, "verbs") {
                    assert!(
                        ![&group, &resource, &verb].contains(&&"*".to_owned()),
                        "no wildcards: {rule}"
                    );
                    rights.extend(names.iter().map(|name| format!("{verb} {group}/{resource} {name}")));
                }
            }
        }
    }
    rights
}

/// All rights of modosu's account, by the namespace in which they hold; empty: everywhere. What is bound is what is there.
fn granted(package: Package, namespace: &str) -> Rights {
    let objects = package.objects();
    let mut all = Rights::new();
    for binding in &objects {
        let kind = binding["kind"].as_str().unwrap();
        let everywhere = kind == "ClusterRoleBinding";
        let here = binding["metadata"]["namespace"].as_str().unwrap_or_default();
        if !["RoleBinding", "ClusterRoleBinding"].contains(&kind) || here != namespace {
            continue;
        }
        let subject = &binding["subjects"][0];
        assert_eq!(
            (&subject["kind"], &subject["name"], &subject["namespace"]),
            (&"ServiceAccount".into(), &"modosu".into(), &"modosu".into()),
            "{binding}"
        );
        let (role, of) = (&binding["roleRef"]["name"], &binding["roleRef"]["kind"]);
        let is_bound = |object: &&Value| {
            let there = object["metadata"]["namespace"].as_str().unwrap_or_default();
            object["kind"] == *of && object["metadata"]["name"] == *role && there == namespace
        };
        let role = objects
            .iter()
            .find(is_bound)
            .unwrap_or_else(|| panic!("{binding} binds nothing"));
        assert_eq!(everywhere, of == "ClusterRole");
        all.extend(rights(&role["rules"]));
    }
    all
}

#[test]
fn the_chart_grants_what_the_overlays_grant() {
    let everywhere = ["", "modosu"];
    for (values, kustomize, namespaces) in [
        ("defaults", Package::overlay("operator"), &everywhere[..]),
        ("read-only", Package::overlay("read-only"), &everywhere),
        (
            "everything",
            Package::Kustomize("tests/packages/components"),
            &everywhere,
        ),
        ("namespaced", Package::overlay("namespaced"), &["", "modosu", "shop"]),
    ] {
        for namespace in namespaces {
            let (chart, kustomize) = (granted(Package::Helm(values), namespace), granted(kustomize, namespace));
            assert_eq!(chart, kustomize, "{values}, in namespace `{namespace}`");
        }
    }
}

#[test]
fn in_single_namespaces_it_may_do_what_it_may_do_everywhere_else() {
    let (all, named) = (Package::overlay("operator"), Package::overlay("namespaced"));
    assert!(granted(named, "").is_empty(), "nothing everywhere");
    let (all, named) = (granted(all, ""), granted(named, "shop"));
    let missing: Vec<&String> = all.difference(&named).collect();
    assert_eq!(
        missing,
        ["list /namespaces *", "watch /namespaces *"],
        "its own Namespace alone"
    );
    assert!(named.is_subset(&all));
}

#[test]
fn who_only_looks_may_write_statuses_events_and_its_lease() {
    let package = Package::overlay("read-only");
    let all: Rights = ["", "modosu"]
        .into_iter()
        .flat_map(|one| granted(package, one))
        .collect();
    let reads = |right: &&String| ["get ", "list ", "watch "].iter().any(|verb| right.starts_with(verb));
    let writes: Vec<&String> = all.iter().filter(|right| !reads(right)).collect();
    assert_eq!(
        writes,
        [
            "create coordination.k8s.io/leases *",
            "create events.k8s.io/events *",
            "patch events.k8s.io/events *",
            "patch modosu.dev/guards/status *",
            "patch modosu.dev/incidents/status *",
            "update coordination.k8s.io/leases modosu",
        ]
    );
    assert!(
        all.is_subset(
            &["", "modosu"]
                .into_iter()
                .flat_map(|one| granted(Package::overlay("operator"), one))
                .collect()
        )
    );
}

#[test]
fn nothing_may_be_said_of_secrets_jobs_and_logs_who_did_not_opt_in() {
    for package in [
        Package::overlay("operator"),
        Package::Helm("defaults"),
        Package::overlay("namespaced"),
    ] {
        let namespaces = ["", "modosu", "shop"].into_iter();
        let all: Rights = namespaces.flat_map(|one| granted(package, one)).collect();
        for kept in ["/secrets", "batch/jobs", "pods/log", "pods/exec", "serviceaccounts"] {
            assert!(!all.iter().any(|right| right.contains(kept)), "{package:?}: {kept}");
        }
    }
}
