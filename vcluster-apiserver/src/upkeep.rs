//! What a store needs while it serves: history that is cut off, Events that have had their hour.
//!
//! Upstream: `--etcd-compaction-interval` (5 minutes) and `--event-ttl` (1 hour) of kube-apiserver. There a lease takes an
//! Event away to the second; here it goes at the first look after its hour, at most [`INTERVAL`] later.

use crate::backend::unsealed;
use apimachinery::Object;
use apimachinery::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use storage::{Cache, Entry, Error, Unsealed, compact_regularly, sweep};
use tokio::time::MissedTickBehavior;

pub const INTERVAL: Duration = Duration::from_mins(5);
const EVENT_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// Runs until the store is closed. A revision lives for one to two times `compaction`.
pub async fn run(cache: Arc<Cache>, clock: Arc<dyn Clock>, compaction: Duration) {
    tokio::join!(compact_regularly(cache.clone(), compaction), expire_events(&cache, &*clock));
}

async fn expire_events(cache: &Cache, clock: &dyn Clock) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Ok(oldest) = clock.now().checked_sub(EVENT_LIFETIME) else { continue };
        match sweep(cache, "events", oldest, written_at, last_state).await {
            Err(Error::Closed) => return,
            Err(error) => tracing::warn!(%error, "old events stay"),
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "old events are gone"),
        }
    }
}

/// The times that a write of an Event leaves in it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Times {
    metadata: Metadata,
    event_time: Option<Timestamp>,
    last_timestamp: Option<Timestamp>,
    series: Option<Series>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    creation_timestamp: Option<Timestamp>,
    #[serde(default)]
    managed_fields: Vec<Managed>,
}

#[derive(Deserialize)]
struct Managed {
    time: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series {
    last_observed_time: Option<Timestamp>,
}

/// The latest of them that a server set: clients may put any time into the rest, the future too.
fn written_at(event: &Entry) -> Option<Timestamp> {
    let times: Times = serde_json::from_slice(&event.body).ok()?;
    let created = times.metadata.creation_timestamp?;
    let written = times.metadata.managed_fields.iter().filter_map(|entry| entry.time).max();
    let told = [times.event_time, times.last_timestamp, times.series.and_then(|series| series.last_observed_time)];
    let told = told.into_iter().flatten().max();
    Some(written.or(told).map_or(created, |written| written.max(created)))
}

fn last_state(event: &Entry) -> Option<Unsealed> {
    let object = serde_json::from_slice(&event.body).ok().and_then(Object::from_value)?;
    Some(unsealed(&object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use apimachinery::clock::FixedClock;
    use serde_json::{Value, json};
    use storage::{Bounds, Key, Memory, Storage, Write};

    const NOW: u64 = 1_800_000_000;

    fn at(minutes_ago: i64) -> String {
        let time = FixedClock::new(NOW).now() - SignedDuration::from_mins(minutes_ago);
        time.to_string()
    }

    async fn names_left(events: &[(&str, Value)]) -> Vec<String> {
        let cache = Arc::new(Cache::start(Arc::new(Memory::new()), Bounds::default()).await.unwrap());
        for (name, event) in events {
            let key = Key { resource: "events".into(), namespace: "a".into(), name: (*name).into() };
            let body = unsealed(&Object::from_value(event.clone()).unwrap());
            cache.transact(Vec::new(), vec![Write::Put(key, body)]).await.unwrap();
        }
        let upkeep = tokio::spawn(run(cache.clone(), Arc::new(FixedClock::new(NOW)), INTERVAL));
        tokio::time::sleep(INTERVAL).await;
        upkeep.abort();
        cache.snapshot("events").entries.values().map(|entry| entry.key.name.to_string()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn events_go_an_hour_after_their_last_write() {
        let event = |created: i64| json!({"metadata": {"creationTimestamp": at(created)}});
        let mut renewed = event(90);
        renewed["metadata"]["managedFields"] = json!([{"time": at(70)}, {"time": at(30)}]);
        let mut repeated = event(90);
        repeated["series"] = json!({"lastObservedTime": at(10)});
        let mut foreseen = event(90);
        foreseen["metadata"]["managedFields"] = json!([{"time": at(90)}]);
        foreseen["eventTime"] = json!(at(-1000));
        let events = [
            ("old", event(61)),
            ("young", event(59)),
            ("renewed", renewed),
            ("repeated", repeated),
            ("foreseen", foreseen),
        ];
        assert_eq!(names_left(&events).await, ["renewed", "repeated", "young"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_no_time_stays() {
        assert_eq!(names_left(&[("odd", json!({"metadata": {}}))]).await, ["odd"]);
    }
}
