//! What becomes of objects, and when: watches of a cluster that remember the moment at which each object reached each stage.
//!
//! Moments are this program's own: an event counts when it arrives here. The times inside of objects have whole seconds only.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Exists,
    /// A pod has its node.
    Scheduled,
    /// A pod's containers run.
    Running,
    /// Condition Ready is true.
    Ready,
    Gone,
}

/// Kind and name.
type Key = (String, String);

/// The watches; they end with it.
pub struct Timeline {
    events: Receiver<(Instant, Value)>,
    children: Vec<Child>,
    seen: BTreeMap<(Key, Stage), Instant>,
}

impl Timeline {
    /// Watches each path (of a list, such as `/api/v1/pods`) through `kubectl`, and returns once all watches stand.
    pub fn watch(kubectl: impl Fn(&str) -> Command, paths: &[&str]) -> Result<Timeline> {
        let (sender, events) = channel();
        let mut timeline = Timeline { events, children: Vec::new(), seen: BTreeMap::new() };
        for path in paths {
            // The list comes as events that end with a bookmark: then nothing that happens later is missed.
            let query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
            let mut command = kubectl(&format!("{path}?{query}"));
            let mut child = command.stdout(Stdio::piped()).spawn().context("running kubectl")?;
            let output = child.stdout.take().context("kubectl has an output")?;
            timeline.children.push(child);
            let sender = sender.clone();
            thread::spawn(move || follow(BufReader::new(output), &sender));
        }
        let mut standing = 0;
        while standing < paths.len() {
            let event = timeline.next(Instant::now() + Duration::from_secs(20)).context("a watch does not begin")?;
            standing += usize::from(event["type"] == "BOOKMARK");
        }
        Ok(timeline)
    }

    /// Waits until an object reaches a stage and returns when that was.
    pub fn until(&mut self, kind: &str, name: &str, stage: Stage, patience: Duration) -> Result<Instant> {
        let end = Instant::now() + patience;
        loop {
            if let Some(moment) = self.at(kind, name, stage) {
                return Ok(moment);
            }
            self.next(end).with_context(|| format!("{kind} {name} is not {stage:?} after {} s", patience.as_secs()))?;
        }
    }

    /// When an object reached a stage, if that was seen.
    pub fn at(&self, kind: &str, name: &str, stage: Stage) -> Option<Instant> {
        self.seen.get(&((kind.to_owned(), name.to_owned()), stage)).copied()
    }

    /// Takes one event in.
    fn next(&mut self, end: Instant) -> Result<Value> {
        let (moment, event) = self.events.recv_timeout(end.saturating_duration_since(Instant::now()))?;
        if event["type"] == "ERROR" {
            bail!("a watch failed: {}", event["object"]["message"]);
        }
        if let Some((key, stages)) = reached(&event) {
            for stage in stages {
                self.seen.entry((key.clone(), stage)).or_insert(moment);
            }
        }
        Ok(event)
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// One event is one line.
fn follow(lines: impl BufRead, events: &Sender<(Instant, Value)>) {
    for line in lines.lines().map_while(Result::ok) {
        let moment = Instant::now();
        let Ok(event) = serde_json::from_str(&line) else { continue };
        if events.send((moment, event)).is_err() {
            return;
        }
    }
}

/// The object of an event and the stages that it has reached.
fn reached(event: &Value) -> Option<(Key, Vec<Stage>)> {
    let object = &event["object"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let key = (text(&object["kind"])?, text(&object["metadata"]["name"])?);
    if event["type"] == "DELETED" {
        return Some((key, vec![Stage::Gone]));
    }
    let status = &object["status"];
    let holds = |type_: &str| {
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        conditions.any(|condition| condition["type"] == type_ && condition["status"] == "True")
    };
    let stages = [
        (Stage::Exists, true),
        (Stage::Scheduled, holds("PodScheduled")),
        (Stage::Running, status["phase"] == "Running"),
        (Stage::Ready, holds("Ready")),
    ];
    Some((key, stages.into_iter().filter(|(_, reached)| *reached).map(|(stage, _)| stage).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(type_: &str, status: Value) -> Value {
        json!({"type": type_, "object": {"kind": "Pod", "metadata": {"name": "a"}, "status": status}})
    }

    #[test]
    fn an_event_tells_every_stage_that_its_object_has_reached() {
        use Stage::{Exists, Gone, Ready, Running, Scheduled};
        let condition = |type_: &str, status: &str| json!({"type": type_, "status": status});
        let waiting = json!({"phase": "Pending", "conditions": [condition("PodScheduled", "False")]});
        let conditions = [condition("PodScheduled", "True"), condition("Ready", "True")];
        let ready = json!({"phase": "Running", "conditions": conditions});
        for (event, expected) in [
            (event("ADDED", Value::Null), vec![Exists]),
            (event("MODIFIED", waiting), vec![Exists]),
            (event("MODIFIED", ready.clone()), vec![Exists, Scheduled, Running, Ready]),
            (event("DELETED", ready), vec![Gone]),
        ] {
            assert_eq!(reached(&event), Some((("Pod".to_owned(), "a".to_owned()), expected)));
        }
        assert_eq!(reached(&json!({"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {}}})), None);
    }

    #[test]
    fn the_first_time_counts_and_what_does_not_come_is_an_error() {
        let (sender, events) = channel();
        let mut timeline = Timeline { events, children: Vec::new(), seen: BTreeMap::new() };
        let first = Instant::now();
        let running = event("MODIFIED", json!({"phase": "Running"}));
        sender.send((first, running.clone())).unwrap();
        sender.send((first + Duration::from_secs(1), running)).unwrap();
        sender.send((first, event("DELETED", Value::Null))).unwrap();
        timeline.until("Pod", "a", Stage::Gone, Duration::from_secs(5)).unwrap();
        assert_eq!(timeline.at("Pod", "a", Stage::Running), Some(first));
        let error = timeline.until("Pod", "b", Stage::Ready, Duration::ZERO).unwrap_err();
        assert!(format!("{error:#}").contains("Pod b is not Ready after 0 s"), "{error:#}");
    }
}
