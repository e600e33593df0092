//! What of a pod may change (k8s.io/kubernetes `pkg/apis/core/validation`, `ValidatePodUpdate`).

use super::annotations;
use super::validation::real;
use crate::registry::kinds::internal;
use crate::registry::kinds::read::{list, number, part, text};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Only images, the deadline, added tolerations, a cut grace period and removed gates may change.
pub fn update(new: &Object, old: &Object) -> ErrorList {
    let spec_path = Path::new("spec");
    let (after, before) = (part(new.as_map(), "spec"), part(old.as_map(), "spec"));
    let mut errors = real(new.as_map());
    let (metadata, earlier) = (part(new.as_map(), "metadata"), part(old.as_map(), "metadata"));
    annotations::kept(metadata, earlier, &Path::new("metadata").child("annotations"), &mut errors);
    for field in ["containers", "initContainers"] {
        if list(after, field).len() != list(before, field).len() {
            let why = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(&spec_path.child(field), why));
            return errors;
        }
    }
    let found = deadline(after, before);
    let later = found.iter().any(|error| error.value != Some(Value::Null));
    errors.extend(found);
    if later {
        return errors;
    }
    errors.extend(tolerations(after, before));
    errors.extend(gates(after, before));
    if after == before {
        return errors;
    }
    let mut munged = after.clone();
    for field in ["containers", "initContainers"] {
        for (index, container) in list(before, field).iter().enumerate() {
            munged[field][index]["image"] = container["image"].clone();
        }
    }
    let mut kept = vec!["activeDeadlineSeconds", "tolerations", "schedulingGates"];
    if number(before, "terminationGracePeriodSeconds") < 0 && after["terminationGracePeriodSeconds"] == json!(1) {
        kept.push("terminationGracePeriodSeconds");
    }
    for field in kept {
        restore(&mut munged, before, field);
    }
    if !list(before, "schedulingGates").is_empty() {
        narrowed(&mut munged, before, &spec_path, &mut errors);
    }
    if munged != *before {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        errors.push(FieldError::forbidden(&spec_path, format!("{why}\n{}", difference(before, &munged))));
    }
    errors
}

/// Sets a member to what it was.
fn restore(holder: &mut Value, before: &Value, field: &str) {
    match before.get(field) {
        Some(value) => holder[field] = value.clone(),
        None => {
            holder.as_object_mut().and_then(|members| members.remove(field));
        }
    }
}

/// No scheduler has looked at a gated pod: where it may go can still be narrowed, and is then restored in `munged`.
fn narrowed(munged: &mut Value, before: &Value, path: &Path, errors: &mut ErrorList) {
    let selector = &munged["nodeSelector"];
    let kept = before["nodeSelector"].as_object().into_iter().flatten().all(|(key, value)| selector[key] == *value);
    if !kept {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(FieldError::invalid(&path.child("nodeSelector"), selector.clone(), why));
    }
    restore(munged, before, "nodeSelector");
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let (after, was) = (&munged["affinity"]["nodeAffinity"], &before["affinity"]["nodeAffinity"]);
    let (terms, old_terms) = (list(&after[required], "nodeSelectorTerms"), list(&was[required], "nodeSelectorTerms"));
    let at = path.child("affinity").child("nodeAffinity").child(required).child("nodeSelectorTerms");
    if !old_terms.is_empty() && terms.len() != old_terms.len() {
        let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        let shown = internal::texts("core.v1.NodeSelectorTerm", &terms.to_vec().into());
        errors.push(FieldError::invalid(&at, "", why).showing(shown));
    } else {
        for (index, (term, old)) in terms.iter().zip(old_terms).enumerate() {
            if !only_added(term, old) {
                let shown = internal::text("core.v1.NodeSelectorTerm", term);
                let why = "only additions are allowed (no mutations or deletions)";
                errors.push(FieldError::invalid(&at.index(index), "", why).showing(shown));
            }
        }
    }
    if before["affinity"].is_object() && munged["affinity"].is_object() {
        restore(&mut munged["affinity"], &before["affinity"], "nodeAffinity");
    } else {
        let others = ["podAffinity", "podAntiAffinity"];
        let only_node = |holder: &Value| others.iter().all(|other| holder["affinity"][*other].is_null());
        if only_node(munged) && only_node(before) {
            restore(munged, before, "affinity");
        }
    }
}

fn only_added(term: &Value, old: &Value) -> bool {
    let fields = ["matchExpressions", "matchFields"];
    let empty = fields.iter().all(|field| list(old, field).is_empty());
    let added = fields.iter().any(|field| !list(term, field).is_empty());
    !(empty && added) && fields.iter().all(|field| list(term, field).starts_with(list(old, field)))
}

/// Gates only ever open.
fn gates(after: &Value, before: &Value) -> ErrorList {
    let known: BTreeSet<&str> = list(before, "schedulingGates").iter().map(|gate| text(gate, "name")).collect();
    let path = Path::new("spec").child("schedulingGates");
    let gates = list(after, "schedulingGates").iter().map(|gate| text(gate, "name")).enumerate();
    let new = gates.filter(|(_, name)| !known.contains(name));
    let refused = new.map(|(index, name)| {
        let why = format!("only deletion is allowed, but found new scheduling gate '{name}'");
        FieldError::forbidden(&path.index(index).child("name"), why)
    });
    refused.collect()
}

/// The names of the fields that differ, one a line.
fn difference(before: &Value, after: &Value) -> String {
    let fields =
        |value: &Value| value.as_object().map(|m| m.keys().cloned().collect::<BTreeSet<_>>()).unwrap_or_default();
    let all: BTreeSet<String> = fields(before).union(&fields(after)).cloned().collect();
    let changed = all.into_iter().filter(|f| before.get(f) != after.get(f));
    changed.map(|f| format!("- {f}")).collect::<Vec<_>>().join("\n")
}

fn deadline(after: &Value, before: &Value) -> ErrorList {
    let path = Path::new("spec").child("activeDeadlineSeconds");
    match (after["activeDeadlineSeconds"].as_i64(), before["activeDeadlineSeconds"].as_i64()) {
        (None, Some(_)) => {
            let why = "must not update from a positive integer to nil value";
            vec![FieldError::invalid(&path, Value::Null, why)]
        }
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            vec![FieldError::invalid(&path, new, "must be between 0 and 2147483647, inclusive")]
        }
        (Some(new), Some(old)) if new > old => {
            vec![FieldError::invalid(&path, new, "must be less than or equal to previous value")]
        }
        _ => ErrorList::new(),
    }
}

fn tolerations(after: &Value, before: &Value) -> ErrorList {
    let (new, old) = (list(after, "tolerations"), list(before, "tolerations"));
    // The seconds of a toleration that is there may change; taking one away may not happen.
    let alike = |a: &Value, b: &Value| ["key", "operator", "value", "effect"].iter().all(|f| a[*f] == b[*f]);
    if old.iter().all(|was| new.iter().any(|is| alike(is, was))) {
        return ErrorList::new();
    }
    let why = "existing toleration can not be modified except its tolerationSeconds";
    vec![FieldError::forbidden(&Path::new("spec").child("tolerations"), why)]
}

#[cfg(test)]
mod tests {
    use super::super::validation::tests::whole;
    use super::*;

    fn pod(spec: Value) -> Object {
        Object::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    #[test]
    fn only_a_few_fields_change() {
        let old = pod(whole(|_| {}));
        assert!(update(&pod(whole(|s| s["containers"][0]["image"] = json!("i:2"))), &old).is_empty());
        assert!(update(&pod(whole(|s| s["tolerations"] = json!([{"key": "a"}]))), &old).is_empty());
        let errors = update(&pod(whole(|s| s["hostNetwork"] = json!(true))), &old);
        assert!(errors[0].to_string().contains("pod updates may not change fields other than"));
    }
}
