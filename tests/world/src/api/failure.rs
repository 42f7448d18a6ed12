//! The API's errors: real `Status` objects with the code, reason and message of the real server.

use serde_json::{Value, json};

use crate::api::kind::Kind;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The HTTP code.
    pub code: u16,
    /// The machine-readable reason, such as `Conflict`.
    pub reason: String,
    /// The sentence for people.
    pub message: String,
    /// `Status.details`.
    pub details: Value,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}: {}", self.code, self.reason, self.message)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// A failure with a code and reason of your own, as a hook gives it.
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Failure {
            code,
            reason: reason.into(),
            message: message.into(),
            details: json!({}),
        }
    }

    fn of(kind: &Kind, name: &str, code: u16, reason: &str, message: String) -> Self {
        let mut details = json!({"name": name, "group": kind.group, "kind": kind.plural});
        crate::json::map(&mut details).retain(|_, value| value != "");
        Failure {
            details,
            ..Failure::new(code, reason, message)
        }
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.resource());
        Self::of(kind, name, 404, "NotFound", message)
    }

    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", kind.resource());
        Self::of(kind, name, 409, "AlreadyExists", message)
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let resource = kind.resource();
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}");
        Self::of(kind, name, 409, "Conflict", message)
    }

    pub(crate) fn stale(kind: &Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version \
                   and try again";
        Self::conflict(kind, name, why)
    }

    /// One or more fields are wrong: `(reason, field, message)` each, as the server lists them.
    pub(crate) fn invalid(kind: &Kind, name: &str, causes: &[(&str, String, String)]) -> Self {
        let lines: Vec<String> = causes
            .iter()
            .map(|(_, field, message)| format!("{field}: {message}"))
            .collect();
        let lines = match lines.as_slice() {
            [line] => line.clone(),
            _ => format!("[{}]", lines.join(", ")),
        };
        let kind_name = match kind.group.as_str() {
            "" => kind.kind.clone(),
            group => format!("{}.{group}", kind.kind),
        };
        let message = format!("{kind_name} \"{name}\" is invalid: {lines}");
        let mut failure = Self::of(kind, name, 422, "Invalid", message);
        failure.details["kind"] = json!(kind.kind);
        failure.details["causes"] = causes
            .iter()
            .map(|(reason, field, message)| json!({"reason": reason, "message": message, "field": field}))
            .collect();
        failure
    }

    /// A JSON Patch that does not apply; the real server says no more than this.
    pub(crate) fn patch_does_not_apply() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Failure::new(422, "Invalid", message)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Failure {
            details: Value::Null,
            ..Failure::new(400, "BadRequest", message)
        }
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Failure::new(410, "Expired", message)
    }

    pub(crate) fn no_such_path() -> Self {
        Failure::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// Not even the group is known: the server answers with plain text.
    pub(crate) fn no_such_group() -> Self {
        Failure::new(404, "NotFound", "404 page not found")
    }

    pub(crate) fn not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Failure::new(405, "MethodNotAllowed", message)
    }

    pub(crate) fn media_type(message: &str) -> Self {
        Failure::new(415, "UnsupportedMediaType", message)
    }

    /// A custom resource is written without its version.
    pub(crate) fn unversioned(kind: &Kind, name: &str) -> Self {
        let message = "Invalid value: 0: must be specified for an update".to_owned();
        let cause = ("FieldValueInvalid", "metadata.resourceVersion".to_owned(), message);
        // Here the server names the resource where it names the kind elsewhere.
        let named = Kind {
            kind: kind.plural.clone(),
            ..kind.clone()
        };
        Self::invalid(&named, name, &[cause])
    }

    /// The `Status` object.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}
