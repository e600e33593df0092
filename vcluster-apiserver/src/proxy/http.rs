//! `pods/proxy`, `services/proxy`, `nodes/proxy`: any HTTP request to the object itself
//! (k8s.io/kubernetes `pkg/registry/core/{pod,service,node}/rest`, k8s.io/apimachinery `pkg/util/proxy`).
//!
//! The caller's credentials do not go along; hop-by-hop headers neither. A redirect to the target's own host is
//! rewritten so that the client stays behind the proxy.

use super::dial::dial;
use super::location::{Location, locate};
use super::tunnel;
use crate::api::{Api, Call};
use crate::request::body::{self, Body};
use apimachinery::{GroupResource, Status};
use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderName, HeaderValue, LOCATION, UPGRADE};
use http::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;

pub async fn serve(api: &Api, call: &Call, rest: &str, request: Request<Body>) -> Result<Response<Body>, Status> {
    let location = locate(api, call).await?;
    if let Some(path) = redirection(rest, &request) {
        let moved = Response::builder().status(StatusCode::MOVED_PERMANENTLY).header(LOCATION, path);
        return moved.body(body::empty()).map_err(|e| Status::bad_request(e.to_string()));
    }
    forward(call, rest, &location, request).await
}

/// Relative links of a backend need its root to end in a slash: a reader of the bare name is sent there.
fn redirection(rest: &str, request: &Request<Body>) -> Option<String> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let uri = request.uri();
    if !reads || !rest.is_empty() || uri.path().ends_with('/') || tunnel::wants_upgrade(request) {
        return None;
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{}/{query}", uri.path()))
}

const HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

async fn forward(
    call: &Call,
    rest: &str,
    Location { secure, host, port }: &Location,
    mut request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let unreachable =
        |e: &dyn std::fmt::Display| Status::service_unavailable(format!("error trying to reach service: {e}"));
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let upgrade = tunnel::wants_upgrade(&request);
    let client = upgrade.then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    let raw_rest = raw_rest(parts.uri.path(), rest);
    let query = parts.uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    parts.uri = format!("{raw_rest}{query}").parse::<Uri>().map_err(|e| Status::bad_request(e.to_string()))?;
    parts.version = http::Version::HTTP_11;
    let protocol = parts.headers.get(UPGRADE).cloned();
    for name in HOP {
        parts.headers.remove(*name);
    }
    parts.headers.remove(AUTHORIZATION);
    for name in forwarded_identity(&parts.headers) {
        parts.headers.remove(name);
    }
    if let (true, Some(protocol)) = (upgrade, protocol) {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        parts.headers.insert(UPGRADE, protocol);
    }
    if let Ok(value) = authority.parse() {
        parts.headers.insert(HOST, value);
    }
    parts.extensions = http::Extensions::new();

    let stream = dial(host, *port, *secure).await.map_err(|e| unreachable(&e))?;
    let handshake = hyper::client::conn::http1::handshake::<_, Body>(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|e| unreachable(&e))?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a proxied connection ended");
        }
    });
    let answer = sender.send_request(Request::from_parts(parts, body)).await.map_err(|e| unreachable(&e))?;
    if let (StatusCode::SWITCHING_PROTOCOLS, Some(client)) = (answer.status(), client) {
        return Ok(tunnel::join(client, answer));
    }
    let (mut head, body) = answer.into_parts();
    for name in HOP {
        head.headers.remove(*name);
    }
    relocate(&mut head, call, &authority);
    Ok(Response::from_parts(head, body::boxed(body)))
}

/// The part of the path behind `/proxy`, still encoded as the client sent it.
fn raw_rest(path: &str, rest: &str) -> String {
    match path.split_once("/proxy/") {
        Some((_, raw)) => format!("/{raw}"),
        None if rest.is_empty() => "/".to_owned(),
        None => format!("/{rest}"),
    }
}

/// Headers that name a user to aggregated servers; a client must not smuggle them in.
fn forwarded_identity(headers: &http::HeaderMap) -> Vec<HeaderName> {
    headers
        .keys()
        .filter(|n| n.as_str().starts_with("x-remote-") || n.as_str().starts_with("impersonate-"))
        .cloned()
        .collect()
}

/// Keeps redirects of the backend behind the proxy.
fn relocate(head: &mut http::response::Parts, call: &Call, authority: &str) {
    let Some(location) = head.headers.get(LOCATION).and_then(|v| v.to_str().ok()) else { return };
    let path = match location.parse::<Uri>() {
        Ok(uri) => match uri.authority() {
            None => uri.path_and_query().map(ToString::to_string),
            Some(a) if a.as_str() == authority => uri.path_and_query().map(ToString::to_string),
            Some(_) => None,
        },
        Err(_) => None,
    };
    let Some(path) = path.filter(|p| p.starts_with('/')) else { return };
    let resource: &GroupResource = &call.target.resource.group_resource();
    let prefix = if call.target.resource.namespaced {
        format!("/api/v1/namespaces/{}/{}/{}/proxy", call.target.namespace, resource.resource, call.target.name)
    } else {
        format!("/api/v1/{}/{}/proxy", resource.resource, call.target.name)
    };
    if let Ok(value) = format!("{prefix}{path}").parse() {
        head.headers.insert(LOCATION, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_of_a_bare_name_are_sent_to_its_root() {
        let sent = |method: &str, rest: &str, path: &str| {
            redirection(rest, &Request::builder().method(method).uri(path).body(body::empty()).unwrap())
        };
        let path = "/api/v1/namespaces/a/pods/b/proxy";
        assert_eq!(sent("GET", "", &format!("{path}?x=1")), Some(format!("{path}/?x=1")));
        assert_eq!(sent("HEAD", "", path), Some(format!("{path}/")));
        assert_eq!(sent("POST", "", path), None);
        assert_eq!(sent("GET", "", &format!("{path}/")), None);
        assert_eq!(sent("GET", "c/proxy", &format!("{path}/c/proxy")), None);
    }

    #[test]
    fn the_rest_of_the_path_stays_as_it_was_encoded() {
        assert_eq!(raw_rest("/api/v1/namespaces/a/pods/b/proxy/x%2Fy/z", "x/y/z"), "/x%2Fy/z");
        assert_eq!(raw_rest("/api/v1/namespaces/a/pods/b/proxy", ""), "/");
        assert_eq!(raw_rest("/api/v1/namespaces/a/pods/b/proxy/", ""), "/");
    }
}
