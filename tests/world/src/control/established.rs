//! A custom resource definition is served once its names are accepted, which is always.

use serde_json::{Value, json};

use crate::{
    api::writing::Cluster,
    json::{list, text},
    store::Key,
};

pub(crate) fn reconcile(cluster: &mut Cluster, key: &Key) {
    let Some(object) = cluster.store.get(key) else { return };
    if !list(object, "/status/conditions").is_empty() {
        return;
    }
    let now = cluster.now();
    cluster.change(key, "status", |object| {
        let condition = |name: &str, reason: &str| {
            json!({
                "type": name, "status": "True", "reason": reason, "message": "",
                "lastTransitionTime": now,
            })
        };
        let stored: Vec<&str> = list(object, "/spec/versions")
            .iter()
            .filter(|version| version.get("storage") == Some(&Value::Bool(true)))
            .map(|version| text(version, "/name"))
            .collect();
        let status = json!({
            "acceptedNames": object.pointer("/spec/names"), "storedVersions": stored,
            "conditions": [
                condition("NamesAccepted", "NoConflicts"),
                condition("Established", "InitialNamesAccepted"),
            ],
        });
        crate::json::map(object).insert("status".into(), status);
    });
}
