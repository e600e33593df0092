//! `/openapi/v2` and `/openapi/v3`: the published documents, in JSON and protobuf, with entity tags and immutable
//! addresses (k8s.io/kube-openapi `pkg/handler`, `pkg/handler3`).
//!
//! Documents are megabytes that a client asks for once. They are made when somebody asks, out of the registry and the
//! tables, and forgotten soon after; what stays is their hashes.

use crate::api::encode::{accepts_gzip, gzip};
use crate::api::error::no_such_path;
use crate::discovery::{hash_of, is_known};
use crate::registry::Snapshot;
use crate::request::body::{self, Body};
use crate::request::query::Query;
use apimachinery::Status;
use bytes::Bytes;
use document::{Encoding, Part};
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPIRES, HeaderName, HeaderValue,
    LOCATION, VARY,
};
use http::{HeaderMap, Response, StatusCode};
use jiff::ToSpan as _;
use kept::{Kept, Key};
use schema::description::Descriptions;
use schemas::Version;
use serde_json::{Map, json};
use std::cell::LazyCell;

pub mod document;
mod fixed;
mod kept;
mod operation;
mod parameters;
mod protobuf;
mod routes;
mod schemas;
mod spelling;

/// Serves the documents.
#[derive(Debug, Default)]
pub struct OpenApi {
    kept: Kept,
}

impl OpenApi {
    /// Answers a path below `/openapi`.
    pub fn serve(
        &self,
        snapshot: &Snapshot,
        path: &str,
        query: &Query,
        headers: &HeaderMap,
        now: jiff::Timestamp,
    ) -> Result<Response<Body>, Status> {
        let rest = path.trim_matches('/').strip_prefix("openapi/").unwrap_or_default();
        Ok(match rest.split_once('/') {
            None if rest == "v2" => self.whole(snapshot, headers),
            None if rest == "v3" => self.index(snapshot, headers),
            Some(("v3", path)) => self.part(snapshot, path, query, headers, now),
            _ => no_such_path(),
        })
    }

    fn whole(&self, snapshot: &Snapshot, headers: &HeaderMap) -> Response<Body> {
        let Some(encoding) = accepted(headers, Version::Two) else { return empty(StatusCode::NOT_ACCEPTABLE) };
        self.document(snapshot, None, encoding, headers)
    }

    /// Where the documents of version 3 are. Whoever knows the address need not ask again until it changes.
    fn index(&self, snapshot: &Snapshot, headers: &HeaderMap) -> Response<Body> {
        let index = self.kept.index(snapshot, || {
            let descriptions: LazyCell<Descriptions> = LazyCell::new(Descriptions::unpack);
            let mut paths = Map::new();
            for part in Part::all(snapshot) {
                let hash = self.kept.part_hash(snapshot, &part, &descriptions);
                paths.insert(part.path(), json!({ "serverRelativeURL": address(&part.path(), &hash) }));
            }
            Bytes::from(json!({ "paths": paths }).to_string())
        });
        let mut response = answer(&index, &hash_of(&index), headers, || gzip(&index));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }

    fn part(
        &self,
        snapshot: &Snapshot,
        path: &str,
        query: &Query,
        headers: &HeaderMap,
        now: jiff::Timestamp,
    ) -> Response<Body> {
        let Some(part) = Part::all(snapshot).into_iter().find(|part| part.path() == path) else {
            return empty(StatusCode::NOT_FOUND);
        };
        let Some(encoding) = accepted(headers, Version::Three) else { return empty(StatusCode::NOT_ACCEPTABLE) };
        let asked = query.filled("hash");
        if let Some(asked) = asked {
            let current = self.kept.hash(snapshot, Some(&part));
            if *asked != *current {
                let mut moved = empty(StatusCode::MOVED_PERMANENTLY);
                insert(&mut moved, LOCATION, &address(path, &current));
                return moved;
            }
        }
        let mut response = self.document(snapshot, Some(&part), encoding, headers);
        if asked.is_some() {
            insert(&mut response, CACHE_CONTROL, "public, immutable");
            if let Ok(expires) = now.to_zoned(jiff::tz::TimeZone::UTC).checked_add(1.year()) {
                insert(&mut response, EXPIRES, &expires.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string());
            }
        }
        response
    }

    fn document(
        &self,
        snapshot: &Snapshot,
        part: Option<&Part>,
        encoding: Encoding,
        headers: &HeaderMap,
    ) -> Response<Body> {
        // Both encodings have the tag of the JSON document.
        let hash = self.kept.hash(snapshot, part);
        let version = if part.is_some() { Version::Three } else { Version::Two };
        let key = Key { path: part.map(Part::path), encoding, gzip: false };
        let mut response = if is_known(headers, &quoted(&hash)) {
            answer(&Bytes::new(), &hash, headers, Bytes::new)
        } else {
            let document = self.kept.document(snapshot, part, encoding);
            answer(&document, &hash, headers, || {
                self.kept.get_or_make(snapshot, Key { gzip: true, ..key.clone() }, || gzip(&document))
            })
        };
        insert(&mut response, CONTENT_TYPE, media_type(version, encoding));
        response
    }
}

fn quoted(hash: &str) -> String {
    format!("\"{hash}\"")
}

fn address(path: &str, hash: &str) -> String {
    format!("/openapi/v3/{path}?hash={hash}")
}

fn media_type(version: Version, encoding: Encoding) -> &'static str {
    match (encoding, version) {
        (Encoding::Json, _) => "application/json",
        (Encoding::Protobuf, Version::Two) => "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
        (Encoding::Protobuf, Version::Three) => "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
    }
}

/// The first encoding that the client accepts, by its own weights. Old clients spell the protobuf type with an `@`.
fn accepted(headers: &HeaderMap, version: Version) -> Option<Encoding> {
    let accept = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty()).unwrap_or("*/*");
    let mut clauses: Vec<(f64, &str)> = accept
        .split(',')
        .map(|clause| {
            let mut parts = clause.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let weight = parts.find_map(|p| p.strip_prefix("q=")).and_then(|q| q.parse().ok());
            (weight.unwrap_or(1.0), media)
        })
        .collect();
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    let protobuf = media_type(version, Encoding::Protobuf);
    clauses.into_iter().find_map(|(_, media)| match media {
        "*/*" | "application/*" | "application/json" => Some(Encoding::Json),
        other if other == protobuf || other.replace('@', ".") == protobuf => Some(Encoding::Protobuf),
        _ => None,
    })
}

fn empty(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = code;
    insert(&mut response, CACHE_CONTROL, "no-cache, private");
    insert(&mut response, VARY, "Accept, Accept-Encoding");
    response
}

fn insert(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn answer(document: &Bytes, hash: &str, headers: &HeaderMap, zipped: impl FnOnce() -> Bytes) -> Response<Body> {
    let tag = quoted(hash);
    let mut response = empty(StatusCode::OK);
    if is_known(headers, &tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        let mut bytes = document.clone();
        if accepts_gzip(headers) {
            insert(&mut response, CONTENT_ENCODING, "gzip");
            bytes = zipped();
        }
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        *response.body_mut() = body::full(bytes);
    }
    insert(&mut response, ETAG, &tag);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_acceptable_clause_wins() {
        let old = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        for (accept, expected) in [
            ("", Some(Encoding::Json)),
            ("*/*", Some(Encoding::Json)),
            (old, Some(Encoding::Protobuf)),
            (&format!("application/json;q=0.5, {old};q=0.9"), Some(Encoding::Protobuf)),
            (&format!("{old}, application/json"), Some(Encoding::Protobuf)),
            ("application/yaml, application/json;q=0.1", Some(Encoding::Json)),
            ("application/com.github.proto-openapi.spec.v3.v1.0+protobuf", None),
            ("application/yaml", None),
            (";q=,,", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
            assert_eq!(accepted(&headers, Version::Two), expected, "{accept}");
        }
    }
}
