//! Who did what, when, and what came of it (k8s.io/apiserver `pkg/audit`, `pkg/endpoints/filters/audit.go`).
//!
//! A [`policy::Policy`] says per request how much is told; a [`record::Record`] collects it on the request's way; sinks
//! write it. Without an [`Audit`] in the server nothing of this runs.
//!
//! The body of a Secret (or of anything else that carries credentials) is told only by a rule that names its resource:
//! upstream tells it under any rule that matches.

pub mod batch;
pub mod body;
pub mod event;
pub mod log;
pub mod policy;
pub mod record;
pub mod webhook;

use crate::authz::Attributes;
use apimachinery::clock::Clock;
use event::Event;
use policy::Policy;
use std::sync::Arc;

/// Where events go. Never waits: what cannot be taken is dropped, loudly.
pub trait Sink: Send + Sync {
    fn write(&self, event: &Arc<Event>);
}

/// See the module.
pub struct Audit {
    policy: Policy,
    sinks: Vec<Arc<dyn Sink>>,
    clock: Arc<dyn Clock>,
}

impl Audit {
    pub fn new(policy: Policy, sinks: Vec<Arc<dyn Sink>>, clock: Arc<dyn Clock>) -> Self {
        Self { policy, sinks, clock }
    }

    /// How a request is told about; none when it is not.
    fn rule(&self, attributes: &Attributes) -> Option<policy::Telling> {
        Some(self.policy.evaluate(attributes)).filter(|telling| telling.level > policy::Level::None)
    }

    fn tell(&self, event: &Arc<Event>) {
        for sink in &self.sinks {
            sink.write(event);
        }
    }
}
