//! Patches of objects of every kind: a JSON object and, on the lines behind its first, a patch; the object itself when there is
//! none. What a merge patch or an apply has done, it does not do again.

use crate::json::named;
use apimachinery::Object;
use schema::patch::apply::managed::{self, Writer};
use schema::patch::{TableSchema, json, merge, strategic};
use schema::{FieldValidation, decode};
use serde_json::Value;

pub fn run(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n');
    let (live, patch) = end.map_or((input, input), |end| (&input[..end], &input[end + 1..]));
    let Some((t, version, _)) = named(live) else { return };
    let Ok((live, _)) = decode(Some(t), live, FieldValidation::Ignore) else { return };
    let Ok(patch) = serde_json::from_slice::<Value>(patch) else { return };
    // These two need not be the same twice: they only have to end.
    let _ = json::apply(&mut live.clone(), &patch);
    let _ = strategic::apply(live.clone(), patch.clone(), TableSchema::of(t));
    let mut merged = live.clone();
    if merge::apply(&mut merged, patch.clone()).is_ok() {
        let mut again = merged.clone();
        assert_eq!(merge::apply(&mut again, patch.clone()), Ok(()));
        assert_eq!(again, merged, "merged twice");
    }
    let writer = Writer { manager: "fuzz", api_version: &version, subresource: "", time: "2026-01-01T00:00:00Z" };
    let apply = |live: &Object, applied: &Object| {
        managed::apply(None, Some(live), applied, &writer, true, TableSchema::of(t), None)
    };
    let (Some(live), Some(applied)) = (Object::from_value(live), Object::from_value(patch)) else { return };
    if let Ok(once) = apply(&live, &applied) {
        let twice = apply(&once, &applied);
        assert_eq!(twice.map(Object::into_value), Ok(once.into_value()), "applied twice");
    }
}
