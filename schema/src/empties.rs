//! Lists and maps without elements. Upstream keeps objects as protobuf, which cannot tell an empty list from none: what
//! comes back from its store, even on a dry run, has none.

use crate::types::{Form, Shape, Type};
use serde_json::Value;

/// Turns the empty lists and maps of a canonical value of type `t` into null.
pub fn forget(t: &'static Type, value: &mut Value) {
    let (Form::Struct, Value::Object(map)) = (t.form(), value) else { return };
    for field in t.members() {
        if let Some(member) = map.get_mut(field.json_name()) {
            within(field.shape(), member);
        }
    }
}

fn within(shape: Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Pointer(inner), value) => within(inner.get(), value),
        (Shape::Message(t), value) => forget(t, value),
        (Shape::List(_) | Shape::Wrapped(_), value @ Value::Array(_))
            if value.as_array().is_some_and(Vec::is_empty) =>
        {
            *value = Value::Null;
        }
        (Shape::Map(_), value @ Value::Object(_)) if value.as_object().is_some_and(serde_json::Map::is_empty) => {
            *value = Value::Null;
        }
        (Shape::List(inner) | Shape::Wrapped(inner), Value::Array(list)) => {
            for element in list {
                within(inner.get(), element);
            }
        }
        (Shape::Map(inner), Value::Object(map)) => {
            for element in map.values_mut() {
                within(inner.get(), element);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn empty_lists_are_none() {
        let role = crate::kind_of("rbac.authorization.k8s.io", "v1", "Role");
        let mut value = json!({"metadata": {"name": "r"}, "rules": []});
        forget(role.unwrap(), &mut value);
        assert_eq!(value, json!({"metadata": {"name": "r"}, "rules": null}));
    }
}
