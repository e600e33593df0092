//! Path, method and query to what a request means (k8s.io/apiserver `pkg/endpoints/request/requestinfo.go`).
//!
//! Pure. It answers for every input: what is no resource path is a non-resource request with its lower-case method as
//! verb. The one refusal is a special verb with nothing behind it (`/api/v1/watch`).

use super::query::Query;
use apimachinery::{GroupResource, GroupVersionResource};
use http::Method;
use percent_encoding::percent_decode_str;

/// The meaning of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    pub is_resource: bool,
    /// The decoded path, as authorization and non-resource handlers see it.
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, `proxy`; the lower-case
    /// method for non-resource requests.
    pub verb: String,
    /// `api` or `apis`.
    pub prefix: String,
    pub group: String,
    pub version: String,
    pub namespace: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// From the resource on: `[resource, name, subresource, rest...]`.
    pub parts: Vec<String>,
    /// Whether the verb came from the path (`/watch/...`, `/proxy/...`).
    pub verb_in_path: bool,
    pub label_selector: String,
    pub field_selector: String,
}

impl RequestInfo {
    pub fn gvr(&self) -> GroupVersionResource {
        GroupVersionResource::new(&*self.group, &*self.version, &*self.resource)
    }

    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(&*self.group, &*self.resource)
    }

    /// What stands behind `.../{name}/{subresource}/`, joined again.
    pub fn rest(&self) -> String {
        self.parts.get(3..).map(|rest| rest.join("/")).unwrap_or_default()
    }

    /// Requests without the deadline of short ones (upstream's `BasicLongRunningRequestCheck`).
    pub fn is_long_running(&self) -> bool {
        matches!(self.verb.as_str(), "watch" | "proxy")
            || (self.is_resource
                && matches!(self.subresource.as_str(), "attach" | "exec" | "proxy" | "log" | "portforward"))
    }
}

/// The path names a special verb and nothing it could apply to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to determine kind and namespace from url, {0}")]
pub struct Incomplete(pub String);

/// Reads a request line.
pub fn parse(method: &Method, raw_path: &str, query: &Query) -> Result<RequestInfo, Incomplete> {
    let path = percent_decode_str(raw_path).decode_utf8_lossy().into_owned();
    let parts: Vec<String> = match path.trim_matches('/') {
        "" => Vec::new(),
        trimmed => trimmed.split('/').map(str::to_owned).collect(),
    };
    let mut info = RequestInfo { path, verb: method.as_str().to_ascii_lowercase(), ..RequestInfo::default() };
    let mut rest = parts.as_slice();
    let groupless = match rest.first().map(String::as_str) {
        Some("api") if rest.len() >= 3 => true,
        Some("apis") if rest.len() >= 4 => false,
        _ => return Ok(info),
    };
    info.prefix.clone_from(&rest[0]);
    rest = &rest[1..];
    if !groupless {
        info.group.clone_from(&rest[0]);
        rest = &rest[1..];
    }
    info.is_resource = true;
    info.version.clone_from(&rest[0]);
    rest = &rest[1..];
    if matches!(rest[0].as_str(), "watch" | "proxy") {
        if rest.len() < 2 {
            return Err(Incomplete(info.path));
        }
        info.verb.clone_from(&rest[0]);
        info.verb_in_path = true;
        rest = &rest[1..];
    } else {
        info.verb = verb_of(method).to_owned();
    }
    if rest[0] == "namespaces" && rest.len() > 1 {
        info.namespace.clone_from(&rest[1]);
        if rest.len() > 2 && !matches!(rest[2].as_str(), "status" | "finalize") {
            rest = &rest[2..];
        }
    }
    info.parts = rest.to_vec();
    if rest.len() >= 3 && info.verb != "proxy" {
        info.subresource.clone_from(&rest[2]);
    }
    if rest.len() >= 2 {
        info.name.clone_from(&rest[1]);
    }
    info.resource.clone_from(&rest[0]);
    if info.name.is_empty() && info.verb == "get" {
        info.verb = if query.flag("watch") { "watch" } else { "list" }.to_owned();
        if let Some(name) = exact_name(query.get("fieldSelector").unwrap_or_default()) {
            info.name = name;
        }
    }
    if info.name.is_empty() && info.verb == "delete" {
        info.verb = "deletecollection".to_owned();
    }
    if !info.verb_in_path && matches!(info.verb.as_str(), "list" | "watch" | "deletecollection") {
        info.field_selector = query.get("fieldSelector").unwrap_or_default().to_owned();
        info.label_selector = query.get("labelSelector").unwrap_or_default().to_owned();
    }
    Ok(info)
}

fn verb_of(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// The name that `metadata.name=x` (or `==`) demands, when it could be one.
fn exact_name(selector: &str) -> Option<String> {
    selector.split(',').find_map(|term| {
        let (field, value) = term.split_once('=')?;
        let value = value.strip_prefix('=').unwrap_or(value);
        let usable = !value.is_empty() && !matches!(value, "." | "..") && !value.contains(['/', '%']);
        (field == "metadata.name" && usable).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(method: &str, uri: &str) -> String {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let i = parse(&method.parse().unwrap(), path, &Query::parse(query)).unwrap();
        if !i.is_resource {
            return format!("{} {}", i.verb, i.path);
        }
        let group = if i.group.is_empty() { "-" } else { &i.group };
        format!("{} {group}/{} ns={} {}/{}/{}", i.verb, i.version, i.namespace, i.resource, i.name, i.subresource)
    }

    // Upstream's cases: k8s.io/apiserver pkg/endpoints/request/requestinfo_test.go.
    #[test]
    fn paths_mean_what_upstream_reads_in_them() {
        for (method, uri, expected) in [
            ("GET", "/api/v1/namespaces", "list -/v1 ns= namespaces//"),
            ("GET", "/api/v1/namespaces/other", "get -/v1 ns=other namespaces/other/"),
            ("GET", "/api/v1/namespaces/other/pods", "list -/v1 ns=other pods//"),
            ("GET", "/api/v1/namespaces/other/pods/foo", "get -/v1 ns=other pods/foo/"),
            ("HEAD", "/api/v1/namespaces/other/pods/foo", "get -/v1 ns=other pods/foo/"),
            ("GET", "/api/v1/pods", "list -/v1 ns= pods//"),
            ("GET", "/api/v1/namespaces/other/pods/foo/status", "get -/v1 ns=other pods/foo/status"),
            ("PUT", "/api/v1/namespaces/other/finalize", "update -/v1 ns=other namespaces/other/finalize"),
            ("GET", "/api/v1/proxy/namespaces/other/pods/foo", "proxy -/v1 ns=other pods/foo/"),
            ("GET", "/api/v1/proxy/namespaces/other/pods/foo/sub/path", "proxy -/v1 ns=other pods/foo/"),
            ("GET", "/api/v1/watch/pods", "watch -/v1 ns= pods//"),
            ("GET", "/api/v1/pods?watch=true", "watch -/v1 ns= pods//"),
            ("GET", "/api/v1/pods?watch=false", "list -/v1 ns= pods//"),
            ("GET", "/api/v1/watch/namespaces/other/pods", "watch -/v1 ns=other pods//"),
            ("GET", "/apis/apps/v1/namespaces/x/deployments/d/scale", "get apps/v1 ns=x deployments/d/scale"),
            ("DELETE", "/api/v1/nodes", "deletecollection -/v1 ns= nodes//"),
            ("POST", "/api/v1/namespaces/other/pods", "create -/v1 ns=other pods//"),
            ("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dfoo", "list -/v1 ns= pods/foo/"),
            ("GET", "/api/v1/pods?fieldSelector=metadata.name%3D%2Ffoo", "list -/v1 ns= pods//"),
            ("GET", "/apis", "get /apis"),
            ("GET", "/apis/apps/v1", "get /apis/apps/v1"),
            ("GET", "/api/v1/", "get /api/v1/"),
            ("POST", "/healthz", "post /healthz"),
            ("BREW", "/api/v1/pods", " -/v1 ns= pods//"),
        ] {
            assert_eq!(line(method, uri), expected, "{method} {uri}");
        }
    }

    #[test]
    fn a_special_verb_needs_something_to_act_on() {
        assert!(parse(&Method::GET, "/api/v1/watch", &Query::default()).is_err());
        assert!(parse(&Method::GET, "/apis/apps/v1/proxy", &Query::default()).is_err());
    }

    proptest! {
        #[test]
        fn no_path_makes_it_fail(path in "[/a-z%0-9.\\PC]{0,60}", query in "\\PC{0,40}") {
            let info = parse(&Method::GET, &format!("/{path}"), &Query::parse(&query));
            if let Ok(info) = info {
                prop_assert!(!info.is_resource || !info.parts.is_empty());
            }
        }
    }
}
