//! Lists and maps without elements. A decoded object has those that its writer sent, as Go keeps an empty list apart from
//! none; what is written, stored or compared has fewer of them.

use crate::types::{Field, Form, Shape, Type};
use serde_json::{Map, Value};

/// Which of them go.
#[derive(Clone, Copy)]
enum Going<'a> {
    Unwritten,
    All,
    /// Those that this value lacks too.
    Missing(&'a Value),
}

/// Leaves out of a value of type `t` what Go does not write: empty lists and maps of members that may be absent.
pub fn omit(t: &'static Type, value: &mut Value) {
    message(t, value, Going::Unwritten);
}

/// Leaves out all of them; members that are never absent become null. Upstream keeps objects as protobuf, which cannot
/// tell an empty list from none: what comes back from its store, even on a dry run, has none.
pub fn forget(t: &'static Type, value: &mut Value) {
    message(t, value, Going::All);
}

/// Leaves out those where `old`, which comes from the store, has none either: upstream's semantic equality does not tell
/// the two apart. What stands within something that `old` lacks is a change all the same, and stays.
pub fn align(t: &'static Type, value: &mut Value, old: &Value) {
    message(t, value, Going::Missing(old));
}

/// Whether a value of type `t` has any.
pub fn any(t: &'static Type, map: &Map<String, Value>) -> bool {
    map.iter().any(|(name, member)| t.field(name).is_some_and(|field| any_in(field.shape(), member)))
}

fn any_in(shape: Shape, value: &Value) -> bool {
    match (shape, value) {
        (Shape::Pointer(inner), value) => any_in(inner.get(), value),
        (Shape::Message(t), Value::Object(map)) => t.form() == Form::Struct && any(t, map),
        (Shape::List(inner) | Shape::Wrapped(inner), Value::Array(list)) => {
            list.is_empty() || list.iter().any(|element| any_in(inner.get(), element))
        }
        (Shape::Map(inner), Value::Object(map)) => {
            map.is_empty() || map.values().any(|element| any_in(inner.get(), element))
        }
        _ => false,
    }
}

fn message(t: &'static Type, value: &mut Value, going: Going) {
    if matches!(going, Going::Missing(Value::Null)) {
        return;
    }
    let (Form::Struct, Value::Object(map)) = (t.form(), value) else { return };
    for field in t.members() {
        let going = match going {
            Going::Missing(old) => Going::Missing(&old[field.json_name()]),
            other => other,
        };
        let Some(member) = map.get_mut(field.json_name()) else { continue };
        if is_empty(field.shape(), member) {
            leave(field, map, going);
        } else {
            within(field.shape(), member, going);
        }
    }
}

fn is_empty(shape: Shape, value: &Value) -> bool {
    match (shape, value) {
        (Shape::List(_) | Shape::Wrapped(_), Value::Array(list)) => list.is_empty(),
        (Shape::Map(_), Value::Object(map)) => map.is_empty(),
        _ => false,
    }
}

fn leave(field: &Field, map: &mut Map<String, Value>, going: Going) {
    let absent = field.omit_empty() && !field.is_pointer();
    match going {
        Going::Unwritten if !absent => {}
        Going::Missing(old) if !old.is_null() => {}
        _ if absent => _ = map.remove(field.json_name()),
        _ => _ = map.insert(field.json_name().to_owned(), Value::Null),
    }
}

fn within(shape: Shape, value: &mut Value, going: Going) {
    match (shape, value) {
        (Shape::Pointer(inner), value) => within(inner.get(), value, going),
        (Shape::Message(t), value) => message(t, value, going),
        (Shape::List(inner) | Shape::Wrapped(inner), Value::Array(list)) => {
            for (index, element) in list.iter_mut().enumerate() {
                element_of(inner.get(), element, going, |old| &old[index]);
            }
        }
        (Shape::Map(inner), Value::Object(map)) => {
            for (name, element) in map {
                element_of(inner.get(), element, going, |old| &old[name]);
            }
        }
        _ => {}
    }
}

/// An element that is empty itself is null in the store and stays one everywhere else.
fn element_of<'a>(shape: Shape, element: &mut Value, going: Going<'a>, beside: impl Fn(&'a Value) -> &'a Value) {
    let going = match going {
        Going::Missing(old) => Going::Missing(beside(old)),
        other => other,
    };
    match going {
        Going::All if is_empty(shape, element) => *element = Value::Null,
        _ => within(shape, element, going),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn empty_lists_are_none() {
        let role = crate::kind_of("rbac.authorization.k8s.io", "v1", "Role").unwrap();
        let sent = json!({"metadata": {"name": "r", "labels": {}}, "rules": []});
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut value = sent.clone();
            change(&mut value);
            value
        };
        assert_eq!(changed(&|value| omit(role, value)), json!({"metadata": {"name": "r"}, "rules": []}));
        assert_eq!(changed(&|value| forget(role, value)), json!({"metadata": {"name": "r"}, "rules": null}));
        let old = json!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"]}]});
        assert_eq!(changed(&|value| align(role, value, &old)), json!({"metadata": {"name": "r"}, "rules": []}));
        assert!(any(role, sent.as_object().unwrap()) && !any(role, old.as_object().unwrap()));
    }
}
