//! The addresses of a service: how the fields that say the same thing twice follow each other, and what they may be
//! (k8s.io/kubernetes `pkg/registry/core/service/storage`, `pkg/apis/core/validation`,
//! `ValidateServiceClusterIPsRelatedFields`).

use crate::registry::kinds::fill::{items, made};
use crate::registry::kinds::read::{list, number, one_of, text};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{parse_ip_sloppy, validate_ip_legacy};
use serde_json::{Value, json};

/// Whether the service has no address by choice.
pub fn headless(spec: &Value) -> bool {
    list(spec, "clusterIPs") == [json!("None")]
}

fn spec(object: &Object) -> &Value {
    object.as_map().get("spec").unwrap_or(&Value::Null)
}

fn external(spec: &Value) -> bool {
    text(spec, "type") == "ExternalName"
}

/// Whether nodes answer on ports of their own for the service.
pub fn on_nodes(spec: &Value) -> bool {
    matches!(text(spec, "type"), "NodePort" | "LoadBalancer")
}

/// Whether nodes answer whether they have an endpoint.
pub fn checked(spec: &Value) -> bool {
    text(spec, "type") == "LoadBalancer" && text(spec, "externalTrafficPolicy") == "Local"
}

/// An address alone becomes the list of addresses (`normalizeClusterIPs`).
pub fn follow_create(object: &mut Object) {
    let of = spec(object);
    if !text(of, "clusterIP").is_empty() && list(of, "clusterIPs").is_empty() {
        let address = of["clusterIP"].clone();
        object.set_at(&["spec", "clusterIPs"], json!([address]));
    }
}

/// A client that leaves out what was allocated means to keep it (`patchAllocatedValues`); one that changes only one of
/// two fields means both (`normalizeClusterIPs`).
pub fn follow_update(new: &mut Object, old: &Object) {
    let before = spec(old);
    if !external(before) && !external(spec(new)) {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            let value = &spec(new)[field];
            let unset = value.is_null() || *value == json!([]) || (field == "clusterIP" && *value == "");
            if unset && let Some(value) = before.get(field) {
                new.set_at(&["spec", field], value.clone());
            }
        }
    }
    if on_nodes(before) && on_nodes(spec(new)) {
        keep_node_ports(new, before);
    }
    if checked(before) && checked(spec(new)) && number(spec(new), "healthCheckNodePort") == 0 {
        new.set_at(&["spec", "healthCheckNodePort"], before["healthCheckNodePort"].clone());
    }
    let after = spec(new);
    let (one, all) = (text(after, "clusterIP"), list(after, "clusterIPs"));
    if one == text(before, "clusterIP") {
        if all.is_empty() && !list(before, "clusterIPs").is_empty() {
            new.set_at(&["spec", "clusterIPs"], before["clusterIPs"].clone());
        }
    } else if all == list(before, "clusterIPs") {
        if one.is_empty() {
            new.remove_at(&["spec", "clusterIPs"]);
        } else {
            let address = after["clusterIP"].clone();
            new.set_at(&["spec", "clusterIPs"], json!([address]));
        }
    }
}

/// Node ports that the client did not repeat, by the names of the ports, unless another port has taken them.
fn keep_node_ports(new: &mut Object, before: &Value) {
    let given = list(spec(new), "ports").iter().map(|port| number(port, "nodePort")).collect::<Vec<_>>();
    let Some(spec) = made(new.as_map_mut(), "spec") else { return };
    for port in items(spec, "ports") {
        let name = port.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let same = list(before, "ports").iter().rfind(|before| text(before, "name") == name);
        let kept = same.map_or(0, |before| number(before, "nodePort"));
        let unset = port.get("nodePort").and_then(Value::as_i64).unwrap_or(0) == 0;
        if unset && kept != 0 && !given.contains(&kept) {
            port.insert("nodePort".into(), kept.into());
        }
    }
}

fn old_texts(old: Option<&Value>) -> Vec<&str> {
    old.map(|old| list(old, "clusterIPs")).unwrap_or_default().iter().filter_map(Value::as_str).collect()
}

/// Addresses, families and policy as they stand; a service that has none of them is judged elsewhere.
pub fn check(spec: &Value, old: Option<&Value>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if external(spec) {
        return errors;
    }
    let all = path.child("clusterIPs");
    let addresses: Vec<&str> = list(spec, "clusterIPs").iter().filter_map(Value::as_str).collect();
    let shown = || Value::from(addresses.clone());
    let one = text(spec, "clusterIP");
    if one.is_empty() {
        if !addresses.is_empty() {
            errors.push(FieldError::invalid(&all, shown(), "must be empty when `clusterIP` is not specified"));
        }
    } else if addresses.is_empty() {
        errors.push(FieldError::required(&all, ""));
    } else if addresses.first() != Some(&one) {
        errors.push(FieldError::invalid(&all, shown(), "first value must match `clusterIP`"));
    }
    let families = list(spec, "ipFamilies");
    for (index, family) in families.iter().enumerate() {
        let at = path.child("ipFamilies").index(index);
        one_of(&at, family, &["IPv4", "IPv6"], &mut errors);
        if families.iter().take(index).any(|other| other == family) {
            errors.push(FieldError::duplicate(&at, family.clone()));
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    one_of(&path.child("ipFamilyPolicy"), &spec["ipFamilyPolicy"], &policies, &mut errors);
    let mut bad = false;
    for (index, address) in addresses.iter().enumerate() {
        if index == 0 && *address == "None" {
            if addresses.len() > 1 {
                bad = true;
                errors.push(FieldError::invalid(&all, shown(), "'None' must be the first and only value"));
            }
            continue;
        }
        let found = validate_ip_legacy(&all.index(index), address, true, &old_texts(old));
        bad = bad || !found.is_empty();
        errors.extend(found);
    }
    if addresses.len() > 2 {
        errors.push(FieldError::invalid(&all, shown(), "may only hold up to 2 values"));
    }
    // What follows would only repeat in other words that an address is none.
    if bad {
        return errors;
    }
    let sixth = |address: &str| parse_ip_sloppy(address).is_some_and(|ip| ip.is_ipv6());
    if addresses.len() > 1 && !(addresses.iter().any(|ip| sixth(ip)) && addresses.iter().any(|ip| !sixth(ip))) {
        errors.push(FieldError::invalid(&all, shown(), "may specify no more than one IP for each IP family"));
    }
    if !headless(spec) {
        for (index, (address, family)) in addresses.iter().zip(families).enumerate() {
            let asked = family.as_str().unwrap_or_default();
            if (asked == "IPv4" && sixth(address)) || (asked == "IPv6" && !sixth(address)) {
                let why = format!("expected an {asked} value as indicated by `ipFamilies[{index}]`");
                errors.push(FieldError::invalid(&all.index(index), *address, why));
            }
        }
    }
    errors
}

/// The first address and the first family stay; a second may come, and go when the policy says so
/// (`validateUpgradeDowngradeClusterIPs`, `validateUpgradeDowngradeIPFamilies`).
pub fn check_change(new: &Value, old: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (after, before) = (headless(new), headless(old));
    if external(new) || external(old) || (after && before) {
        return errors;
    }
    change("clusterIPs", "primary clusterIP", "secondary clusterIP", new, old, path, &mut errors);
    if !after && !before {
        change("ipFamilies", "primary ipFamily", "secondary ipFamily", new, old, path, &mut errors);
    }
    errors
}

fn change(field: &str, first: &str, second: &str, new: &Value, old: &Value, path: &Path, errors: &mut ErrorList) {
    const FIXED: &str = "may not change once set";
    let (after, before) = (list(new, field), list(old, field));
    let at = path.child(field);
    if after.len() == before.len() {
        for (index, _) in before.iter().zip(after).enumerate().filter(|(_, (was, is))| was != is) {
            // Upstream always blames the first family.
            let place = at.index(if field == "clusterIPs" { index } else { 0 });
            errors.push(FieldError::invalid(&place, new[field].clone(), FIXED));
        }
        return;
    }
    if after.is_empty() {
        errors.push(FieldError::invalid(&at.index(0), json!([]), format!("{first} can not be unset")));
    } else if before.first().is_some_and(|was| Some(was) != after.first()) {
        errors.push(FieldError::invalid(&at.index(0), new["clusterIPs"].clone(), FIXED));
    }
    if before.len() > after.len() && after.len() == 1 && new["ipFamilyPolicy"] != "SingleStack" {
        let why = format!("must be set to 'SingleStack' when releasing the {second}");
        errors.push(FieldError::invalid(&path.child("ipFamilyPolicy"), new["ipFamilyPolicy"].clone(), why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(spec: &Value) -> Vec<String> {
        check(spec, None, &Path::new("spec")).iter().map(|error| format!("{}: {}", error.field, error.detail)).collect()
    }

    #[test]
    fn addresses_agree_with_each_other() {
        assert!(
            found(&json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"]})).is_empty()
        );
        assert!(found(&json!({"type": "ExternalName", "clusterIPs": ["x"]})).is_empty());
        assert_eq!(
            found(&json!({"clusterIP": "None", "clusterIPs": ["x"]})),
            [
                "spec.clusterIPs: first value must match `clusterIP`",
                "spec.clusterIPs[0]: must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            ]
        );
        assert_eq!(
            found(&json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv6"]})),
            ["spec.clusterIPs[0]: expected an IPv6 value as indicated by `ipFamilies[0]`"]
        );
    }

    #[test]
    fn the_first_address_stays() {
        let old = json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"]});
        let new = json!({"clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2"], "ipFamilies": ["IPv4"]});
        let errors = check_change(&new, &old, &Path::new("spec"));
        assert_eq!(errors[0].to_string(), "spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set");
        assert!(check_change(&old, &old, &Path::new("spec")).is_empty());
    }
}
