//! Fairness of the queues, in a simulation that knows no real time.

use super::*;
use proptest::prelude::*;

const QUEUING: Queuing = Queuing { queues: 128, hand: 3, length: 50 };

fn queued(limit: usize) -> (QueueSet<u64>, Instant) {
    let now = Instant::now();
    (QueueSet::new(Discipline::Queue(QUEUING), limit, now), now)
}

/// Sends a request whose number is what comes back when it may run.
fn send(set: &mut QueueSet<u64>, work: Work, flow: u64, now: Instant) -> Arrival {
    let (arrival, _) = set.arrive(work, flow, now);
    if let Arrival::Waits(id) = arrival {
        set.attach(id, id);
    }
    arrival
}

#[test]
fn beyond_the_limit_requests_wait_and_then_run_in_order() {
    let (mut set, now) = queued(2);
    let arrivals: Vec<Arrival> = (0..4).map(|_| send(&mut set, Work::seats(1), 7, now)).collect();
    assert_eq!(arrivals, [Arrival::Runs(1), Arrival::Runs(2), Arrival::Waits(3), Arrival::Waits(4)]);
    assert_eq!(set.leave(1, now).1.len(), 1);
    assert_eq!(set.counts(), (1, 2));
    set.leave(2, now);
    set.leave(3, now);
    set.leave(4, now);
    assert!(set.is_idle());
    assert!(set.queues.is_empty());
}

#[test]
fn a_full_queue_rejects_and_a_limit_without_queues_does_at_once() {
    let now = Instant::now();
    let mut set = QueueSet::<u64>::new(Discipline::Queue(Queuing { queues: 1, hand: 1, length: 2 }), 1, now);
    let arrivals: Vec<Arrival> = (0..4).map(|_| send(&mut set, Work::seats(1), 0, now)).collect();
    assert_eq!(arrivals[3], Arrival::Rejected);
    let mut set = QueueSet::<u64>::new(Discipline::Reject, 1, now);
    assert_eq!(send(&mut set, Work::seats(1), 0, now), Arrival::Runs(1));
    assert_eq!(send(&mut set, Work::seats(1), 0, now), Arrival::Rejected);
    let mut set = QueueSet::<u64>::new(Discipline::Exempt, 0, now);
    assert_eq!(send(&mut set, Work::seats(100), 0, now), Arrival::Runs(1));
}

#[test]
fn who_gives_up_leaves_no_trace() {
    let (mut set, now) = queued(1);
    send(&mut set, Work::seats(1), 1, now);
    let Arrival::Waits(id) = send(&mut set, Work::seats(1), 1, now) else { panic!("there was no seat") };
    set.leave(id, now);
    assert_eq!(set.counts(), (0, 1));
    assert_eq!(set.leave(1, now).1, Vec::<u64>::new());
}

#[test]
fn wider_than_the_limit_runs_alone() {
    let (mut set, now) = queued(4);
    assert_eq!(send(&mut set, Work::seats(10), 1, now), Arrival::Runs(1));
    assert_eq!(send(&mut set, Work::seats(1), 2, now), Arrival::Waits(2));
    assert_eq!(set.leave(1, now).1, [2]);
}

#[test]
fn last_seats_stay_taken_after_the_answer() {
    let (mut set, now) = queued(1);
    let work = Work { initial: 1, last: 1, linger: Duration::from_millis(5) };
    send(&mut set, work, 1, now);
    send(&mut set, Work::seats(1), 1, now);
    assert_eq!(set.leave(1, now), (Some(Duration::from_millis(5)), vec![]));
    assert_eq!(set.release(1, now + Duration::from_millis(5)), [2]);
}

#[test]
fn a_raised_limit_is_used_at_once() {
    let (mut set, now) = queued(1);
    for _ in 0..4 {
        send(&mut set, Work::seats(1), 1, now);
    }
    assert_eq!(set.configure(Discipline::Queue(QUEUING), 3, now).len(), 2);
}

/// How many requests of each flow end within `rounds` of a closed loop: every flow keeps so many requests in flight.
fn simulate(limit: usize, flows: &[(u64, usize, Duration)], rounds: u32) -> Vec<usize> {
    let (mut set, mut now) = queued(limit);
    let step = Duration::from_millis(1);
    let mut owner: HashMap<Id, usize> = HashMap::new();
    let mut running: Vec<(Instant, Id)> = Vec::new();
    let mut done = vec![0; flows.len()];
    let start = |set: &mut QueueSet<u64>, owner: &mut HashMap<Id, usize>, flow: usize, now| match send(
        set,
        Work::seats(1),
        flows[flow].0.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        now,
    ) {
        Arrival::Runs(id) => {
            owner.insert(id, flow);
            Some(id)
        }
        Arrival::Waits(id) => {
            owner.insert(id, flow);
            None
        }
        Arrival::Rejected => None,
    };
    for (flow, (_, width, duration)) in flows.iter().enumerate() {
        for _ in 0..*width {
            running.extend(start(&mut set, &mut owner, flow, now).map(|id| (now + *duration, id)));
        }
    }
    for _ in 0..rounds {
        now += step;
        let (ended, still): (Vec<_>, Vec<_>) = running.drain(..).partition(|(end, _)| *end <= now);
        running = still;
        for (_, id) in ended {
            let flow = owner[&id];
            done[flow] += 1;
            for next in set.leave(id, now).1 {
                running.push((now + flows[owner[&next]].2, next));
            }
            running.extend(start(&mut set, &mut owner, flow, now).map(|id| (now + flows[flow].2, id)));
        }
    }
    done
}

// Upstream's TestUniformFlows, TestDifferentFlows and their like, as shares.
#[test]
fn flows_share_the_seats_evenly_however_much_they_ask() {
    let ms = Duration::from_millis;
    for (name, limit, flows, ratio) in [
        ("the same", 4, vec![(1, 8, ms(10)), (2, 8, ms(10))], 1.0..1.1),
        ("five times as eager", 4, vec![(1, 40, ms(10)), (2, 8, ms(10))], 0.9..1.15),
        ("twice as long requests end half as often", 4, vec![(1, 8, ms(10)), (2, 8, ms(20))], 1.8..2.2),
    ] {
        let done = simulate(limit, &flows, 20_000);
        let got = done[0] as f64 / done[1] as f64;
        assert!(ratio.contains(&got) || ratio.contains(&(1.0 / got)), "{name}: {done:?}");
    }
}

#[test]
fn a_modest_flow_is_not_held_up_by_a_flood() {
    // One request at a time needs a quarter of the seats; the flood has the rest.
    let ms = Duration::from_millis;
    let done = simulate(4, &[(3, 50, ms(10)), (4, 1, ms(10))], 10_000);
    assert!(done[1] > 450, "{done:?}");
}

proptest! {
    #[test]
    fn seats_are_never_overdrawn_and_nobody_is_lost(
        limit in 1_usize..6,
        steps in proptest::collection::vec((0_u8..4, 0_u64..6, 1_usize..4, 0_u64..20), 1..200)
    ) {
        let (mut set, mut now) = queued(limit);
        let (mut alive, mut lingering): (Vec<Id>, Vec<Id>) = (Vec::new(), Vec::new());
        for (what, flow, seats, millis) in steps {
            now += Duration::from_millis(millis);
            match what {
                0 | 1 => match send(&mut set, Work { initial: seats, last: seats, linger: Duration::from_millis(millis) }, flow, now) {
                    Arrival::Runs(id) | Arrival::Waits(id) => alive.push(id),
                    Arrival::Rejected => {}
                },
                2 if !alive.is_empty() => {
                    let id = alive.remove(flow as usize % alive.len());
                    if set.leave(id, now).0.is_some() {
                        lingering.push(id);
                    }
                }
                _ if !lingering.is_empty() => {
                    set.release(lingering.remove(0), now);
                }
                _ => {}
            }
            let taken: usize = set.running.values().map(|r| r.work.widest()).sum();
            prop_assert_eq!(taken, set.seats_taken);
            prop_assert!(taken <= limit || set.requests_running <= 1);
        }
        for id in alive {
            if set.leave(id, now).0.is_some() {
                lingering.push(id);
            }
        }
        for id in lingering {
            set.release(id, now);
        }
        // Whoever was promoted by the last departures has left before; nothing remains.
        prop_assert!(set.seats_taken == 0 && set.is_idle() && set.queues.is_empty());
    }
}
