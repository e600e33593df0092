//! Conditions as all newer kinds have them (k8s.io/apimachinery `pkg/apis/meta/v1/validation`, `ValidateConditions`).

use super::read::{number, text, wrong};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_qualified_name, regex_error};
use serde_json::Value;
use std::collections::BTreeSet;

const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const LONGEST_REASON: usize = 1024;
const LONGEST_MESSAGE: usize = 32 * 1024;

/// A list of them, for a kind's table.
pub fn check(list: &Value, path: &Path, errors: &mut ErrorList) {
    let mut types = BTreeSet::new();
    for (index, condition) in list.as_array().into_iter().flatten().enumerate() {
        let at = path.index(index);
        if !types.insert(text(condition, "type")) {
            errors.push(FieldError::duplicate(&at, text(condition, "type")));
        }
        one(condition, &at, errors);
    }
}

fn one(condition: &Value, path: &Path, errors: &mut ErrorList) {
    let kind = text(condition, "type");
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("type"), "is required"));
    } else {
        wrong(&path.child("type"), kind, is_qualified_name(kind), errors);
    }
    let status = text(condition, "status");
    if status.is_empty() {
        errors.push(FieldError::required(&path.child("status"), ""));
    } else if !STATUSES.contains(&status) {
        errors.push(FieldError::not_supported(&path.child("status"), status, &STATUSES));
    }
    let generation = number(condition, "observedGeneration");
    if generation < 0 {
        let why = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&path.child("observedGeneration"), generation, why));
    }
    if text(condition, "lastTransitionTime").is_empty() {
        errors.push(FieldError::required(&path.child("lastTransitionTime"), ""));
    }
    let (reason, at) = (text(condition, "reason"), path.child("reason"));
    if reason.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        wrong(&at, reason, wrong_reason(reason), errors);
        if reason.len() > LONGEST_REASON {
            errors.push(FieldError::too_long(&at, LONGEST_REASON));
        }
    }
    if text(condition, "message").len() > LONGEST_MESSAGE {
        errors.push(FieldError::too_long(&path.child("message"), LONGEST_MESSAGE));
    }
}

fn wrong_reason(reason: &str) -> Vec<String> {
    let good = reason.starts_with(|c: char| c.is_ascii_alphabetic())
        && reason.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && reason.bytes().all(|b| b.is_ascii_alphanumeric() || b"_,:".contains(&b));
    if good {
        return Vec::new();
    }
    vec![regex_error(
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
        &["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
    )]
}

#[cfg(test)]
mod tests {
    use super::super::read::told;
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_say_what_when_and_why() {
        let texts = |list: Value| told(|errors| check(&list, &Path::new("c"), errors));
        let good = json!({"type": "A", "status": "True", "reason": "B", "lastTransitionTime": "2024-01-01T00:00:00Z"});
        assert!(texts(json!([good])).is_empty());
        assert_eq!(texts(json!([good, good])), ["c[1]: Duplicate value: \"A\""]);
        assert_eq!(
            texts(json!([{}])),
            [
                "c[0].type: Required value: is required",
                "c[0].status: Required value",
                "c[0].lastTransitionTime: Required value",
                "c[0].reason: Required value",
            ]
        );
    }
}
