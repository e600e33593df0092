//! A request's body as an object of its kind: media type, syntax, kind, unknown and duplicate fields
//! (k8s.io/apiserver `pkg/endpoints/handlers/create.go`, k8s.io/apimachinery `pkg/runtime/serializer/json`).

use crate::registry::model::Model;
use crate::request::RequestCx;
use crate::request::negotiate::{self, Encoding};
use crate::request::options::FieldValidation;
use apimachinery::{GroupVersionKind, Object, Status};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

mod strict;

pub use strict::Parsed;

/// What a body is decoded into.
pub struct Expected<'a> {
    pub kind: &'a GroupVersionKind,
    pub model: &'a dyn Model,
    /// Whether clients may send protobuf.
    pub protobuf: bool,
}

/// The object in a body, normalized and with its static defaults. 415, 400 for what cannot be read, and strict decoding
/// errors as the options say.
pub fn object(
    cx: &RequestCx,
    headers: &HeaderMap,
    body: &Bytes,
    expected: &Expected<'_>,
    validation: FieldValidation,
) -> Result<Object, Status> {
    let encoding = negotiate::request(headers, expected.protobuf)?;
    let parsed = parse(encoding, body)?;
    let mut object =
        Object::from_value(parsed.value).ok_or_else(|| cannot_handle(None, expected.kind, "json: cannot unmarshal"))?;
    check_kind(&mut object, expected.kind)?;
    let unknown =
        expected.model.normalize(&mut object).map_err(|e| cannot_handle(Some(expected.kind), expected.kind, &e))?;
    report(cx, validation, parsed.duplicates.into_iter().chain(unknown).collect())?;
    expected.model.default(&mut object);
    Ok(object)
}

/// Bytes in any of the encodings as a JSON tree.
pub fn parse(encoding: Encoding, body: &[u8]) -> Result<Parsed, Status> {
    match encoding {
        Encoding::Json => strict::json(body),
        Encoding::Yaml => strict::yaml(body),
        Encoding::Protobuf => strict::json(&super::codec::from_protobuf(body)?),
    }
}

/// Says what decoding found, as the client wants it said.
pub fn report(cx: &RequestCx, validation: FieldValidation, found: Vec<String>) -> Result<(), Status> {
    if found.is_empty() {
        return Ok(());
    }
    match validation {
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Warn => {
            for text in found {
                cx.warn(text);
            }
            Ok(())
        }
        FieldValidation::Strict => Err(Status::bad_request(format!("strict decoding error: {}", found.join(", ")))),
    }
}

/// Kind and version must be what the endpoint takes; where the body leaves them out they are filled in.
pub fn check_kind(object: &mut Object, expected: &GroupVersionKind) -> Result<(), Status> {
    let text = |field: &str| object.as_map().get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind) = (text("apiVersion"), text("kind"));
    if !kind.is_empty() && kind != expected.kind {
        return Err(Status::bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {}: converting ({kind}) to ({}): unknown conversion",
            if version.is_empty() { expected.version.clone() } else { version },
            expected.kind,
            expected.kind
        )));
    }
    if !version.is_empty() && version != expected.api_version() {
        return Err(Status::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({})",
            expected.api_version()
        )));
    }
    object.set_gvk(expected);
    Ok(())
}

fn cannot_handle(found: Option<&GroupVersionKind>, expected: &GroupVersionKind, why: &str) -> Status {
    Status::bad_request(match found {
        Some(kind) => {
            let version = kind.version.as_str();
            format!("{} in version \"{version}\" cannot be handled as a {}: {why}", kind.kind, expected.kind)
        }
        None => format!("the object provided is unrecognized (must be of type {}): {why}", expected.kind),
    })
}
