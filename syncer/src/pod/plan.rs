//! What to do about one pod, given what both sides show. Pure.

use super::{Inputs, projection, status, update};
use crate::kind::Kind;
use crate::step::{Plan, Step};
use crate::{Config, Decision, marks};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Both sides of one pod and what its translation depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) virt: Option<Arc<Pod>>,
    pub(crate) host: Option<Arc<Pod>>,
    /// The last state of a host copy that has just gone and whose status may not have come up yet.
    pub(crate) last: Option<Arc<Pod>>,
    /// The host Secret with the pod's tokens.
    pub(crate) tokens: Option<Arc<Secret>>,
    /// Whether the pod's node is one of the host's: pods on nodes of the tenant's own are none of our business.
    pub(crate) on_host_node: bool,
    pub(crate) inputs: Inputs,
    /// Writes that must precede the pod's creation: what it reads, its service variables.
    pub(crate) prerequisites: Vec<Step>,
}

pub(crate) fn plan(config: &Config, observed: &Observed, now: Timestamp) -> Plan {
    match (&observed.virt, &observed.host) {
        (None, None) => Plan::of(observed.tokens.iter().map(|secret| delete_tokens(secret)).collect()),
        (None, Some(host)) => Plan::of(end_host(host).into_iter().collect()),
        (Some(virt), None) => without_copy(config, observed, virt, now),
        (Some(virt), Some(host)) => {
            let recorded = marks::annotation(&host.metadata, marks::UID);
            if virt.metadata.uid.as_deref() == Some(recorded) {
                with_copy(config, observed, virt, host, now)
            } else {
                // The copy is of an earlier pod of this name; when it is gone, the key comes again.
                Plan::of(end_host(host).into_iter().collect())
            }
        }
    }
}

/// The tenant's pod while the host runs it or is about to.
pub(crate) fn runs(observed: &Observed) -> Option<&Pod> {
    let virt = observed.virt.as_deref().filter(|_| observed.on_host_node)?;
    let over = virt.metadata.deletion_timestamp.is_some() || is_finished(virt);
    (observed.host.is_some() || !over).then_some(virt)
}

/// Ends a host copy whose tenant pod is gone: with the pod's own grace, so that no successor of the same identity
/// runs beside it.
fn end_host(host: &Pod) -> Option<Step> {
    host.metadata.deletion_timestamp.is_none().then(|| delete_host(host, None))
}

fn delete_host(host: &Pod, grace: Option<i64>) -> Step {
    Step::HostDelete {
        kind: Kind::Pod,
        name: host.metadata.name.clone().unwrap_or_default(),
        uid: host.metadata.uid.clone().unwrap_or_default(),
        grace,
    }
}

fn delete_virt(virt: &Pod, grace: i64) -> Step {
    Step::VirtDelete {
        kind: Kind::Pod,
        namespace: virt.metadata.namespace.clone().unwrap_or_default(),
        name: virt.metadata.name.clone().unwrap_or_default(),
        uid: virt.metadata.uid.clone().unwrap_or_default(),
        grace: Some(grace),
    }
}

fn delete_tokens(secret: &Secret) -> Step {
    Step::HostDelete {
        kind: Kind::Secret,
        name: secret.metadata.name.clone().unwrap_or_default(),
        uid: secret.metadata.uid.clone().unwrap_or_default(),
        grace: None,
    }
}

fn without_copy(config: &Config, observed: &Observed, virt: &Pod, now: Timestamp) -> Plan {
    if !observed.on_host_node {
        return Plan::nothing();
    }
    let terminating = virt.metadata.deletion_timestamp.is_some();
    let last = observed
        .last
        .as_ref()
        .filter(|last| virt.metadata.uid.as_deref() == Some(marks::annotation(&last.metadata, marks::UID)));
    let finished = is_finished(virt);
    if terminating || (!finished && (last.is_some() || status::has_run(virt))) {
        let waits_for_finalizers = terminating && virt.metadata.deletion_grace_period_seconds == Some(0);
        let uses = super::uses(config, virt);
        let up = last.and_then(|last| status::up(virt, last, &status::scrubber(config, virt, last, &uses)));
        let end = (!waits_for_finalizers).then(|| delete_virt(virt, 0));
        let tokens = observed.tokens.iter().map(|secret| delete_tokens(secret));
        return Plan::of(up.into_iter().chain(end).chain(tokens).collect());
    }
    if finished {
        return Plan::of(observed.tokens.iter().map(|secret| delete_tokens(secret)).collect());
    }
    let host = match super::to_host(config, virt, &observed.inputs) {
        Decision::Sync(host) => host,
        Decision::Skip(why) | Decision::Delete(why) => return Plan::warn(why),
    };
    let mut plan = Plan::of(observed.prerequisites.clone());
    tokens(config, observed, virt, now, &mut plan);
    plan.steps.push(Step::HostApply { kind: Kind::Pod, object: json!(host) });
    plan
}

fn with_copy(config: &Config, observed: &Observed, virt: &Pod, host: &Pod, now: Timestamp) -> Plan {
    let mut plan = Plan::nothing();
    let uses = super::uses(config, virt);
    plan.steps.extend(status::up(virt, host, &status::scrubber(config, virt, host, &uses)));
    let grace = |pod: &Pod| pod.metadata.deletion_grace_period_seconds.unwrap_or_default();
    match (&virt.metadata.deletion_timestamp, &host.metadata.deletion_timestamp) {
        (Some(_), None) => plan.steps.push(delete_host(host, Some(grace(virt)))),
        (Some(_), Some(_)) if grace(virt) < grace(host) => plan.steps.push(delete_host(host, Some(grace(virt)))),
        // What a finished pod has to say is said; its record is the tenant's to delete.
        (None, Some(_)) if is_finished(virt) => {}
        (None, Some(_)) => plan.steps.push(delete_virt(virt, grace(host))),
        (Some(_), Some(_)) => {}
        (None, None) if is_finished(host) => {}
        (None, None) => {
            if let Decision::Sync(wanted) = super::to_host(config, virt, &observed.inputs) {
                let ephemeral = update::ephemeral(config, virt, &observed.inputs);
                plan.steps.extend(update::steps(host, &wanted, &ephemeral));
            }
            plan.steps.extend(status::gates_down(virt, host));
            tokens(config, observed, virt, now, &mut plan);
        }
    }
    plan
}

fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Mints tokens that are missing or due, and sets when to look again.
fn tokens(config: &Config, observed: &Observed, virt: &Pod, now: Timestamp, plan: &mut Plan) {
    let requests = projection::requests(virt);
    if requests.is_empty() {
        return;
    }
    let uid = virt.metadata.uid.clone().unwrap_or_default();
    let due = observed.tokens.as_ref().and_then(|secret| projection::next_refresh(secret, &uid, &requests));
    match due.map(|due| due.saturating_sub(now.as_second())) {
        Some(seconds) if seconds > 0 => plan.again = Some(Duration::from_secs(seconds.unsigned_abs())),
        _ => plan.steps.push(Step::Mint {
            namespace: virt.metadata.namespace.clone().unwrap_or_default(),
            service_account: service_account(virt),
            pod: virt.metadata.name.clone().unwrap_or_default(),
            uid,
            tokens: requests,
            secret: json!(projection::secret(config, virt)),
        }),
    }
}

fn service_account(virt: &Pod) -> String {
    let name = virt.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".into())
}
