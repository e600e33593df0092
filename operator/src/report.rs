//! What a tenant process says about itself: one ConfigMap `NAME-status` that it writes and the operator reads.
//!
//! A file between two programs that must not call each other: the operator never needs credentials of a tenant, and a
//! tenant never needs rights on the TenantCluster.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The key of the ConfigMap under which the report stands, as JSON.
pub const KEY: &str = "report";

/// The parts that report, by the condition that shows them.
pub const COMPONENTS: [&str; 6] =
    ["DatastoreReady", "APIServerAvailable", "ControllersHealthy", "SchedulerHealthy", "DNSHealthy", "SyncerHealthy"];

/// The state of a tenant process. Written on every change of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The uid of the pod that speaks; a report of an earlier pod counts as none.
    pub pod_uid: String,
    /// `v1.37.2`
    pub version: String,
    pub nodes: i64,
    /// By condition type.
    pub components: BTreeMap<String, Component>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    pub healthy: bool,
    /// A sentence for people; empty when healthy.
    #[serde(default)]
    pub message: String,
}

impl Report {
    /// The name of the ConfigMap of a tenant.
    pub fn name(tenant: &str) -> String {
        format!("{tenant}-status")
    }
}
