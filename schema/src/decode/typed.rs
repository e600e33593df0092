//! The walk over a body and the tables at once.

use super::DecodeError;
use super::scalars::{self, kind_word};
use crate::json::{NodeKind, Tape};
use crate::types::{Field, Form, Scalar, Shape, Type};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Upstream stops collecting there.
const MAX_STRICT: usize = 100;

enum Step<'a> {
    Member(Cow<'a, str>),
    Index(usize),
}

/// What ends the walk at once: a value with its own reader upstream that refused its text. Wrong types are noted and
/// the walk goes on, because a later refusal wins over them upstream.
pub(super) struct Refused(pub(super) String);

pub(super) struct Decoder<'a> {
    pub(super) tape: &'a Tape<'a>,
    /// Where the walk is, for strict errors; elements and keys included.
    path: Vec<Step<'a>>,
    /// The struct fields on the way, for type errors.
    frames: Vec<(&'static Type, &'static Field)>,
    strict: Option<Vec<String>>,
    /// The first wrong type.
    wrong: Option<String>,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(tape: &'a Tape<'a>, strict: bool) -> Self {
        Self { tape, path: Vec::new(), frames: Vec::new(), strict: strict.then(Vec::new), wrong: None }
    }

    pub(super) fn finish(self) -> Result<Vec<String>, DecodeError> {
        match self.wrong {
            Some(text) => Err(DecodeError::Value(text)),
            None => Ok(self.strict.unwrap_or_default()),
        }
    }

    pub(super) fn root(&mut self, t: &'static Type) -> Result<Value, DecodeError> {
        self.message(t, Some(0)).map_err(|Refused(text)| DecodeError::Value(text))
    }

    pub(super) fn note(&mut self, problem: &str, key: &str) {
        let Some(strict) = &mut self.strict else { return };
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Member(name) if path.is_empty() => path.push_str(name),
                // Writing to a string cannot fail.
                Step::Member(name) => _ = write!(path, ".{name}"),
                Step::Index(index) => _ = write!(path, "[{index}]"),
            }
        }
        if !path.is_empty() {
            path.push('.');
        }
        let text = format!("{problem} {:?}", path + key);
        if strict.len() < MAX_STRICT && !strict.contains(&text) {
            strict.push(text);
        }
    }

    pub(super) fn within<T>(&mut self, member: Cow<'a, str>, walk: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(Step::Member(member));
        let result = walk(self);
        self.path.pop();
        result
    }

    pub(super) fn at<T>(&mut self, index: usize, walk: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(Step::Index(index));
        let result = walk(self);
        self.path.pop();
        result
    }

    /// Notes that the value found does not fit, in Go's words, and stands in zero.
    fn mismatch(&mut self, found: &str, go_type: &str) {
        if self.wrong.is_none() {
            self.wrong = Some(self.mismatch_text(found, go_type));
        }
    }

    pub(super) fn mismatch_text(&self, found: &str, go_type: &str) -> String {
        let Some((owner, _)) = self.frames.last() else {
            return format!("json: cannot unmarshal {found} into Go value of type {go_type}");
        };
        let mut path = Vec::new();
        for (t, field) in &self.frames {
            inlined(t, field, &mut path);
            path.push(field.json_name());
        }
        let (owner, path) = (owner.name(), path.join("."));
        format!("json: cannot unmarshal {found} into Go struct field {owner}.{path} of type {go_type}")
    }

    /// The Go name of a shape below the current field.
    fn go_type(&self, shape: Shape) -> String {
        let field = self.frames.last().map(|(_, field)| *field);
        match field {
            Some(field) if field.shape() == shape => match field.go_type() {
                Some(name) => name.into(),
                None => scalars::go_shape(shape),
            },
            Some(field) => match field.go_type().and_then(|name| name.strip_prefix("[]")) {
                Some(element) => element.into(),
                None => scalars::go_shape(shape),
            },
            None => scalars::go_shape(shape),
        }
    }

    fn message(&mut self, t: &'static Type, node: Option<usize>) -> Result<Value, Refused> {
        if let (form @ (Form::SchemaOrArray | Form::SchemaOrBool | Form::SchemaOrStrings), Some(node)) =
            (t.form(), node)
        {
            return self.schema_or(t, form, node);
        }
        let mut values: Vec<(&'static Field, Option<Value>)> = Vec::new();
        match node.map(|node| (node, self.tape.kind(node))) {
            Some((node, NodeKind::Object)) => self.read_members(t, node, &mut values)?,
            Some((_, NodeKind::Null)) | None => {}
            Some((node, _)) => self.mismatch(&kind_word(self.tape, node), &t.go_name()),
        }
        let mut map = Map::new();
        for member in t.members() {
            let read = values.iter_mut().find(|(field, _)| std::ptr::eq(*field, member));
            let value = match read.and_then(|(_, value)| value.take()) {
                // Go tells an empty list that was sent from none.
                Some(value @ (Value::Array(_) | Value::Object(_))) => {
                    map.insert(member.json_name().into(), value);
                    continue;
                }
                Some(value) => value,
                None if member.is_pointer() && member.omit_empty() => continue,
                None if member.is_pointer() => Value::Null,
                None => self.zero(member.shape())?,
            };
            if member.is_pointer() || !scalars::is_omitted(member, &value) {
                map.insert(member.json_name().into(), value);
            }
        }
        Ok(Value::Object(map))
    }

    fn read_members(
        &mut self,
        t: &'static Type,
        node: usize,
        values: &mut Vec<(&'static Field, Option<Value>)>,
    ) -> Result<(), Refused> {
        let tape = self.tape;
        let mut fields = t.in_order();
        for (key, child) in tape.members(node) {
            let key = tape.string(key);
            let Some(field) = fields.find(&key) else {
                self.note("unknown field", &key);
                continue;
            };
            let seen = values.iter().position(|(known, _)| std::ptr::eq(*known, field));
            if seen.is_some() {
                self.note("duplicate field", &key);
            }
            self.frames.push((t, field));
            let value = self.within(key, |walk| walk.field(field, child))?;
            self.frames.pop();
            match seen {
                Some(at) => values[at].1 = value,
                None => values.push((field, value)),
            }
        }
        Ok(())
    }

    /// `None` where null stands for nil or for leaving the zero value alone.
    fn field(&mut self, field: &'static Field, node: usize) -> Result<Option<Value>, Refused> {
        if self.tape.kind(node) == NodeKind::Null && (field.is_pointer() || !scalars::reads_null(field.shape())) {
            return Ok(None);
        }
        self.value(field.shape(), node).map(Some)
    }

    fn value(&mut self, shape: Shape, node: usize) -> Result<Value, Refused> {
        let tape = self.tape;
        let kind = tape.kind(node);
        if kind == NodeKind::Null && !scalars::reads_null(shape) {
            return self.zero(shape);
        }
        match shape {
            Shape::Pointer(inner) => self.value(inner.get(), node),
            Shape::Message(t) => self.message(t, Some(node)),
            Shape::List(element) | Shape::Wrapped(element) if kind == NodeKind::Array => {
                let mut list = Vec::new();
                for (index, child) in tape.children(node).enumerate() {
                    list.push(self.at(index, |walk| walk.value(element.get(), child))?);
                }
                Ok(Value::Array(list))
            }
            Shape::Map(element) if kind == NodeKind::Object => {
                let mut map = Map::new();
                for (key, child) in tape.members(node) {
                    let key = tape.string(key);
                    if map.contains_key(&*key) {
                        self.note("duplicate field", &key);
                    }
                    let value = self.within(key.clone(), |walk| walk.value(element.get(), child))?;
                    map.insert(key.into_owned(), value);
                }
                Ok(Value::Object(map))
            }
            Shape::Scalar(Scalar::Any) => Ok(self.untyped(node)),
            Shape::Scalar(scalar) => match scalars::read(self, scalar, node) {
                Ok(value) => Ok(value),
                Err(scalars::Problem::Mismatch(found)) => {
                    let go = self.go_type(shape);
                    self.mismatch(&found, &go);
                    self.zero(shape)
                }
                Err(scalars::Problem::Noted(text)) => {
                    self.wrong.get_or_insert(text);
                    self.zero(shape)
                }
                Err(scalars::Problem::Refused(text)) => Err(Refused(text)),
            },
            Shape::List(_) | Shape::Wrapped(_) | Shape::Map(_) => {
                let go = self.go_type(shape);
                self.mismatch(&kind_word(tape, node), &go);
                Ok(Value::Null)
            }
        }
    }

    /// What Go writes for a value that nobody set.
    fn zero(&mut self, shape: Shape) -> Result<Value, Refused> {
        match shape {
            Shape::Message(t) if t.form() == Form::SchemaOrBool => Ok(Value::Bool(false)),
            Shape::Message(t) if t.form() != Form::Struct => Ok(Value::Null),
            Shape::Message(t) => self.message(t, None),
            Shape::Scalar(scalar) => Ok(scalars::zero(scalar)),
            Shape::List(_) | Shape::Wrapped(_) | Shape::Map(_) | Shape::Pointer(_) => Ok(Value::Null),
        }
    }

    /// The three types with their own reader upstream; strictness ends at their door there.
    fn schema_or(&mut self, t: &'static Type, form: Form, node: usize) -> Result<Value, Refused> {
        let tape = self.tape;
        let strict = self.strict.take();
        let schema = t.fields().iter().find_map(|part| match part.shape() {
            Shape::Message(schema) => Some(schema),
            _ => None,
        });
        let alternative = t.fields().iter().find_map(|part| match part.shape() {
            Shape::List(element) => Some(element.get()),
            _ => None,
        });
        let value = match (form, tape.kind(node), schema, alternative) {
            (_, NodeKind::Object, Some(schema), _) => self.message(schema, Some(node)),
            (Form::SchemaOrBool, NodeKind::True, ..) => Ok(Value::Bool(true)),
            (Form::SchemaOrBool, NodeKind::False, ..) => Ok(Value::Bool(false)),
            (Form::SchemaOrBool, ..) => Err(Refused("boolean or JSON schema expected".into())),
            (_, NodeKind::Array, _, Some(element)) => {
                let list: Result<Vec<Value>, Refused> =
                    tape.children(node).map(|child| self.value(element, child)).collect();
                list.map(|list| if list.is_empty() { Value::Null } else { Value::Array(list) })
            }
            _ => Ok(Value::Null),
        };
        self.strict = strict;
        value
    }
}

/// Appends the names of the inlined types through which `t` has `field`. False when it has not.
fn inlined(t: &'static Type, field: &Field, path: &mut Vec<&'static str>) -> bool {
    for candidate in t.fields() {
        if std::ptr::eq(candidate, field) {
            return true;
        }
        if let (true, Shape::Message(inner)) = (candidate.is_inline(), candidate.shape()) {
            path.push(inner.name());
            if inlined(inner, field, path) {
                return true;
            }
            path.pop();
        }
    }
    false
}
