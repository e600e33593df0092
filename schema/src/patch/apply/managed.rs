//! `metadata.managedFields`: recording who changed what on plain writes, and server-side apply over those records.
//!
//! Both functions work on whole objects of one version and are pure: the time is an argument. Whether an object's
//! metadata is otherwise acceptable is not looked at.

mod conflict;
mod entry;
mod last_applied;
mod prune;

pub use conflict::Conflict;
pub use entry::{Entry, Operation};

use super::compare::compare_maps;
use super::{Difference, Set, combine, compare, field_set, typed};
use crate::patch::PatchSchema;
use apimachinery::Object;
use entry::Managers;
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// Who writes, how and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Empty is written as `unknown`.
    pub manager: &'a str,
    /// The version that the object at hand is in: `apps/v1`.
    pub api_version: &'a str,
    /// Empty for the resource itself.
    pub subresource: &'a str,
    /// RFC 3339, in seconds; empty for an entry without a time.
    pub time: &'a str,
}

/// Why an apply was refused; the texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// 409, with a cause per conflict (reason `FieldManagerConflict`).
    #[error("{}", conflict::text(.0))]
    Conflicts(Vec<Conflict>),
    /// 400.
    #[error("{0}")]
    BadRequest(String),
    /// 500, as upstream answers: the applied object does not fit its type.
    #[error("{0}")]
    Invalid(String),
}

/// Fields that everyone writes and nobody owns.
static STRIPPED: LazyLock<Set> = LazyLock::new(|| {
    let mut set = Set::of_fields(&[&["apiVersion"], &["kind"], &["metadata"]]);
    for field in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        set.add(Set::of_fields(&[&["metadata", field]]));
    }
    set
});

const FIRST_APPLY: &str = "before-first-apply";

/// Records a write that is no apply: sets `new`'s managed fields from those of `live` (or from those that the client
/// sent, which also is how they are cleared) and from what the write changes. `live` is `None` on create. `reset`
/// fields belong to the server on this endpoint and are never owned. When the objects cannot be compared, the live
/// records stay.
pub fn update<S: PatchSchema>(
    live: Option<&Object>,
    new: &mut Object,
    writer: &Writer<'_>,
    schema: S,
    reset: Option<&Set>,
) {
    let sent = new.metadata_mut().remove("managedFields");
    let before = live.and_then(|l| l.metadata()?.get("managedFields"));
    let Some(source) = source(sent.as_ref(), before, writer.subresource) else {
        // Nothing is tracked: a new object starts to be, an old one stays as it is.
        if live.is_none() {
            record(Managers::default(), live, new, writer, schema, reset);
        }
        return;
    };
    match difference(live, new, schema, reset) {
        Ok(difference) if difference.is_empty() => put(new, Some(source.clone())),
        Ok(difference) => {
            let managers = Managers::decode(source).unwrap_or_default();
            if managers.is_empty() && live.is_some() {
                return;
            }
            apply_difference(managers, &difference, new, writer);
        }
        Err(_) => put(new, before.cloned()),
    }
}

/// As [`update`] on create, for types whose empty object is known: what it has already, though nobody sent it, is no
/// change of the writer's. `empty` is the canonical form of an object without members.
pub fn create<S: PatchSchema>(empty: &Object, new: &mut Object, writer: &Writer<'_>, schema: S, reset: Option<&Set>) {
    let sent = new.metadata_mut().remove("managedFields");
    let sent = source(sent.as_ref(), None, writer.subresource).and_then(|value| Managers::decode(value).ok());
    record(sent.unwrap_or_default(), Some(empty), new, writer, schema, reset);
}

/// The records to go on from; `None` when there are none.
fn source<'v>(sent: Option<&'v Value>, before: Option<&'v Value>, subresource: &str) -> Option<&'v Value> {
    let filled = |value: Option<&'v Value>| {
        value.filter(|v| v.as_array().is_some_and(|list| !list.is_empty()) && Managers::decode(v).is_ok())
    };
    if subresource.is_empty() {
        let list = sent.and_then(Value::as_array);
        if list.is_some_and(|list| match &list[..] {
            [] => true,
            [one] => one.as_object().is_some_and(Map::is_empty),
            _ => false,
        }) {
            return None;
        }
        // What a client sends back unchanged was good when it was stored.
        if sent.is_some() && sent == before {
            return sent;
        }
        if let Some(sent) = filled(sent) {
            return Some(sent);
        }
    }
    filled(before)
}

fn put(object: &mut Object, managed_fields: Option<Value>) {
    match managed_fields {
        Some(Value::Array(list)) if !list.is_empty() => {
            object.metadata_mut().insert("managedFields".into(), Value::Array(list));
        }
        _ => {
            object.metadata_mut().remove("managedFields");
        }
    }
}

/// What the write changes, without what the server resets. The records themselves are no part of it.
fn difference<S: PatchSchema>(
    live: Option<&Object>,
    new: &Object,
    schema: S,
    reset: Option<&Set>,
) -> Result<Difference, String> {
    let none = Map::new();
    let before = live.map_or(&none, Object::as_map);
    let mut difference = compare_maps(schema, before, new.as_map())?;
    if let Some(reset) = reset {
        difference.exclude(reset);
    }
    Ok(difference)
}

fn record<S: PatchSchema>(
    managers: Managers,
    live: Option<&Object>,
    new: &mut Object,
    writer: &Writer<'_>,
    schema: S,
    reset: Option<&Set>,
) {
    if let Ok(difference) = difference(live, new, schema, reset) {
        apply_difference(managers, &difference, new, writer);
    }
}

/// Moves what changed to the writer, and what is gone to nobody.
fn apply_difference(mut managers: Managers, difference: &Difference, new: &mut Object, writer: &Writer<'_>) {
    managers.lose(difference, None);
    let mut taken = difference.modified.clone();
    taken.add(difference.added.clone());
    taken.subtract(&STRIPPED);
    if !taken.is_empty() {
        let entry = managers.entry(Operation::Update, writer);
        entry.fields.add(taken);
        entry.time = Some(writer.time.to_owned()).filter(|time| !time.is_empty());
    }
    managers.fold_oldest();
    put(new, managers.encode());
}

/// Server-side apply: merges `applied` into `live` for the writer. What the writer declared last time and no longer
/// does, and nobody else owns, goes. With `force` the fields of others are taken over; without, they are conflicts
/// when their values differ. The result carries its managed fields and still has to be defaulted. What the `empty` object of
/// the type has already, where that is known, belongs to nobody before the first apply.
pub fn apply<S: PatchSchema>(
    empty: Option<&Object>,
    live: Option<&Object>,
    applied: &Object,
    writer: &Writer<'_>,
    force: bool,
    schema: S,
    reset: Option<&Set>,
) -> Result<Object, ApplyError> {
    if applied.metadata().is_some_and(|m| m.get("managedFields").is_some_and(|f| !f.is_null())) {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".into()));
    }
    let declared = applied.clone().into_value();
    typed::validate(schema, &declared)
        .map_err(|e| ApplyError::Invalid(format!("failed to create typed patch object ({}): {e}", named(applied))))?;
    let request = Request { empty, declared: &declared, writer, schema, reset };
    let result = match request.run(live, force) {
        // kubectl moves from client-side to server-side apply without conflicts about what it applied itself.
        Err(ApplyError::Conflicts(conflicts)) if writer.manager == "kubectl" => {
            let own = live.and_then(|live| last_applied::own_fields(live, writer.api_version, schema));
            let Some(own) = own else { return Err(ApplyError::Conflicts(conflicts)) };
            let rest: Vec<Conflict> = conflicts.into_iter().filter(|c| !own.has(&c.path)).collect();
            if rest.is_empty() { request.run(live, true) } else { Err(ApplyError::Conflicts(rest)) }
        }
        other => other,
    };
    let mut object = result?;
    if writer.manager == "kubectl" {
        last_applied::renew(&mut object, applied);
    }
    Ok(object)
}

/// `namespace/name; group/version, Kind=Kind`, as errors name the object.
fn named(object: &Object) -> String {
    let kind = object.gvk().map(|k| k.to_string()).unwrap_or_default();
    format!("{}/{}; {kind}", object.namespace(), object.name())
}

struct Request<'a, S> {
    empty: Option<&'a Object>,
    declared: &'a Value,
    writer: &'a Writer<'a>,
    schema: S,
    reset: Option<&'a Set>,
}

impl<S: PatchSchema> Request<'_, S> {
    fn run(&self, live: Option<&Object>, force: bool) -> Result<Object, ApplyError> {
        let (writer, schema) = (self.writer, self.schema);
        let invalid = |what: &'static str| move |e: String| ApplyError::Invalid(format!("{what}: {e}"));
        let live_tree = live.map_or_else(|| Value::Object(Map::new()), |l| l.clone().into_value());
        let before = live.and_then(|l| l.metadata()?.get("managedFields"));
        let mut managers = match before.filter(|b| b.as_array().is_some_and(|l| !l.is_empty())) {
            Some(before) => Managers::decode(before).map_err(invalid("failed to decode managed fields"))?,
            None => self.first_apply(&live_tree).map_err(invalid("failed to create manager for existing fields"))?,
        };
        let merged = combine::combine(schema, Some(&live_tree), Some(self.declared));
        let merged = merged.map_err(|e| ApplyError::Invalid(format!("failed to merge config: {e}")))?;
        let merged = merged.unwrap_or_else(|| Value::Object(Map::new()));

        let mut set = field_set(schema, self.declared);
        if let Some(reset) = self.reset {
            set.subtract_all_below(reset);
        }
        let entry = managers.entry(Operation::Apply, writer);
        let last = std::mem::replace(&mut entry.fields, set);
        entry.api_version = writer.api_version.to_owned();
        let pruned = if last.is_empty() { merged } else { prune::prune(schema, merged, &last, &managers.all_fields()) };

        let mut difference = compare(schema, &live_tree, &pruned).map_err(invalid("failed to compare objects"))?;
        if let Some(reset) = self.reset {
            difference.exclude(reset);
        }
        if !force {
            let conflicts = managers.conflicts(&difference, writer);
            if !conflicts.is_empty() {
                return Err(ApplyError::Conflicts(conflicts));
            }
        }
        managers.lose(&difference, Some(writer));
        let changed = pruned != live_tree;
        let entry = managers.entry(Operation::Apply, writer);
        entry.fields.subtract(&STRIPPED);
        if changed {
            entry.time = Some(writer.time.to_owned());
        }
        managers.drop_empty();
        let mut object = Object::from_value(pruned)
            .ok_or_else(|| ApplyError::Invalid("failed to merge config: metadata is no object".into()))?;
        put(&mut object, managers.encode());
        Ok(object)
    }

    /// The fields of an object that was never tracked belong to a manager of their own, so that the first apply cannot
    /// remove or silently change them.
    fn first_apply(&self, live: &Value) -> Result<Managers, String> {
        let empty = self.empty.map_or_else(|| Value::Object(Map::new()), |empty| empty.clone().into_value());
        let mut difference = compare(self.schema, &empty, live)?;
        if let Some(reset) = self.reset {
            difference.exclude(reset);
        }
        let mut fields = difference.modified;
        fields.add(difference.added);
        fields.subtract(&STRIPPED);
        let mut managers = Managers::default();
        if !fields.is_empty() {
            let writer = Writer { manager: FIRST_APPLY, ..*self.writer };
            let entry = managers.entry(Operation::Update, &writer);
            entry.fields = fields;
            entry.time = Some(writer.time.to_owned());
        }
        Ok(managers)
    }
}

#[cfg(test)]
mod tests;
