//! What a service must be beyond its ports and its type, and what it warns about (k8s.io/kubernetes `pkg/apis/core/validation`,
//! `pkg/api/service`). Addresses and ports that the server allocates are judged by the allocation.

use super::addresses::{checked, headless, on_nodes};
use crate::registry::kinds::pod::container_rules::port_or_name;
use crate::registry::kinds::read::{list, number, one_of, text, wrong};
use crate::registry::kinds::rules::{self, Check, Rule};
use crate::registry::kinds::small::endpoint_ip;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{
    is_dns1123_label, is_dns1123_subdomain, is_port_number, is_qualified_name, parse_ip_sloppy, validate_cidr_legacy,
    validate_ip_legacy,
};
use serde_json::{Map, Value, json};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const BALANCED_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";

const RULES: &[Rule] = &[
    ("selector", Check::Labels),
    ("sessionAffinity", Check::NeededOneOf(&["ClientIP", "None"])),
    ("type", Check::NeededOneOf(&TYPES)),
    ("internalTrafficPolicy", Check::By(inside)),
    ("trafficDistribution", Check::By(distribution)),
    ("ports[].appProtocol", Check::By(qualified)),
    ("sessionAffinityConfig.clientIP.timeoutSeconds", Check::By(timeout)),
];

fn inside(value: &Value, path: &Path, errors: &mut ErrorList) {
    one_of(path, value, &["Cluster", "Local"], errors);
}

fn distribution(value: &Value, path: &Path, errors: &mut ErrorList) {
    const KNOWN: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    if let Some(choice) = value.as_str().filter(|choice| !KNOWN.contains(choice)) {
        errors.push(FieldError::not_supported(path, choice, &KNOWN));
    }
}

fn qualified(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(name) = value.as_str() {
        wrong(path, name, is_qualified_name(name), errors);
    }
}

fn timeout(value: &Value, path: &Path, errors: &mut ErrorList) {
    const DAY: i64 = 86400;
    if let Some(seconds) = value.as_i64().filter(|seconds| !(1..=DAY).contains(seconds)) {
        errors.push(FieldError::invalid(path, seconds, format!("must be greater than 0 and less than {DAY}")));
    }
}

/// Everything but the addresses of the service itself.
pub fn check(spec: &Value, old: Option<&Value>, path: &Path, errors: &mut ErrorList) {
    let kind = text(spec, "type");
    let all = list(spec, "ports");
    if all.is_empty() && !headless(spec) && kind != "ExternalName" {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    if on_nodes(spec) && headless(spec) {
        let why = format!("may not be set to 'None' for {kind} services");
        errors.push(FieldError::invalid(&path.child("clusterIPs").index(0), "None", why));
    }
    if kind == "ExternalName" {
        outer_name(spec, path, errors);
    }
    ports(all, kind, &path.child("ports"), errors);
    errors.extend(rules::check(spec, path, RULES));
    for (index, address) in list(spec, "externalIPs").iter().filter_map(Value::as_str).enumerate() {
        let at = path.child("externalIPs").index(index);
        let before: Vec<&str> =
            old.map(|old| list(old, "externalIPs")).unwrap_or_default().iter().filter_map(Value::as_str).collect();
        let found = validate_ip_legacy(&at, address, true, &before);
        if found.is_empty() {
            endpoint_ip(address, &at, errors);
        }
        errors.extend(found);
    }
    balancer(spec, old, path, errors);
    traffic(spec, old, kind, path, errors);
}

fn outer_name(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let why = "may not be set for ExternalName services";
    for field in ["clusterIPs", "ipFamilies"] {
        if !list(spec, field).is_empty() {
            errors.push(FieldError::forbidden(&path.child(field), why));
        }
    }
    if !spec["ipFamilyPolicy"].is_null() {
        errors.push(FieldError::forbidden(&path.child("ipFamilyPolicy"), why));
    }
    let (name, at) = (text(spec, "externalName"), path.child("externalName"));
    // One dot at the end says that the name is complete.
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        wrong(&at, name, is_dns1123_subdomain(name), errors);
    }
}

fn ports(ports: &[Value], kind: &str, path: &Path, errors: &mut ErrorList) {
    const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
    for (index, port) in ports.iter().enumerate() {
        let at = path.index(index);
        let earlier = ports.get(..index).unwrap_or_default();
        let name = text(port, "name");
        if !name.is_empty() {
            wrong(&at.child("name"), name, is_dns1123_label(name), errors);
            if earlier.iter().any(|other| text(other, "name") == name) {
                errors.push(FieldError::duplicate(&at.child("name"), name));
            }
        } else if ports.len() > 1 {
            errors.push(FieldError::required(&at.child("name"), ""));
        }
        let (value, protocol, node) = (number(port, "port"), text(port, "protocol"), number(port, "nodePort"));
        let found = is_port_number(value).into_iter();
        errors.extend(found.map(|why| FieldError::invalid(&at.child("port"), value, why)));
        if protocol.is_empty() {
            errors.push(FieldError::required(&at.child("protocol"), ""));
        } else if !PROTOCOLS.contains(&protocol) {
            errors.push(FieldError::not_supported(&at.child("protocol"), protocol, &PROTOCOLS));
        }
        port_or_name(&port["targetPort"], &at.child("targetPort"), errors);
        let alike = |field: &str| {
            let same = |other: &&Value| other[field] == port[field] && text(other, "protocol") == protocol;
            earlier.iter().find(same).is_some()
        };
        if node != 0 && kind == "ClusterIP" {
            let why = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(&at.child("nodePort"), why));
        }
        if node != 0 && alike("nodePort") {
            errors.push(FieldError::duplicate(&at.child("nodePort"), node));
        }
        if alike("port") {
            errors.push(FieldError::duplicate(&at, json!({"port": value, "protocol": protocol})));
        }
    }
}

/// What only balanced services have.
fn balancer(spec: &Value, old: Option<&Value>, path: &Path, errors: &mut ErrorList) {
    let balanced = text(spec, "type") == "LoadBalancer";
    // Upstream writes this path with a capital.
    let ranges = path.child("LoadBalancerSourceRanges");
    if !list(spec, "loadBalancerSourceRanges").is_empty() {
        if !balanced {
            errors.push(FieldError::forbidden(&ranges, BALANCED_ONLY));
        }
        for (index, range) in list(spec, "loadBalancerSourceRanges").iter().filter_map(Value::as_str).enumerate() {
            let known: Vec<&str> = old
                .map(|old| list(old, "loadBalancerSourceRanges"))
                .unwrap_or_default()
                .iter()
                .filter_map(|range| range.as_str().map(str::trim))
                .collect();
            errors.extend(validate_cidr_legacy(&ranges.index(index), range.trim(), true, &known));
        }
    }
    if !balanced && !spec["allocateLoadBalancerNodePorts"].is_null() {
        errors.push(FieldError::forbidden(&path.child("allocateLoadBalancerNodePorts"), BALANCED_ONLY));
    }
    let (class, at) = (&spec["loadBalancerClass"], path.child("loadBalancerClass"));
    if !balanced {
        if !class.is_null() {
            errors.push(FieldError::forbidden(&at, BALANCED_ONLY));
        }
        return;
    }
    if old.is_some_and(|old| text(old, "type") == "LoadBalancer" && old["loadBalancerClass"] != *class) {
        errors.push(FieldError::invalid(&at, class.clone(), "may not change once set"));
    }
    qualified(class, &at, errors);
}

/// Annotations that stand for fields.
pub fn annotations(annotations: &Map<String, Value>, spec: &Value, errors: &mut ErrorList) {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    const MODE: &str = "service.kubernetes.io/topology-mode";
    const RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
    let path = Path::new("metadata").child("annotations");
    if let (Some(hints), Some(mode)) = (annotations.get(HINTS), annotations.get(MODE))
        && hints != mode
    {
        let why = format!("must match annotations[{HINTS}] when both are specified");
        errors.push(FieldError::invalid(&path.key(MODE), mode.clone(), why));
    }
    if list(spec, "loadBalancerSourceRanges").is_empty()
        && let Some(ranges) = annotations.get(RANGES).and_then(Value::as_str)
    {
        if text(spec, "type") != "LoadBalancer" {
            errors.push(FieldError::forbidden(&path.key(RANGES), BALANCED_ONLY));
        }
        for range in ranges.split(',').map(str::trim).filter(|_| !ranges.trim().is_empty()) {
            errors.extend(validate_cidr_legacy(&path.key(RANGES), range, true, &[]));
        }
    }
}

/// Whether the service is reached from outside of the cluster.
pub fn reached(spec: &Value) -> bool {
    on_nodes(spec) || (text(spec, "type") == "ClusterIP" && !list(spec, "externalIPs").is_empty())
}

fn traffic(spec: &Value, old: Option<&Value>, kind: &str, path: &Path, errors: &mut ErrorList) {
    let (policy, at) = (text(spec, "externalTrafficPolicy"), path.child("externalTrafficPolicy"));
    if !reached(spec) {
        if !policy.is_empty() {
            errors.push(FieldError::invalid(&at, policy, "may only be set for externally-accessible services"));
        }
    } else if policy.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if !["Cluster", "Local"].contains(&policy) {
        errors.push(FieldError::not_supported(&at, policy, &["Cluster", "Local"]));
    }
    let (port, at) = (number(spec, "healthCheckNodePort"), path.child("healthCheckNodePort"));
    if checked(spec) {
        if old.is_some_and(|old| checked(old) && number(old, "healthCheckNodePort") != port) {
            errors.push(FieldError::forbidden(&at, "field is immutable"));
        }
        // One that is not there yet comes with the allocation.
        let found = is_port_number(port).into_iter().filter(|_| port != 0);
        errors.extend(found.map(|why| FieldError::invalid(&at, port, why)));
    } else if port != 0 {
        let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(FieldError::invalid(&at, port, why));
    }
    let internal = matches!(kind, "ClusterIP" | "LoadBalancer" | "NodePort");
    if internal && spec["internalTrafficPolicy"].is_null() {
        errors.push(FieldError::required(&path.child("internalTrafficPolicy"), ""));
    }
}

/// The status of a load balancer; only services of that type have one.
pub fn status(spec: &Value, status: &Value, errors: &mut ErrorList) {
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let ingress = list(&status["loadBalancer"], "ingress");
    if text(spec, "type") != "LoadBalancer" {
        if !ingress.is_empty() {
            errors.push(FieldError::forbidden(&path, "may only be used when `spec.type` is 'LoadBalancer'"));
        }
        return;
    }
    for (index, point) in ingress.iter().enumerate() {
        let at = path.index(index);
        let (ip, name) = (text(point, "ip"), text(point, "hostname"));
        if !ip.is_empty() {
            errors.extend(validate_ip_legacy(&at.child("ip"), ip, true, &[]));
        }
        match (point["ipMode"].as_str(), ip.is_empty()) {
            (None, false) => {
                errors.push(FieldError::required(&at.child("ipMode"), "must be specified when `ip` is set"));
            }
            (Some(_), true) => {
                errors.push(FieldError::forbidden(&at.child("ipMode"), "may not be specified when `ip` is not set"));
            }
            (Some(mode), false) if !["Proxy", "VIP"].contains(&mode) => {
                errors.push(FieldError::not_supported(&at.child("ipMode"), mode, &["Proxy", "VIP"]));
            }
            _ => {}
        }
        if !name.is_empty() {
            wrong(&at.child("hostname"), name, is_dns1123_subdomain(name), errors);
            if parse_ip_sloppy(name).is_some() {
                let why = "must be a DNS name, not an IP address";
                errors.push(FieldError::invalid(&at.child("hostname"), name, why));
            }
        }
    }
}

/// Fields that have no effect, or not for much longer.
pub fn warnings(spec: &Value) -> Vec<String> {
    let kind = text(spec, "type");
    let external = !list(spec, "externalIPs").is_empty();
    let headless = kind == "ClusterIP" && spec["clusterIP"] == "None";
    let mut warnings = Vec::new();
    if headless {
        if !text(spec, "loadBalancerIP").is_empty() {
            warnings.push("spec.loadBalancerIP is ignored for headless services".to_owned());
        }
        if external {
            warnings.push("spec.externalIPs is ignored for headless services".to_owned());
        }
        if text(spec, "sessionAffinity") != "None" {
            warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
        }
    }
    if external && !headless && kind != "ExternalName" {
        warnings.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned());
    }
    if kind == "ExternalName" && external {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if kind != "ExternalName" && !text(spec, "externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec["trafficDistribution"] == "PreferClose" {
        let text = "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"";
        warnings.push(text.to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::read::told;

    fn texts(spec: &Value, old: Option<&Value>) -> Vec<String> {
        told(|errors| check(spec, old, &Path::new("spec"), errors))
    }

    #[test]
    fn fields_of_other_types_are_refused() {
        let plain = json!({"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]});
        assert_eq!(texts(&plain, None), [""; 0]);
        let inside = json!({"type": "ClusterIP", "sessionAffinity": "None", "loadBalancerClass": "a/b",
            "internalTrafficPolicy": "Cluster", "externalTrafficPolicy": "Local",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": "http", "nodePort": 30001}]});
        assert_eq!(
            texts(&inside, None),
            [
                "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
                "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
                "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
            ]
        );
    }

    #[test]
    fn a_balancer_keeps_its_class_and_its_port() {
        let spec = |class: &str, port: i64| {
            json!({"type": "LoadBalancer", "sessionAffinity": "None", "loadBalancerClass": class,
                "internalTrafficPolicy": "Cluster", "externalTrafficPolicy": "Local", "healthCheckNodePort": port,
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]})
        };
        assert_eq!(texts(&spec("a/b", 30001), Some(&spec("a/b", 30001))), [""; 0]);
        assert_eq!(
            texts(&spec("a/c", 30002), Some(&spec("a/b", 30001))),
            [
                "spec.loadBalancerClass: Invalid value: \"a/c\": may not change once set",
                "spec.healthCheckNodePort: Forbidden: field is immutable",
            ]
        );
    }
}
