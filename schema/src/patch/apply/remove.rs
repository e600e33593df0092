//! A value without the fields of a set.

use super::typed::{Form, element_of, form};
use super::{Element, Set};
use crate::patch::{ListKind, MapKind, PatchSchema};
use serde_json::{Map, Value};

/// What becomes of containers from which everything was taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Emptied {
    /// They stand as null, so that their paths are still there to be counted.
    Null,
    /// They go too.
    Gone,
}

/// The value without the paths in `set`.
pub(super) fn remove<S: PatchSchema>(schema: S, value: &Value, set: &Set, emptied: Emptied) -> Value {
    match (form(schema.atom(), Some(value)), value) {
        (Form::List(kind @ (ListKind::Set | ListKind::Map)), Value::Array(list)) => {
            from_list(schema, kind, list, set, emptied)
        }
        (Form::Map(MapKind::Granular), Value::Object(map)) => from_map(schema, map, set, emptied),
        (Form::Scalar(_), scalar) => scalar.clone(),
        // Something below an atomic value was to go, so all of it goes.
        _ => Value::Null,
    }
}

fn from_list<S: PatchSchema>(schema: S, kind: ListKind, list: &[Value], set: &Set, emptied: Emptied) -> Value {
    let mut kept = Vec::with_capacity(list.len());
    for item in list {
        let Ok(element) = element_of(schema, kind, item) else {
            kept.push(item.clone());
            continue;
        };
        match set.at(&element) {
            (true, _) => {}
            (false, Some(below)) => {
                let rest = remove(schema.element(), item, below, emptied);
                if !rest.is_null() || emptied == Emptied::Null {
                    kept.push(rest);
                }
            }
            (false, None) => kept.push(item.clone()),
        }
    }
    if kept.is_empty() { Value::Null } else { Value::Array(kept) }
}

fn from_map<S: PatchSchema>(schema: S, map: &Map<String, Value>, set: &Set, emptied: Emptied) -> Value {
    let mut kept = Map::new();
    for (name, value) in map {
        let position = schema.member(name).position();
        match (set.at(&Element::Field(name.clone())), position) {
            ((true, _), _) => {}
            ((false, Some(below)), Some(position)) => {
                let rest = remove(position, value, below, emptied);
                if !rest.is_null() || emptied == Emptied::Null {
                    kept.insert(name.clone(), rest);
                }
            }
            _ => {
                kept.insert(name.clone(), value.clone());
            }
        }
    }
    if kept.is_empty() { Value::Null } else { Value::Object(kept) }
}
