//! Discovery: what is served, in the legacy documents and in the aggregated ones, with entity tags
//! (k8s.io/apiserver `pkg/endpoints/discovery`).

mod aggregated;
mod legacy;

use crate::api::codec;
use crate::api::error::no_such_path;
use crate::registry::Snapshot;
use crate::request::body::{self, Body};
use crate::request::negotiate::{self, Accepted, Encoding, Form, Offer};
use crate::request::query::Query;
use apimachinery::{GroupVersion, GroupVersionKind, Status};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{HeaderMap, Response, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// Serves the documents; the aggregated ones are made once per change of the registry.
#[derive(Debug, Default)]
pub struct Discovery {
    made: Mutex<Option<Made>>,
}

#[derive(Clone, Debug)]
struct Made {
    generation: u64,
    core: Arc<Document>,
    groups: Arc<Document>,
}

#[derive(Debug)]
struct Document {
    json: Bytes,
    etag: String,
}

impl Document {
    fn new(value: &Value) -> Self {
        let json = Bytes::from(value.to_string());
        Self { etag: etag(&json), json }
    }
}

/// A quoted hash in capitals, as upstream prints its entity tags.
pub fn etag(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02X}");
    }
    text.push('"');
    text
}

/// Whether the client already has this version.
pub fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let given = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok()).unwrap_or_default();
    given.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)
}

impl Discovery {
    /// Answers `/api`, `/api/v1`, `/apis`, `/apis/GROUP` and `/apis/GROUP/VERSION`.
    pub fn serve(
        &self,
        snapshot: &Snapshot,
        path: &str,
        query: &Query,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Status> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let pretty = query.get("pretty");
        if let ["api" | "apis"] = parts.as_slice() {
            let accepted = negotiate::response(headers, pretty, Offer::DISCOVERY)?;
            if let Form::Discovery(_) = accepted.form {
                let made = self.made(snapshot);
                let document = if parts[0] == "api" { made.core } else { made.groups };
                return aggregated(&document, &accepted, headers);
            }
            let kind = if parts[0] == "api" { "APIVersions" } else { "APIGroupList" };
            let value = if parts[0] == "api" { legacy::core() } else { legacy::groups(snapshot) };
            return plain(&accepted, kind, &value);
        }
        let accepted = negotiate::response(headers, pretty, Offer::TRANSIENT)?;
        let group_version = match parts.as_slice() {
            ["api", version] => GroupVersion::new("", *version),
            ["apis", group] => {
                return match legacy::group(snapshot, group) {
                    Some(value) => plain(&accepted, "APIGroup", &value),
                    None => Ok(no_such_path()),
                };
            }
            ["apis", group, version] => GroupVersion::new(*group, *version),
            _ => return Ok(no_such_path()),
        };
        if !snapshot.serves(&group_version) {
            return Ok(no_such_path());
        }
        plain(&accepted, "APIResourceList", &legacy::resources(snapshot, &group_version))
    }

    fn made(&self, snapshot: &Snapshot) -> Made {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match made.as_ref() {
            Some(made) if made.generation == snapshot.generation => made.clone(),
            _ => {
                let new = Made {
                    generation: snapshot.generation,
                    core: Arc::new(Document::new(&aggregated::document(snapshot, true))),
                    groups: Arc::new(Document::new(&aggregated::document(snapshot, false))),
                };
                made.insert(new).clone()
            }
        }
    }
}

fn plain(accepted: &Accepted, kind: &str, value: &Value) -> Result<Response<Body>, Status> {
    let kind = GroupVersionKind::new("", "v1", kind);
    let empty = HeaderMap::new();
    crate::api::encode::respond(&empty, StatusCode::OK, accepted, &kind, value.to_string().into())
}

fn aggregated(document: &Document, accepted: &Accepted, headers: &HeaderMap) -> Result<Response<Body>, Status> {
    let mut response = Response::new(body::empty());
    if is_known(headers, &document.etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        let kind = GroupVersionKind::new("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList");
        let bytes = match accepted.encoding {
            Encoding::Protobuf => codec::to_protobuf(&kind, &document.json)?,
            _ => crate::api::encode::write(accepted, &kind, document.json.clone())?,
        };
        *response.body_mut() = body::full(bytes);
    }
    let media = format!("{};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", accepted.encoding.media_type());
    let out = response.headers_mut();
    if let (Ok(media), Ok(etag)) = (media.parse(), document.etag.parse()) {
        out.insert(CONTENT_TYPE, media);
        out.insert(ETAG, etag);
    }
    out.insert(VARY, HeaderValue::from_static("Accept"));
    out.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    Ok(response)
}
