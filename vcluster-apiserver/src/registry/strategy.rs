//! What a kind knows beyond its table: defaults, preparation, validation, immutability, warnings.
//!
//! Everything is pure and synchronous, on JSON trees that were decoded strictly by the type's table before. A method
//! not overridden does what most kinds need. Mirrors k8s.io/apiserver `pkg/registry/rest` create and update strategies.

use crate::request::UserInfo;
use apimachinery::Object;
use apimachinery::field::{ErrorList, Path};
use serde_json::Value;
use std::collections::BTreeMap;

/// What the names of a kind's objects must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NameRule {
    #[default]
    DnsSubdomain,
    /// The same, judged by declaration, which counts in bytes and does not look at `generateName`.
    LongName,
    DnsLabel,
    /// Anything that fits a path segment: RBAC kinds.
    PathSegment,
    /// An IP address in canonical form.
    Address,
}

/// A label that the namespace of an object must have.
#[derive(Clone, Debug)]
pub struct NamespaceLabel {
    /// What asks for it.
    pub path: Path,
    pub key: &'static str,
    /// What it allows, in the words of the refusal.
    pub allows: &'static str,
}

/// A kind's own behaviour. `old` is the live object, `new` what would be stored.
pub trait Strategy: Send + Sync + 'static {
    fn name_rule(&self) -> NameRule {
        NameRule::default()
    }

    /// Whether the metadata is looked at only once the kind found nothing wrong: kinds whose own validation leaves it out.
    fn metadata_comes_last(&self) -> bool {
        false
    }

    /// Upstream's `SetDefaults_*`: runs after decoding a request and after every patch, on every write.
    fn default(&self, _object: &mut Object) {}

    /// The part of [`Strategy::default`] (`old` is none) and of [`Strategy::prepare_update`] (`old` is the live object)
    /// that sets times; `now` is in RFC 3339, in seconds.
    fn stamp(&self, _new: &mut Object, _old: Option<&Object>, _now: &str) {}

    /// What of the object its namespace has to allow by a label with the value `true`; `old` is none on creation.
    fn needs_namespace_label(&self, _new: &Object, _old: Option<&Object>) -> Option<NamespaceLabel> {
        None
    }

    /// `PrepareForCreate`: wipes what clients may not set. The generic path already wiped `status` where the kind has
    /// the subresource and set `generation` where the kind has one.
    fn prepare_create(&self, _object: &mut Object) {}

    /// The part of `PrepareForCreate` that depends on who asks; runs right after [`Strategy::prepare_create`].
    fn prepare_create_as(&self, _object: &mut Object, _user: &UserInfo) {}

    /// `PrepareForUpdate` of the main endpoint. The generic path already restored `status` and bumped `generation`.
    fn prepare_update(&self, _new: &mut Object, _old: &Object) {}

    /// What of both preparations comes once the generation has counted the change: kinds that drop fields that late.
    fn forget(&self, _object: &mut Object) {}

    /// `PrepareForUpdate` of the status endpoint. The generic path already restored everything but `status` and,
    /// of the metadata, what status updates may not touch.
    fn prepare_status_update(&self, _new: &mut Object, _old: &Object) {}

    /// Which of the metadata a status update leaves as it is.
    fn status_keeps(&self) -> &'static [&'static str] {
        &[]
    }

    /// What else nobody owns through an endpoint, because it leaves that as it is.
    fn resets(&self, _subresource: &str) -> &'static [&'static [&'static str]] {
        &[]
    }

    fn validate_create(&self, _object: &Object) -> ErrorList {
        ErrorList::new()
    }

    fn validate_update(&self, _new: &Object, _old: &Object) -> ErrorList {
        ErrorList::new()
    }

    fn validate_status_update(&self, _new: &Object, _old: &Object) -> ErrorList {
        ErrorList::new()
    }

    /// Texts of `Warning` headers; `old` is none on creation.
    fn warnings(&self, _new: &Object, _old: Option<&Object>) -> Vec<String> {
        Vec::new()
    }

    /// Whether `metadata.generation` counts changes of the desired state. Most kinds with a status do.
    fn has_generation(&self) -> bool {
        false
    }

    /// The metadata that counts as desired state too.
    fn counted_metadata(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether an empty list in the place of none counts as a change: kinds that upstream compares with `reflect.DeepEqual`.
    fn counts_empties(&self) -> bool {
        false
    }

    /// What of the object counts as desired state for the generation: all but `metadata` and `status` by default.
    fn desired_changed(&self, new: &Object, old: &Object) -> bool {
        let rest = |o: &Object| -> BTreeMap<String, Value> {
            o.as_map()
                .iter()
                .filter(|(k, _)| !matches!(k.as_str(), "metadata" | "status" | "apiVersion" | "kind"))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect()
        };
        let metadata = |o: &Object, field: &str| o.metadata().and_then(|m| m.get(field)).cloned();
        rest(new) != rest(old)
            || self.counted_metadata().iter().any(|field| metadata(new, field) != metadata(old, field))
    }

    /// Whether an update without a resourceVersion overwrites whatever is there.
    fn allows_unconditional_update(&self) -> bool {
        true
    }

    /// Whether PUT of a missing object creates it.
    fn allows_create_on_update(&self) -> bool {
        false
    }

    /// Whether a status that comes with a creation is kept: nodes, which register themselves with one.
    fn keeps_status_on_create(&self) -> bool {
        false
    }

    /// `PrepareForUpdate` of any other subresource that shows the object itself (`ephemeralcontainers`, `resize`,
    /// `approval`, `finalize`). The generic path already restored everything that the subresource may not change.
    fn prepare_subresource_update(&self, _subresource: &str, _new: &mut Object, _old: &Object) {}

    fn validate_subresource_update(&self, _subresource: &str, _new: &Object, _old: &Object) -> ErrorList {
        ErrorList::new()
    }

    /// An annotation that stands for a field: whoever asks for metadata alone does not see it.
    fn field_annotation(&self) -> Option<&'static str> {
        None
    }

    /// Whether the kind's objects are never garbage collected, so that no deletion policy applies: events.
    fn ignores_propagation(&self) -> bool {
        false
    }

    /// Whether what belongs to an object stays when its deletion does not say otherwise.
    fn orphans_dependents(&self) -> bool {
        false
    }

    /// The text of a `Warning` header for deletions that do not say what becomes of dependents.
    fn delete_warning(&self) -> Option<&'static str> {
        None
    }

    /// Seconds that a deletion waits for the node, when the kind deletes gracefully: pods.
    fn grace_period(&self, _object: &Object, _asked: Option<i64>) -> Option<i64> {
        None
    }

    /// Field selectors beyond `metadata.name` and `metadata.namespace`: the label and where its value stands.
    fn selectable_fields(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
}

/// A kind with nothing of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Strategy for Plain {}
