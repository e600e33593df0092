//! From a decision to a bound pod: what has to be written before is written, what others have to do is waited for, and
//! then the pod is bound. Whatever fails gives the node back.

use super::{Scheduler, status};
use crate::bind::{Binder, Job, Purpose, Write};
use crate::catalog::Assumed;
use crate::change::{Change, Changed, Pair};
use crate::extender::Extender;
use crate::framework::Reservation;
use crate::pod::PodInfo;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A decision on its way.
pub(super) struct Binding {
    pod: Arc<PodInfo>,
    node: String,
    assumed: Vec<Assumed>,
    binder: Option<Binder>,
    waits: Option<Duration>,
    /// Since everything of ours is written; until then at the latest others must have done theirs.
    deadline: Option<Instant>,
}

impl Scheduler {
    pub(super) fn place(
        &mut self,
        pod: &Arc<PodInfo>,
        node: &str,
        reservation: Reservation,
        extenders: &[Arc<Extender>],
    ) {
        tracing::debug!(pod.namespace = pod.namespace(), pod.name = pod.name(), node.name = node, "assigning a pod");
        let Reservation { assumed, before_bind, waits } = reservation;
        self.cache.assume(pod.clone(), node);
        self.cache.snapshot_mut().catalog.assume(&assumed);
        let extender = extenders.iter().find(|extender| extender.binds());
        let binder =
            extender.map(|extender| Binder { extender: extender.clone(), pod: pod.clone(), node: node.to_owned() });
        let binding = Binding { pod: pod.clone(), node: node.to_owned(), assumed, binder, waits, deadline: None };
        let uid = pod.uid().to_owned();
        self.bindings.insert(uid.clone(), binding);
        if before_bind.is_empty() && waits.is_none() {
            self.bind(&uid);
            return;
        }
        // Whoever looks at the pod meanwhile sees where it will go.
        let mut writes: Vec<Write> = status::nomination(pod, node).into_iter().collect();
        writes.extend(before_bind);
        self.writer.start(&uid, Job { purpose: Purpose::Prepare, writes, binder: None });
    }

    fn bind(&mut self, uid: &str) {
        let Some(binding) = self.bindings.get_mut(uid) else { return };
        binding.deadline = None;
        let pod = &binding.pod;
        let writes = match &binding.binder {
            Some(_) => Vec::new(),
            None => vec![Write::binding(pod.namespace(), pod.name(), pod.uid(), &binding.node)],
        };
        let job = Job { purpose: Purpose::Bind, writes, binder: binding.binder.clone() };
        self.writer.start(uid, job);
    }

    /// Everything of ours is written.
    pub(super) fn prepared(&mut self, uid: &str) {
        let Some(binding) = self.bindings.get_mut(uid) else { return };
        match binding.waits {
            None => self.bind(uid),
            Some(wait) => {
                binding.deadline = Some(Instant::now() + wait);
                self.advance(uid);
            }
        }
    }

    /// Something changed that bindings may wait for.
    pub(super) fn advance_bindings(&mut self) {
        let waiting: Vec<_> = self.bindings.iter().filter(|(_, binding)| binding.deadline.is_some()).collect();
        let waiting: Vec<String> = waiting.into_iter().map(|(uid, _)| uid.clone()).collect();
        for uid in waiting {
            self.advance(&uid);
        }
    }

    fn advance(&mut self, uid: &str) {
        let Some(binding) = self.bindings.get(uid) else { return };
        let Some(profile) = self.profile_of(&binding.pod) else { return };
        let snapshot = self.cache.snapshot();
        let mut ready = true;
        let mut failure = None;
        for plugin in self.profiles[profile].reserves() {
            match plugin.ready(&binding.pod, snapshot, &binding.node) {
                Ok(done) => ready &= done,
                Err(error) => failure = Some(format!("running PreBind plugin {:?}: {error}", plugin.name())),
            }
        }
        match failure {
            Some(failure) => self.give_back(uid, &failure),
            None if ready => self.bind(uid),
            None => {}
        }
    }

    /// When the first binding has waited long enough.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.bindings.values().filter_map(|binding| binding.deadline).min()
    }

    pub(super) fn end_overdue(&mut self, now: Instant) {
        let is_overdue = |binding: &Binding| binding.deadline.is_some_and(|deadline| deadline <= now);
        let overdue: Vec<String> =
            self.bindings.iter().filter(|(_, binding)| is_overdue(binding)).map(|(uid, _)| uid.clone()).collect();
        for uid in overdue {
            let failure = "running PreBind plugin \"VolumeBinding\": binding volumes: context deadline exceeded";
            self.give_back(&uid, failure);
        }
    }

    /// The pod is bound; its node, if the binding was ours.
    pub(super) fn bound(&mut self, uid: &str) -> Option<(Arc<PodInfo>, String)> {
        self.bindings.remove(uid).map(|binding| (binding.pod, binding.node))
    }

    /// The pod is gone; nothing is left of its binding.
    pub(super) fn abandon_binding(&mut self, uid: &str) {
        if let Some(binding) = self.bindings.remove(uid) {
            self.cache.snapshot_mut().catalog.restore(&binding.assumed);
        }
    }

    /// The binding failed: the node is free again, and the pod is tried again.
    pub(super) fn give_back(&mut self, uid: &str, failure: &str) {
        let Some(binding) = self.bindings.remove(uid) else { return };
        self.cache.snapshot_mut().catalog.restore(&binding.assumed);
        if self.cache.forget(uid) {
            let mut freed = (*binding.pod.pod).clone();
            freed.spec.get_or_insert_default().node_name = Some(binding.node.clone());
            self.happened(&Change::new(Changed::AssignedPod(Pair::new(Some(Arc::new(freed)), None))));
        }
        self.fail(&binding.pod, failure);
    }
}
