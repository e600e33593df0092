//! `/openapi/v3` and `/openapi/v2`: the published schemas, with entity tags and immutable addresses
//! (k8s.io/kube-openapi `pkg/handler3`).

use crate::api::error::{no_such_path, text};
use crate::discovery::{etag, is_known};
use crate::registry::Snapshot;
use crate::request::body::{self, Body};
use crate::request::query::Query;
use apimachinery::{GroupVersion, Status};
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, LOCATION, VARY};
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value, json};
use std::sync::{Mutex, PoisonError};

mod document;

/// Serves the documents. Only the index is kept, which every client asks for first and which takes all the others to
/// make; nobody asks twice for what has an immutable address.
#[derive(Debug, Default)]
pub struct OpenApi {
    index: Mutex<Option<(u64, Bytes)>>,
}

fn path_of(group_version: &GroupVersion) -> String {
    if group_version.group.is_empty() {
        format!("api/{}", group_version.version)
    } else {
        format!("apis/{group_version}")
    }
}

/// A tag as it stands in a query.
fn hash(document: &[u8]) -> String {
    etag(document).trim_matches('"').to_owned()
}

impl OpenApi {
    pub fn serve(
        &self,
        snapshot: &Snapshot,
        path: &str,
        query: &Query,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Status> {
        let rest = path.trim_matches('/').strip_prefix("openapi/").unwrap_or_default();
        match rest.split_once('/') {
            None if rest == "v2" => {
                if wants_only_protobuf(headers) {
                    return Ok(text(StatusCode::NOT_ACCEPTABLE, "only application/json is served\n"));
                }
                Ok(answer(document::v2(snapshot).to_string().into(), headers))
            }
            None if rest == "v3" => Ok(answer(self.index(snapshot), headers)),
            Some(("v3", path)) => {
                let served = snapshot.versions.iter().find(|s| path_of(&s.group_version) == path);
                let Some(served) = served else { return Ok(no_such_path()) };
                let document = Bytes::from(document::v3(snapshot, &served.group_version).to_string());
                let current = hash(&document);
                let mut response = match query.filled("hash") {
                    Some(asked) if asked != current => {
                        let mut moved = Response::new(body::empty());
                        *moved.status_mut() = StatusCode::MOVED_PERMANENTLY;
                        let url = format!("/openapi/v3/{path}?hash={current}");
                        if let Ok(url) = url.parse() {
                            moved.headers_mut().insert(LOCATION, url);
                        }
                        return Ok(moved);
                    }
                    _ => answer(document, headers),
                };
                if query.contains("hash") {
                    response
                        .headers_mut()
                        .insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable, max-age=31536000"));
                }
                Ok(response)
            }
            _ => Ok(no_such_path()),
        }
    }
}

impl OpenApi {
    /// The addresses of the documents, made once per change of the registry.
    fn index(&self, snapshot: &Snapshot) -> Bytes {
        let mut kept = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((generation, index)) = kept.as_ref()
            && *generation == snapshot.generation
        {
            return index.clone();
        }
        let mut paths = Map::new();
        for served in &snapshot.versions {
            let path = path_of(&served.group_version);
            let document = document::v3(snapshot, &served.group_version).to_string();
            let url = format!("/openapi/v3/{path}?hash={}", hash(document.as_bytes()));
            paths.insert(path, json!({ "serverRelativeURL": url }));
        }
        let index = Bytes::from(json!({ "paths": paths }).to_string());
        *kept = Some((snapshot.generation, index.clone()));
        index
    }
}

fn wants_only_protobuf(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    !accept.is_empty() && !accept.contains("json") && !accept.contains('*')
}

fn answer(document: Bytes, headers: &HeaderMap) -> Response<Body> {
    let tag = etag(&document);
    let mut response = Response::new(body::empty());
    if is_known(headers, &tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else if crate::api::encode::accepts_gzip(headers) {
        response.headers_mut().insert(http::header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        *response.body_mut() = body::full(crate::api::encode::gzip(&document));
    } else {
        *response.body_mut() = body::full(document);
    }
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    out.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Ok(tag) = tag.parse() {
        out.insert(ETAG, tag);
    }
    response
}

/// The tree of a path that every client expects to find: kept apart so that both documents agree on it.
fn info() -> Value {
    json!({ "title": "Kubernetes", "version": crate::server::fixed::VERSION })
}
