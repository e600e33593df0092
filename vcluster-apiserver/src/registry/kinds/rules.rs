//! Validation that can be said as data: where something stands in an object, and what it must be
//! (k8s.io/kubernetes `pkg/apis/*/validation`, read as tables).
//!
//! A place is written `spec.rules[].http.paths[].pathType`; `[]` is every element of a list, `{}` every value of a map.
//! What needs more than one place at a time is a function of the kind and does not belong here.

use super::read::not_negative;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_label_value, is_qualified_name, validate_labels};
use serde_json::{Map, Value};

/// What a value must be. Absent values pass all but the needed ones.
#[derive(Clone, Copy)]
pub enum Check {
    /// There, and not empty; the text is what upstream adds to "Required value".
    Needed(&'static str),
    /// As [`Check::Needed`], but empty objects count as there: a pointer that is not nil.
    Present(&'static str),
    /// A text that the function finds nothing wrong with.
    Text(fn(&str) -> Vec<String>),
    /// One of these texts, which upstream prints in this order.
    OneOf(&'static [&'static str]),
    /// The same, where an empty text that is there is none of them: a pointer.
    Given(&'static [&'static str]),
    /// One of these texts; an empty one is "Required value".
    NeededOneOf(&'static [&'static str]),
    /// A number that is not below zero.
    NotNegative,
    /// A `LabelSelector`.
    Selector,
    /// A map of labels.
    Labels,
    /// Whatever the function says.
    By(fn(&Value, &Path, &mut ErrorList)),
}

/// One line of a kind's table.
pub type Rule = (&'static str, Check);

/// Everything that the rules find in `root`, whose place is `path`.
pub fn check(root: &Value, path: &Path, rules: &[Rule]) -> ErrorList {
    let mut errors = ErrorList::new();
    for &(place, check) in rules {
        walk(root, path, place, check, &mut errors);
    }
    errors
}

/// The same for a whole object.
pub fn check_map(root: &Map<String, Value>, rules: &[Rule]) -> ErrorList {
    let mut errors = ErrorList::new();
    for &(place, check) in rules {
        let (name, rest) = next(place);
        let value = root.get(name).unwrap_or(&Value::Null);
        step(value, &Path::new(name), rest, check, &mut errors);
    }
    errors
}

/// The first member of a place, and what follows it.
fn next(place: &'static str) -> (&'static str, &'static str) {
    let end = place.find(['.', '[', '{']).unwrap_or(place.len());
    place.split_at(end)
}

fn walk(value: &Value, path: &Path, place: &'static str, check: Check, errors: &mut ErrorList) {
    if place.is_empty() {
        return judge(value, path, check, errors);
    }
    let (name, rest) = next(place);
    step(value.get(name).unwrap_or(&Value::Null), &path.child(name), rest, check, errors);
}

fn step(value: &Value, path: &Path, rest: &'static str, check: Check, errors: &mut ErrorList) {
    if let Some(rest) = rest.strip_prefix("[]") {
        for (index, element) in value.as_array().into_iter().flatten().enumerate() {
            step(element, &path.index(index), rest, check, errors);
        }
    } else if let Some(rest) = rest.strip_prefix("{}") {
        for (key, element) in value.as_object().into_iter().flatten() {
            step(element, &path.key(key), rest, check, errors);
        }
    } else if let Some(rest) = rest.strip_prefix('.') {
        // What stands below something that is not there is not asked for.
        if value.is_object() {
            walk(value, path, rest, check, errors);
        }
    } else {
        judge(value, path, check, errors);
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(_) => false,
    }
}

fn judge(value: &Value, path: &Path, check: Check, errors: &mut ErrorList) {
    let text = value.as_str().unwrap_or_default();
    match check {
        Check::Needed(why) => {
            if is_empty(value) {
                errors.push(FieldError::required(path, why));
            }
        }
        Check::Present(why) => {
            if value.is_null() {
                errors.push(FieldError::required(path, why));
            }
        }
        Check::Text(wrong) => {
            if !text.is_empty() {
                errors.extend(wrong(text).into_iter().map(|why| FieldError::invalid(path, text, why)));
            }
        }
        Check::OneOf(allowed) => {
            if !text.is_empty() && !allowed.contains(&text) {
                errors.push(FieldError::not_supported(path, text, allowed));
            }
        }
        Check::Given(allowed) => {
            if value.is_string() && !allowed.contains(&text) {
                errors.push(FieldError::not_supported(path, text, allowed));
            }
        }
        Check::NeededOneOf(allowed) => {
            if text.is_empty() {
                errors.push(FieldError::required(path, ""));
            } else if !allowed.contains(&text) {
                errors.push(FieldError::not_supported(path, text, allowed));
            }
        }
        Check::NotNegative => {
            if let Some(count) = value.as_i64() {
                not_negative(path, count, errors);
            }
        }
        Check::Selector => label_selector(value, path, errors),
        Check::Labels => labels(value, path, errors),
        Check::By(judge) => judge(value, path, errors),
    }
}

/// A map of labels in its own right: keys are qualified names, values label values.
pub fn labels(value: &Value, path: &Path, errors: &mut ErrorList) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        errors.extend(is_qualified_name(key).into_iter().map(|why| FieldError::invalid(path, key.as_str(), why)));
        errors.extend(is_label_value(value).into_iter().map(|why| FieldError::invalid(path, value, why)));
    }
}

/// A `LabelSelector` (`ValidateLabelSelector`).
pub fn label_selector(value: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(selector) = value.as_object() else { return };
    errors.extend(validate_labels(selector, "matchLabels", path));
    for (index, term) in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let at = path.child("matchExpressions").index(index);
        let values = term["values"].as_array().map(Vec::as_slice).unwrap_or_default();
        let operator = term["operator"].as_str().unwrap_or_default();
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let why = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(&at.child("values"), why));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&at.child("values"), why));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.push(FieldError::invalid(&at.child("operator"), operator, "not a valid selector operator")),
        }
        let key = term["key"].as_str().unwrap_or_default();
        errors.extend(is_qualified_name(key).into_iter().map(|why| FieldError::invalid(&at.child("key"), key, why)));
        for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
            let place = at.child("values").index(index);
            errors.extend(is_label_value(value).into_iter().map(|why| FieldError::invalid(&place, value, why)));
        }
    }
}

/// "field is immutable" for every listed place (members only) that changed.
pub fn fixed(new: &Map<String, Value>, old: &Map<String, Value>, places: &[&'static str]) -> ErrorList {
    let find = |root: &Map<String, Value>, place: &str| -> Value {
        let mut names = place.split('.');
        let first = names.next().and_then(|name| root.get(name)).cloned().unwrap_or_default();
        names.fold(first, |value, name| value.get(name).cloned().unwrap_or_default())
    };
    let changed = places.iter().filter_map(|place| {
        let value = find(new, place);
        if value == find(old, place) {
            return None;
        }
        let path = place.split('.').fold(Path::root(), |path, name| path.child(name));
        Some(FieldError::invalid(&path, value, "field is immutable"))
    });
    changed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use apimachinery::validation::is_dns1123_label;
    use serde_json::json;

    const RULES: &[Rule] = &[
        ("spec.size", Check::NotNegative),
        ("spec.parts", Check::Needed("at least one")),
        ("spec.parts[].name", Check::Needed("")),
        ("spec.parts[].name", Check::Text(is_dns1123_label)),
        ("spec.parts[].mode", Check::NeededOneOf(&["A", "B"])),
        ("spec.where", Check::Selector),
        ("spec.limits{}.max", Check::NotNegative),
    ];

    fn texts(value: Value) -> Vec<String> {
        check_map(value.as_object().unwrap(), RULES).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_rule_names_its_place() {
        let good = json!({"spec": {"size": 0, "parts": [{"name": "a", "mode": "A"}], "limits": {"x": {"max": 5}}}});
        assert_eq!(texts(good), Vec::<String>::new());
        let bad = json!({"spec": {"size": -1, "parts": [{"mode": "C"}, {"name": "x"}],
            "where": {"matchExpressions": [{"key": "a", "operator": "In"}]}, "limits": {"x": {"max": -9}}}});
        assert_eq!(
            texts(bad),
            [
                "spec.size: Invalid value: -1: must be greater than or equal to 0",
                "spec.parts[0].name: Required value",
                "spec.parts[0].mode: Unsupported value: \"C\": supported values: \"A\", \"B\"",
                "spec.parts[1].mode: Required value",
                "spec.where.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
                "spec.limits[x].max: Invalid value: -9: must be greater than or equal to 0",
            ]
        );
        assert_eq!(texts(json!({"spec": {}})), ["spec.parts: Required value: at least one"]);
    }

    #[test]
    fn fixed_places_are_compared() {
        let map = |value: Value| value.as_object().unwrap().clone();
        let (old, new) = (map(json!({"spec": {"a": 1, "b": 1}})), map(json!({"spec": {"a": 2, "b": 1}})));
        let errors = fixed(&new, &old, &["spec.a", "spec.b"]);
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].to_string(), "spec.a: Invalid value: 2: field is immutable");
    }
}
