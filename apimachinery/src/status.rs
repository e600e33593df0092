//! `metav1.Status`: every error a client sees, and the constructors that upstream calls `apierrors.New...`
//! (k8s.io/apimachinery `pkg/api/errors`).

use crate::field::FieldError;
use crate::gvk::{GroupResource, GroupVersionKind};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// The answer to a request that failed, or to one that has no object to return.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    pub kind: StatusKind,
    pub api_version: V1,
    pub metadata: ListMeta,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// Left out of the Status of a finished deletion.
    #[serde(skip_serializing_if = "no_code")]
    pub code: u16,
}

/// Always the word `Status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StatusKind {
    #[default]
    Status,
}

/// Always the word `v1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum V1 {
    #[default]
    #[serde(rename = "v1")]
    V1,
}

/// The list metadata of a Status; `continue` is set on expired pages only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListMeta {
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub continue_: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

fn no_code(code: &u16) -> bool {
    *code == 0
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl std::error::Error for Status {}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Status {
    pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { status: "Failure".into(), code, reason: reason.into(), message: message.into(), ..Self::default() }
    }

    /// A deletion that left nothing to return.
    pub fn success(details: Details) -> Self {
        Self { status: "Success".into(), code: 200, details: Some(details), ..Self::default() }
    }

    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.details = Some(details);
        self
    }

    #[must_use]
    pub fn with_cause(mut self, reason: &str, message: impl Into<String>, field: &str) -> Self {
        let cause = Cause { reason: reason.into(), message: message.into(), field: field.into() };
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// Seconds after which a client may try again; mirrored in the `Retry-After` header.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message)
    }

    pub fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized")
    }

    /// 403 about an object: `pods "x" is forbidden: why`.
    pub fn forbidden(resource: &GroupResource, name: &str, why: impl AsRef<str>) -> Self {
        let why = why.as_ref();
        let message = match (resource.resource.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{resource} is forbidden: {why}"),
            (false, false) => format!("{resource} \"{name}\" is forbidden: {why}"),
        };
        Self::failure(403, "Forbidden", message).with_details(details(resource, name))
    }

    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::failure(404, "NotFound", format!("{resource} \"{name}\" not found")).with_details(details(resource, name))
    }

    /// The path names no resource that is served.
    pub fn no_such_path() -> Self {
        Self::failure(404, "NotFound", "the server could not find the requested resource")
            .with_details(Details::default())
    }

    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::failure(409, "AlreadyExists", format!("{resource} \"{name}\" already exists"))
            .with_details(details(resource, name))
    }

    /// 409; `why` is the sentence after "Operation cannot be fulfilled on ...: ".
    pub fn conflict(resource: &GroupResource, name: &str, why: impl AsRef<str>) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {}", why.as_ref());
        Self::failure(409, "Conflict", message).with_details(details(resource, name))
    }

    /// The conflict of an update that carried an old resource version.
    pub fn modified(resource: &GroupResource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 422 with one cause per error: `Pod "x" is invalid: spec.a: Required value`.
    pub fn invalid(kind: &GroupVersionKind, name: &str, errors: &[FieldError]) -> Self {
        let qualified = if kind.group.is_empty() { kind.kind.clone() } else { format!("{}.{}", kind.kind, kind.group) };
        let mut message = format!("{qualified} \"{name}\" is invalid");
        match errors {
            [] => {}
            [one] => {
                let _ = write!(message, ": {one}");
            }
            many => {
                let texts: Vec<String> = many.iter().map(ToString::to_string).collect();
                let _ = write!(message, ": [{}]", texts.join(", "));
            }
        }
        let causes = errors
            .iter()
            .map(|e| Cause { reason: e.kind.reason().into(), message: e.body(), field: e.field.to_string() })
            .collect();
        let details = Details {
            name: name.into(),
            group: kind.group.clone(),
            kind: kind.kind.clone(),
            causes,
            ..Details::default()
        };
        Self::failure(422, "Invalid", message).with_details(details)
    }

    /// 410: a revision or continue token that is no longer held.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, "Expired", message)
    }

    pub fn method_not_supported(resource: &GroupResource, action: &str) -> Self {
        let message = format!("{action} is not supported on resources of kind \"{resource}\"");
        Self::failure(405, "MethodNotAllowed", message).with_details(details(resource, ""))
    }

    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        Self::failure(406, "NotAcceptable", message)
    }

    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::failure(415, "UnsupportedMediaType", message)
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::failure(413, "RequestEntityTooLarge", message)
    }

    pub fn too_many_requests(message: impl Into<String>, seconds: u32) -> Self {
        Self::failure(429, "TooManyRequests", message).retry_after(seconds)
    }

    /// 504: the asked resource version lies in the future.
    pub fn too_large_resource_version(asked: u64, current: u64, seconds: u32) -> Self {
        Self::timeout(format!("Too large resource version: {asked}, current: {current}"), seconds).with_cause(
            "ResourceVersionTooLarge",
            "Too large resource version",
            "",
        )
    }

    pub fn timeout(message: impl Into<String>, seconds: u32) -> Self {
        Self::failure(504, "Timeout", format!("Timeout: {}", message.into())).retry_after(seconds)
    }

    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, "ServiceUnavailable", message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        Self::failure(500, "InternalError", format!("Internal error occurred: {message}")).with_cause("", message, "")
    }
}

fn details(resource: &GroupResource, name: &str) -> Details {
    Details { name: name.into(), group: resource.group.clone(), kind: resource.resource.clone(), ..Details::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Path;

    #[test]
    fn a_status_serializes_as_upstream_writes_it() {
        let status = Status::not_found(&GroupResource::new("apps", "deployments"), "web");
        let expected = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"deployments.apps \"web\" not found","reason":"NotFound","details":{"name":"web","group":"apps","kind":"deployments"},"code":404}"#;
        assert_eq!(serde_json::to_string(&status).unwrap(), expected);
    }

    #[test]
    fn several_validation_errors_are_bracketed() {
        let errors = [FieldError::required(&Path::new("a"), ""), FieldError::required(&Path::new("b"), "")];
        let status = Status::invalid(&GroupVersionKind::new("", "v1", "Pod"), "p", &errors);
        assert_eq!(status.message, "Pod \"p\" is invalid: [a: Required value, b: Required value]");
        assert_eq!(status.details.unwrap().causes.len(), 2);
    }
}
