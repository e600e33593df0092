//! Request lines, `METHOD PATH?QUERY`: what the server takes them to mean, printed as a path, means the same.

// The readers themselves, not the server around them: that would compile SQLite, TLS and HTTP for two pure files.
#[expect(dead_code, reason = "the server calls the rest")]
#[path = "../../../vcluster-apiserver/src/request/info.rs"]
mod info;
#[expect(dead_code, reason = "the server calls the rest")]
#[path = "../../../vcluster-apiserver/src/request/query.rs"]
mod query;

use http::Method;
use info::{RequestInfo, parse};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use query::Query;

pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (method, uri) = text.split_once(' ').unwrap_or(("GET", &text));
    let Ok(method) = method.parse::<Method>() else { return };
    let (path, raw) = uri.split_once('?').unwrap_or((uri, ""));
    let query = Query::parse(raw);
    let Ok(info) = parse(&method, path, &query) else { return };
    if !info.is_resource {
        assert_eq!(
            info,
            RequestInfo {
                path: info.path.clone(),
                verb: method.as_str().to_ascii_lowercase(),
                ..RequestInfo::default()
            }
        );
        return;
    }
    assert_eq!(info.parts.first(), Some(&info.resource));
    assert!(info.subresource.is_empty() || info.parts.get(2) == Some(&info.subresource));
    assert!(info.verb_in_path || !matches!(info.verb.as_str(), "proxy"));
    let again = parse(&method, &printed(&info), &query).expect("what is printed can be read");
    assert_eq!(RequestInfo { path: info.path.clone(), ..again }, info);
}

/// The shortest path of that meaning.
fn printed(info: &RequestInfo) -> String {
    let mut parts = vec![info.prefix.as_str()];
    if info.prefix == "apis" {
        parts.push(&info.group);
    }
    parts.push(&info.version);
    if info.verb_in_path {
        parts.push(&info.verb);
    }
    // A namespace with its own subresources is in itself; what else is named so has to say where it is.
    let name = (info.resource == "namespaces").then(|| info.parts.get(1)).flatten();
    let own = info.parts.get(2).is_none_or(|part| matches!(part.as_str(), "status" | "finalize"));
    if (name != Some(&info.namespace) || !own) && (name.is_some() || !info.namespace.is_empty()) {
        parts.extend(["namespaces", &info.namespace]);
    }
    parts.extend(info.parts.iter().map(String::as_str));
    let encoded = parts.iter().map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string());
    format!("/{}", encoded.collect::<Vec<_>>().join("/"))
}
