//! Reading decoded objects for validation: an absent member reads as Go's zero value.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::quantity::Quantity;
use serde_json::{Map, Value};
use std::str::FromStr as _;

pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

pub fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

pub fn number(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap_or(0)
}

/// A member of an object that may not be there.
pub fn part<'a>(object: &'a Map<String, Value>, field: &str) -> &'a Value {
    object.get(field).unwrap_or(&Value::Null)
}

pub fn quantity(value: &Value) -> Option<Quantity> {
    value.as_str().and_then(|text| Quantity::from_str(text).ok())
}

/// Reports what a rule for texts finds wrong.
pub fn wrong(path: &Path, value: &str, why: Vec<String>, errors: &mut ErrorList) {
    errors.extend(why.into_iter().map(|why| FieldError::invalid(path, value, why)));
}

/// "Required value" for an empty text, otherwise what the rule finds wrong.
pub fn needed(path: &Path, value: &str, rule: impl Fn(&str) -> Vec<String>, errors: &mut ErrorList) {
    if value.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else {
        wrong(path, value, rule(value), errors);
    }
}

/// "Required value" for an empty text, otherwise what is wrong with it as a label of a DNS name.
pub fn needed_label(path: &Path, value: &str, errors: &mut ErrorList) {
    needed(path, value, apimachinery::validation::is_dns1123_label, errors);
}

/// Refuses a text that is there and not one of those.
pub fn one_of(path: &Path, value: &Value, allowed: &[&str], errors: &mut ErrorList) {
    if let Some(text) = value.as_str().filter(|text| !allowed.contains(text)) {
        errors.push(FieldError::not_supported(path, text, allowed));
    }
}

/// The rule of most references by name.
pub fn subdomain(name: &str) -> Vec<String> {
    apimachinery::validation::name_is_dns_subdomain(name, false)
}

/// A count, in the words that most rules have for one below zero.
pub fn not_negative(path: &Path, count: i64, errors: &mut ErrorList) {
    if count < 0 {
        errors.push(FieldError::invalid(path, count, "must be greater than or equal to 0"));
    }
}

/// What a rule says, for tests.
#[cfg(test)]
pub fn told(rule: impl FnOnce(&mut ErrorList)) -> Vec<String> {
    let mut errors = ErrorList::new();
    rule(&mut errors);
    errors.iter().map(ToString::to_string).collect()
}

/// The number of a percentage such as `25%`.
pub fn percent(value: &Value) -> Option<i64> {
    let digits = value.as_str()?.strip_suffix('%')?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// A number that is not negative, or a percentage (`ValidatePositiveIntOrPercent`).
pub fn int_or_percent(value: &Value, path: &Path, errors: &mut ErrorList) {
    match value {
        Value::String(text) if percent(value).is_none() => {
            let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
            errors.push(FieldError::invalid(path, text.as_str(), why));
        }
        Value::Number(_) if value.as_i64().is_some_and(|n| n < 0) => {
            errors.push(FieldError::invalid(path, value.clone(), "must be greater than or equal to 0"));
        }
        _ => {}
    }
}

/// A percentage of at most the whole.
pub fn at_most_all(value: &Value, path: &Path, errors: &mut ErrorList) {
    if percent(value).is_some_and(|n| n > 100) {
        errors.push(FieldError::invalid(path, value.clone(), "must not be greater than 100%"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn percentages() {
        let check = |value: Value| {
            let mut errors = ErrorList::new();
            int_or_percent(&value, &Path::new("a"), &mut errors);
            at_most_all(&value, &Path::new("a"), &mut errors);
            errors.len()
        };
        for (value, count) in [(json!(0), 0), (json!(-1), 1), (json!("50%"), 0), (json!("101%"), 1), (json!("x"), 1)] {
            assert_eq!(check(value.clone()), count, "{value}");
        }
    }
}
