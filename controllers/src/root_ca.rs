//! Every namespace has the ConfigMap `kube-root-ca.crt`, by which pods trust the API server. Upstream's
//! `pkg/controller/certificates/rootcacertpublisher`.
//!
//! Owns that ConfigMap's data. Woken by namespaces and by the ConfigMaps of that name.

use crate::controller::{Controller, Descriptor, Watch};
use crate::meta::Meta;
use crate::plan::Plan;
use crate::queue::Key;
use crate::service_account::is_active;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::sync::Arc;

const NAME: &str = "kube-root-ca.crt";
const DATA_KEY: &str = "ca.crt";
const ABOUT: (&str, &str) = (
    "kubernetes.io/description",
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.",
);

pub(crate) struct RootCa {
    informers: Informers,
    namespaces: Store<Namespace>,
    config_maps: Store<ConfigMap>,
    bundle: String,
}

pub struct Observed {
    namespace: String,
    current: Option<Arc<ConfigMap>>,
}

impl RootCa {
    pub(crate) fn new(informers: &Informers, bundle: String) -> Self {
        Self { informers: informers.clone(), namespaces: informers.store(), config_maps: informers.store(), bundle }
    }
}

impl Controller for RootCa {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "root-ca-certificate-publisher-controller",
            account: "root-ca-cert-publisher",
            component: "root-ca-cert-publisher",
            workers: 1,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let changed = |event: &informer::Event<ConfigMap>| {
            let map = event.old.as_ref().filter(|map| map.name() == NAME);
            map.map(|map| Key::new("", map.namespace())).into_iter().collect()
        };
        vec![Watch::own(&self.informers, &self.namespaces), Watch::on(&self.informers, &self.config_maps, changed)]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        self.namespaces.get("", &key.name).filter(|namespace| is_active(namespace))?;
        Some(Observed { namespace: key.name.to_string(), current: self.config_maps.get(&key.name, NAME) })
    }

    fn plan(&self, observed: &Observed, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let data = BTreeMap::from([(DATA_KEY.to_owned(), self.bundle.clone())]);
        let about = (ABOUT.0.to_owned(), ABOUT.1.to_owned());
        match &observed.current {
            None => {
                let metadata = ObjectMeta {
                    name: Some(NAME.to_owned()),
                    namespace: Some(observed.namespace.clone()),
                    annotations: Some(BTreeMap::from([about])),
                    ..ObjectMeta::default()
                };
                plan.ensure(&ConfigMap { metadata, data: Some(data), ..ConfigMap::default() });
            }
            Some(current) if current.data.as_ref() != Some(&data) || current.annotation(ABOUT.0).is_none() => {
                let mut map = (**current).clone();
                map.data = Some(data);
                map.metadata.annotations.get_or_insert_default().extend([about]);
                plan.update(&map);
            }
            Some(_) => {}
        }
        plan
    }
}
