//! Addresses of the tenant's Services are the host's to give: the server's seam over the syncer's reservation.

use apimachinery::{Object, Status};
use async_trait::async_trait;
use serde_json::Value;
use syncer::{HostServices, ReservationError};
use vcluster_apiserver::backend::{Backend, Transaction};
use vcluster_apiserver::registry::addresses::ServiceAddresses;
use vcluster_apiserver::request::RequestCx;

pub struct HostAddresses(pub HostServices);

/// The two Services that stand for the control plane itself; their address is that of the host Service in front of it.
fn is_own(service: &Object) -> bool {
    matches!((service.namespace(), service.name()), ("default", "kubernetes") | ("kube-system", "kube-dns"))
}

#[async_trait]
impl ServiceAddresses for HostAddresses {
    async fn reserve(
        &self,
        _: &RequestCx,
        _: &Backend,
        service: &mut Object,
        old: Option<&Object>,
        dry_run: bool,
        _: &mut Transaction,
    ) -> Result<(), Status> {
        if is_own(service) {
            complete_own(service);
            return Ok(());
        }
        if old.is_some_and(|old| old.at(&["spec"]) == service.at(&["spec"])) {
            return Ok(());
        }
        let spec = self.0.reserve(&Value::Object(service.as_map().clone()), dry_run).await.map_err(refused)?;
        service.set_at(&["spec"], spec);
        Ok(())
    }

    async fn release(&self, _: &Backend, service: &Object, keeps: Option<&Object>) {
        if !is_own(service) && keeps.is_none() {
            self.0.release(service.namespace(), service.name());
        }
    }
}

/// What an allocator would add to a Service that brings its address along.
fn complete_own(service: &mut Object) {
    let Some(address) = service.at(&["spec", "clusterIP"]).and_then(Value::as_str).map(str::to_owned) else { return };
    let family = if address.contains(':') { "IPv6" } else { "IPv4" };
    service.set_at(&["spec", "clusterIPs"], vec![address].into());
    service.set_at(&["spec", "ipFamilies"], vec![family].into());
    service.set_at(&["spec", "ipFamilyPolicy"], "SingleStack".into());
}

/// The host's own answer, as the tenant's client would get it from a cluster of its own.
fn refused(error: ReservationError) -> Status {
    match error {
        ReservationError::Host { code, message } => {
            let reason = match code {
                409 => "AlreadyExists",
                422 => "Invalid",
                403 => "Forbidden",
                400 => "BadRequest",
                _ => "InternalError",
            };
            Status::failure(code, reason, message)
        }
        unreadable @ ReservationError::Unreadable { .. } => Status::internal(unreadable.to_string()),
    }
}
