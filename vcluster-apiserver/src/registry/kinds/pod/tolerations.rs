//! Tolerations, of pods and of runtime classes (`ValidateTolerations`).

use crate::registry::kinds::read::{text, wrong};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_label_value, is_qualified_name};
use serde_json::Value;

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub fn check(tolerations: &[Value], path: &Path, errors: &mut ErrorList) {
    for (index, toleration) in tolerations.iter().enumerate() {
        one(toleration, &path.index(index), errors);
    }
}

fn one(toleration: &Value, path: &Path, errors: &mut ErrorList) {
    let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
    let (value, effect) = (text(toleration, "value"), text(toleration, "effect"));
    if !key.is_empty() {
        wrong(&path.child("key"), key, is_qualified_name(key), errors);
    }
    if key.is_empty() && operator != "Exists" {
        let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(FieldError::invalid(&path.child("operator"), operator, why));
    }
    if !toleration["tolerationSeconds"].is_null() && effect != "NoExecute" {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.push(FieldError::invalid(&path.child("effect"), effect, why));
    }
    match operator {
        "Equal" | "" => {
            let found = is_label_value(value);
            if !found.is_empty() {
                errors.push(FieldError::invalid(&path.child("operator"), value, found.join(";")));
            }
        }
        "Exists" => {
            if !value.is_empty() {
                let why = "value must be empty when `operator` is 'Exists'";
                errors.push(FieldError::invalid(&path.child("operator"), value, why));
            }
        }
        "Lt" | "Gt" => {
            let operators = ["Equal", "Exists", "Lt", "Gt"];
            errors.push(FieldError::not_supported(&path.child("operator"), operator, &operators));
        }
        other => errors.push(FieldError::not_supported(&path.child("operator"), other, &["Equal", "Exists"])),
    }
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        errors.push(FieldError::not_supported(&path.child("effect"), effect, &EFFECTS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_refused() {
        let cases = [
            (json!({"key": "a", "operator": "Exists"}), ""),
            (json!({"operator": "Exists"}), ""),
            (
                json!({"operator": "Equal"}),
                "t[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            ),
            (
                json!({"key": "a", "operator": "X"}),
                "t[0].operator: Unsupported value: \"X\": supported values: \"Equal\", \"Exists\"",
            ),
            (
                json!({"key": "a", "effect": "X"}),
                "t[0].effect: Unsupported value: \"X\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
            ),
        ];
        for (toleration, expected) in cases {
            let mut errors = ErrorList::new();
            check(&[toleration], &Path::new("t"), &mut errors);
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), expected);
        }
    }
}
