//! Services and what stands behind and before them.

use super::read::{Row, at, joined, labels, list, number, or, selector_or_none, shown, text, with_more};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn service(row: &Row) -> Vec<Value> {
    let address = row.list(&["spec", "clusterIPs"]).first().and_then(Value::as_str).unwrap_or("<none>");
    let ports: Vec<String> = row.list(&["spec", "ports"]).iter().map(port).collect();
    vec![
        row.name(),
        row.text(&["spec", "type"]).into(),
        address.into(),
        external(row).into(),
        or(&ports.join(","), "<none>").into(),
        row.age(),
        labels(row.at(&["spec", "selector"])).into(),
    ]
}

fn port(port: &Value) -> String {
    let (number_, node, protocol) = (number(port, &["port"]), number(port, &["nodePort"]), text(port, &["protocol"]));
    if node > 0 { format!("{number_}:{node}/{protocol}") } else { format!("{number_}/{protocol}") }
}

fn external(row: &Row) -> String {
    let own = joined(row.list(&["spec", "externalIPs"]).iter().filter_map(Value::as_str), ",");
    match row.text(&["spec", "type"]) {
        "ClusterIP" | "NodePort" => or(&own, "<none>").into(),
        "LoadBalancer" => {
            let given = load_balancer(row);
            let all: Vec<&str> = [given.as_str(), own.as_str()].into_iter().filter(|part| !part.is_empty()).collect();
            or(&all.join(","), "<pending>").into()
        }
        "ExternalName" => row.text(&["spec", "externalName"]).into(),
        _ => "<unknown>".into(),
    }
}

/// The addresses of a load balancer, sorted.
fn load_balancer(row: &Row) -> String {
    let ingress = row.list(&["status", "loadBalancer", "ingress"]).iter();
    let addresses: BTreeSet<&str> = ingress.map(|i| or(text(i, &["ip"]), text(i, &["hostname"]))).collect();
    joined(addresses.into_iter().filter(|address| !address.is_empty()), ",")
}

pub(super) fn endpoints(row: &Row) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in row.list(&["subsets"]) {
        let (ports, addresses) = (list(subset, &["ports"]), list(subset, &["addresses"]));
        if ports.is_empty() {
            all.extend(addresses.iter().map(|address| text(address, &["ip"]).to_owned()));
        }
        for port in ports {
            let port = number(port, &["port"]);
            all.extend(addresses.iter().map(|address| match text(address, &["ip"]) {
                ip if ip.contains(':') => format!("[{ip}]:{port}"),
                ip => format!("{ip}:{port}"),
            }));
        }
    }
    let shown = if row.count(&["subsets"]) == 0 {
        "<none>".into()
    } else if all.is_empty() {
        String::new()
    } else {
        with_more(&all, 3)
    };
    vec![row.name(), shown.into(), row.age()]
}

pub(super) fn endpoint_slice(row: &Row) -> Vec<Value> {
    let port = |port: &Value| shown(&port["port"]).or_else(|| shown(&port["name"])).unwrap_or_else(|| "*".into());
    let ports: Vec<String> = row.list(&["ports"]).iter().map(port).collect();
    let endpoints = row.list(&["endpoints"]).iter().flat_map(|endpoint| list(endpoint, &["addresses"]));
    let addresses: Vec<String> = endpoints.filter_map(Value::as_str).map(str::to_owned).collect();
    vec![
        row.name(),
        row.text(&["addressType"]).into(),
        with_more(&ports, 3).into(),
        with_more(&addresses, 3).into(),
        row.age(),
    ]
}

pub(super) fn ingress(row: &Row) -> Vec<Value> {
    let rules = row.list(&["spec", "rules"]);
    let hosts: Vec<&str> = rules.iter().map(|rule| text(rule, &["host"])).filter(|host| !host.is_empty()).collect();
    let shown = match hosts.len() {
        0 => "*".into(),
        1..=3 if rules.len() <= 3 || hosts.len() < 3 => hosts.join(","),
        _ => format!("{} + {} more...", hosts[..3].join(","), rules.len() - 3),
    };
    vec![
        row.name(),
        row.at(&["spec", "ingressClassName"]).as_str().unwrap_or("<none>").into(),
        shown.into(),
        load_balancer(row).into(),
        if row.count(&["spec", "tls"]) > 0 { "80, 443" } else { "80" }.into(),
        row.age(),
    ]
}

pub(super) fn ingress_class(row: &Row) -> Vec<Value> {
    let annotation = &row.at(&["metadata", "annotations"])["ingressclass.kubernetes.io/is-default-class"];
    let name = row.text(&["metadata", "name"]);
    let name = if *annotation == "true" { format!("{name} (default)") } else { name.into() };
    let parameters = row.at(&["spec", "parameters"]);
    let shown = if parameters.is_null() {
        "<none>".into()
    } else {
        let group = at(parameters, &["apiGroup"]).as_str().map_or(String::new(), |group| format!(".{group}"));
        format!("{}{group}/{}", text(parameters, &["kind"]), text(parameters, &["name"]))
    };
    vec![name.into(), row.text(&["spec", "controller"]).into(), shown.into(), row.age()]
}

pub(super) fn network_policy(row: &Row) -> Vec<Value> {
    vec![row.name(), selector_or_none(row.at(&["spec", "podSelector"])), row.age()]
}

pub(super) fn service_cidr(row: &Row) -> Vec<Value> {
    let ranges = joined(row.list(&["spec", "cidrs"]).iter().filter_map(Value::as_str), ",");
    vec![row.name(), ranges.into(), row.age()]
}

/// The age has no column: upstream adds it all the same, and clients skip it.
pub(super) fn ip_address(row: &Row) -> Vec<Value> {
    let parent = row.at(&["spec", "parentRef"]);
    if parent.is_null() {
        return vec![row.name(), "<none>".into(), row.age()];
    }
    let (resource, group) = (text(parent, &["resource"]), text(parent, &["group"]));
    let mut shown =
        if group.is_empty() { resource.to_lowercase() } else { format!("{resource}.{group}").to_lowercase() };
    for part in ["namespace", "name"] {
        let part = text(parent, &[part]);
        if !part.is_empty() {
            shown = format!("{shown}/{part}");
        }
    }
    vec![row.name(), shown.into(), row.age()]
}
