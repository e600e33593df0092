//! Batches posted to a webhook (k8s.io/apiserver `plugin/pkg/audit/webhook`).

use super::batch::Deliver;
use super::event::Event;
use crate::outbound::Endpoint;
use async_trait::async_trait;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// Upstream's `--audit-webhook-initial-backoff`, grown by half at each of its tries.
const BACKOFF: Duration = Duration::from_secs(10);
const TRIES: u32 = 5;
const TIMEOUT: Duration = Duration::from_secs(30);

/// See the module.
pub struct Webhook(pub Endpoint);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventList<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: serde_json::Map<String, serde_json::Value>,
    items: Vec<&'a Event>,
}

fn list(items: &[Arc<Event>]) -> Vec<u8> {
    let list = EventList {
        kind: "EventList",
        api_version: "audit.k8s.io/v1",
        metadata: serde_json::Map::new(),
        items: items.iter().map(|event| &**event).collect(),
    };
    serde_json::to_vec(&list).unwrap_or_default()
}

#[async_trait]
impl Deliver for Webhook {
    async fn deliver(&self, events: Vec<Arc<Event>>) {
        let body = bytes::Bytes::from(list(&events));
        let mut wait = BACKOFF;
        for attempt in 1..=TRIES {
            let why = match self.0.post(body.clone(), TIMEOUT).await {
                Ok((code, _)) if code.is_success() => return,
                // It will not like it better the next time.
                Ok((code, _)) if !(code.is_server_error() || code.as_u16() == 429) => {
                    tracing::error!(%code, events = events.len(), "the audit webhook refused a batch");
                    return;
                }
                Ok((code, _)) => code.to_string(),
                Err(error) => error.to_string(),
            };
            tracing::warn!(why, attempt, "the audit webhook did not take a batch");
            if attempt < TRIES {
                tokio::time::sleep(wait).await;
                wait = wait * 3 / 2;
            }
        }
        tracing::error!(events = events.len(), "audit events are lost: the webhook did not take them");
    }
}
