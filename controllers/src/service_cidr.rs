//! Keeps ranges of service addresses from going while addresses of theirs are in use. Upstream's `pkg/controller/servicecidrs`.
//!
//! Owns the finalizer `networking.k8s.io/service-cidr-finalizer` and the condition `Ready` of ServiceCIDRs. Allocation is
//! the API server's. Woken by ServiceCIDRs and IPAddresses that come and go.

use crate::cidr::Cidr;
use crate::conditions::{self, Condition};
use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::meta::Meta;
use crate::plan::{PatchKind, Plan};
use crate::queue::Key;
use informer::{Informers, Store};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const MANAGED_BY: (&str, &str) = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
/// How long after its deletion a range is kept, so that no allocator still takes it for usable.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

pub(crate) struct ServiceCidrs {
    informers: Informers,
    ranges: Store<ServiceCIDR>,
    addresses: Store<IPAddress>,
}

pub struct Observed {
    range: Arc<ServiceCIDR>,
    /// The blocks of all other ranges.
    others: Vec<Cidr>,
    /// Addresses of Services, in whichever range.
    addresses: Vec<IpAddr>,
}

fn blocks(range: &ServiceCIDR) -> Vec<Cidr> {
    let all = range.spec.iter().flat_map(|spec| spec.cidrs.iter().flatten());
    all.filter_map(|text| Cidr::parse(text)).collect()
}

/// The address that an object of the API server's allocator stands for.
fn address(object: &IPAddress) -> Option<IpAddr> {
    (object.label(MANAGED_BY.0) == Some(MANAGED_BY.1)).then(|| object.name().parse().ok())?
}

impl ServiceCidrs {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self { informers: informers.clone(), ranges: informers.store(), addresses: informers.store() }
    }
}

impl Controller for ServiceCidrs {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        let name = "service-cidr-controller";
        Descriptor { name, account: "service-cidrs-controller", component: name, workers: 5 }
    }

    fn watches(&self) -> Vec<Watch> {
        // A range that comes or goes can free another one or hold it.
        let all = self.ranges.clone();
        let by_range = move |event: &informer::Event<ServiceCIDR>| {
            let Some(range) = event.latest() else { return Vec::new() };
            if event.old.is_some() && event.new.is_some() {
                return vec![key_of(&**range)];
            }
            all.list().iter().map(|range| key_of(&**range)).collect()
        };
        let all = self.ranges.clone();
        let by_address = move |event: &informer::Event<IPAddress>| {
            let moved = event.old.is_none() || event.new.is_none();
            let Some(address) = event.latest().filter(|_| moved).and_then(|object| address(object)) else {
                return Vec::new();
            };
            let waits = |range: &Arc<ServiceCIDR>| {
                range.terminating() && blocks(range).iter().any(|block| block.contains(address))
            };
            all.list().iter().filter(|range| waits(range)).map(|range| key_of(&**range)).collect()
        };
        vec![
            Watch::on(&self.informers, &self.ranges, by_range),
            Watch::on(&self.informers, &self.addresses, by_address),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let range = self.ranges.get("", &key.name)?;
        let (mut others, mut addresses) = (Vec::new(), Vec::new());
        if range.terminating() {
            let all = self.ranges.list();
            others = all.iter().filter(|other| other.name() != range.name()).flat_map(|other| blocks(other)).collect();
            addresses = self.addresses.list().iter().filter_map(|object| address(object)).collect();
        }
        Some(Observed { range, others, addresses })
    }

    fn plan(&self, observed: &Observed, now: Timestamp) -> Plan {
        plan(observed, now)
    }
}

fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let range = &*observed.range;
    let mut plan = Plan::default();
    let Some(deleted) = &range.metadata.deletion_timestamp else {
        if !range.finalizer(FINALIZER) {
            plan.patch(range, "", PatchKind::Strategic, json!({"metadata": {"finalizers": [FINALIZER]}}));
        }
        condition(range, Condition::new("Ready", true, "", "Kubernetes Service CIDR is ready", now), &mut plan);
        return plan;
    };
    if !may_go(observed) {
        let message =
            "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
        condition(range, Condition::new("Ready", false, "Terminating", message, now), &mut plan);
        return plan;
    }
    let left = GRACE - now.duration_since(deleted.0);
    if left > SignedDuration::ZERO {
        plan.again_after(left.unsigned_abs());
    } else if range.finalizer(FINALIZER) {
        let body = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
        plan.patch(range, "", PatchKind::Strategic, body);
    }
    plan
}

/// Every block lies in another range, or no address is left without one.
fn may_go(observed: &Observed) -> bool {
    let own = blocks(&observed.range);
    let covered = own.iter().all(|block| observed.others.iter().any(|other| other.covers(block)));
    let elsewhere = |address: &IpAddr| observed.others.iter().any(|other| other.contains(*address));
    let orphan = |address: &&IpAddr| own.iter().any(|block| block.contains(**address)) && !elsewhere(address);
    covered || !observed.addresses.iter().any(|address| orphan(&address))
}

fn condition(range: &ServiceCIDR, wanted: Condition, plan: &mut Plan) {
    let mut all = conditions::read(&json!(range.status));
    let same = conditions::find(&all, &wanted.kind).is_some_and(|old| {
        (&old.status, &old.reason, &old.message) == (&wanted.status, &wanted.reason, &wanted.message)
    });
    if !same {
        conditions::replace(&mut all, wanted);
        plan.patch(range, "status", PatchKind::Merge, json!({"status": {"conditions": all}}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cidrs: &[&str], going: bool, others: &[&str], addresses: &[&str], now: &str, expected: &[&str]) {
        let deleted = going.then_some("2024-01-01T00:00:00Z");
        let range = json!({"metadata": {"name": "r", "deletionTimestamp": deleted, "finalizers": [FINALIZER]}, "spec": {"cidrs": cidrs}});
        let observed = Observed {
            range: Arc::new(serde_json::from_value(range).unwrap()),
            others: others.iter().filter_map(|text| Cidr::parse(text)).collect(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        };
        let text = plan(&observed, now.parse().unwrap()).to_string();
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    const SOON: &str = "2024-01-01T00:00:04Z";
    const LATER: &str = "2024-01-01T00:00:11Z";
    const GO: &str = r#"patch servicecidrs.networking.k8s.io r {"metadata":{"$deleteFromPrimitiveList/finalizers":["networking.k8s.io/service-cidr-finalizer"]}}"#;
    const STAY: &str = r#"patch servicecidrs.networking.k8s.io/status r {"status":{"conditions":[{"lastTransitionTime":"2024-01-01T00:00:11Z","message":"There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR","reason":"Terminating","status":"False","type":"Ready"}]}}"#;

    /// Cases of upstream's `TestController_sync` and `TestController_canDeleteCIDR`.
    #[test]
    fn a_range_goes_when_no_address_needs_it() {
        check(
            &["192.168.0.0/24"],
            false,
            &[],
            &[],
            SOON,
            &[
                r#"patch servicecidrs.networking.k8s.io/status r {"status":{"conditions":[{"lastTransitionTime":"2024-01-01T00:00:04Z","message":"Kubernetes Service CIDR is ready","status":"True","type":"Ready"}]}}"#,
            ],
        );
        check(&["192.168.0.0/24"], true, &[], &[], SOON, &["again in 6s"]);
        check(&["192.168.0.0/24"], true, &[], &[], LATER, &[GO]);
        check(&["192.168.0.0/24"], true, &[], &["192.168.0.24"], LATER, &[STAY]);
        check(&["192.168.0.0/24"], true, &[], &["192.168.2.24"], LATER, &[GO]);
        check(&["192.168.0.0/24"], true, &["192.168.0.0/16"], &["192.168.0.24"], LATER, &[GO]);
        check(&["192.168.0.0/16"], true, &["192.168.0.0/24"], &["192.168.0.24"], LATER, &[GO]);
        check(&["192.168.0.0/16"], true, &["192.168.0.0/24"], &["192.168.1.24"], LATER, &[STAY]);
        check(&["192.168.0.0/24", "2001:db2::/112"], true, &["192.168.0.0/16"], &["2001:db2::10"], LATER, &[STAY]);
        check(&["192.168.0.0/24", "2001:db2::/112"], true, &["192.168.0.0/16"], &["192.168.0.24"], LATER, &[GO]);
    }
}
