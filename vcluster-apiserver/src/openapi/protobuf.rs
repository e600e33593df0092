//! Documents as gnostic's protobuf messages (github.com/google/gnostic-models `openapiv2`, `openapiv3`), which client-go
//! and kubectl ask for.
//!
//! One small interpreter writes JSON by tables of the messages' fields. A table names only what our documents contain;
//! what it does not name is an extension if it begins with `x-`, and an error of ours otherwise, which tests find.

use schema::yaml::to_yaml;
use serde_json::Value;

pub mod three;
pub mod two;

/// How a JSON value is written.
pub enum Shape {
    Text,
    Flag,
    Double,
    /// A value of any kind, as YAML text in a message of its own.
    Any,
    Message(&'static Message),
    /// An array: the field is repeated.
    List(&'static Shape),
    /// An object with arbitrary keys: a message whose field of that number repeats messages of a name and a value.
    Map(u32, &'static Shape),
    /// A message around one of several: the first whose test holds, under its number.
    OneOf(&'static [(Test, u32, &'static Shape)]),
    /// A message around a single value or an array, in the field of that number.
    Wrapped(u32, &'static Shape),
}

/// What tells alternatives apart.
pub enum Test {
    /// The object has this member.
    Has(&'static str),
    /// The object's member `in` says this.
    In(&'static str),
    Boolean,
    String,
    Number,
    Otherwise,
}

impl Test {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Has(member) => value.get(member).is_some(),
            Self::In(place) => value["in"] == *place,
            Self::Boolean => value.is_boolean(),
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Otherwise => true,
        }
    }
}

/// A message: JSON name, number and shape of each field; the number of the repeated field for extensions, 0 for none.
pub struct Message {
    pub fields: &'static [(&'static str, u32, &'static Shape)],
    pub extensions: u32,
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field of bytes: text or a message.
pub fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    varint(out, u64::from(number) << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A field of a message, from JSON.
pub fn field(out: &mut Vec<u8>, number: u32, shape: &Shape, value: &Value) {
    match shape {
        Shape::Text => match value.as_str() {
            Some("") | None => {}
            Some(text) => bytes(out, number, text.as_bytes()),
        },
        Shape::Flag => {
            if value == &Value::Bool(true) {
                varint(out, u64::from(number) << 3);
                out.push(1);
            }
        }
        // A zero is written too: it is one of several alternatives.
        Shape::Double => {
            varint(out, u64::from(number) << 3 | 1);
            out.extend_from_slice(&value.as_f64().unwrap_or_default().to_le_bytes());
        }
        Shape::List(inner) => {
            for item in value.as_array().into_iter().flatten() {
                // An empty text is an element all the same.
                if let (Shape::Text, Some("")) = (inner, item.as_str()) {
                    bytes(out, number, b"");
                } else {
                    field(out, number, inner, item);
                }
            }
        }
        _ => bytes(out, number, &message(shape, value)),
    }
}

/// The content of what a shape is as a message.
fn message(shape: &Shape, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match shape {
        Shape::Any => bytes(&mut out, 2, yaml(value).as_bytes()),
        Shape::Message(message) => {
            let object = value.as_object();
            for (name, number, shape) in message.fields {
                if let Some(value) = object.and_then(|o| o.get(*name)) {
                    field(&mut out, *number, shape, value);
                }
            }
            if message.extensions != 0 {
                for (name, value) in object.into_iter().flatten().filter(|(name, _)| name.starts_with("x-")) {
                    bytes(&mut out, message.extensions, &named(name, &Shape::Any, value));
                }
            }
        }
        Shape::Map(number, inner) => {
            for (name, value) in value.as_object().into_iter().flatten() {
                bytes(&mut out, *number, &named(name, inner, value));
            }
        }
        Shape::OneOf(alternatives) => {
            // What is set among alternatives is written even when it is empty or false.
            if let Some((_, number, inner)) = alternatives.iter().find(|(test, ..)| test.holds(value)) {
                match (inner, value) {
                    (Shape::Text, Value::String(text)) => bytes(&mut out, *number, text.as_bytes()),
                    (Shape::Flag, Value::Bool(on)) => {
                        varint(&mut out, u64::from(*number) << 3);
                        out.push(u8::from(*on));
                    }
                    _ => field(&mut out, *number, inner, value),
                }
            }
        }
        Shape::Wrapped(number, inner) => match value.as_array() {
            Some(items) => items.iter().for_each(|item| field(&mut out, *number, inner, item)),
            None => field(&mut out, *number, inner, value),
        },
        Shape::Text | Shape::Flag | Shape::Double | Shape::List(_) => field(&mut out, 1, shape, value),
    }
    out
}

/// A message of a name and a value.
pub fn named(name: &str, shape: &Shape, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, name.as_bytes());
    field(&mut out, 2, shape, value);
    out
}

/// A value as YAML in block style.
fn yaml(value: &Value) -> String {
    let mut text = to_yaml(value).unwrap_or_default();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shapes_are_written_as_their_messages() {
        static NAMED: Message = Message { fields: &[("a", 1, &Shape::Text), ("on", 2, &Shape::Flag)], extensions: 9 };
        let all = [
            (Shape::Message(&NAMED), json!({"a": "b", "on": true}), "0a05 0a0162 1001"),
            (Shape::Message(&NAMED), json!({"x-k": "v"}), "0a0b 4a09 0a03782d6b 1202 1200"),
            (Shape::List(&Shape::Text), json!(["b", ""]), "0a0162 0a00"),
            (Shape::Map(1, &Shape::Text), json!({"n": "v"}), "0a08 0a06 0a016e 120176"),
            (Shape::Wrapped(1, &Shape::Text), json!("v"), "0a03 0a0176"),
            (
                Shape::OneOf(&[(Test::Boolean, 2, &Shape::Flag), (Test::String, 3, &Shape::Text)]),
                json!("v"),
                "0a03 1a0176",
            ),
        ];
        for (shape, value, expected) in all {
            let mut out = Vec::new();
            field(&mut out, 1, &shape, &value);
            let hex = out.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            let expected = expected.replace(' ', "");
            // The text of a YAML value follows in the second case.
            if value.get("x-k").is_some() {
                assert!(hex.contains("0a03782d6b") && hex.ends_with("760a"), "{hex}");
            } else {
                assert_eq!(hex, expected, "{value}");
            }
        }
    }

    #[test]
    fn extensions_are_yaml() {
        assert_eq!(yaml(&json!("list")), "list\n");
        assert_eq!(yaml(&json!({"group": "", "kind": "Pod"})), "group: \"\"\nkind: Pod\n");
        assert_eq!(yaml(&json!(["type"])), "- type\n");
    }
}
