//! JSON as Go writes a type: members in the order of the struct, not of their names. Refusals and annotations carry such
//! texts, and clients see them.

use crate::types::{Form, Shape, Type};
use serde_json::{Map, Value};

/// The text of a value of type `t`, which is in the canonical form that [`crate::decode`] gives.
#[must_use]
pub fn text(t: &'static Type, value: &Value) -> String {
    let mut out = String::new();
    message(t, value, &mut out);
    out
}

/// The same for a type by its name (`core.v1.Taint`); of an unknown one the members stand by name.
#[must_use]
pub fn text_of(type_name: &str, value: &Value) -> String {
    crate::type_named(type_name).map_or_else(|| value.to_string(), |t| text(t, value))
}

fn message(t: &'static Type, value: &Value, out: &mut String) {
    let (Form::Struct, Value::Object(map)) = (t.form(), value) else {
        return out.push_str(&value.to_string());
    };
    out.push('{');
    members(t, map, out);
    out.push('}');
}

fn members(t: &'static Type, map: &Map<String, Value>, out: &mut String) {
    for field in t.fields() {
        if let (true, Shape::Message(inner)) = (field.is_inline(), field.shape()) {
            members(inner, map, out);
            continue;
        }
        let Some(member) = map.get(field.json_name()) else { continue };
        if !out.ends_with('{') {
            out.push(',');
        }
        out.push_str(&Value::from(field.json_name()).to_string());
        out.push(':');
        shaped(field.shape(), member, out, message);
    }
}

/// Prints a value of a shape; `message` prints the structs in it.
pub fn shaped(shape: Shape, value: &Value, out: &mut String, message: fn(&'static Type, &Value, &mut String)) {
    match (shape, value) {
        (Shape::Pointer(inner), value) => shaped(inner.get(), value, out, message),
        (Shape::Message(t), value) => message(t, value, out),
        (Shape::List(inner) | Shape::Wrapped(inner), Value::Array(list)) => {
            out.push('[');
            for (index, element) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                shaped(inner.get(), element, out, message);
            }
            out.push(']');
        }
        (Shape::Map(inner), Value::Object(map)) => {
            out.push('{');
            for (index, (key, element)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                shaped(inner.get(), element, out, message);
            }
            out.push('}');
        }
        (_, value) => out.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_stand_as_in_the_struct() {
        let request = json!({"exactly": {"count": 1, "deviceClassName": "c"}, "name": "r"});
        assert_eq!(
            text_of("resource.v1.DeviceRequest", &request),
            r#"{"name":"r","exactly":{"deviceClassName":"c","count":1}}"#
        );
        let set = json!({"counters": {"b": {"value": "1"}, "a": {"value": "2"}}, "name": "s"});
        assert_eq!(
            text_of("resource.v1.CounterSet", &set),
            r#"{"name":"s","counters":{"a":{"value":"2"},"b":{"value":"1"}}}"#
        );
    }
}
