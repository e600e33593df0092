//! An object that was refused, changed by what the refusals say of it, so that the next try comes further.
//!
//! A field that is not liked gets, one refusal after the other: the first value that the refusal lists, its own value in
//! small letters, the value of a valid object of the same resource. Then it goes, and after it what it stands in is
//! replaced by that of the valid object, from the inside to the outside. The object's name stays.

use super::edit::{Edit, Place};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Changes one object.
pub struct Mender<'a> {
    /// An object of the same resource that would be accepted.
    valid: &'a Value,
    /// How many ways were gone for each field.
    gone: BTreeMap<String, usize>,
}

impl<'a> Mender<'a> {
    pub fn new(valid: &'a Value) -> Self {
        Self { valid, gone: BTreeMap::new() }
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
        if *object == before {
            let message = refusal["message"].as_str().unwrap_or_default();
            let words = message.split(|c: char| !c.is_alphanumeric()).filter(|word| word.ends_with("alue"));
            words.for_each(|word| remove_values(object, &word.into()));
        }
        if *object == before {
            self.valid.clone_into(object);
        }
        *object != before
    }

    fn field(&mut self, object: &mut Value, field: &str, message: &str) {
        let gone = self.gone.entry(field.to_owned()).or_default();
        for (at, way) in ways(object, self.valid, field, message).into_iter().enumerate().skip(*gone) {
            let mut changed = object.clone();
            if let Some(edit) = way {
                edit.apply(&mut changed);
            }
            if changed != *object && changed["metadata"]["name"] == object["metadata"]["name"] {
                *gone = at + 1;
                *object = changed;
                return;
            }
        }
    }
}

/// What may be done about a field, in this order; None where that is not possible now.
fn ways(object: &Value, valid: &Value, field: &str, message: &str) -> Vec<Option<Edit>> {
    let mut place = find(object, field);
    let present = place.get(object);
    let listed =
        listed(message).map(|value| if present.is_some_and(Value::is_array) { json!([value]) } else { value.into() });
    let small = present.and_then(Value::as_str).map(|text| text.to_ascii_lowercase().into());
    let set = |value| Edit::Set(place.clone(), value);
    let model = |place: &Place| place.get(valid).map(|value| Edit::Set(place.clone(), value.clone()));
    let mut ways = vec![listed.map(set), small.map(set), model(&place), Some(Edit::Remove(place.clone()))];
    while place.0.pop().is_some() && !place.0.is_empty() {
        ways.push(Some(model(&place).unwrap_or_else(|| Edit::Remove(place.clone()))));
    }
    ways
}

/// The place that a field path like `spec.ports[0].name` or `metadata.labels[a]` speaks of.
fn find(object: &Value, field: &str) -> Place {
    field.split(['.', '[']).fold(Place::default(), |place, name| {
        let name = name.trim_end_matches(']');
        match (place.get(object), name.parse()) {
            (Some(Value::Array(_)) | None, Ok(index)) => place.index(index),
            _ => place.member(name),
        }
    })
}

/// The first value of `supported values: "A", "B"`.
fn listed(message: &str) -> Option<&str> {
    let (_, values) = message.split_once("supported values: ")?;
    values.split('"').nth(1)
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
            for value in list {
                remove_values(value, unwanted);
            }
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
    fn a_field_is_tried_in_other_ways_and_then_what_it_stands_in() {
        let valid = json!({"spec": {"list": [{"name": "ok"}]}});
        let mut mender = Mender::new(&valid);
        let mut object = json!({"spec": {"list": [{"name": "nameValue", "type": "typeValue"}], "kept": 1}});
        let name = refusal(&[("spec.list[0].name", "Invalid value")]);
        let mut next = || {
            assert!(mender.mend(&mut object, &name));
            object.clone()
        };
        for element in [
            json!({"name": "namevalue", "type": "typeValue"}),
            json!({"name": "ok", "type": "typeValue"}),
            json!({"type": "typeValue"}),
            json!({"name": "ok"}),
        ] {
            assert_eq!(next(), json!({"spec": {"list": [element], "kept": 1}}));
        }
        assert_eq!(next(), valid);
        assert!(!mender.mend(&mut object, &name));
    }

    #[test]
    fn listed_values_come_first_and_those_of_the_message_go() {
        let valid = Value::Null;
        let mut mender = Mender::new(&valid);
        let mut object = json!({"type": "typeValue", "modes": ["m"], "class": "classValue"});
        let text = |field: &str| format!(r#"Unsupported value: "{field}": supported values: "A", "B""#);
        let both = refusal(&[("type", &text("typeValue")), ("modes", &text("m"))]);
        assert!(mender.mend(&mut object, &both));
        assert_eq!(object, json!({"type": "A", "modes": ["A"], "class": "classValue"}));
        assert!(mender.mend(&mut object, &json!({"message": "no class with name classValue was found"})));
        assert_eq!(object, json!({"type": "A", "modes": ["A"]}));
    }
}
