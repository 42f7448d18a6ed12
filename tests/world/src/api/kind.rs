//! Which kinds the API server serves: a fixed list of Kubernetes' own, and whatever custom
//! resource definitions the store holds.

use serde_json::Value;

use crate::{
    json::{list, text},
    store::{Key, Store},
};

/// One served kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
    /// Has a `/status` subresource, so that the main resource ignores `status`.
    pub(crate) status: bool,
    pub(crate) schema: Option<Value>,
}

/// group, version, plural, kind, namespaced, status
const BUILT_IN: [(&str, &str, &str, &str, bool, bool); 18] = [
    ("", "v1", "namespaces", "Namespace", false, true),
    ("", "v1", "nodes", "Node", false, true),
    ("", "v1", "pods", "Pod", true, true),
    ("", "v1", "configmaps", "ConfigMap", true, false),
    ("", "v1", "secrets", "Secret", true, false),
    ("", "v1", "services", "Service", true, true),
    ("", "v1", "serviceaccounts", "ServiceAccount", true, false),
    ("", "v1", "events", "Event", true, false),
    ("events.k8s.io", "v1", "events", "Event", true, false),
    ("apps", "v1", "deployments", "Deployment", true, true),
    ("apps", "v1", "replicasets", "ReplicaSet", true, true),
    ("apps", "v1", "statefulsets", "StatefulSet", true, true),
    ("apps", "v1", "daemonsets", "DaemonSet", true, true),
    ("apps", "v1", "controllerrevisions", "ControllerRevision", true, false),
    ("batch", "v1", "jobs", "Job", true, true),
    ("coordination.k8s.io", "v1", "leases", "Lease", true, false),
    (
        CRD_GROUP,
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        false,
        true,
    ),
    (
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        true,
        true,
    ),
];
pub(crate) const CRD_GROUP: &str = "apiextensions.k8s.io";

impl Kind {
    /// The kind served at this place.
    pub(crate) fn find(store: &Store, group: &str, version: &str, plural: &str) -> Option<Kind> {
        Kind::built_in(group, plural)
            .filter(|kind| kind.version == version)
            .or_else(|| Kind::custom(store, group, version, plural))
    }

    /// One of Kubernetes' own kinds.
    pub(crate) fn built_in(group: &str, plural: &str) -> Option<Kind> {
        let found = BUILT_IN.iter().find(|entry| entry.0 == group && entry.2 == plural)?;
        Some(Kind::from(*found))
    }

    /// Every kind that is served now, for discovery.
    pub(crate) fn served(store: &Store) -> Vec<Kind> {
        let custom = store
            .all(CRD_GROUP, "customresourcedefinitions", None)
            .flat_map(|(_, crd)| {
                list(crd, "/spec/versions").iter().filter_map(|version| {
                    let [group, plural] = ["/spec/group", "/spec/names/plural"].map(|at| text(crd, at));
                    Kind::custom(store, group, text(version, "/name"), plural)
                })
            });
        BUILT_IN.iter().map(|entry| Kind::from(*entry)).chain(custom).collect()
    }

    /// Whether anything is served in this group and version.
    pub(crate) fn serves(store: &Store, group: &str, version: &str) -> bool {
        let mut kinds = Kind::served(store).into_iter();
        kinds.any(|kind| kind.group == group && kind.version == version)
    }

    fn custom(store: &Store, group: &str, version: &str, plural: &str) -> Option<Kind> {
        let name = format!("{plural}.{group}");
        let crd = store.get(&Key::new(CRD_GROUP, "customresourcedefinitions", "", &name))?;
        let served = list(crd, "/spec/versions")
            .iter()
            .find(|entry| text(entry, "/name") == version && entry.get("served") == Some(&Value::Bool(true)))?;
        let established = list(crd, "/status/conditions")
            .iter()
            .any(|condition| text(condition, "/type") == "Established" && text(condition, "/status") == "True");
        established.then(|| Kind {
            group: group.into(),
            version: version.into(),
            plural: plural.into(),
            kind: text(crd, "/spec/names/kind").into(),
            namespaced: text(crd, "/spec/scope") == "Namespaced",
            status: served.pointer("/subresources/status").is_some(),
            schema: served.pointer("/schema/openAPIV3Schema").cloned(),
        })
    }

    /// As messages name it: `deployments.apps`, `pods`.
    pub(crate) fn resource(&self) -> String {
        match self.group.as_str() {
            "" => self.plural.clone(),
            group => format!("{}.{group}", self.plural),
        }
    }

    pub(crate) fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    pub(crate) fn is_custom(&self) -> bool {
        Kind::built_in(&self.group, &self.plural).is_none()
    }

    /// Where an object of this kind is stored. Both kinds of Event are the same objects.
    pub(crate) fn key(&self, namespace: &str, name: &str) -> Key {
        let namespace = if self.namespaced { namespace } else { "" };
        Key::new(self.stored_group(), &self.plural, namespace, name)
    }

    pub(crate) fn stored_group(&self) -> &str {
        if self.plural == "events" { "" } else { &self.group }
    }
}

impl From<(&str, &str, &str, &str, bool, bool)> for Kind {
    fn from(entry: (&str, &str, &str, &str, bool, bool)) -> Self {
        let (group, version, plural, kind, namespaced, status) = entry;
        let [group, version, plural, kind] = [group, version, plural, kind].map(str::to_owned);
        Kind {
            group,
            version,
            plural,
            kind,
            namespaced,
            status,
            schema: None,
        }
    }
}
