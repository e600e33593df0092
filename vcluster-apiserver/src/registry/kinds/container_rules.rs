//! Parts of a container that stand by themselves: ports, probes, lifecycle handlers, policies
//! (k8s.io/kubernetes `pkg/apis/core/validation`, `validateContainerCommon`).

use super::read::{list, number, text, wrong};
use super::rules::{self, Check, Rule};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_http_header_name, is_port_name, is_port_number};
use serde_json::Value;
use std::collections::BTreeSet;

const POLICIES: &[Rule] = &[
    ("terminationMessagePolicy", Check::NeededOneOf(&["File", "FallbackToLogsOnError"])),
    ("imagePullPolicy", Check::NeededOneOf(&["Always", "IfNotPresent", "Never"])),
];

const PROBE: &[Rule] = &[
    ("initialDelaySeconds", Check::NotNegative),
    ("timeoutSeconds", Check::NotNegative),
    ("periodSeconds", Check::NotNegative),
    ("successThreshold", Check::NotNegative),
    ("failureThreshold", Check::NotNegative),
];

/// Everything that every container of a pod has; probes and handlers are refused for those that end first.
pub fn check(container: &Value, path: &Path, errors: &mut ErrorList) {
    errors.extend(rules::check(container, path, POLICIES));
    ports(list(container, "ports"), &path.child("ports"), errors);
    for (field, once) in [("livenessProbe", true), ("readinessProbe", false), ("startupProbe", true)] {
        if container[field].is_object() {
            probe(&container[field], once, &path.child(field), errors);
        }
    }
    for hook in ["postStart", "preStop"] {
        let handler = &container["lifecycle"][hook];
        if handler.is_object() {
            self::handler(handler, &path.child("lifecycle").child(hook), errors);
        }
    }
}

fn ports(ports: &[Value], path: &Path, errors: &mut ErrorList) {
    let mut names = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let at = path.index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            let found = is_port_name(name);
            if !found.is_empty() {
                wrong(&at.child("name"), name, found, errors);
            } else if !names.insert(name) {
                errors.push(FieldError::duplicate(&at.child("name"), name));
            }
        }
        let inner = number(port, "containerPort");
        if inner == 0 {
            errors.push(FieldError::required(&at.child("containerPort"), ""));
        } else {
            port_number(inner, &at.child("containerPort"), errors);
        }
        if number(port, "hostPort") != 0 {
            port_number(number(port, "hostPort"), &at.child("hostPort"), errors);
        }
        let protocol = text(port, "protocol");
        if protocol.is_empty() {
            errors.push(FieldError::required(&at.child("protocol"), ""));
        } else if !["SCTP", "TCP", "UDP"].contains(&protocol) {
            errors.push(FieldError::not_supported(&at.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]));
        }
    }
}

fn port_number(port: i64, path: &Path, errors: &mut ErrorList) {
    errors.extend(is_port_number(port).into_iter().map(|why| FieldError::invalid(path, port, why)));
}

/// A port by number or by name; one that is not there is number 0.
fn port_or_name(port: &Value, path: &Path, errors: &mut ErrorList) {
    match port.as_str() {
        Some(name) => wrong(path, name, is_port_name(name), errors),
        None => port_number(port.as_i64().unwrap_or(0), path, errors),
    }
}

fn probe(probe: &Value, once: bool, path: &Path, errors: &mut ErrorList) {
    handler(probe, path, errors);
    errors.extend(rules::check(probe, path, PROBE));
    let at = path.child("terminationGracePeriodSeconds");
    if let Some(seconds) = probe["terminationGracePeriodSeconds"].as_i64() {
        if seconds <= 0 {
            errors.push(FieldError::invalid(&at, seconds, "must be greater than 0"));
        }
        if !once {
            errors.push(FieldError::invalid(&at, seconds, "must not be set for readinessProbes"));
        }
    }
    let threshold = number(probe, "successThreshold");
    if once && threshold != 1 {
        errors.push(FieldError::invalid(&path.child("successThreshold"), threshold, "must be 1"));
    }
}

fn handler(handler: &Value, path: &Path, errors: &mut ErrorList) {
    let mut first = true;
    for kind in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let (action, at) = (&handler[kind], path.child(kind));
        if !action.is_object() {
            continue;
        }
        if !std::mem::take(&mut first) {
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 handler type"));
            continue;
        }
        match kind {
            "exec" if list(action, "command").is_empty() => {
                errors.push(FieldError::required(&at.child("command"), ""));
            }
            "httpGet" => http(action, &at, errors),
            "tcpSocket" => port_or_name(&action["port"], &at.child("port"), errors),
            "grpc" => port_number(number(action, "port"), &at.child("port"), errors),
            _ => {}
        }
    }
    if first {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

fn http(action: &Value, path: &Path, errors: &mut ErrorList) {
    if text(action, "path").is_empty() {
        errors.push(FieldError::required(&path.child("path"), ""));
    }
    port_or_name(&action["port"], &path.child("port"), errors);
    let scheme = text(action, "scheme");
    if !["HTTP", "HTTPS"].contains(&scheme) {
        errors.push(FieldError::not_supported(&path.child("scheme"), scheme, &["HTTP", "HTTPS"]));
    }
    for header in list(action, "httpHeaders") {
        let name = text(header, "name");
        wrong(&path.child("httpHeaders"), name, is_http_header_name(name), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(mut container: Value) -> Vec<String> {
        container["terminationMessagePolicy"] = json!("File");
        container["imagePullPolicy"] = json!("Always");
        let mut errors = ErrorList::new();
        check(&container, &Path::new("c"), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn probes_ports_and_handlers() {
        let cases: [(Value, &[&str]); 5] = [
            (json!({}), &[]),
            (json!({"readinessProbe": {}}), &["c.readinessProbe: Required value: must specify a handler type"]),
            (
                json!({"livenessProbe": {"tcpSocket": {"port": 0}, "successThreshold": 2}}),
                &[
                    "c.livenessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive",
                    "c.livenessProbe.successThreshold: Invalid value: 2: must be 1",
                ],
            ),
            (
                json!({"lifecycle": {"preStop": {"exec": {"command": ["a"]}, "sleep": {"seconds": 1}}}}),
                &["c.lifecycle.preStop.sleep: Forbidden: may not specify more than 1 handler type"],
            ),
            (
                json!({"ports": [{"name": "a", "containerPort": 1, "protocol": "TCP"}, {"name": "a", "containerPort": 0, "protocol": "X"}]}),
                &[
                    "c.ports[1].name: Duplicate value: \"a\"",
                    "c.ports[1].containerPort: Required value",
                    "c.ports[1].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
                ],
            ),
        ];
        for (container, expected) in cases {
            assert_eq!(texts(container), expected);
        }
    }
}
