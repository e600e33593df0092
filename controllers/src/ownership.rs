//! Which objects does an owner control: adoption of orphans that it selects, release of those that it no longer selects.
//! Upstream's `pkg/controller/controller_ref_manager.go`.

use crate::meta::{Meta, controller_reference};
use crate::plan::{PatchKind, Plan};
use k8s_openapi::Resource;
use serde_json::json;
use std::sync::Arc;

/// The objects that are the owner's after the plan's adoptions and releases.
#[derive(Debug)]
pub(crate) struct Claim<K> {
    pub(crate) owned: Vec<Arc<K>>,
    adopted: Vec<Arc<K>>,
    released: Vec<Arc<K>>,
}

/// Sorts `candidates` by what `owner` must do about them. A terminating owner neither adopts nor releases.
pub(crate) fn claim<O: Meta, K: Meta>(
    owner: &O,
    candidates: impl IntoIterator<Item = Arc<K>>,
    selects: impl Fn(&K) -> bool,
) -> Claim<K> {
    let mut claim = Claim { owned: Vec::new(), adopted: Vec::new(), released: Vec::new() };
    for candidate in candidates {
        match candidate.controller() {
            Some(reference) if reference.uid != owner.uid() => {}
            Some(_) if selects(&candidate) => claim.owned.push(candidate),
            Some(_) if owner.terminating() => {}
            Some(_) => claim.released.push(candidate),
            None if owner.terminating() || candidate.terminating() || !selects(&candidate) => {}
            None => {
                claim.adopted.push(candidate.clone());
                claim.owned.push(candidate);
            }
        }
    }
    claim
}

impl<K: Resource + Meta> Claim<K> {
    /// Plans the patches. The owner is read live before anything is adopted: a cache may show it after its deletion.
    pub(crate) fn write<O: Resource + Meta>(&self, owner: &O, finalizers: &[&str], plan: &mut Plan) {
        if !self.adopted.is_empty() {
            plan.expect_live(owner);
        }
        for object in &self.adopted {
            let mut patch =
                json!({"metadata": {"uid": object.uid(), "ownerReferences": [controller_reference(owner)]}});
            if !finalizers.is_empty() {
                patch["metadata"]["finalizers"] = json!(finalizers);
            }
            plan.patch(&**object, "", PatchKind::Strategic, patch);
        }
        for object in &self.released {
            let mut patch = json!({"metadata": {"uid": object.uid(), "ownerReferences": [{"$patch": "delete", "uid": owner.uid()}]}});
            if !finalizers.is_empty() {
                patch["metadata"]["$deleteFromPrimitiveList/finalizers"] = json!(finalizers);
            }
            plan.patch(&**object, "", PatchKind::Strategic, patch);
        }
    }
}
