//! The status of a job: what its conditions, times and indexes must be together, and what never goes back
//! (k8s.io/kubernetes `pkg/apis/batch/validation`, `ValidateJobStatusUpdate`).

use super::indexes::{overlap, total};
use crate::registry::kinds::read::{list, not_negative, number, part, text};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::Value;
use std::collections::BTreeSet;

struct View<'a> {
    spec: &'a Value,
    status: &'a Value,
}

impl<'a> View<'a> {
    fn of(object: &'a Object) -> Self {
        Self { spec: part(object.as_map(), "spec"), status: part(object.as_map(), "status") }
    }

    fn has(&self, kind: &str, value: &str) -> bool {
        let conditions = list(self.status, "conditions").iter();
        conditions.into_iter().any(|condition| text(condition, "type") == kind && text(condition, "status") == value)
    }

    fn is(&self, kind: &str) -> bool {
        self.has(kind, "True")
    }

    fn is_finished(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }
}

/// An invalid value that upstream does not print.
fn omitted(path: &Path, why: impl Into<String>) -> FieldError {
    FieldError { value: None, ..FieldError::invalid(path, "", why) }
}

pub fn check(new: &Object, old: &Object, errors: &mut ErrorList) {
    let (new, old) = (View::of(new), View::of(old));
    let path = Path::new("status");
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        not_negative(&path.child(field), number(new.status, field), errors);
    }
    uncounted(&new, &path, errors);
    conditions(&new, &old, &path, errors);
    times(&new, &old, &path, errors);
    finished(&new, &old, &path, errors);
    indexes(&new, &old, &path, errors);
    backwards(&new, &old, &path, errors);
}

fn uncounted(new: &View<'_>, path: &Path, errors: &mut ErrorList) {
    let mut seen = BTreeSet::new();
    for field in ["succeeded", "failed"] {
        let pods = list(&new.status["uncountedTerminatedPods"], field);
        for (index, uid) in pods.iter().filter_map(Value::as_str).enumerate() {
            let at = path.child("uncountedTerminatedPods").child(field).index(index);
            if uid.is_empty() {
                errors.push(FieldError::invalid(&at, uid, "must not be empty"));
            } else if !seen.insert(uid) {
                errors.push(FieldError::duplicate(&at, uid));
            }
        }
    }
}

/// Conditions that do not go together. Those that did not change are left as they are.
fn conditions(new: &View<'_>, old: &View<'_>, path: &Path, errors: &mut ErrorList) {
    let changed = |kind: &str| new.is(kind) != old.is(kind);
    let (complete, failed) = (new.is("Complete"), new.is("Failed"));
    let (met, target) = (new.is("SuccessCriteriaMet"), new.is("FailureTarget"));
    let indexes = new.status["failedIndexes"] != old.status["failedIndexes"];
    let cases = [
        (
            (changed("Complete") || changed("Failed")) && complete && failed,
            "cannot set Complete=True and Failed=true conditions",
        ),
        (
            (changed("Complete") || changed("FailureTarget")) && complete && target,
            "cannot set Complete=True and FailureTarget=true conditions",
        ),
        (
            (changed("Failed") || indexes) && failed && !target,
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            (changed("Complete") || changed("SuccessCriteriaMet")) && complete && !met,
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (met && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        (met && target, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
        (
            new.spec["successPolicy"].is_object() && !met && complete,
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        ),
    ];
    let at = path.child("conditions");
    errors.extend(cases.iter().filter(|(wrong, _)| *wrong).map(|(_, why)| omitted(&at, *why)));
}

fn times(new: &View<'_>, old: &View<'_>, path: &Path, errors: &mut ErrorList) {
    let complete = new.is("Complete");
    let (start, end) = (&new.status["startTime"], &new.status["completionTime"]);
    let (start_changed, end_changed) = (*start != old.status["startTime"], *end != old.status["completionTime"]);
    let at = path.child("completionTime");
    if complete != old.is("Complete") || end_changed {
        if !end.is_null() && !complete {
            let why = "cannot set completionTime when there is no Complete=True condition";
            errors.push(FieldError::invalid(&at, end.clone(), why));
        }
        if end.is_null() && complete {
            errors.push(FieldError::required(&at, "completionTime is required for Complete jobs"));
        }
    }
    // Times of this form sort as they follow each other.
    if (start_changed || end_changed) && start.as_str().zip(end.as_str()).is_some_and(|(start, end)| end < start) {
        errors.push(FieldError::invalid(&at, end.clone(), "must be equal to or after `startTime`"));
    }
    if !end.is_null() && !old.status["completionTime"].is_null() && end_changed {
        errors.push(FieldError::invalid(&at, end.clone(), "field is immutable"));
    }
    let resuming = old.is("Suspended") && new.has("Suspended", "False");
    let set = !old.status["startTime"].is_null();
    if start_changed && !resuming && set && new.spec["suspend"] != true {
        let why = "field is immutable for unsuspended job once set";
        errors.push(FieldError::invalid(&path.child("startTime"), start.clone(), why));
    }
}

fn finished(new: &View<'_>, old: &View<'_>, path: &Path, errors: &mut ErrorList) {
    let changed = |field: &str| new.status[field] != old.status[field];
    let now = new.is_finished();
    let turned = now != old.is_finished();
    for field in ["active", "terminating"] {
        let count = number(new.status, field);
        if now && (turned || changed(field)) && count > 0 {
            let why = format!("{field}>0 is invalid for finished job");
            errors.push(FieldError::invalid(&path.child(field), count, why));
        }
    }
    let nothing_to_do = new.spec["suspend"] == true && new.spec["completions"] == 0;
    if now && (turned || changed("startTime")) && !nothing_to_do && new.status["startTime"].is_null() {
        errors.push(FieldError::required(&path.child("startTime"), "startTime is required for finished job"));
    }
    let pods = &new.status["uncountedTerminatedPods"];
    let any = !list(pods, "failed").is_empty() || !list(pods, "succeeded").is_empty();
    if now && (turned || changed("uncountedTerminatedPods")) && any {
        let shown = crate::registry::kinds::internal::text("batch.v1.UncountedTerminatedPods", pods);
        let at = path.child("uncountedTerminatedPods");
        errors.push(FieldError::invalid(&at, "", "must be empty for finished job").showing(shown));
    }
    let (ready, active) = (number(new.status, "ready"), number(new.status, "active"));
    if (changed("ready") || changed("active")) && !new.status["ready"].is_null() && ready > active {
        errors.push(FieldError::invalid(&path.child("ready"), ready, "cannot set more ready pods than active"));
    }
}

fn indexes(new: &View<'_>, old: &View<'_>, path: &Path, errors: &mut ErrorList) {
    let completed = text(new.status, "completedIndexes");
    let failed = new.status["failedIndexes"].as_str();
    let completed_changed = completed != text(old.status, "completedIndexes");
    let failed_changed = failed != old.status["failedIndexes"].as_str();
    let completions = new.spec["completions"].as_i64();
    let per_index = !new.spec["backoffLimitPerIndex"].is_null();
    let (completed_at, failed_at) = (path.child("completedIndexes"), path.child("failedIndexes"));
    if completed_changed && !completed.is_empty() {
        if let Some(why) = completions.and_then(|count| total(completed, count).err()) {
            let why = format!("error parsing completedIndexes: {why}");
            errors.push(FieldError::invalid(&completed_at, completed, why));
        }
        if text(new.spec, "completionMode") != "Indexed" {
            let why = "cannot set non-empty completedIndexes when non-indexed completion mode";
            errors.push(FieldError::invalid(&completed_at, completed, why));
        }
    }
    let Some(failed) = failed else { return };
    if failed_changed {
        if let Some(why) = completions.filter(|_| per_index).and_then(|count| total(failed, count).err()) {
            errors.push(FieldError::invalid(&failed_at, failed, format!("error parsing failedIndexes: {why}")));
        }
        if !per_index {
            let why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
            errors.push(FieldError::invalid(&failed_at, failed, why));
        }
    }
    if (failed_changed || completed_changed)
        && let Some(index) = completions.and_then(|count| overlap(completed, failed, count))
    {
        let why = format!("failedIndexes and completedIndexes overlap at index: {index}");
        errors.push(FieldError::invalid(&failed_at, failed, why));
    }
}

/// What never goes back.
fn backwards(new: &View<'_>, old: &View<'_>, path: &Path, errors: &mut ErrorList) {
    let at = path.child("conditions");
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if old.is(kind) && !new.is(kind) {
            errors.push(omitted(&at, format!("cannot disable the terminal {kind}=True condition")));
        }
    }
    let elastic = text(new.spec, "completionMode") == "Indexed" && new.spec["completions"] == new.spec["parallelism"];
    for field in ["failed", "succeeded"] {
        let count = number(new.status, field);
        if count < number(old.status, field) && !(field == "succeeded" && elastic) {
            let why = format!("cannot decrease the {field} counter");
            errors.push(FieldError::invalid(&path.child(field), count, why));
        }
    }
    let (was, is) = (old.is("SuccessCriteriaMet"), new.is("SuccessCriteriaMet"));
    if was && !is {
        errors.push(omitted(&at, "cannot disable the SuccessCriteriaMet=True condition"));
    }
    if old.is("Complete") && !was && is {
        let why = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        errors.push(omitted(&at, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::read::told;
    use serde_json::json;

    #[test]
    fn what_a_status_may_not_say() {
        let job = |status: Value| {
            Object::from_value(json!({"spec": {"completions": 3, "completionMode": "Indexed"}, "status": status}))
                .unwrap()
        };
        let texts = |new: Value, old: Value| told(|errors| check(&job(new), &job(old), errors));
        assert!(texts(json!({"active": 1, "ready": 1, "completedIndexes": "0,1"}), json!({})).is_empty());
        assert_eq!(
            texts(json!({"ready": 2, "active": 1}), json!({})),
            ["status.ready: Invalid value: 2: cannot set more ready pods than active"]
        );
        assert_eq!(
            texts(json!({"completionTime": "2024-02-03T04:05:06Z"}), json!({})),
            [
                "status.completionTime: Invalid value: \"2024-02-03T04:05:06Z\": cannot set completionTime when there is no Complete=True condition"
            ]
        );
        assert_eq!(
            texts(json!({"completedIndexes": "x"}), json!({})),
            [
                "status.completedIndexes: Invalid value: \"x\": error parsing completedIndexes: cannot convert string to integer for index: \"x\""
            ]
        );
        assert_eq!(
            texts(json!({}), json!({"failed": 1})),
            ["status.failed: Invalid value: 0: cannot decrease the failed counter"]
        );
    }
}
