//! The real server and the embedded one, asked the same and compared.

use std::collections::BTreeMap;

use futures::{AsyncBufReadExt, StreamExt};
use http::Request;

use kube::Client;
use kube::client::Body;
use modosu_cluster::Cluster;
use modosu_world::{World, WorldOptions};
use serde_json::{Value, json};

pub const JSON: &str = "application/json";
pub const JSON_PATCH: &str = "application/json-patch+json";
pub const MERGE: &str = "application/merge-patch+json";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";
pub const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
pub const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// One of the two servers, and the names that answers have given to things.
pub struct Server {
    pub title: &'static str,
    client: Client,
    pub known: BTreeMap<String, String>,
}

/// What a call came to.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub code: u16,
    pub body: Value,
}

impl Server {
    /// Sends one call. `{name}` in path and body stands for what `remember` kept under that name.
    pub async fn call(&self, method: &str, path: &str, kind: &str, body: &Value) -> Answer {
        let path = self.filled(path);
        let (accept, content) = match kind {
            METADATA | METADATA_LIST => (kind, JSON),
            other => (JSON, other),
        };
        let body = if body.is_null() {
            String::new()
        } else {
            self.filled(&body.to_string())
        };
        let request = Request::builder()
            .method(method)
            .uri(&path)
            .header("accept", accept)
            .header("content-type", content)
            .body(Body::from(body.into_bytes()))
            .unwrap();
        let response = self.client.send(request).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect_bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into());
        Answer { code, body }
    }

    /// The first events of a watch, or as many as come in five seconds.
    pub async fn events(&self, path: &str, accept: &str, count: usize) -> Vec<Value> {
        let request = Request::get(self.filled(path))
            .header("accept", accept)
            .body(Vec::new())
            .unwrap();
        let lines = Box::pin(self.client.request_stream(request).await.unwrap()).lines();
        let lines = lines
            .take(count)
            .take_until(tokio::time::sleep(std::time::Duration::from_secs(5)));
        lines
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect()
            .await
    }

    fn remember(&mut self, name: &str, value: &Value) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.known.insert(name.to_owned(), text);
    }

    fn filled(&self, text: &str) -> String {
        self.known.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        })
    }
}

/// Both servers, asked the same.
pub struct Both {
    pub servers: [Server; 2],
    differences: Vec<String>,
    pub settle: fn(Answer) -> Answer,
}

impl Both {
    pub async fn start(namespace: &str) -> (Self, World) {
        let cluster = Cluster::shared().await.unwrap();
        cluster.namespace(namespace).await.unwrap();
        let world = World::start(WorldOptions::default());
        world.create_namespace(namespace);
        let server = |title, client| Server {
            title,
            client,
            known: BTreeMap::new(),
        };
        let servers = [
            server("real", cluster.client("admin").await.unwrap()),
            server("embedded", world.client("admin")),
        ];
        (
            Both {
                servers,
                differences: Vec::new(),
                settle: |answer| answer,
            },
            world,
        )
    }

    /// Makes one call on both and compares; gives the real answer.
    pub async fn call(&mut self, method: &str, path: &str, kind: &str, body: Value) -> Answer {
        let [real, embedded] = &self.servers;
        let (real, embedded) = (
            real.call(method, path, kind, &body).await,
            embedded.call(method, path, kind, &body).await,
        );
        let what = format!(
            "{method} {path} {}",
            body.to_string().chars().take(200).collect::<String>()
        );
        self.compare(&what, &real, &embedded);
        real
    }

    /// The same, and keeps the values at the pointers under the names.
    pub async fn keep(&mut self, names: &[(&str, &str)], method: &str, path: &str, kind: &str, body: Value) {
        let mut answers = Vec::new();
        for server in &mut self.servers {
            let answer = server.call(method, path, kind, &body).await;
            for (name, pointer) in names {
                let value = answer.body.pointer(pointer).cloned().unwrap_or_default();
                server.remember(name, &value);
            }
            answers.push(answer);
        }
        let what = format!(
            "{method} {path} {}",
            body.to_string().chars().take(200).collect::<String>()
        );
        self.compare(&what, &answers[0], &answers[1]);
    }

    /// The same events on both.
    pub async fn watch(&mut self, path: &str, accept: &str, count: usize) {
        let [real, embedded] = &self.servers;
        let (real, embedded) = tokio::join!(real.events(path, accept, count), embedded.events(path, accept, count));
        let [real, embedded] = [real, embedded].map(|events| Answer {
            code: 200,
            body: events.into(),
        });
        self.compare(&format!("WATCH {path}"), &real, &embedded);
    }

    pub fn compare(&mut self, what: &str, real: &Answer, embedded: &Answer) {
        let copy = |answer: &Answer| Answer {
            code: answer.code,
            body: answer.body.clone(),
        };
        let [real, embedded] = [real, embedded]
            .map(|answer| (self.settle)(copy(answer)))
            .map(|answer| (answer.code, normal(&answer.body)));
        if real != embedded {
            self.differences.push(format!(
                "{what}\n{}",
                difference(&json!([real.0, real.1]), &json!([embedded.0, embedded.1]), "")
            ));
        }
    }

    pub fn finish(self) {
        assert!(
            self.differences.is_empty(),
            "the servers differ:\n{}",
            self.differences.join("\n")
        );
    }
}

/// Without what differs from run to run: versions, uids, times.
pub fn normal(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                let value = match name.as_str() {
                    "uid" | "creationTimestamp" | "time" | "deletionTimestamp" if value.is_string() => "·".into(),
                    "resourceVersion" if value.is_string() => "·".into(),
                    "continue" if value.is_string() => "·".into(),
                    "message" if value.is_string() => masked(value.as_str().unwrap_or_default()).into(),
                    _ => normal(value),
                };
                // An owner's uid is part of a field's name.
                let name = if name.starts_with("k:{\"uid\"") { "k:uid" } else { name };
                (name.to_owned(), value)
            })
            .collect(),
        Value::Array(elements) => {
            let mut elements: Vec<Value> = elements.iter().map(normal).collect();
            if elements.iter().all(|one| one.get("fieldsV1").is_some()) {
                elements.sort_by_key(|one| format!("{}{}{}", one["manager"], one["operation"], one["subresource"]));
            }
            elements.into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// A message without uids and what Go says of a broken token.
fn masked(text: &str) -> String {
    let text = if text.starts_with("invalid continue token") {
        "invalid continue token"
    } else {
        text
    };
    let words = text.split(' ').map(|word| {
        let bare = word.trim_matches(|letter: char| !letter.is_ascii_hexdigit());
        if bare.len() == 36 && bare.matches('-').count() == 4 {
            word.replace(bare, "·")
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

pub fn difference(real: &Value, embedded: &Value, path: &str) -> String {
    let mut lines = Vec::new();
    match (real, embedded) {
        (Value::Object(left), Value::Object(right)) => {
            for name in left.keys().chain(right.keys().filter(|name| !left.contains_key(*name))) {
                let (one, other) = (left.get(name), right.get(name));
                if one != other {
                    let null = Value::from("(absent)");
                    lines.push(difference(
                        one.unwrap_or(&null),
                        other.unwrap_or(&null),
                        &format!("{path}/{name}"),
                    ));
                }
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (at, (one, other)) in left
                .iter()
                .zip(right)
                .enumerate()
                .filter(|(_, (one, other))| one != other)
            {
                lines.push(difference(one, other, &format!("{path}/{at}")));
            }
        }
        _ => lines.push(format!("    {path}: real {real} embedded {embedded}")),
    }
    lines.join("\n")
}
