//! JSON bodies: our reader beside serde_json, and the strict decoder, whose output it must take as it is.

use schema::json::{MAX_DEPTH, Tape};
use schema::{FieldValidation, Type, decode, kind_of, type_meta};
use serde_json::Value;

pub fn run(input: &[u8]) {
    // Go takes more than serde_json does: lone surrogates, numbers past all range. It takes no less.
    if let Ok(value) = serde_json::from_slice::<Value>(input)
        && depth(&value) <= MAX_DEPTH
    {
        assert!(Tape::parse(input).is_ok(), "only serde_json reads it");
        if value.is_object() {
            let (untyped, _) = decode(None, input, FieldValidation::Warn).expect("an object of any form");
            assert!(same(&untyped, &value), "{untyped} is not {value}");
        }
    }
    let Some((t, ..)) = named(input) else { return };
    let Ok((value, _)) = decode(Some(t), input, FieldValidation::Warn) else { return };
    let text = serde_json::to_vec(&value).expect("printed");
    let again = decode(Some(t), &text, FieldValidation::Strict);
    assert_eq!(again, Ok((value, Vec::new())));
}

/// The type that a body names, its version and kind.
pub fn named(body: &[u8]) -> Option<(&'static Type, String, String)> {
    let (version, name) = type_meta(body).ok()?;
    let (group, v) = version.split_once('/').unwrap_or(("", &version));
    Some((kind_of(group, v, &name)?, version, name))
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Equality, where Go has one type for numbers with a point and serde_json three for all.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (a, b) => a == b,
    }
}
