//! Label and field selectors of a request, ready to be asked about cache entries.

use crate::registry::fields;
use crate::registry::head::Head;
use crate::registry::resource::Resource;
use apimachinery::Status;
use apimachinery::selector::{FieldSelector, LabelSelector};
use std::sync::Arc;
use storage::Entry;

/// What one term of a field selector looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Name,
    Namespace,
    /// Index into the paths of the stored resource.
    Field(usize),
}

/// Which objects of a resource a request is about.
#[derive(Clone, Debug)]
pub struct Selection {
    labels: LabelSelector,
    fields: Vec<(Look, String, bool)>,
    paths: Arc<[Arc<str>]>,
}

impl Selection {
    /// 400 for selectors that cannot be read or name a field that the resource cannot be selected by.
    pub fn parse(resource: &Resource, labels: &str, field_selector: &str) -> Result<Self, Status> {
        let labels = LabelSelector::parse(labels).map_err(|e| Status::bad_request(e.to_string()))?;
        let parsed = FieldSelector::parse(field_selector).map_err(|e| Status::bad_request(e.to_string()))?;
        let paths = resource.stored.paths.clone();
        let mut terms = Vec::new();
        for term in parsed.terms() {
            let look = match term.field.as_str() {
                "metadata.name" => Look::Name,
                "metadata.namespace" if resource.namespaced => Look::Namespace,
                label => {
                    let path = resource.fields.iter().find(|(l, _)| l == label).map(|(_, path)| path);
                    let index = path.and_then(|path| paths.iter().position(|p| **p == **path));
                    Look::Field(index.ok_or_else(|| unsupported(resource, label))?)
                }
            };
            terms.push((look, term.value.clone(), term.negated));
        }
        Ok(Self { labels, fields: terms, paths })
    }

    pub fn everything() -> Self {
        Self { labels: LabelSelector::everything(), fields: Vec::new(), paths: Arc::from([]) }
    }

    /// Whether every object is selected.
    pub fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The one namespace that the field selector allows.
    pub fn namespace(&self) -> Option<Arc<str>> {
        self.exact(Look::Namespace)
    }

    /// The one name that the field selector allows.
    pub fn name(&self) -> Option<Arc<str>> {
        self.exact(Look::Name)
    }

    fn exact(&self, what: Look) -> Option<Arc<str>> {
        self.fields
            .iter()
            .find(|(look, _, negated)| *look == what && !negated)
            .map(|(_, value, _)| value.as_str().into())
    }

    pub fn matches(&self, entry: &Entry) -> bool {
        let mut head: Option<Arc<Head>> = None;
        for (look, value, negated) in &self.fields {
            let equal = match look {
                Look::Name => *entry.key.name == **value,
                Look::Namespace => *entry.key.namespace == **value,
                Look::Field(index) => head.get_or_insert_with(|| Head::of(entry, &self.paths)).field(*index) == value,
            };
            if equal == *negated {
                return false;
            }
        }
        if self.labels.is_empty() {
            return true;
        }
        let head = head.unwrap_or_else(|| Head::of(entry, &self.paths));
        self.labels.matches(|key| head.label(key))
    }
}

fn unsupported(resource: &Resource, label: &str) -> Status {
    let known = fields::of(&resource.gvr.group, &resource.gvr.resource);
    // Kinds with fields of their own and those without word it differently; those of replica sets cannot be asked for.
    let kind = (&*resource.gvr.group, &*resource.gvr.resource);
    let message = if kind == ("batch", "jobs") {
        format!("field label {label:?} not supported for Job")
    } else if known.is_empty() || kind == ("apps", "replicasets") {
        format!("\"{label}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
    } else if resource.gvr.group == "resource.k8s.io" {
        format!("field label not supported for {}, Kind={}: {label}", resource.kind.api_version(), resource.kind.kind)
    } else {
        format!("field label not supported: {label}")
    };
    Status::bad_request(message)
}
