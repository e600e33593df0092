//! Services (k8s.io/kubernetes `pkg/apis/core/v1/defaults.go`, `pkg/registry/core/service/strategy.go`).

pub mod addresses;
pub mod rules;

use super::fill::{self, absent, empty, items, made, text};
use crate::registry::strategy::{NameRule, Strategy};
use addresses::checked;
use addresses::on_nodes;
use apimachinery::Object;
use apimachinery::field::{ErrorList, Path};
use serde_json::{Value, json};

pub struct Service;

fn spec(object: &Object) -> &Value {
    object.as_map().get("spec").unwrap_or(&Value::Null)
}

impl Strategy for Service {
    fn name_rule(&self) -> NameRule {
        NameRule::DnsLabel
    }

    fn allows_create_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Object) {
        let Some(spec) = made(object.as_map_mut(), "spec") else { return };
        empty(spec, "sessionAffinity", "None");
        empty(spec, "type", "ClusterIP");
        if text(spec, "sessionAffinity") == "None" {
            spec.remove("sessionAffinityConfig");
        } else if text(spec, "sessionAffinity") == "ClientIP"
            && let Some(client) = made(spec, "sessionAffinityConfig").and_then(|c| made(c, "clientIP"))
        {
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
            absent(spec, "internalTrafficPolicy", "Cluster");
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
        addresses::follow_create(object);
        hide_policy(object);
    }

    fn prepare_update(&self, new: &mut Object, old: &Object) {
        addresses::follow_update(new, old);
        drop_type_dependent(new, old);
        hide_policy(new);
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        validate(object, None)
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        validate(new, Some(old))
    }

    fn validate_status_update(&self, new: &Object, _: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        let status = new.as_map().get("status").unwrap_or(&Value::Null);
        rules::status(spec(new), status, &mut errors);
        errors
    }

    fn warnings(&self, new: &Object, _: Option<&Object>) -> Vec<String> {
        rules::warnings(spec(new))
    }

    fn selectable_fields(&self) -> &'static [(&'static str, &'static str)] {
        &[("spec.clusterIP", "spec.clusterIP"), ("spec.type", "spec.type")]
    }
}

/// Names of elsewhere have no traffic within the cluster; upstream hides the policy that they once got by default.
fn hide_policy(object: &mut Object) {
    let of = spec(object);
    if of["type"] == "ExternalName"
        && (of["internalTrafficPolicy"] == "Cluster" || of["internalTrafficPolicy"] == "Local")
    {
        object.remove_at(&["spec", "internalTrafficPolicy"]);
    }
}

/// Fields that only some types have go away with the type, unless the client changes them too (`dropTypeDependentFields`).
fn drop_type_dependent(new: &mut Object, old: &Object) {
    let before = spec(old);
    let same = |new: &Object, field: &str| spec(new)[field] == before[field];
    let drop = |new: &mut Object, field: &str| {
        if same(new, field) {
            new.remove_at(&["spec", field]);
        }
    };
    let (kind, was) = (spec(new)["type"].clone(), &before["type"]);
    if *was != "ExternalName" && kind == "ExternalName" {
        if same(new, "clusterIPs") && same(new, "clusterIP") {
            new.remove_at(&["spec", "clusterIP"]);
            new.remove_at(&["spec", "clusterIPs"]);
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            drop(new, field);
        }
    }
    if on_nodes(before) && !on_nodes(spec(new)) {
        let numbers = |spec: &Value| -> Vec<Value> {
            let ports = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
            ports.iter().map(|port| port["nodePort"].clone()).filter(|n| !n.is_null()).collect()
        };
        let held = numbers(before);
        if numbers(spec(new)).iter().all(|number| held.contains(number))
            && let Some(spec) = made(new.as_map_mut(), "spec")
        {
            for port in items(spec, "ports") {
                port.remove("nodePort");
            }
        }
    }
    if checked(before) && !checked(spec(new)) {
        drop(new, "healthCheckNodePort");
    }
    if *was == "LoadBalancer" && kind != "LoadBalancer" {
        drop(new, "allocateLoadBalancerNodePorts");
        drop(new, "loadBalancerClass");
    }
    if rules::reached(before) && !rules::reached(spec(new)) {
        drop(new, "externalTrafficPolicy");
    }
    if kind != "LoadBalancer" {
        new.set_at(&["status", "loadBalancer"], json!({}));
    }
}

fn validate(object: &Object, old: Option<&Object>) -> ErrorList {
    let path = Path::new("spec");
    let (spec, old) = (spec(object), old.map(spec));
    // Upstream looks at the addresses before it allocates any, and at the rest only when they will do.
    let mut errors = addresses::check(spec, old, &path);
    if !errors.is_empty() {
        return errors;
    }
    if let Some(old) = old {
        errors.extend(addresses::check_change(spec, old, &path));
    }
    if let Some(annotations) = object.at(&["metadata", "annotations"]).and_then(Value::as_object) {
        rules::annotations(annotations, spec, &mut errors);
    }
    rules::check(spec, old, &path, &mut errors);
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
        assert!(validate(&object, None).is_empty());
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
