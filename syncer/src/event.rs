//! Events: what the host says about a copy is said about the tenant's object, with the host's names taken out.

use crate::marks::Origin;
use crate::scrub::Scrubber;
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The tenant's Event. `origin` is the tenant object that the involved host object is a copy of.
pub(crate) fn to_virtual(host: &Event, origin: &Origin, scrubber: &Scrubber) -> Event {
    let involved = &host.involved_object;
    let host_name = host.metadata.name.as_deref().unwrap_or_default();
    let suffix = host_name.rsplit_once('.').map_or(host_name, |(_, suffix)| suffix);
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{suffix}", origin.name)),
            namespace: Some(origin.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            namespace: Some(origin.namespace.clone()),
            name: Some(origin.name.clone()),
            uid: Some(origin.uid.clone()),
            resource_version: None,
            api_version: involved.api_version.clone(),
            kind: involved.kind.clone(),
            field_path: involved.field_path.clone(),
        },
        related: None,
        message: host.message.as_deref().map(|message| scrubber.text(message)),
        ..host.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_speaks_of_the_tenants_object() {
        let host: Event = serde_json::from_value(json!({
            "metadata": {"name": "web-x-ns-x-t.17abc", "namespace": "hosted", "resourceVersion": "4", "uid": "e"},
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "hosted", "name": "web-x-ns-x-t",
                "uid": "h", "resourceVersion": "3", "fieldPath": "spec.containers{c}"},
            "reason": "FailedMount", "message": "secret \"s-x-ns-x-t\" not found in hosted", "type": "Warning", "count": 2,
        }))
        .unwrap();
        let origin = Origin { namespace: "ns".into(), name: "web".into(), uid: "u".into() };
        let words = [("s-x-ns-x-t", "s"), ("hosted", "ns")].map(|(host, virt)| (host.to_owned(), virt.to_owned()));
        let expected = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": "web.17abc", "namespace": "ns"},
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "ns", "name": "web", "uid": "u",
                "fieldPath": "spec.containers{c}"},
            "reason": "FailedMount", "message": "secret \"s\" not found in ns", "type": "Warning", "count": 2,
        });
        assert_eq!(json!(to_virtual(&host, &origin, &Scrubber::new(words))), expected);
    }
}
