//! StorageClasses: the host's show up in the tenant, without the parameters, which are between the host and its driver.
//! A class without our record is the tenant's own and never touched, also where its name hides the host's.

use crate::kind::Kind;
use crate::marks;
use crate::step::{Plan, Step};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// Whether a class of the tenant is a mirror of the host's.
pub(crate) fn is_mirror(virt: &StorageClass) -> bool {
    !marks::annotation(&virt.metadata, marks::HOST_STATE).is_empty()
}

/// A class cannot change, so one that did on the host is replaced.
pub(crate) fn plan(virt: Option<&StorageClass>, host: Option<&StorageClass>) -> Plan {
    let wanted = host.map(to_virtual);
    let create = |object: StorageClass| Step::VirtCreate {
        kind: Kind::StorageClass,
        namespace: String::new(),
        object: json!(object),
    };
    let delete = |virt: &StorageClass| Step::VirtDelete {
        kind: Kind::StorageClass,
        namespace: String::new(),
        name: virt.metadata.name.clone().unwrap_or_default(),
        uid: virt.metadata.uid.clone().unwrap_or_default(),
        grace: None,
    };
    match (virt, wanted) {
        (None, wanted) => Plan::of(wanted.map(create).into_iter().collect()),
        (Some(virt), _) if !is_mirror(virt) => Plan::nothing(),
        (Some(virt), None) => Plan::of(vec![delete(virt)]),
        (Some(virt), Some(wanted)) => {
            let state = |class: &StorageClass| marks::annotation(&class.metadata, marks::HOST_STATE).to_owned();
            if state(virt) == state(&wanted) { Plan::nothing() } else { Plan::of(vec![delete(virt), create(wanted)]) }
        }
    }
}

fn to_virtual(host: &StorageClass) -> StorageClass {
    let mut virt = StorageClass { metadata: ObjectMeta::default(), parameters: None, ..host.clone() };
    let is_default = marks::annotation(&host.metadata, IS_DEFAULT).to_owned();
    let record = crate::names::hash(&[&json!(virt).to_string(), &is_default]);
    let mut annotations = vec![(marks::HOST_STATE.to_owned(), record)];
    if !is_default.is_empty() {
        annotations.push((IS_DEFAULT.into(), is_default));
    }
    virt.metadata.name.clone_from(&host.metadata.name);
    virt.metadata.annotations = Some(annotations.into_iter().collect());
    virt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(policy: &str) -> StorageClass {
        serde_json::from_value(json!({
            "metadata": {"name": "fast", "annotations": {IS_DEFAULT: "true", "x": "y"}},
            "provisioner": "p", "parameters": {"secret": "s"}, "reclaimPolicy": policy,
            "volumeBindingMode": "WaitForFirstConsumer",
        }))
        .unwrap()
    }

    #[test]
    fn a_class_is_mirrored_replaced_and_removed() {
        let created = plan(None, Some(&host("Delete")));
        let [Step::VirtCreate { object, .. }] = created.steps.as_slice() else { panic!("{created:?}") };
        assert!(object.get("parameters").is_none());
        assert_eq!(object["metadata"]["annotations"][IS_DEFAULT], "true");
        let mirror: StorageClass = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(plan(Some(&mirror), Some(&host("Delete"))), Plan::nothing());
        assert_eq!(plan(Some(&mirror), Some(&host("Retain"))).steps.len(), 2);
        assert_eq!(plan(Some(&mirror), None).steps.len(), 1);
        let own: StorageClass =
            serde_json::from_value(json!({"metadata": {"name": "fast"}, "provisioner": "q"})).unwrap();
        assert_eq!(plan(Some(&own), Some(&host("Delete"))), Plan::nothing());
        assert_eq!(plan(Some(&own), None), Plan::nothing());
    }
}
