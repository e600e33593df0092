//! Protobuf to JSON, in the order of the Go struct and with Go's rules for empty members.

use super::CodecError;
use super::values::{self, absent_is_omitted, is_zero, utf8};
use super::wire::{Reader, Wire};
use crate::json::{MAX_DEPTH, string_into};
use crate::types::{Field, Form, Scalar, Shape, Type};
use std::borrow::Cow;

/// Zero values written out can make JSON far longer than its message; nothing that may be stored comes near this.
const MAX_OUTPUT: usize = 64 << 20;

/// Decodes a message of type `t` into compact JSON without `kind` and `apiVersion`, which are no part of the message.
///
/// # Errors
/// When the bytes are no message, nest too deeply, or hold a value without a JSON form.
pub fn protobuf_to_json(t: &'static Type, message: &[u8]) -> Result<Vec<u8>, CodecError> {
    object_to_json(t, message, None)
}

/// As [`protobuf_to_json`], with the members `kind` and `apiVersion` in front where they are not empty.
pub(super) fn object_to_json(
    t: &'static Type,
    message: &[u8],
    head: Option<(&str, &str)>,
) -> Result<Vec<u8>, CodecError> {
    if !t.has_protobuf() {
        return Err(CodecError::NotInProtobuf(t.name().into()));
    }
    let mut decoder = Decoder { out: Vec::with_capacity(message.len() * 2), depth: 0 };
    decoder.out.push(b'{');
    for (name, value) in head.into_iter().flat_map(|(version, kind)| [("kind", kind), ("apiVersion", version)]) {
        if !value.is_empty() {
            decoder.name(name);
            string_into(&mut decoder.out, value);
        }
    }
    decoder.members(t, message)?;
    decoder.out.push(b'}');
    Ok(decoder.out)
}

struct Decoder {
    out: Vec<u8>,
    depth: usize,
}

impl Decoder {
    /// A comma where one is due, the member's name and a colon.
    fn name(&mut self, name: &str) {
        self.comma();
        string_into(&mut self.out, name);
        self.out.push(b':');
    }

    fn comma(&mut self) {
        if !matches!(self.out.last(), Some(b'{' | b'[' | b':') | None) {
            self.out.push(b',');
        }
    }

    fn message(&mut self, t: &'static Type, message: &[u8]) -> Result<(), CodecError> {
        if t.form() != Form::Struct {
            return self.schema_or(t, message);
        }
        self.out.push(b'{');
        self.members(t, message)?;
        self.out.push(b'}');
        Ok(())
    }

    fn members(&mut self, t: &'static Type, message: &[u8]) -> Result<(), CodecError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(CodecError::TooDeep);
        }
        if self.out.len() > MAX_OUTPUT {
            return Err(CodecError::TooLarge);
        }
        let fields = all_fields(message)?;
        for field in t.fields().iter().filter(|field| field.number() != 0) {
            let mut found = fields.iter().filter(|(number, _)| *number == field.number()).map(|(_, wire)| *wire);
            if field.is_inline() {
                if let Shape::Message(inner) = field.shape() {
                    self.members(inner, &joined(found)?)?;
                }
                continue;
            }
            match field.shape() {
                Shape::Scalar(scalar) => self.scalar(field, scalar, found.next_back())?,
                Shape::Message(inner) => {
                    let mut found = found.peekable();
                    if found.peek().is_some() || !field.is_pointer() {
                        self.name(field.json_name());
                        self.message(inner, &joined(found)?)?;
                    } else if !field.omit_empty() {
                        self.name(field.json_name());
                        self.out.extend_from_slice(b"null");
                    }
                }
                Shape::Wrapped(element) => {
                    let list = found.next_back().map(Wire::bytes).transpose()?;
                    let inner = all_fields(list.unwrap_or_default())?;
                    let elements = inner.iter().filter(|(number, _)| *number == 1).map(|(_, wire)| *wire);
                    self.list(field, element.get(), elements)?;
                }
                Shape::List(element) => self.list(field, element.get(), &mut found)?,
                Shape::Map(value) => self.map(field, value.get(), &mut found)?,
                Shape::Pointer(_) => {}
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn scalar(&mut self, field: &Field, scalar: Scalar, wire: Option<Wire>) -> Result<(), CodecError> {
        let omitted = match wire {
            None if field.is_pointer() => field.omit_empty(),
            None => absent_is_omitted(field, scalar),
            Some(wire) => !field.is_pointer() && is_zero(field, scalar, wire)?,
        };
        if omitted {
            return Ok(());
        }
        self.name(field.json_name());
        let nil = wire.is_none() && (field.is_pointer() || scalar == Scalar::Bytes);
        if nil {
            self.out.extend_from_slice(b"null");
            return Ok(());
        }
        values::to_json(&mut self.out, field, scalar, wire)
    }

    fn list<'a>(
        &mut self,
        field: &Field,
        element: Shape,
        found: impl Iterator<Item = Wire<'a>>,
    ) -> Result<(), CodecError> {
        let mut found = found.peekable();
        if found.peek().is_none() {
            if !field.omit_empty() {
                self.name(field.json_name());
                self.out.extend_from_slice(b"null");
            }
            return Ok(());
        }
        self.name(field.json_name());
        self.out.push(b'[');
        for wire in found {
            // Numbers may come packed.
            if let (Shape::Scalar(scalar @ (Scalar::Bool | Scalar::Int32 | Scalar::Int64)), Wire::Bytes(packed)) =
                (element, wire)
            {
                let mut packed = Reader::new(packed);
                while !packed.is_empty() {
                    let value = Wire::Varint(packed.varint()?);
                    self.comma();
                    values::to_json(&mut self.out, field, scalar, Some(value))?;
                }
            } else {
                self.comma();
                self.element(field, element, Some(wire))?;
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn map<'a>(
        &mut self,
        field: &Field,
        value: Shape,
        found: impl Iterator<Item = Wire<'a>>,
    ) -> Result<(), CodecError> {
        let mut entries: Vec<(&str, Option<Wire>)> = Vec::new();
        for wire in found {
            let (mut key, mut entry_value) = ("", None);
            let mut reader = Reader::new(wire.bytes()?);
            while let Some((number, wire)) = reader.field()? {
                match number {
                    1 => key = utf8(field, wire.bytes()?)?,
                    2 => entry_value = Some(wire),
                    _ => {}
                }
            }
            entries.push((key, entry_value));
        }
        if entries.is_empty() {
            if !field.omit_empty() {
                self.name(field.json_name());
                self.out.extend_from_slice(b"null");
            }
            return Ok(());
        }
        // Sorting is stable: of equal keys the last on the wire stands last and wins.
        entries.sort_by(|a, b| a.0.cmp(b.0));
        self.name(field.json_name());
        self.out.push(b'{');
        for (at, (key, wire)) in entries.iter().enumerate() {
            if entries.get(at + 1).is_none_or(|next| next.0 != *key) {
                self.name(key);
                self.element(field, value, *wire)?;
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    fn element(&mut self, field: &Field, shape: Shape, wire: Option<Wire>) -> Result<(), CodecError> {
        match shape {
            Shape::Scalar(Scalar::Bytes) if wire.is_none() => {
                self.out.extend_from_slice(b"null");
                Ok(())
            }
            Shape::Scalar(scalar) => values::to_json(&mut self.out, field, scalar, wire),
            Shape::Message(t) => self.message(t, wire.map(Wire::bytes).transpose()?.unwrap_or_default()),
            Shape::Pointer(inner) => self.element(field, inner.get(), wire),
            Shape::List(inner) | Shape::Wrapped(inner) => {
                let mut reader = Reader::new(wire.map(Wire::bytes).transpose()?.unwrap_or_default());
                if reader.is_empty() {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                self.out.push(b'[');
                while let Some((number, wire)) = reader.field()? {
                    if number == 1 {
                        self.comma();
                        self.element(field, inner.get(), Some(wire))?;
                    }
                }
                self.out.push(b']');
                Ok(())
            }
            Shape::Map(_) => Err(CodecError::NotInProtobuf(field.json_name().into())),
        }
    }

    /// The three types that are a schema or something simpler.
    fn schema_or(&mut self, t: &'static Type, message: &[u8]) -> Result<(), CodecError> {
        let fields = all_fields(message)?;
        let (mut schema, mut allows, mut alternatives) = (None, false, Vec::new());
        for part in t.by_number() {
            let mut found =
                fields.iter().filter(|(number, _)| *number == part.number()).map(|(_, wire)| *wire).peekable();
            match part.shape() {
                Shape::Message(inner) if found.peek().is_some() => schema = Some((inner, joined(found)?)),
                Shape::Scalar(Scalar::Bool) => allows = found.last().map(Wire::varint).transpose()?.unwrap_or(0) != 0,
                Shape::List(element) => alternatives = found.map(|wire| (part, element.get(), wire)).collect(),
                _ => {}
            }
        }
        if !alternatives.is_empty() {
            self.out.push(b'[');
            for (part, shape, wire) in alternatives {
                self.comma();
                self.element(part, shape, Some(wire))?;
            }
            self.out.push(b']');
        } else if let Some((inner, message)) = schema {
            self.message(inner, &message)?;
        } else if t.form() == Form::SchemaOrBool {
            self.out.extend_from_slice(if allows { b"true" } else { b"false" });
        } else {
            self.out.extend_from_slice(b"null");
        }
        Ok(())
    }
}

fn all_fields(message: &[u8]) -> Result<Vec<(u32, Wire<'_>)>, CodecError> {
    let mut fields = Vec::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        fields.push(field);
    }
    Ok(fields)
}

/// A message that comes in several pieces is their concatenation: protobuf's rule for merging.
fn joined<'a>(found: impl Iterator<Item = Wire<'a>>) -> Result<Cow<'a, [u8]>, CodecError> {
    let mut all: Cow<'a, [u8]> = Cow::Borrowed(&[]);
    for wire in found {
        let piece = wire.bytes()?;
        if all.is_empty() {
            all = Cow::Borrowed(piece);
        } else {
            all.to_mut().extend_from_slice(piece);
        }
    }
    Ok(all)
}
