//! What of a job may change: completions in step with parallelism, and the template while nothing runs
//! (k8s.io/kubernetes `pkg/apis/batch/validation`, `ValidateJobSpecUpdate`).

use crate::registry::kinds::internal::{self, immutable};
use crate::registry::kinds::read::{list, number, part, text};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

/// Fields that never change, and their types.
const FIXED: [(&str, &str); 2] =
    [("podFailurePolicy", "batch.v1.PodFailurePolicy"), ("successPolicy", "batch.v1.SuccessPolicy")];

pub fn spec(new: &Object, old: &Object, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let (after, before) = (part(new.as_map(), "spec"), part(old.as_map(), "spec"));
    completions(after, before, &path.child("completions"), errors);
    template(old, after, before, &path, errors);
    for field in ["completionMode", "backoffLimitPerIndex", "managedBy"] {
        if after[field] != before[field] {
            errors.push(FieldError::invalid(&path.child(field), after[field].clone(), "field is immutable"));
        }
    }
    for (field, of) in FIXED {
        if after[field] != before[field] {
            errors.push(immutable(&path.child(field), internal::optional(of, Some(&after[field]))));
        }
    }
}

fn completions(after: &Value, before: &Value, path: &Path, errors: &mut ErrorList) {
    let (new, old) = (&after["completions"], &before["completions"]);
    if new == old {
        return;
    }
    if text(after, "completionMode") != "Indexed" {
        errors.push(FieldError::invalid(path, new.clone(), "field is immutable"));
    } else if !new.is_null() && number(after, "completions") != number(after, "parallelism") {
        errors.push(FieldError::invalid(path, new.clone(), "can only be modified in tandem with spec.parallelism"));
    }
}

fn template(old: &Object, after: &Value, before: &Value, path: &Path, errors: &mut ErrorList) {
    let status = part(old.as_map(), "status");
    let stopped = list(status, "conditions")
        .iter()
        .any(|condition| text(condition, "type") == "Suspended" && text(condition, "status") == "True");
    let suspended = before["suspend"] == true;
    let open = suspended && (status["startTime"].is_null() || stopped) && number(status, "active") == 0;
    let (new, mut kept) = (&after["template"], before["template"].clone());
    if open {
        directives(new, &mut kept);
        resources(new, &mut kept);
        if new["spec"] != kept["spec"] {
            let shown = internal::text("core.v1.PodSpec", &new["spec"]);
            errors.push(immutable(&path.child("template.spec"), shown));
        }
    } else if *new != kept {
        errors.push(immutable(&path.child("template"), internal::text("core.v1.PodTemplateSpec", new)));
    }
}

/// Where pods go may change before they do.
fn directives(new: &Value, kept: &mut Value) {
    let mut take = |place: [&str; 2]| {
        let value = new[place[0]][place[1]].clone();
        if let Some(holder) = kept.get_mut(place[0]).and_then(Value::as_object_mut) {
            if value.is_null() {
                holder.remove(place[1]);
            } else {
                holder.insert(place[1].to_owned(), value);
            }
        }
    };
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        take(["spec", field]);
    }
    for field in ["annotations", "labels"] {
        take(["metadata", field]);
    }
    let affinity = &new["spec"]["affinity"];
    let Some(spec) = kept.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let mut own = spec.remove("affinity").filter(Value::is_object).unwrap_or_else(|| json!({}));
    if let Some(own) = own.as_object_mut() {
        own.remove("nodeAffinity");
        if affinity["nodeAffinity"].is_object() {
            own.insert("nodeAffinity".to_owned(), affinity["nodeAffinity"].clone());
        }
    }
    if affinity.is_object() || own != json!({}) {
        spec.insert("affinity".to_owned(), own);
    }
}

fn resources(new: &Value, kept: &mut Value) {
    for group in ["containers", "initContainers"] {
        let asked = list(&new["spec"], group);
        let own = kept.get_mut("spec").and_then(|spec| spec.get_mut(group)).and_then(Value::as_array_mut);
        let Some(own) = own.filter(|own| own.len() == asked.len()) else { continue };
        for (container, asked) in own.iter_mut().zip(asked) {
            if container["name"] == asked["name"] {
                container["resources"] = asked["resources"].clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_changes_while_nothing_runs() {
        let job = |suspend: bool, image: &str, cpu: &str| {
            let container = json!({"name": "c", "image": image, "resources": {"limits": {"cpu": cpu}}});
            let spec = json!({"suspend": suspend, "template": {"spec": {"containers": [container]}}});
            Object::from_value(json!({"spec": spec})).unwrap()
        };
        let count = |new: &Object, old: &Object| {
            let mut errors = ErrorList::new();
            spec(new, old, &mut errors);
            errors.iter().map(|error| error.field.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(count(&job(true, "i", "2"), &job(true, "i", "1")), [""; 0]);
        assert_eq!(count(&job(true, "j", "1"), &job(true, "i", "1")), ["spec.template.spec"]);
        assert_eq!(count(&job(false, "i", "2"), &job(false, "i", "1")), ["spec.template"]);
    }

    #[test]
    fn completions_follow_parallelism() {
        let job = |completions: i64| {
            let spec = json!({"completionMode": "Indexed", "completions": completions, "parallelism": 2});
            Object::from_value(json!({"spec": spec})).unwrap()
        };
        let mut errors = ErrorList::new();
        spec(&job(2), &job(3), &mut errors);
        assert_eq!(errors.len(), 0);
        spec(&job(4), &job(3), &mut errors);
        assert!(errors[0].to_string().ends_with("4: can only be modified in tandem with spec.parallelism"));
    }
}
