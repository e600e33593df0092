//! Endpoints: addresses and ports by subset (k8s.io/kubernetes `pkg/apis/core/validation`, `ValidateEndpoints`).

use crate::registry::kinds::read::{list, needed_label, number, subdomain, text, wrong};
use crate::registry::kinds::small::endpoint_ip;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{
    is_dns1123_label, is_port_number, is_qualified_name, parse_ip_sloppy, validate_ip_legacy,
};
use serde_json::Value;

pub fn check(subsets: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, subset) in subsets.iter().enumerate() {
        let at = path.index(index);
        let groups = ["addresses", "notReadyAddresses"];
        if groups.iter().all(|group| list(subset, group).is_empty()) {
            errors.push(FieldError::required(&at, "must specify `addresses` or `notReadyAddresses`"));
        }
        for group in groups {
            for (index, entry) in list(subset, group).iter().enumerate() {
                address(entry, &at.child(group).index(index), &mut errors);
            }
        }
        let ports = list(subset, "ports");
        for (index, entry) in ports.iter().enumerate() {
            port(entry, ports.len() > 1, &at.child("ports").index(index), &mut errors);
        }
    }
    errors
}

fn address(address: &Value, path: &Path, errors: &mut ErrorList) {
    let (ip, at) = (text(address, "ip"), path.child("ip"));
    errors.extend(validate_ip_legacy(&at, ip, true, &[]));
    let name = text(address, "hostname");
    if !name.is_empty() {
        wrong(&path.child("hostname"), name, is_dns1123_label(name), errors);
    }
    if let Some(node) = address["nodeName"].as_str() {
        wrong(&path.child("nodeName"), node, subdomain(node), errors);
    }
    if parse_ip_sloppy(ip).is_none() {
        errors.push(FieldError::invalid(&at, ip, "must be a valid IP address"));
    }
    endpoint_ip(ip, &at, errors);
}

fn port(port: &Value, named: bool, path: &Path, errors: &mut ErrorList) {
    let name = text(port, "name");
    if named || !name.is_empty() {
        needed_label(&path.child("name"), name, errors);
    }
    let number = number(port, "port");
    let found = is_port_number(number).into_iter();
    errors.extend(found.map(|why| FieldError::invalid(&path.child("port"), number, why)));
    let protocols = ["SCTP", "TCP", "UDP"];
    let protocol = text(port, "protocol");
    if protocol.is_empty() {
        errors.push(FieldError::required(&path.child("protocol"), ""));
    } else if !protocols.contains(&protocol) {
        errors.push(FieldError::not_supported(&path.child("protocol"), protocol, &protocols));
    }
    if let Some(name) = port["appProtocol"].as_str() {
        wrong(&path.child("appProtocol"), name, is_qualified_name(name), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_and_ports() {
        let texts =
            |subset: Value| check(&[subset], &Path::new("s")).iter().map(ToString::to_string).collect::<Vec<_>>();
        let port = json!({"port": 80, "protocol": "TCP"});
        assert!(texts(json!({"addresses": [{"ip": "10.0.0.1"}], "ports": [port]})).is_empty());
        assert_eq!(texts(json!({})), ["s[0]: Required value: must specify `addresses` or `notReadyAddresses`"]);
        assert_eq!(texts(json!({"addresses": [{"ip": "x"}]})).len(), 2);
        assert_eq!(
            texts(json!({"addresses": [{"ip": "10.0.0.1"}], "ports": [{"protocol": "TCP"}]})),
            ["s[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"]
        );
    }
}
