//! Canonical JSON to what the client accepts: the object, its metadata, or a table; JSON, YAML or protobuf.

use super::table;
use crate::registry::resource::Resource;
use crate::request::body::{self, Body};
use crate::request::negotiate::{Accepted, Encoding, Form};
use apimachinery::{GroupVersionKind, Object, Status};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, VARY};
use http::{HeaderMap, Response, StatusCode};
use schema::yaml::to_yaml;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::io::Write;

/// Upstream compresses from this size on.
const GZIP_FROM: usize = 128 * 1024;

/// The stored body in the form of the served version: the same bytes unless the versions differ.
pub fn served(resource: &Resource, stored: &Bytes) -> Result<Bytes, Status> {
    let Some(conversion) = resource.stored.conversion else { return Ok(stored.clone()) };
    let object = serde_json::from_slice(stored).ok().and_then(Object::from_value);
    let mut object = object.ok_or_else(|| Status::internal("a stored object is not JSON"))?;
    conversion.to_served(&mut object, &resource.kind);
    // What the served version always has, the stored one may leave out.
    resource.model.normalize(&mut object).map_err(Status::internal)?;
    Ok(object.to_bytes().into())
}

/// One object in the form that was asked for, still as JSON, with the kind of what it became.
pub fn shape(
    resource: &Resource,
    form: &Form,
    include: table::Include,
    stored: &Bytes,
    now: jiff::Timestamp,
) -> Result<(GroupVersionKind, Bytes), Status> {
    match form {
        Form::Object | Form::Discovery(_) => Ok((resource.kind.clone(), served(resource, stored)?)),
        Form::PartialMetadata(version) => {
            let kind = GroupVersionKind::new("meta.k8s.io", version.as_str(), "PartialObjectMetadata");
            let mut out = Vec::with_capacity(stored.len() / 2);
            partial(&mut out, resource.strategy.field_annotation(), version, stored)?;
            Ok((kind, out.into()))
        }
        Form::Table(version) => {
            let kind = GroupVersionKind::new("meta.k8s.io", version.as_str(), "Table");
            let mut table = table::Table::new(resource, version, include, now);
            table.add(stored)?;
            Ok((kind, table.finish(&table::revision(stored), "", None).into()))
        }
        Form::PartialMetadataList(_) => Err(unsuitable(format!(
            "you requested PartialObjectMetadataList, but the requested object is not a list ({})",
            go_type(resource, &resource.kind.kind)
        ))),
    }
}

/// 406 for a form that the object cannot take.
pub fn unsuitable(message: String) -> Status {
    Status::failure(406, "NotAcceptable", message)
}

/// The Go type that upstream holds an object in: `*core.PodList`.
pub fn go_type(resource: &Resource, kind: &str) -> String {
    if resource.model.items_are_typed() {
        return "*unstructured.Unstructured".to_owned();
    }
    format!("*{}.{kind}", package(&resource.stored.kind.group))
}

/// The Go package of upstream's own types of a group.
pub fn package(group: &str) -> &str {
    if group.is_empty() { "core" } else { group.split('.').next().unwrap_or(group) }
}

/// The raw metadata of a body.
#[derive(Deserialize)]
pub struct WithMetadata<'a> {
    #[serde(borrow)]
    pub metadata: &'a RawValue,
}

/// Writes the `PartialObjectMetadata` of a body, without the annotation that is none.
pub fn partial(out: &mut Vec<u8>, hidden: Option<&str>, version: &str, body: &[u8]) -> Result<(), Status> {
    let parsed: WithMetadata<'_> =
        serde_json::from_slice(body).map_err(|_| Status::internal("a stored object has no metadata"))?;
    out.extend_from_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/");
    out.extend_from_slice(version.as_bytes());
    out.extend_from_slice(b"\",\"metadata\":");
    match hidden.and_then(|hidden| without(parsed.metadata, hidden)) {
        Some(metadata) => out.extend_from_slice(metadata.to_string().as_bytes()),
        None => out.extend_from_slice(parsed.metadata.get().as_bytes()),
    }
    out.push(b'}');
    Ok(())
}

/// Metadata without an annotation, when it has it.
fn without(metadata: &RawValue, annotation: &str) -> Option<Value> {
    let mut metadata: Value = serde_json::from_str(metadata.get()).ok()?;
    let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
    annotations.remove(annotation)?;
    if annotations.is_empty() {
        metadata.as_object_mut()?.remove("annotations");
    }
    Some(metadata)
}

/// JSON of a kind in the accepted encoding.
pub fn write(accepted: &Accepted, kind: &GroupVersionKind, json: Bytes) -> Result<Bytes, Status> {
    match accepted.encoding {
        Encoding::Json if accepted.pretty => {
            let tree: Value = serde_json::from_slice(&json).map_err(|e| Status::internal(e.to_string()))?;
            let mut text = Vec::with_capacity(json.len() * 2);
            let formatter = serde_json::ser::PrettyFormatter::with_indent(b"  ");
            let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
            serde::Serialize::serialize(&tree, &mut serializer).map_err(|e| Status::internal(e.to_string()))?;
            text.push(b'\n');
            Ok(text.into())
        }
        Encoding::Json => Ok(json),
        Encoding::Yaml => {
            let tree: Value = serde_json::from_slice(&json).map_err(|e| Status::internal(e.to_string()))?;
            let text = to_yaml(&tree).map_err(|e| Status::internal(e.to_string()))?;
            Ok(text.into_bytes().into())
        }
        Encoding::Protobuf => super::codec::to_protobuf(kind, &json),
    }
}

/// JSON of a kind as a finished answer in the accepted encoding.
pub fn respond(
    headers: &HeaderMap,
    code: StatusCode,
    accepted: &Accepted,
    kind: &GroupVersionKind,
    json: Bytes,
) -> Result<Response<Body>, Status> {
    Ok(finished(headers, code, accepted, write(accepted, kind, json)?))
}

/// The same of bytes that are encoded already.
pub fn finished(headers: &HeaderMap, code: StatusCode, accepted: &Accepted, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = code;
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static(accepted.encoding.media_type()));
    out.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    let bytes = if bytes.len() >= GZIP_FROM && accepts_gzip(headers) {
        out.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        out.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        gzip(&bytes)
    } else {
        bytes
    };
    out.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    *response.body_mut() = body::full(bytes);
    response
}

pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).any(|v| v.split(';').next().unwrap_or_default().trim() == "gzip")
}

pub fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 4), flate2::Compression::fast());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("compression into memory does not fail").into()
}
