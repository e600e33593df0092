//! Events (k8s.io/kubernetes `pkg/apis/core/validation/events.go`): whoever writes through events.k8s.io must say more, and
//! later changes nothing but the series. Both work on the stored form.

use crate::registry::kinds::internal;
use crate::registry::kinds::read::{number, part, text, wrong};
use crate::registry::strategy::{NameRule, Strategy};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::is_qualified_name;
use serde_json::{Map, Value};

type Tree = Map<String, Value>;

pub struct Event {
    /// Written through events.k8s.io.
    pub strict: bool,
}

impl Strategy for Event {
    fn name_rule(&self) -> NameRule {
        if self.strict { NameRule::DnsSubdomain } else { NameRule::PathSegment }
    }

    fn metadata_comes_last(&self) -> bool {
        !self.strict
    }

    fn allows_create_on_update(&self) -> bool {
        true
    }

    fn ignores_propagation(&self) -> bool {
        true
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        let event = object.as_map();
        let mut errors = self.always(object);
        if !self.strict {
            return errors;
        }
        series(part(event, "series"), &mut errors);
        if part(event, "eventTime").is_null() {
            errors.push(FieldError::required(&Path::new("eventTime"), ""));
        }
        let kind = part(event, "type").as_str().unwrap_or_default();
        if !["Normal", "Warning"].contains(&kind) {
            errors.push(FieldError::invalid(&Path::new("type"), "", format!("has invalid value: {kind}")));
        }
        let source = part(event, "source");
        let spoken = !text(source, "component").is_empty() || !text(source, "host").is_empty();
        let old = [
            ("firstTimestamp", !part(event, "firstTimestamp").is_null()),
            ("lastTimestamp", !part(event, "lastTimestamp").is_null()),
            ("count", part(event, "count").as_i64().unwrap_or(0) != 0),
            ("source", spoken),
        ];
        for (field, _) in old.iter().filter(|(_, set)| *set) {
            errors.push(FieldError::invalid(&Path::new(field), "", "needs to be unset"));
        }
        errors
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = self.always(new);
        if self.strict {
            let (new, old) = (new.as_map(), old.as_map());
            if part(new, "series") != part(old, "series") {
                series(part(new, "series"), &mut errors);
            }
            unchanged(new, old, &mut errors);
        }
        errors
    }
}

impl Event {
    /// What both groups ask for (`legacyValidateEvent`).
    fn always(&self, object: &Object) -> ErrorList {
        const LONGEST: usize = 128;
        let (event, mut errors) = (object.as_map(), ErrorList::new());
        let about = text(part(event, "involvedObject"), "namespace");
        let namespace = object.namespace();
        let outside = ["", "default"].contains(&namespace);
        let new = !part(event, "eventTime").is_null();
        let astray = match (new, about.is_empty()) {
            (false, true) => !outside,
            (false, false) => namespace != about,
            (true, empty) => empty && !["default", "kube-system"].contains(&namespace),
        };
        if astray {
            let path = Path::new("involvedObject").child("namespace");
            errors.push(FieldError::invalid(&path, about, "does not match event.namespace"));
        }
        if !new {
            return errors;
        }
        let said = |field: &str| part(event, field).as_str().unwrap_or_default();
        let reporter = Path::new(if self.strict { "reportingController" } else { "reportingComponent" });
        let name = said("reportingComponent");
        if name.is_empty() {
            errors.push(FieldError::required(&reporter, ""));
        }
        wrong(&reporter, name, is_qualified_name(name), &mut errors);
        for field in ["reportingInstance", "action", "reason"] {
            let path = Path::new(field);
            if said(field).is_empty() {
                errors.push(FieldError::required(&path, ""));
            }
            at_most(&path, said(field), LONGEST, &mut errors);
        }
        at_most(&Path::new("message"), said("message"), 1024, &mut errors);
        errors
    }
}

fn at_most(path: &Path, text: &str, longest: usize, errors: &mut ErrorList) {
    if text.len() > longest {
        errors.push(FieldError::invalid(path, "", format!("can have at most {longest} characters")));
    }
}

fn series(series: &Value, errors: &mut ErrorList) {
    if !series.is_object() {
        return;
    }
    if number(series, "count") < 2 {
        errors.push(FieldError::invalid(&Path::new("series.count"), "", "should be at least 2"));
    }
    if series["lastObservedTime"].is_null() {
        errors.push(FieldError::required(&Path::new("series.lastObservedTime"), ""));
    }
}

/// Everything that stays; where upstream's names are others they are what it reports.
fn unchanged(new: &Tree, old: &Tree, errors: &mut ErrorList) {
    const STRUCTS: [(&str, &str); 3] = [
        ("involvedObject", "core.v1.ObjectReference"),
        ("source", "core.v1.EventSource"),
        ("related", "core.v1.ObjectReference"),
    ];
    const TEXTS: [(&str, &str); 6] = [
        ("reason", "reason"),
        ("message", "message"),
        ("type", "type"),
        ("action", "action"),
        ("reportingComponent", "reportingController"),
        ("reportingInstance", "reportingInstance"),
    ];
    let why = "field is immutable";
    for (field, type_name) in STRUCTS {
        let value = part(new, field);
        if value != part(old, field) {
            let shown = internal::optional(type_name, Some(value));
            errors.push(FieldError::invalid(&Path::new(field), "", why).showing(shown));
        }
    }
    for (field, shown) in TEXTS {
        let said = |event: &Tree| part(event, field).as_str().unwrap_or_default().to_owned();
        if said(new) != said(old) {
            errors.push(FieldError::invalid(&Path::new(shown), said(new), why));
        }
    }
    for field in ["firstTimestamp", "lastTimestamp", "eventTime"] {
        if part(new, field) != part(old, field) {
            errors.push(FieldError::invalid(&Path::new(field), part(new, field).clone(), why));
        }
    }
    let count = |event: &Tree| part(event, "count").as_i64().unwrap_or(0);
    if count(new) != count(old) {
        errors.push(FieldError::invalid(&Path::new("count"), count(new), why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(value: Value) -> Object {
        let mut object = Object::from_value(value).unwrap();
        object.set_meta_str("namespace", "n");
        object
    }

    #[test]
    fn whoever_writes_the_new_group_says_more() {
        let texts = |strict: bool, value: Value| {
            let errors = Event { strict }.validate_create(&event(value));
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let old = json!({"involvedObject": {"namespace": "n"}, "type": "Normal", "count": 1});
        assert!(texts(false, old.clone()).is_empty());
        assert_eq!(texts(true, old), ["eventTime: Required value", "count: Invalid value: \"\": needs to be unset"]);
        assert_eq!(
            texts(false, json!({})),
            ["involvedObject.namespace: Invalid value: \"\": does not match event.namespace"]
        );
        let new = json!({"involvedObject": {"namespace": "n"}, "type": "Normal", "eventTime": "2024-01-01T00:00:00.000000Z",
            "reportingComponent": "c", "reportingInstance": "i", "action": "a", "reason": "r"});
        assert!(texts(true, new).is_empty());
    }

    #[test]
    fn only_the_series_changes() {
        let old = json!({"involvedObject": {"namespace": "n"}, "reason": "r"});
        let new = json!({"involvedObject": {"namespace": "n", "name": "x"}, "reason": "s"});
        let errors = Event { strict: true }.validate_update(&event(new), &event(old));
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "involvedObject: Invalid value: {\"Kind\":\"\",\"Namespace\":\"n\",\"Name\":\"x\",\"UID\":\"\",\"APIVersion\":\"\",\"ResourceVersion\":\"\",\"FieldPath\":\"\"}: field is immutable",
                "reason: Invalid value: \"s\": field is immutable",
            ]
        );
    }
}
