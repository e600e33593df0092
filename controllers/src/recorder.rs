//! Events: told once, counted when told again. `client-go/tools/record` with its correlator, as far as users can see it:
//! equal events of the last while become one with a count, and one object may not flood the log.
//!
//! Recording never waits and never fails; events that cannot be written are dropped with a log line.

use crate::plan::Event;
use apimachinery::clock::Clock;
use http::Request;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;

const QUEUED: usize = 1000;
/// How many different events are remembered for counting.
const REMEMBERED: usize = 512;
/// Events about one object before they are limited, and the seconds after which one more is allowed.
const BURST: i64 = 25;
const REFILL_SECONDS: i64 = 300;

/// Hands events to a task that writes them.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Event>,
}

impl Recorder {
    /// Starts the writing task, which ends when the last clone of the recorder is gone.
    pub(crate) fn start(client: Client, component: &'static str, clock: Arc<dyn Clock>) -> Self {
        let (queue, mut events) = mpsc::channel(QUEUED);
        let mut correlator = Correlator::default();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let Some(write) = correlator.correlate(&event, component, clock.now()) else { continue };
                let request = match &write {
                    Said::New(path, body) => {
                        Request::post(path.as_str()).header("content-type", "application/json").body(body)
                    }
                    Said::Again(path, body) => {
                        Request::patch(path.as_str()).header("content-type", "application/merge-patch+json").body(body)
                    }
                };
                let Ok(request) = request.map(|request| request.map(|body| body.to_string().into_bytes())) else {
                    continue;
                };
                if let Err(error) = client.request::<Value>(request).await {
                    tracing::debug!(%error, reason = event.reason, "an event was not written");
                    correlator.forget(&event);
                }
            }
        });
        Self { queue }
    }

    pub(crate) fn record(&self, event: Event) {
        if self.queue.try_send(event).is_err() {
            tracing::warn!("too many events at once, one is dropped");
        }
    }
}

#[derive(Debug, PartialEq)]
enum Said {
    New(String, Value),
    Again(String, Value),
}

type Identity = (String, &'static str, String);

#[derive(Default)]
struct Correlator {
    told: HashMap<Identity, (String, u64, Timestamp)>,
    /// For each object: the time up to which its allowance is used.
    spent: HashMap<String, Timestamp>,
}

fn identity(event: &Event) -> Identity {
    (subject(event), event.reason, event.message.clone())
}

fn subject(event: &Event) -> String {
    let about = &event.about;
    [&about.kind, &about.namespace, &about.name, &about.uid].map(|part| part.as_deref().unwrap_or_default()).join("/")
}

impl Correlator {
    fn correlate(&mut self, event: &Event, component: &str, now: Timestamp) -> Option<Said> {
        if !self.allowed(subject(event), now) {
            return None;
        }
        if self.told.len() >= REMEMBERED {
            let oldest = self.told.iter().min_by_key(|(_, (_, _, last))| *last).map(|(key, _)| key.clone());
            oldest.map(|key| self.told.remove(&key));
        }
        let about = &event.about;
        let namespace = about.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
        let path = format!("/api/v1/namespaces/{namespace}/events");
        let time = stamp(now);
        if let Some((name, count, last)) = self.told.get_mut(&identity(event)) {
            *count += 1;
            *last = now;
            return Some(Said::Again(format!("{path}/{name}"), json!({"count": *count, "lastTimestamp": time})));
        }
        let name = format!("{}.{:x}", about.name.as_deref().unwrap_or_default(), now.as_nanosecond());
        self.told.insert(identity(event), (name.clone(), 1, now));
        let body = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": about,
            "reason": event.reason, "message": event.message.chars().take(1024).collect::<String>(),
            "type": if event.warning { "Warning" } else { "Normal" },
            "source": {"component": component}, "reportingComponent": component, "reportingInstance": "",
            "firstTimestamp": time, "lastTimestamp": time, "count": 1,
        });
        Some(Said::New(path, body))
    }

    fn allowed(&mut self, subject: String, now: Timestamp) -> bool {
        self.spent.retain(|_, used| *used > now);
        let limit = now.as_second() + BURST * REFILL_SECONDS;
        let used = self.spent.get(&subject).map_or(now.as_second(), |used| used.as_second()) + REFILL_SECONDS;
        if used > limit {
            return false;
        }
        self.spent.insert(subject, Timestamp::from_second(used).unwrap_or(now));
        true
    }

    fn forget(&mut self, event: &Event) {
        self.told.remove(&identity(event));
    }
}

/// RFC 3339 in whole seconds, as `metav1.Time` is written.
pub(crate) fn stamp(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ObjectReference;

    fn event(message: &str) -> Event {
        let about = ObjectReference { kind: Some("Pod".into()), name: Some("a".into()), ..Default::default() };
        Event { about, warning: false, reason: "Done", message: message.into() }
    }

    #[test]
    fn equal_events_are_counted_and_floods_are_cut() {
        let mut correlator = Correlator::default();
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let first = correlator.correlate(&event("x"), "c", now);
        assert!(matches!(first, Some(Said::New(path, _)) if path == "/api/v1/namespaces/default/events"));
        let Some(Said::Again(_, body)) = correlator.correlate(&event("x"), "c", now) else { panic!("not counted") };
        assert_eq!(body, json!({"count": 2, "lastTimestamp": "2023-11-14T22:13:20Z"}));
        let told = (0..50).filter_map(|i| correlator.correlate(&event(&i.to_string()), "c", now)).count();
        assert_eq!(told, 23);
    }
}
