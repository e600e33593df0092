//! Asks CSI drivers to attach the volumes of a node's pods to it, and to detach those that it needs no more. Upstream's
//! `pkg/controller/volume/attachdetach`, for CSI volumes: no in-tree plugin attaches any more.
//!
//! Owns VolumeAttachments of its naming and `status.volumesAttached` of nodes whose kubelet leaves attaching to it. Nodes
//! that another party mirrors are left alone: their volumes are attached where the nodes are. It keeps no record: what is
//! attached is read from attachments and nodes. Woken by nodes, pods, claims, volumes and attachments; keys are nodes.

use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::meta::Meta;
use crate::plan::{PatchKind, Plan};
use crate::pods;
use crate::queue::Key;
use crate::volume_protection;
use informer::{Event, Informers, Store};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::{CSIDriver, VolumeAttachment, VolumeAttachmentSource, VolumeAttachmentSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

const MANAGED: &str = "volumes.kubernetes.io/controller-managed-attach-detach";
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// How long a node that is not ready is waited for to let go of a volume.
const UNMOUNT: SignedDuration = SignedDuration::from_mins(6);
/// Attachments by volume.
const BY_VOLUME: &str = "volume";
/// Attachments by node.
const BY_NODE: &str = "node";

pub(crate) struct AttachDetach {
    informers: Informers,
    nodes: Store<Node>,
    pods: Store<Pod>,
    claims: Store<PersistentVolumeClaim>,
    volumes: Store<PersistentVolume>,
    drivers: Store<CSIDriver>,
    attachments: Store<VolumeAttachment>,
    mirror: Option<&'static str>,
}

pub struct Observed {
    node: Arc<Node>,
    /// Volumes that the node's pods need attached, and those pods.
    wanted: Vec<(Arc<PersistentVolume>, Vec<Arc<Pod>>)>,
    /// Attachments to this node, and those of wanted volumes to others.
    attachments: Vec<Arc<VolumeAttachment>>,
    /// The volumes of the attachments, by name.
    volumes: BTreeMap<String, Arc<PersistentVolume>>,
}

impl AttachDetach {
    pub(crate) fn new(informers: &Informers, mirror: Option<&'static str>) -> Self {
        let attachments = informers.store::<VolumeAttachment>();
        attachments.add_index(BY_VOLUME, |own| volume_of(own).map(str::to_owned).into_iter().collect());
        attachments.add_index(BY_NODE, |own| vec![own.spec.node_name.clone()]);
        Self {
            informers: informers.clone(),
            nodes: informers.store(),
            pods: volume_protection::pods_by_claim(informers),
            claims: informers.store(),
            volumes: informers.store(),
            drivers: informers.store(),
            attachments,
            mirror,
        }
    }

    /// The volume behind a claim, if it must be attached.
    fn attachable(&self, namespace: &str, claim: &str) -> Option<Arc<PersistentVolume>> {
        let claim = self.claims.get(namespace, claim)?;
        let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
        let volume = self.volumes.get("", claim.spec.as_ref()?.volume_name.as_deref().filter(|_| bound)?)?;
        let driver = self.drivers.get("", &csi(&volume)?.driver);
        let required = driver.and_then(|driver| driver.spec.attach_required).unwrap_or(true);
        required.then_some(volume)
    }

    fn is_managed(&self, node: &Node) -> bool {
        let mirrored = self.mirror.is_some_and(|annotation| node.annotation(annotation).is_some());
        node.annotation(MANAGED) == Some("true") && !mirrored
    }

    fn wake_by_claim(pods: &Store<Pod>, claim: &Key) -> Vec<Key> {
        let users = pods.by_index(volume_protection::BY_CLAIM, &claim.to_string());
        users.iter().map(|pod| Key::new("", pods::node_name(pod))).filter(|key| !key.name.is_empty()).collect()
    }
}

fn csi(volume: &PersistentVolume) -> Option<&k8s_openapi::api::core::v1::CSIPersistentVolumeSource> {
    volume.spec.as_ref()?.csi.as_ref()
}

fn volume_of(attachment: &VolumeAttachment) -> Option<&str> {
    attachment.spec.source.persistent_volume_name.as_deref()
}

fn is_attached(attachment: &VolumeAttachment) -> bool {
    attachment.status.as_ref().is_some_and(|status| status.attached)
}

/// The name that kubelets look for: of handle, driver and node.
fn attachment_name(volume: &PersistentVolume, node: &str) -> Option<String> {
    let source = csi(volume)?;
    let text = format!("{}{}{node}", source.volume_handle, source.driver);
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let mut name = "csi-".to_owned();
    for byte in digest.as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    Some(name)
}

/// The volume as nodes speak of it.
fn unique_name(volume: &PersistentVolume) -> Option<String> {
    csi(volume).map(|source| format!("kubernetes.io/csi/{}^{}", source.driver, source.volume_handle))
}

impl Controller for AttachDetach {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "persistentvolume-attach-detach-controller",
            account: "attachdetach-controller",
            component: "attachdetach-controller",
            // Two nodes must not both find a volume free.
            workers: 1,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let by_pod = |event: &Event<Pod>| {
            let state = |pod: &Arc<Pod>| (pods::node_name(pod).to_owned(), pods::is_terminal(pod));
            let moved = event.old.as_ref().map(state) != event.new.as_ref().map(state);
            let pod = event.latest().filter(|pod| moved && !volume_protection::claims(pod).is_empty());
            let nodes = pod.map(|pod| Key::new("", pods::node_name(pod)));
            nodes.into_iter().filter(|key| !key.name.is_empty()).collect()
        };
        let users = self.pods.clone();
        let by_claim = move |event: &Event<PersistentVolumeClaim>| {
            event.latest().map(|claim| Self::wake_by_claim(&users, &key_of(&**claim))).unwrap_or_default()
        };
        let users = self.pods.clone();
        let by_volume = move |event: &Event<PersistentVolume>| {
            let reference = event.latest().and_then(|volume| volume.spec.as_ref()?.claim_ref.clone());
            let claim = reference.map(|own| {
                Key::new(own.namespace.as_deref().unwrap_or_default(), own.name.as_deref().unwrap_or_default())
            });
            claim.map(|claim| Self::wake_by_claim(&users, &claim)).unwrap_or_default()
        };
        let all = self.attachments.clone();
        let by_attachment = move |event: &Event<VolumeAttachment>| {
            let Some(own) = event.latest() else { return Vec::new() };
            // Whoever waits for the volume can have it once it is gone from another node.
            let others = volume_of(own).map(|name| all.by_index(BY_VOLUME, name)).unwrap_or_default();
            let nodes = others.iter().map(|other| other.spec.node_name.as_str());
            nodes.chain([own.spec.node_name.as_str()]).map(|name| Key::new("", name)).collect()
        };
        vec![
            Watch::own(&self.informers, &self.nodes),
            Watch::on(&self.informers, &self.pods, by_pod),
            Watch::on(&self.informers, &self.claims, by_claim),
            Watch::on(&self.informers, &self.volumes, by_volume),
            Watch::on(&self.informers, &self.attachments, by_attachment),
            Watch::on(&self.informers, &self.drivers, |_| Vec::new()),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let node = self.nodes.get("", &key.name).filter(|node| self.is_managed(node))?;
        let mut wanted: BTreeMap<String, (Arc<PersistentVolume>, Vec<Arc<Pod>>)> = BTreeMap::new();
        for pod in pods::on_node(&self.pods, &key.name).into_iter().filter(|pod| !pods::is_terminal(pod)) {
            for claim in volume_protection::claims(&pod) {
                let Some(volume) = self.attachable(pod.namespace(), &claim) else { continue };
                let entry = wanted.entry(volume.name().to_owned()).or_insert_with(|| (volume.clone(), Vec::new()));
                entry.1.push(pod.clone());
            }
        }
        let mut attachments = self.attachments.by_index(BY_NODE, &key.name);
        for name in wanted.keys() {
            let others = self.attachments.by_index(BY_VOLUME, name);
            attachments.extend(others.into_iter().filter(|own| own.spec.node_name != *key.name));
        }
        let named = attachments.iter().filter_map(|own| self.volumes.get("", volume_of(own)?));
        let volumes = named.map(|volume| (volume.name().to_owned(), volume)).collect();
        Some(Observed { node, wanted: wanted.into_values().collect(), attachments, volumes })
    }

    fn plan(&self, observed: &Observed, now: Timestamp) -> Plan {
        plan(observed, now)
    }
}

fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let node = observed.node.name();
    let here = |name: &str| observed.attachments.iter().find(|own| own.spec.node_name == node && own.name() == name);
    let mut reported = BTreeSet::new();
    let mut announced = Plan::default();
    for (volume, users) in &observed.wanted {
        let (Some(name), Some(unique)) = (attachment_name(volume, node), unique_name(volume)) else { continue };
        match here(&name) {
            Some(own) if own.terminating() => {}
            Some(own) if is_attached(own) => {
                if !shown(&observed.node).contains(&unique) {
                    let message = format!("AttachVolume.Attach succeeded for volume \"{}\" ", volume.name());
                    tell(users, false, "SuccessfulAttachVolume", &message, &mut announced);
                }
                reported.insert(unique);
            }
            Some(own) => {
                let error = own.status.as_ref().and_then(|status| status.attach_error.as_ref()?.message.clone());
                if let Some(error) = error {
                    let message = format!("AttachVolume.Attach failed for volume \"{}\" : {error}", volume.name());
                    tell(users, true, "FailedAttachVolume", &message, &mut announced);
                }
            }
            None => attach(observed, volume, users, name, &mut plan),
        }
    }
    detach(observed, &mut reported, now, &mut plan);
    report(&observed.node, &reported, &mut plan);
    plan.writes.extend(announced.writes);
    plan
}

fn tell(users: &[Arc<Pod>], warning: bool, reason: &'static str, message: &str, plan: &mut Plan) {
    for pod in users {
        if warning { plan.warning(&**pod, reason, message) } else { plan.event(&**pod, reason, message) }
    }
}

fn attach(observed: &Observed, volume: &PersistentVolume, users: &[Arc<Pod>], name: String, plan: &mut Plan) {
    let node = observed.node.name();
    let modes = volume.spec.as_ref().and_then(|spec| spec.access_modes.clone()).unwrap_or_default();
    let shared = modes.iter().any(|mode| mode == "ReadWriteMany" || mode == "ReadOnlyMany");
    let elsewhere = |own: &&Arc<VolumeAttachment>| own.spec.node_name != node && volume_of(own) == Some(volume.name());
    if !shared && observed.attachments.iter().any(|own| elsewhere(&own)) {
        let name = volume.name();
        let message = format!(
            "Multi-Attach error for volume \"{name}\" Volume is already exclusively attached to one node and can't be attached to another"
        );
        tell(users, true, "FailedAttachVolume", &message, plan);
        return;
    }
    let Some(source) = csi(volume) else { return };
    plan.ensure(&VolumeAttachment {
        metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() },
        spec: VolumeAttachmentSpec {
            attacher: source.driver.clone(),
            node_name: node.to_owned(),
            source: VolumeAttachmentSource {
                persistent_volume_name: Some(volume.name().to_owned()),
                ..VolumeAttachmentSource::default()
            },
        },
        status: None,
    });
}

/// Ends attachments that no pod needs, once the kubelet has let go or can do nothing any more. Until then they are
/// reported as attached.
fn detach(observed: &Observed, reported: &mut BTreeSet<String>, now: Timestamp, plan: &mut Plan) {
    let node = &*observed.node;
    for own in observed.attachments.iter().filter(|own| own.spec.node_name == node.name() && !own.terminating()) {
        let Some(volume) = volume_of(own).and_then(|name| observed.volumes.get(name)) else { continue };
        let ours = attachment_name(volume, node.name()).as_deref() == Some(own.name());
        let needed = observed.wanted.iter().any(|(wanted, _)| wanted.name() == volume.name());
        let Some(unique) = unique_name(volume).filter(|_| ours && !needed) else { continue };
        let in_use = node.status.iter().flat_map(|status| status.volumes_in_use.iter().flatten());
        if !in_use.into_iter().any(|name| *name == unique) {
            plan.delete(&**own);
            continue;
        }
        match lost_since(node) {
            Some(since) if now.duration_since(since) >= UNMOUNT => plan.delete(&**own),
            Some(since) => {
                plan.again_after((UNMOUNT - now.duration_since(since)).unsigned_abs());
                reported.insert(unique);
            }
            None => {
                reported.insert(unique);
            }
        }
    }
}

/// Since when the kubelet cannot be waited for.
fn lost_since(node: &Node) -> Option<Timestamp> {
    let ready =
        node.status.iter().flat_map(|status| status.conditions.iter().flatten()).find(|own| own.type_ == "Ready")?;
    if ready.status == "True" {
        return None;
    }
    let mut taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    if taints.any(|taint| taint.key == OUT_OF_SERVICE) {
        return Some(Timestamp::UNIX_EPOCH);
    }
    ready.last_transition_time.as_ref().map(|time| time.0)
}

fn shown(node: &Node) -> BTreeSet<String> {
    let attached = node.status.iter().flat_map(|status| status.volumes_attached.iter().flatten());
    attached.map(|own| own.name.clone()).collect()
}

fn report(node: &Node, attached: &BTreeSet<String>, plan: &mut Plan) {
    if shown(node) == *attached {
        return;
    }
    let list: Vec<Value> = attached.iter().map(|name| json!({"name": name, "devicePath": ""})).collect();
    // A kubelet must not mount what is about to be detached, so this comes before the deletions.
    let mut first = Plan::default();
    first.patch(node, "status", PatchKind::Merge, json!({"status": {"volumesAttached": list}}));
    first.writes.append(&mut plan.writes);
    plan.writes = first.writes;
}

#[cfg(test)]
#[path = "attach_detach_tests.rs"]
mod tests;
