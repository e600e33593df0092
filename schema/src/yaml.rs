//! YAML bodies as JSON, and JSON as YAML (sigs.k8s.io/yaml). What counts is upstream's reading: numbers with a leading
//! zero are octal, `yes` and `on` are true, the last of several equal keys wins unless strictness is asked for.
//!
//! Aliases are bounded, so that a small body cannot become a large object.

use serde_json::Value;
use serde_saphyr::options::{DuplicateKeyPolicy, Options};

/// Nodes that aliases may add up to; upstream stops where aliases outgrow the document.
const MAX_ALIASED: usize = 100_000;

/// A body that is no YAML. The display form starts as upstream's does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error converting YAML to JSON: yaml: {0}")]
pub struct YamlError(String);

fn read(text: &str, duplicate_keys: DuplicateKeyPolicy) -> Result<Value, serde_saphyr::Error> {
    let mut options = Options::default();
    options.duplicate_keys = duplicate_keys;
    options.legacy_octal_numbers = true;
    options.alias_limits.max_total_replayed_events = MAX_ALIASED;
    serde_saphyr::from_str_with_options(text, options)
}

/// Reads a YAML (or JSON) body. The second part is what strictness has to say: a key that stands twice.
///
/// # Errors
/// When the body is no single YAML document or has no JSON form.
pub fn from_yaml(body: &[u8]) -> Result<(Value, Vec<String>), YamlError> {
    let text = std::str::from_utf8(body).map_err(|_| YamlError("control characters are not allowed".into()))?;
    let first_line = |error: &serde_saphyr::Error| {
        let place = error.location().map_or(String::new(), |place| format!("line {}: ", place.line()));
        let what = error.to_string();
        format!("{place}{}", what.lines().next().unwrap_or_default())
    };
    // Nearly every body is read once: only one that is not well is read again, without strictness.
    let strict = match read(text, DuplicateKeyPolicy::Error) {
        Ok(value) => return Ok((value, Vec::new())),
        Err(error) => error,
    };
    let value = read(text, DuplicateKeyPolicy::LastWins).map_err(|error| YamlError(first_line(&error)))?;
    let twice = match strict.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { key, location } => {
            let key = key.as_deref().unwrap_or_default();
            vec![format!("yaml: unmarshal errors:\n  line {}: key {key:?} already set in map", location.line())]
        }
        _ => Vec::new(),
    };
    Ok((value, twice))
}

/// Prints a tree as YAML.
///
/// # Errors
/// Never for a JSON tree; the serializer's signature has an error.
pub fn to_yaml(value: &Value) -> Result<String, YamlError> {
    serde_saphyr::to_string(value).map_err(|error| YamlError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn bodies_become_the_json_that_upstream_sees() {
        let body = "a: yes\nb: 017\nc: \"1\"\nd: [1, 2.5, null]\ne:\n  f: |\n    x\n    y\n";
        let want = json!({"a": true, "b": 15, "c": "1", "d": [1, 2.5, null], "e": {"f": "x\ny\n"}});
        assert_eq!(from_yaml(body.as_bytes()), Ok((want, Vec::new())));
    }

    #[test]
    fn a_key_twice_is_reported_with_its_line_and_the_last_wins() {
        let (value, strict) = from_yaml(b"a: 1\nb:\n  c: 1\n  c: 2\n").expect("lenient");
        assert_eq!(value, json!({"a": 1, "b": {"c": 2}}));
        assert_eq!(strict, ["yaml: unmarshal errors:\n  line 4: key \"c\" already set in map"]);
    }

    #[test]
    fn hostile_bodies_end_in_errors() {
        let mut laughs = String::from("a: &a [x,x,x,x,x,x,x,x,x,x]\n");
        for (next, last) in ["b", "c", "d", "e", "f", "g", "h"].iter().zip(["a", "b", "c", "d", "e", "f", "g"]) {
            let many = vec![format!("*{last}"); 10].join(",");
            laughs += format!("{next}: &{next} [{many}]\n").as_str();
        }
        for body in ["a: [", "\u{1}", "a: b: c", laughs.as_str(), "[".repeat(100_000).as_str()] {
            assert!(from_yaml(body.as_bytes()).is_err(), "{}", &body[..body.len().min(20)]);
        }
    }

    proptest! {
        #[test]
        fn printed_trees_are_read_back(key in "[a-z]{1,5}", text in ".{0,20}", number: i64, flag: bool) {
            let value = json!({key: {"text": text, "list": [number, flag, null]}});
            let printed = to_yaml(&value).expect("printed");
            prop_assert_eq!(from_yaml(printed.as_bytes()).map(|(value, _)| value), Ok(value), "{}", printed);
        }
    }
}
