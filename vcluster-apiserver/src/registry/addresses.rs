//! Who hands out the addresses and ports of Services: the seam to the host, and an allocator for a cluster without one.

mod local;

use crate::backend::{Backend, Transaction};
use crate::request::RequestCx;
use apimachinery::{Object, Status};
use async_trait::async_trait;

pub use local::{Local, Network, claim};

/// Decides `spec.clusterIP(s)`, `spec.ports[].nodePort` and `spec.healthCheckNodePort`.
///
/// Called after validation and validating admission, before the commit. A dry run is answered with what would be
/// chosen and reserves nothing. When the commit fails, [`ServiceAddresses::release`] is called with what was reserved.
#[async_trait]
pub trait ServiceAddresses: Send + Sync {
    /// Fills the addresses that `service` needs and does not have. `old` is the live object on updates. What has to be
    /// committed together with the service goes into `transaction`.
    async fn reserve(
        &self,
        cx: &RequestCx,
        backend: &Backend,
        service: &mut Object,
        old: Option<&Object>,
        dry_run: bool,
        transaction: &mut Transaction,
    ) -> Result<(), Status>;

    /// Gives back what `service` holds and `keeps` does not: after a deletion (`keeps` is none), after an update (the
    /// new object), and after a reservation whose commit failed (the live object, or none).
    async fn release(&self, backend: &Backend, service: &Object, keeps: Option<&Object>);
}
