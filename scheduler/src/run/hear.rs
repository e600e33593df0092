//! What changes outside is taken note of, and those are woken whom it may help.

use super::feed::Heard;
use super::{Scheduler, gate};
use crate::catalog::{Table, key};
use crate::change::{Change, Changed, Pair};
use crate::pod::{PodInfo, spec_of, uid_of};
use crate::selection::Selector;
use informer::Event;
use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::sync::Arc;
use tokio::time::Instant;

fn pair<K>(event: Event<K>) -> Pair<K> {
    Pair::new(event.old, event.new)
}

fn note<K: Metadata<Ty = ObjectMeta>>(table: &mut Table<K>, event: &Event<K>) {
    if let Some(latest) = event.latest() {
        table.set(key(latest.metadata()), event.new.clone());
    }
}

impl Scheduler {
    pub(super) fn hear(&mut self, heard: Heard) {
        let snapshot = self.cache.snapshot_mut();
        let catalog = &mut snapshot.catalog;
        let (object, concerns_bindings) = match heard {
            Heard::Node(event) => return self.node_changed(event),
            Heard::Pod(event) => return self.pod_changed(event),
            Heard::Namespace(event) => return self.namespace_changed(&event),
            Heard::Claim(event) => {
                note(&mut catalog.claims, &event);
                (Changed::Claim(pair(event)), true)
            }
            Heard::Volume(event) => {
                note(&mut catalog.volumes, &event);
                (Changed::Volume(pair(event)), true)
            }
            Heard::StorageClass(event) => {
                note(&mut catalog.classes, &event);
                (Changed::StorageClass(pair(event)), false)
            }
            Heard::CsiNode(event) => {
                note(&mut catalog.csi_nodes, &event);
                (Changed::CsiNode(pair(event)), false)
            }
            Heard::CsiDriver(event) => {
                note(&mut catalog.csi_drivers, &event);
                (Changed::CsiDriver(pair(event)), false)
            }
            Heard::CsiStorageCapacity(event) => {
                note(&mut catalog.capacities, &event);
                (Changed::CsiStorageCapacity(pair(event)), false)
            }
            Heard::VolumeAttachment(event) => {
                note(&mut catalog.attachments, &event);
                (Changed::VolumeAttachment(pair(event)), false)
            }
            Heard::ResourceClaim(event) => {
                note(&mut catalog.resource_claims, &event);
                (Changed::ResourceClaim(pair(event)), true)
            }
            Heard::ResourceSlice(event) => {
                note(&mut catalog.slices, &event);
                (Changed::ResourceSlice(pair(event)), false)
            }
            Heard::DeviceClass(event) => {
                note(&mut catalog.device_classes, &event);
                (Changed::DeviceClass(pair(event)), false)
            }
            Heard::Budget(event) => {
                if let Some(latest) = event.latest() {
                    let key = key(&latest.metadata);
                    match &event.new {
                        Some(budget) => snapshot.budgets.insert(key, budget.clone()),
                        None => snapshot.budgets.remove(&key),
                    };
                }
                return;
            }
            Heard::Service(event) => {
                let selector = event.new.as_ref().and_then(|service| service.spec.as_ref()?.selector.as_ref());
                if let Some(latest) = event.latest() {
                    catalog.owners.set_service(&latest.metadata, selector);
                }
                return;
            }
            Heard::ReplicationController(event) => {
                let selector = event.new.as_ref().and_then(|owner| owner.spec.as_ref()?.selector.as_ref());
                if let Some(latest) = event.latest() {
                    let selector = selector.map(Selector::from_map);
                    catalog.owners.set_controller("ReplicationController", &latest.metadata, selector);
                }
                return;
            }
            Heard::ReplicaSet(event) => {
                let selector = event.new.as_ref().map(|owner| Selector::new(Some(&owner.spec.selector)));
                if let Some(latest) = event.latest() {
                    catalog.owners.set_controller("ReplicaSet", &latest.metadata, selector);
                }
                return;
            }
            Heard::StatefulSet(event) => {
                let selector = event.new.as_ref().map(|owner| Selector::new(Some(&owner.spec.selector)));
                if let Some(latest) = event.latest() {
                    catalog.owners.set_controller("StatefulSet", &latest.metadata, selector);
                }
                return;
            }
        };
        self.happened(&Change::new(object));
        if concerns_bindings {
            self.advance_bindings();
        }
    }

    fn node_changed(&mut self, event: Event<Node>) {
        match (&event.new, &event.old) {
            (Some(node), _) => self.cache.set_node(node.clone()),
            (None, Some(node)) => self.cache.remove_node(node.metadata.name.as_deref().unwrap_or_default()),
            (None, None) => {}
        }
        let change = Change::new(Changed::Node(pair(event)));
        if !change.actions.is_empty() {
            self.happened(&change);
        }
    }

    fn namespace_changed(&mut self, event: &Event<Namespace>) {
        let labels = event.new.as_ref().map(|namespace| namespace.metadata.labels.clone().unwrap_or_default());
        let name = event.latest().and_then(|namespace| namespace.metadata.name.clone()).unwrap_or_default();
        self.cache.set_namespace(&name, labels);
    }

    fn pod_changed(&mut self, event: Event<Pod>) {
        // A pod of the same name and another uid: the old one is gone.
        let (mut old, new): (Option<Arc<Pod>>, Option<Arc<Pod>>) = (event.old, event.new);
        if let Some(gone) = old.take_if(|old| new.as_ref().is_none_or(|new| uid_of(new) != uid_of(old))) {
            self.pod_gone(&gone);
        }
        let Some(pod) = new else { return };
        if has_ended(&pod) {
            if old.as_ref().is_none_or(|old| !has_ended(old)) {
                self.pod_gone(old.as_ref().unwrap_or(&pod));
            }
            return;
        }
        let node = spec_of(&pod).node_name.clone().filter(|name| !name.is_empty());
        let Some(node) = node else { return self.pod_waits(old, pod) };
        self.queue.remove(uid_of(&pod));
        self.cache.set_pod(PodInfo::placed(&pod), &node);
        // For others a pod comes when it gets its node.
        let old = old.filter(|old| spec_of(old).node_name.as_ref().is_some_and(|name| !name.is_empty()));
        self.happened(&Change::new(Changed::AssignedPod(Pair::new(old, Some(pod)))));
    }

    fn pod_gone(&mut self, pod: &Arc<Pod>) {
        let uid = uid_of(pod);
        let nominated = self.cache.nominated_node(uid).is_some();
        self.queue.remove(uid);
        self.abandon_binding(uid);
        let counted = self.cache.placed(uid).is_some();
        self.cache.remove_pod(uid);
        // The room that it had, or that was kept for it, is free.
        if counted || nominated {
            let mut gone = pod.clone();
            if !crate::pod::has_node(pod) {
                Arc::make_mut(&mut gone).status.get_or_insert_default().nominated_node_name = Some("-".to_owned());
            }
            self.happened(&Change::new(Changed::AssignedPod(Pair::new(Some(gone), None))));
        }
    }

    fn pod_waits(&mut self, old: Option<Arc<Pod>>, pod: Arc<Pod>) {
        let uid = uid_of(&pod).to_owned();
        let info = Arc::new(PodInfo::new(pod.clone()));
        let Some(profile) = self.profile_of(&info) else { return };
        if pod.metadata.deletion_timestamp.is_some() {
            self.queue.remove(&uid);
            return;
        }
        // It has a node that is being written: it must not get another.
        let decided = self.cache.placed(&uid).is_some();
        if decided && self.queue.pod(&uid).is_none() {
            return;
        }
        let nominated = info.nominated_node().map(str::to_owned);
        // A state that never had a nomination does not end one that is only being written.
        let hoped = old.as_ref().is_some_and(|old| nomination(old).is_some());
        if !decided && (hoped || nominated.is_some()) {
            self.cache.nominate(&info, nominated.as_deref());
        }
        let (profiles, cache) = (&self.profiles, &self.cache);
        let change = Change::new(Changed::TargetPod(Pair::new(old, Some(pod))));
        let helps = |plugin: &str| profiles[profile].wakes(plugin, &info, &change);
        self.queue.set(info.clone(), helps, &|pod| gate(profiles, cache, pod), Instant::now());
    }
}

fn nomination(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.nominated_node_name.as_deref().filter(|name| !name.is_empty())
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}
