//! A pod with scheduling gates is not looked at until the last one is removed.

use crate::change::{Actions, Change};
use crate::framework::{Plugin, PreEnqueue};
use crate::pod::{PodInfo, spec_of};
use crate::snapshot::Snapshot;
use k8s_openapi::api::core::v1::Pod;

pub(crate) struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    fn woken_by(&self, _: &PodInfo, change: &Change) -> bool {
        change.target(Actions::POD_GATES_ELIMINATED).is_some()
    }

    fn pre_enqueue(&self) -> Option<&dyn PreEnqueue> {
        Some(self)
    }
}

impl PreEnqueue for SchedulingGates {
    fn refusal(&self, pod: &Pod, _: &Snapshot) -> Option<String> {
        let gates: Vec<_> = spec_of(pod).scheduling_gates.iter().flatten().map(|gate| gate.name.as_str()).collect();
        (!gates.is_empty()).then(|| format!("waiting for scheduling gates: [{}]", gates.join(" ")))
    }
}
