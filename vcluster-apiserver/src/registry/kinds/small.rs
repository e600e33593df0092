//! Kinds whose whole behaviour is a short table: slices of endpoints, devices, flow control, templates, revisions, migrations
//! (k8s.io/kubernetes `pkg/apis/*/v1/defaults.go` and `validation`).

use super::fill::{absent, items, made};
use super::read::{list, part, text, wrong};
use super::ruled::{METADATA, Ruled};
use super::rules::{self, Check};
use crate::registry::kinds::pod::{dropped, spec as pod_spec, validation as pod_validation, warnings as pod_warnings};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{
    is_dns1035_label, is_dns1123_label, is_dns1123_subdomain, is_fully_qualified_domain_name, is_label_value,
    is_qualified_name, parse_cidr_sloppy, parse_ip_sloppy, validate_cidr, validate_ip, validate_ip_legacy,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

type Tree = Map<String, Value>;

pub const ENDPOINT_SLICE: Ruled = Ruled {
    defaults: |slice| {
        for port in items(slice, "ports") {
            absent(port, "name", "");
            absent(port, "protocol", "TCP");
        }
    },
    rules: &[
        ("addressType", Check::NeededOneOf(&["FQDN", "IPv4", "IPv6"])),
        ("ports[].name", Check::Text(is_dns1123_label)),
        ("ports[].protocol", Check::OneOf(&["SCTP", "TCP", "UDP"])),
        ("ports[].appProtocol", Check::By(qualified)),
        ("endpoints[].addresses", Check::Needed("")),
        ("endpoints[].nodeName", Check::By(node)),
        ("endpoints[].hostname", Check::By(hostname)),
        ("endpoints[].deprecatedTopology", Check::Labels),
        ("endpoints[].hints.forZones[].name", Check::By(zone)),
        ("endpoints[].hints.forNodes[].name", Check::By(node)),
    ],
    more: |slice, errors| {
        addresses(slice, errors);
        for (index, endpoint) in part(slice, "endpoints").as_array().into_iter().flatten().enumerate() {
            let at = Path::new("endpoints").index(index).child("hints").child("forZones");
            let zones = list(&endpoint["hints"], "forZones");
            for (index, zone) in zones.iter().enumerate().filter(|(index, zone)| zones[..*index].contains(zone)) {
                errors.push(FieldError::duplicate(&at.index(index).child("name"), text(zone, "name")));
            }
        }
        let mut names = BTreeSet::new();
        for (index, port) in part(slice, "ports").as_array().into_iter().flatten().enumerate() {
            if !names.insert(text(port, "name")) {
                let at = Path::new("ports").index(index).child("name");
                errors.push(FieldError::duplicate(&at, text(port, "name")));
            }
        }
    },
    // This version has a field for what the old topology said.
    forget: |slice| {
        for endpoint in items(slice, "endpoints") {
            endpoint.remove("deprecatedTopology");
        }
    },
    sealed: &["addressType"],
    warnings: |slice, _| {
        let fqdn = part(slice, "addressType") == "FQDN";
        // The path is upstream's; there is no spec.
        if fqdn { vec!["spec.addressType: FQDN endpoints are deprecated".to_owned()] } else { Vec::new() }
    },
    generation: true,
    counted: &["labels"],
    ..Ruled::PLAIN
};

fn qualified(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(name) = value.as_str() {
        wrong(path, name, is_qualified_name(name), errors);
    }
}

fn node(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(name) = value.as_str() {
        wrong(path, name, super::read::subdomain(name), errors);
    }
}

fn hostname(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(name) = value.as_str() {
        wrong(path, name, is_dns1123_label(name), errors);
    }
}

fn zone(value: &Value, path: &Path, errors: &mut ErrorList) {
    let name = value.as_str().unwrap_or_default();
    wrong(path, name, is_label_value(name), errors);
}

fn addresses(slice: &Tree, errors: &mut ErrorList) {
    let kind = part(slice, "addressType").as_str().unwrap_or_default();
    for (index, endpoint) in part(slice, "endpoints").as_array().into_iter().flatten().enumerate() {
        let path = Path::new("endpoints").index(index).child("addresses");
        for (index, address) in list(endpoint, "addresses").iter().filter_map(Value::as_str).enumerate() {
            let at = path.index(index);
            let found = match kind {
                "IPv4" => validate_ip_legacy(&at, address, true, &[]),
                "IPv6" => validate_ip(&at, address),
                "FQDN" => {
                    errors.extend(is_fully_qualified_domain_name(&at, address));
                    continue;
                }
                _ => continue,
            };
            let fine = found.is_empty();
            errors.extend(found);
            let Some(ip) = parse_ip_sloppy(address).filter(|_| fine) else { continue };
            if ip.is_ipv4() != (kind == "IPv4") {
                errors.push(FieldError::invalid(&path, address, format!("must be an {kind} address")));
            }
            endpoint_ip(address, &at, errors);
        }
    }
}

/// Addresses that no endpoint may have (`ValidateEndpointIP`).
pub fn endpoint_ip(address: &str, path: &Path, errors: &mut ErrorList) {
    let Some(ip) = parse_ip_sloppy(address) else { return };
    let link_local = match ip {
        std::net::IpAddr::V4(v4) => v4.is_link_local(),
        std::net::IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let local_group = match ip {
        std::net::IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        std::net::IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    };
    let cases = [
        (ip.is_unspecified(), "may not be unspecified (0.0.0.0 or ::)"),
        (ip.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (local_group, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ];
    errors.extend(cases.iter().filter(|(is, _)| *is).map(|(_, why)| FieldError::invalid(path, address, *why)));
}

pub const POD_TEMPLATE: Ruled = Ruled {
    defaults: |kind| {
        if let Some(spec) = made(kind, "template").and_then(|template| made(template, "spec")) {
            pod_spec::default(spec);
        }
    },
    more: |kind, errors| {
        errors.extend(pod_validation::template(part(kind, "template"), &Path::new("template")));
    },
    warnings: |new, old| {
        let template = part(new, "template");
        let changed = old.is_none_or(|old| part(old, "template") != template);
        if changed { pod_warnings::of(template, &Path::new("template")) } else { Vec::new() }
    },
    prepare: |kind| {
        if let Some(spec) = kind.get_mut("template").and_then(|template| template.get_mut("spec")) {
            dropped::from_pod(spec);
        }
    },
    generation: true,
    ..Ruled::PLAIN
};

pub const SERVICE_ACCOUNT: Ruled = Ruled {
    // Of a secret, only the name counts.
    prepare: |account| {
        for secret in items(account, "secrets") {
            secret.retain(|field, _| field == "name");
        }
    },
    warnings: |new, old| {
        const MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";
        let marked = |account: &Tree| !part(account, "metadata")["annotations"][MOUNTABLE].is_null();
        if !marked(new) || old.is_some_and(marked) {
            return Vec::new();
        }
        let why = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
        vec![format!("metadata.annotations[{MOUNTABLE}]: {why}")]
    },
    ..Ruled::PLAIN
};

pub const SERVICE_CIDR: Ruled = Ruled {
    more: |object, errors| {
        let path = Path::new("spec").child("cidrs");
        errors.extend(ranges(list(part(object, "spec"), "cidrs"), &path));
    },
    unchanging: true,
    update: ranges_stay,
    status_keeps: METADATA,
    ..Ruled::PLAIN
};

/// One range, or one of each family (`validateServiceCIDRSpec`).
fn ranges(ranges: &[Value], path: &Path) -> ErrorList {
    if ranges.is_empty() {
        return vec![FieldError::required(path, "at least one CIDR required")];
    }
    if ranges.len() > 2 {
        let shown = json!({"cidrs": ranges});
        return vec![FieldError::invalid(path, shown, "may only hold up to 2 values")];
    }
    let texts = || ranges.iter().map(|range| range.as_str().unwrap_or_default());
    let mut errors: ErrorList =
        texts().enumerate().flat_map(|(index, range)| validate_cidr(&path.index(index), range)).collect();
    let families: Vec<bool> =
        texts().filter_map(|range| parse_cidr_sloppy(range).map(|(address, _)| address.is_ipv4())).collect();
    if let [first, second] = families.as_slice()
        && first == second
    {
        let why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(FieldError::invalid(path, ranges.to_vec(), why));
    }
    errors
}

/// Ranges never change, but a second one may come.
fn ranges_stay(new: &Tree, old: &Tree, errors: &mut ErrorList) {
    const FIXED: &str = "field is immutable";
    let path = Path::new("spec").child("cidrs");
    let (after, before) = (list(part(new, "spec"), "cidrs"), list(part(old, "spec"), "cidrs"));
    let added = (before.len(), after.len()) == (1, 2);
    if before.len() != after.len() && !added {
        errors.push(FieldError::invalid(&path, part(new, "spec")["cidrs"].clone(), FIXED));
        return;
    }
    for (index, (range, _)) in after.iter().zip(before).enumerate().filter(|(_, (is, was))| is != was) {
        errors.push(FieldError::invalid(&path.index(index), range.clone(), FIXED));
    }
    if added {
        errors.extend(ranges(after, &path));
    }
}

pub const REVISION: Ruled = Ruled {
    rules: &[("revision", Check::NotNegative), ("data", Check::Present("data is mandatory"))],
    unchanging: true,
    fixed: &["data"],
    update: |new, _, errors| errors.extend(rules::check_map(new, &[("revision", Check::NotNegative)])),
    ..Ruled::PLAIN
};

fn version(text: &str) -> Vec<String> {
    let good = !text.starts_with('0') && text.bytes().all(|digit| digit.is_ascii_digit());
    if good { Vec::new() } else { vec![format!("resource version is not well formed: {text}")] }
}

/// All that is wrong with a text as one sentence.
fn joined(wrong: &[String]) -> Vec<String> {
    if wrong.is_empty() { Vec::new() } else { vec![wrong.join(",")] }
}

pub const MIGRATION: Ruled = Ruled {
    status_keeps: METADATA,
    rules: &[
        ("spec.resource.resource", Check::Needed("resource is required to be set")),
        ("spec.resource.resource", Check::Text(|name| joined(&is_dns1035_label(name)))),
        ("spec.resource.group", Check::Text(|name| joined(&is_dns1123_subdomain(name)))),
    ],
    status: &[
        ("status.conditions", Check::By(super::conditions::check)),
        ("status.resourceVersion", Check::Text(version)),
    ],
    update: |new, old, errors| {
        let resource = |object: &Tree| part(object, "spec")["resource"].clone();
        if resource(new) != resource(old) {
            // Upstream prints its internal type, with the names of Go's fields.
            let group = |field: &str| text(&resource(new), field).to_owned();
            let shown = json!({"Resource": {"group": group("group"), "resource": group("resource")}});
            errors.push(FieldError::invalid(&Path::new("spec"), shown, "field is immutable"));
        }
    },
    conditional: true,
    ..Ruled::PLAIN
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::ruled::refusals;

    #[test]
    fn what_each_kind_refuses() {
        let slice = |address: &str| json!({"addressType": "IPv4", "endpoints": [{"addresses": [address]}]});
        let cases: [(&Ruled, Value, &[&str]); 5] = [
            (&ENDPOINT_SLICE, slice("10.0.0.1"), &[]),
            (
                &ENDPOINT_SLICE,
                slice("127.0.0.1"),
                &[
                    "endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                ],
            ),
            (
                &REVISION,
                json!({"revision": -1}),
                &[
                    "revision: Invalid value: -1: must be greater than or equal to 0",
                    "data: Required value: data is mandatory",
                ],
            ),
            (
                &MIGRATION,
                json!({"spec": {"resource": {}}}),
                &["spec.resource.resource: Required value: resource is required to be set"],
            ),
            (&POD_TEMPLATE, json!({}), &["template.spec.containers: Required value"]),
        ];
        for (kind, object, expected) in cases {
            assert_eq!(refusals(kind, object), expected);
        }
    }
}
