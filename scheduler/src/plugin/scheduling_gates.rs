//! A pod with scheduling gates is not looked at until the last one is removed.

use crate::framework::{ClusterEvent, Plugin, PreEnqueue};
use crate::pod::spec_of;
use k8s_openapi::api::core::v1::Pod;

pub(crate) struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    /// Only the pod's own change counts, which enters the queue anew.
    fn woken_by(&self, _: ClusterEvent) -> bool {
        false
    }
}

impl PreEnqueue for SchedulingGates {
    fn pre_enqueue(&self, pod: &Pod) -> Option<String> {
        let gates: Vec<_> = spec_of(pod).scheduling_gates.iter().flatten().map(|gate| gate.name.as_str()).collect();
        (!gates.is_empty()).then(|| format!("waiting for scheduling gates: [{}]", gates.join(" ")))
    }
}
