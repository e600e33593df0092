//! Network policies (k8s.io/kubernetes `pkg/apis/networking/{v1/defaults.go,validation}`).

use crate::registry::kinds::fill::{absent, items, made};
use crate::registry::kinds::read::{list, part, text, wrong};
use crate::registry::kinds::ruled::Ruled;
use crate::registry::kinds::rules::{Check, label_selector};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::ip::mask;
use apimachinery::validation::{is_port_name, is_port_number, parse_cidr_sloppy, validate_cidr_legacy};
use serde_json::{Map, Value, json};

pub const POLICY: Ruled = Ruled {
    defaults,
    rules: &[
        ("spec.podSelector", Check::Selector),
        ("spec.ingress[].ports[]", Check::By(port)),
        ("spec.ingress[].from[]", Check::By(peer)),
        ("spec.egress[].ports[]", Check::By(port)),
        ("spec.egress[].to[]", Check::By(peer)),
    ],
    more: |object, errors| {
        let types = list(part(object, "spec"), "policyTypes");
        let path = Path::new("spec").child("policyTypes");
        if types.len() > 2 {
            let why = "may not specify more than two policyTypes";
            errors.push(FieldError::invalid(&path, types.to_vec(), why));
            return;
        }
        for (index, kind) in types.iter().filter_map(Value::as_str).enumerate() {
            if !matches!(kind, "Ingress" | "Egress") {
                errors.push(FieldError::not_supported(&path.index(index), kind, &["Ingress", "Egress"]));
            }
        }
    },
    generation: true,
    counts_empties: true,
    ..Ruled::PLAIN
};

fn defaults(object: &mut Map<String, Value>) {
    let Some(spec) = made(object, "spec") else { return };
    for direction in ["ingress", "egress"] {
        for rule in items(spec, direction) {
            for port in items(rule, "ports") {
                absent(port, "protocol", "TCP");
            }
        }
    }
    if spec.get("policyTypes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let outgoing = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
        let types = if outgoing { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        spec.insert("policyTypes".into(), types);
    }
}

fn port(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(protocol) = value["protocol"].as_str().filter(|p| !matches!(*p, "TCP" | "UDP" | "SCTP")) {
        errors.push(FieldError::not_supported(&path.child("protocol"), protocol, &["TCP", "UDP", "SCTP"]));
    }
    let (at, end_at) = (path.child("port"), path.child("endPort"));
    let end = value["endPort"].as_i64();
    match (&value["port"], end) {
        (Value::Number(number), end) => {
            let number = number.as_i64().unwrap_or(0);
            errors.extend(is_port_number(number).into_iter().map(|why| FieldError::invalid(&at, number, why)));
            if let Some(end) = end {
                if end < number {
                    errors.push(FieldError::invalid(&end_at, end, "must be greater than or equal to `port`"));
                }
                errors.extend(is_port_number(end).into_iter().map(|why| FieldError::invalid(&end_at, end, why)));
            }
        }
        (Value::String(name), end) => {
            if let Some(end) = end {
                errors.push(FieldError::invalid(&end_at, end, "may not be specified when `port` is non-numeric"));
            }
            wrong(&at, name, is_port_name(name), errors);
        }
        (_, Some(end)) => {
            errors.push(FieldError::invalid(&end_at, end, "may not be specified when `port` is not specified"));
        }
        _ => {}
    }
}

fn peer(value: &Value, path: &Path, errors: &mut ErrorList) {
    let mut peers = 0;
    for field in ["podSelector", "namespaceSelector"] {
        if value[field].is_object() {
            peers += 1;
            label_selector(&value[field], &path.child(field), errors);
        }
    }
    let block = value["ipBlock"].is_object();
    if block {
        ip_block(&value["ipBlock"], &path.child("ipBlock"), errors);
    }
    if peers == 0 && !block {
        errors.push(FieldError::required(path, "must specify a peer"));
    } else if peers > 0 && block {
        errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer"));
    }
}

fn ip_block(block: &Value, path: &Path, errors: &mut ErrorList) {
    let (cidr, at) = (text(block, "cidr"), path.child("cidr"));
    if cidr.is_empty() {
        errors.push(FieldError::required(&at, ""));
        return;
    }
    errors.extend(validate_cidr_legacy(&at, cidr, true, &[]));
    let Some((network, length)) = parse_cidr_sloppy(cidr) else { return };
    for (index, except) in list(block, "except").iter().filter_map(Value::as_str).enumerate() {
        let at = path.child("except").index(index);
        errors.extend(validate_cidr_legacy(&at, except, true, &[]));
        let Some((inner, inner_length)) = parse_cidr_sloppy(except) else { continue };
        let same = network.is_ipv4() == inner.is_ipv4() && mask(inner, length) == mask(network, length);
        if !same || length >= inner_length {
            errors.push(FieldError::invalid(&at, except, "must be a strict subset of `cidr`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::strategy::Strategy as _;

    #[test]
    fn peers_ports_and_blocks() {
        let from = |peer: Value, port: Value| {
            let policy = json!({"spec": {"ingress": [{"from": [peer], "ports": [port]}]}});
            let mut object = apimachinery::Object::from_value(policy).unwrap();
            POLICY.default(&mut object);
            POLICY.validate_create(&object).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        let pods = || json!({"podSelector": {}});
        assert_eq!(from(pods(), json!({"port": 80, "endPort": 90})), "");
        assert_eq!(from(json!({}), json!({})), "spec.ingress[0].from[0]: Required value: must specify a peer");
        assert!(from(pods(), json!({"endPort": 1})).ends_with("may not be specified when `port` is not specified"));
        let block = json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8", "10.1.0.0/16"]}});
        assert_eq!(
            from(block, json!({})),
            "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`"
        );
    }
}
