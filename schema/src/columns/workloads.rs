//! What runs pods, and what scales or protects them.

use super::read::{Row, at, flag, labels, moment, number, or, selector, selector_or_none, shown, text};
use apimachinery::time::human_duration;
use serde_json::Value;

const CONTAINERS: [&str; 4] = ["spec", "template", "spec", "containers"];

fn wide(mut cells: Vec<Value>, row: &Row, containers: &[&str], selector: Option<Value>) -> Vec<Value> {
    cells.extend(row.containers(containers));
    cells.extend(selector);
    cells
}

pub(super) fn pod_template(row: &Row) -> Vec<Value> {
    let [names, images] = row.containers(&["template", "spec", "containers"]);
    vec![row.name(), names, images, labels(row.at(&["template", "metadata", "labels"])).into()]
}

/// ReplicaSets and ReplicationControllers; the latter select by a plain map.
pub(super) fn replica_set(row: &Row) -> Vec<Value> {
    let counts = [["spec", "replicas"], ["status", "replicas"], ["status", "readyReplicas"]];
    let counts = counts.map(|path| row.number(&path).into());
    let cells = std::iter::once(row.name()).chain(counts).chain([row.age()]).collect();
    let chosen = row.at(&["spec", "selector"]);
    let plain = chosen.get("matchLabels").is_none() && chosen.get("matchExpressions").is_none();
    let shown = if plain { labels(chosen).into() } else { selector_or_none(chosen) };
    wide(cells, row, &CONTAINERS, Some(shown))
}

fn ready(row: &Row) -> Value {
    format!("{}/{}", row.number(&["status", "readyReplicas"]), row.number(&["spec", "replicas"])).into()
}

pub(super) fn deployment(row: &Row) -> Vec<Value> {
    let cells = vec![
        row.name(),
        ready(row),
        row.number(&["status", "updatedReplicas"]).into(),
        row.number(&["status", "availableReplicas"]).into(),
        row.age(),
    ];
    wide(cells, row, &CONTAINERS, Some(selector(row.at(&["spec", "selector"])).into()))
}

pub(super) fn stateful_set(row: &Row) -> Vec<Value> {
    wide(vec![row.name(), ready(row), row.age()], row, &CONTAINERS, None)
}

pub(super) fn daemon_set(row: &Row) -> Vec<Value> {
    let counts = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    ];
    let mut cells = vec![row.name()];
    cells.extend(counts.map(|count| Value::from(row.number(&["status", count]))));
    cells.push(labels(row.at(&["spec", "template", "spec", "nodeSelector"])).into());
    cells.push(row.age());
    wide(cells, row, &CONTAINERS, Some(selector_or_none(row.at(&["spec", "selector"]))))
}

pub(super) fn controller_revision(row: &Row) -> Vec<Value> {
    let owners = row.list(&["metadata", "ownerReferences"]);
    let controller = owners.iter().find(|owner| flag(owner, &["controller"])).map_or("<none>".into(), |owner| {
        let group = text(owner, &["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
        let kind = text(owner, &["kind"]).to_lowercase();
        let kind = if group.is_empty() { kind } else { format!("{kind}.{group}") };
        format!("{kind}/{}", text(owner, &["name"]))
    });
    vec![row.name(), controller.into(), row.number(&["revision"]).into(), row.age()]
}

pub(super) fn job(row: &Row) -> Vec<Value> {
    let succeeded = row.number(&["status", "succeeded"]);
    let completions = match (row.at(&["spec", "completions"]).as_i64(), row.number(&["spec", "parallelism"])) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        _ => format!("{succeeded}/1"),
    };
    let started = moment(row.text(&["status", "startTime"]));
    let ended = moment(row.text(&["status", "completionTime"])).unwrap_or(row.now);
    let duration = started.map_or(String::new(), |started| human_duration(ended.duration_since(started)));
    let is = |condition| row.condition(condition) == Some("True");
    let status = match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if row.is_terminating() => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () if is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    };
    let cells = vec![row.name(), status.into(), completions.into(), duration.into(), row.age()];
    wide(cells, row, &CONTAINERS, Some(selector_or_none(row.at(&["spec", "selector"]))))
}

pub(super) fn cron_job(row: &Row) -> Vec<Value> {
    let last = row.text(&["status", "lastScheduleTime"]);
    let suspend = match row.at(&["spec", "suspend"]).as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let cells = vec![
        row.name(),
        row.text(&["spec", "schedule"]).into(),
        row.at(&["spec", "timeZone"]).as_str().unwrap_or("<none>").into(),
        suspend.into(),
        row.count(&["status", "active"]).into(),
        if last.is_empty() { "<none>".into() } else { row.since(last).into() },
        row.age(),
    ];
    let template = ["spec", "jobTemplate", "spec"];
    let containers = [&template[..], &["template", "spec", "containers"]].concat();
    wide(cells, row, &containers, Some(selector_or_none(&row.at(&template)["selector"])))
}

pub(super) fn scale(row: &Row) -> Vec<Value> {
    vec![row.name(), row.number(&["spec", "replicas"]).into(), row.number(&["status", "replicas"]).into(), row.age()]
}

pub(super) fn disruption_budget(row: &Row) -> Vec<Value> {
    let bound = |field| Value::from(shown(row.at(&["spec", field])).unwrap_or_else(|| "N/A".into()));
    let allowed = row.number(&["status", "disruptionsAllowed"]);
    vec![row.name(), bound("minAvailable"), bound("maxUnavailable"), allowed.into(), row.age()]
}

pub(super) fn autoscaler(row: &Row) -> Vec<Value> {
    let target = row.at(&["spec", "scaleTargetRef"]);
    let least = shown(row.at(&["spec", "minReplicas"])).unwrap_or_else(|| "<unset>".into());
    vec![
        row.name(),
        format!("{}/{}", text(target, &["kind"]), text(target, &["name"])).into(),
        metrics(row).into(),
        least.into(),
        row.number(&["spec", "maxReplicas"]).into(),
        row.number(&["status", "currentReplicas"]).into(),
        row.age(),
    ]
}

/// Current and wanted value of up to two metrics. Version 1 knows only the utilization of the processor.
fn metrics(row: &Row) -> String {
    let specs = row.list(&["spec", "metrics"]);
    if let Some(target) = row.at(&["spec", "targetCPUUtilizationPercentage"]).as_i64() {
        let current = row.at(&["status", "currentCPUUtilizationPercentage"]).as_i64();
        return format!("cpu: {}/{target}%", current.map_or("<unknown>".into(), |percent| format!("{percent}%")));
    }
    if specs.is_empty() {
        return "<none>".into();
    }
    let current = row.list(&["status", "currentMetrics"]);
    let shown: Vec<String> = specs.iter().enumerate().map(|(index, spec)| metric(spec, current.get(index))).collect();
    if shown.len() > 2 { format!("{} + {} more...", shown[..2].join(", "), shown.len() - 2) } else { shown.join(", ") }
}

fn metric(spec: &Value, current: Option<&Value>) -> String {
    let source = match text(spec, &["type"]) {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".into(),
    };
    let (target, now) = (at(spec, &[source, "target"]), current.map(|current| at(current, &[source, "current"])));
    let now = |field| now.map(|now| &now[field]).and_then(shown).unwrap_or_else(|| "<unknown>".into());
    let wanted = |field| or(text(target, &[field]), "0").to_owned();
    let average = !target["averageValue"].is_null();
    let name = text(spec, &[source, "name"]);
    match source {
        "resource" | "containerResource" if average => {
            format!("{name}: {}/{}", now("averageValue"), wanted("averageValue"))
        }
        "resource" | "containerResource" => {
            let percent = |value: Option<i64>, none: &str| value.map_or(none.into(), |value| format!("{value}%"));
            let used = current.and_then(|current| at(current, &[source, "current", "averageUtilization"]).as_i64());
            let goal = target.get("averageUtilization").map(|_| number(target, &["averageUtilization"]));
            format!("{name}: {}/{}", percent(used, "<unknown>"), percent(goal, "<auto>"))
        }
        "pods" => format!("{}/{}", now("averageValue"), wanted("averageValue")),
        _ if average => format!("{}/{} (avg)", now("averageValue"), wanted("averageValue")),
        _ => format!("{}/{}", now("value"), wanted("value")),
    }
}
