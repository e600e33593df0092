//! Limit ranges and quotas: amounts by resource, and which of them fit together (k8s.io/kubernetes
//! `pkg/apis/core/validation`, `ValidateLimitRange`, `ValidateResourceQuota`).

use super::resource_rules::{self, NameRule, amounts, can_overcommit, is_quota_name};
use crate::registry::kinds::fill::{items, made};
use crate::registry::kinds::internal;
use crate::registry::kinds::read::{list, part, quantity, text, wrong};
use crate::registry::kinds::ruled::Ruled;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::quantity::Quantity;
use apimachinery::validation::is_qualified_name;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

type Tree = Map<String, Value>;

const TYPES: [&str; 3] = ["Pod", "Container", "PersistentVolumeClaim"];
const SIDES: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

pub const LIMIT_RANGE: Ruled = Ruled {
    defaults: |range| {
        let Some(spec) = made(range, "spec") else { return };
        for limit in
            items(spec, "limits").filter(|limit| crate::registry::kinds::fill::text(limit, "type") == "Container")
        {
            // A limit stands in for the default that is not there, and that for the request.
            for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
                let values = limit.get(from).and_then(Value::as_object).cloned().unwrap_or_default();
                let Some(into) = made(limit, to) else { continue };
                for (name, value) in values {
                    into.entry(name).or_insert(value);
                }
            }
        }
    },
    more: |range, errors| {
        let mut types = BTreeSet::new();
        for (index, limit) in list(part(range, "spec"), "limits").iter().enumerate() {
            let at = Path::new("spec").child("limits").index(index);
            let kind = text(limit, "type");
            type_name(kind, &at.child("type"), errors);
            if !types.insert(kind) {
                errors.push(FieldError::duplicate(&at.child("type"), kind));
            }
            names(limit, kind, &at, errors);
            fit(limit, kind, &at, errors);
        }
    },
    // Alone of all kinds, it needs no name.
    create: |range| {
        if range.name().is_empty() {
            let name = range.uid().to_owned();
            range.set_meta_str("name", &name);
        }
    },
    created_by_put: true,
    ..Ruled::PLAIN
};

fn type_name(kind: &str, path: &Path, errors: &mut ErrorList) {
    let found = is_qualified_name(kind);
    if found.is_empty() && !kind.contains('/') && !TYPES.contains(&kind) {
        errors.push(FieldError::invalid(path, kind, "must be a standard limit type or fully qualified"));
    }
    wrong(path, kind, found, errors);
}

fn names(limit: &Value, kind: &str, path: &Path, errors: &mut ErrorList) {
    let rule: NameRule =
        if matches!(kind, "Pod" | "Container") { resource_rules::container_name } else { resource_rules::name };
    for side in SIDES {
        let Some(given) = limit[side].as_object().filter(|given| !given.is_empty()) else { continue };
        let at = path.child(side);
        if kind == "Pod" && side.starts_with("default") {
            errors.push(FieldError::forbidden(&at, "may not be specified when `type` is 'Pod'"));
            continue;
        }
        for name in given.keys() {
            rule(name, &at.key(name), errors);
        }
    }
    if kind == "PersistentVolumeClaim" && limit["min"]["storage"].is_null() && limit["max"]["storage"].is_null() {
        let why = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(&path.child("limits"), why));
    }
}

/// The amounts of one resource do not contradict each other.
fn fit(limit: &Value, kind: &str, path: &Path, errors: &mut ErrorList) {
    let sides = SIDES.iter().filter(|side| !(kind == "Pod" && side.starts_with("default")));
    let names: BTreeSet<&String> =
        sides.filter_map(|side| limit[*side].as_object()).flat_map(|amounts| amounts.keys()).collect();
    for name in names {
        let amount = |side: &str| -> Option<Quantity> {
            (!(kind == "Pod" && side.starts_with("default"))).then(|| quantity(&limit[side][name])).flatten()
        };
        let (min, max) = (amount("min"), amount("max"));
        let (default, request) = (amount("default"), amount("defaultRequest"));
        // What is too large, what it is larger than, where that is said, and of which amount.
        let orders = [
            (min, "min value", max, "max value", "min", min),
            (min, "min value", request, "default request value", "defaultRequest", request),
            (request, "default request value", max, "max value", "defaultRequest", request),
            (request, "default request value", default, "default limit value", "defaultRequest", request),
            (min, "min value", default, "default value", "default", min),
            (default, "default value", max, "max value", "default", max),
        ];
        for (small, small_name, large, large_name, side, shown) in orders {
            if let (Some(small), Some(large)) = (small, large)
                && small > large
            {
                let why = format!("{small_name} {small} is greater than {large_name} {large}");
                let shown = shown.map(|shown| shown.to_string()).unwrap_or_default();
                errors.push(FieldError::invalid(&path.child(side).key(name), shown, why));
            }
        }
        ratio(amount("maxLimitRequestRatio"), min, max, &path.child("maxLimitRequestRatio").key(name), errors);
        if let (Some(default), Some(request)) = (default, request)
            && default != request
            && !can_overcommit(name)
        {
            let why = format!("default value {default} must equal to defaultRequest value {request} in {name}");
            errors.push(FieldError::invalid(&path.child("defaultRequest").key(name), request.to_string(), why));
        }
    }
}

fn ratio(ratio: Option<Quantity>, min: Option<Quantity>, max: Option<Quantity>, path: &Path, errors: &mut ErrorList) {
    let Some(ratio) = ratio else { return };
    if ratio.milli_value() < 1000 {
        errors.push(FieldError::invalid(path, ratio.to_string(), format!("ratio {ratio} is less than 1")));
    }
    if let (Some(min), Some(max)) = (min, max) {
        let most = max.as_f64() / min.as_f64();
        if ratio.as_f64() > most {
            let why = format!("ratio {ratio} is greater than max/min = {most:.6}");
            errors.push(FieldError::invalid(path, ratio.to_string(), why));
        }
    }
}

pub const QUOTA: Ruled = Ruled {
    more: |quota, errors| {
        let (spec, path) = (part(quota, "spec"), Path::new("spec"));
        amounts(&spec["hard"], resource_rules::quota_name, &path.child("hard"), errors);
        scopes(spec, &path, errors);
        selected_scopes(spec, &path.child("scopeSelector").child("matchExpressions"), errors);
    },
    update: |new, old, errors| {
        let scopes = |quota: &Tree| -> BTreeSet<String> {
            list(part(quota, "spec"), "scopes").iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        if scopes(new) != scopes(old) {
            let at = Path::new("spec").child("scopes");
            let shown = part(new, "spec")["scopes"].clone();
            errors.push(FieldError::invalid(&at, shown, "field is immutable"));
        }
    },
    status_more: |quota, errors| {
        let (status, path) = (part(quota, "status"), Path::new("status"));
        for side in ["hard", "used"] {
            amounts(&status[side], resource_rules::quota_name, &path.child(side), errors);
        }
    },
    ..Ruled::PLAIN
};

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "VolumeAttributesClass",
    "CrossNamespacePodAffinity",
];

/// Scopes of which no object is in both.
const OPPOSITES: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];

/// Whether objects that a resource counts can be in a scope.
fn applies(scope: &str, resource: &str) -> bool {
    let compute =
        ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"].contains(&resource);
    match scope {
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            resource == "pods" || compute
        }
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => ["persistentvolumeclaims", "requests.storage"].contains(&resource),
        _ => true,
    }
}

fn misapplied(spec: &Value, scope: &str) -> bool {
    let resources = spec["hard"].as_object().into_iter().flat_map(Map::keys);
    resources.into_iter().any(|resource| is_quota_name(resource) && !applies(scope, resource))
}

fn scopes(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let scopes: Vec<&str> = list(spec, "scopes").iter().filter_map(Value::as_str).collect();
    let at = path.child("scopes");
    let mut refuse = |why: &str| errors.push(FieldError::invalid(&at, spec["scopes"].clone(), why));
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            refuse("unsupported scope");
        }
        if misapplied(spec, scope) {
            refuse("unsupported scope applied to resource");
        }
    }
    for _ in OPPOSITES.iter().filter(|pair| pair.iter().all(|scope| scopes.contains(scope))) {
        refuse("conflicting scopes");
    }
}

fn selected_scopes(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let terms = list(&spec["scopeSelector"], "matchExpressions");
    for term in terms {
        let (scope, operator, values) = (text(term, "scopeName"), text(term, "operator"), list(term, "values"));
        let at = path.child("operator");
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(&path.child("scopeName"), scope, "unsupported scope"));
        }
        if misapplied(spec, scope) {
            let shown = internal::text("core.v1.ScopeSelector", &spec["scopeSelector"]);
            errors.push(FieldError::invalid(path, "", "unsupported scope applied to resource").showing(shown));
        }
        let plain = SCOPES.contains(&scope) && !matches!(scope, "PriorityClass" | "VolumeAttributesClass");
        if plain && operator != "Exists" {
            let why = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.push(FieldError::invalid(&at, operator, why));
        }
        match operator {
            "In" | "NotIn" => {
                if values.is_empty() {
                    let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                    errors.push(FieldError::required(&path.child("values"), why));
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                    errors.push(FieldError::invalid(&path.child("values"), values.to_vec(), why));
                }
            }
            _ => errors.push(FieldError::invalid(&at, operator, "not a valid selector operator")),
        }
    }
    let named = |scope: &str| terms.iter().any(|term| text(term, "scopeName") == scope);
    for _ in OPPOSITES.iter().filter(|pair| pair.iter().all(|scope| named(scope))) {
        errors.push(FieldError::invalid(path, spec["scopes"].clone(), "conflicting scopes"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::ruled::refusals;
    use serde_json::json;

    #[test]
    fn ranges_that_contradict_themselves() {
        let range = |limit: Value| json!({"spec": {"limits": [limit]}});
        let cases: [(Value, &[&str]); 5] = [
            (json!({"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}), &[]),
            (
                json!({"type": "Pod", "max": {"cpu": "1"}, "min": {"cpu": "2"}}),
                &["spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1"],
            ),
            (
                json!({"type": "PersistentVolumeClaim"}),
                &[
                    "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
                ],
            ),
            (
                json!({"type": "x"}),
                &["spec.limits[0].type: Invalid value: \"x\": must be a standard limit type or fully qualified"],
            ),
            (
                json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}}),
                &["spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1"],
            ),
        ];
        for (limit, expected) in cases {
            assert_eq!(refusals(&LIMIT_RANGE, range(limit)), expected);
        }
    }

    #[test]
    fn scopes_of_quotas() {
        let quota = |more: Value| json!({"spec": more});
        assert!(refusals(&QUOTA, quota(json!({"hard": {"pods": "1"}, "scopes": ["BestEffort"]}))).is_empty());
        assert_eq!(
            refusals(&QUOTA, quota(json!({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}))),
            ["spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"]
        );
        assert_eq!(
            refusals(
                &QUOTA,
                quota(
                    json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}})
                )
            ),
            [
                "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            ]
        );
        assert_eq!(
            refusals(&QUOTA, quota(json!({"hard": {"pods": "1500m"}}))),
            ["spec.hard[pods]: Invalid value: \"1500m\": must be an integer"]
        );
    }
}
