//! Protobuf objects of every kind, and JSON on its way to protobuf: each direction undoes the other.

use crate::json::named;
use schema::codec::{Envelope, MAGIC, envelope_to_json, json_to_envelope};
use schema::json::Tape;
use schema::{FieldValidation, decode};

pub fn run(input: &[u8]) {
    if input.starts_with(&MAGIC) {
        let (Ok(envelope), Ok(json)) = (Envelope::parse(input), envelope_to_json(input)) else { return };
        let t = envelope.message_type().expect("it was decoded");
        assert!(Tape::parse(&json).is_ok(), "what is decoded is JSON");
        back(
            &json,
            &json_to_envelope(t, envelope.api_version, envelope.kind, &json).expect("what is decoded can be encoded"),
        );
        return;
    }
    let Some((t, version, name)) = named(input).filter(|(t, ..)| t.has_protobuf()) else { return };
    // What the decoder gives to the store is what the encoder is given.
    let Ok((value, _)) = decode(Some(t), input, FieldValidation::Ignore) else { return };
    let json = serde_json::to_vec(&value).expect("printed");
    let bytes = json_to_envelope(t, &version, &name, &json).expect("what is stored can be encoded");
    let decoded = envelope_to_json(&bytes).expect("what is encoded can be decoded");
    back(&decoded, &bytes);
}

/// `bytes` are the encoded `json`.
fn back(json: &[u8], bytes: &[u8]) {
    let again = envelope_to_json(bytes).expect("what is encoded can be decoded");
    assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(json));
}
