//! How a protobuf object travels: four magic bytes, then `runtime.Unknown` with the kind and the message; in a watch
//! stream a length and a `WatchEvent` around that.

use super::CodecError;
use super::from_json::encode_into;
use super::to_json::object_to_json;
use super::values::last;
use super::wire::{Wire, Writer};
use crate::types::{Type, kind_of};

/// What every protobuf object starts with: `k8s` and a zero byte.
pub const MAGIC: [u8; 4] = *b"k8s\0";

/// What stands behind the message in its envelope: the empty content encoding and content type, its fields 3 and 4.
pub(super) const AFTER: [u8; 4] = [0x1a, 0, 0x22, 0];

/// The parts of `runtime.Unknown`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    pub raw: &'a [u8],
    pub content_encoding: &'a str,
    pub content_type: &'a str,
}

impl<'a> Envelope<'a> {
    /// Reads an envelope, magic bytes included.
    ///
    /// # Errors
    /// When the magic bytes are missing or what follows is no `Unknown` message.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let message =
            bytes.strip_prefix(&MAGIC).ok_or(CodecError::Envelope("they do not start with k8s and a zero"))?;
        let part = |message: &'a [u8], number| {
            Ok::<_, CodecError>(last(message, number)?.map(Wire::bytes).transpose()?.unwrap_or_default())
        };
        let text =
            |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|_| CodecError::Envelope("a text is not UTF-8"));
        let type_meta = part(message, 1)?;
        Ok(Self {
            api_version: text(part(type_meta, 1)?)?,
            kind: text(part(type_meta, 2)?)?,
            raw: part(message, 2)?,
            content_encoding: text(part(message, 3)?)?,
            content_type: text(part(message, 4)?)?,
        })
    }

    /// The type that the envelope names.
    ///
    /// # Errors
    /// When the kind is missing or not known.
    pub fn message_type(&self) -> Result<&'static Type, CodecError> {
        let (group, version) = self.api_version.split_once('/').unwrap_or(("", self.api_version));
        kind_of(group, version, self.kind)
            .ok_or_else(|| CodecError::UnknownKind { api_version: self.api_version.into(), kind: self.kind.into() })
    }
}

/// Puts the envelope around an encoded message.
pub fn seal(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let mut out = Writer::with_capacity(message.len() + api_version.len() + kind.len() + 32);
    out.bytes(&AFTER);
    out.bytes_field(2, message);
    head(&mut out, api_version, kind);
    out.into_bytes()
}

/// Encodes a JSON object of type `t` and puts the envelope around it.
///
/// # Errors
/// As [`super::json_to_protobuf`].
pub fn json_to_envelope(t: &'static Type, api_version: &str, kind: &str, json: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut out = Writer::with_capacity(json.len() + 64);
    out.bytes(&AFTER);
    encode_into(&mut out, t, json)?;
    out.enclose(2, AFTER.len());
    head(&mut out, api_version, kind);
    Ok(out.into_bytes())
}

/// `TypeMeta` and the magic bytes, which stand before everything in `out`.
pub(super) fn head(out: &mut Writer, api_version: &str, kind: &str) {
    let mark = out.len();
    out.bytes_field(2, kind.as_bytes());
    out.bytes_field(1, api_version.as_bytes());
    out.enclose(1, mark);
    out.bytes(&MAGIC);
}

/// Decodes an envelope whose kind the tables know into JSON with `kind` and `apiVersion`.
///
/// # Errors
/// As [`Envelope::parse`], [`Envelope::message_type`] and [`super::protobuf_to_json`].
pub fn envelope_to_json(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let envelope = Envelope::parse(bytes)?;
    let t = envelope.message_type()?;
    object_to_json(t, envelope.raw, Some((envelope.api_version, envelope.kind)))
}

/// One event of a protobuf watch stream: four bytes of length, then a `WatchEvent` around the object's envelope.
pub fn watch_frame(event_type: &str, object: &[u8]) -> Vec<u8> {
    let mut out = Writer::with_capacity(object.len() + 40);
    let mark = out.len();
    out.bytes_field(1, object);
    out.enclose(2, mark);
    out.bytes_field(1, event_type.as_bytes());
    let length = out.len() as u32;
    out.bytes(&length.to_be_bytes());
    out.into_bytes()
}
