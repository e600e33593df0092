//! Waiting, on a clock that the tests hold.

use super::*;
use crate::testing::object;
use serde_json::json;

fn pod(name: &str, priority: i32) -> Arc<Pod> {
    object(json!({"metadata": {"name": name}, "spec": {"priority": priority}})).pod.clone()
}

fn popped(queue: &mut Queue) -> Vec<String> {
    std::iter::from_fn(|| queue.pop()).map(|pod| uid_of(&pod).to_owned()).collect()
}

fn fit() -> BTreeSet<&'static str> {
    ["NodeResourcesFit"].into()
}

#[test]
fn priority_goes_before_age() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    for (name, priority) in [("old", 0), ("high", 10), ("young", 0)] {
        queue.set(pod(name, priority), now);
    }
    assert_eq!(popped(&mut queue), ["high", "old", "young"]);
}

#[test]
fn back_off_doubles_up_to_ten_seconds() {
    let seconds: Vec<_> = (1..8).map(|attempts| backoff(attempts).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 10, 10, 10]);
}

#[test]
fn a_failed_pod_comes_back_after_its_back_off() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.set(pod("p", 0), now);
    assert_eq!(popped(&mut queue), ["p"]);
    queue.failed("p", now);
    assert_eq!(queue.next_flush(), Some(now + Duration::from_secs(1)));
    queue.flush(now + Duration::from_millis(999));
    assert!(!queue.has_ready());
    queue.flush(now + Duration::from_secs(1));
    assert_eq!(popped(&mut queue), ["p"]);
}

#[test]
fn a_rejected_pod_waits_for_an_event_that_helps() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.set(pod("p", 0), now);
    assert_eq!(popped(&mut queue), ["p"]);
    queue.rejected("p", fit(), now);
    queue.wake(|plugin| plugin == "NodeAffinity", now);
    assert_eq!(queue.next_flush(), None);
    let later = now + Duration::from_mins(1);
    queue.wake(|plugin| plugin == "NodeResourcesFit", later);
    assert_eq!(popped(&mut queue), ["p"]);
    queue.rejected("p", BTreeSet::new(), later);
    queue.wake(|_| false, later);
    assert_eq!(queue.next_flush(), Some(later + Duration::from_secs(2)), "without plugins any event wakes");
}

#[test]
fn a_change_of_the_spec_wakes_and_a_change_of_the_status_does_not() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.set(pod("p", 0), now);
    assert_eq!(popped(&mut queue), ["p"]);
    queue.rejected("p", fit(), now);
    let later = now + Duration::from_secs(5);
    let status = json!({"metadata": {"name": "p"}, "spec": {"priority": 0}, "status": {"phase": "Pending"}});
    queue.set(object(status).pod.clone(), later);
    assert!(!queue.has_ready());
    queue.set(pod("p", 1), later);
    assert_eq!(popped(&mut queue), ["p"]);
}

#[test]
fn a_removed_pod_is_in_no_line() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    for name in ["ready", "backing-off", "hopeless"] {
        queue.set(pod(name, 0), now);
    }
    assert_eq!(popped(&mut queue).len(), 3);
    queue.failed("backing-off", now);
    queue.rejected("hopeless", fit(), now);
    queue.set(pod("ready", 0), now);
    for name in ["ready", "backing-off", "hopeless"] {
        queue.remove(name);
    }
    queue.wake(|_| true, now);
    queue.flush(now + Duration::from_mins(1));
    assert!(queue.pod("hopeless").is_none() && !queue.has_ready());
}
