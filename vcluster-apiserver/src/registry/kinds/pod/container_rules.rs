//! Containers: what all of them have, and what only those that stay, those that end first and those that are added later may
//! have (k8s.io/kubernetes `pkg/apis/core/validation`, `validateContainers` and its like).

use super::{env_rules, mount_rules, security_rules, volume_rules};
use crate::registry::kinds::core::resource_rules;
use crate::registry::kinds::read::{list, needed_label, number, text, wrong};
use crate::registry::kinds::rules::{self, Check, Rule};
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

const PROBES: [(&str, bool); 3] = [("livenessProbe", true), ("readinessProbe", false), ("startupProbe", true)];

/// What containers that are added later may not have.
const LASTING: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// The names that a pod gives to its claims.
pub fn claim_names(spec: &Value) -> BTreeSet<&str> {
    let names = list(spec, "resourceClaims").iter().map(|claim| text(claim, "name"));
    names.filter(|name| !name.is_empty()).collect()
}

/// What the containers of a pod have to be judged by.
pub struct Pod<'a> {
    spec: &'a Value,
    /// The volumes that can be mounted.
    volumes: Vec<&'a Value>,
    claims: BTreeSet<&'a str>,
}

impl<'a> Pod<'a> {
    /// `name` is that of a real pod.
    pub fn new(spec: &'a Value, name: Option<&str>) -> Self {
        let volumes = volume_rules::usable(list(spec, "volumes"), name);
        Self { spec, volumes, claims: claim_names(spec) }
    }

    /// All containers of a pod.
    pub fn check(&self, path: &Path, errors: &mut ErrorList) {
        self.regular(&path.child("containers"), errors);
        self.initial(&path.child("initContainers"), errors);
        self.ephemeral(&path.child("ephemeralContainers"), errors);
    }

    fn regular(&self, path: &Path, errors: &mut ErrorList) {
        let containers = list(self.spec, "containers");
        if containers.is_empty() {
            errors.push(FieldError::required(path, ""));
        }
        let mut names = BTreeSet::new();
        for (index, container) in containers.iter().enumerate() {
            let at = path.index(index);
            self.common(container, &at, errors);
            unique(text(container, "name"), &mut names, &at, errors);
            self.lasting(container, &at, errors);
            restarts(container, &at, errors);
        }
        host_ports(containers, path, errors);
    }

    fn initial(&self, path: &Path, errors: &mut ErrorList) {
        let regular = list(self.spec, "containers").iter().map(|container| text(container, "name"));
        let mut names: BTreeSet<&str> = regular.collect();
        for (index, container) in list(self.spec, "initContainers").iter().enumerate() {
            let at = path.index(index);
            self.common(container, &at, errors);
            restarts(container, &at, errors);
            unique(text(container, "name"), &mut names, &at, errors);
            host_ports(std::slice::from_ref(container), path, errors);
            if container["restartPolicy"] == "Always" {
                self.lasting(container, &at, errors);
                continue;
            }
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if container[field].is_object() {
                    let why = "may not be set for init containers without restartPolicy=Always";
                    errors.push(FieldError::forbidden(&at.child(field), why));
                }
            }
            for (number, policy) in list(container, "resizePolicy").iter().enumerate() {
                if text(policy, "restartPolicy") == "RestartContainer" {
                    let at = at.child("resizePolicy").index(number).child("restartPolicy");
                    let why = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                    errors.push(FieldError::invalid(&at, "RestartContainer", why));
                }
            }
        }
    }

    fn ephemeral(&self, path: &Path, errors: &mut ErrorList) {
        let others = list(self.spec, "containers").iter().chain(list(self.spec, "initContainers"));
        let others: BTreeSet<&str> = others.map(|container| text(container, "name")).collect();
        let mut names = others.clone();
        for (index, container) in list(self.spec, "ephemeralContainers").iter().enumerate() {
            let at = path.index(index);
            self.common(container, &at, errors);
            trimmed(container, &at, errors);
            if !names.insert(text(container, "name")) {
                errors.push(FieldError::duplicate(&at.child("name"), text(container, "name")));
            }
            let target = text(container, "targetContainerName");
            if !target.is_empty() && !others.contains(target) {
                errors.push(FieldError::not_found(&at.child("targetContainerName"), target));
            }
            let why = "cannot be set for an Ephemeral Container";
            for field in LASTING {
                let value = &container[field];
                let empty = value.is_null()
                    || value.as_array().is_some_and(Vec::is_empty)
                    || field == "resources" && value.as_object().is_some_and(serde_json::Map::is_empty);
                if !empty {
                    errors.push(FieldError::forbidden(&at.child(field), why));
                }
            }
            for (number, mount) in list(container, "volumeMounts").iter().enumerate() {
                for field in ["subPath", "subPathExpr"].into_iter().filter(|field| !text(mount, field).is_empty()) {
                    errors.push(FieldError::forbidden(&at.child("volumeMounts").index(number).child(field), why));
                }
            }
        }
    }

    /// What every container has.
    fn common(&self, container: &Value, path: &Path, errors: &mut ErrorList) {
        needed_label(&path.child("name"), text(container, "name"), errors);
        if text(container, "image").is_empty() {
            errors.push(FieldError::required(&path.child("image"), ""));
        }
        errors.extend(rules::check(container, path, POLICIES));
        ports(list(container, "ports"), &path.child("ports"), errors);
        env_rules::variables(container, path, errors);
        mount_rules::check(container, &self.volumes, path, errors);
        let at = path.child("resources");
        resource_rules::requirements(
            &container["resources"],
            resource_rules::container_name,
            &self.claims,
            &at,
            errors,
        );
        self.resizes(container, &path.child("resizePolicy"), errors);
        let host_users = self.spec["hostUsers"] != false;
        let at = path.child("securityContext");
        security_rules::of_container(&container["securityContext"], host_users, &at, errors);
    }

    /// Probes and handlers of containers that stay.
    fn lasting(&self, container: &Value, path: &Path, errors: &mut ErrorList) {
        let grace = self.spec["terminationGracePeriodSeconds"].as_i64();
        for hook in ["postStart", "preStop"] {
            let action = &container["lifecycle"][hook];
            if action.is_object() {
                handler(action, grace, &path.child("lifecycle").child(hook), errors);
            }
        }
        for (field, once) in PROBES {
            if container[field].is_object() {
                probe(&container[field], once, &path.child(field), errors);
            }
        }
    }

    fn resizes(&self, container: &Value, path: &Path, errors: &mut ErrorList) {
        let mut seen = BTreeSet::new();
        for (index, policy) in list(container, "resizePolicy").iter().enumerate() {
            let (resource, restart) = (text(policy, "resourceName"), text(policy, "restartPolicy"));
            if !seen.insert(resource) {
                errors.push(FieldError::duplicate(&path.index(index), resource));
            }
            let allowed: [(&str, [&str; 2]); 2] =
                [(resource, ["cpu", "memory"]), (restart, ["NotRequired", "RestartContainer"])];
            for (value, allowed) in allowed {
                if value.is_empty() {
                    errors.push(FieldError::required(path, ""));
                } else if !allowed.contains(&value) {
                    errors.push(FieldError::not_supported(path, value, &allowed));
                }
            }
            if text(self.spec, "restartPolicy") == "Never" && restart != "NotRequired" {
                let why = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
                errors.push(FieldError::invalid(path, restart, why));
            }
        }
    }
}

fn unique<'a>(name: &'a str, names: &mut BTreeSet<&'a str>, path: &Path, errors: &mut ErrorList) {
    if !name.is_empty() && !names.insert(name) {
        errors.push(FieldError::duplicate(&path.child("name"), name));
    }
}

/// An image without blanks around it, which only real pods are asked for.
pub fn trimmed(container: &Value, path: &Path, errors: &mut ErrorList) {
    let image = text(container, "image");
    if image.trim() != image {
        let why = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.child("image"), image, why));
    }
}

/// When a container starts again by itself.
fn restarts(container: &Value, path: &Path, errors: &mut ErrorList) {
    const POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
    const ACTIONS: [&str; 2] = ["Restart", "RestartAllContainers"];
    const MOST_RULES: usize = 20;
    const MOST_CODES: usize = 255;
    let rules = list(container, "restartPolicyRules");
    let (at, rules_at) = (path.child("restartPolicy"), path.child("restartPolicyRules"));
    match container["restartPolicy"].as_str() {
        None if !rules.is_empty() => {
            errors.push(FieldError::required(&at, "must specify restartPolicy when restart rules are used"));
        }
        Some(policy) if !POLICIES.contains(&policy) => {
            errors.push(FieldError::not_supported(&at, policy, &POLICIES));
        }
        _ => {}
    }
    if rules.len() > MOST_RULES {
        errors.push(FieldError::too_many(&rules_at, rules.len(), MOST_RULES));
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = rules_at.index(index);
        let action = text(rule, "action");
        if !ACTIONS.contains(&action) {
            errors.push(FieldError::not_supported(&at.child("action"), action, &ACTIONS));
        }
        let (codes, at) = (&rule["exitCodes"], at.child("exitCodes"));
        if !codes.is_object() {
            errors.push(FieldError::required(&at, "must be specified"));
            continue;
        }
        let operator = text(codes, "operator");
        if !["In", "NotIn"].contains(&operator) {
            errors.push(FieldError::not_supported(&at.child("operator"), operator, &["In", "NotIn"]));
        }
        let count = list(codes, "values").len();
        if count > MOST_CODES {
            errors.push(FieldError::too_many(&at.child("values"), count, MOST_CODES));
        }
    }
}

/// Ports of the host, of which each is taken once.
fn host_ports(containers: &[Value], path: &Path, errors: &mut ErrorList) {
    let mut taken = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        for (number, port) in list(container, "ports").iter().enumerate() {
            let host = self::number(port, "hostPort");
            let key = format!("{}/{}/{host}", text(port, "protocol"), text(port, "hostIP"));
            if host != 0 && !taken.insert(key.clone()) {
                let at = path.index(index).child("ports").index(number).child("hostPort");
                errors.push(FieldError::duplicate(&at, key));
            }
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
pub fn port_or_name(port: &Value, path: &Path, errors: &mut ErrorList) {
    match port.as_str() {
        Some(name) => wrong(path, name, is_port_name(name), errors),
        None => port_number(port.as_i64().unwrap_or(0), path, errors),
    }
}

fn probe(probe: &Value, once: bool, path: &Path, errors: &mut ErrorList) {
    handler(probe, None, path, errors);
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

/// What is done; a pause may last as long as the pod has to end.
fn handler(handler: &Value, grace: Option<i64>, path: &Path, errors: &mut ErrorList) {
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
            "sleep" => {
                let seconds = number(action, "seconds");
                if let Some(grace) = grace.filter(|grace| !(0..=*grace).contains(&seconds)) {
                    let why = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                    errors.push(FieldError::invalid(&at, seconds, why));
                }
            }
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
        let known = json!({"name": "c", "image": "i", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"});
        container.as_object_mut().unwrap().extend(known.as_object().unwrap().clone());
        let mut errors = ErrorList::new();
        let spec = json!({"containers": [container], "terminationGracePeriodSeconds": 30});
        Pod::new(&spec, None).regular(&Path::new("c"), &mut errors);
        errors.iter().map(|error| error.to_string().replace("c[0]", "c")).collect()
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

    #[test]
    fn containers_that_end_first_and_that_come_later() {
        let container = |more: Value| {
            let mut all =
                json!({"name": "x", "image": "i", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        let spec = json!({
            "containers": [container(json!({"name": "a"}))],
            "initContainers": [container(json!({"livenessProbe": {}})), container(json!({"name": "a", "restartPolicyRules": [{"action": "X"}]}))],
            "ephemeralContainers": [container(json!({"name": "e", "ports": [{}], "targetContainerName": "z"}))],
        });
        let mut errors = ErrorList::new();
        Pod::new(&spec, None).check(&Path::new("s"), &mut errors);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "s.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
                "s.initContainers[1].restartPolicy: Required value: must specify restartPolicy when restart rules are used",
                "s.initContainers[1].restartPolicyRules[0].action: Unsupported value: \"X\": supported values: \"Restart\", \"RestartAllContainers\"",
                "s.initContainers[1].restartPolicyRules[0].exitCodes: Required value: must be specified",
                "s.initContainers[1].name: Duplicate value: \"a\"",
                "s.ephemeralContainers[0].ports[0].containerPort: Required value",
                "s.ephemeralContainers[0].ports[0].protocol: Required value",
                "s.ephemeralContainers[0].targetContainerName: Not found: \"z\"",
                "s.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
            ]
        );
    }
}
