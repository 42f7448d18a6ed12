//! How a stored object looks to the one who asks: metadata only, or the other of the two kinds of
//! Event. Pure.

use serde_json::{Value, json};

use crate::{api::kind::Kind, json::map};

/// The names of an Event's fields in `v1` and in `events.k8s.io/v1`.
const EVENT_NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// The object as it is sent out.
pub(crate) fn outgoing(kind: &Kind, object: &Value, metadata_only: bool) -> Value {
    if metadata_only {
        return json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": object.get("metadata"),
        });
    }
    let mut object = object.clone();
    if kind.group == "events.k8s.io" {
        rename(&mut object, |(core, own)| (core, own));
    }
    if kind.plural == "events" {
        map(&mut object).insert("apiVersion".into(), kind.api_version().into());
    }
    object
}

/// The object as it is stored.
pub(crate) fn incoming(kind: &Kind, mut object: Value) -> Value {
    if kind.group == "events.k8s.io" {
        rename(&mut object, |(core, own)| (own, core));
    }
    object
}

/// What a list of this kind calls itself: kind and version.
pub(crate) fn list_type(kind: &Kind, metadata_only: bool) -> (String, String) {
    if metadata_only {
        return ("PartialObjectMetadataList".into(), "meta.k8s.io/v1".into());
    }
    (format!("{}List", kind.kind), kind.api_version())
}

fn rename(object: &mut Value, direction: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str)) {
    let fields = map(object);
    for (from, to) in EVENT_NAMES.map(direction) {
        if let Some(value) = fields.remove(from) {
            fields.insert(to.into(), value);
        }
    }
}
