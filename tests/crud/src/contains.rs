//! Whether an answer holds what was sent: servers add members and elements, and leave out empty members.

use serde_json::Value;

/// The first place of `sent` that `got` does not have as it is.
pub fn missing(sent: &Value, got: &Value) -> Option<String> {
    match (sent, got) {
        (Value::Object(sent), Value::Object(got)) => sent.iter().find_map(|(name, value)| {
            let inner = missing(value, got.get(name).unwrap_or(&Value::Null))?;
            Some(format!(".{name}{inner}"))
        }),
        (Value::Array(sent), Value::Array(got)) => {
            let lost = sent.iter().position(|sent| got.iter().all(|got| missing(sent, got).is_some()))?;
            let instead = missing(&sent[lost], got.get(lost).unwrap_or(&Value::Null))?;
            Some(format!("[{lost}]{instead}"))
        }
        (sent, Value::Null) if is_empty(sent) => None,
        (sent, got) => (sent != got).then(|| format!(": {sent} became {got}")),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        value => *value == false || *value == 0 || *value == "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_may_come_but_not_go() {
        let sent = json!({"a": {"b": [1, {"c": 2}]}});
        assert_eq!(missing(&sent, &json!({"a": {"b": [1, {"c": 2, "d": 3}]}, "e": 4})), None);
        assert_eq!(missing(&json!({"a": false, "b": []}), &json!({})), None);
        let other = json!({"a": {"b": [1, {"d": 3}]}});
        assert_eq!(missing(&sent, &other).as_deref(), Some(".a.b[1].c: 2 became null"));
    }
}
