//! A pod whose victims are still being told to go is not looked at again before they are (`DefaultPreemption` at
//! `PreEnqueue`). What it preempts is decided in [`super::default_preemption`].

use crate::change::Change;
use crate::framework::{Plugin, PreEnqueue};
use crate::pod::{PodInfo, uid_of};
use crate::snapshot::Snapshot;
use k8s_openapi::api::core::v1::Pod;

pub(crate) struct PreemptionGate;

impl Plugin for PreemptionGate {
    fn name(&self) -> &'static str {
        "DefaultPreemption"
    }

    /// The end of the preemption itself brings the pod back.
    fn woken_by(&self, _: &PodInfo, _: &Change) -> bool {
        false
    }

    fn pre_enqueue(&self) -> Option<&dyn PreEnqueue> {
        Some(self)
    }
}

impl PreEnqueue for PreemptionGate {
    fn refusal(&self, pod: &Pod, snapshot: &Snapshot) -> Option<String> {
        let running = snapshot.preempting.contains(uid_of(pod));
        running.then(|| "waiting for the preemption for this pod to be finished".to_owned())
    }
}
