//! An object that was refused, changed by what the refusals say of it, so that the next try comes further.
//!
//! A field that is not liked gets, one refusal after the other: the first value that the refusal lists, its own value in
//! small letters, the value of a valid object of the same resource. After that it goes, and what it stands in.

use super::edit::{Edit, Place};
use serde_json::Value;
use std::collections::BTreeMap;

/// Changes one object.
pub struct Mender<'a> {
    /// An object of the same resource that would be accepted.
    valid: &'a Value,
    /// How often each field was refused.
    refused: BTreeMap<String, usize>,
}

impl<'a> Mender<'a> {
    pub fn new(valid: &'a Value) -> Self {
        Self { valid, refused: BTreeMap::new() }
    }

    /// Changes `object` by a Status. Whether that made a difference.
    pub fn mend(&mut self, object: &mut Value, refusal: &Value) -> bool {
        let before = object.clone();
        let causes = refusal["details"]["causes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |cause: &Value, name: &str| cause[name].as_str().unwrap_or_default().to_owned();
        let messages: BTreeMap<_, _> = causes.iter().map(|c| (text(c, "field"), text(c, "message"))).collect();
        // From the last to the first: an element that goes moves those behind it.
        for (field, message) in messages.iter().rev() {
            self.field(object, field, message);
        }
        if messages.is_empty() {
            quoted(refusal["message"].as_str().unwrap_or_default())
                .for_each(|value| remove_values(object, &Value::from(value)));
        }
        *object != before
    }

    fn field(&mut self, object: &mut Value, field: &str, message: &str) {
        let count = self.refused.entry(field.to_owned()).or_default();
        *count += 1;
        let (place, whole) = find(object, field);
        let valid = place.get(self.valid).cloned();
        let present = if whole { place.get(object).cloned() } else { None };
        let small = present.as_ref().and_then(Value::as_str).map(|text| text.to_ascii_lowercase().into());
        let ways = [listed(message), small, valid].into_iter().flatten().filter(|way| Some(way) != present.as_ref());
        match ways.skip(*count - 1).next() {
            Some(value) => Edit::Set(place, value).apply(object),
            None => remove(object, place),
        }
    }
}

/// The place that a field path like `spec.ports[0].name` or `metadata.labels[a]` speaks of, and whether it is there.
fn find(object: &Value, field: &str) -> (Place, bool) {
    let mut place = Place::default();
    for name in field.split(['.', '[']) {
        let name = name.trim_end_matches(']');
        place = match (place.get(object), name.parse()) {
            (Some(Value::Array(_)) | None, Ok(index)) => place.index(index),
            _ => place.member(name),
        };
    }
    let whole = place.get(object).is_some();
    (place, whole)
}

/// Takes away the place, or the innermost thing around it that is there.
fn remove(object: &mut Value, mut place: Place) {
    while place.get(object).is_none() && place.0.len() > 1 {
        place.0.pop();
    }
    Edit::Remove(place).apply(object);
}

/// The first value of `supported values: "A", "B"`.
fn listed(message: &str) -> Option<Value> {
    let (_, values) = message.split_once("supported values: ")?;
    quoted(values).next().map(Value::from)
}

/// What stands between quotation marks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

/// Takes away every member and element that has this value.
fn remove_values(object: &mut Value, unwanted: &Value) {
    match object {
        Value::Object(map) => {
            map.retain(|_, value| value != unwanted);
            map.values_mut().for_each(|value| remove_values(value, unwanted));
        }
        Value::Array(list) => {
            list.retain(|value| value != unwanted);
            list.iter_mut().for_each(|value| remove_values(value, unwanted));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(causes: &[(&str, &str)]) -> Value {
        let causes: Vec<Value> = causes.iter().map(|(f, m)| json!({"field": f, "message": m})).collect();
        json!({"details": {"causes": causes}})
    }

    #[test]
    fn a_field_is_tried_in_other_ways_until_it_goes() {
        let valid = json!({"spec": {"list": [{"name": "ok"}]}});
        let mut mender = Mender::new(&valid);
        let mut object = json!({"spec": {"list": [{"name": "nameValue", "type": "typeValue"}]}});
        let name = refusal(&[("spec.list[0].name", "Invalid value")]);
        let mut seen = Vec::new();
        while mender.mend(&mut object, &name) {
            seen.push(object["spec"]["list"][0]["name"].clone());
        }
        assert_eq!(seen, [json!("namevalue"), json!("ok"), Value::Null, Value::Null, Value::Null, Value::Null]);
        assert_eq!(object, json!({}));
    }

    #[test]
    fn listed_values_come_first_and_quoted_ones_go() {
        let valid = Value::Null;
        let mut mender = Mender::new(&valid);
        let mut object = json!({"type": "typeValue", "class": "classValue", "classes": ["classValue"]});
        let both = refusal(&[("type", r#"Unsupported value: "typeValue": supported values: "A", "B""#)]);
        assert!(mender.mend(&mut object, &both));
        assert_eq!(object["type"], "A");
        assert!(mender.mend(&mut object, &json!({"message": r#"no class with name "classValue" was found"#})));
        assert_eq!(object, json!({"type": "A", "classes": []}));
    }
}
