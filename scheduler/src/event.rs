//! Events about pods, told once and counted when told again (`client-go/tools/events`).

use crate::bind::Write;
use crate::pod::PodInfo;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::HashMap;

/// How many different events are remembered for counting.
const REMEMBERED: usize = 1024;
/// Upstream's limit of a note, in bytes.
const NOTE_BYTES: usize = 1024;

/// What is said about a pod.
pub(crate) struct Said<'a> {
    pub(crate) warning: bool,
    pub(crate) reason: &'static str,
    pub(crate) action: &'static str,
    pub(crate) note: &'a str,
    /// For whose sake it happened.
    pub(crate) related: Option<&'a PodInfo>,
}

/// Remembers what was said, so that repetitions become a series.
pub(crate) struct Recorder {
    component: String,
    told: HashMap<(String, &'static str, String), (String, u64)>,
}

impl Recorder {
    pub(crate) fn new(component: String) -> Self {
        Self { component, told: HashMap::new() }
    }

    pub(crate) fn write(&mut self, pod: &PodInfo, said: &Said<'_>, now: Timestamp) -> Write {
        let path = format!("/api/v1/namespaces/{}/events", pod.namespace());
        let note = shortened(said.note);
        let time = micro(now);
        let key = (pod.uid().to_owned(), said.reason, note.clone());
        if let Some((name, count)) = self.told.get_mut(&key) {
            *count += 1;
            let series = json!({"series": {"count": *count, "lastObservedTime": time}});
            return Write::merge(format!("{path}/{name}"), series);
        }
        if self.told.len() >= REMEMBERED {
            self.told.clear();
        }
        let name = format!("{}.{:x}", pod.name(), now.as_nanosecond());
        let mut body = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": pod.namespace()},
            "involvedObject": reference(pod),
            "type": if said.warning { "Warning" } else { "Normal" },
            "reason": said.reason, "action": said.action, "message": note, "eventTime": time,
            "reportingComponent": self.component, "reportingInstance": self.component,
        });
        if let Some(related) = said.related {
            body["related"] = reference(related);
        }
        self.told.insert(key, (name, 1));
        Write::create(path, body)
    }
}

fn reference(pod: &PodInfo) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace(), "name": pod.name(), "uid": pod.uid(),
        "resourceVersion": pod.pod.metadata.resource_version,
    })
}

fn shortened(note: &str) -> String {
    if note.len() <= NOTE_BYTES {
        return note.to_owned();
    }
    let end = (0..=NOTE_BYTES - 4).rev().find(|end| note.is_char_boundary(*end)).unwrap_or(0);
    format!("{} ...", &note[..end])
}

/// RFC 3339 with six digits, as `metav1.MicroTime` is written.
fn micro(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use http::Method;

    #[test]
    fn repetitions_become_a_series() {
        let mut recorder = Recorder::new("default-scheduler".to_owned());
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let said = Said { warning: true, reason: "FailedScheduling", action: "Scheduling", note: "0/1", related: None };
        let first = recorder.write(&pod("p", json!({})), &said, now);
        assert_eq!(first.method, Method::POST);
        assert_eq!(first.path, "/api/v1/namespaces/default/events");
        assert_eq!(first.body["eventTime"], "2023-11-14T22:13:20.000000Z");
        let again = recorder.write(&pod("p", json!({})), &said, now);
        assert_eq!(again.method, Method::PATCH);
        assert_eq!(again.body["series"]["count"], 2);
    }

    #[test]
    fn notes_are_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let long = shortened(&"ä".repeat(1000));
        assert!(long.len() <= NOTE_BYTES && long.ends_with("ä ..."), "{long}");
    }
}
