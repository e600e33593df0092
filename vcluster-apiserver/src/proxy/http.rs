//! `pods/proxy`, `services/proxy`, `nodes/proxy`: any HTTP request to the object itself
//! (k8s.io/kubernetes `pkg/registry/core/{pod,service,node}/rest`, k8s.io/apimachinery `pkg/util/proxy`).
//!
//! The caller's credentials do not go along; hop-by-hop headers neither. Redirects and pages that lead to the target's own
//! host are rewritten so that the client stays behind the proxy.

use super::dial::dial;
use super::links::Links;
use super::location::{Location, locate};
use super::tunnel;
use crate::api::{Api, Call};
use crate::request::body::{self, Body};
use apimachinery::Status;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION,
    UPGRADE,
};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use std::io::{Read as _, Write as _};

pub async fn serve(api: &Api, call: &Call, rest: &str, request: Request<Body>) -> Result<Response<Body>, Status> {
    let location = locate(api, call).await?;
    if let Some(path) = redirection(rest, &request) {
        let moved = Response::builder().status(StatusCode::MOVED_PERMANENTLY).header(LOCATION, path);
        return moved.body(body::empty()).map_err(|e| Status::bad_request(e.to_string()));
    }
    forward(call.target.resource.namespaced, &location, request).await
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
    namespaced: bool,
    Location { secure, host, port }: &Location,
    mut request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let unreachable =
        |e: &dyn std::fmt::Display| Status::service_unavailable(format!("error trying to reach service: {e}"));
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let upgrade = tunnel::wants_upgrade(&request);
    let client = upgrade.then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    let (prefix, rest) = split(parts.uri.path(), namespaced);
    let prefix = prefix.to_owned();
    let asked =
        parts.headers.get(HOST).and_then(|host| host.to_str().ok()).or(parts.uri.authority().map(Authority::as_str));
    let asked = asked.unwrap_or_default().to_owned();
    let query = parts.uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    parts.uri = format!("{rest}{query}").parse::<Uri>().map_err(|e| Status::bad_request(e.to_string()))?;
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
    relinked(answer, &Links { prefix: &prefix, backend: &authority, asked: &asked }).await
}

/// A path in two, as the client encoded it: up to and with `/proxy`, and what lies behind. Steps are counted, as namespaces and
/// pods may be called `proxy` too.
fn split(path: &str, namespaced: bool) -> (&str, &str) {
    let before = if namespaced { "/api/v1/namespaces/NS/pods/NAME/proxy" } else { "/api/v1/nodes/NAME/proxy" };
    let steps = before.matches('/').count();
    let end = path.match_indices('/').nth(steps).map_or(path.len(), |(at, _)| at);
    let (prefix, rest) = path.split_at(end);
    (prefix, if rest.is_empty() { "/" } else { rest })
}

/// Headers that name a user to aggregated servers; a client must not smuggle them in.
fn forwarded_identity(headers: &http::HeaderMap) -> Vec<HeaderName> {
    headers
        .keys()
        .filter(|n| n.as_str().starts_with("x-remote-") || n.as_str().starts_with("impersonate-"))
        .cloned()
        .collect()
}

/// The largest page whose links are rewritten; upstream has no bound.
const LARGEST_PAGE: usize = 32 * 1024 * 1024;

/// Keeps redirects and pages of the backend behind the proxy.
async fn relinked(answer: Response<hyper::body::Incoming>, links: &Links<'_>) -> Result<Response<Body>, Status> {
    let (mut head, body) = answer.into_parts();
    for name in HOP {
        head.headers.remove(*name);
    }
    if let Some(location) = head.headers.get(LOCATION) {
        let through = location.to_str().ok().and_then(|location| links.rewritten(location)?.parse().ok());
        if let Some(through) = through {
            head.headers.insert(LOCATION, through);
        }
        return Ok(Response::from_parts(head, body::boxed(body)));
    }
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_page = kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html");
    let packing = match head.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"") => Some(None),
        Some(b"gzip") => Some(Some(Packing::Gzip)),
        Some(b"deflate") => Some(Some(Packing::Deflate)),
        Some(_) => None,
    };
    let (true, Some(packing)) = (is_page, packing) else {
        return Ok(Response::from_parts(head, body::boxed(body)));
    };
    let broken = |error: &dyn std::fmt::Display| Status::internal(format!("the page cannot be read: {error}"));
    let whole = Limited::new(body, LARGEST_PAGE).collect().await.map_err(|error| broken(&error))?.to_bytes();
    let page = match packing {
        // The answer to a HEAD has headers of a body that does not come.
        _ if whole.is_empty() => return Ok(Response::from_parts(head, body::empty())),
        None => links.page(&whole),
        Some(packing) => {
            let page = packing.unpacked(&whole).map_err(|error| broken(&error))?;
            packing.packed(&links.page(&page)).map_err(|error| broken(&error))?
        }
    };
    head.headers.insert(CONTENT_LENGTH, page.len().into());
    Ok(Response::from_parts(head, body::full(page)))
}

/// How a body is packed.
#[derive(Clone, Copy)]
enum Packing {
    Gzip,
    Deflate,
}

impl Packing {
    fn unpacked(self, packed: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut page = Vec::new();
        let limit = LARGEST_PAGE as u64;
        match self {
            Self::Gzip => flate2::read::GzDecoder::new(packed).take(limit).read_to_end(&mut page)?,
            Self::Deflate => flate2::read::DeflateDecoder::new(packed).take(limit).read_to_end(&mut page)?,
        };
        Ok(page)
    }

    fn packed(self, page: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                packer.write_all(page)?;
                packer.finish()
            }
            Self::Deflate => {
                let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
                packer.write_all(page)?;
                packer.finish()
            }
        }
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
        let raw_rest = |path| split(path, true).1;
        assert_eq!(raw_rest("/api/v1/namespaces/a/pods/b/proxy/x%2Fy/z"), "/x%2Fy/z");
        assert_eq!(raw_rest("/api/v1/namespaces/a/pods/b/proxy"), "/");
        assert_eq!(raw_rest("/api/v1/namespaces/a/pods/b/proxy/"), "/");
        let named = "/api/v1/namespaces/proxy/pods/proxy/proxy";
        assert_eq!(split(&format!("{named}/proxy/x"), true), (named, "/proxy/x"));
        assert_eq!(split("/api/v1/nodes/proxy/proxy/logs/", false), ("/api/v1/nodes/proxy/proxy", "/logs/"));
    }
}
