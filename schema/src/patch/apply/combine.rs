//! Merging a declared value into a live one: nothing is lost, what is declared wins, lists keep the live order unless
//! the declared one differs.

use super::Element;
use super::typed::{Form, element_of, form, slice};
use crate::patch::{ListKind, MapKind, PatchSchema};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// `live` with `declared` merged in. Fails on duplicates in the declared value.
pub(super) fn combine<S: PatchSchema>(
    schema: S,
    live: Option<&Value>,
    declared: Option<&Value>,
) -> Result<Option<Value>, String> {
    let Some(right) = declared else { return Ok(live.cloned()) };
    match form(schema.atom(), Some(right)) {
        Form::Map(MapKind::Granular) => {
            let (l, r) = (live.and_then(Value::as_object), right.as_object());
            if l.is_none_or(Map::is_empty) && r.is_none_or(Map::is_empty) {
                return Ok(Some(right.clone()));
            }
            maps(schema, l, r)
        }
        Form::List(kind @ (ListKind::Set | ListKind::Map)) => {
            let (l, r) = (slice(live), slice(Some(right)));
            if l.is_empty() && r.is_empty() {
                return Ok(Some(right.clone()));
            }
            lists(schema, kind, l, r)
        }
        _ => Ok(Some(right.clone())),
    }
}

fn maps<S: PatchSchema>(
    schema: S,
    live: Option<&Map<String, Value>>,
    declared: Option<&Map<String, Value>>,
) -> Result<Option<Value>, String> {
    let mut out = live.cloned().unwrap_or_default();
    for (name, value) in declared.into_iter().flatten() {
        let before = out.get(name);
        let merged = match schema.member(name).position() {
            Some(position) => combine(position, before, Some(value)).map_err(|e| format!(".{name}{e}"))?,
            None => Some(value.clone()),
        };
        match merged {
            Some(merged) => out.insert(name.clone(), merged),
            None => out.remove(name),
        };
    }
    Ok((!out.is_empty()).then_some(Value::Object(out)))
}

fn lists<S: PatchSchema>(
    schema: S,
    kind: ListKind,
    live: &[Value],
    declared: &[Value],
) -> Result<Option<Value>, String> {
    let index = |list: &[Value]| -> Result<Vec<Element>, String> {
        let identity =
            |(i, item): (usize, &Value)| element_of(schema, kind, item).map_err(|e| format!(": element {i}: {e}"));
        list.iter().enumerate().map(identity).collect()
    };
    let (left, right) = (index(live)?, index(declared)?);
    let mut in_right: BTreeMap<&Element, &Value> = BTreeMap::new();
    for (element, item) in right.iter().zip(declared) {
        if in_right.insert(element, item).is_some() {
            return Err(format!(": duplicate entries for key {element}"));
        }
    }
    // Elements that the live list has twice are not merged into, but replaced.
    let mut in_left: BTreeMap<&Element, Option<&Value>> = BTreeMap::new();
    for (element, item) in left.iter().zip(live) {
        in_left.entry(element).and_modify(|known| *known = None).or_insert(Some(item));
    }
    let mut shared = right.iter().filter(|e| in_left.contains_key(e));
    let mut next_shared = shared.next();
    let mut merged: BTreeSet<&Element> = BTreeSet::new();
    let mut out = Vec::with_capacity(live.len().max(declared.len()));
    let (mut l, mut r) = (0, 0);
    let mut take = |element: &Element| -> Result<(), String> {
        let before = in_left.get(element).copied().flatten();
        let item = combine(schema.element(), before, in_right.get(element).copied());
        out.extend(item.map_err(|e| format!("{element}{e}"))?);
        Ok(())
    };
    let mut kept: Vec<(usize, &Value)> = Vec::new();
    let mut taken = 0;
    while l < left.len() || r < right.len() {
        if l < left.len() && r < right.len() {
            if left[l] == right[r] {
                merged.insert(&left[l]);
                take(&left[l])?;
                taken += 1;
                l += 1;
                r += 1;
                next_shared = shared.next();
                continue;
            }
            if in_right.contains_key(&left[l]) && next_shared.is_some_and(|next| *next != left[l]) {
                l += 1;
                continue;
            }
        }
        if l < left.len() {
            if !in_right.contains_key(&left[l]) {
                kept.push((taken, &live[l]));
                taken += 1;
                l += 1;
                continue;
            }
            if merged.contains(&left[l]) {
                l += 1;
            }
        }
        if r < right.len() {
            merged.insert(&right[r]);
            take(&right[r])?;
            taken += 1;
            if next_shared == Some(&right[r]) {
                next_shared = shared.next();
            }
            r += 1;
        }
    }
    for (at, item) in kept {
        out.insert(at.min(out.len()), item.clone());
    }
    Ok((!out.is_empty()).then_some(Value::Array(out)))
}
