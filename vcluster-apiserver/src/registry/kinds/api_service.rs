//! API services (k8s.io/kube-aggregator `pkg/apis/apiregistration`, `pkg/registry/apiservice`): named after what they serve.

use super::fill::{absent, object};
use super::read::{number, part, text, wrong};
use super::ruled::{METADATA, Ruled};
use super::rules::Check;
use crate::registry::strategy::NameRule;
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_dns1035_label, is_dns1123_subdomain, is_port_number, name_is_path_segment};
use serde_json::{Map, Value, json};

type Tree = Map<String, Value>;

pub const SERVICE: Ruled = Ruled {
    name: NameRule::PathSegment,
    defaults: |kind| {
        if let Some(service) = object(kind, "spec").and_then(|spec| object(spec, "service")) {
            absent(service, "port", 443);
        }
    },
    rules: &[("spec.version", Check::By(version))],
    more: service,
    create: local,
    status: &[("status.conditions[].status", Check::By(condition_status))],
    status_keeps: METADATA,
    conditional: true,
    ..Ruled::PLAIN
};

/// What the server itself serves is available at once.
fn local(service: &mut Object) {
    if service.at(&["spec", "service"]).is_none_or(Value::is_null) {
        let now = service.meta_str("creationTimestamp").to_owned();
        let condition = json!({"type": "Available", "status": "True", "lastTransitionTime": now, "reason": "Local",
            "message": "Local APIServices are always available"});
        service.set_at(&["status"], json!({"conditions": [condition]}));
    }
}

fn condition_status(value: &Value, path: &Path, errors: &mut ErrorList) {
    let status = value.as_str().unwrap_or_default();
    if !["True", "False", "Unknown"].contains(&status) {
        errors.push(FieldError::not_supported(path, status, &["True", "False", "Unknown"]));
    }
}

fn version(value: &Value, path: &Path, errors: &mut ErrorList) {
    let version = value.as_str().unwrap_or_default();
    wrong(path, version, is_dns1035_label(version), errors);
}

fn service(kind: &Tree, errors: &mut ErrorList) {
    let (spec, path) = (part(kind, "spec"), Path::new("spec"));
    let (group, version) = (text(spec, "group"), text(spec, "version"));
    let expected = format!("{version}.{group}");
    for field in ["generateName", "name"] {
        let name = text(part(kind, "metadata"), field);
        if !name.is_empty() && name != expected && name_is_path_segment(name, false).is_empty() {
            let why = format!("must be `spec.version+\".\"+spec.group`: {expected:?}");
            errors.push(FieldError::invalid(&Path::new("metadata").child(field), name, why));
        }
    }
    if group.is_empty() && version != "v1" {
        let why = "only v1 may have an empty group and it better be legacy kube";
        errors.push(FieldError::required(&path.child("group"), why));
    }
    if !group.is_empty() {
        wrong(&path.child("group"), group, is_dns1123_subdomain(group), errors);
    }
    for (field, most) in [("groupPriorityMinimum", 20000), ("versionPriority", 1000)] {
        let n = number(spec, field);
        if !(1..=most).contains(&n) {
            let why = format!("must be positive and less than {most}");
            errors.push(FieldError::invalid(&path.child(field), n, why));
        }
    }
    behind(spec, &path, errors);
}

/// Who answers, and how it is known to be them.
fn behind(spec: &Value, path: &Path, errors: &mut ErrorList) {
    use base64::Engine as _;
    let insecure = spec["insecureSkipTLSVerify"] == true;
    let bundle = base64::engine::general_purpose::STANDARD.decode(text(spec, "caBundle")).unwrap_or_default();
    let verify = path.child("insecureSkipTLSVerify");
    let (service, at) = (&spec["service"], path.child("service"));
    if !service.is_object() {
        if !bundle.is_empty() {
            let shown = format!("{} bytes", bundle.len());
            let why = "local APIServices may not have a caBundle";
            errors.push(FieldError::invalid(&path.child("caBundle"), shown, why));
        }
        if insecure {
            errors.push(FieldError::invalid(&verify, true, "local APIServices may not have insecureSkipTLSVerify"));
        }
        return;
    }
    for field in ["namespace", "name"] {
        if text(service, field).is_empty() {
            errors.push(FieldError::required(&at.child(field), ""));
        }
    }
    let port = number(service, "port");
    let wrong = is_port_number(port);
    if !wrong.is_empty() {
        let why = format!("port is not valid: {}", wrong.join(", "));
        errors.push(FieldError::invalid(&at.child("port"), port, why));
    }
    if insecure && !bundle.is_empty() {
        errors.push(FieldError::invalid(&verify, true, "may not be true if caBundle is present"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::ruled::refusals;

    #[test]
    fn services_are_named_after_what_they_serve() {
        let good = json!({"metadata": {"name": "v1.a.b"}, "spec": {"group": "a.b", "version": "v1",
            "groupPriorityMinimum": 1, "versionPriority": 1, "service": {"name": "s", "namespace": "n"}}});
        assert!(refusals(&SERVICE, good.clone()).is_empty());
        let mut bad = good;
        bad["metadata"]["name"] = json!("v2.a.b");
        bad["spec"]["service"] = Value::Null;
        bad["spec"]["insecureSkipTLSVerify"] = json!(true);
        assert_eq!(
            refusals(&SERVICE, bad),
            [
                "metadata.name: Invalid value: \"v2.a.b\": must be `spec.version+\".\"+spec.group`: \"v1.a.b\"",
                "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
            ]
        );
    }
}
