//! What a cloud does for a cluster (`k8s.io/cloud-provider`), as far as controllers here ask for it. An external
//! cloud-controller-manager takes the place of this when none is given.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{LoadBalancerStatus, Node, Service};
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// Another party takes care of this Service.
    #[error("implemented elsewhere")]
    ImplementedElsewhere,
    #[error("{0}")]
    Failed(String),
}

#[async_trait]
pub trait CloudProvider: Send + Sync {
    /// Makes or changes the load balancer of a Service so that it reaches it through these nodes. Called again whenever
    /// either changes; what is as it should be stays untouched. Returns where it is reached.
    async fn ensure_load_balancer(
        &self,
        service: &Service,
        nodes: &[Arc<Node>],
    ) -> Result<LoadBalancerStatus, CloudError>;

    /// Removes the load balancer of a Service, if there is one.
    async fn delete_load_balancer(&self, service: &Service) -> Result<(), CloudError>;
}
