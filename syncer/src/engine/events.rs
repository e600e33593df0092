//! Events: the host's about our copies are told in the tenant, and what the host refuses becomes an Event of ours.

use super::Engine;
use super::remote::Content;
use crate::kind::Kind;
use crate::marks::{self, Origin};
use crate::references::ObjectKey;
use crate::scrub::Scrubber;
use crate::{event, names, pod};
use k8s_openapi::api::core::v1::Event;
use serde_json::{Value, json};
use std::sync::Arc;

/// Component that Events of our own name.
const COMPONENT: &str = "coracle-syncer";
/// Events that were there at the start have been told, unless they are this fresh (seconds).
const FRESH: i64 = 120;

/// Follows the host's Events. One at a time: nobody waits for them.
pub(super) async fn relay(engine: Arc<Engine>) {
    let oldest = engine.clock.now().as_second() - FRESH;
    let mut subscription = engine.stores.host_events.subscribe();
    while let Some(change) = subscription.next().await {
        let Some(host) = &change.new else { continue };
        if last_seen(host) >= oldest && !is_said_already(host) {
            engine.tell(host, change.old.is_some()).await;
        }
    }
}

/// Whether the tenant's own components say the same: its scheduler has placed the pod before the host's did.
fn is_said_already(event: &Event) -> bool {
    event.involved_object.kind.as_deref() == Some("Pod") && event.reason.as_deref() == Some("Scheduled")
}

/// When an Event last happened (seconds since 1970).
fn last_seen(event: &Event) -> i64 {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let time = series.or_else(|| event.last_timestamp.as_ref().map(|time| time.0));
    let time = time.or_else(|| event.event_time.as_ref().map(|time| time.0));
    let time = time.or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0));
    time.map_or(0, jiff::Timestamp::as_second)
}

impl Engine {
    async fn tell(&self, host: &Event, is_known: bool) {
        // The tenant's own scheduler has said this of its pod.
        if host.reason.as_deref() == Some("Scheduled") {
            return;
        }
        let Some((origin, scrubber)) = self.subject(host) else { return };
        let virt = json!(event::to_virtual(host, &origin, &scrubber));
        let name = virt["metadata"]["name"].as_str().unwrap_or_default();
        let told = if is_known {
            self.performer
                .virt
                .patch(&Kind::Event.path(&origin.namespace, name, ""), Content::Merge, &virt)
                .await
                .map(drop)
        } else {
            Ok(())
        };
        let is_missing = told.as_ref().is_err_and(|error| error.code() == 404);
        let told = if !is_known || is_missing {
            self.performer.virt.create(&Kind::Event.path(&origin.namespace, "", ""), &virt).await.map(drop)
        } else {
            told
        };
        if let Err(error) = told
            && error.code() != 409
        {
            tracing::debug!(namespace = origin.namespace, name, error = %error.message(), "an Event was not told");
        }
    }

    /// The tenant object that a host Event is about, and the words to take out of its text.
    fn subject(&self, host: &Event) -> Option<(Origin, Scrubber)> {
        let involved = &host.involved_object;
        let (namespace, name) = (&self.config.host_namespace, involved.name.as_deref()?);
        let plain = |origin: Origin| {
            let words = [(name.to_owned(), origin.name.clone()), (namespace.clone(), origin.namespace.clone())];
            (origin, Scrubber::new(words))
        };
        match involved.kind.as_deref()? {
            "Pod" => {
                let host_pod = self.stores.host.pods.get(namespace, name)?;
                let origin = marks::origin(&self.config, &host_pod.metadata)?;
                let virt = self.stores.virt.pods.get(&origin.namespace, &origin.name);
                let virt = virt.filter(|virt| virt.metadata.uid.as_deref() == Some(&origin.uid));
                Some(match virt {
                    Some(virt) => {
                        let uses = pod::uses(&self.config, &virt);
                        let scrubber = pod::scrubber(&self.config, &virt, &host_pod, &uses);
                        (origin, scrubber)
                    }
                    None => plain(origin),
                })
            }
            "PersistentVolumeClaim" => self.claim_origin(name).map(plain),
            "Service" => {
                let service = self.stores.host.services.get(namespace, name)?;
                marks::origin(&self.config, &service.metadata).map(plain)
            }
            _ => None,
        }
    }

    fn claim_origin(&self, name: &str) -> Option<Origin> {
        let claim = self.stores.host.claims.get(&self.config.host_namespace, name)?;
        marks::origin(&self.config, &claim.metadata)
    }

    /// Tells the tenant why an object cannot be synced, once per reason.
    pub(super) async fn warn(&self, kind: Kind, key: &ObjectKey, message: &str) {
        let Some((kind, uid)) = self.about(kind, key) else { return };
        let host_name = names::host_name(&key.1, &key.0, &self.config.tenant);
        let words = [(host_name, key.1.clone()), (self.config.host_namespace.clone(), key.0.clone())];
        let message = Scrubber::new(words).text(message);
        let name = format!("{}.{}", key.1, names::hash(&[&uid, &message]));
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.clock.now());
        let event: Value = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": key.0},
            "involvedObject": {"apiVersion": "v1", "kind": kind, "namespace": key.0, "name": key.1, "uid": uid},
            "type": "Warning",
            "reason": "SyncFailed",
            "message": message,
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        });
        if let Err(error) = self.performer.virt.create(&Kind::Event.path(&key.0, "", ""), &event).await
            && error.code() != 409
        {
            tracing::debug!(namespace = key.0, name = key.1, error = %error.message(), "a warning was not told");
        }
    }

    /// Kind and uid of the tenant's object, for those kinds that tenants wait for.
    fn about(&self, kind: Kind, (namespace, name): &ObjectKey) -> Option<(&'static str, String)> {
        let virt = &self.stores.virt;
        let (kind, uid) = match kind {
            Kind::Pod => ("Pod", virt.pods.get(namespace, name)?.metadata.uid.clone()),
            Kind::Service => ("Service", virt.services.get(namespace, name)?.metadata.uid.clone()),
            Kind::PersistentVolumeClaim => {
                ("PersistentVolumeClaim", virt.claims.get(namespace, name)?.metadata.uid.clone())
            }
            Kind::ConfigMap => ("ConfigMap", virt.config_maps.get(namespace, name)?.metadata.uid.clone()),
            Kind::Secret => ("Secret", virt.secrets.get(namespace, name)?.metadata.uid.clone()),
            _ => return None,
        };
        Some((kind, uid?))
    }
}
