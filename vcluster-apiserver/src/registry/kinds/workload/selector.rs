//! Selectors of the kinds that own pods: they can be read, say something, and select the template
//! (k8s.io/kubernetes `pkg/apis/{apps,batch,core}/validation`).

use crate::registry::kinds::{internal, rules};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::selector::label::LabelSelector;
use serde_json::{Map, Value};

const UNMATCHED: &str = "`selector` does not match template `labels`";

/// Whether the selector is one at all. None selects nothing.
pub fn is_readable(selector: &Value) -> bool {
    selector.is_null() || LabelSelector::from_object(Some(selector)).is_ok()
}

fn is_empty(selector: &Value) -> bool {
    selector["matchLabels"].as_object().is_none_or(Map::is_empty)
        && selector["matchExpressions"].as_array().is_none_or(Vec::is_empty)
}

fn selects(selector: &Value, labels: &Value) -> bool {
    !selector.is_null()
        && LabelSelector::from_object(Some(selector)).is_ok_and(|parsed| parsed.matches_labels(Some(labels)))
}

fn unmatched(template: &Value, path: &Path) -> FieldError {
    let at = path.child("template").child("metadata").child("labels");
    FieldError::invalid(&at, template["metadata"]["labels"].clone(), UNMATCHED)
}

/// A `LabelSelector` that the client gives.
pub fn labels(kind: &str, spec: &Value, path: &Path) -> ErrorList {
    let (selector, at) = (&spec["selector"], path.child("selector"));
    let mut errors = ErrorList::new();
    let daemons = kind == "DaemonSet";
    if selector.is_null() && !daemons {
        errors.push(FieldError::required(&at, ""));
    }
    rules::label_selector(selector, &at, &mut errors);
    let refuse = |why: &str| {
        let shown = internal::optional("meta.v1.LabelSelector", Some(selector));
        FieldError::invalid(&at, "", why).showing(shown)
    };
    if !selector.is_null() && is_empty(selector) {
        let whose = match kind {
            "StatefulSet" => "statefulset",
            "DaemonSet" => "daemonset",
            _ => "deployment",
        };
        errors.push(refuse(&format!("empty selector is invalid for {whose}")));
        return errors;
    }
    if !is_readable(selector) {
        if !daemons {
            errors.push(refuse(if kind == "StatefulSet" { "" } else { "invalid label selector" }));
        }
    } else if !selects(selector, &spec["template"]["metadata"]["labels"]) {
        errors.push(unmatched(&spec["template"], path));
    }
    errors
}

/// A replication controller's plain map of labels.
pub fn map(spec: &Value, path: &Path) -> ErrorList {
    let Some(selector) = spec["selector"].as_object().filter(|selector| !selector.is_empty()) else {
        return vec![FieldError::required(&path.child("selector"), "")];
    };
    let labels = &spec["template"]["metadata"]["labels"];
    if spec["template"].is_null() || selector.iter().all(|(key, value)| labels[key] == *value) {
        return ErrorList::new();
    }
    vec![unmatched(&spec["template"], path)]
}

/// The selector that the server makes for a job, unless the client insists on its own.
pub fn generated(object: &Object) -> ErrorList {
    let (spec, path) = (crate::registry::kinds::read::part(object.as_map(), "spec"), Path::new("spec"));
    let (selector, labels) = (&spec["selector"], &spec["template"]["metadata"]["labels"]);
    let mut errors = ErrorList::new();
    if spec["manualSelector"] == true || selector.is_null() {
        return errors;
    }
    let (uid, name) = (object.uid(), object.name());
    let expected = [
        ("controller-uid", uid),
        ("job-name", name),
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
    ];
    let at = path.child("template").child("metadata").child("labels");
    for (key, value) in expected {
        let why = format!("must be '{value}'");
        match labels[key].as_str() {
            None => errors.push(FieldError::required(&at.key(key), why)),
            Some(given) if given != value => {
                errors.push(FieldError::invalid(&at.key(key), labels.clone(), why));
            }
            Some(_) => {}
        }
    }
    let made: Map<String, Value> = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    if is_readable(selector) && !selects(selector, &made.into()) {
        let shown = internal::text("meta.v1.LabelSelector", selector);
        let error = FieldError::invalid(&path.child("selector"), "", "`selector` not auto-generated");
        errors.push(error.showing(shown));
    }
    errors
}

/// A job's selector, whoever made it.
pub fn of_job(spec: &Value, path: &Path) -> ErrorList {
    let (selector, at) = (&spec["selector"], path.child("selector"));
    let mut errors = ErrorList::new();
    if selector.is_null() {
        errors.push(FieldError::required(&at, ""));
    }
    rules::label_selector(selector, &at, &mut errors);
    if is_readable(selector) && !selects(selector, &spec["template"]["metadata"]["labels"]) {
        errors.push(unmatched(&spec["template"], path));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_that_select_nothing() {
        let with = |selector: Value| json!({"selector": selector, "template": {"metadata": {"labels": {"a": "b"}}}});
        let texts = |kind: &str, selector: Value| {
            let found = labels(kind, &with(selector), &Path::new("spec"));
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(texts("Deployment", json!({"matchLabels": {"a": "b"}})).is_empty());
        assert_eq!(
            texts("StatefulSet", json!({})),
            ["spec.selector: Invalid value: {}: empty selector is invalid for statefulset"]
        );
        assert_eq!(
            texts(
                "Deployment",
                json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "x"}]})
            ),
            [
                "spec.selector.matchExpressions[0].operator: Invalid value: \"x\": not a valid selector operator",
                "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\"},\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"x\"}]}: invalid label selector",
            ]
        );
        assert_eq!(
            texts("DaemonSet", Value::Null),
            [
                "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"
            ]
        );
    }
}
