//! Everything that is read from the host before anything is decided.

use crate::api::TenantCluster;
use crate::pki::{Authority, Client};
use crate::report::Report;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service};
use kube::api::DynamicObject;

/// A tenant and its surroundings at one moment.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub tenant: TenantCluster,
    pub statefulset: Option<DynamicObject>,
    pub service: Option<Service>,
    /// The control plane pod.
    pub pod: Option<DynamicObject>,
    /// The claim of the control plane's volume.
    pub claim: Option<PersistentVolumeClaim>,
    /// The StorageClass that the claim names does not exist.
    pub storage_class_missing: Option<String>,
    /// Objects of ours-to-be that belong to somebody else, such as `Service demo`.
    pub foreign: Vec<String>,
    /// What the tenant said last, whichever pod said it.
    pub report: Option<Report>,
    pub authority: Option<Authority>,
    pub admin: Option<Client>,
    /// An address of a host node, for NodePort endpoints.
    pub node_address: Option<String>,
}

impl Observed {
    pub fn name(&self) -> &str {
        self.tenant.metadata.name.as_deref().unwrap_or_default()
    }

    pub fn namespace(&self) -> &str {
        self.tenant.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub fn cluster_ip(&self) -> Option<&str> {
        let ip = self.service.as_ref()?.spec.as_ref()?.cluster_ip.as_deref()?;
        (!ip.is_empty() && ip != "None").then_some(ip)
    }

    /// The report, when the pod that runs now made it.
    pub fn current_report(&self) -> Option<&Report> {
        let uid = self.pod.as_ref()?.metadata.uid.as_deref()?;
        self.report.as_ref().filter(|r| r.pod_uid == uid)
    }
}
