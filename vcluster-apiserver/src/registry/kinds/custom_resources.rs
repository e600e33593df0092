//! Definitions of custom resources (k8s.io/apiextensions-apiserver `pkg/apis/apiextensions`). Their expressions are not looked
//! at.

pub mod structural;

use super::fill::{absent, empty, made};
use super::read::{list, part, text, wrong};
use crate::registry::strategy::{NameRule, Strategy};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_dns1035_label, is_dns1123_subdomain, name_is_dns_subdomain};
use serde_json::{Value, json};

pub struct Definition;

impl Strategy for Definition {
    /// The name is made of parts of the spec: its whole rule is in the validation.
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Object) {
        let Some(spec) = made(object.as_map_mut(), "spec") else { return };
        absent(spec, "conversion", json!({"strategy": "None"}));
        if let Some(names) = made(spec, "names") {
            let kind = super::fill::text(names, "kind").to_owned();
            if !kind.is_empty() {
                empty(names, "singular", &kind.to_lowercase());
                empty(names, "listKind", &format!("{kind}List"));
            }
        }
        store(object, false);
    }

    fn prepare_create(&self, object: &mut Object) {
        store(object, true);
    }

    fn prepare_update(&self, new: &mut Object, _: &Object) {
        store(new, true);
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        let (spec, path) = (part(object.as_map(), "spec"), Path::new("spec"));
        named(object, spec, &mut errors);
        group(text(spec, "group"), &path.child("group"), &mut errors);
        scope(text(spec, "scope"), &path.child("scope"), &["Cluster", "Namespaced"], &mut errors);
        versions(spec, &path.child("versions"), &mut errors);
        for field in ["plural", "singular", "kind", "listKind"] {
            if text(&spec["names"], field).is_empty() {
                errors.push(FieldError::required(&path.child("names").child(field), ""));
            }
        }
        names(&spec["names"], &path.child("names"), &mut errors);
        conversion(&spec["conversion"], &path.child("conversion"), &mut errors);
        stored(object, spec, &mut errors);
        errors
    }

    fn validate_update(&self, new: &Object, _: &Object) -> ErrorList {
        self.validate_create(new)
    }
}

fn storage_version(spec: &Value) -> Option<&str> {
    list(spec, "versions").iter().find(|version| version["storage"] == true).map(|version| text(version, "name"))
}

/// Notes that objects are stored in the version that is stored now; `again`: even when others are noted already.
fn store(object: &mut Object, again: bool) {
    let Some(version) = storage_version(part(object.as_map(), "spec")).map(str::to_owned) else { return };
    let place = ["status", "storedVersions"];
    let mut known = object.at(&place).and_then(Value::as_array).cloned().unwrap_or_default();
    if known.is_empty() || (again && !known.iter().any(|name| *name == *version)) {
        known.push(version.into());
        object.set_at(&place, known.into());
    }
}

fn named(object: &Object, spec: &Value, errors: &mut ErrorList) {
    let expected = format!("{}.{}", text(&spec["names"], "plural"), text(spec, "group"));
    for field in ["generateName", "name"] {
        let name = object.meta_str(field);
        if name.is_empty() {
            continue;
        }
        let mut why = name_is_dns_subdomain(name, field == "generateName");
        if name != expected {
            why.push("must be spec.names.plural+\".\"+spec.group".to_owned());
        }
        wrong(&Path::new("metadata").child(field), name, why, errors);
    }
}

/// All that is wrong with one text, as one sentence.
fn joined(path: &Path, value: &str, why: &[String], before: &str, errors: &mut ErrorList) {
    if !why.is_empty() {
        errors.push(FieldError::invalid(path, value, format!("{before}{}", why.join(","))));
    }
}

fn group(group: &str, path: &Path, errors: &mut ErrorList) {
    let why = is_dns1123_subdomain(group);
    if group.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if why.is_empty() && !group.contains('.') {
        errors.push(FieldError::invalid(path, group, "should be a domain with at least one dot"));
    } else {
        joined(path, group, &why, "", errors);
    }
}

fn scope(value: &str, path: &Path, known: &[&str], errors: &mut ErrorList) {
    if value.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !known.contains(&value) {
        errors.push(FieldError::not_supported(path, value, known));
    }
}

fn versions(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let versions = list(spec, "versions");
    for (index, version) in versions.iter().enumerate() {
        let at = path.index(index);
        if !version["schema"]["openAPIV3Schema"].is_object() {
            errors.push(FieldError::required(&at.child("schema").child("openAPIV3Schema"), ""));
        }
        // Upstream's internal type has the schema of a single version, and what else it has, in one place for all.
        let place = if versions.len() == 1 { Path::new("spec") } else { at.clone() };
        if version["schema"]["openAPIV3Schema"].is_object() {
            let below = if versions.len() == 1 { place.child("validation") } else { place.child("schema") };
            structural::check(&version["schema"]["openAPIV3Schema"], &below.child("openAPIV3Schema"), errors);
        }
        scale(&version["subresources"]["scale"], &place.child("subresources"), errors);
        joined(&at.child("name"), text(version, "name"), &is_dns1035_label(text(version, "name")), "", errors);
    }
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(path, spec["versions"].clone(), why));
    }
}

/// Where the replicas of a resource stand.
fn scale(scale: &Value, path: &Path, errors: &mut ErrorList) {
    if !scale.is_object() {
        return;
    }
    for (field, under) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
        let (place, at) = (text(scale, field), path.child("scale").child(field));
        if place.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !place.starts_with('.') {
            errors.push(FieldError::invalid(&at, place, "must be a simple json path starting with ."));
        } else if !place.starts_with(under) {
            let why = format!("should be a json path under {}", under.trim_end_matches('.'));
            errors.push(FieldError::invalid(&at, place, why));
        }
    }
}

fn names(names: &Value, path: &Path, errors: &mut ErrorList) {
    for field in ["plural", "singular"] {
        let name = text(names, field);
        if !name.is_empty() {
            joined(&path.child(field), name, &is_dns1035_label(name), "", errors);
        }
    }
    for field in ["kind", "listKind"] {
        let name = text(names, field);
        if !name.is_empty() {
            let before = "may have mixed case, but should otherwise match: ";
            joined(&path.child(field), name, &is_dns1035_label(&name.to_lowercase()), before, errors);
        }
    }
    for field in ["shortNames", "categories"] {
        for (index, name) in list(names, field).iter().filter_map(Value::as_str).enumerate() {
            joined(&path.child(field).index(index), name, &is_dns1035_label(name), "", errors);
        }
    }
    let kind = text(names, "kind");
    if !kind.is_empty() && kind == text(names, "listKind") {
        let why = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(&path.child("listKind"), kind, why));
    }
}

fn conversion(conversion: &Value, path: &Path, errors: &mut ErrorList) {
    if !conversion.is_object() {
        return;
    }
    let strategy = text(conversion, "strategy");
    scope(strategy, &path.child("strategy"), &["None", "Webhook"], errors);
    // Upstream's internal type has what the webhook needs beside the strategy.
    let (webhook, client) = (&conversion["webhook"], path.child("webhookClientConfig"));
    let (config, reviews) = (&webhook["clientConfig"], list(webhook, "conversionReviewVersions"));
    let at = path.child("conversionReviewVersions");
    if strategy != "Webhook" {
        let why = "should not be set when strategy is not set to Webhook";
        if config.is_object() {
            errors.push(FieldError::forbidden(&client, why));
        }
        if !reviews.is_empty() {
            errors.push(FieldError::forbidden(&at, why));
        }
        return;
    }
    if !config.is_object() {
        errors.push(FieldError::required(&client, "required when strategy is set to Webhook"));
    } else if config["url"].is_null() == config["service"].is_null() {
        errors.push(FieldError::required(&client, "exactly one of url or service is required"));
    }
    if reviews.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
}

fn stored(object: &Object, spec: &Value, errors: &mut ErrorList) {
    let path = Path::new("status").child("storedVersions");
    let known = list(part(object.as_map(), "status"), "storedVersions");
    if known.is_empty() {
        return errors.push(FieldError::invalid(&path, Value::Null, "must have at least one stored version"));
    }
    if let Some(version) = storage_version(spec).filter(|version| !known.iter().any(|name| name == version)) {
        errors.push(FieldError::invalid(&path, json!(known), format!("must have the storage version {version}")));
    }
    for (index, name) in known.iter().filter_map(Value::as_str).enumerate() {
        if !list(spec, "versions").iter().any(|version| text(version, "name") == name) {
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            errors.push(FieldError::invalid(&path.index(index), name, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_of(value: Value) -> Object {
        let mut object = Object::from_value(value).unwrap();
        Definition.default(&mut object);
        Definition.prepare_create(&mut object);
        object
    }

    #[test]
    fn definitions_are_filled_in_and_checked() {
        let good = json!({"metadata": {"name": "things.a.b"}, "spec": {"group": "a.b", "scope": "Cluster",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
        let object = made_of(good.clone());
        assert_eq!(object.at(&["status", "storedVersions"]), Some(&json!(["v1"])));
        assert_eq!(object.at(&["spec", "conversion"]), Some(&json!({"strategy": "None"})));
        assert_eq!(
            object.at(&["spec", "names"]),
            Some(&json!({"plural": "things", "kind": "Thing", "singular": "thing", "listKind": "ThingList"}))
        );
        assert!(Definition.validate_create(&object).is_empty());
        let mut bad = good;
        bad["spec"]["group"] = json!("A");
        bad["spec"]["scope"] = json!("Some");
        let fields: Vec<String> =
            Definition.validate_create(&made_of(bad)).iter().map(|error| error.field.to_string()).collect();
        assert_eq!(fields, ["metadata.name", "spec.group", "spec.scope"]);
    }
}
