//! Certificate signing requests (k8s.io/kubernetes `pkg/registry/certificates/certificates/strategy.go`): the server writes down
//! who asks, and nothing of the request ever changes.

use super::certificates::signer_name;
use super::read::{list, part, text};
use crate::registry::strategy::Strategy;
use crate::request::UserInfo;
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

pub struct SigningRequest;

impl Strategy for SigningRequest {
    fn prepare_create_as(&self, object: &mut Object, user: &UserInfo) {
        for field in ["username", "uid", "groups", "extra"] {
            object.remove_at(&["spec", field]);
        }
        object.set_at(&["spec", "username"], user.name.as_str().into());
        if !user.uid.is_empty() {
            object.set_at(&["spec", "uid"], user.uid.as_str().into());
        }
        if !user.groups.is_empty() {
            object.set_at(&["spec", "groups"], json!(user.groups));
        }
        if !user.extra.is_empty() {
            object.set_at(&["spec", "extra"], json!(user.extra));
        }
    }

    fn prepare_update(&self, new: &mut Object, old: &Object) {
        if let Some(spec) = old.as_map().get("spec") {
            new.as_map_mut().insert("spec".to_owned(), spec.clone());
        }
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        let (spec, path) = (part(object.as_map(), "spec"), Path::new("spec"));
        let mut errors = ErrorList::new();
        if text(spec, "request").is_empty() {
            // Upstream's parser looks for the block in the empty text.
            let why = "PEM block type must be CERTIFICATE REQUEST";
            errors.push(FieldError::invalid(&path.child("request"), Value::Null, why));
        }
        if list(spec, "usages").is_empty() {
            errors.push(FieldError::required(&path.child("usages"), ""));
        }
        errors.extend(signer_name(&path.child("signerName"), text(spec, "signerName")));
        if let Some(seconds) = spec["expirationSeconds"].as_i64().filter(|n| *n < 600) {
            let why = "may not specify a duration less than 600 seconds (10 minutes)";
            errors.push(FieldError::invalid(&path.child("expirationSeconds"), seconds, why));
        }
        errors
    }

    fn selectable_fields(&self) -> &'static [(&'static str, &'static str)] {
        &[("spec.signerName", "spec.signerName")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requester_is_who_asks() {
        let spec = json!({"username": "somebody", "groups": ["system:masters"], "request": "x"});
        let mut object = Object::from_value(json!({"metadata": {"name": "c"}, "spec": spec})).unwrap();
        let user = UserInfo { name: "ada".to_owned(), groups: vec!["devs".to_owned()], ..UserInfo::default() };
        SigningRequest.prepare_create_as(&mut object, &user);
        assert_eq!(object.as_map()["spec"], json!({"request": "x", "username": "ada", "groups": ["devs"]}));
    }
}
