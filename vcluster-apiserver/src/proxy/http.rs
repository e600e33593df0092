//! `pods/proxy`, `services/proxy`, `nodes/proxy`: any HTTP request to the object itself
//! (k8s.io/kubernetes `pkg/registry/core/{pod,service,node}/rest`, k8s.io/apimachinery `pkg/util/proxy`).
//!
//! The caller's credentials do not go along; hop-by-hop headers neither. A redirect to the target's own host is
//! rewritten so that the client stays behind the proxy.

use super::tunnel;
use crate::api::{Api, Call};
use crate::registry::store::{storage_status, tree};
use crate::request::body::{self, Body};
use apimachinery::{GroupResource, Object, Status};
use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderName, HeaderValue, LOCATION, UPGRADE};
use http::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;

/// `[scheme:]name[:port]`, as the name in the path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

/// Reads the name form; upstream's `SplitSchemeNamePort`.
fn split(text: &str) -> Option<Named<'_>> {
    let parts: Vec<&str> = text.split(':').collect();
    let named = match parts.as_slice() {
        [name] => Named { scheme: "", name, port: "" },
        [name, port] => Named { scheme: "", name, port },
        [scheme, name, port] => Named { scheme, name, port },
        _ => return None,
    };
    (!named.name.is_empty() && matches!(named.scheme, "" | "http" | "https")).then_some(named)
}

pub async fn serve(api: &Api, call: &Call, rest: &str, request: Request<Body>) -> Result<Response<Body>, Status> {
    let resource = call.target.resource.group_resource();
    let named = split(&call.target.name).ok_or_else(|| {
        Status::bad_request(format!("invalid {} request \"{}\"", resource.resource, call.target.name))
    })?;
    let key = call.target.key_of(named.name);
    let stored = api.store.backend.storage.get(&key).await.map_err(|e| storage_status(&e, &call.target))?;
    let object = tree(&stored.ok_or_else(|| Status::not_found(&resource, named.name))?)?;
    let (host, port) = match resource.resource.as_str() {
        "services" => service_address(&object, &named)?,
        "pods" => pod_address(&object, &named)?,
        _ => node_address(&object, &named)?,
    };
    let secure = named.scheme == "https" || (resource.resource == "nodes" && named.scheme.is_empty());
    forward(call, rest, secure, &host, port, request).await
}

fn text<'a>(object: &'a Object, path: &[&str]) -> &'a str {
    object.at(path).and_then(Value::as_str).unwrap_or_default()
}

fn service_address(service: &Object, named: &Named<'_>) -> Result<(String, u16), Status> {
    let unavailable = |why: String| Status::service_unavailable(why);
    let ports = service.at(&["spec", "ports"]).and_then(Value::as_array).cloned().unwrap_or_default();
    let number = |port: &Value| port.get("port").and_then(Value::as_u64).and_then(|p| u16::try_from(p).ok());
    let found = match named.port {
        "" => ports.first().filter(|_| ports.len() == 1).and_then(number),
        wanted => ports
            .iter()
            .find(|p| {
                p.get("name").and_then(Value::as_str) == Some(wanted)
                    || number(p).map(|n| n.to_string()).as_deref() == Some(wanted)
            })
            .and_then(number),
    };
    let port = found.ok_or_else(|| {
        unavailable(format!("no service port \"{}\" found for service \"{}\"", named.port, named.name))
    })?;
    let address = text(service, &["spec", "clusterIP"]);
    if matches!(address, "" | "None") {
        return Err(unavailable(format!("no endpoints available for service \"{}\"", named.name)));
    }
    Ok((address.to_owned(), port))
}

fn pod_address(pod: &Object, named: &Named<'_>) -> Result<(String, u16), Status> {
    let address = text(pod, &["status", "podIP"]);
    if address.is_empty() {
        return Err(Status::bad_request("address not allowed"));
    }
    let containers = pod.at(&["spec", "containers"]).and_then(Value::as_array).cloned().unwrap_or_default();
    let declared = containers.iter().filter_map(|c| c.get("ports")?.as_array()).flatten();
    let port = match named.port {
        "" => declared.into_iter().find_map(|p| p.get("containerPort")?.as_u64()).and_then(|p| u16::try_from(p).ok()),
        wanted => wanted.parse().ok(),
    };
    Ok((address.to_owned(), port.unwrap_or(80)))
}

fn node_address(node: &Object, named: &Named<'_>) -> Result<(String, u16), Status> {
    let addresses = node.at(&["status", "addresses"]).and_then(Value::as_array).cloned().unwrap_or_default();
    let of = |kind: &str| {
        let found = addresses.iter().find(|a| a.get("type").and_then(Value::as_str) == Some(kind));
        found.and_then(|a| a.get("address")?.as_str().map(str::to_owned))
    };
    let address = of("InternalIP").or_else(|| of("Hostname")).ok_or_else(|| {
        Status::service_unavailable(format!("no preferred addresses found for node \"{}\"", named.name))
    })?;
    let kubelet = node.at(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]).and_then(Value::as_u64);
    let port = if named.port.is_empty() { None } else { named.port.parse().ok() };
    let port = port.or_else(|| kubelet.and_then(|p| u16::try_from(p).ok())).unwrap_or(10250);
    Ok((address, port))
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
    secure: bool,
    host: &str,
    port: u16,
    mut request: Request<Body>,
) -> Result<Response<Body>, Status> {
    if secure {
        return Err(Status::service_unavailable("proxying over TLS is not available"));
    }
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

    let connecting =
        tokio::time::timeout(std::time::Duration::from_secs(30), tokio::net::TcpStream::connect(&authority));
    let stream = connecting.await.map_err(|e| unreachable(&e))?.map_err(|e| unreachable(&e))?;
    let handshake = hyper::client::conn::http1::handshake::<_, Body>(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|e| unreachable(&e))?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a proxied connection ended");
        }
    });
    let answer = sender.send_request(Request::from_parts(parts, body)).await.map_err(|e| unreachable(&e))?;
    if let (http::StatusCode::SWITCHING_PROTOCOLS, Some(client)) = (answer.status(), client) {
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

    // Upstream's cases: k8s.io/apimachinery pkg/util/net/port_split_test.go.
    #[test]
    fn names_carry_scheme_and_port() {
        for (text, expected) in [
            ("aoeu:asdf", Some(("", "aoeu", "asdf"))),
            ("http:aoeu:asdf", Some(("http", "aoeu", "asdf"))),
            ("https:aoeu:", Some(("https", "aoeu", ""))),
            ("https:aoeu:asdf", Some(("https", "aoeu", "asdf"))),
            ("aoeu:", Some(("", "aoeu", ""))),
            ("aoeu", Some(("", "aoeu", ""))),
            (":asdf", None),
            ("aoeu:asdf:htns", None),
            ("http::asdf", None),
            ("aoeu:asdf:htns:x", None),
            ("", None),
        ] {
            let got = split(text);
            assert_eq!(got.as_ref().map(|n| (n.scheme, n.name, n.port)), expected, "{text}");
        }
    }

    #[test]
    fn the_rest_of_the_path_stays_as_it_was_encoded() {
        assert_eq!(raw_rest("/api/v1/namespaces/a/pods/b/proxy/x%2Fy/z", "x/y/z"), "/x%2Fy/z");
        assert_eq!(raw_rest("/api/v1/namespaces/a/pods/b/proxy", ""), "/");
        assert_eq!(raw_rest("/api/v1/namespaces/a/pods/b/proxy/", ""), "/");
    }
}
