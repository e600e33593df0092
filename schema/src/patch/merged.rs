//! The text of an object after a merge patch, as Go's libraries write it: what the patch went into has its members by
//! name, what it left alone stands as the server wrote it, in the order of the type.

use crate::types::{Form, Shape, Type};
use serde_json::{Map, Value};

/// The text of `object`, of type `t`, which `patch` was merged into.
pub fn text(t: &'static Type, object: &Value, patch: &Value) -> String {
    let mut out = String::new();
    write(Some(Shape::Message(t)), object, Some(patch), &mut out);
    out
}

fn write(shape: Option<Shape>, value: &Value, patch: Option<&Value>, out: &mut String) {
    let shape = match shape {
        Some(Shape::Pointer(inner)) => Some(inner.get()),
        shape => shape,
    };
    match (value, patch) {
        (Value::Object(map), Some(Value::Object(patch))) => {
            let members = map.iter().map(|(name, member)| (name.as_str(), member, patch.get(name)));
            object(members, shape, out);
        }
        // What a patch puts in place of something else stands as the patch says it.
        (value, Some(_)) => out.push_str(&value.to_string()),
        (Value::Object(map), None) => object(ordered(shape, map).into_iter(), shape, out),
        (Value::Array(list), None) => {
            let inner = match shape {
                Some(Shape::List(inner) | Shape::Wrapped(inner)) => Some(inner.get()),
                _ => None,
            };
            out.push('[');
            for (index, element) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(inner, element, None, out);
            }
            out.push(']');
        }
        (value, None) => out.push_str(&value.to_string()),
    }
}

type Member<'a> = (&'a str, &'a Value, Option<&'a Value>);

fn object<'a>(members: impl Iterator<Item = Member<'a>>, shape: Option<Shape>, out: &mut String) {
    out.push('{');
    for (index, (name, member, patch)) in members.enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&Value::from(name).to_string());
        out.push(':');
        let inner = match shape {
            Some(Shape::Message(t)) => t.field(name).map(crate::Field::shape),
            Some(Shape::Map(inner)) => Some(inner.get()),
            _ => None,
        };
        write(inner, member, patch, out);
    }
    out.push('}');
}

/// The members in the order of the type.
fn ordered(shape: Option<Shape>, map: &Map<String, Value>) -> Vec<Member<'_>> {
    let mut names = Vec::new();
    if let Some(Shape::Message(t)) = shape
        && t.form() == Form::Struct
    {
        fields(t, &mut names);
    }
    let place = |name: &str| names.iter().position(|known| *known == name).unwrap_or(names.len());
    let mut members: Vec<Member<'_>> = map.iter().map(|(name, member)| (name.as_str(), member, None)).collect();
    members.sort_by_key(|(name, _, _)| place(name));
    members
}

fn fields(t: &'static Type, names: &mut Vec<&'static str>) {
    for field in t.fields() {
        match field.shape() {
            Shape::Message(inner) if field.is_inline() => fields(inner, names),
            _ => names.push(field.json_name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_patched_stands_by_name() {
        let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"uid": "u", "name": "n", "labels": "x"},
            "status": {"replicas": 1, "selector": "a"}});
        let t = crate::type_named("autoscaling.v1.Scale").unwrap();
        assert_eq!(
            text(t, &scale, &json!({"spec": null})),
            r#"{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"n","uid":"u","labels":"x"},"status":{"replicas":1,"selector":"a"}}"#
        );
        assert_eq!(
            text(t, &scale, &json!({"metadata": {"labels": "x"}})),
            r#"{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"labels":"x","name":"n","uid":"u"},"status":{"replicas":1,"selector":"a"}}"#
        );
    }
}
