//! Ingresses and their classes (k8s.io/kubernetes `pkg/apis/networking/validation`).

use crate::registry::kinds::fill;
use crate::registry::kinds::read::{part, text};
use crate::registry::kinds::ruled::Ruled;
use crate::registry::kinds::rules::Check;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{
    is_dns1123_subdomain, is_domain_prefixed_path, is_port_name, is_port_number, is_wildcard_dns1123_subdomain,
    name_is_dns_label, name_is_path_segment, parse_ip_sloppy, validate_ip_legacy,
};
use serde_json::Value;

/// What no path of the types `Exact` and `Prefix` may hold, and how none may end.
const INVALID_SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const INVALID_ENDS: [&str; 2] = ["/..", "/."];

pub const INGRESS: Ruled = Ruled {
    rules: &[
        ("spec.ingressClassName", Check::Text(is_dns1123_subdomain)),
        ("spec.tls[].secretName", Check::Text(is_dns1123_subdomain)),
        ("spec.tls[].hosts[]", Check::By(tls_host)),
        ("spec.defaultBackend", Check::By(backend)),
        ("spec.rules[].host", Check::By(host)),
        ("spec.rules[].http.paths", Check::Needed("")),
        ("spec.rules[].http.paths[]", Check::By(path)),
    ],
    status: &[
        ("status.loadBalancer.ingress[].ip", Check::By(address)),
        ("status.loadBalancer.ingress[].hostname", Check::By(hostname)),
    ],
    more: |object, errors| {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        if spec["rules"].as_array().is_none_or(Vec::is_empty) && !spec["defaultBackend"].is_object() {
            let rules = if spec["rules"].is_null() { Value::Null } else { spec["rules"].clone() };
            let why = "either `defaultBackend` or `rules` must be specified";
            errors.push(FieldError::invalid(&Path::new("spec"), rules, why));
        }
    },
    generation: true,
    ..Ruled::PLAIN
};

pub const CLASS: Ruled = Ruled {
    defaults: |class| {
        if let Some(parameters) = fill::object(class, "spec").and_then(|spec| fill::object(spec, "parameters")) {
            fill::absent(parameters, "scope", "Cluster");
        }
    },
    rules: &[("spec.controller", Check::By(controller)), ("spec.parameters", Check::By(parameters))],
    update: |new, old, errors| {
        let (is, was) = (text(part(new, "spec"), "controller"), text(part(old, "spec"), "controller"));
        if is != was {
            errors.push(FieldError::invalid(&Path::new("spec").child("controller"), is, "field is immutable"));
        }
    },
    generation: true,
    ..Ruled::PLAIN
};

fn wrong(path: &Path, value: &str, why: Vec<String>, errors: &mut ErrorList) {
    errors.extend(why.into_iter().map(|why| FieldError::invalid(path, value, why)));
}

fn tls_host(value: &Value, path: &Path, errors: &mut ErrorList) {
    let host = value.as_str().unwrap_or_default();
    let why = if host.contains('*') { is_wildcard_dns1123_subdomain(host) } else { is_dns1123_subdomain(host) };
    wrong(path, host, why, errors);
}

fn host(value: &Value, path: &Path, errors: &mut ErrorList) {
    let host = value.as_str().unwrap_or_default();
    if host.is_empty() {
        return;
    }
    if parse_ip_sloppy(host).is_some() {
        errors.push(FieldError::invalid(path, host, "must be a DNS name, not an IP address"));
    }
    tls_host(value, path, errors);
}

fn address(value: &Value, path: &Path, errors: &mut ErrorList) {
    let ip = value.as_str().unwrap_or_default();
    if !ip.is_empty() {
        errors.extend(validate_ip_legacy(path, ip, true, &[]));
    }
}

fn hostname(value: &Value, path: &Path, errors: &mut ErrorList) {
    let name = value.as_str().unwrap_or_default();
    if name.is_empty() {
        return;
    }
    wrong(path, name, is_dns1123_subdomain(name), errors);
    if parse_ip_sloppy(name).is_some() {
        errors.push(FieldError::invalid(path, name, "must be a DNS name, not an IP address"));
    }
}

fn path(value: &Value, at: &Path, errors: &mut ErrorList) {
    let Some(kind) = value["pathType"].as_str() else {
        errors.push(FieldError::required(&at.child("pathType"), "pathType must be specified"));
        return;
    };
    let (path, here) = (text(value, "path"), at.child("path"));
    let relative = !path.starts_with('/');
    match kind {
        "Exact" | "Prefix" => {
            if relative {
                errors.push(FieldError::invalid(&here, path, "must be an absolute path"));
            }
            for bad in INVALID_SEQUENCES.iter().filter(|bad| path.contains(**bad)) {
                errors.push(FieldError::invalid(&here, path, format!("must not contain '{bad}'")));
            }
            for bad in INVALID_ENDS.iter().filter(|bad| path.ends_with(**bad)) {
                errors.push(FieldError::invalid(&here, path, format!("cannot end with '{bad}'")));
            }
        }
        "ImplementationSpecific" => {
            if !path.is_empty() && relative {
                errors.push(FieldError::invalid(&here, path, "must be an absolute path"));
            }
        }
        other => {
            let kinds = ["Exact", "ImplementationSpecific", "Prefix"];
            errors.push(FieldError::not_supported(&at.child("pathType"), other, &kinds));
        }
    }
    backend(&value["backend"], &at.child("backend"), errors);
}

fn backend(value: &Value, path: &Path, errors: &mut ErrorList) {
    // A default backend that is not there is not asked about; that of a path is always there.
    if value.is_null() && !path.as_str().ends_with(".backend") {
        return;
    }
    match (value["resource"].is_object(), value["service"].is_object()) {
        (true, true) => errors.push(FieldError::invalid(path, "", "cannot set both resource and service backends")),
        (true, false) => local_reference(&value["resource"], &path.child("resource"), errors),
        (false, true) => service(&value["service"], path, errors),
        (false, false) => errors.push(FieldError::invalid(path, "", "resource or service backend is required")),
    }
}

fn service(service: &Value, path: &Path, errors: &mut ErrorList) {
    let (name, at) = (text(service, "name"), path.child("service"));
    if name.is_empty() {
        errors.push(FieldError::required(&at.child("name"), ""));
    } else {
        wrong(&at.child("name"), name, name_is_dns_label(name, false), errors);
    }
    let port = &service["port"];
    let (port_name, number) = (text(port, "name"), port["number"].as_i64().unwrap_or(0));
    let at = at.child("port");
    match (port_name.is_empty(), number == 0) {
        (false, false) => errors.push(FieldError::invalid(path, "", "cannot set both port name & port number")),
        (false, true) => wrong(&at.child("name"), port_name, is_port_name(port_name), errors),
        (true, false) => {
            let why = is_port_number(number).into_iter();
            errors.extend(why.map(|why| FieldError::invalid(&at.child("number"), number, why)));
        }
        (true, true) => errors.push(FieldError::required(path, "port name or number is required")),
    }
}

/// A reference to an object of any kind in the same namespace.
fn local_reference(reference: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(group) = reference["apiGroup"].as_str() {
        wrong(&path.child("apiGroup"), group, is_dns1123_subdomain(group), errors);
    }
    for field in ["kind", "name"] {
        let (value, at) = (text(reference, field), path.child(field));
        if value.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else {
            wrong(&at, value, name_is_path_segment(value, false), errors);
        }
    }
}

fn controller(value: &Value, path: &Path, errors: &mut ErrorList) {
    const LONGEST: usize = 250;
    let controller = value.as_str().unwrap_or_default();
    if controller.len() > LONGEST {
        errors.push(FieldError::too_long(path, LONGEST));
    }
    errors.extend(is_domain_prefixed_path(path, controller));
}

fn parameters(value: &Value, path: &Path, errors: &mut ErrorList) {
    if !value.is_object() {
        return;
    }
    local_reference(value, path, errors);
    let namespace = value["namespace"].as_str();
    let at = path.child("namespace");
    match value["scope"].as_str() {
        None => errors.push(FieldError::required(&path.child("scope"), "")),
        Some("Namespace") => match namespace {
            None => errors.push(FieldError::required(&at, "`parameters.scope` is set to 'Namespace'")),
            Some(name) => wrong(&at, name, name_is_dns_label(name, false), errors),
        },
        Some("Cluster") => {
            if namespace.is_some() {
                errors.push(FieldError::forbidden(&at, "`parameters.scope` is set to 'Cluster'"));
            }
        }
        Some(other) => {
            errors.push(FieldError::not_supported(&path.child("scope"), other, &["Cluster", "Namespace"]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(kind: &Ruled, object: &Value) -> Vec<String> {
        use crate::registry::strategy::Strategy as _;
        let object = apimachinery::Object::from_value(object.clone()).unwrap();
        kind.validate_create(&object).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn backends_and_paths() {
        let with = |path: Value| json!({"metadata": {"name": "i"}, "spec": {"rules": [{"http": {"paths": [path]}}]}});
        let service = json!({"service": {"name": "s", "port": {"number": 80}}});
        assert!(texts(&INGRESS, &with(json!({"path": "/", "pathType": "Prefix", "backend": service}))).is_empty());
        assert_eq!(
            texts(&INGRESS, &with(json!({"path": "a//b", "pathType": "Exact", "backend": {}}))),
            [
                "spec.rules[0].http.paths[0].path: Invalid value: \"a//b\": must be an absolute path",
                "spec.rules[0].http.paths[0].path: Invalid value: \"a//b\": must not contain '//'",
                "spec.rules[0].http.paths[0].backend: Invalid value: \"\": resource or service backend is required",
            ]
        );
        assert_eq!(
            texts(&INGRESS, &json!({"spec": {}})),
            ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]
        );
    }

    #[test]
    fn parameters_have_a_scope() {
        let with = |p: Value| json!({"spec": {"controller": "example.com/c", "parameters": p}});
        assert!(texts(&CLASS, &with(json!({"kind": "K", "name": "n", "scope": "Cluster"}))).is_empty());
        assert_eq!(
            texts(&CLASS, &with(json!({"kind": "K", "name": "n", "scope": "Namespace"}))),
            ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"]
        );
    }
}
