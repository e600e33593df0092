//! The seam between the generic server and what is known about a kind's fields: tables for built-in kinds, structural
//! schemas for custom ones.
//!
//! A model works on JSON trees and never on metadata the generic path owns. What it cannot do it says with `None`.

use apimachinery::Object;
use schema::patch::PatchError;
use schema::patch::apply::managed::ApplyError;
use serde_json::Value;

/// What decoding found out about fields that the kind does not have; texts as upstream words them.
pub type Strict = Vec<String>;

/// A kind's fields.
pub trait Model: Send + Sync + 'static {
    /// Reads the JSON of a body into the kind's form: unknown fields are left out and reported together with those that
    /// stand twice, values of the wrong type are an error in upstream's words.
    fn decode(&self, json: &[u8]) -> Result<(Value, Strict), schema::DecodeError> {
        schema::decode::decode(None, json, schema::FieldValidation::Warn)
    }

    /// Brings a tree that a patch made into the kind's form, as [`Model::decode`] does with bytes.
    fn normalize(&self, object: &mut Object) -> Result<Strict, String>;

    /// What is lost of an object on its way into the store and back: lists without elements. Says whether there were any.
    fn forget_empties(&self, _object: &mut Object) -> bool {
        false
    }

    /// What is lost of an object that is answered and not stored: lists without elements that may be absent.
    fn omit_empties(&self, _object: &mut Object) {}

    /// Forgets the lists without elements that `old`, which comes from the store, has not: they are no change.
    fn align_empties(&self, _object: &mut Object, _old: &Object) {}

    /// Static defaults of the table or schema.
    fn default(&self, _object: &mut Object) {}

    /// Strategic merge of `patch` into `live`; `None`: the kind has no patch strategies (custom resources).
    fn strategic_merge(&self, _live: &Object, _patch: &Value) -> Option<Result<Value, PatchError>> {
        None
    }

    /// The text of an object that `patch` was merged into, as upstream quotes it in a refusal.
    fn merged_text(&self, object: &Value, _patch: &Value) -> String {
        object.to_string()
    }

    /// Brings `metadata.managedFields` up to date after a write that is no apply.
    fn track_update(&self, _live: Option<&Object>, _new: &mut Object, _tracking: &Tracking) {}

    /// Server-side apply of `applied` over `live`; `None`: the kind cannot be applied. Conflicts with other managers are
    /// an error unless `force`.
    fn apply(
        &self,
        _live: Option<&Object>,
        _applied: &Object,
        _tracking: &Tracking,
        _force: bool,
    ) -> Option<Result<Object, ApplyError>> {
        None
    }

    /// Printer columns; `None`: name and creation time.
    fn columns(&self) -> Option<Vec<Column>> {
        None
    }

    /// The cells of one object, in the order of [`Model::columns`].
    fn cells(&self, _object: &Object, _now: jiff::Timestamp) -> Vec<Value> {
        Vec::new()
    }

    /// Whether items of lists carry their own kind and apiVersion: custom resources do.
    fn items_are_typed(&self) -> bool {
        false
    }
}

/// Who writes, for `metadata.managedFields`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracking {
    pub manager: String,
    /// The version that the client wrote in.
    pub api_version: String,
    /// Empty for the resource itself.
    pub subresource: String,
    /// What this endpoint leaves as it is, so that nobody owns it through it.
    pub resets: Vec<Vec<&'static str>>,
    /// RFC 3339.
    pub time: String,
}

/// One `TableColumnDefinition`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: String,
    pub format: String,
    pub description: String,
    /// 0 is always shown, 1 in wide output.
    pub priority: i32,
}

/// A kind without a known schema: everything is kept as it comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Schemaless;

impl Model for Schemaless {
    fn normalize(&self, _: &mut Object) -> Result<Strict, String> {
        Ok(Strict::new())
    }
}
