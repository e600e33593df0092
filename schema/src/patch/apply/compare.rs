//! What changed between two values of one type, as sets of paths. Parts that are equal cost one comparison.

use super::typed::{Form, element_of, form, slice};
use super::{Element, Set};
use crate::patch::{ListKind, MapKind, Member, PatchSchema};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The paths that differ; no path is in more than one set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub removed: Set,
    /// In both values, but not the same.
    pub modified: Set,
    pub added: Set,
}

impl Difference {
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    fn attach(&mut self, element: impl FnOnce() -> Element, own: Option<Own>, below: Self) {
        if own.is_none() && below.is_empty() {
            return;
        }
        let element = element();
        self.removed.put(element.clone(), own == Some(Own::Removed), below.removed);
        self.modified.put(element.clone(), own == Some(Own::Modified), below.modified);
        self.added.put(element, own == Some(Own::Added), below.added);
    }

    /// Forgets the paths in `fields` and everything below them.
    pub fn exclude(&mut self, fields: &Set) {
        self.removed.subtract_all_below(fields);
        self.modified.subtract_all_below(fields);
        self.added.subtract_all_below(fields);
    }
}

/// What happened to one path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    Removed,
    Modified,
    Added,
}

/// Compares two objects. Fails when a list element has no identity.
pub fn compare<S: PatchSchema>(schema: S, left: &Value, right: &Value) -> Result<Difference, String> {
    let mut difference = Difference::default();
    walk(schema, Some(left), Some(right), &mut difference)?;
    Ok(difference)
}

/// Compares two objects that are at hand as maps.
pub(super) fn compare_maps<S: PatchSchema>(
    schema: S,
    left: &Map<String, Value>,
    right: &Map<String, Value>,
) -> Result<Difference, String> {
    let mut difference = Difference::default();
    maps(schema, Some(left), Some(right), &mut difference)?;
    Ok(difference)
}

/// Equality in which 1 and 1.0 are the same.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}

fn walk<S: PatchSchema>(
    schema: S,
    left: Option<&Value>,
    right: Option<&Value>,
    out: &mut Difference,
) -> Result<Option<Own>, String> {
    if left == right {
        return Ok(None);
    }
    let atom = schema.atom();
    let (of_left, of_right) = (form(atom, left), form(atom, right));
    match (left, right) {
        (_, None) => by_form(schema, of_left, left, right, out),
        (None, _) => by_form(schema, of_right, left, right, out),
        _ if of_left == of_right => by_form(schema, of_right, left, right, out),
        _ => {
            by_form(schema, of_left, left, right, out)?;
            by_form(schema, of_right, left, right, out)
        }
    }
}

fn leaf(left: Option<&Value>, right: Option<&Value>) -> Option<Own> {
    match (left, right) {
        (None, _) => Some(Own::Added),
        (_, None) => Some(Own::Removed),
        (Some(left), Some(right)) => (!same(left, right)).then_some(Own::Modified),
    }
}

fn by_form<S: PatchSchema>(
    schema: S,
    form: Form,
    left: Option<&Value>,
    right: Option<&Value>,
    out: &mut Difference,
) -> Result<Option<Own>, String> {
    match form {
        Form::Map(MapKind::Granular) => {
            let empty = |value: Option<&Value>| value.and_then(Value::as_object).is_none_or(Map::is_empty);
            if empty(left) && empty(right) {
                return Ok(leaf(left, right));
            }
            maps(schema, left.and_then(Value::as_object), right.and_then(Value::as_object), out)?;
        }
        Form::List(kind @ (ListKind::Set | ListKind::Map)) => {
            if slice(left).is_empty() && slice(right).is_empty() {
                return Ok(leaf(left, right));
            }
            lists(schema, kind, slice(left), slice(right), out)?;
        }
        _ => return Ok(leaf(left, right)),
    }
    // A container that came or went is itself part of the change.
    Ok(match (left, right) {
        (None, _) => Some(Own::Added),
        (_, None) => Some(Own::Removed),
        _ => None,
    })
}

fn maps<S: PatchSchema>(
    schema: S,
    left: Option<&Map<String, Value>>,
    right: Option<&Map<String, Value>>,
    out: &mut Difference,
) -> Result<(), String> {
    static NULL: Value = Value::Null;
    let empty = Value::Object(Map::new());
    let mut member = |name: &String, before: Option<&Value>, after: Option<&Value>| -> Result<(), String> {
        if before == after {
            return Ok(());
        }
        let mut below = Difference::default();
        let own = match schema.member(name) {
            Member::Named(position) => {
                let implied = position.implied();
                let stand_in = if position.atom().map.is_some() { &empty } else { &NULL };
                // Only within an object that is there itself.
                let stands = |value: Option<&Value>, parent: bool| value.is_none() && implied && parent;
                let before = if stands(before, left.is_some()) { Some(stand_in) } else { before };
                let after = if stands(after, right.is_some()) { Some(stand_in) } else { after };
                walk(position, before, after, &mut below)?
            }
            Member::Element(position) => walk(position, before, after, &mut below)?,
            Member::Undeclared => leaf(before, after),
        };
        out.attach(|| Element::Field(name.clone()), own, below);
        Ok(())
    };
    for (name, before) in left.into_iter().flatten() {
        member(name, Some(before), right.and_then(|r| r.get(name)))?;
    }
    for (name, after) in right.into_iter().flatten() {
        if left.is_none_or(|l| !l.contains_key(name)) {
            member(name, None, Some(after))?;
        }
    }
    Ok(())
}

/// Whether two elements have the same keys, which is so for most pairs in the same place.
fn aligned<S: PatchSchema>(schema: S, kind: ListKind, left: &Value, right: &Value) -> bool {
    if kind == ListKind::Set {
        return left == right;
    }
    let mut index = 0;
    while let Some(name) = schema.list_key(index) {
        if left.get(name) != right.get(name) {
            return false;
        }
        index += 1;
    }
    true
}

fn lists<S: PatchSchema>(
    schema: S,
    kind: ListKind,
    left: &[Value],
    right: &[Value],
    out: &mut Difference,
) -> Result<(), String> {
    let identity = |item: &Value| element_of(schema, kind, item);
    if left.len() == right.len() && left.iter().zip(right).all(|(l, r)| aligned(schema, kind, l, r)) {
        for (before, after) in left.iter().zip(right).filter(|(l, r)| l != r) {
            let mut below = Difference::default();
            let own = walk(schema.element(), Some(before), Some(after), &mut below)?;
            let element = identity(after)?;
            out.attach(|| element, own, below);
        }
        return Ok(());
    }
    let mut pairs: BTreeMap<Element, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for item in left {
        pairs.entry(identity(item)?).or_default().0.push(item);
    }
    for item in right {
        pairs.entry(identity(item)?).or_default().1.push(item);
    }
    for (element, (before, after)) in pairs {
        let mut below = Difference::default();
        let mut one = |before: Option<&Value>, after: Option<&Value>| walk(schema.element(), before, after, &mut below);
        let own = match (&before[..], &after[..]) {
            (before @ ([] | [_]), after @ ([] | [_])) => one(before.first().copied(), after.first().copied())?,
            // Elements that occur twice are owned together, as one.
            ([_, _, ..], [_, _, ..]) => {
                let equal = before.len() == after.len() && before.iter().zip(&after).all(|(a, b)| same(a, b));
                (!equal).then_some(Own::Modified)
            }
            ([_, _, ..], after) => {
                if let Some(after) = after.first() {
                    one(None, Some(after))?;
                }
                Some(Own::Removed)
            }
            (before, _) => {
                if let Some(before) = before.first() {
                    one(Some(before), None)?;
                }
                Some(Own::Added)
            }
        };
        out.attach(|| element, own, below);
    }
    Ok(())
}
