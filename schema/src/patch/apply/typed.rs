//! Values against their types: which form a value takes, what tells list elements apart, and validation.

use super::Element;
use crate::patch::go_text::{go_text, go_type};
use crate::patch::{Atom, ListKind, MapKind, Member, PatchSchema, ScalarKind};
use serde_json::{Map, Value};

/// How a value is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Map(MapKind),
    Scalar(ScalarKind),
    List(ListKind),
}

/// The form that fits the value; a null and a value of no allowed form take the first that the type allows.
pub(super) fn form(atom: Atom, value: Option<&Value>) -> Form {
    match value {
        Some(Value::Object(_)) if atom.map.is_some() => {}
        Some(Value::Array(_)) => {
            if let Some(kind) = atom.list {
                return Form::List(kind);
            }
        }
        Some(Value::String(_) | Value::Number(_) | Value::Bool(_)) => {
            if let Some(kind) = atom.scalar {
                return Form::Scalar(kind);
            }
        }
        _ => {}
    }
    match (atom.map, atom.scalar, atom.list) {
        (Some(kind), _, _) => Form::Map(kind),
        (None, Some(kind), _) => Form::Scalar(kind),
        (None, None, kind) => Form::List(kind.unwrap_or(ListKind::Atomic)),
    }
}

/// The elements of a list; none of anything else.
pub(super) fn slice(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// What tells a list element from the others.
pub(super) fn element_of<S: PatchSchema>(list: S, kind: ListKind, item: &Value) -> Result<Element, String> {
    if kind == ListKind::Set {
        return match item {
            Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".into()),
            scalar => Ok(Element::Value(scalar.clone())),
        };
    }
    let map = match item {
        Value::Object(map) => map,
        Value::Null => return Err("associative list with keys may not have a null element".into()),
        _ => return Err("associative list with keys may not have non-map elements".into()),
    };
    let mut keys = Vec::with_capacity(2);
    let mut names = Vec::new();
    let mut index = 0;
    while let Some(name) = list.list_key(index) {
        index += 1;
        names.push(name);
        let value = map.get(name).cloned();
        let default = || list.element().member(name).position().and_then(PatchSchema::default);
        if let Some(value) = value.or_else(default) {
            keys.push((name.to_owned(), value));
        }
    }
    if keys.is_empty() {
        let quoted: Vec<String> = names.iter().map(|n| format!("{n:?}")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            quoted.join(" ")
        ));
    }
    keys.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Element::Key(keys))
}

/// Checks a value that a client declares: types, declared fields, no duplicates. The text lists everything found.
pub fn validate<S: PatchSchema>(schema: S, value: &Value) -> Result<(), String> {
    let mut found = Vec::new();
    check(schema, value, &mut String::new(), &mut found);
    match &found[..] {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

fn report(path: &str, text: &str, found: &mut Vec<String>) {
    found.push(if path.is_empty() { text.to_owned() } else { format!("{path}: {text}") });
}

fn descend<S: PatchSchema>(schema: S, value: &Value, step: &str, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    path.push_str(step);
    check(schema, value, path, found);
    path.truncate(length);
}

fn check<S: PatchSchema>(schema: S, value: &Value, path: &mut String, found: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    match form(schema.atom(), Some(value)) {
        Form::Scalar(kind) => {
            if let Err(text) = check_scalar(kind, value) {
                report(path, &text, found);
            }
        }
        Form::List(kind) => match value {
            Value::Array(list) => check_list(schema, kind, list, path, found),
            other => report(path, &format!("expected list, got &{{{}}}", go_text(other)), found),
        },
        Form::Map(_) => match value {
            Value::Object(map) => check_map(schema, map, path, found),
            other => report(path, &format!("expected map, got &{{{}}}", go_text(other)), found),
        },
    }
}

fn check_map<S: PatchSchema>(schema: S, map: &Map<String, Value>, path: &mut String, found: &mut Vec<String>) {
    for (name, value) in map {
        match schema.member(name) {
            Member::Named(member) | Member::Element(member) => {
                descend(member, value, &format!(".{name}"), path, found);
            }
            Member::Undeclared => report(&format!("{path}.{name}"), "field not declared in schema", found),
        }
    }
}

fn check_list<S: PatchSchema>(schema: S, kind: ListKind, list: &[Value], path: &mut String, found: &mut Vec<String>) {
    let mut seen = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let element = if kind == ListKind::Atomic {
            Element::Index(index as i64)
        } else {
            match element_of(schema, kind, item) {
                Ok(element) => element,
                Err(text) => return report(path, &format!("element {index}: {text}"), found),
            }
        };
        if seen.contains(&element) {
            report(path, &format!("duplicate entries for key {element}"), found);
        }
        descend(schema.element(), item, &element.to_string(), path, found);
        if kind != ListKind::Atomic {
            seen.push(element);
        }
    }
}

fn check_scalar(kind: ScalarKind, value: &Value) -> Result<(), String> {
    let scalar = matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
    match kind {
        ScalarKind::Numeric if !value.is_number() => {
            Err(format!("expected numeric (int or float), got {}", go_type(value)))
        }
        ScalarKind::String if !value.is_string() => {
            Err(format!("expected string, got &value.valueUnstructured{{Value:{value}}}"))
        }
        ScalarKind::Boolean if !value.is_boolean() => Err(format!("expected boolean, got &{{{}}}", go_text(value))),
        ScalarKind::Untyped if !scalar => Err(format!("expected any scalar, got &{{{}}}", go_text(value))),
        _ => Ok(()),
    }
}
