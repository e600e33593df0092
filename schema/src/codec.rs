//! JSON to protobuf and back, driven by the tables, from bytes to bytes.
//!
//! What comes out is byte for byte what upstream's generated code writes: JSON in the order of the Go struct with Go's
//! rules for empty members, protobuf by rising field number with zero values of plain fields written out.
//! Fields that the tables do not know are dropped. Hostile input ends in an error: nesting is bounded, lengths are
//! checked, text must be UTF-8.

mod envelope;
mod from_json;
mod list;
mod to_json;
mod values;
mod wire;

pub use envelope::{Envelope, MAGIC, envelope_to_json, json_to_envelope, seal, watch_frame};
pub use from_json::json_to_protobuf;
pub use list::ListWriter;
pub use to_json::protobuf_to_json;
pub use wire::WireError;

use crate::json::SyntaxError;

/// Why a body cannot be transcoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    #[error("proto: {0}")]
    Wire(#[from] WireError),
    /// A JSON value that the field cannot hold.
    #[error("{field}: {value} is no {expected}")]
    Value { field: String, value: String, expected: &'static str },
    /// A protobuf value that has no JSON form (an impossible time, text that is not UTF-8, raw bytes that are not JSON).
    #[error("{field}: {problem}")]
    Field { field: String, problem: String },
    #[error("{0} has no protobuf form")]
    NotInProtobuf(String),
    #[error("exceeded max depth")]
    TooDeep,
    /// The JSON form would be far larger than any object may be.
    #[error("the object is too large")]
    TooLarge,
    /// Bytes that do not start with upstream's four magic bytes, or that name no kind.
    #[error("the bytes are no protobuf object: {0}")]
    Envelope(&'static str),
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind { api_version: String, kind: String },
}

#[cfg(test)]
mod tests;
