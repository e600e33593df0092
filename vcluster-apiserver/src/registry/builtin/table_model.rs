//! The fields of a built-in kind, from `schema`'s tables.

use crate::registry::model::{Column, Model, Strict, Tracking};
use apimachinery::{GroupVersionKind, Object, Quantity};
use schema::patch::apply::Set;
use schema::patch::apply::managed::{self, ApplyError, Writer};
use schema::patch::{PatchError, TableSchema, strategic};
use schema::{DecodeError, FieldValidation, Form, Shape, Type, empties};
use serde_json::{Map, Value};
use std::sync::OnceLock;

/// A kind with a row in the tables.
pub struct TableModel {
    pub row: &'static Type,
    pub group: String,
    pub kind: String,
    /// An object without members, in its canonical form, once it was needed.
    empty: OnceLock<Option<Object>>,
}

impl Model for TableModel {
    fn decode(&self, json: &[u8]) -> Result<(Value, Strict), DecodeError> {
        schema::decode::decode(Some(self.row), json, FieldValidation::Warn)
    }

    fn normalize(&self, object: &mut Object) -> Result<Strict, String> {
        let tree = std::mem::take(object).into_value();
        let (tree, strict) = schema::decode::normalize(self.row, &tree).map_err(|e| e.to_string())?;
        *object = Object::from_value(tree).ok_or_else(|| "the object's metadata is no object".to_owned())?;
        Ok(strict)
    }

    fn forget_empties(&self, object: &mut Object) -> bool {
        let any = empties::any(self.row, object.as_map());
        if any {
            changed(object, |tree| empties::forget(self.row, tree));
        }
        any
    }

    fn omit_empties(&self, object: &mut Object) {
        changed(object, |tree| empties::omit(self.row, tree));
    }

    fn align_empties(&self, object: &mut Object, old: &Object) {
        if !empties::any(self.row, object.as_map()) {
            return;
        }
        let old = Value::Object(old.as_map().clone());
        changed(object, |tree| empties::align(self.row, tree, &old));
    }

    fn default(&self, object: &mut Object) {
        fill(self.row, object.as_map_mut());
    }

    fn merged_text(&self, object: &Value, patch: &Value) -> String {
        schema::patch::merged::text(self.row, object, patch)
    }

    fn track_update(&self, live: Option<&Object>, new: &mut Object, tracking: &Tracking) {
        let schema = TableSchema::of(self.row);
        let reset = reset(tracking);
        let record = |new: &mut Object| match (live, self.empty()) {
            (None, Some(empty)) => managed::create(empty, new, &writer(tracking), schema, reset.as_ref()),
            _ => managed::update(live, new, &writer(tracking), schema, reset.as_ref()),
        };
        if !empties::any(self.row, new.as_map()) {
            return record(new);
        }
        // Nobody owns what is not written. An empty list of managers says that they are to be forgotten.
        let (mut written, managers) = (new.clone(), new.metadata_mut().remove("managedFields"));
        self.omit_empties(&mut written);
        if let Some(managers) = managers {
            written.metadata_mut().insert("managedFields".to_owned(), managers);
        }
        record(&mut written);
        if let Some(managers) = written.metadata_mut().remove("managedFields") {
            new.metadata_mut().insert("managedFields".to_owned(), managers);
        }
    }

    fn apply(
        &self,
        live: Option<&Object>,
        applied: &Object,
        tracking: &Tracking,
        force: bool,
    ) -> Option<Result<Object, ApplyError>> {
        let reset = reset(tracking);
        let (writer, schema) = (writer(tracking), TableSchema::of(self.row));
        Some(managed::apply(self.empty(), live, applied, &writer, force, schema, reset.as_ref()))
    }

    fn columns(&self) -> Option<Vec<Column>> {
        let columns = schema::columns::columns(&self.group, &self.kind);
        let owned = columns.iter().map(|c| Column {
            name: c.name.to_owned(),
            kind: c.kind.to_owned(),
            format: c.format.to_owned(),
            description: c.description.to_owned(),
            priority: c.priority,
        });
        (!columns.is_empty()).then(|| owned.collect())
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        schema::columns::cells(&self.group, &self.kind, &Value::Object(object.as_map().clone()), now)
    }

    fn strategic_merge(&self, live: &Object, patch: &Value) -> Option<Result<Value, PatchError>> {
        let live = Value::Object(live.as_map().clone());
        Some(strategic::apply(live, patch.clone(), TableSchema::of(self.row)))
    }
}

impl TableModel {
    pub fn new(row: &'static Type, kind: &GroupVersionKind) -> Self {
        Self { row, group: kind.group.clone(), kind: kind.kind.clone(), empty: OnceLock::new() }
    }

    fn empty(&self) -> Option<&Object> {
        let make = || {
            let (empty, _) = schema::decode::normalize(self.row, &Value::Object(Map::new())).ok()?;
            Object::from_value(empty)
        };
        self.empty.get_or_init(make).as_ref()
    }
}

fn changed(object: &mut Object, change: impl FnOnce(&mut Value)) {
    let mut tree = std::mem::take(object).into_value();
    change(&mut tree);
    *object = Object::from_value(tree).unwrap_or_default();
}

fn writer(tracking: &Tracking) -> Writer<'_> {
    Writer {
        manager: &tracking.manager,
        api_version: &tracking.api_version,
        subresource: &tracking.subresource,
        time: &tracking.time,
    }
}

/// What the endpoint does not let clients change, and therefore nobody owns through it.
fn reset(tracking: &Tracking) -> Option<Set> {
    let mut set = Set::default();
    for place in &tracking.resets {
        set.add(Set::of_fields(&[place]));
    }
    (!tracking.resets.is_empty()).then_some(set)
}

/// Fills declared defaults that are values of their own; those that only say that a field is no pointer add nothing.
fn fill(t: &'static Type, map: &mut Map<String, Value>) {
    for field in t.members() {
        let name = field.json_name();
        if !map.contains_key(name)
            && let Some(text) = field.default_json()
            && !matches!(text, "{}" | "\"\"" | "0" | "false" | "[]" | "null")
            && let Ok(value) = serde_json::from_str(text)
        {
            map.insert(name.to_owned(), value);
        }
        if let Some(value) = map.get_mut(name) {
            fill_in(field.shape(), value);
            if t.package() == "core.v1" && field.go_type() == Some("v1.ResourceList") {
                whole_thousandths(value);
            }
        }
    }
}

/// Amounts of resources are never finer than a thousandth (`SetDefaults_ResourceList`).
fn whole_thousandths(value: &mut Value) {
    const MILLI: i32 = -3;
    for amount in value.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Ok(quantity) = Quantity::from_json(amount) {
            let rounded = quantity.round_up(MILLI);
            if rounded != quantity {
                *amount = rounded.to_string().into();
            }
        }
    }
}

fn fill_in(shape: Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Pointer(inner), value) => fill_in(inner.get(), value),
        (Shape::Message(t), Value::Object(map)) if t.form() == Form::Struct => fill(t, map),
        (Shape::List(inner) | Shape::Wrapped(inner), Value::Array(list)) => {
            for element in list {
                fill_in(inner.get(), element);
            }
        }
        (Shape::Map(inner), Value::Object(map)) => {
            for element in map.values_mut() {
                fill_in(inner.get(), element);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn model(kind: &str) -> TableModel {
        TableModel::new(schema::kind_of("", "v1", kind).unwrap(), &GroupVersionKind::new("", "v1", kind))
    }

    #[test]
    fn quantities_and_times_are_canonical_and_defaults_filled() {
        let pod = json!({"metadata": {"creationTimestamp": "2026-01-01T01:00:00+01:00"},
            "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 1}],
                "resources": {"limits": {"cpu": 0.5, "memory": "1024Ki"}, "requests": {"cpu": "0.5m"}}}]}});
        let mut object = Object::from_value(pod).unwrap();
        let model = model("Pod");
        model.normalize(&mut object).unwrap();
        model.default(&mut object);
        assert_eq!(object.meta_str("creationTimestamp"), "2026-01-01T00:00:00Z");
        let container = &object.at(&["spec", "containers"]).unwrap()[0];
        assert_eq!(container["resources"]["limits"], json!({"cpu": "500m", "memory": "1Mi"}));
        assert_eq!(container["resources"]["requests"], json!({"cpu": "1m"}));
        assert_eq!(container["ports"], json!([{"containerPort": 1, "protocol": "TCP"}]));
    }
}
