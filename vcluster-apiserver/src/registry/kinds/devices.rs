//! Devices that are asked for: claims, their templates and classes, and rules that taint devices
//! (k8s.io/kubernetes `pkg/apis/resource/validation`).

pub mod names;
pub mod slices;

use super::fill::{empty, items, made, object, text as said, zero};
use super::internal;
use super::read::{list, number, part, subdomain, text, wrong};
use super::ruled::{METADATA, Ruled};
use super::rules::Check;
use crate::registry::strategy::{NameRule, NamespaceLabel};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{
    is_dns1123_label, is_label_value, is_qualified_name, validate_annotations, validate_labels,
};
use names::driver;
use names::fully_qualified;
use names::label_key;
use names::pool;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

type Tree = Map<String, Value>;

/// The sub-requests of each request by its name.
type Names<'a> = BTreeMap<&'a str, Vec<&'a str>>;

const MOST: usize = 32;
const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

pub const CLASS: Ruled = Ruled {
    name: NameRule::LongName,
    rules: &[
        ("spec.selectors", Check::By(selectors)),
        ("spec.config", Check::By(|value, path, errors| configurations(value, path, &Names::new(), errors))),
        ("spec.extendedResourceName", Check::By(extended_name)),
    ],
    generation: true,
    ..Ruled::PLAIN
};

pub const CLAIM: Ruled = Ruled {
    status_keeps: METADATA,
    defaults: |claim| {
        if let Some(spec) = made(claim, "spec") {
            counted(spec);
        }
    },
    namespace_label: |new, old| {
        let results = |claim: &Tree| part(claim, "status")["allocation"]["devices"]["results"].clone();
        let granted = |results: &Value| results.as_array()?.iter().position(|result| result["adminAccess"] == true);
        match old {
            None => admin_access(&part(new, "spec")["devices"]["requests"]),
            Some(old) if granted(&results(old)).is_some() => None,
            Some(_) => {
                let index = granted(&results(new))?;
                let path = ["allocation", "devices", "results"];
                let path = path.into_iter().fold(Path::new("status"), |path, name| path.child(name));
                Some(admin_label(path.index(index).child("adminAccess")))
            }
        }
    },
    rules: &[("spec.devices", Check::By(claim))],
    unchanging: true,
    sealed: &["spec"],
    status: &[("status.conditions", Check::By(super::conditions::check)), ("status", Check::By(claim_status))],
    ..Ruled::PLAIN
};

pub const CLAIM_TEMPLATE: Ruled = Ruled {
    defaults: |template| {
        if let Some(spec) = made(template, "spec").and_then(|spec| made(spec, "spec")) {
            counted(spec);
        }
    },
    namespace_label: |new, old| match old {
        None => admin_access(&part(new, "spec")["spec"]["devices"]["requests"]),
        Some(_) => None,
    },
    rules: &[("spec.metadata", Check::By(template_metadata)), ("spec.spec.devices", Check::By(claim))],
    update: |new, old, errors| {
        if part(new, "spec") != part(old, "spec") {
            let shown = internal::text("resource.v1.ResourceClaimTemplateSpec", part(new, "spec"));
            errors.push(internal::immutable(&Path::new("spec"), shown));
        }
    },
    ..Ruled::PLAIN
};

/// The first request for access to devices that are in use. Upstream names it by the path of claims everywhere.
fn admin_access(requests: &Value) -> Option<NamespaceLabel> {
    let index = requests.as_array()?.iter().position(|request| request["exactly"]["adminAccess"] == true)?;
    let requests = Path::new("spec").child("devices").child("requests");
    Some(admin_label(requests.index(index).child("adminAccess")))
}

fn admin_label(path: Path) -> NamespaceLabel {
    NamespaceLabel { path, key: "resource.kubernetes.io/admin-access", allows: "admin access to devices" }
}

/// A taint says since when it is there (`SetDefaults_DeviceTaint`).
pub fn taint_time(taint: &mut Tree, now: &str) {
    if taint.get("timeAdded").is_none_or(Value::is_null) {
        taint.insert("timeAdded".to_owned(), now.into());
    }
}

pub const TAINT_RULE: Ruled = Ruled {
    status_keeps: METADATA,
    stamp: |new, old, now| {
        let taint = |rule: &Tree, field: &str| part(rule, "spec")["taint"][field].clone();
        // Another effect begins anew, unless the writer says since when.
        let again = old.is_some_and(|old| {
            taint(new, "effect") != taint(old, "effect") && taint(new, "timeAdded") == taint(old, "timeAdded")
        });
        let Some(taint) = made(new, "spec").and_then(|spec| made(spec, "taint")) else { return };
        if again {
            taint.remove("timeAdded");
        }
        taint_time(taint, now);
    },
    rules: &[
        ("spec.deviceSelector.driver", Check::By(driver_given)),
        ("spec.deviceSelector.pool", Check::By(pool_given)),
        ("spec.deviceSelector.device", Check::By(device_given)),
        ("spec.taint", Check::By(taint)),
    ],
    status: &[("status.conditions", Check::By(super::conditions::check))],
    generation: true,
    conditional: true,
    ..Ruled::PLAIN
};

fn counted(spec: &mut Tree) {
    let Some(devices) = object(spec, "devices") else { return };
    for request in items(devices, "requests") {
        if let Some(exactly) = object(request, "exactly") {
            count_one(exactly);
        }
        for alternative in items(request, "firstAvailable") {
            count_one(alternative);
        }
    }
}

fn count_one(request: &mut Tree) {
    empty(request, "allocationMode", "ExactCount");
    if said(request, "allocationMode") == "ExactCount" {
        zero(request, "count", 1);
    }
}

fn driver_given(value: &Value, path: &Path, errors: &mut ErrorList) {
    if value.is_string() {
        driver(value, path, errors);
    }
}

fn pool_given(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(name) = value.as_str() {
        pool(name, path, errors);
    }
}

fn device_given(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(name) = value.as_str() {
        wrong(path, name, is_dns1123_label(name), errors);
    }
}

/// A taint of a device.
pub fn taint(taint: &Value, path: &Path, errors: &mut ErrorList) {
    label_key(text(taint, "key"), &path.child("key"), errors);
    wrong(&path.child("value"), text(taint, "value"), is_label_value(text(taint, "value")), errors);
    let (effect, at) = (text(taint, "effect"), path.child("effect"));
    if effect.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if !EFFECTS.contains(&effect) {
        errors.push(FieldError::not_supported(&at, effect, &EFFECTS));
    }
}

fn toleration(toleration: &Value, path: &Path, errors: &mut ErrorList) {
    if !text(toleration, "key").is_empty() {
        label_key(text(toleration, "key"), &path.child("key"), errors);
    }
    let value = text(toleration, "value");
    match text(toleration, "operator") {
        "Exists" if !value.is_empty() => {
            errors.push(FieldError::invalid(&path.child("value"), value, "must be empty for operator `Exists`"));
        }
        "Exists" => {}
        "Equal" => wrong(&path.child("value"), value, is_label_value(value), errors),
        "" => errors.push(FieldError::required(&path.child("operator"), "")),
        other => errors.push(FieldError::not_supported(&path.child("operator"), other, &["Equal", "Exists"])),
    }
    let effect = text(toleration, "effect");
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        errors.push(FieldError::not_supported(&path.child("effect"), effect, &EFFECTS));
    }
}

fn claim(devices: &Value, path: &Path, errors: &mut ErrorList) {
    let requests = list(devices, "requests");
    let names: Names<'_> = requests
        .iter()
        .map(|request| {
            (text(request, "name"), list(request, "firstAvailable").iter().map(|sub| text(sub, "name")).collect())
        })
        .collect();
    let at = path.child("requests");
    if fits(requests, MOST, &at, errors) {
        unique(requests, "resource.v1.DeviceRequest", &at, errors);
        for (index, one) in requests.iter().enumerate() {
            request(one, &at.index(index), errors);
        }
    }
    let (constraints, at) = (list(devices, "constraints"), path.child("constraints"));
    if fits(constraints, MOST, &at, errors) {
        for (index, one) in constraints.iter().enumerate() {
            constraint(one, &at.index(index), &names, errors);
        }
    }
    configurations(&devices["config"], &path.child("config"), &names, errors);
}

/// Whether a list is no longer than allowed.
fn fits(list: &[Value], most: usize, path: &Path, errors: &mut ErrorList) -> bool {
    if list.len() > most {
        errors.push(FieldError::too_many(path, list.len(), most));
    }
    list.len() <= most
}

/// Elements of the same name, which are shown whole.
fn unique(list: &[Value], type_name: &str, path: &Path, errors: &mut ErrorList) {
    let mut seen = BTreeSet::new();
    for (index, one) in list.iter().enumerate() {
        if !seen.insert(text(one, "name")) {
            let shown = schema::ordered::text_of(type_name, one);
            errors.push(FieldError::duplicate(&path.index(index), "").showing(shown));
        }
    }
}

fn request(request: &Value, path: &Path, errors: &mut ErrorList) {
    const MOST_ALTERNATIVES: usize = 8;
    let name = text(request, "name");
    wrong(&path.child("name"), name, is_dns1123_label(name), errors);
    let (exactly, alternatives) = (&request["exactly"], list(request, "firstAvailable"));
    match (exactly.is_object(), !alternatives.is_empty()) {
        (false, false) => {
            errors.push(FieldError::required(path, "exactly one of `exactly` or `firstAvailable` is required"));
        }
        (true, true) => {
            let why = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.push(FieldError::invalid(path, Value::Null, why));
        }
        (true, false) => wish(exactly, &path.child("exactly"), errors),
        (false, true) => {
            let at = path.child("firstAvailable");
            if !fits(alternatives, MOST_ALTERNATIVES, &at, errors) {
                return;
            }
            unique(alternatives, "resource.v1.DeviceSubRequest", &at, errors);
            for (index, one) in alternatives.iter().enumerate() {
                let at = at.index(index);
                let name = text(one, "name");
                wrong(&at.child("name"), name, is_dns1123_label(name), errors);
                wish(one, &at, errors);
            }
        }
    }
}

/// What a request and an alternative have in common.
fn wish(wish: &Value, path: &Path, errors: &mut ErrorList) {
    super::read::needed(&path.child("deviceClassName"), text(wish, "deviceClassName"), subdomain, errors);
    selectors(&wish["selectors"], &path.child("selectors"), errors);
    let (count, at) = (number(wish, "count"), path.child("count"));
    match text(wish, "allocationMode") {
        "All" if count != 0 => {
            errors.push(FieldError::invalid(&at, count, "must not be specified when allocationMode is 'All'"));
        }
        "ExactCount" if count <= 0 => errors.push(FieldError::invalid(&at, count, "must be greater than zero")),
        "All" | "ExactCount" => {}
        other => errors.push(FieldError::not_supported(&path.child("allocationMode"), other, &["All", "ExactCount"])),
    }
    for (index, one) in list(wish, "tolerations").iter().enumerate() {
        toleration(one, &path.child("tolerations").index(index), errors);
    }
}

/// Selectors of devices. Whether an expression compiles is not looked at; that nothing does not is known.
fn selectors(value: &Value, path: &Path, errors: &mut ErrorList) {
    let selectors = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if !fits(selectors, MOST, path, errors) {
        return;
    }
    for (index, selector) in selectors.iter().enumerate() {
        let at = path.index(index).child("cel");
        if !selector["cel"].is_object() {
            errors.push(FieldError::required(&at, ""));
        } else if text(&selector["cel"], "expression").is_empty() {
            errors.push(FieldError::invalid(&at.child("expression"), "", NOTHING));
        }
    }
}

const NOTHING: &str = "compilation failed: ERROR: <input>:1:0: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

fn constraint(constraint: &Value, path: &Path, names: &Names<'_>, errors: &mut ErrorList) {
    references(&constraint["requests"], &path.child("requests"), names, errors);
    if let Some(name) = constraint["matchAttribute"].as_str() {
        fully_qualified(name, &path.child("matchAttribute"), errors);
    }
    if let Some(name) = constraint["distinctAttribute"].as_str() {
        fully_qualified(name, &path.child("distinctAttribute"), errors);
    } else if !constraint["matchAttribute"].is_string() {
        let why = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
        errors.push(FieldError::required(path, why));
    }
}

/// Names of requests, or of alternatives within one.
fn references(value: &Value, path: &Path, names: &Names<'_>, errors: &mut ErrorList) {
    const WHY: &str =
        "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    let references = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if !fits(references, MOST, path, errors) {
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, name) in references.iter().filter_map(Value::as_str).enumerate() {
        let at = path.index(index);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
        let segments: Vec<&str> = name.split('/').collect();
        let known = match segments.as_slice() {
            [request] => names.contains_key(request),
            [request, sub] => names.get(request).is_some_and(|subs| subs.contains(sub)),
            _ => false,
        };
        for segment in segments.iter().filter(|_| segments.len() <= 2) {
            wrong(&at, segment, is_dns1123_label(segment), errors);
        }
        if !known {
            errors.push(FieldError::invalid(&at, name, WHY));
        }
    }
}

fn configurations(value: &Value, path: &Path, names: &Names<'_>, errors: &mut ErrorList) {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if !fits(list, MOST, path, errors) {
        return;
    }
    for (index, one) in list.iter().enumerate() {
        let at = path.index(index);
        references(&one["requests"], &at.child("requests"), names, errors);
        let (opaque, at) = (&one["opaque"], at.child("opaque"));
        if !opaque.is_object() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        driver(&opaque["driver"], &at.child("driver"), errors);
        let (parameters, at) = (&opaque["parameters"], at.child("parameters"));
        if parameters.is_null() {
            errors.push(FieldError::required(&at, ""));
        } else if !parameters.is_object() {
            errors.push(FieldError::invalid(&at, "<value omitted>", "must be a valid JSON object"));
        }
    }
}

/// The name by which pods ask for devices of a class (`ExtendedResourceName`).
fn extended_name(value: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(name) = value.as_str() else { return };
    if !name.contains('/') {
        let why = "a name must be a domain-prefixed path, such as 'example.com/my-prop'";
        errors.push(FieldError::invalid(path, name, why));
    } else if name.contains("kubernetes.io/") {
        errors.push(FieldError::invalid(path, name, "must not have \"kubernetes.io/\" domain"));
    }
    if name.starts_with("requests.") {
        errors.push(FieldError::invalid(path, name, "must not have \"requests.\" prefix"));
    }
    // A quota counts it under this name.
    wrong(path, name, is_qualified_name(&format!("requests.{name}")), errors);
}

/// Of the metadata of what a template makes, labels and annotations may be said.
fn template_metadata(value: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(metadata) = value.as_object() else { return };
    errors.extend(validate_annotations(metadata, path));
    errors.extend(validate_labels(metadata, "labels", path));
    let unset = |value: &Value| value.is_null() || value == "" || value == &json!({});
    for (field, _) in metadata.iter().filter(|(_, value)| !unset(value)) {
        if !["labels", "annotations"].contains(&field.as_str()) {
            // Upstream names the field as Go's, and so mixes the letters.
            let shown = if field == "uid" { "uID" } else { field.as_str() };
            errors.push(FieldError::forbidden(&path.child(shown), "cannot be set"));
        }
    }
}

fn claim_status(status: &Value, path: &Path, errors: &mut ErrorList) {
    let (users, at) = (list(status, "reservedFor"), path.child("reservedFor"));
    for (index, user) in users.iter().enumerate() {
        for field in ["resource", "name", "uid"] {
            if text(user, field).is_empty() {
                errors.push(FieldError::required(&at.index(index).child(field), ""));
            }
        }
    }
    if !users.is_empty() && !status["allocation"].is_object() {
        errors.push(FieldError::forbidden(&at, "may not be specified when `allocated` is not set"));
    }
    let id = |device: &Value| ["driver", "pool", "device", "shareID"].map(|field| text(device, field).to_owned());
    let allocated: BTreeSet<_> = list(&status["allocation"]["devices"], "results").iter().map(id).collect();
    for (index, device) in list(status, "devices").iter().enumerate() {
        let at = path.child("devices").index(index);
        driver(&device["driver"], &at.child("driver"), errors);
        pool(text(device, "pool"), &at.child("pool"), errors);
        wrong(&at.child("device"), text(device, "device"), is_dns1123_label(text(device, "device")), errors);
        let known = id(device);
        if !allocated.contains(&known) {
            let shown = ["Driver", "Pool", "Device", "ShareID"];
            let parts: Vec<String> =
                shown.iter().zip(&known).map(|(name, value)| format!("\"{name}\":{}", json!(value))).collect();
            let error = FieldError::invalid(&at, "", "must be an allocated device in the claim");
            errors.push(error.showing(format!("{{{}}}", parts.join(","))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::ruled::refusals;

    fn claim_of(devices: Value) -> Vec<String> {
        refusals(&CLAIM, json!({"spec": {"devices": devices}}))
    }

    #[test]
    fn claims_say_what_they_ask_for() {
        let good = json!({"name": "r", "exactly": {"deviceClassName": "c"}});
        assert!(
            claim_of(json!({"requests": [good], "constraints": [{"requests": ["r"], "matchAttribute": "a.b/c"}]}))
                .is_empty()
        );
        assert_eq!(
            claim_of(json!({"requests": [good, good]})),
            [
                "spec.devices.requests[1]: Duplicate value: {\"name\":\"r\",\"exactly\":{\"deviceClassName\":\"c\",\"allocationMode\":\"ExactCount\",\"count\":1}}",
            ]
        );
        assert_eq!(
            claim_of(json!({"requests": [{"name": "r"}], "config": [{"requests": ["s"]}]})),
            [
                "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
                "spec.devices.config[0].requests[0]: Invalid value: \"s\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
                "spec.devices.config[0].opaque: Required value",
            ]
        );
    }

    #[test]
    fn what_is_not_said_is_one_device() {
        let claim = json!({"spec": {"devices": {"requests": [{"name": "r", "exactly": {}}, {"firstAvailable": [{"allocationMode": "All"}]}]}}});
        let mut object = apimachinery::Object::from_value(claim).unwrap();
        crate::registry::strategy::Strategy::default(&CLAIM, &mut object);
        assert_eq!(
            object.at(&["spec", "devices", "requests"]),
            Some(
                &json!([{"name": "r", "exactly": {"allocationMode": "ExactCount", "count": 1}}, {"firstAvailable": [{"allocationMode": "All"}]}])
            )
        );
    }

    #[test]
    fn templates_and_classes() {
        assert_eq!(
            refusals(&CLAIM_TEMPLATE, json!({"spec": {"metadata": {"name": "x", "labels": {"a": "b"}}}})),
            ["spec.metadata.name: Forbidden: cannot be set"]
        );
        assert_eq!(
            refusals(&CLASS, json!({"spec": {"extendedResourceName": "x", "selectors": [{}]}})),
            [
                "spec.selectors[0].cel: Required value",
                "spec.extendedResourceName: Invalid value: \"x\": a name must be a domain-prefixed path, such as 'example.com/my-prop'",
            ]
        );
        assert_eq!(
            refusals(&TAINT_RULE, json!({"spec": {"taint": {"key": "a"}}})),
            ["spec.taint.effect: Required value"]
        );
    }
}
