//! JSON to protobuf. The JSON is indexed, then the message is written from its last field to its first.

use super::CodecError;
use super::values::{self, value_error, wire_kind};
use super::wire::Writer;
use crate::json::{NodeKind, Tape};
use crate::types::{Field, Form, Scalar, Shape, Type};

/// Encodes an object of type `t`. Members that the type does not know, `kind` and `apiVersion` among them, are dropped:
/// `PartialObjectMetadata` of a whole object is its metadata alone.
///
/// # Errors
/// When the text is no JSON, a value does not fit its field, or the type has no protobuf form.
pub fn json_to_protobuf(t: &'static Type, json: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut out = Writer::with_capacity(json.len());
    encode_into(&mut out, t, json)?;
    Ok(out.into_bytes())
}

/// As [`json_to_protobuf`], for one value of an indexed text, behind what `out` already holds.
pub(super) fn encode_into(out: &mut Writer, t: &'static Type, json: &[u8]) -> Result<(), CodecError> {
    let tape = Tape::parse(json)?;
    let mut encoder = Encoder::new(&tape, std::mem::replace(out, Writer::with_capacity(0)));
    let result = encoder.root(t, 0);
    *out = encoder.out;
    result
}

struct Encoder<'a> {
    tape: &'a Tape<'a>,
    out: Writer,
    /// The members that the types of the open messages know, with their nodes: a stack, of which each message has a part.
    known: Vec<(&'static Field, usize)>,
    /// The elements of the open lists: a stack, too.
    elements: Vec<usize>,
}

impl<'a> Encoder<'a> {
    fn new(tape: &'a Tape<'a>, out: Writer) -> Self {
        Self { tape, out, known: Vec::with_capacity(64), elements: Vec::with_capacity(16) }
    }

    fn root(&mut self, t: &'static Type, node: usize) -> Result<(), CodecError> {
        if !t.has_protobuf() {
            return Err(CodecError::NotInProtobuf(t.name().into()));
        }
        if self.tape.kind(node) != NodeKind::Object {
            return Err(CodecError::Envelope("an object must be a JSON object"));
        }
        self.object(t, Some(node))
    }

    /// A message from a JSON object, or from none.
    fn object(&mut self, t: &'static Type, node: Option<usize>) -> Result<(), CodecError> {
        let base = self.known.len();
        if let Some(node) = node {
            let tape = self.tape;
            let mut fields = t.in_order();
            let known = tape.members(node).filter_map(|(key, value)| Some((fields.find(&tape.string(key))?, value)));
            self.known.extend(known);
        }
        let written = self.message(t, base);
        self.known.truncate(base);
        written
    }

    /// `known`: where the members of this message begin, up to the end of the stack.
    fn message(&mut self, t: &'static Type, known: usize) -> Result<(), CodecError> {
        for field in t.by_number().rev() {
            if field.is_inline() {
                if let Shape::Message(inner) = field.shape() {
                    let mark = self.out.len();
                    self.message(inner, known)?;
                    self.out.enclose(field.number(), mark);
                }
                continue;
            }
            // The last of several members of one name wins.
            let node = self.known[known..].iter().rev().find(|(known, _)| std::ptr::eq(*known, field));
            let node = node.map(|(_, node)| *node);
            let node = node.filter(|node| self.tape.kind(*node) != NodeKind::Null);
            if node.is_some() || !field.is_pointer() {
                self.field(field, node)?;
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'static Field, node: Option<usize>) -> Result<(), CodecError> {
        let tape = self.tape;
        match field.shape() {
            Shape::Scalar(Scalar::Bytes) if node.is_none() => Ok(()),
            Shape::List(element) => {
                let Some(node) = self.array(field, node)? else { return Ok(()) };
                self.list(field, field.number(), element.get(), node)
            }
            Shape::Map(value) => {
                let Some(node) = node else { return Ok(()) };
                if tape.kind(node) != NodeKind::Object {
                    return Err(value_error(field, tape, node, "object"));
                }
                let mut entries: Vec<_> = tape.members(node).map(|(key, value)| (tape.string(key), value)).collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                // Sorting is stable: of equal keys the last written stands last.
                for at in (0..entries.len())
                    .rev()
                    .filter(|at| entries.get(at + 1).is_none_or(|next| next.0 != entries[*at].0))
                {
                    let (key, node) = &entries[at];
                    let mark = self.out.len();
                    self.map_value(field, value.get(), *node)?;
                    self.out.bytes_field(1, key.as_bytes());
                    self.out.enclose(field.number(), mark);
                }
                Ok(())
            }
            Shape::Wrapped(_) if node.is_none() => Ok(()),
            shape => self.element(field, field.number(), shape, node),
        }
    }

    /// The elements of an array, each as the field `number`.
    fn list(&mut self, field: &'static Field, number: u32, element: Shape, node: usize) -> Result<(), CodecError> {
        let base = self.elements.len();
        self.elements.extend(self.tape.children(node));
        // Whatever is opened on the way is closed again, so the last one is always this list's.
        while self.elements.len() > base
            && let Some(child) = self.elements.pop()
        {
            self.element(field, number, element, Some(child))?;
        }
        Ok(())
    }

    fn map_value(&mut self, field: &'static Field, shape: Shape, node: usize) -> Result<(), CodecError> {
        if shape == Shape::Scalar(Scalar::Bytes) && self.tape.kind(node) == NodeKind::Null {
            return Ok(());
        }
        self.element(field, 2, shape, Some(node))
    }

    fn array(&self, field: &Field, node: Option<usize>) -> Result<Option<usize>, CodecError> {
        match node {
            Some(node) if self.tape.kind(node) != NodeKind::Array => Err(value_error(field, self.tape, node, "array")),
            node => Ok(node),
        }
    }

    /// One value with its tag, as the field `number` of the message around it.
    fn element(
        &mut self,
        field: &'static Field,
        number: u32,
        shape: Shape,
        node: Option<usize>,
    ) -> Result<(), CodecError> {
        let node = node.filter(|node| self.tape.kind(*node) != NodeKind::Null);
        match shape {
            Shape::Scalar(scalar) if wire_kind(scalar) != 2 => {
                values::from_json(&mut self.out, field, scalar, self.tape, node)?;
                self.out.tag(number, wire_kind(scalar));
            }
            Shape::Scalar(scalar) => {
                let mark = self.out.len();
                values::from_json(&mut self.out, field, scalar, self.tape, node)?;
                self.out.enclose(number, mark);
            }
            Shape::Message(t) => {
                let mark = self.out.len();
                self.message_value(field, t, node)?;
                self.out.enclose(number, mark);
            }
            Shape::Pointer(inner) => {
                if node.is_some() {
                    self.element(field, number, inner.get(), node)?;
                }
            }
            Shape::List(inner) | Shape::Wrapped(inner) => {
                let mark = self.out.len();
                if let Some(node) = self.array(field, node)? {
                    self.list(field, 1, inner.get(), node)?;
                }
                self.out.enclose(number, mark);
            }
            Shape::Map(_) => return Err(CodecError::NotInProtobuf(field.json_name().into())),
        }
        Ok(())
    }

    fn message_value(
        &mut self,
        field: &'static Field,
        t: &'static Type,
        node: Option<usize>,
    ) -> Result<(), CodecError> {
        if let (form @ (Form::SchemaOrArray | Form::SchemaOrBool | Form::SchemaOrStrings), Some(node)) =
            (t.form(), node)
        {
            return self.schema_or(field, t, form, node);
        }
        if let Some(node) = node
            && self.tape.kind(node) != NodeKind::Object
        {
            return Err(value_error(field, self.tape, node, "object"));
        }
        self.object(t, node)
    }

    /// The three types that are a schema or something simpler. Their message holds the schema and the alternative.
    fn schema_or(
        &mut self,
        field: &'static Field,
        t: &'static Type,
        form: Form,
        node: usize,
    ) -> Result<(), CodecError> {
        let kind = self.tape.kind(node);
        let allows = kind == NodeKind::Object || kind == NodeKind::True;
        let expected = match (form, kind) {
            (_, NodeKind::Object) | (Form::SchemaOrArray | Form::SchemaOrStrings, NodeKind::Array) => None,
            (Form::SchemaOrBool, NodeKind::True | NodeKind::False) => None,
            (Form::SchemaOrBool, _) => Some("boolean or schema"),
            _ => Some("schema or array"),
        };
        if let Some(expected) = expected {
            return Err(value_error(field, self.tape, node, expected));
        }
        for part in t.by_number().rev() {
            match part.shape() {
                Shape::Message(schema) if kind == NodeKind::Object => {
                    self.element(field, part.number(), Shape::Message(schema), Some(node))?;
                }
                Shape::List(element) if kind == NodeKind::Array => {
                    self.list(field, part.number(), element.get(), node)?;
                }
                Shape::Scalar(Scalar::Bool) => self.out.varint_field(part.number(), u64::from(allows)),
                _ => {}
            }
        }
        Ok(())
    }
}
