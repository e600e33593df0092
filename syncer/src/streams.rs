//! Logs, exec, attach and port-forward on their way to the host: the same request for the host's pod, under the host
//! credentials of the tenant's control plane, as a raw tunnel where the client upgrades.
//!
//! The caller has authorized and admitted the request. What is refused here: any other subresource, and the caller's
//! own credentials, which stop here in every form that the API takes them in.

use crate::scrub::Scrubber;
use crate::{Config, names};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use kube::client::Body;

const SUBRESOURCES: [&str; 4] = ["log", "exec", "attach", "portforward"];
/// WebSocket clients that cannot set headers send their token as a subprotocol.
const TOKEN_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";
const WEBSOCKET_PROTOCOL: HeaderName = HeaderName::from_static("sec-websocket-protocol");

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path} is no stream of a pod")]
    Path { path: String },
    #[error("cannot build the request to the host for {path}")]
    Request { path: String, source: http::Error },
    #[error("the host did not answer to {path}")]
    Host { path: String, source: kube::Error },
}

/// Forwards the streaming subresources of the tenant's pods.
#[derive(Clone)]
pub struct HostStreams {
    config: Config,
    host: kube::Client,
}

impl HostStreams {
    pub fn new(config: Config, host: kube::Client) -> Self {
        Self { config, host }
    }

    /// Name of the host copy of a pod, in the host namespace.
    pub fn host_target(&self, namespace: &str, pod: &str) -> String {
        names::host_name(pod, namespace, &self.config.tenant)
    }

    /// Sends a request for `/api/v1/namespaces/{ns}/pods/{name}/{log|exec|attach|portforward}` to the host and returns
    /// its answer. Where that is 101, `hyper::upgrade::on` of the response is the host's end of the tunnel.
    pub async fn forward(&self, request: Request<Bytes>) -> Result<Response<Body>, Error> {
        let path = request.uri().path().to_owned();
        let target = Target::parse(&path).ok_or_else(|| Error::Path { path: path.clone() })?;
        let (mut parts, body) = request.into_parts();
        parts.uri = self
            .host_uri(&target, parts.uri.query())
            .map_err(|source| Error::Request { path: path.clone(), source })?;
        strip_credentials(&mut parts.headers);
        // The connection to the host is another one; the caller's HTTP/2 ends at the tenant's API server.
        parts.version = http::Version::HTTP_11;
        parts.extensions.clear();
        let answer = self.host.send(Request::from_parts(parts, Body::from(body))).await;
        let answer = answer.map_err(|source| Error::Host { path: path.clone(), source })?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS || answer.status().is_success() {
            return Ok(answer);
        }
        self.scrubbed(&target, answer).await.map_err(|source| Error::Host { path, source })
    }

    fn host_uri(&self, target: &Target<'_>, query: Option<&str>) -> Result<Uri, http::Error> {
        let namespace = &self.config.host_namespace;
        let pod = self.host_target(target.namespace, target.pod);
        let mut uri = format!("/api/v1/namespaces/{namespace}/pods/{pod}/{}", target.subresource);
        if let Some(query) = query {
            uri.push('?');
            uri.push_str(query);
        }
        Ok(uri.parse::<Uri>()?)
    }

    /// A refusal speaks of the host's pod; the caller asked for the tenant's.
    async fn scrubbed(&self, target: &Target<'_>, answer: Response<Body>) -> Result<Response<Body>, kube::Error> {
        let (mut parts, body) = answer.into_parts();
        let body = body.collect_bytes().await?;
        let words = [
            (self.host_target(target.namespace, target.pod), target.pod.to_owned()),
            (self.config.host_namespace.clone(), target.namespace.to_owned()),
        ];
        let text = Scrubber::new(words).text(&String::from_utf8_lossy(&body));
        parts.headers.remove(CONTENT_LENGTH);
        Ok(Response::from_parts(parts, Body::from(text.into_bytes())))
    }
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    namespace: &'a str,
    pod: &'a str,
    subresource: &'a str,
}

impl<'a> Target<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let mut segments = path.strip_prefix("/api/v1/namespaces/")?.split('/');
        let (namespace, pods, pod) = (segments.next()?, segments.next()?, segments.next()?);
        let subresource = segments.next()?;
        let is_name = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
        };
        let is_target = pods == "pods"
            && segments.next().is_none()
            && is_name(namespace)
            && is_name(pod)
            && SUBRESOURCES.contains(&subresource);
        is_target.then_some(Self { namespace, pod, subresource })
    }
}

fn strip_credentials(headers: &mut HeaderMap) {
    let is_private = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("impersonate-") || name.starts_with("x-remote-") || name.starts_with("x-forwarded-")
    };
    let private: Vec<HeaderName> = headers.keys().filter(|name| is_private(name)).cloned().collect();
    for name in private.into_iter().chain([AUTHORIZATION, COOKIE, HOST, CONTENT_LENGTH]) {
        headers.remove(name);
    }
    let offered: Vec<String> = headers
        .get_all(WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|protocol| protocol.trim().to_owned())
        .filter(|protocol| !protocol.is_empty() && !protocol.starts_with(TOKEN_PROTOCOL))
        .collect();
    headers.remove(WEBSOCKET_PROTOCOL);
    if let Ok(value) = HeaderValue::from_str(&offered.join(", "))
        && !offered.is_empty()
    {
        headers.insert(WEBSOCKET_PROTOCOL, value);
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
