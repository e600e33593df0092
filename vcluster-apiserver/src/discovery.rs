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
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{HeaderMap, Response, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha512};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// Serves the documents. They take a millisecond to make and are made when asked for; what stays are the tags of the
/// aggregated ones, by which clients ask again.
#[derive(Debug)]
pub struct Discovery {
    /// Where the server says that it is to be reached: `HOST:PORT`.
    address: String,
    tags: Mutex<Option<Tags>>,
}

/// Entity tags of the core group's document and of that of all others, for one state of the registry.
#[derive(Clone, Debug)]
struct Tags {
    generation: u64,
    core: Arc<str>,
    groups: Arc<str>,
}

/// The named groups in discovery's order. The aggregator's own has no priority and stands first.
fn group_names(snapshot: &Snapshot) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    let (first, rest): (Vec<_>, Vec<_>) = snapshot.versions.iter().partition(|served| served.group_priority == 0);
    for served in first.into_iter().chain(rest) {
        let group = served.group_version.group.as_str();
        if !group.is_empty() && !names.contains(&group) {
            names.push(group);
        }
    }
    names
}

/// A hash in capitals, as upstream prints those of documents.
pub fn hash_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(128);
    for byte in Sha512::digest(bytes) {
        let _ = write!(text, "{byte:02X}");
    }
    text
}

/// The same in quotes, as an entity tag.
fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", hash_of(bytes))
}

/// Whether the client already has this version.
pub fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let given = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok()).unwrap_or_default();
    given.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)
}

impl Discovery {
    pub fn new(address: String) -> Self {
        Self { address, tags: Mutex::default() }
    }

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
        // The aggregator, which has no router, answers the two documents about groups.
        if !matches!(parts.as_slice(), ["apis"] | ["apis", _]) {
            negotiate::route(headers, "get")?;
        }
        if let ["api" | "apis"] = parts.as_slice() {
            let accepted = negotiate::response(headers, pretty, Offer::DISCOVERY)?;
            if let Form::Discovery(_) = accepted.form {
                return self.aggregated(snapshot, parts[0] == "api", &accepted, headers);
            }
            let kind = if parts[0] == "api" { "APIVersions" } else { "APIGroupList" };
            let value = if parts[0] == "api" { legacy::core(&self.address) } else { legacy::groups(snapshot) };
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
            // Below a group that exists it is the group that answers, with a status.
            let is_group = snapshot.versions.iter().any(|s| s.group_version.group == group_version.group);
            return if is_group { Err(Status::no_such_path()) } else { Ok(no_such_path()) };
        }
        plain(&accepted, "APIResourceList", &legacy::resources(snapshot, &group_version))
    }

    fn tag(&self, snapshot: &Snapshot, core: bool) -> Arc<str> {
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        let current = match tags.as_ref() {
            Some(tags) if tags.generation == snapshot.generation => tags.clone(),
            _ => {
                let tag = |core| etag(aggregated::document(snapshot, core).to_string().as_bytes()).into();
                let new = Tags { generation: snapshot.generation, core: tag(true), groups: tag(false) };
                tags.insert(new).clone()
            }
        };
        if core { current.core } else { current.groups }
    }

    fn aggregated(
        &self,
        snapshot: &Snapshot,
        core: bool,
        accepted: &Accepted,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Status> {
        let tag = self.tag(snapshot, core);
        let mut response = Response::new(body::empty());
        if is_known(headers, &tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            let kind = GroupVersionKind::new("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList");
            let json = aggregated::document(snapshot, core).to_string();
            let bytes = match accepted.encoding {
                Encoding::Protobuf => codec::to_protobuf(&kind, json.as_bytes())?,
                _ => crate::api::encode::write(accepted, &kind, json.into())?,
            };
            *response.body_mut() = body::full(bytes);
        }
        let media = format!("{};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", accepted.encoding.media_type());
        let out = response.headers_mut();
        if let (Ok(media), Ok(tag)) = (media.parse(), tag.parse()) {
            out.insert(CONTENT_TYPE, media);
            out.insert(ETAG, tag);
        }
        out.insert(VARY, HeaderValue::from_static("Accept"));
        out.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
        Ok(response)
    }
}

fn plain(accepted: &Accepted, kind: &str, value: &Value) -> Result<Response<Body>, Status> {
    let version = value["apiVersion"].as_str().unwrap_or_default();
    let (kind, json) = (GroupVersionKind::new("", "v1", kind), value.to_string());
    let bytes = match accepted.encoding {
        Encoding::Protobuf => codec::to_protobuf_as(&kind, version, json.as_bytes())?,
        _ => crate::api::encode::write(accepted, &kind, json.into())?,
    };
    Ok(crate::api::encode::finished(&HeaderMap::new(), StatusCode::OK, accepted, bytes))
}
