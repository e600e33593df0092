//! Pods: the status word is worked out from the states of the containers.

use super::read::{Row, at, flag, list, moment, number, or, text};
use jiff::Timestamp;
use serde_json::Value;

/// What the status column of a pod is made from.
struct State {
    reason: String,
    ready: i64,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

pub(super) fn pod(row: &Row) -> Vec<Value> {
    let init_containers = row.list(&["spec", "initContainers"]);
    let sidecars = init_containers.iter().filter(|container| is_sidecar(container)).count();
    let total = row.list(&["spec", "containers"]).len() + sidecars;
    let state = state(row);
    let restarts = match state.last_restart {
        Some(last) if state.restarts != 0 => {
            let ago = apimachinery::time::human_duration(row.now.duration_since(last));
            format!("{} ({ago} ago)", state.restarts)
        }
        _ => state.restarts.to_string(),
    };
    vec![
        row.name(),
        format!("{}/{total}", state.ready).into(),
        state.reason.into(),
        restarts.into(),
        row.age(),
        or(row.list(&["status", "podIPs"]).first().map_or("", |ip| text(ip, &["ip"])), "<none>").into(),
        or(row.text(&["spec", "nodeName"]), "<none>").into(),
        or(row.text(&["status", "nominatedNodeName"]), "<none>").into(),
        readiness_gates(row).into(),
    ]
}

fn readiness_gates(row: &Row) -> String {
    let gates = row.list(&["spec", "readinessGates"]);
    if gates.is_empty() {
        return "<none>".into();
    }
    let open = gates.iter().filter(|gate| row.condition(text(gate, &["conditionType"])) == Some("True")).count();
    format!("{open}/{}", gates.len())
}

fn is_sidecar(container: &Value) -> bool {
    text(container, &["restartPolicy"]) == "Always"
}

fn state(row: &Row) -> State {
    let phase = row.text(&["status", "phase"]);
    let status_reason = row.text(&["status", "reason"]);
    let mut state = State { reason: or(status_reason, phase).into(), ready: 0, restarts: 0, last_restart: None };
    let gated = |c: &&Value| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated";
    if row.list(&["status", "conditions"]).iter().any(|condition| gated(&condition)) {
        state.reason = "SchedulingGated".into();
    }
    let (initializing, sidecars) = init_containers(row, &mut state);
    if !initializing || row.condition("Initialized") == Some("True") {
        (state.restarts, state.last_restart) = sidecars;
        containers(row, &mut state);
    }
    if row.is_terminating() {
        if status_reason == "NodeLost" {
            state.reason = "Unknown".into();
        } else if phase != "Failed" && phase != "Succeeded" {
            state.reason = "Terminating".into();
        }
    }
    state
}

/// Counts the restarts of init containers. Returns whether one is still to finish, and the restarts of sidecars alone.
fn init_containers(row: &Row, state: &mut State) -> (bool, (i64, Option<Timestamp>)) {
    let specs = row.list(&["spec", "initContainers"]);
    let mut sidecars = (0, None);
    for (index, status) in row.list(&["status", "initContainerStatuses"]).iter().enumerate() {
        let sidecar = specs.iter().find(|spec| spec["name"] == status["name"]).is_some_and(is_sidecar);
        let restarts = number(status, &["restartCount"]);
        let finished = moment(text(status, &["lastState", "terminated", "finishedAt"]));
        state.restarts += restarts;
        state.last_restart = state.last_restart.max(finished);
        if sidecar {
            sidecars = (sidecars.0 + restarts, sidecars.1.max(finished));
        }
        let terminated = at(status, &["state", "terminated"]);
        let waiting = text(status, &["state", "waiting", "reason"]);
        if !terminated.is_null() && number(terminated, &["exitCode"]) == 0 {
            continue;
        }
        if sidecar && flag(status, &["started"]) {
            state.ready += i64::from(flag(status, &["ready"]));
            continue;
        }
        state.reason = if !terminated.is_null() {
            format!("Init:{}", exit(terminated))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{}", specs.len())
        };
        return (true, sidecars);
    }
    (false, sidecars)
}

/// A terminated container's reason, or what stands for it.
fn exit(terminated: &Value) -> String {
    let signal = number(terminated, &["signal"]);
    match text(terminated, &["reason"]) {
        "" if signal != 0 => format!("Signal:{signal}"),
        "" => format!("ExitCode:{}", number(terminated, &["exitCode"])),
        reason => reason.into(),
    }
}

fn containers(row: &Row, state: &mut State) {
    let (mut running, mut error) = (false, String::new());
    for status in list(row.object, &["status", "containerStatuses"]).iter().rev() {
        state.restarts += number(status, &["restartCount"]);
        state.last_restart = state.last_restart.max(moment(text(status, &["lastState", "terminated", "finishedAt"])));
        let terminated = at(status, &["state", "terminated"]);
        let waiting = text(status, &["state", "waiting", "reason"]);
        if !waiting.is_empty() {
            state.reason = waiting.into();
        } else if !terminated.is_null() {
            state.reason = exit(terminated);
            if number(terminated, &["exitCode"]) != 0 {
                error.clone_from(&state.reason);
            }
        } else if flag(status, &["ready"]) && !at(status, &["state", "running"]).is_null() {
            running = true;
            state.ready += 1;
        }
    }
    if state.reason == "Completed" {
        if running && row.condition("Ready") == Some("True") {
            state.reason = "Running".into();
        } else if !error.is_empty() {
            state.reason = error;
        } else if running {
            state.reason = "NotReady".into();
        }
    }
}
