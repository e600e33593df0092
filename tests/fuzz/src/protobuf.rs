//! Protobuf objects of every kind, and JSON on its way to protobuf: each direction undoes the other.

use crate::json::named;
use schema::codec::{MAGIC, envelope_to_json, json_to_envelope};
use schema::json::Tape;
use schema::{FieldValidation, Type, decode, empties};
use serde_json::Value;

pub fn run(input: &[u8]) {
    let decoded = if input.starts_with(&MAGIC) {
        let Ok(decoded) = envelope_to_json(input) else { return };
        assert!(Tape::parse(&decoded).is_ok(), "what is decoded is JSON");
        Some(decoded)
    } else {
        None
    };
    let body = decoded.as_deref().unwrap_or(input);
    // A watch event is the one thing that travels without its kind.
    let whole = |t: &Type| t.has_protobuf() && t.field("kind").is_some();
    let Some((t, version, name)) = named(body).filter(|(t, ..)| whole(t)) else { return };
    // What the decoder gives to the store is what the encoder is given.
    let Ok((mut value, _)) = decode(Some(t), body, FieldValidation::Ignore) else { return };
    empties::forget(t, &mut value);
    there_and_back(t, &version, &name, value);
}

/// Protobuf does not tell null from nothing; everything else comes back, and from then on nothing changes.
fn there_and_back(t: &'static Type, version: &str, kind: &str, value: Value) {
    let bytes =
        json_to_envelope(t, version, kind, value.to_string().as_bytes()).expect("what is an object can be encoded");
    let decoded = envelope_to_json(&bytes).expect("what is encoded can be decoded");
    let again = json_to_envelope(t, version, kind, &decoded).expect("what is decoded can be encoded");
    assert_eq!(bytes, again, "{}", String::from_utf8_lossy(&decoded));
    let decoded = serde_json::from_slice(&decoded).expect("what is decoded is JSON");
    assert_eq!(without_null(decoded), without_null(value));
}

fn without_null(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(without_null).collect(),
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_null(value))).collect())
        }
        value => value,
    }
}
