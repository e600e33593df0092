//! The paths that a value declares.

use super::typed::{Form, element_of, form};
use super::{Element, Set};
use crate::patch::{ListKind, MapKind, Member, PatchSchema};
use serde_json::{Map, Value};

/// Every leaf, list element and map key of a value. Elements that cannot be told apart are left out.
pub fn field_set<S: PatchSchema>(schema: S, value: &Value) -> Set {
    walk(schema, value).1
}

/// Whether the value itself is a leaf, and what lies below.
fn walk<S: PatchSchema>(schema: S, value: &Value) -> (bool, Set) {
    match (form(schema.atom(), Some(value)), value) {
        (Form::Scalar(_) | Form::List(ListKind::Atomic) | Form::Map(MapKind::Atomic), _) => (true, Set::default()),
        (Form::List(kind), Value::Array(list)) => (false, of_list(schema, kind, list)),
        (Form::Map(_), Value::Object(map)) => (false, of_map(schema, map)),
        _ => (false, Set::default()),
    }
}

fn of_list<S: PatchSchema>(schema: S, kind: ListKind, list: &[Value]) -> Set {
    let mut set = Set::default();
    let elements: Vec<Option<Element>> = list.iter().map(|item| element_of(schema, kind, item).ok()).collect();
    for (index, (element, item)) in elements.iter().zip(list).enumerate() {
        let Some(element) = element else { continue };
        let twice = elements.iter().enumerate().any(|(i, e)| i != index && e.as_ref() == Some(element));
        let below = if twice { Set::default() } else { walk(schema.element(), item).1 };
        set.put(element.clone(), true, below);
    }
    set
}

fn of_map<S: PatchSchema>(schema: S, map: &Map<String, Value>) -> Set {
    let mut set = Set::default();
    for (name, value) in map {
        let (position, named) = match schema.member(name) {
            Member::Named(member) => (Some(member), true),
            Member::Element(member) => (Some(member), false),
            Member::Undeclared => (None, false),
        };
        let (leaf, below) = position.map_or((true, Set::default()), |position| walk(position, value));
        let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        set.put(Element::Field(name.clone()), leaf || empty || !named, below);
    }
    set
}
