//! Services (k8s.io/kubernetes `pkg/apis/core/v1/defaults.go`, `pkg/registry/core/service/strategy.go`).

use super::fill::{absent, empty, items, made, text};
use super::{fill, service_rules};
use crate::registry::strategy::{NameRule, Strategy};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_dns1123_label, is_dns1123_subdomain};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub struct Service;

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

fn external(object: &Object) -> bool {
    object.at(&["spec", "type"]) == Some(&json!("ExternalName"))
}

impl Strategy for Service {
    fn name_rule(&self) -> NameRule {
        NameRule::Dns1035Label
    }

    fn default(&self, object: &mut Object) {
        let Some(spec) = made(object.as_map_mut(), "spec") else { return };
        empty(spec, "sessionAffinity", "None");
        empty(spec, "type", "ClusterIP");
        if text(spec, "sessionAffinity") == "None" {
            spec.remove("sessionAffinityConfig");
        } else if let Some(client) = made(spec, "sessionAffinityConfig").and_then(|c| made(c, "clientIP")) {
            absent(client, "timeoutSeconds", 10800);
        }
        let kind = text(spec, "type").to_owned();
        for port in items(spec, "ports") {
            empty(port, "protocol", "TCP");
            let unset = port.get("targetPort").is_none_or(|p| *p == json!(0) || *p == json!("") || p.is_null());
            if unset && let Some(number) = port.get("port").cloned() {
                port.insert("targetPort".into(), number);
            }
        }
        let balanced = kind == "LoadBalancer";
        let reached = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|addresses| !addresses.is_empty());
        if balanced || kind == "NodePort" || (kind == "ClusterIP" && reached) {
            empty(spec, "externalTrafficPolicy", "Cluster");
        }
        if kind != "ExternalName" {
            empty(spec, "internalTrafficPolicy", "Cluster");
        }
        if balanced {
            absent(spec, "allocateLoadBalancerNodePorts", true);
        }
        let balancer =
            fill::object(object.as_map_mut(), "status").and_then(|status| fill::object(status, "loadBalancer"));
        for point in balancer.into_iter().flat_map(|balancer| items(balancer, "ingress")) {
            if !text(point, "ip").is_empty() {
                absent(point, "ipMode", "VIP");
            }
        }
    }

    fn prepare_create(&self, object: &mut Object) {
        object.as_map_mut().insert("status".into(), json!({"loadBalancer": {}}));
    }

    fn prepare_update(&self, new: &mut Object, old: &Object) {
        // A client that leaves the allocated address out means to keep it.
        if !external(new) && !external(old) {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                let unset = new.at(&["spec", field]).is_none_or(|v| v.is_null() || *v == json!("") || *v == json!([]));
                if unset && let Some(value) = old.at(&["spec", field]) {
                    new.set_at(&["spec", field], value.clone());
                }
            }
            keep_node_ports(new, old);
        }
        drop_type_dependent(new, old);
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        validate(object)
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = validate(new);
        let ip = |o: &Object| o.at(&["spec", "clusterIP"]).and_then(Value::as_str).unwrap_or_default().to_owned();
        if !external(new) && !external(old) && !ip(old).is_empty() && ip(new) != ip(old) {
            let path = Path::new("spec").child("clusterIPs").index(0);
            errors.push(FieldError::invalid(&path, json!([ip(new)]), "may not change once set"));
        }
        errors
    }

    fn validate_status_update(&self, new: &Object, _: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        let part = |field: &str| new.as_map().get(field).unwrap_or(&Value::Null);
        service_rules::status(part("spec"), part("status"), &mut errors);
        errors
    }

    fn warnings(&self, new: &Object, _: Option<&Object>) -> Vec<String> {
        service_rules::warnings(new.as_map().get("spec").unwrap_or(&Value::Null))
    }

    fn selectable_fields(&self) -> &'static [(&'static str, &'static str)] {
        &[("spec.clusterIP", "spec.clusterIP"), ("spec.type", "spec.type")]
    }
}

/// Node ports that the client did not repeat, port by port.
fn keep_node_ports(new: &mut Object, old: &Object) {
    let needs =
        |o: &Object| matches!(o.at(&["spec", "type"]).and_then(Value::as_str), Some("NodePort" | "LoadBalancer"));
    if !needs(new) || !needs(old) {
        return;
    }
    let before = old.at(&["spec", "ports"]).and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(spec) = made(new.as_map_mut(), "spec") else { return };
    for port in items(spec, "ports") {
        let same =
            before.iter().find(|b| b.get("port") == port.get("port") && b.get("protocol") == port.get("protocol"));
        let unset = port.get("nodePort").and_then(Value::as_i64).unwrap_or(0) == 0;
        if unset && let Some(number) = same.and_then(|b| b.get("nodePort")) {
            port.insert("nodePort".into(), number.clone());
        }
    }
}

/// Fields that only some types have go away with the type, unless the client changes them too (`dropTypeDependentFields`).
fn drop_type_dependent(new: &mut Object, old: &Object) {
    let kind = |o: &Object| o.at(&["spec", "type"]).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (after, before) = (kind(new), kind(old));
    let same = |new: &Object, field: &str| new.at(&["spec", field]) == old.at(&["spec", field]);
    let drop = |new: &mut Object, field: &str| {
        if same(new, field) {
            new.remove_at(&["spec", field]);
        }
    };
    if before != "ExternalName" && after == "ExternalName" {
        if same(new, "clusterIPs") {
            new.remove_at(&["spec", "clusterIP"]);
        }
        for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            drop(new, field);
        }
    }
    let ported = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    if ported(&before) && !ported(&after) {
        let numbers = |o: &Object| -> Vec<Value> {
            let ports = o.at(&["spec", "ports"]).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            ports.iter().map(|port| port["nodePort"].clone()).filter(|n| !n.is_null()).collect()
        };
        let mut given = numbers(new);
        given.retain(|n| !numbers(old).contains(n));
        if given.is_empty()
            && let Some(spec) = made(new.as_map_mut(), "spec")
        {
            for port in items(spec, "ports") {
                port.remove("nodePort");
            }
        }
        drop(new, "externalTrafficPolicy");
    }
    let checked = |o: &Object, kind: &str| {
        kind == "LoadBalancer" && o.at(&["spec", "externalTrafficPolicy"]) == Some(&json!("Local"))
    };
    if checked(old, &before) && !checked(new, &after) {
        drop(new, "healthCheckNodePort");
    }
    if before == "LoadBalancer" && after != "LoadBalancer" {
        drop(new, "allocateLoadBalancerNodePorts");
        drop(new, "loadBalancerClass");
    }
    if after != "LoadBalancer" {
        new.set_at(&["status", "loadBalancer"], json!({}));
    }
}

fn validate(object: &Object) -> ErrorList {
    let path = Path::new("spec");
    let spec = object.as_map().get("spec").unwrap_or(&Value::Null);
    let kind = spec["type"].as_str().unwrap_or_default();
    let mut errors = ErrorList::new();
    if !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, &TYPES));
    }
    let ports = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let headless = spec["clusterIP"] == json!("None");
    if kind == "ExternalName" {
        let name = spec["externalName"].as_str().unwrap_or_default();
        if name.is_empty() {
            errors.push(FieldError::required(&path.child("externalName"), ""));
        } else {
            let wrong = is_dns1123_subdomain(name.trim_end_matches('.')).into_iter();
            errors.extend(wrong.map(|why| FieldError::invalid(&path.child("externalName"), name, why)));
        }
    } else if ports.is_empty() && !headless {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    service_rules::check(spec, &path, &mut errors);
    let mut names = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let at = path.child("ports").index(index);
        let name = port["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            if ports.len() > 1 {
                errors.push(FieldError::required(&at.child("name"), ""));
            }
        } else {
            errors.extend(
                is_dns1123_label(name).into_iter().map(|why| FieldError::invalid(&at.child("name"), name, why)),
            );
            if !names.insert(name) {
                errors.push(FieldError::duplicate(&at.child("name"), name));
            }
        }
        let number = port["port"].as_i64().unwrap_or(0);
        if !(1..=65535).contains(&number) {
            errors.push(FieldError::invalid(&at.child("port"), number, "must be between 1 and 65535, inclusive"));
        }
        let protocol = port["protocol"].as_str().unwrap_or_default();
        if !["SCTP", "TCP", "UDP"].contains(&protocol) {
            errors.push(FieldError::not_supported(&at.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]));
        }
        if !numbers.insert((number, protocol)) {
            errors.push(FieldError::duplicate(&at, json!({"port": number, "protocol": protocol})));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Value) -> Object {
        let mut object = Object::from_value(json!({"metadata": {"name": "s"}, "spec": spec})).unwrap();
        Service.default(&mut object);
        object
    }

    #[test]
    fn ports_and_policies_are_filled() {
        let object = service(json!({"ports": [{"port": 80}]}));
        assert_eq!(object.at(&["spec", "ports"]), Some(&json!([{"port": 80, "protocol": "TCP", "targetPort": 80}])));
        assert_eq!(object.at(&["spec", "internalTrafficPolicy"]), Some(&json!("Cluster")));
        assert!(validate(&object).is_empty());
    }

    #[test]
    fn an_update_keeps_what_was_allocated() {
        let old =
            service(json!({"type": "NodePort", "clusterIP": "10.0.0.1", "ports": [{"port": 80, "nodePort": 30001}]}));
        let mut new = service(json!({"type": "NodePort", "ports": [{"port": 80}]}));
        Service.prepare_update(&mut new, &old);
        assert_eq!(new.at(&["spec", "clusterIP"]), Some(&json!("10.0.0.1")));
        assert_eq!(new.at(&["spec", "ports"]).unwrap()[0]["nodePort"], 30001);
        let mut inner = service(json!({"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30001}]}));
        Service.prepare_update(&mut inner, &old);
        assert_eq!(inner.at(&["spec", "ports"]).unwrap()[0].get("nodePort"), None);
    }
}
