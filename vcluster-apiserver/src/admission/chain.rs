//! The plugins in upstream's order (k8s.io/kubernetes `pkg/kubeapiserver/options/plugins.go`).

use super::{
    Plugin, certificates, default_class, default_tolerations, escalation, limit_ranger, namespace_lifecycle,
    node_restriction, node_taint, pod_security, priority, resource_quota, runtime_class, service_account,
    storage_protection, volume_resize,
};
use crate::authz::Authorizer;
use crate::authz::rbac::Rbac;
use apimachinery::clock::{Clock, Rng};
use std::sync::Arc;

/// What the built-in plugins need.
pub struct Deps {
    pub authorizer: Arc<dyn Authorizer>,
    /// None where another authorizer than RBAC decides: then nobody can tell what a role would grant.
    pub rbac: Option<Arc<Rbac>>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
}

/// Upstream's defaults and NodeRestriction; `dynamic` (policies and webhooks) come before ResourceQuota.
pub fn built_in(deps: Deps, dynamic: Vec<Arc<dyn Plugin>>) -> Vec<Arc<dyn Plugin>> {
    let mut plugins: Vec<Arc<dyn Plugin>> = vec![
        Arc::new(namespace_lifecycle::NamespaceLifecycle),
        Arc::new(limit_ranger::LimitRanger),
        Arc::new(service_account::ServiceAccount::new(deps.rng)),
        Arc::new(node_restriction::NodeRestriction),
        Arc::new(node_taint::TaintNodesByCondition),
        Arc::new(pod_security::PodSecurity),
        Arc::new(priority::Priority),
        Arc::new(default_tolerations::DefaultTolerationSeconds),
        Arc::new(default_class::DefaultStorageClass),
        Arc::new(storage_protection::StorageObjectInUseProtection),
        Arc::new(volume_resize::PersistentVolumeClaimResize),
        Arc::new(runtime_class::RuntimeClass),
        Arc::new(certificates::CertificateApproval(deps.authorizer.clone())),
        Arc::new(certificates::CertificateSigning(deps.authorizer.clone())),
        Arc::new(certificates::CertificateSubjectRestriction),
        Arc::new(default_class::DefaultIngressClass),
    ];
    if let Some(rbac) = deps.rbac {
        plugins.push(Arc::new(escalation::Escalation::new(deps.authorizer, rbac)));
    }
    plugins.extend(dynamic);
    plugins.push(Arc::new(resource_quota::ResourceQuota::new(deps.clock)));
    plugins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::union::Union;
    use apimachinery::clock::{FixedClock, SeededRng};

    #[test]
    fn the_order_is_upstreams() {
        let deps = Deps {
            authorizer: Arc::new(Union::new(vec![])),
            rbac: None,
            clock: Arc::new(FixedClock::new(0)),
            rng: Arc::new(SeededRng::new(0)),
        };
        let wanted = "NamespaceLifecycle LimitRanger ServiceAccount NodeRestriction TaintNodesByCondition PodSecurity \
            Priority DefaultTolerationSeconds DefaultStorageClass StorageObjectInUseProtection \
            PersistentVolumeClaimResize RuntimeClass CertificateApproval CertificateSigning \
            CertificateSubjectRestriction DefaultIngressClass ResourceQuota";
        let names: Vec<&str> = built_in(deps, vec![]).iter().map(|p| p.name()).collect();
        assert_eq!(names.join(" "), wanted);
    }
}
