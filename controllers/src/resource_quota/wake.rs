//! Which changes charge a quota back or make it count anew: upstream's `pkg/quota/v1/install/update_filter.go` and the
//! handlers of `pkg/controller/resourcequota`.
//!
//! Never what admission has charged already: a recount that has seen the charge and not yet the object would take the charge
//! back, and the next object would go beyond the quota.

use crate::pods;
use informer::Event;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, Service};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) fn quota(event: &Event<ResourceQuota>) -> bool {
    let hard = |quota: &Option<Arc<ResourceQuota>>| quota.as_ref().and_then(|q| q.spec.as_ref()?.hard.clone());
    event.new.is_some() && (event.old.is_none() || hard(&event.old) != hard(&event.new))
}

/// Whether it ended; never whether it came.
fn replenishes<K>(event: &Event<K>, changed: impl Fn(&K, &K) -> bool) -> bool {
    match (&event.old, &event.new) {
        (Some(old), Some(new)) => changed(old, new),
        (old, _) => old.is_some(),
    }
}

pub(super) fn pod(event: &Event<Pod>) -> bool {
    replenishes(event, |old, new| {
        let terminating = |pod: &Pod| pod.spec.as_ref().is_some_and(|spec| spec.active_deadline_seconds.is_some());
        let resources = |pod: &Pod| {
            let status = pod.status.as_ref();
            let containers = status.into_iter().flat_map(|status| {
                status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten())
            });
            containers.map(|status| (status.name.clone(), status.resources.clone())).collect::<Vec<_>>()
        };
        pods::is_terminal(old) != pods::is_terminal(new)
            || terminating(old) != terminating(new)
            || resources(old) != resources(new)
    })
}

pub(super) fn service(event: &Event<Service>) -> bool {
    let kind = |service: &Service| service.spec.as_ref().and_then(|spec| spec.type_.clone());
    replenishes(event, |old, new| kind(old) != kind(new))
}

pub(super) fn claim(event: &Event<PersistentVolumeClaim>) -> bool {
    replenishes(event, |old, new| {
        let allocated =
            |claim: &PersistentVolumeClaim| claim.status.as_ref().and_then(|status| status.allocated_resources.clone());
        allocated(old) != allocated(new) || classes(old) != classes(new)
    })
}

/// The attribute classes that a claim has or wants.
fn classes(claim: &PersistentVolumeClaim) -> BTreeSet<&str> {
    let wanted = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref());
    let status = claim.status.as_ref();
    let current = status.and_then(|status| status.current_volume_attributes_class_name.as_deref());
    let modified =
        status.and_then(|status| status.modify_volume_status.as_ref()?.target_volume_attributes_class_name.as_deref());
    [wanted, current, modified].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn event<K: serde::de::DeserializeOwned>(old: Value, new: Value) -> Event<K> {
        let read = |value: Value| serde_json::from_value::<Option<K>>(value).unwrap().map(Arc::new);
        Event { old: read(old), new: read(new) }
    }

    #[test]
    fn a_charge_by_admission_wakes_nothing() {
        let used = |used: &str| json!({"spec": {"hard": {"pods": "2"}}, "status": {"used": {"pods": used}}});
        assert!(!quota(&event(used("0"), used("1"))));
        assert!(quota(&event(used("0"), json!({"spec": {"hard": {"pods": "3"}}}))));
        assert!(quota(&event(Value::Null, used("0"))));
        assert!(!pod(&event(Value::Null, json!({}))));
    }

    #[test]
    fn what_ends_or_shrinks_wakes() {
        assert!(pod(&event(json!({}), Value::Null)));
        assert!(pod(&event(json!({}), json!({"status": {"phase": "Succeeded"}}))));
        assert!(!pod(&event(json!({}), json!({"status": {"phase": "Running"}}))));
        assert!(pod(&event(json!({}), json!({"spec": {"activeDeadlineSeconds": 5, "containers": []}}))));
        assert!(service(&event(json!({"spec": {"type": "NodePort"}}), json!({"spec": {"type": "ClusterIP"}}))));
        assert!(claim(&event(json!({}), json!({"status": {"allocatedResources": {"storage": "1Gi"}}}))));
        assert!(!claim(&event(json!({}), json!({"status": {"phase": "Bound"}}))));
    }
}
