//! What a request asks for, read from its method, path, query and headers. Pure.

use std::collections::BTreeMap;

use http::{Method, request::Parts};
use serde_json::Value;

use crate::api::failure::Failure;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the verbs of the Kubernetes API")]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
    /// Discovery and versions.
    Discover,
}

impl Verb {
    /// Whether the verb may change something.
    pub fn writes(self) -> bool {
        match self {
            Verb::Get | Verb::List | Verb::Watch | Verb::Discover => false,
            Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection => true,
        }
    }
}

/// One request, understood.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) verb: Verb,
    pub(crate) path: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) metadata_only: bool,
    pub(crate) content_type: String,
}

impl Route {
    pub(crate) fn of(request: &Parts) -> Result<Route, Failure> {
        let uri = &request.uri;
        let query: BTreeMap<String, String> = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
        let header = |name| {
            request
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let mut route = Route {
            verb: Verb::Discover,
            path: uri.path().into(),
            group: String::new(),
            version: String::new(),
            plural: String::new(),
            namespace: String::new(),
            name: String::new(),
            subresource: String::new(),
            metadata_only: header("accept").contains("as=PartialObjectMetadata"),
            content_type: header("content-type").split(';').next().unwrap_or_default().into(),
            query,
        };
        let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let rest = match parts.as_slice() {
            ["api", version, rest @ ..] => route.served("", version, rest),
            ["apis", group, version, rest @ ..] => route.served(group, version, rest),
            _ => &[],
        };
        if !rest.is_empty() {
            route.resource(rest);
            route.verb = route.asked(&request.method)?;
        }
        Ok(route)
    }

    fn served<'a>(&mut self, group: &str, version: &str, rest: &'a [&'a str]) -> &'a [&'a str] {
        self.group = group.into();
        self.version = version.into();
        rest
    }

    fn resource(&mut self, parts: &[&str]) {
        let place: [&str; 4] = match parts {
            ["namespaces", name, sub @ ("status" | "finalize")] => ["", "namespaces", name, sub],
            ["namespaces", namespace, plural] => [namespace, plural, "", ""],
            ["namespaces", namespace, plural, name] => [namespace, plural, name, ""],
            ["namespaces", namespace, plural, name, sub] => [namespace, plural, name, sub],
            [plural] => ["", plural, "", ""],
            [plural, name] => ["", plural, name, ""],
            [plural, name, sub] => ["", plural, name, sub],
            _ => ["", "", "", ""],
        };
        let [namespace, plural, name, subresource] = place.map(str::to_owned);
        (self.namespace, self.plural) = (namespace, plural);
        (self.name, self.subresource) = (name, subresource);
    }

    fn asked(&self, method: &Method) -> Result<Verb, Failure> {
        let named = !self.name.is_empty();
        match (method.as_str(), named) {
            ("GET", true) => Ok(Verb::Get),
            ("GET", false) if self.flag("watch") => Ok(Verb::Watch),
            ("GET", false) => Ok(Verb::List),
            ("POST", false) => Ok(Verb::Create),
            ("PUT", true) => Ok(Verb::Update),
            ("PATCH", true) => Ok(Verb::Patch),
            ("DELETE", true) => Ok(Verb::Delete),
            ("DELETE", false) => Ok(Verb::DeleteCollection),
            _ => Err(Failure::not_allowed()),
        }
    }

    /// A query parameter, or "".
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.parameter(name), "true" | "1")
    }

    pub(crate) fn dry_run(&self, body: &Value) -> bool {
        let in_body = body.get("kind").and_then(Value::as_str) == Some("DeleteOptions") || self.verb == Verb::Delete;
        let listed = crate::json::list(body, "/dryRun").contains(&Value::from("All"));
        self.parameter("dryRun") == "All" || (in_body && listed)
    }
}
