//! Addresses that are taken (k8s.io/kubernetes `pkg/apis/networking/validation`, `ValidateIPAddress`).

pub mod ingress;
pub mod network_policy;

use super::read::text;
use crate::registry::strategy::{NameRule, Strategy};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_dns1123_subdomain, name_is_path_segment};
use serde_json::Value;

pub struct Address;

impl Strategy for Address {
    fn name_rule(&self) -> NameRule {
        NameRule::Address
    }

    fn validate_create(&self, address: &Object) -> ErrorList {
        parent(address)
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        let reference = |object: &Object| object.at(&["spec", "parentRef"]).cloned().unwrap_or_default();
        let (after, before) = (reference(new), reference(old));
        if after == before {
            return ErrorList::new();
        }
        // Upstream checks this by declaration and then does not print the value.
        let path = Path::new("spec").child("parentRef");
        let mut errors = vec![FieldError::invalid(&path, Value::Null, "field is immutable")];
        if after.is_null() {
            errors.push(FieldError::required(&path, ""));
        } else {
            let missing = ["resource", "name"].into_iter().filter(|field| text(&after, field).is_empty());
            errors.extend(missing.map(|field| FieldError::required(&path.child(field), "")));
        }
        errors
    }
}

/// What is wrong with a text.
type Rule = fn(&str) -> Vec<String>;

/// The object that holds the address; the core group is the empty one.
fn parent(address: &Object) -> ErrorList {
    let path = Path::new("spec").child("parentRef");
    let Some(reference) = address.at(&["spec", "parentRef"]).filter(|value| !value.is_null()) else {
        return vec![FieldError::required(&path, "")];
    };
    let segment: Rule = |text| name_is_path_segment(text, false);
    let rules: [(&str, bool, Rule); 4] = [
        ("group", false, is_dns1123_subdomain),
        ("resource", true, segment),
        ("name", true, segment),
        ("namespace", false, segment),
    ];
    let mut errors = ErrorList::new();
    for (field, required, rule) in rules {
        let (path, text) = (path.child(field), reference[field].as_str().unwrap_or_default());
        if !text.is_empty() {
            errors.extend(rule(text).into_iter().map(|why| FieldError::invalid(&path, Value::from(text), why)));
        } else if required {
            errors.push(FieldError::required(&path, ""));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::metadata;
    use serde_json::json;

    fn wrong(name: &str, reference: &Value) -> Vec<String> {
        let object = json!({"metadata": {"name": name}, "spec": {"parentRef": reference}});
        let object = Object::from_value(object).unwrap();
        let mut errors = metadata::validate(&object, false, Address.name_rule());
        errors.extend(Address.validate_create(&object));
        errors.iter().map(|error| error.field.to_string()).collect()
    }

    // Upstream's cases: pkg/apis/networking/validation/validation_test.go, TestValidateIPAddress.
    #[test]
    fn an_address_is_canonical_and_has_a_parent() {
        let service = json!({"group": "", "resource": "services", "name": "foo", "namespace": "bar"});
        for good in ["192.168.1.1", "2001:4860:4860::8888"] {
            assert_eq!(wrong(good, &service), [""; 0], "{good}");
        }
        for bad in ["", "not-an-ip", "010.1.2.3", "::ffff:1.2.3.4", "FE80::1"] {
            assert_eq!(wrong(bad, &service), ["metadata.name"], "{bad}");
        }
        assert_eq!(wrong("192.168.1.1", &Value::Null), ["spec.parentRef"]);
        assert_eq!(wrong("192.168.1.1", &json!({"resource": "services"})), ["spec.parentRef.name"]);
        let odd = json!({"group": "!", "resource": "a/b", "name": "c%", "namespace": "d/"});
        let fields =
            ["spec.parentRef.group", "spec.parentRef.resource", "spec.parentRef.name", "spec.parentRef.namespace"];
        assert_eq!(wrong("192.168.1.1", &odd), fields);
    }
}
