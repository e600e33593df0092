//! The kinds that the syncer writes or looks up by name, and where the API serves them.

/// A kind by the resource that serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Pod,
    ConfigMap,
    Secret,
    Service,
    EndpointSlice,
    PersistentVolumeClaim,
    PersistentVolume,
    StorageClass,
    Node,
    Lease,
    Event,
    ClusterTrustBundle,
}

impl Kind {
    /// API prefix and resource name.
    const fn resource(self) -> (&'static str, &'static str) {
        match self {
            Self::Pod => ("/api/v1", "pods"),
            Self::ConfigMap => ("/api/v1", "configmaps"),
            Self::Secret => ("/api/v1", "secrets"),
            Self::Service => ("/api/v1", "services"),
            Self::EndpointSlice => ("/apis/discovery.k8s.io/v1", "endpointslices"),
            Self::PersistentVolumeClaim => ("/api/v1", "persistentvolumeclaims"),
            Self::PersistentVolume => ("/api/v1", "persistentvolumes"),
            Self::StorageClass => ("/apis/storage.k8s.io/v1", "storageclasses"),
            Self::Node => ("/api/v1", "nodes"),
            Self::Lease => ("/apis/coordination.k8s.io/v1", "leases"),
            Self::Event => ("/api/v1", "events"),
            Self::ClusterTrustBundle => ("/apis/certificates.k8s.io/v1", "clustertrustbundles"),
        }
    }

    /// Path of the collection (`name` empty) or of the object; `namespace` is empty for cluster-scoped kinds.
    pub(crate) fn path(self, namespace: &str, name: &str, subresource: &str) -> String {
        let (prefix, resource) = self.resource();
        let mut path = prefix.to_owned();
        for part in if namespace.is_empty() { ["", ""] } else { ["namespaces", namespace] } {
            push(&mut path, part);
        }
        for part in [resource, name, subresource] {
            push(&mut path, part);
        }
        path
    }
}

fn push(path: &mut String, part: &str) {
    if !part.is_empty() {
        path.push('/');
        path.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_scope_and_group() {
        assert_eq!(Kind::Pod.path("ns", "a", "status"), "/api/v1/namespaces/ns/pods/a/status");
        assert_eq!(Kind::Node.path("", "n", ""), "/api/v1/nodes/n");
        assert_eq!(
            Kind::Lease.path("kube-node-lease", "", ""),
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        );
    }
}
