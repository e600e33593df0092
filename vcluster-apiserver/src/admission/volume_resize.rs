//! Claims grow only when bound and when their class allows it
//! (k8s.io/kubernetes `plugin/pkg/admission/storage/persistentvolume/resize`).

use super::{Attributes, Plugin, lookup};
use crate::backend::{Backend, Transaction};
use crate::request::RequestCx;
use apimachinery::quantity::Quantity;
use apimachinery::{Object, Status};
use async_trait::async_trait;
use serde_json::Value;

#[derive(Clone, Copy, Debug, Default)]
pub struct PersistentVolumeClaimResize;

/// The class of a claim: the old annotation, then the field.
pub(super) fn class_of(claim: &Object) -> &str {
    claim
        .annotation("volume.beta.kubernetes.io/storage-class")
        .or_else(|| claim.at(&["spec", "storageClassName"])?.as_str())
        .unwrap_or_default()
}

fn size(claim: &Object) -> Option<Quantity> {
    Quantity::from_json(claim.at(&["spec", "resources", "requests", "storage"])?).ok()
}

#[async_trait]
impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn handles(&self, a: &Attributes) -> bool {
        a.updates() && a.is("", "persistentvolumeclaims")
    }

    async fn validate(
        &self,
        _: &RequestCx,
        backend: &Backend,
        a: &Attributes,
        claim: &Object,
        _: &mut Transaction,
    ) -> Result<(), Status> {
        let Some(old) = &a.old else { return Ok(()) };
        if size(claim) <= size(old) {
            return Ok(());
        }
        if old.at(&["status", "phase"]).and_then(Value::as_str) != Some("Bound") {
            return Err(a.forbidden(claim, "Only bound persistent volume claims can be expanded"));
        }
        let class = class_of(claim);
        let allowed = !class.is_empty()
            && class == class_of(old)
            && lookup(backend, "storage.k8s.io", "storageclasses", "", class)
                .await?
                .is_some_and(|c| c.at(&["allowVolumeExpansion"]) == Some(&Value::Bool(true)));
        if allowed {
            return Ok(());
        }
        let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
        Err(a.forbidden(claim, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::fixture::Asked;
    use crate::fixture::Fixture;
    use serde_json::json;

    #[tokio::test]
    async fn growth_is_judged_by_phase_and_class() {
        let store = Fixture::default();
        for (name, allowed) in [("grows", true), ("fixed", false)] {
            let class = json!({ "metadata": { "name": name }, "allowVolumeExpansion": allowed });
            store.put("storageclasses", "storage.k8s.io", class).await;
        }
        let claim = |size: &str, class: &str, phase: &str| {
            json!({
                "metadata": { "name": "c", "namespace": "ns" },
                "spec": { "storageClassName": class, "resources": { "requests": { "storage": size } } },
                "status": { "phase": phase },
            })
        };
        let cases = [
            ("1Gi", "2Gi", "grows", "Bound", true),
            ("1Gi", "2Gi", "grows", "Pending", false),
            ("1Gi", "2Gi", "fixed", "Bound", false),
            ("1Gi", "1024Mi", "fixed", "Bound", true),
        ];
        for (old, new, class, phase, wanted) in cases {
            let asked = Asked::update("/persistentvolumeclaims", claim(old, class, phase), claim(new, class, phase));
            let outcome = asked.run(&PersistentVolumeClaimResize, &store).await;
            assert_eq!(outcome.is_ok(), wanted, "{old} {new} {class} {phase}");
        }
    }
}
