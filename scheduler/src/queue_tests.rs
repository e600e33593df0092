//! Waiting, on a clock that the tests hold.

use super::*;
use crate::testing::object;
use serde_json::json;

const FIT: &str = "NodeResourcesFit";

fn pod(name: &str, priority: i32) -> Arc<PodInfo> {
    object(json!({"metadata": {"name": name}, "spec": {"priority": priority}}))
}

fn popped(queue: &mut Queue) -> Vec<String> {
    std::iter::from_fn(|| queue.pop()).map(|pod| pod.uid().to_owned()).collect()
}

fn open(_: &PodInfo) -> Option<&'static str> {
    None
}

fn start() -> (Queue, Instant) {
    let now = Instant::now();
    (Queue::new(Duration::from_secs(1), Duration::from_secs(10), now), now)
}

fn add(queue: &mut Queue, name: &str, priority: i32, now: Instant) {
    queue.set(pod(name, priority), |_| true, &open, now);
}

#[test]
fn priority_goes_before_age() {
    let (mut queue, now) = start();
    for (name, priority) in [("old", 0), ("high", 10), ("young", 0)] {
        add(&mut queue, name, priority, now);
    }
    assert_eq!(popped(&mut queue), ["high", "old", "young"]);
}

#[test]
fn back_off_doubles_up_to_ten_seconds() {
    let (one, ten) = (Duration::from_secs(1), Duration::from_secs(10));
    let seconds: Vec<_> = (1..8).map(|attempts| backoff(one, ten, attempts).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 10, 10, 10]);
}

#[test]
fn a_failed_pod_comes_back_after_the_window_of_its_back_off() {
    let (mut queue, now) = start();
    add(&mut queue, "p", 0, now);
    assert_eq!(popped(&mut queue), ["p"]);
    queue.rejected("p", BTreeSet::new(), &open, now + Duration::from_millis(300));
    assert_eq!(queue.next_flush(), Some(now + Duration::from_secs(2)));
    queue.flush(&open, now + Duration::from_millis(1999));
    assert!(!queue.has_ready(), "what went wrong is not tried early");
    queue.flush(&open, now + Duration::from_secs(2));
    assert_eq!(popped(&mut queue), ["p"]);
}

#[test]
fn a_rejected_pod_waits_for_a_change_that_helps() {
    let (mut queue, now) = start();
    add(&mut queue, "p", 0, now);
    assert_eq!(popped(&mut queue), ["p"]);
    queue.rejected("p", [FIT].into(), &open, now);
    queue.wake(|plugin, _| plugin == "NodeAffinity", &open, now);
    assert!(!queue.has_ready());
    queue.wake(|plugin, _| plugin == FIT, &open, now + Duration::from_mins(1));
    assert_eq!(popped(&mut queue), ["p"]);
}

#[test]
fn who_backs_off_is_taken_early_when_nobody_else_is_ready() {
    let (mut queue, now) = start();
    for name in ["p", "q"] {
        add(&mut queue, name, 0, now);
    }
    assert_eq!(popped(&mut queue), ["p", "q"]);
    queue.rejected("p", [FIT].into(), &open, now);
    queue.rejected("q", BTreeSet::new(), &open, now);
    queue.wake(|_, _| true, &open, now);
    add(&mut queue, "r", 0, now);
    assert_eq!(popped(&mut queue), ["r", "p"], "r is ready, p backs off, q failed");
}

#[test]
fn a_hopeless_pod_is_tried_after_five_minutes() {
    let (mut queue, now) = start();
    add(&mut queue, "p", 0, now);
    assert_eq!(popped(&mut queue), ["p"]);
    queue.rejected("p", [FIT].into(), &open, now);
    assert_eq!(queue.next_flush(), Some(now + Duration::from_mins(5)));
    queue.flush(&open, now + Duration::from_mins(5));
    assert_eq!(popped(&mut queue), ["p"]);
}

#[test]
fn a_gated_pod_is_not_ready_until_its_gate_opens() {
    let (mut queue, now) = start();
    let closed = |_: &PodInfo| Some("SchedulingGates");
    queue.set(pod("p", 0), |_| false, &closed, now);
    assert!(!queue.has_ready());
    queue.set(pod("p", 0), |_| false, &open, now);
    assert!(!queue.has_ready(), "a change that is no news");
    queue.set(pod("p", 0), |plugin| plugin == "SchedulingGates", &closed, now);
    assert!(!queue.has_ready(), "still closed");
    queue.set(pod("p", 0), |plugin| plugin == "SchedulingGates", &open, now);
    assert_eq!(popped(&mut queue), ["p"]);
}

#[test]
fn a_pod_that_was_turned_away_can_be_let_in_at_once() {
    let (mut queue, now) = start();
    add(&mut queue, "p", 0, now);
    assert_eq!(popped(&mut queue), ["p"]);
    queue.rejected("p", [FIT].into(), &open, now);
    assert!(!queue.is_kept_out_by("p", "DefaultPreemption"));
    queue.wake(|_, _| true, &|_| Some("DefaultPreemption"), now);
    assert!(!queue.has_ready() && queue.is_kept_out_by("p", "DefaultPreemption"));
    queue.activate_now("p", &open, now);
    assert_eq!(popped(&mut queue), ["p"]);
}

#[test]
fn a_removed_pod_is_in_no_line() {
    let (mut queue, now) = start();
    for name in ["ready", "failed", "hopeless", "woken"] {
        add(&mut queue, name, 0, now);
    }
    assert_eq!(popped(&mut queue).len(), 4);
    queue.rejected("woken", [FIT].into(), &open, now);
    queue.wake(|_, _| true, &open, now);
    queue.rejected("failed", BTreeSet::new(), &open, now);
    queue.rejected("hopeless", [FIT].into(), &open, now);
    add(&mut queue, "ready", 0, now);
    for name in ["ready", "failed", "hopeless", "woken"] {
        queue.remove(name);
    }
    queue.wake(|_, _| true, &open, now);
    queue.flush(&open, now + Duration::from_mins(10));
    assert!(queue.pod("hopeless").is_none() && !queue.has_ready() && queue.next_flush().is_none());
}
