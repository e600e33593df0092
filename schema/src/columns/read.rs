//! Reading parts of an object for a row, with Go's zero values for what is absent.

use apimachinery::time::{human_duration, parse_micro_time, parse_time};
use jiff::Timestamp;
use serde_json::Value;

/// The object and the time of printing.
pub(super) struct Row<'a> {
    pub(super) object: &'a Value,
    pub(super) now: Timestamp,
}

/// The value at a path.
pub(super) fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(value, |value, name| &value[*name])
}

pub(super) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

pub(super) fn number(value: &Value, path: &[&str]) -> i64 {
    at(value, path).as_i64().unwrap_or(0)
}

pub(super) fn flag(value: &Value, path: &[&str]) -> bool {
    at(value, path).as_bool().unwrap_or(false)
}

pub(super) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// `fallback` for the empty text.
pub(super) fn or<'a>(text: &'a str, fallback: &'a str) -> &'a str {
    if text.is_empty() { fallback } else { text }
}

/// The text of an int-or-string or a scalar.
pub(super) fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

impl<'a> Row<'a> {
    pub(super) fn at(&self, path: &[&str]) -> &'a Value {
        at(self.object, path)
    }

    pub(super) fn text(&self, path: &[&str]) -> &'a str {
        text(self.object, path)
    }

    pub(super) fn number(&self, path: &[&str]) -> i64 {
        number(self.object, path)
    }

    pub(super) fn list(&self, path: &[&str]) -> &'a [Value] {
        list(self.object, path)
    }

    /// How many members an object or list has.
    pub(super) fn count(&self, path: &[&str]) -> usize {
        match self.at(path) {
            Value::Object(map) => map.len(),
            Value::Array(list) => list.len(),
            _ => 0,
        }
    }

    pub(super) fn name(&self) -> Value {
        self.text(&["metadata", "name"]).into()
    }

    pub(super) fn age(&self) -> Value {
        self.since(self.text(&["metadata", "creationTimestamp"])).into()
    }

    /// How long ago a time was; `<unknown>` for none.
    pub(super) fn since(&self, time: &str) -> String {
        match moment(time) {
            Some(time) => human_duration(self.now.duration_since(time)),
            None => "<unknown>".into(),
        }
    }

    pub(super) fn is_terminating(&self) -> bool {
        !self.at(&["metadata", "deletionTimestamp"]).is_null()
    }

    /// The status of the first condition of that type.
    pub(super) fn condition(&self, kind: &str) -> Option<&'a str> {
        let conditions = self.list(&["status", "conditions"]);
        conditions.iter().find(|condition| condition["type"] == kind).map(|condition| text(condition, &["status"]))
    }

    /// Names and images of containers, as the two wide columns show them.
    pub(super) fn containers(&self, path: &[&str]) -> [Value; 2] {
        ["name", "image"].map(|part| joined(self.list(path).iter().map(|c| text(c, &[part])), ",").into())
    }
}

pub(super) fn moment(time: &str) -> Option<Timestamp> {
    parse_time(time).or_else(|_| parse_micro_time(time)).ok()
}

pub(super) fn joined<'a>(texts: impl Iterator<Item = &'a str>, separator: &str) -> String {
    texts.collect::<Vec<_>>().join(separator)
}

/// `a=b,c=d`, or `<none>`.
pub(super) fn labels(map: &Value) -> String {
    let pairs: Vec<String> =
        map.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    or(&pairs.join(","), "<none>").into()
}

/// A `LabelSelector` in the form of the query parameter; empty when it selects everything or nothing.
pub(super) fn selector(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut parts: Vec<(&str, String)> =
        labels.map(|(key, value)| (key.as_str(), format!("{key}={}", value.as_str().unwrap_or_default()))).collect();
    for expression in list(selector, &["matchExpressions"]) {
        let key = text(expression, &["key"]);
        let mut values: Vec<&str> = list(expression, &["values"]).iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let part = match text(expression, &["operator"]) {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => return "<error>".into(),
        };
        parts.push((key, part));
    }
    parts.sort_by(|a, b| a.0.cmp(b.0));
    parts.into_iter().map(|(_, part)| part).collect::<Vec<_>>().join(",")
}

/// As [`selector`], with `<none>` for the empty one.
pub(super) fn selector_or_none(value: &Value) -> Value {
    or(&selector(value), "<none>").into()
}

/// The first of a list and how many more there are; `<unset>` for none.
pub(super) fn with_more(texts: &[String], most: usize) -> String {
    if texts.len() > most {
        return format!("{} + {} more...", texts[..most].join(","), texts.len() - most);
    }
    or(&texts.join(","), "<unset>").into()
}
