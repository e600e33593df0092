//! Scalar fields of an object by path, for field selectors.

use super::Text;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The values of fields such as `spec.nodeName` (a leading dot is allowed), in the order of `paths`. Strings are
/// themselves, booleans and numbers their JSON text; objects, lists, nulls and absent fields are the empty string.
/// Bytes that are no JSON have no fields.
pub fn field_values(bytes: &[u8], paths: &[&str]) -> Vec<String> {
    let mut values = vec![String::new(); paths.len()];
    let wanted = paths.iter().map(|p| p.strip_prefix('.').unwrap_or(p)).enumerate().collect();
    let walk = Walk { wanted, values: &mut values };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    if walk.deserialize(&mut deserializer).is_err() {
        values.iter_mut().for_each(String::clear);
    }
    values
}

/// The paths that lead into or through the value at hand, each without the part already walked, and with its place
/// in `values`; an empty path ends here.
struct Walk<'p, 'v> {
    wanted: Vec<(usize, &'p str)>,
    values: &'v mut [String],
}

impl Walk<'_, '_> {
    fn set(self, text: impl fmt::Display) {
        for (index, _) in self.wanted.iter().filter(|(_, rest)| rest.is_empty()) {
            self.values[*index] = text.to_string();
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Text<'de>>()? {
            let mut wanted = Vec::new();
            for (index, path) in &self.wanted {
                let Some(rest) = path.strip_prefix(&*key) else { continue };
                if let Some(rest) = if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') } {
                    wanted.push((*index, rest));
                }
            }
            if wanted.is_empty() {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Walk { wanted, values: &mut *self.values })?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.set(text);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.set(value);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.set(value);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.set(value);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.set(value);
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_found_by_path() {
        let bytes = br#"{"spec":{"nodeName":"n","nodeNameX":"no","hostNetwork":true,"replicas":-3,"list":[1],"o":{}},"a.b":"d","status":{"phase":"R\u0075n"}}"#;
        let paths = [
            "spec.nodeName",
            "spec.hostNetwork",
            "spec.replicas",
            "status.phase",
            "spec.absent",
            "spec.list",
            "spec.o",
            ".spec.nodeName",
            "spec.nodeName.x",
        ];
        assert_eq!(field_values(bytes, &paths), ["n", "true", "-3", "Run", "", "", "", "n", ""]);
        assert_eq!(field_values(b"{\"a\":\"x\",", &["a"]), [""]);
    }
}
