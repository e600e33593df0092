//! Kinds whose behaviour is a table: what they must be, what never changes, what is filled in, how they are written.

use super::rules::{self, Rule};
use crate::registry::strategy::{NameRule, NamespaceLabel, Strategy};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError};
use serde_json::{Map, Value};

/// The metadata that status updates of newer kinds leave alone (`ResetObjectMetaForStatus`).
pub const METADATA: &[&str] = &["labels", "annotations", "finalizers", "ownerReferences"];

/// Warnings about an object that replaces another, or nothing.
pub type Warnings = fn(&Map<String, Value>, Option<&Map<String, Value>>) -> Vec<String>;

/// Sets times of the first object; the second is the live one.
pub type Stamp = fn(&mut Map<String, Value>, Option<&Map<String, Value>>, &str);

/// What an object that replaces another, or nothing, needs of its namespace.
pub type NeededLabel = fn(&Map<String, Value>, Option<&Map<String, Value>>) -> Option<NamespaceLabel>;

/// One kind as data; start from [`Ruled::PLAIN`].
pub struct Ruled {
    pub name: NameRule,
    /// Whether the metadata is looked at only once the kind found nothing wrong.
    pub metadata_comes_last: bool,
    /// `SetDefaults_KIND` beyond the declared defaults.
    pub defaults: fn(&mut Map<String, Value>),
    /// Sets times: new, old, now; the old one is none where defaults are filled in.
    pub stamp: Stamp,
    /// What the namespace has to allow; the old one is none on creation.
    pub namespace_label: NeededLabel,
    pub rules: &'static [Rule],
    /// Whether nothing that the rules look at can change, so that they are not asked again.
    pub unchanging: bool,
    /// What needs more than one place at a time.
    pub more: fn(&Map<String, Value>, &mut ErrorList),
    /// What an update of the status must be.
    pub status: &'static [Rule],
    /// What of it needs more than one place at a time.
    pub status_more: fn(&Map<String, Value>, &mut ErrorList),
    /// What else it must not do: new, old.
    pub status_update: fn(&Map<String, Value>, &Map<String, Value>, &mut ErrorList),
    /// Places that never change: "field is immutable".
    pub fixed: &'static [&'static str],
    /// The same, where upstream checks them by declaration and then does not print the value.
    pub sealed: &'static [&'static str],
    /// Warnings about the new object; the old one is none on creation.
    pub warnings: Warnings,
    /// What the server sets on creation.
    pub create: fn(&mut Object),
    /// What the server forgets of every write.
    pub prepare: fn(&mut Map<String, Value>),
    /// What it forgets only once the generation has counted it.
    pub forget: fn(&mut Map<String, Value>),
    /// Which of the metadata a status update leaves as it is.
    pub status_keeps: &'static [&'static str],
    /// What else an update must not do: new, old.
    pub update: fn(&Map<String, Value>, &Map<String, Value>, &mut ErrorList),
    pub generation: bool,
    /// The metadata that counts as desired state too.
    pub counted: &'static [&'static str],
    /// Whether an empty list in the place of none counts as a change of it.
    pub counts_empties: bool,
    /// Whether an update must say which version it replaces.
    pub conditional: bool,
    /// Whether PUT of a missing object creates it.
    pub created_by_put: bool,
}

impl Ruled {
    pub const PLAIN: Self = Self {
        name: NameRule::DnsSubdomain,
        metadata_comes_last: false,
        defaults: |_| {},
        stamp: |_, _, _| {},
        namespace_label: |_, _| None,
        rules: &[],
        unchanging: false,
        more: |_, _| {},
        status: &[],
        status_more: |_, _| {},
        status_update: |_, _, _| {},
        status_keeps: &[],
        fixed: &[],
        sealed: &[],
        warnings: |_, _| Vec::new(),
        create: |_| {},
        prepare: |_| {},
        forget: |_| {},
        update: |_, _, _| {},
        generation: false,
        counted: &[],
        counts_empties: false,
        conditional: false,
        created_by_put: false,
    };
}

impl Strategy for Ruled {
    fn name_rule(&self) -> NameRule {
        self.name
    }

    fn metadata_comes_last(&self) -> bool {
        self.metadata_comes_last
    }

    fn default(&self, object: &mut Object) {
        (self.defaults)(object.as_map_mut());
    }

    fn stamp(&self, new: &mut Object, old: Option<&Object>, now: &str) {
        (self.stamp)(new.as_map_mut(), old.map(Object::as_map), now);
    }

    fn needs_namespace_label(&self, new: &Object, old: Option<&Object>) -> Option<NamespaceLabel> {
        (self.namespace_label)(new.as_map(), old.map(Object::as_map))
    }

    fn prepare_create(&self, object: &mut Object) {
        (self.create)(object);
        (self.prepare)(object.as_map_mut());
    }

    fn prepare_update(&self, new: &mut Object, _: &Object) {
        (self.prepare)(new.as_map_mut());
    }

    fn prepare_status_update(&self, new: &mut Object, _: &Object) {
        (self.prepare)(new.as_map_mut());
    }

    fn forget(&self, object: &mut Object) {
        (self.forget)(object.as_map_mut());
    }

    fn warnings(&self, new: &Object, old: Option<&Object>) -> Vec<String> {
        (self.warnings)(new.as_map(), old.map(Object::as_map))
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        let mut errors = rules::check_map(object.as_map(), self.rules);
        (self.more)(object.as_map(), &mut errors);
        errors
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = if self.unchanging { ErrorList::new() } else { self.validate_create(new) };
        errors.extend(rules::fixed(new.as_map(), old.as_map(), self.fixed));
        let sealed = rules::fixed(new.as_map(), old.as_map(), self.sealed);
        errors.extend(sealed.into_iter().map(|error| FieldError { value: Some(Value::Null), ..error }));
        (self.update)(new.as_map(), old.as_map(), &mut errors);
        errors
    }

    fn validate_status_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = rules::check_map(new.as_map(), self.status);
        (self.status_more)(new.as_map(), &mut errors);
        (self.status_update)(new.as_map(), old.as_map(), &mut errors);
        errors
    }

    fn status_keeps(&self) -> &'static [&'static str] {
        self.status_keeps
    }

    fn has_generation(&self) -> bool {
        self.generation
    }

    fn counts_empties(&self) -> bool {
        self.counts_empties
    }

    fn counted_metadata(&self) -> &'static [&'static str] {
        self.counted
    }

    fn allows_unconditional_update(&self) -> bool {
        !self.conditional
    }

    fn allows_create_on_update(&self) -> bool {
        self.created_by_put
    }
}

/// What creation of an object would be refused for, once its defaults are filled in.
#[cfg(test)]
pub fn refusals(kind: &Ruled, object: Value) -> Vec<String> {
    let mut object = Object::from_value(object).unwrap();
    kind.default(&mut object);
    kind.validate_create(&object).iter().map(ToString::to_string).collect()
}
