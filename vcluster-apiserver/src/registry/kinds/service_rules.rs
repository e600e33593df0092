//! What a service must be beyond its ports and its type, and what it warns about (k8s.io/kubernetes `pkg/apis/core/validation`,
//! `pkg/api/service`). Addresses and ports that the server allocates are judged by the allocation.

use super::read::{list, number, text, wrong};
use super::rules::{self, Check, Rule};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{
    is_dns1123_subdomain, is_qualified_name, parse_ip_sloppy, validate_cidr_legacy, validate_ip_legacy,
};
use serde_json::Value;

const RULES: &[Rule] = &[
    ("selector", Check::Labels),
    ("sessionAffinity", Check::NeededOneOf(&["ClientIP", "None"])),
    ("externalIPs[]", Check::By(address)),
    ("internalTrafficPolicy", Check::OneOf(&["Cluster", "Local"])),
    ("ipFamilies[]", Check::OneOf(&["IPv4", "IPv6"])),
    ("ipFamilyPolicy", Check::OneOf(&["PreferDualStack", "RequireDualStack", "SingleStack"])),
    ("trafficDistribution", Check::By(distribution)),
    ("ports[].appProtocol", Check::By(protocol)),
    ("loadBalancerClass", Check::By(qualified)),
    ("sessionAffinityConfig.clientIP.timeoutSeconds", Check::By(timeout)),
];

fn address(value: &Value, path: &Path, errors: &mut ErrorList) {
    errors.extend(validate_ip_legacy(path, value.as_str().unwrap_or_default(), true, &[]));
}

fn distribution(value: &Value, path: &Path, errors: &mut ErrorList) {
    const KNOWN: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    if let Some(choice) = value.as_str().filter(|choice| !KNOWN.contains(choice)) {
        errors.push(FieldError::not_supported(path, choice, &KNOWN));
    }
}

fn protocol(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(name) = value.as_str() {
        wrong(path, name, is_qualified_name(name), errors);
    }
}

fn qualified(value: &Value, path: &Path, errors: &mut ErrorList) {
    protocol(value, path, errors);
}

fn timeout(value: &Value, path: &Path, errors: &mut ErrorList) {
    const DAY: i64 = 86400;
    if let Some(seconds) = value.as_i64().filter(|seconds| !(1..=DAY).contains(seconds)) {
        errors.push(FieldError::invalid(path, seconds, format!("must be between 0 and {DAY}")));
    }
}

/// Everything but type, external name and ports.
pub fn check(spec: &Value, path: &Path, errors: &mut ErrorList) {
    errors.extend(rules::check(spec, path, RULES));
    let kind = text(spec, "type");
    let set = |field: &str| !matches!(&spec[field], Value::Null) && spec[field] != "";
    if kind != "LoadBalancer" {
        for field in ["loadBalancerClass", "allocateLoadBalancerNodePorts"] {
            if set(field) {
                errors
                    .push(FieldError::forbidden(&path.child(field), "may only be used when `type` is 'LoadBalancer'"));
            }
        }
    }
    // Upstream writes this path with a capital.
    let ranges = path.child("LoadBalancerSourceRanges");
    if !list(spec, "loadBalancerSourceRanges").is_empty() {
        if kind != "LoadBalancer" {
            errors.push(FieldError::forbidden(&ranges, "may only be used when `type` is 'LoadBalancer'"));
        }
        for (index, range) in list(spec, "loadBalancerSourceRanges").iter().filter_map(Value::as_str).enumerate() {
            errors.extend(validate_cidr_legacy(&ranges.index(index), range.trim(), true, &[]));
        }
    }
    for (index, port) in list(spec, "ports").iter().enumerate() {
        let node_port = number(port, "nodePort");
        if node_port != 0 && (kind == "ClusterIP" || kind == "ExternalName") {
            let at = path.child("ports").index(index).child("nodePort");
            errors.push(FieldError::forbidden(&at, format!("may not be used when `type` is '{kind}'")));
        }
    }
    if kind == "ExternalName" {
        for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if set(field) && spec[field] != serde_json::json!([]) {
                errors.push(FieldError::forbidden(&path.child(field), "may not be set for ExternalName services"));
            }
        }
    }
    traffic(spec, kind, path, errors);
}

fn traffic(spec: &Value, kind: &str, path: &Path, errors: &mut ErrorList) {
    let outside =
        matches!(kind, "LoadBalancer" | "NodePort") || (kind == "ClusterIP" && !list(spec, "externalIPs").is_empty());
    let (policy, at) = (text(spec, "externalTrafficPolicy"), path.child("externalTrafficPolicy"));
    if !outside {
        if !policy.is_empty() {
            errors.push(FieldError::invalid(&at, policy, "may only be set for externally-accessible services"));
        }
    } else if policy.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if !["Cluster", "Local"].contains(&policy) {
        errors.push(FieldError::not_supported(&at, policy, &["Cluster", "Local"]));
    }
    let checked = kind == "LoadBalancer" && policy == "Local";
    let port = number(spec, "healthCheckNodePort");
    if !checked && port != 0 {
        let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(FieldError::invalid(&path.child("healthCheckNodePort"), port, why));
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
    let headless = kind != "ExternalName" && spec["clusterIP"] == "None";
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
    use serde_json::json;

    #[test]
    fn fields_of_other_types_are_refused() {
        let texts = |spec: Value| {
            let mut errors = ErrorList::new();
            check(&spec, &Path::new("spec"), &mut errors);
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(texts(json!({"type": "ClusterIP", "sessionAffinity": "None"})).is_empty());
        let inside = json!({"type": "ClusterIP", "sessionAffinity": "None", "loadBalancerClass": "a/b",
            "externalTrafficPolicy": "Local", "ports": [{"nodePort": 30001}]});
        assert_eq!(
            texts(inside),
            [
                "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
                "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
                "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
            ]
        );
    }
}
