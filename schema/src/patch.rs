//! Patches on JSON trees: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge patch, and server-side apply
//! with its managed fields.
//!
//! What a patch needs to know about types it asks a [`PatchSchema`]: the type tables answer for built-in kinds
//! ([`TableSchema`]), the structural schemas of custom resources in their own way. Everything here is pure, and
//! nothing decides what a client may patch.

pub mod apply;
mod go_text;
pub mod json;
pub mod merge;
pub mod merged;
pub mod strategic;
mod table;

pub use table::TableSchema;

/// A value as Go prints it (`map[a:1]`), for errors that show a patch.
pub fn go_text(value: &Value) -> String {
    go_text::go_text(value)
}

use serde_json::Value;

/// A position in a schema. Handles are cheap to copy.
pub trait PatchSchema: Copy {
    /// The JSON forms that a value may have here, and how each merges.
    fn atom(self) -> Atom;

    /// What a member of the object at this position is.
    fn member(self, name: &str) -> Member<Self>;

    /// What the elements of the list at this position are.
    fn element(self) -> Self;

    /// The `index`-th key of the list at this position, when it is a list of type map.
    fn list_key(&self, index: usize) -> Option<&str>;

    /// The declared default of the value at this position.
    fn default(self) -> Option<Value>;

    /// Whether the member at this position counts as present, though empty, where the JSON leaves it out: a struct that
    /// is no pointer, or a list that is always written. Its creation is then no change of its own.
    fn implied(self) -> bool;

    /// How strategic merge patch treats the member at this position.
    fn strategy(self) -> Strategy;

    /// The key by which strategic merge patch pairs the elements of the list at this position.
    fn merge_key(&self) -> Option<&str>;

    /// The type's name in error messages.
    fn type_name(&self) -> String;
}

/// How strategic merge patch treats a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strategy {
    /// Lists are merged.
    pub merge: bool,
    /// Maps are replaced as a whole.
    pub replace: bool,
}

/// Which JSON forms are allowed, and how they merge. At least one is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Atom {
    pub scalar: Option<ScalarKind>,
    pub list: Option<ListKind>,
    pub map: Option<MapKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarKind {
    Numeric,
    String,
    Boolean,
    /// Any scalar.
    Untyped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// One value, with one owner.
    Atomic,
    /// Elements are told apart by their value.
    Set,
    /// Elements are told apart by their keys.
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// Each member merges by itself.
    Granular,
    /// One value, with one owner.
    Atomic,
}

/// What a schema says about a member of an object.
#[derive(Clone, Copy, Debug)]
pub enum Member<S> {
    /// A declared field.
    Named(S),
    /// A key of a map, whose values are of one type.
    Element(S),
    /// Neither: the object has declared fields only.
    Undeclared,
}

impl<S> Member<S> {
    /// The position, unless undeclared.
    pub fn position(self) -> Option<S> {
        match self {
            Self::Named(schema) | Self::Element(schema) => Some(schema),
            Self::Undeclared => None,
        }
    }
}

/// A patch that cannot be applied; the texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// 400.
    #[error("{0}")]
    BadRequest(String),
    /// 413.
    #[error("{0}")]
    TooLarge(String),
    /// 422.
    #[error("{0}")]
    Unprocessable(String),
    /// 500: upstream answers so for patches that contradict the types of the object.
    #[error("{0}")]
    Internal(String),
}
