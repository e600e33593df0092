//! Every namespace has a ServiceAccount named `default`. Upstream's `pkg/controller/serviceaccount/serviceaccounts_controller.go`.
//!
//! Owns nothing: it makes what is missing and never changes or deletes. Woken by namespaces, and by ServiceAccounts that go.

use crate::controller::{Controller, Descriptor, Watch};
use crate::meta::Meta;
use crate::plan::Plan;
use crate::queue::Key;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub(crate) struct ServiceAccounts {
    informers: Informers,
    namespaces: Store<Namespace>,
    accounts: Store<ServiceAccount>,
}

impl ServiceAccounts {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self { informers: informers.clone(), namespaces: informers.store(), accounts: informers.store() }
    }
}

/// Whether objects can be made in a namespace.
pub(crate) fn is_active(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    !namespace.terminating() && phase != Some("Terminating")
}

impl Controller for ServiceAccounts {
    /// The namespace that lacks its account.
    type Observed = String;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "serviceaccount-controller",
            account: "service-account-controller",
            component: "serviceaccount-controller",
            workers: 1,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let gone = |event: &informer::Event<ServiceAccount>| {
            let account = event.old.as_ref().filter(|_| event.new.is_none());
            account.map(|account| Key::new("", account.namespace())).into_iter().collect()
        };
        vec![Watch::own(&self.informers, &self.namespaces), Watch::on(&self.informers, &self.accounts, gone)]
    }

    fn observe(&self, key: &Key) -> Option<String> {
        let namespace = self.namespaces.get("", &key.name)?;
        let wanted = is_active(&namespace) && self.accounts.raw(&key.name, "default").is_none();
        wanted.then(|| key.name.to_string())
    }

    fn plan(&self, namespace: &String, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let metadata = ObjectMeta {
            name: Some("default".to_owned()),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        };
        plan.ensure(&ServiceAccount { metadata, ..ServiceAccount::default() });
        plan
    }
}
