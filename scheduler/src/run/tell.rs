//! What pods' users are told, and what follows when a write has ended.

use super::{Scheduler, gate, status};
use crate::bind::{Done, Job, Purpose};
use crate::event::Said;
use crate::pod::PodInfo;
use std::sync::Arc;
use tokio::time::Instant;

impl Scheduler {
    /// Event and condition of a failure.
    pub(super) fn tell_failure(&mut self, pod: &Arc<PodInfo>, reason: &str, message: &str, nominated: Option<&str>) {
        let Some(profile) = self.profile_of(pod) else { return };
        let said =
            Said { warning: true, reason: "FailedScheduling", action: "Scheduling", note: message, related: None };
        self.tell(profile, pod, &said);
        if let Some(write) = status::unscheduled(pod, reason, message, nominated, self.clock.now()) {
            self.writer.start(pod.uid(), Job { purpose: Purpose::Tell, writes: vec![write], binder: None });
        }
    }

    pub(super) fn tell(&mut self, profile: usize, pod: &PodInfo, said: &Said<'_>) {
        let Some(recorder) = self.recorders.get_mut(profile) else { return };
        let write = recorder.write(pod, said, self.clock.now());
        self.writer.start(pod.uid(), Job { purpose: Purpose::Tell, writes: vec![write], binder: None });
    }

    fn tell_bound(&mut self, uid: &str) {
        let Some((pod, node)) = self.bound(uid) else { return };
        let Some(profile) = self.profile_of(&pod) else { return };
        let note = format!("Successfully assigned {}/{} to {node}", pod.namespace(), pod.name());
        let said = Said { warning: false, reason: "Scheduled", action: "Binding", note: &note, related: None };
        self.tell(profile, &pod, &said);
    }

    /// The victims are on their way, or the attempt to send them away failed: the pod may be looked at again.
    fn preemption_ended(&mut self, uid: &str, failed: bool) {
        self.cache.snapshot_mut().preempting.remove(uid);
        let waiting = self.queue.pod(uid).filter(|_| self.cache.placed(uid).is_none());
        let Some(pod) = waiting.cloned() else { return };
        if failed {
            self.cache.nominate(&pod, None);
        }
        // The victims may have gone before this was heard, and the pod have been turned away when they did.
        if failed || self.queue.is_kept_out_by(uid, "DefaultPreemption") {
            let (profiles, cache) = (&self.profiles, &self.cache);
            self.queue.activate_now(uid, &|pod| gate(profiles, cache, pod), Instant::now());
        }
    }

    pub(super) fn done(&mut self, done: Done) {
        self.writer.settle(&done);
        let Done { uid, purpose, result, .. } = done;
        match (purpose, result) {
            (Purpose::Bind, Ok(())) => self.tell_bound(&uid),
            (Purpose::Prepare, Ok(())) => self.prepared(&uid),
            (Purpose::Preempt, Ok(())) => self.preemption_ended(&uid, false),
            (Purpose::Tell, Ok(())) => {}
            (Purpose::Tell, Err(error)) => tracing::debug!(pod.uid = uid, %error, "a pod's users were not told"),
            (Purpose::Preempt, Err(error)) => {
                tracing::warn!(pod.uid = uid, %error, "no room was made for a pod");
                self.preemption_ended(&uid, true);
            }
            (Purpose::Prepare, Err(error)) => {
                self.give_back(&uid, &format!("running PreBind plugin \"VolumeBinding\": {error}"));
            }
            (Purpose::Bind, Err(error)) => {
                self.give_back(&uid, &format!("running Bind plugin \"DefaultBinder\": {error}"));
            }
        }
    }
}
