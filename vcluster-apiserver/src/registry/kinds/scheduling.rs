//! Priorities, runtime classes, leases and disruption budgets: small kinds that the scheduler, the kubelets and controllers
//! read (k8s.io/kubernetes `pkg/apis/{scheduling,node,coordination,policy}/validation`).

use super::internal;
use super::read::{at_most_all, int_or_percent, list, not_negative, number, part, text};
use super::ruled::Ruled;
use super::rules::Check;
use crate::registry::kinds::core::resource_rules;
use crate::registry::kinds::pod::tolerations;
use crate::registry::strategy::NameRule;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::is_dns1123_label;
use serde_json::{Map, Value};

/// The highest value of a priority that is not the system's own.
const HIGHEST: i64 = 1_000_000_000;
const SYSTEM: [(&str, i64); 2] = [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

pub const PRIORITY_CLASS: Ruled = Ruled {
    defaults: |class| super::fill::absent(class, "preemptionPolicy", "PreemptLowerPriority"),
    rules: &[("preemptionPolicy", Check::By(preemption))],
    unchanging: true,
    more: priority,
    fixed: &["preemptionPolicy"],
    update: |new, old, errors| {
        let value = |o: &Map<String, Value>| part(o, "value").as_i64().unwrap_or(0);
        if value(new) != value(old) {
            errors.push(FieldError::forbidden(&Path::new("value"), "may not be changed in an update."));
        }
    },
    // Nothing that counts as desired state can change.
    create: |class| {
        class.metadata_mut().insert("generation".to_owned(), 1.into());
    },
    ..Ruled::PLAIN
};

fn preemption(value: &Value, path: &Path, errors: &mut ErrorList) {
    const POLICIES: [&str; 2] = ["PreemptLowerPriority", "Never"];
    match value.as_str().unwrap_or_default() {
        "" => errors.push(FieldError::required(path, "")),
        policy if !POLICIES.contains(&policy) => errors.push(FieldError::not_supported(path, policy, &POLICIES)),
        _ => {}
    }
}

fn priority(object: &Map<String, Value>, errors: &mut ErrorList) {
    let name = text(part(object, "metadata"), "name");
    let value = part(object, "value").as_i64().unwrap_or(0);
    let global = part(object, "globalDefault") == &Value::Bool(true);
    if !name.starts_with("system-") {
        if value > HIGHEST {
            let why = format!("maximum allowed value of a user defined priority is {HIGHEST}");
            errors.push(FieldError::forbidden(&Path::new("value"), why));
        }
        return;
    }
    let why = match SYSTEM.iter().find(|(known, _)| *known == name) {
        Some((_, known)) if *known != value => format!("value of {name} PriorityClass must be {known}"),
        Some(_) if global => format!("globalDefault of {name} PriorityClass must be false"),
        Some(_) => return,
        None => format!("{name} is not a known system priority class"),
    };
    let why = format!("priority class names with 'system-' prefix are reserved for system use only. error: {why}");
    errors.push(FieldError::forbidden(&Path::new("metadata").child("name"), why));
}

pub const LEASE: Ruled = Ruled {
    rules: &[("spec.leaseDurationSeconds", Check::By(duration)), ("spec.leaseTransitions", Check::NotNegative)],
    // Coordinated leader election is off by default.
    prepare: |lease| super::fill::forget(lease, &["strategy", "preferredHolder"]),
    conditional: true,
    created_by_put: true,
    ..Ruled::PLAIN
};

fn duration(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(n) = value.as_i64()
        && n <= 0
    {
        errors.push(FieldError::invalid(path, n, "must be greater than 0"));
    }
}

pub const RUNTIME_CLASS: Ruled = Ruled {
    rules: &[
        ("handler", Check::Needed("")),
        ("handler", Check::Text(is_dns1123_label)),
        ("scheduling.nodeSelector", Check::Labels),
    ],
    more: |object, errors| {
        let tolerated = list(part(object, "scheduling"), "tolerations");
        tolerations::check(tolerated, &Path::new("scheduling").child("tolerations"), errors);
        for (index, one) in tolerated.iter().enumerate().filter(|(index, one)| tolerated[..*index].contains(one)) {
            let at = Path::new("scheduling").child("tolerations").index(index);
            let shown = super::internal::text("core.v1.Toleration", one);
            errors.push(FieldError::duplicate(&at, "").showing(shown));
        }
        // Upstream looks at it as at the limits of a container.
        let limits = &part(object, "overhead")["podFixed"];
        resource_rules::amounts(limits, resource_rules::container_name, &Path::new("overhead").child("limits"), errors);
    },
    sealed: &["handler"],
    conditional: true,
    created_by_put: true,
    ..Ruled::PLAIN
};

pub const DISRUPTION_BUDGET: Ruled = Ruled {
    name: NameRule::PathSegment,
    metadata_comes_last: true,
    rules: &[
        ("spec.minAvailable", Check::By(share)),
        ("spec.maxUnavailable", Check::By(share)),
        ("spec.selector", Check::Selector),
        ("spec.unhealthyPodEvictionPolicy", Check::OneOf(&["AlwaysAllow", "IfHealthyBudget"])),
    ],
    more: |object, errors| {
        let spec = part(object, "spec");
        if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
            let why = "minAvailable and maxUnavailable cannot be both set";
            let shown = internal::text("policy.v1.PodDisruptionBudgetSpec", spec);
            errors.push(FieldError::invalid(&Path::new("spec"), "", why).showing(shown));
        }
    },
    status: &[
        ("status.disruptionsAllowed", Check::NotNegative),
        ("status.currentHealthy", Check::NotNegative),
        ("status.desiredHealthy", Check::NotNegative),
        ("status.expectedPods", Check::NotNegative),
        ("status.conditions", Check::By(super::conditions::check)),
    ],
    generation: true,
    conditional: true,
    ..Ruled::PLAIN
};

fn share(value: &Value, path: &Path, errors: &mut ErrorList) {
    int_or_percent(value, path, errors);
    at_most_all(value, path, errors);
}

/// Which metric sources there are, by their field and their type.
const SOURCES: [(&str, &str); 5] = [
    ("object", "Object"),
    ("external", "External"),
    ("pods", "Pods"),
    ("resource", "Resource"),
    ("containerResource", "ContainerResource"),
];

pub const AUTOSCALER: Ruled = Ruled {
    defaults: autoscaler_defaults,
    generation: true,
    rules: &[
        ("spec.scaleTargetRef.kind", Check::Needed("")),
        ("spec.scaleTargetRef.kind", Check::Text(segment)),
        ("spec.scaleTargetRef.name", Check::Needed("")),
        ("spec.scaleTargetRef.name", Check::Text(segment)),
        ("spec.metrics[]", Check::By(metric)),
        ("spec.behavior.scaleUp", Check::By(scaling)),
        ("spec.behavior.scaleDown", Check::By(scaling)),
    ],
    more: replicas,
    status: &[
        ("status.conditions[].observedGeneration", Check::NotNegative),
        ("status.currentReplicas", Check::NotNegative),
        ("status.desiredReplicas", Check::NotNegative),
    ],
    ..Ruled::PLAIN
};

fn segment(text: &str) -> Vec<String> {
    apimachinery::validation::name_is_path_segment(text, false)
}

fn autoscaler_defaults(object: &mut Map<String, Value>) {
    use super::fill::{absent, made};
    let Some(spec) = made(object, "spec") else { return };
    absent(spec, "minReplicas", 1);
    if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let target = serde_json::json!({"type": "Utilization", "averageUtilization": 80});
        spec.insert(
            "metrics".into(),
            serde_json::json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]),
        );
    }
    let Some(behavior) = super::fill::object(spec, "behavior") else { return };
    for (direction, policies, window) in [
        (
            "scaleUp",
            serde_json::json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]),
            Some(0),
        ),
        ("scaleDown", serde_json::json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]), None),
    ] {
        let Some(rules) = made(behavior, direction) else { continue };
        absent(rules, "selectPolicy", "Max");
        if let Some(seconds) = window {
            absent(rules, "stabilizationWindowSeconds", seconds);
        }
        if rules.get("policies").is_none_or(Value::is_null) {
            rules.insert("policies".into(), policies);
        }
    }
}

fn replicas(object: &Map<String, Value>, errors: &mut ErrorList) {
    let (spec, path) = (part(object, "spec"), Path::new("spec"));
    let api_version = text(&spec["scaleTargetRef"], "apiVersion");
    if !api_version.contains('/') {
        let at = path.child("scaleTargetRef").child("apiVersion");
        errors.push(FieldError::invalid(&at, api_version, "apiVersion must specify API group"));
    }
    let (least, most) = (spec["minReplicas"].as_i64(), number(spec, "maxReplicas"));
    not_negative(&path.child("minReplicas"), least.unwrap_or(0), errors);
    let at = path.child("maxReplicas");
    if most == 0 {
        errors.push(FieldError::required(&at, ""));
    } else if most < 0 {
        errors.push(FieldError::invalid(&at, most, "must be greater than or equal to 1"));
    }
    if least.is_some_and(|least| most < least) {
        errors.push(FieldError::invalid(&at, most, "must be greater than or equal to `minReplicas`"));
    }
    let elsewhere = list(spec, "metrics").iter().any(|metric| matches!(text(metric, "type"), "Object" | "External"));
    if least == Some(0) && !elsewhere {
        let why = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(FieldError::forbidden(&path.child("metrics"), why));
    }
}

fn metric(value: &Value, path: &Path, errors: &mut ErrorList) {
    const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
    let (kind, at) = (text(value, "type"), path.child("type"));
    if kind.is_empty() {
        errors.push(FieldError::required(&at, "must specify a metric source type"));
    }
    if !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(&at, kind, &TYPES));
    }
    let present: Vec<&str> = SOURCES.iter().map(|(field, _)| *field).filter(|f| value[*f].is_object()).collect();
    if let Some(first) = present.first() {
        source(first, &value[*first], &path.child(first), errors);
    }
    let expected = SOURCES.iter().find(|(_, name)| *name == kind).map(|(field, _)| *field);
    if let Some(field) = expected
        && !value[field].is_object()
    {
        let why = "must populate information for the given metric source";
        errors.push(FieldError::required(&path.child(field), why));
    }
    if present.len() != 1 {
        for field in present.iter().filter(|field| Some(**field) != expected) {
            errors.push(FieldError::forbidden(&path.child(field), "must populate the given metric source only"));
        }
    }
}

fn source(field: &str, value: &Value, path: &Path, errors: &mut ErrorList) {
    let goal = &value["target"];
    let at = path.child("target");
    let unset = |name: &str| goal[name].is_null();
    match field {
        "resource" | "containerResource" => {
            if text(value, "name").is_empty() {
                errors.push(FieldError::required(&path.child("name"), "must specify a resource name"));
            }
            if field == "containerResource" {
                let (container, here) = (text(value, "container"), path.child("container"));
                if container.is_empty() {
                    errors.push(FieldError::required(&here, "must specify a container"));
                } else {
                    super::read::wrong(&here, container, is_dns1123_label(container), errors);
                }
            }
            target(goal, &at, errors);
            if unset("averageUtilization") && unset("averageValue") {
                let why = "must set either a target raw value or a target utilization";
                errors.push(FieldError::required(&at.child("averageUtilization"), why));
            }
            if !unset("averageUtilization") && !unset("averageValue") {
                let why = "may not set both a target raw value and a target utilization";
                errors.push(FieldError::forbidden(&at.child("averageValue"), why));
            }
        }
        _ => {
            if field == "object" {
                let described = &value["describedObject"];
                for name in ["kind", "name"] {
                    let here = path.child("describedObject").child(name);
                    super::read::needed(&here, text(described, name), segment, errors);
                }
            }
            let (name, here) = (text(&value["metric"], "name"), path.child("metric").child("name"));
            if name.is_empty() {
                errors.push(FieldError::required(&here, "must specify a metric name"));
            } else {
                super::read::wrong(&here, name, segment(name), errors);
            }
            target(goal, &at, errors);
            let why = match field {
                "object" => "must set either a target value or averageValue",
                "external" => "must set either a target value for metric or a per-pod target",
                _ => "must specify a positive target averageValue",
            };
            if unset("averageValue") && (unset("value") || field == "pods") {
                errors.push(FieldError::required(&at.child("averageValue"), why));
            }
            if field == "external" && !unset("averageValue") && !unset("value") {
                let why = "may not set both a target value for metric and a per-pod target";
                errors.push(FieldError::forbidden(&at.child("value"), why));
            }
        }
    }
}

fn target(value: &Value, path: &Path, errors: &mut ErrorList) {
    let kind = text(value, "type");
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("type"), "must specify a metric target type"));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let why = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(&path.child("type"), kind, why));
    }
    for field in ["value", "averageValue"] {
        let zero = super::read::quantity(&Value::from("0"));
        if super::read::quantity(&value[field]).is_some_and(|q| zero.is_some_and(|zero| q <= zero)) {
            errors.push(FieldError::invalid(&path.child(field), value[field].clone(), "must be positive"));
        }
    }
    if let Some(n) = value["averageUtilization"].as_i64().filter(|n| *n < 1) {
        errors.push(FieldError::invalid(&path.child("averageUtilization"), n, "must be greater than 0"));
    }
}

fn scaling(rules: &Value, path: &Path, errors: &mut ErrorList) {
    const LONGEST_WINDOW: i64 = 3600;
    const LONGEST_PERIOD: i64 = 1800;
    if !rules.is_object() {
        return;
    }
    let at = path.child("stabilizationWindowSeconds");
    if let Some(n) = rules["stabilizationWindowSeconds"].as_i64() {
        if n < 0 {
            errors.push(FieldError::invalid(&at, n, "must be greater than or equal to zero"));
        }
        if n > LONGEST_WINDOW {
            errors.push(FieldError::invalid(&at, n, format!("must be less than or equal to {LONGEST_WINDOW}")));
        }
    }
    let choice = rules["selectPolicy"].as_str();
    if let Some(choice) = choice.filter(|choice| !["Disabled", "Max", "Min"].contains(choice)) {
        errors.push(FieldError::not_supported(&path.child("selectPolicy"), choice, &["Disabled", "Max", "Min"]));
    }
    let at = path.child("policies");
    if list(rules, "policies").is_empty() {
        errors.push(FieldError::required(&at, "must specify at least one Policy"));
    }
    for (index, policy) in list(rules, "policies").iter().enumerate() {
        let at = at.index(index);
        let kind = text(policy, "type");
        if !matches!(kind, "Pods" | "Percent") {
            errors.push(FieldError::not_supported(&at.child("type"), kind, &["Percent", "Pods"]));
        }
        for field in ["value", "periodSeconds"] {
            let n = number(policy, field);
            if n <= 0 {
                errors.push(FieldError::invalid(&at.child(field), n, "must be greater than zero"));
            }
        }
        let period = number(policy, "periodSeconds");
        if period > LONGEST_PERIOD {
            let why = format!("must be less than or equal to {LONGEST_PERIOD}");
            errors.push(FieldError::invalid(&at.child("periodSeconds"), period, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::ruled::refusals;
    use serde_json::json;

    #[test]
    fn what_each_kind_refuses() {
        let cases: [(&Ruled, Value, &[&str]); 6] = [
            (&PRIORITY_CLASS, json!({"metadata": {"name": "a"}, "value": 5}), &[]),
            (
                &PRIORITY_CLASS,
                json!({"metadata": {"name": "system-node-critical"}, "value": 5}),
                &[
                    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: value of system-node-critical PriorityClass must be 2000001000",
                ],
            ),
            (
                &LEASE,
                json!({"spec": {"leaseDurationSeconds": 0}}),
                &["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
            ),
            (&RUNTIME_CLASS, json!({}), &["handler: Required value"]),
            (
                &DISRUPTION_BUDGET,
                json!({"spec": {"minAvailable": "101%"}}),
                &["spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%"],
            ),
            (
                &AUTOSCALER,
                json!({"spec": {"scaleTargetRef": {"apiVersion": "a/v1", "kind": "D", "name": "n"}, "maxReplicas": 0}}),
                &[
                    "spec.maxReplicas: Required value",
                    "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
                ],
            ),
        ];
        for (kind, object, expected) in cases {
            assert_eq!(refusals(kind, object), expected);
        }
    }
}
