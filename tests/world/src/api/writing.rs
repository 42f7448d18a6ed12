//! Every write goes through here, a client's and a controller's alike: what may not change is put
//! back, defaults are filled in, the generation rises, owners of fields are recorded, and a write
//! that changes nothing is none.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    api::{
        failure::Failure,
        filling,
        kind::Kind,
        owning::{self, Writer},
        schema, validating,
    },
    clock::{Clock, seconds},
    json::{list, map, metadata, number, text},
    rng::Rng,
    store::{Key, Store},
};

/// The objects, and what is needed to write them.
pub(crate) struct Cluster {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) rng: Rng,
}

/// Metadata that a writer cannot change.
const FIXED: [&str; 7] = [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

impl Cluster {
    pub(crate) fn now(&self) -> String {
        seconds(self.clock.now())
    }

    pub(crate) fn writer(&self, kind: &Kind, manager: &str, subresource: &str) -> Writer {
        Writer {
            manager: manager.into(),
            operation: "Update",
            subresource: subresource.into(),
            api_version: kind.api_version(),
            now: self.now(),
            custom: kind.is_custom(),
            whole_data: kind.plural == "controllerrevisions",
        }
    }

    /// Writes a new object.
    pub(crate) fn create(
        &mut self,
        kind: &Kind,
        namespace: &str,
        mut object: Value,
        writer: &Writer,
        dry_run: bool,
    ) -> Result<Arc<Value>, Failure> {
        let name = self.identify(kind, namespace, &mut object)?;
        let key = kind.key(namespace, &name);
        if self.store.get(&key).is_some() {
            return Err(Failure::already_exists(kind, &name));
        }
        self.refuse_missing_namespace(kind, namespace)?;
        let (uid, now) = (self.rng.uid(), self.now());
        let metadata = metadata(&mut object);
        ["resourceVersion", "generation", "deletionTimestamp", "selfLink"]
            .iter()
            .for_each(|name| {
                metadata.remove(*name);
            });
        metadata.insert("uid".into(), uid.into());
        metadata.insert("creationTimestamp".into(), now.into());
        if filling::has_generation(kind) {
            metadata.insert("generation".into(), json!(1));
        }
        if kind.status {
            fresh_status(kind, &mut object);
        }
        schema::prune(kind, &mut object);
        filling::fill(kind, &mut object);
        validating::check(kind, None, &object)?;
        if writer.operation == "Update" {
            let status = child_status(&mut object);
            owning::record(&json!({}), &mut object, writer);
            set_or_remove(&mut object, "status", status);
        }
        if dry_run {
            return Ok(Arc::new(object));
        }
        Ok(self.store.put(&key, object))
    }

    /// Writes `new` over the object at `key`; gives what is stored afterwards.
    pub(crate) fn replace(
        &mut self,
        kind: &Kind,
        key: &Key,
        mut new: Value,
        writer: &Writer,
        dry_run: bool,
    ) -> Result<Arc<Value>, Failure> {
        let Some(old) = self.store.get(key).cloned() else {
            return Err(Failure::not_found(kind, &key.name));
        };
        refuse_stale(kind, &key.name, &old, &new)?;
        keep(kind, &old, &mut new, &writer.subresource);
        schema::prune(kind, &mut new);
        filling::fill(kind, &mut new);
        validating::check(kind, Some(&old), &new)?;
        let counts = filling::has_generation(kind) && writer.subresource != "status";
        if counts && filling::is_new_generation(kind, &old, &new) {
            metadata(&mut new).insert("generation".into(), filling::next_generation(&old).into());
        }
        if writer.operation == "Update" {
            owning::record(&old, &mut new, writer);
        }
        metadata(&mut new).insert("resourceVersion".into(), text(&old, "/metadata/resourceVersion").into());
        if *old == new {
            return Ok(old);
        }
        if dry_run {
            return Ok(Arc::new(new));
        }
        if is_finished(&new) {
            self.store.put(key, new);
            return self
                .store
                .remove(key)
                .ok_or_else(|| Failure::not_found(kind, &key.name));
        }
        Ok(self.store.put(key, new))
    }

    /// Changes an object in place, as a controller does; an absent object is left alone.
    pub(crate) fn change(&mut self, key: &Key, part: &str, edit: impl FnOnce(&mut Value)) {
        let Some(kind) = Kind::built_in(&key.group, &key.plural) else {
            return;
        };
        let Some(mut object) = self.store.get(key).map(|object| Value::clone(object)) else {
            return;
        };
        edit(&mut object);
        let manager = if key.plural == "pods" {
            "kubelet"
        } else {
            "kube-controller-manager"
        };
        let writer = self.writer(&kind, manager, part);
        // The object was read under the same lock: nothing can refuse this write.
        let _ = self.replace(&kind, key, object, &writer, false);
    }

    /// Deletes the object: at once, or marked where finalizers or a kubelet have to end it first.
    pub(crate) fn delete(
        &mut self,
        kind: &Kind,
        key: &Key,
        options: &Value,
        dry_run: bool,
    ) -> Result<Arc<Value>, Failure> {
        let Some(old) = self.store.get(key).cloned() else {
            return Err(Failure::not_found(kind, &key.name));
        };
        refuse_precondition(kind, &key.name, &old, options)?;
        if dry_run {
            return Ok(old);
        }
        let grace = number(options, "/gracePeriodSeconds")
            .or_else(|| number(&old, "/spec/terminationGracePeriodSeconds"))
            .unwrap_or(30);
        let waits = key.plural == "pods" && grace > 0 && !text(&old, "/spec/nodeName").is_empty();
        if !waits && list(&old, "/metadata/finalizers").is_empty() {
            return self
                .store
                .remove(key)
                .ok_or_else(|| Failure::not_found(kind, &key.name));
        }
        if !text(&old, "/metadata/deletionTimestamp").is_empty() {
            return Ok(old);
        }
        let mut new = Value::clone(&old);
        let at = crate::clock::later(
            self.clock.now(),
            std::time::Duration::from_secs(if waits { grace.unsigned_abs() } else { 0 }),
        );
        let metadata = metadata(&mut new);
        metadata.insert("deletionTimestamp".into(), seconds(at).into());
        metadata.insert(
            "deletionGracePeriodSeconds".into(),
            if waits { grace } else { 0 }.into(),
        );
        if filling::has_generation(kind) {
            metadata.insert("generation".into(), filling::next_generation(&old).into());
        }
        Ok(self.store.put(key, new))
    }

    /// Checks and completes name, namespace and type.
    fn identify(&mut self, kind: &Kind, namespace: &str, object: &mut Value) -> Result<String, Failure> {
        if !object.is_object() {
            return Err(Failure::bad_request("the object provided is unrecognized"));
        }
        refuse_other_type(kind, object)?;
        let given = text(object, "/metadata/namespace");
        if kind.namespaced && !given.is_empty() && given != namespace {
            return Err(Failure::bad_request(
                "the namespace of the provided object does not match the namespace sent on the \
                 request",
            ));
        }
        let mut name = text(object, "/metadata/name").to_owned();
        let prefix = text(object, "/metadata/generateName").to_owned();
        if name.is_empty() && !prefix.is_empty() {
            name = format!("{prefix}{}", self.rng.suffix(5));
        }
        if name.is_empty() {
            let message = "Required value: name or generateName is required".to_owned();
            let cause = ("FieldValueRequired", "metadata.name".to_owned(), message);
            return Err(Failure::invalid(kind, "", &[cause]));
        }
        let fields = map(object);
        fields.insert("apiVersion".into(), kind.api_version().into());
        fields.insert("kind".into(), kind.kind.clone().into());
        let metadata = metadata(object);
        metadata.insert("name".into(), name.clone().into());
        if kind.namespaced {
            metadata.insert("namespace".into(), namespace.into());
        }
        Ok(name)
    }

    fn refuse_missing_namespace(&self, kind: &Kind, namespace: &str) -> Result<(), Failure> {
        let Some(namespaces) = Kind::built_in("", "namespaces").filter(|_| kind.namespaced) else {
            return Ok(());
        };
        match self.store.get(&namespaces.key("", namespace)) {
            Some(_) => Ok(()),
            None => Err(Failure::not_found(&namespaces, namespace)),
        }
    }
}

pub(crate) fn refuse_other_type(kind: &Kind, object: &Value) -> Result<(), Failure> {
    let (wanted, got) = (kind.api_version(), text(object, "/apiVersion"));
    if !got.is_empty() && got != wanted {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({got}) does not match the expected API version ({wanted})"
        )));
    }
    Ok(())
}

/// Takes the status out: who writes an object does not own it.
fn child_status(object: &mut Value) -> Option<Value> {
    map(object).remove("status")
}

fn fresh_status(kind: &Kind, object: &mut Value) {
    match kind.plural.as_str() {
        "pods" => {
            map(object).insert("status".into(), json!({"phase": "Pending", "qosClass": "BestEffort"}));
        }
        "namespaces" => {
            map(object).insert("status".into(), json!({"phase": "Active"}));
        }
        _ if kind.is_custom() => {
            map(object).remove("status");
        }
        _ => {
            map(object).insert("status".into(), json!({}));
        }
    }
}

/// A version or uid in the new object must be the stored one's.
fn refuse_stale(kind: &Kind, name: &str, old: &Value, new: &Value) -> Result<(), Failure> {
    let differs = |pointer| {
        let wanted = text(new, pointer);
        !wanted.is_empty() && wanted != text(old, pointer)
    };
    if differs("/metadata/uid") {
        let [wanted, found] = [new, old].map(|object| text(object, "/metadata/uid"));
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
             UID in precondition: {wanted}, UID in object meta: {found}",
            registry_path(kind, old)
        );
        return Err(Failure::conflict(kind, name, &why));
    }
    if differs("/metadata/resourceVersion") {
        return Err(Failure::stale(kind, name));
    }
    Ok(())
}

fn registry_path(kind: &Kind, object: &Value) -> String {
    let group = if kind.is_custom() { &kind.group } else { "" };
    let parts = [
        group,
        &kind.plural,
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name"),
    ];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("/registry/{}", parts.join("/"))
}

fn refuse_precondition(kind: &Kind, name: &str, old: &Value, options: &Value) -> Result<(), Failure> {
    let fields = [
        ("uid", "UID", "deleted and then recreated"),
        ("resourceVersion", "ResourceVersion", "modified"),
    ];
    for (field, title, cause) in fields {
        let wanted = text(options, &format!("/preconditions/{field}"));
        let found = text(old, &format!("/metadata/{field}"));
        if !wanted.is_empty() && wanted != found {
            let why = format!(
                "the {title} in the precondition ({wanted}) does not match the {title} in record ({found}). The object might \
                 have been {cause}"
            );
            let named = Kind {
                plural: kind.kind.clone(),
                ..kind.clone()
            };
            return Err(Failure::conflict(&named, name, &why));
        }
    }
    Ok(())
}

/// Puts back what this writer may not change.
fn keep(kind: &Kind, old: &Value, new: &mut Value, subresource: &str) {
    if subresource == "status" {
        let written = std::mem::replace(new, old.clone());
        set_or_remove(new, "status", written.get("status").cloned());
        // The status of Kubernetes' own kinds takes annotations along: controllers count on it.
        let metadata: &[&str] = if kind.is_custom() {
            &["managedFields"]
        } else {
            &["managedFields", "annotations"]
        };
        for name in metadata {
            let value = written.pointer(&format!("/metadata/{name}")).cloned();
            set_or_remove_metadata(new, name, value);
        }
    } else if kind.status {
        set_or_remove(new, "status", old.get("status").cloned());
    }
    for name in FIXED {
        let before = old.pointer(&format!("/metadata/{name}")).cloned();
        set_or_remove_metadata(new, name, before);
    }
    let fields = map(new);
    fields.insert("apiVersion".into(), kind.api_version().into());
    fields.insert("kind".into(), kind.kind.clone().into());
}

fn set_or_remove(object: &mut Value, name: &str, value: Option<Value>) {
    match value {
        Some(value) => map(object).insert(name.into(), value),
        None => map(object).remove(name),
    };
}

fn set_or_remove_metadata(object: &mut Value, name: &str, value: Option<Value>) {
    match value {
        Some(value) => metadata(object).insert(name.into(), value),
        None => metadata(object).remove(name),
    };
}

/// Marked for deletion, and nothing holds it back any more.
fn is_finished(object: &Value) -> bool {
    number(object, "/metadata/deletionGracePeriodSeconds") == Some(0) && list(object, "/metadata/finalizers").is_empty()
}
