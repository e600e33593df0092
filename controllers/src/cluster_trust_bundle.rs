//! Publishes the authority of the API server's certificates as a ClusterTrustBundle. Upstream's
//! `pkg/controller/certificates/clustertrustbundlepublisher`.
//!
//! Owns all bundles of signer `kubernetes.io/kube-apiserver-serving`: there is one, named after its content, and no other.
//! Woken by bundles.

use crate::controller::{Controller, Descriptor, Watch};
use crate::meta::Meta;
use crate::plan::Plan;
use crate::queue::Key;
use futures::stream::{self, StreamExt};
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{ClusterTrustBundle, ClusterTrustBundleSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::fmt::Write as _;
use std::sync::Arc;

const SIGNER: &str = "kubernetes.io/kube-apiserver-serving";

pub(crate) struct TrustBundles {
    informers: Informers,
    bundles: Store<ClusterTrustBundle>,
    content: String,
}

impl TrustBundles {
    pub(crate) fn new(informers: &Informers, content: String) -> Self {
        Self { informers: informers.clone(), bundles: informers.store(), content }
    }
}

fn is_ours(bundle: &ClusterTrustBundle) -> bool {
    bundle.spec.signer_name.as_deref() == Some(SIGNER)
}

/// The signer and half of the content's SHA-256.
fn name(content: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content.as_bytes());
    let mut name = format!("{}:", SIGNER.replace('/', ":"));
    for byte in &digest.as_ref()[..12] {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

impl Controller for TrustBundles {
    type Observed = Vec<Arc<ClusterTrustBundle>>;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "kube-apiserver-serving-clustertrustbundle-publisher-controller",
            account: "kube-apiserver-serving-clustertrustbundle-publisher",
            component: "kube-apiserver-serving-clustertrustbundle-publisher",
            workers: 1,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let all = || vec![Key::new("", "")];
        let changed = move |event: &informer::Event<ClusterTrustBundle>| {
            if event.states().any(|bundle| is_ours(bundle)) { all() } else { Vec::new() }
        };
        // Nothing wakes for a bundle that was never there.
        let first = stream::once(async move { all() }).chain(stream::pending()).boxed();
        vec![Watch::on(&self.informers, &self.bundles, changed), Watch::of(async {}, first)]
    }

    fn observe(&self, _key: &Key) -> Option<Self::Observed> {
        let mut bundles = self.bundles.list();
        bundles.retain(|bundle| is_ours(bundle));
        Some(bundles)
    }

    fn plan(&self, bundles: &Self::Observed, _now: Timestamp) -> Plan {
        plan(bundles, &self.content)
    }
}

fn plan(bundles: &[Arc<ClusterTrustBundle>], content: &str) -> Plan {
    let mut plan = Plan::default();
    let name = name(content);
    match bundles.iter().find(|bundle| bundle.name() == name) {
        Some(bundle) if bundle.spec.trust_bundle == content => {}
        Some(bundle) => {
            let mut changed = (**bundle).clone();
            content.clone_into(&mut changed.spec.trust_bundle);
            plan.update(&changed);
        }
        None => {
            let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
            let spec =
                ClusterTrustBundleSpec { signer_name: Some(SIGNER.to_owned()), trust_bundle: content.to_owned() };
            plan.ensure(&ClusterTrustBundle { metadata, spec });
        }
    }
    for bundle in bundles.iter().filter(|bundle| bundle.name() != name) {
        plan.delete(&**bundle);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases of upstream's `TestCTBPublisherSync`.
    #[test]
    fn one_bundle_of_the_signer_stays() {
        let bundle = |name: &str, content: &str| {
            let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            let spec =
                ClusterTrustBundleSpec { signer_name: Some(SIGNER.to_owned()), trust_bundle: content.to_owned() };
            Arc::new(ClusterTrustBundle { metadata, spec })
        };
        let own = name("CA");
        assert!(own.starts_with("kubernetes.io:kube-apiserver-serving:") && own.len() == 61, "{own}");
        let kind = "clustertrustbundles.certificates.k8s.io";
        assert_eq!(plan(&[], "CA").to_string(), format!("create {kind}{own}"));
        assert_eq!(plan(&[bundle(&own, "CA")], "CA").to_string(), "");
        assert_eq!(plan(&[bundle(&own, "other")], "CA").to_string(), format!("update {kind} {own}"));
        assert_eq!(plan(&[bundle("old", "X"), bundle(&own, "CA")], "CA").to_string(), format!("delete {kind} old"));
    }
}
