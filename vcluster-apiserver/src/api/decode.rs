//! A request's body as an object of its kind: media type, syntax, kind, unknown and duplicate fields
//! (k8s.io/apiserver `pkg/endpoints/handlers/create.go`, k8s.io/apimachinery `pkg/runtime/serializer/json`).

use super::encode::package;
use crate::registry::model::Model;
use crate::request::RequestCx;
use crate::request::negotiate::{self, Encoding};
use crate::request::options::FieldValidation;
use apimachinery::{GroupVersionKind, Object, Status};
use bytes::Bytes;
use http::HeaderMap;
use schema::DecodeError;
use schema::yaml::from_yaml;
use serde_json::Value;

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
    let (json, twice) = to_json(encoding, body).map_err(|status| match encoding {
        Encoding::Protobuf if !body.starts_with(&schema::codec::MAGIC) => {
            let why = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]";
            unrecognized(expected.kind, why, body)
        }
        _ => status,
    })?;
    let meta = schema::type_meta(&json).map_err(|e| unrecognized(expected.kind, &e.to_string(), body))?;
    check_type(&meta.0, &meta.1, expected.kind)?;
    let (value, found) = expected.model.decode(&json).map_err(|e| match e {
        DecodeError::Value(why) => cannot_handle(expected.kind, &why),
        other => unrecognized(expected.kind, &other.to_string(), body),
    })?;
    let strict = [twice, found].concat();
    let object = Object::from_value(value);
    let mut object = object.ok_or_else(|| cannot_handle(expected.kind, "metadata is no object"))?;
    if validation == FieldValidation::Strict && !strict.is_empty() {
        return Err(cannot_handle(expected.kind, &format!("strict decoding error: {}", strict.join(", "))));
    }
    report(cx, validation, strict)?;
    object.set_gvk(expected.kind);
    expected.model.default(&mut object);
    Ok(object)
}

/// 400 for a body whose kind cannot be told.
fn unrecognized(kind: &GroupVersionKind, why: &str, body: &[u8]) -> Status {
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): {why} ({})",
        kind.kind,
        summary(body)
    ))
}

/// The beginning of a body: JSON objects as they are, everything else as hexadecimal digits (upstream's `summarizeData`).
fn summary(body: &[u8]) -> String {
    const SHOWN: usize = 30;
    let (start, more) = (&body[..body.len().min(SHOWN)], if body.len() > SHOWN { " ..." } else { "" });
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(start)),
        Some(_) => {
            let digits = start.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
            format!("{digits}{more}")
        }
    }
}

/// The JSON of a body in any of the encodings, and the fields that stand twice in YAML: JSON keeps them.
fn to_json(encoding: Encoding, body: &Bytes) -> Result<(Bytes, Vec<String>), Status> {
    match encoding {
        Encoding::Json => Ok((body.clone(), Vec::new())),
        Encoding::Yaml => {
            let (tree, twice) = from_yaml(body).map_err(|error| Status::bad_request(error.to_string()))?;
            Ok((tree.to_string().into(), twice))
        }
        Encoding::Protobuf => Ok((super::codec::from_protobuf(body)?.into(), Vec::new())),
    }
}

/// A body as a free tree, with the fields that stand twice in it.
pub fn tree(encoding: Encoding, body: &Bytes) -> Result<(Value, Vec<String>), Status> {
    let (json, twice) = to_json(encoding, body)?;
    let decoded = schema::decode::decode(None, &json, schema::FieldValidation::Warn);
    let (tree, found) = decoded.map_err(|e| Status::bad_request(e.to_string()))?;
    Ok((tree, [twice, found].concat()))
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
                // What a YAML reader found is one text of several lines.
                let lines = text.strip_prefix("yaml: unmarshal errors:\n").unwrap_or(&text).split('\n');
                lines.for_each(|line| cx.warn(line.trim()));
            }
            Ok(())
        }
        FieldValidation::Strict => Err(Status::bad_request(format!("strict decoding error: {}", found.join(", ")))),
    }
}

/// Kind and version must be what the endpoint takes; where they are left out they are filled in.
pub fn check_kind(object: &mut Object, expected: &GroupVersionKind) -> Result<(), Status> {
    let text = |field: &str| object.as_map().get(field).and_then(Value::as_str).unwrap_or_default();
    check_type(text("apiVersion"), text("kind"), expected)?;
    object.set_gvk(expected);
    Ok(())
}

fn check_type(version: &str, kind: &str, expected: &GroupVersionKind) -> Result<(), Status> {
    let wanted = expected.kind.as_str();
    let given_kind = if kind.is_empty() { wanted } else { kind };
    let given_version = if version.is_empty() { expected.api_version() } else { version.to_owned() };
    if given_kind == wanted && given_version == expected.api_version() {
        return Ok(());
    }
    let (group, short) = given_version.split_once('/').unwrap_or(("", &given_version));
    if schema::kind_of(group, short, given_kind).is_none() {
        // The scheme names itself by where upstream makes it.
        return Err(Status::bad_request(format!(
            "{given_kind} in version \"{short}\" cannot be handled as a {wanted}: no kind \"{given_kind}\" is registered for \
             version \"{given_version}\" in scheme \"pkg/runtime/scheme.go:111\""
        )));
    }
    if given_kind != wanted {
        return Err(Status::bad_request(format!(
            "{given_kind} in version \"{short}\" cannot be handled as a {wanted}: converting ({short}.{given_kind}) to \
             ({}.{wanted}): unknown conversion",
            package(&expected.group)
        )));
    }
    Err(Status::bad_request(format!(
        "the API version in the data ({given_version}) does not match the expected API version ({})",
        expected.api_version()
    )))
}

fn cannot_handle(kind: &GroupVersionKind, why: &str) -> Status {
    Status::bad_request(format!("{0} in version \"{1}\" cannot be handled as a {0}: {why}", kind.kind, kind.version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_nesting_is_an_error() {
        let brackets = Bytes::from("[".repeat(1_000_000));
        for encoding in [Encoding::Json, Encoding::Yaml, Encoding::Protobuf] {
            assert_eq!(tree(encoding, &brackets).unwrap_err().code, 400, "{encoding:?}");
        }
    }

    #[test]
    fn yaml_is_read_as_json() {
        let read = |text: &'static str| tree(Encoding::Yaml, &Bytes::from(text)).unwrap();
        assert_eq!(read("a: 1\nb: [x, z]\n"), (serde_json::json!({"a": 1, "b": ["x", "z"]}), Vec::new()));
        let twice = "yaml: unmarshal errors:\n  line 2: key \"a\" already set in map";
        assert_eq!(read("a: 1\na: 2\n"), (serde_json::json!({"a": 2}), vec![twice.to_owned()]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = Bytes::from(bytes);
            for encoding in [Encoding::Json, Encoding::Yaml, Encoding::Protobuf] {
                let _ = tree(encoding, &bytes);
            }
        }
    }
}
