//! What was written, by whom and exactly when: the API server's audit log.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::scratch::Scratch;

const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// Which writes one wants to see; what is `None` does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    pub user: Option<&'a str>,
    pub namespace: Option<&'a str>,
    /// Plural: `deployments`.
    pub resource: Option<&'a str>,
    pub name: Option<&'a str>,
    /// `Some("")`: the object itself, not its status or scale.
    pub subresource: Option<&'a str>,
    pub since: Option<Timestamp>,
}

/// One answered write, refused ones included: look at `code`.
#[derive(Clone, Debug)]
pub struct AuditedWrite {
    pub verb: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    /// Empty where the server makes the name.
    pub name: String,
    pub user: String,
    pub code: u16,
    /// When the API server got the request.
    pub at: Timestamp,
    pub request_body: Value,
    pub dry_run: bool,
}

pub(crate) fn path(scratch: &Scratch) -> PathBuf {
    scratch.join("audit.jsonl")
}

/// Everything the daemon writes; of the others what tells a story, without heartbeats and the node's reports.
pub(crate) fn policy() -> Value {
    let quiet = json!([
        {"group": "coordination.k8s.io", "resources": ["leases"]},
        {"group": "", "resources": ["events", "pods/status", "nodes", "nodes/status", "pods/binding", "serviceaccounts/token"]},
        {"group": "events.k8s.io", "resources": ["events"]},
        {"group": "authentication.k8s.io"},
        {"group": "authorization.k8s.io"},
    ]);
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "omitManagedFields": true,
        "rules": [
            {"level": "Request", "users": ["modosu"], "verbs": WRITES},
            {"level": "None", "resources": quiet},
            {"level": "Request", "verbs": WRITES},
            {"level": "None"},
        ],
    })
}

/// The log as far as it was read: each story asks for its own writes again and again, and the log of a long run is big.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Bytes.
    read: u64,
    /// The lines of each namespace, in their order; of no namespace: "".
    lines: BTreeMap<String, Vec<String>>,
}

impl Log {
    pub(crate) fn read(&self, scratch: &Scratch, filter: &Filter<'_>) -> anyhow::Result<Vec<AuditedWrite>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.catch_up(scratch).context("reading the audit log")?;
        let lines = known.lines.iter();
        let lines = lines.filter(|(namespace, _)| filter.namespace.is_none_or(|wanted| wanted == namespace.as_str()));
        let lines = lines.flat_map(|(_, lines)| lines);
        let writes = lines
            .filter(|line| may_match(line, filter))
            .filter_map(|line| parse(line));
        let mut writes: Vec<_> = writes.filter(|write| matches(write, filter)).collect();
        if filter.namespace.is_none() {
            writes.sort_by_key(|write| write.at);
        }
        Ok(writes)
    }
}

impl Known {
    /// The last line may be half written: it is taken when it is whole.
    fn catch_up(&mut self, scratch: &Scratch) -> anyhow::Result<()> {
        let mut log = std::fs::File::open(path(scratch))?;
        log.seek(SeekFrom::Start(self.read))?;
        let mut new = Vec::new();
        log.read_to_end(&mut new)?;
        for line in new
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| line.ends_with(b"\n"))
        {
            self.read += u64::try_from(line.len())?;
            let line = String::from_utf8_lossy(line).into_owned();
            let of = serde_json::from_str::<Of>(&line).ok().and_then(|of| of.object_ref);
            self.lines
                .entry(of.unwrap_or_default().namespace)
                .or_default()
                .push(line);
        }
        Ok(())
    }
}

/// Of an event: what it is about.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Of {
    object_ref: Option<ObjectRef>,
}

/// Cheap, and never wrong about a line that matches.
fn may_match(line: &str, filter: &Filter<'_>) -> bool {
    [filter.user, filter.namespace, filter.resource, filter.name]
        .into_iter()
        .flatten()
        .all(|text| line.contains(text))
}

fn matches(write: &AuditedWrite, filter: &Filter<'_>) -> bool {
    let same = |wanted: Option<&str>, value: &str| wanted.is_none_or(|wanted| wanted == value);
    same(filter.user, &write.user)
        && same(filter.namespace, &write.namespace)
        && same(filter.resource, &write.resource)
        && same(filter.name, &write.name)
        && same(filter.subresource, &write.subresource)
        && filter.since.is_none_or(|since| write.at >= since)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    request_received_timestamp: Timestamp,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
    #[serde(default)]
    request_object: Value,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: Option<u16>,
}

fn parse(line: &str) -> Option<AuditedWrite> {
    let event: Event = serde_json::from_str(line).ok()?;
    if event.stage != "ResponseComplete" {
        return None;
    }
    let object = event.object_ref.unwrap_or_default();
    let created = event
        .request_object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Some(AuditedWrite {
        name: if object.name.is_empty() {
            created.to_owned()
        } else {
            object.name
        },
        verb: event.verb,
        resource: object.resource,
        subresource: object.subresource,
        namespace: object.namespace,
        user: event.user.username,
        code: event.response_status.and_then(|status| status.code).unwrap_or(0),
        at: event.request_received_timestamp,
        request_body: event.request_object,
        dry_run: event.request_uri.contains("dryRun=All"),
    })
}

impl AuditedWrite {
    /// Whether it changes the pod template of a workload, as a patch of any kind, an update or an apply.
    pub fn touches_template(&self) -> bool {
        let Some(operations) = self.request_body.as_array() else {
            return self.request_body.pointer("/spec/template").is_some();
        };
        let text = |operation: &Value, key: &str| operation.get(key).and_then(Value::as_str).map(str::to_owned);
        operations.iter().any(|operation| {
            let path = text(operation, "path").unwrap_or_default();
            let writes = text(operation, "op").as_deref() != Some("test");
            writes && (path.starts_with("/spec/template") || path == "/spec" || path.is_empty())
        })
    }
}
