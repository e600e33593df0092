//! Renames what a pod refers to and remembers it: a reference that is translated cannot be forgotten to be synced.

use crate::kind::Kind;
use crate::references::Reference;
use crate::{Config, names};
use k8s_openapi::api::core::v1::LocalObjectReference;
use std::collections::BTreeSet;

pub(crate) struct Namer<'a> {
    config: &'a Config,
    namespace: &'a str,
    uses: BTreeSet<Reference>,
}

impl<'a> Namer<'a> {
    pub(crate) fn new(config: &'a Config, namespace: &'a str) -> Self {
        Self { config, namespace, uses: BTreeSet::new() }
    }

    /// Replaces the name of an object of the pod's namespace by its copy's.
    pub(crate) fn rename(&mut self, kind: Kind, name: &mut String) {
        if name.is_empty() {
            return;
        }
        let host_name = names::host_name(name, self.namespace, &self.config.tenant);
        self.uses.insert((kind, std::mem::replace(name, host_name)));
    }

    pub(crate) fn rename_secret(&mut self, reference: &mut Option<LocalObjectReference>) {
        if let Some(reference) = reference {
            self.rename(Kind::Secret, &mut reference.name);
        }
    }

    pub(crate) fn into_uses(self) -> BTreeSet<Reference> {
        self.uses
    }
}
