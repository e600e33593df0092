//! Protobuf by the tables of `schema`.

use apimachinery::{GroupVersionKind, Status};
use bytes::Bytes;
use schema::codec;

/// The type of a kind; 406 for kinds without a protobuf form.
pub fn type_of(kind: &GroupVersionKind) -> Result<&'static schema::Type, Status> {
    let found = schema::kind(kind).filter(|t| t.has_protobuf());
    found.ok_or_else(|| Status::not_acceptable(&["application/json", "application/yaml"]))
}

/// JSON of a kind as a protobuf envelope; 406 for kinds without a protobuf form.
pub fn to_protobuf(kind: &GroupVersionKind, json: &[u8]) -> Result<Bytes, Status> {
    to_protobuf_as(kind, &kind.api_version(), json)
}

/// The same under another version: upstream's oldest documents have none.
pub fn to_protobuf_as(kind: &GroupVersionKind, api_version: &str, json: &[u8]) -> Result<Bytes, Status> {
    codec::json_to_envelope(type_of(kind)?, api_version, &kind.kind, json)
        .map(Into::into)
        .map_err(|e| Status::internal(e.to_string()))
}

/// The JSON of an enveloped object.
pub fn from_protobuf(bytes: &[u8]) -> Result<Vec<u8>, Status> {
    codec::envelope_to_json(bytes).map_err(|e| Status::bad_request(e.to_string()))
}

/// One frame of a protobuf watch: length, `WatchEvent`, in it the enveloped object.
pub fn watch_frame(word: &str, kind: &GroupVersionKind, json: &[u8]) -> Result<Bytes, Status> {
    Ok(codec::watch_frame(word, &to_protobuf(kind, json)?).into())
}
