//! A request as the tap saw it, with a Kubernetes path taken apart. Pure.

use jiff::Timestamp;
use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Timestamp,
    pub method: String,
    pub path: String,
    pub query: String,
    pub user_agent: String,
    /// Plural: `deployments`; empty for paths that are not Kubernetes objects. So are the next three where they do not apply.
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub subresource: String,
    /// `Null` where it is not JSON.
    pub body: Value,
    /// What the server answered; `None` before.
    pub status: Option<u16>,
}

impl Seen {
    pub(crate) fn new(method: &str, path: &str, query: &str, user_agent: &str, body: &[u8]) -> Self {
        let [namespace, resource, name, subresource] = parts(path).map(str::to_owned);
        Self {
            at: Timestamp::now(),
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            user_agent: user_agent.to_owned(),
            resource,
            namespace,
            name,
            subresource,
            body: serde_json::from_slice(body).unwrap_or_default(),
            status: None,
        }
    }

    /// Asks for a change, and not only as a dry run.
    pub fn is_write(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS") && !self.query.contains("dryRun")
    }

    pub fn is_watch(&self) -> bool {
        self.method == "GET"
            && self
                .query
                .split('&')
                .any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch"))
    }

    /// A write to an object of this kind, and not to its status.
    pub fn writes(&self, resource: &str) -> bool {
        self.is_write() && self.resource == resource && self.subresource.is_empty()
    }
}

/// Namespace, resource, name, subresource.
fn parts(path: &str) -> [&str; 4] {
    let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let object = match segments.as_slice() {
        ["api", _version, object @ ..] | ["apis", _, _version, object @ ..] => object,
        _ => return [""; 4],
    };
    match object {
        ["namespaces", name, subresource @ ("status" | "finalize")] => ["", "namespaces", name, subresource],
        ["namespaces", namespace, resource, rest @ ..] => [namespace, resource, nth(rest, 0), nth(rest, 1)],
        [resource, rest @ ..] => ["", resource, nth(rest, 0), nth(rest, 1)],
        [] => [""; 4],
    }
}

fn nth<'a>(segments: &[&'a str], n: usize) -> &'a str {
    segments.get(n).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let shop = "/apis/apps/v1/namespaces/shop/deployments/orders/scale";
        assert_eq!(parts(shop), ["shop", "deployments", "orders", "scale"]);
        assert_eq!(
            parts("/api/v1/namespaces/shop/configmaps"),
            ["shop", "configmaps", "", ""]
        );
        assert_eq!(parts("/api/v1/namespaces/shop"), ["", "namespaces", "shop", ""]);
        assert_eq!(
            parts("/api/v1/namespaces/shop/finalize"),
            ["", "namespaces", "shop", "finalize"]
        );
        assert_eq!(parts("/apis/modosu.dev/v1alpha1/guards"), ["", "guards", "", ""]);
        assert_eq!(parts("/readyz"), [""; 4]);
    }
}
