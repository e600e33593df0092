//! The decoders of kinds that several parts read, as code that stands once in the program.
//!
//! A generic function is compiled in the first crate that names its types; crates beside each other each get their own copy,
//! and the decoder of one large kind with all that is in it takes tens of kilobytes. Every reader depends on this crate.

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController,
    Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::resource::v1::ResourceClaim;
use k8s_openapi::api::storage::v1::{StorageClass, VolumeAttachment};
use serde::de::DeserializeOwned;

type Decoder = fn(&[u8]) -> Result<(), serde_json::Error>;

fn decode<K: DeserializeOwned>(bytes: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice::<K>(bytes).map(drop)
}

macro_rules! decoders {
    ($($kind:ident),* $(,)?) => {
        /// By kind: whether bytes are such an object.
        pub static DECODERS: &[(&str, Decoder)] = &[$((stringify!($kind), decode::<$kind>)),*];
    };
}

decoders! {
    ConfigMap, ControllerRevision, DaemonSet, Deployment, EndpointSlice, Endpoints, Event, Job, Lease, Namespace, Node,
    PersistentVolume, PersistentVolumeClaim, Pod, PodDisruptionBudget, ReplicaSet, ReplicationController, ResourceClaim,
    Secret, Service, ServiceAccount, StatefulSet, StorageClass, VolumeAttachment,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_known_by_its_name_only() {
        for (kind, decoder) in DECODERS {
            let object =
                |kind: &str| format!(r#"{{"kind": "{kind}", "metadata": {{}}, "spec": {{}}, "roleRef": {{}}}}"#);
            let of = |kind: &str| decoder(object(kind).as_bytes());
            let other = if *kind == "Pod" { "Node" } else { "Pod" };
            assert!(of(other).is_err(), "{kind}");
            assert!(decoder(b"{").is_err(), "{kind}");
        }
    }
}
