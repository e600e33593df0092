//! JSON and YAML into a tree, with the fields that appear twice.
//!
//! Nesting is bounded by the parser (128 levels): a million brackets are an error and no stack overflow.

use apimachinery::Status;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::fmt;

/// A body as a tree, and what is twice in it.
#[derive(Debug, Default, PartialEq)]
pub struct Parsed {
    pub value: Value,
    /// `duplicate field "spec.x"`, in order of appearance.
    pub duplicates: Vec<String>,
}

/// 400 for what is no JSON. The last of several equal fields counts.
pub fn json(body: &[u8]) -> Result<Parsed, Status> {
    let duplicates = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let seed = Tree { path: String::new(), duplicates: &duplicates };
    let parsed = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    let value = parsed.map_err(|e| {
        Status::bad_request(format!(
            "couldn't get version/kind; json parse error: {}",
            if body.is_empty() { "unexpected end of JSON input".to_owned() } else { e.to_string() }
        ))
    })?;
    Ok(Parsed { value, duplicates: duplicates.into_inner() })
}

/// 400 for what is no YAML; YAML with a key twice is none.
pub fn yaml(body: &[u8]) -> Result<Parsed, Status> {
    let text =
        std::str::from_utf8(body).map_err(|_| Status::bad_request("yaml: control characters are not allowed"))?;
    let value: Value = serde_saphyr::from_str(text)
        .map_err(|e| Status::bad_request(format!("error converting YAML to JSON: yaml: {e}")))?;
    Ok(Parsed { value, duplicates: Vec::new() })
}

struct Tree<'a> {
    path: String,
    duplicates: &'a RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let seed = Tree { path: format!("{}[{}]", self.path, list.len()), duplicates: self.duplicates };
            match seq.next_element_seed(seed)? {
                Some(value) => list.push(value),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            let seed = Tree { path: path.clone(), duplicates: self.duplicates };
            let value = entries.next_value_seed(seed)?;
            if map.insert(key, value).is_some() {
                let text = format!("duplicate field \"{path}\"");
                let mut found = self.duplicates.borrow_mut();
                if !found.contains(&text) {
                    found.push(text);
                }
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn duplicates_are_found_with_their_path() {
        let parsed = json(br#"{"spec":{"a":1,"a":2,"l":[{"n":1,"n":2}]}}"#).unwrap();
        assert_eq!(parsed.duplicates, [r#"duplicate field "spec.a""#, r#"duplicate field "spec.l[0].n""#]);
        assert_eq!(parsed.value["spec"]["a"], 2);
    }

    #[test]
    fn hostile_nesting_is_an_error() {
        let brackets = "[".repeat(1_000_000);
        assert_eq!(json(brackets.as_bytes()).unwrap_err().code, 400);
        let braces = "{\"a\":".repeat(500_000);
        assert_eq!(json(braces.as_bytes()).unwrap_err().code, 400);
        assert_eq!(yaml(brackets.as_bytes()).unwrap_err().code, 400);
    }

    #[test]
    fn yaml_is_read_as_json() {
        assert_eq!(yaml(b"a: 1\nb: [x, y]\n").unwrap().value, serde_json::json!({"a": 1, "b": ["x", "y"]}));
        assert!(yaml(b"a: 1\na: 2\n").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = json(&bytes);
            let _ = yaml(&bytes);
        }
    }
}
